"""A short run of the fuzzer, and proof that it would notice; `make fuzz` is the long one."""

from __future__ import annotations

import contextlib
import pickle
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import misbehaving
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

from fuzzing import checks, corpus, parts
from fuzzing.checks import Case, Sandbox, ViolationError, make_case, ready_sandbox, run_case
from fuzzing.workers import Limits, run_cases

from curate.manifest import Counts

CASES = 150


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """One for the process: an audit hook stays."""
    return ready_sandbox(tmp_path_factory.mktemp("fuzz") / "sandbox")


def test_seeded_cases_do_no_harm(sandbox: Sandbox) -> None:
    outcomes: Counter[str] = Counter()
    for number in range(CASES):
        result = run_case(sandbox, number, make_case(1, number))
        assert result.violation == "", number
        outcomes[result.outcome] += 1
    assert set(outcomes) == {"read", "damaged", "refused"}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 10_000))
def test_a_case_is_its_numbers(seed: int, number: int) -> None:
    case = make_case(seed, number)
    assert case == make_case(seed, number)
    assert case.mutations
    assert case.files


@pytest.mark.parametrize("layout", ["datacomp", "clip-retrieval"])
def test_what_is_sound_is_read(sandbox: Sandbox, layout: str) -> None:
    result = run_case(sandbox, 0, Case(parts.sound(layout), (), layout))
    assert (result.outcome, result.statuses, result.violation) == ("read", {"ok": parts.ROWS}, "")


def test_the_corpus_holds_every_format() -> None:
    starts = {data[:4] for data in corpus.pictures()}
    assert {b"\xff\xd8\xff\xe0", b"\x89PNG", b"RIFF", b"GIF8", b"II*\0"} <= starts
    assert len(corpus.samples()) >= corpus.PER_SHARD


# --- it would notice ----------------------------------------------------------------------------


class Payload:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (int, ("1",))


def unpickle(place: Sandbox) -> None:
    pickle.loads(pickle.dumps(Payload()))


def write_beside(place: Sandbox) -> None:
    (place.input / "escaped.jpg").write_bytes(b"x")


def write_above(place: Sandbox) -> None:
    (place.input.parent / "escaped").mkdir()


def connect(place: Sandbox) -> None:
    import socket

    with socket.socket() as one:
        one.settimeout(0.1)
        one.connect_ex(("127.0.0.1", 9))
        one.connect(("127.0.0.1", 9))


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (unpickle, "pickle.find_class"),
        (write_beside, "escaped.jpg"),
        (write_above, "os.mkdir"),
        (connect, "socket.connect"),
    ],
)
def test_harm_is_a_violation(
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    harm: Callable[[Sandbox], None],
    told: str,
) -> None:
    def harmful(place: Sandbox, case: Case) -> tuple[str, dict[str, int]]:
        with contextlib.suppress(OSError):  # nobody listens there; that it was tried is enough
            harm(place)
        return "read", {}

    monkeypatch.setattr(checks, "check_shard", harmful)
    result = run_case(sandbox, 0, replace(make_case(0, 0), layout="shard"))
    assert told in result.violation


def test_foreign_errors_are_violations(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(place: Sandbox, case: Case) -> tuple[str, dict[str, int]]:
        raise KeyError("nobody foresaw")

    monkeypatch.setattr(checks, "check_shard", broken)
    result = run_case(sandbox, 0, replace(make_case(0, 0), layout="shard"))
    assert "KeyError" in result.violation


def test_ranges_and_accounts_are_checked() -> None:
    ranges = pa.table({"tar_offset": [0, 512], "tar_size": [512, 512]})
    checks.check_ranges(ranges, 1024)
    with pytest.raises(ViolationError, match="of 1023"):
        checks.check_ranges(ranges, 1023)
    overlapping = pa.table({"tar_offset": [0, 511], "tar_size": [512, 512]})
    with pytest.raises(ViolationError, match="after 512"):
        checks.check_ranges(overlapping, 2048)
    with pytest.raises(ViolationError, match="2 rows of 3"):
        checks.check_rows(pa.table({"index": [0, 1]}), Counts(read=3))
    with pytest.raises(ViolationError, match="of memory"):
        checks.check_text("8 bytes: MemoryError: ")


def test_workers_that_hang_die_or_grow_stop_no_one_else() -> None:
    limits = Limits(seconds=1.5, megabytes=100)
    ended = run_cases(range(10), misbehaving.prepare, 2, limits)
    found = {case: (result, trouble) for case, result, trouble in ended}
    assert sorted(found) == list(range(10))
    troubled = {case: trouble for case, (_, trouble) in found.items() if trouble}
    assert sorted(troubled) == [misbehaving.HANGS, misbehaving.DIES, misbehaving.GROWS]
    assert "no end within" in troubled[misbehaving.HANGS]
    assert "exit code 9" in troubled[misbehaving.DIES]
    assert "MiB" in troubled[misbehaving.GROWS]
    assert all(found[case] == (2 * case, "") for case in found if case not in troubled)
