"""img2dataset's options, from its source: what may be set, and what curate calls it with."""

from __future__ import annotations

import json
from typing import Any

import pytest

from curate.config import DownloadConfig
from curate.downloading import options
from curate.downloading.options import (
    FIXED,
    arguments,
    check_options,
    free_options,
    known_options,
    needed_columns,
)
from curate.errors import ConfigError

pytest.importorskip("cv2", reason="needs img2dataset: pip install 'curate[download]'")


def section(**settings: Any) -> DownloadConfig:
    return DownloadConfig(urls="urls.txt", **settings)


def test_the_options_are_those_of_the_function() -> None:
    # Its own definition, read in another way: importing it takes seconds and warns.
    known = known_options()
    assert {"url_list", "timeout", "max_aspect_ratio", "disallowed_header_directives"} <= set(known)
    assert known["retries"] == "int"
    assert known["user_agent_token"] == "Optional[str]"
    assert set(known) >= FIXED


def test_every_option_is_fixed_or_a_key_or_free() -> None:
    own = set(DownloadConfig.model_fields)
    free = set(free_options())
    assert not free & (own | FIXED)
    assert set(known_options()) <= free | own | FIXED
    assert {"skip_reencode", "min_image_size", "disallowed_header_directives"} <= free


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"colour": 1}, r"download\.options\.colour: unknown option of img2dataset; there are "),
        ({"colour": 1}, "bbox_col, compute_hash, .*verify_hash$"),
        ({"enable_wandb": True}, r"options\.enable_wandb: curate sets this one itself"),
        ({"url_list": "x"}, "curate sets this one itself"),
        (
            {"min_image_size": "large"},
            r"options\.min_image_size: .*valid integer \(found 'large'\)",
        ),
        ({"skip_reencode": 1}, r"options\.skip_reencode: .*boolean"),
        ({"disallowed_header_directives": "noai"}, "disallowed_header_directives: .*list"),
    ],
)
def test_options_are_checked_by_name_and_type(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        check_options(given)


def test_good_options_pass() -> None:
    check_options({"min_image_size": 10, "user_agent_token": None, "verify_hash": ["md5", "md5"]})


def test_an_option_that_is_a_key_is_sent_there() -> None:
    with pytest.raises(
        ValueError, match=r"download\.options\.timeout: write it as download\.timeout"
    ):
        section(options={"timeout": 3})


def test_a_missing_img2dataset_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    known_options.cache_clear()
    monkeypatch.setattr(options, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'curate\[download\]'"):
        known_options()
    known_options.cache_clear()


def test_what_img2dataset_is_called_with() -> None:
    config = section(
        timeout=3,
        encode_format="png",
        processes_count=2,
        options={"oom_shard_count": 8, "bbox_col": "faces", "verify_hash": ["digest", "sha256"]},
        save_additional_columns=("sim",),
    )
    assert needed_columns(config) == ("sim", "faces", "digest")
    # It puts those of options with the others by itself.
    found = arguments(config, "/t", "/f", "URL", "TEXT", ("uid", "sim", "faces", "digest"))
    assert json.loads(json.dumps(found)) == found
    assert set(found) <= set(known_options())
    expected = {
        "url_list": "/t",
        "output_folder": "/f",
        "input_format": "parquet",
        "output_format": "webdataset",
        "url_col": "URL",
        "caption_col": "TEXT",
        "save_additional_columns": ["uid", "sim"],
        "timeout": 3,
        "encode_quality": 6,
        "processes_count": 2,
        "oom_shard_count": 8,
        "bbox_col": "faces",
        "compute_hash": "sha256",
        "incremental_mode": "incremental",
        "enable_wandb": False,
        "retries": 2,
        "image_size": 512,
    }
    assert {name: found[name] for name in expected} == expected
    # Who opted out is respected unless someone says otherwise: the default is img2dataset's.
    assert "disallowed_header_directives" not in found
    assert 1 <= found["thread_count"] <= options.THREADS
