"""The reader of attributes.json, on a file in Visual Genome's format."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import ConfigError
from curate.paper.visual_genome import iterate_array, match_counts, read_attribute_counts

# The fields of version 1.2, shortened.
ATTRIBUTES = [
    {
        "image_id": 2407890,
        "attributes": [
            {"synsets": ["clock.n.01"], "h": 339, "object_id": 1058498, "names": ["clock"],
             "attributes": ["green", "tall"], "w": 79, "x": 421, "y": 91},
            {"synsets": [], "h": 262, "object_id": 5046, "names": ["street"], "w": 714, "x": 77},
            {"object_id": 7, "names": ["shade"], "attributes": ["dark"]},
        ],
    },
    {"image_id": 2407891, "attributes": []},
    {"image_id": 2407892, "attributes": [{"names": ["a]\"["], "attributes": ["so, {odd}"] * 4}]},
]  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "attributes.json"
    path.write_text(json.dumps(ATTRIBUTES))
    return path


def test_attributes_are_summed_over_objects(file: Path) -> None:
    assert read_attribute_counts(str(file)) == {2407890: 3, 2407891: 0, 2407892: 4}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(json_values, max_size=6), st.integers(1, 40), st.sampled_from([None, 1]))
def test_any_array_is_read_in_blocks_of_any_size(
    items: list[Any], block: int, indent: int | None
) -> None:
    text = json.dumps(items, indent=indent)
    assert list(iterate_array(io.StringIO(text), block)) == items


@pytest.mark.parametrize("text", ["", "{}", "[1, 2", '[{"image_id": 1, "attributes"', "[1 x]"])
def test_what_is_no_array_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(ConfigError, match=r"paper\.visual_genome\.attributes"):
        read_attribute_counts(str(tmp_path / "bad.json"))


@pytest.mark.parametrize("content", [[1], [{"image_id": 1}], [{"image_id": "x", "attributes": []}]])
def test_another_layout_is_refused(tmp_path: Path, content: Any) -> None:
    (tmp_path / "bad.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="not Visual Genome's"):
        read_attribute_counts(str(tmp_path / "bad.json"))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json"):
        read_attribute_counts(str(tmp_path / "none.json"))


def test_images_are_matched_by_their_json_then_by_their_key() -> None:
    counts = {7: 3, 8: 0, 107: 9}
    found = match_counts(counts, [7, "8", None, None, True], ["x", "y", "VG/00000107", "none", "z"])
    assert found[:3].tolist() == [3.0, 0.0, 9.0]
    assert np.isnan(found[3:]).all()


def test_images_of_another_collection_are_refused() -> None:
    with pytest.raises(ConfigError, match="of 2 images"):
        match_counts({7: 3}, [7, None], ["1", "2"])
