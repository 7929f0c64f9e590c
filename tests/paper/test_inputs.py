"""What is embedded where, without Ray: the configuration of each fit, labels, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from factories import sample_members, tar_bytes
from local_run import fit_locally
from models import write_tiny_model
from pools import config_of, write_shards

from curate import reference_files
from curate.config import Config, ModelConfig
from curate.encoder import Encoder
from curate.errors import ConfigError, ReferenceFileError
from curate.outputs import Store
from curate.paper.inputs import MAIN, Inputs, check
from curate.paper.sample import load_sample
from curate.schema import OK
from curate.shards import list_shards

NOISE = ["placeholder", None, "caption", None, "caption", None]


class LocalFit:
    """A `fit` in this process, on all samples of the shards; remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[Config] = []

    def __call__(self, config: Config) -> None:
        self.asked.append(config)
        store = Store(config.output.run_dir)
        if not store.exists("reference/reference.json"):
            spec = config.reference.shards or config.input.shards
            shards = list_shards(spec if isinstance(spec, str) else list(spec))
            found = fit_locally(Encoder(config.model), shards, config.reference)
            reference_files.save(store, "reference", *found)


@pytest.fixture
def config(tiny_model: str, tmp_path: Path) -> Any:
    write_shards(tmp_path / "pool", (6, 4))

    def make(**paper: Any) -> Config:
        pool = f"{tmp_path}/pool/*.tar"
        return config_of(tiny_model, pool, tmp_path / "run", paper=paper)

    return make


def labelled_shard(folder: Path) -> str:
    folder.mkdir()
    members = [
        member
        for at, noise in enumerate(NOISE)
        for member in sample_members(f"{at:09d}", f"thing {at}", seed=at, noise=noise)
    ]
    (folder / "dev.tar").write_bytes(tar_bytes(members))
    return f"{folder}/dev.tar"


def test_a_sample_is_read_as_it_was_embedded(config: Any) -> None:
    inputs = Inputs(config(), LocalFit())
    sample = inputs.sample(MAIN)
    assert len(sample) == 10
    np.testing.assert_allclose(np.linalg.norm(sample.image, axis=1), 1, rtol=1e-6)
    assert (sample.link, sample.bias) == ("softmax", 0.0)
    assert sample.image_norm.shape == (10,)
    assert sample.table["status"].unique().to_pylist() == [OK]
    captions = inputs.main_pool().captions(sample.table)
    assert [len(text) for text in captions] == sample.table["caption_chars"].to_pylist()


def test_models_are_fitted_side_by_side_and_alike_ones_once(
    config: Any, tiny_siglip: str, tmp_path: Path
) -> None:
    other = write_tiny_model(tmp_path / "other", siglip=True, seed=3)
    siglip = {"name": tiny_siglip, "device": "cpu"}
    fit = LocalFit()
    inputs = Inputs(
        config(
            compare={"siglip": siglip},
            unnormalised={"name": other, "device": "cpu"},
            normalised=siglip,
        ),
        fit,
    )
    assert list(inputs.models()) == ["main", "siglip", "unnormalised", "normalised"]
    found = {name: inputs.sample(name) for name in inputs.models()}
    assert {name: sample.name for name, sample in found.items()} == {n: n for n in found}
    folders = [Path(one.output.run_dir).relative_to(tmp_path / "run") for one in fit.asked]
    assert [str(f) for f in folders] == [
        "models/main", "models/siglip", "models/unnormalised", "models/siglip",
    ]  # fmt: skip
    assert len({one.reference for one in fit.asked}) == 1
    keys = {tuple(sample.table["key"].to_pylist()) for sample in found.values()}
    assert len(keys) == 1
    np.testing.assert_array_equal(found["siglip"].image, found["normalised"].image)
    assert not np.array_equal(found["siglip"].image, found["unnormalised"].image)


def test_the_settings_of_scoring_do_not_ask_for_another_fit(config: Any) -> None:
    plain, fit = config(), LocalFit()
    changed = plain.model_copy(
        update={
            "reference": plain.reference.model_copy(
                update={"prior": "uniform", "covariance": "paper", "temperature": "model"}
            )
        }
    )
    for one in (plain, changed):
        Inputs(one, fit).sample(MAIN)
    assert fit.asked[0] == fit.asked[1]


def test_labels_come_from_the_json_of_each_pair(config: Any, tmp_path: Path) -> None:
    shards = labelled_shard(tmp_path / "labelled")
    found = Inputs(config(labelled={"shards": shards}), LocalFit()).labelled(MAIN)
    assert found is not None
    assert found.is_bad_image.tolist() == [noise == "placeholder" for noise in NOISE]
    assert found.is_bad_text.tolist() == [noise == "caption" for noise in NOISE]
    assert len(found.sample) == 6


def test_labels_that_nothing_bears_are_refused(config: Any, tmp_path: Path) -> None:
    shards = labelled_shard(tmp_path / "labelled")
    inputs = Inputs(config(labelled={"shards": shards, "text": "nonsense"}), LocalFit())
    with pytest.raises(ConfigError, match=r"paper\.labelled: .*'nonsense'"):
        inputs.labelled(MAIN)


def test_parts_that_are_not_configured_are_none(config: Any) -> None:
    inputs = Inputs(config(), LocalFit())
    assert inputs.labelled(MAIN) is None
    assert inputs.visual_genome(MAIN) is None


def test_what_cannot_work_is_refused_before_any_work(config: Any, tmp_path: Path) -> None:
    check(config())
    adopted = config()
    reference = adopted.reference.model_copy(update={"path": "elsewhere"})
    with pytest.raises(ConfigError, match=r"reference\.path='elsewhere'.*remove"):
        check(adopted.model_copy(update={"reference": reference}))
    gone = f"{tmp_path}/no.tar"
    for part in (
        {"labelled": {"shards": gone}},
        {"visual_genome": {"attributes": "x", "shards": gone}},
    ):
        with pytest.raises(ConfigError, match=r"no\.tar"):
            check(config(**part))


@pytest.mark.parametrize(
    ("paper", "named"),
    [
        ({"compare": {"x": {"nam": "y"}}}, r"paper\.compare\.x\.nam: unknown key; .* name,"),
        ({"visual_genome": {"shards": "a"}}, r"paper\.visual_genome\.attributes: Field required"),
        ({"visual_genome": {"x": 1}}, "known here are attributes, shards"),
        ({"compar": {}}, r"paper\.compar: unknown key; known here are bootstrap, compare,"),
        ({"compare": {"main": {}}}, "names of the report"),
        ({"compare": {"../up": {}}}, "pattern"),
        ({"sizes": [200, 100]}, "growing"),
        ({"sample_sizes": [100, 100]}, "each once"),
        ({"sizes": [3]}, "greater than or equal to 16"),
        ({"temperatures": [0]}, "greater than 0"),
        ({"extremes": 0}, "greater than 0"),
        ({"bootstrap": True}, "a number"),
    ],
)
def test_wrong_settings_are_named(config: Any, paper: Any, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        config(**paper)


def test_a_sample_that_was_changed_is_refused(config: Any, tmp_path: Path) -> None:
    Inputs(config(), LocalFit()).sample(MAIN)
    path = tmp_path / "run/models/main/reference/sample.npz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ReferenceFileError, match=r"sample\.npz"):
        load_sample(Store(str(tmp_path / "run/models/main")), MAIN)


def test_models_are_configurations_of_their_own(config: Any) -> None:
    found = config(compare={"b": {"name": "ViT-B-32", "pretrained": "openai"}})
    assert Inputs(found, LocalFit()).models()["b"] == ModelConfig(
        name="ViT-B-32", pretrained="openai"
    )
