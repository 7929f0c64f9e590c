"""The whole of a run directory, part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from curate import subsets, targets
from curate.image_index import images_of
from curate.manifest import MANIFEST, RunDir
from curate.outputs import Store
from curate.verification.chosen import Choices, verify_subset
from curate.verification.findings import Findings, hash_file, listed
from curate.verification.rows import IMAGES, verify_identity, verify_indexed, verify_scored
from curate.verification.written import verify_filtered

REFERENCE: Final = "reference/reference.json"
TARGET: Final = f"reference/{targets.DESCRIPTION}"

CHECKSUMS: Final = {
    REFERENCE: {
        "reference/reference.npz": "sha256",
        "reference/sample.npz": "sample_sha256",
        "reference/sample_captions.parquet": "sample_captions_sha256",
    },
    TARGET: {f"reference/{targets.FILE}": targets.CHECKSUM},
}
"""Description -> file -> the key of its checksum."""

WITHOUT: Final = {"sample_sha256", "sample_captions_sha256"}
"""What a Reference that was adopted without its sample, or an older one, lacks."""


def verify(
    run: RunDir, deep: bool = False, observe: Callable[[int], None] = lambda shards: None
) -> Findings:
    """Verify everything in a run directory.

    Args:
        run: the run directory.
        deep: also hash the inputs and compare filtered shards with them, byte for byte.
        observe: called after each shard with the number of shards checked.

    Raises:
        RunDirError: there is no run here.
    """
    findings = Findings()
    manifest = run.read_manifest()
    found = findings.problems
    found += listed(f"{run.store}", verify_identity(run, manifest))
    for description, files in CHECKSUMS.items():
        found += listed("reference", _verify_described(run.store, description, files, findings))
    failures = run.failures()
    for shard in manifest:
        if shard.id in failures:
            continue
        found += listed(f"shard {shard.id}", verify_scored(run, shard, findings, deep))
        findings.shards += 1
        observe(findings.shards)
    found += listed("images", _verify_images(run, findings, deep))
    choices = Choices(run)
    found += listed("state", choices.verify_markers())
    found += listed("state", choices.verify_cache())
    for name in subsets.names(run.store):
        found += listed(f"subset {name}", verify_subset(choices, name, findings))
        found += listed(f"shards/{name}", verify_filtered(run, name, findings, deep))
    return findings


def _verify_described(
    store: Store, description: str, files: dict[str, str], findings: Findings
) -> Iterator[str]:
    if not any(map(store.exists, (description, *files))):
        return
    described = store.read_json(description)
    for name, key in files.items():
        if key in WITHOUT and key not in described:
            continue
        findings.files += 1
        if not store.exists(name):
            yield f"{name} is missing; fit the Reference again"
        elif described[key] != hash_file(store, name)[1]:
            yield f"{name} does not match the checksum in {description}; fit the Reference again"


def _verify_images(run: RunDir, findings: Findings, deep: bool) -> Iterator[str]:
    images = images_of(run)
    if not images.store.exists(MANIFEST):
        return
    manifest = images.read_manifest()
    yield from verify_identity(images, manifest, IMAGES)
    failures = images.failures()
    for shard in manifest:
        if shard.id not in failures:
            place = f"image shard {shard.id}"
            yield from listed(place, verify_indexed(images, shard, findings, deep))
