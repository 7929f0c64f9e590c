"""What sliders say, against decisions made sample by sample."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import yaml
from browser import Watched, address_of, chromium
from browser_payload import explore, leb128, make_payload, make_pool, random_rules, truth

from curate.config import Rules
from curate.outputs import Store
from curate.report.page import write_page

TREES = 16
POSITIONS = 12

MOVE = """([explorer, cells, moves]) => {
  const model = Curate.explorer.create(explorer, Curate.cells.decode(cells, explorer.columns));
  const stops = model.tests.map((test) => Curate.criteria.stops(test, model.columns[test.column]));
  return moves.map((move) => {
    const edges = Curate.explorer.current(model);
    const stopAt = (id, share) => stops[id][Math.floor(share * stops[id].length)];
    move.forEach((share, id) => { if (share !== null) edges[id] = stopAt(id, share); });
    const tally = Curate.explorer.tally(model, edges);
    return {...tally, yaml: Curate.criteria.yaml(model, edges, model.total), edges};
  });
}"""

DECIDE = """([explorer, cells, digits]) => {
  const model = Curate.explorer.create(explorer, Curate.cells.decode(cells, explorer.columns));
  const edges = Curate.explorer.current(model);
  return digits.map((own) => Curate.explorer.decide(model, edges, own).reason);
}"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A page whose functions are called; its own report does not matter."""
    folder = tmp_path_factory.mktemp("report")
    payload, cells, _ = make_payload(0, 200, shares=[0.5], pictures=0)
    write_page(Store(str(folder)), "", payload, cells)
    with chromium() as browser:
        watched = Watched(browser)
        watched.open(address_of(folder))
        yield watched.page
        assert not watched.errors


@pytest.mark.parametrize("seed", range(TREES))
def test_counts_are_right_to_the_sample_wherever_sliders_stand(page: Any, seed: int) -> None:
    pool = make_pool(seed, 700)
    rules = random_rules(seed, pool)
    explored = explore(pool, rules, [0, 0.001, 0.02, 0.05, 0.1, 0.31, 0.5, 0.8, 0.99, 1])
    random = np.random.default_rng(seed)
    tests = len(explored.explorer["tests"])
    moves = [
        [float(random.random()) if random.random() < 0.7 else None for _ in range(tests)]
        for _ in range(POSITIONS)
    ]
    moves[0] = [None] * tests  # where the rules are
    found = page.evaluate(MOVE, [explored.explorer, explored.cells, moves])
    assert found[0]["kept"] == explored.explorer["kept"]
    for one in found:
        copied = Rules.model_validate(yaml.safe_load(one["yaml"])["rules"])
        counts = {line["reason"]: line["count"] for line in one["dropped"]}
        if one["kept"]:
            counts["kept"] = one["kept"]
        assert counts == truth(pool, copied), one["yaml"]
        assert one["total"] == len(pool)


@pytest.mark.parametrize("seed", range(4))
def test_samples_are_judged_as_they_were_decided(page: Any, seed: int) -> None:
    from browser_payload import tree_of

    from curate.numerics.selection import decide

    pool = make_pool(seed, 300)
    rules = random_rules(seed, pool)
    explored = explore(pool, rules, [0.1, 0.5])
    labels = decide(tree_of(pool, Rules.model_validate(rules)), pool.columns, pool.uids).labels()
    digits = explored.digits.T.tolist()
    assert page.evaluate(DECIDE, [explored.explorer, explored.cells, digits]) == labels


def test_samples_that_only_one_test_drops_are_counted(page: Any) -> None:
    pool = make_pool(3, 500)
    rules = {"all": [{"clip_score": {"min": 0.22}}, {"width": {"min": 128}}]}
    explored = explore(pool, rules, [0.5])
    [found] = page.evaluate(MOVE, [explored.explorer, explored.cells, [[None] * 4]])
    clip = pool.columns["clip_score"] >= np.float32(0.22)
    width = pool.columns["width"] >= 128
    assert found["only"][:2] == [int((~clip & width).sum()), int((clip & ~width).sum())]


@pytest.mark.parametrize(
    ("criteria", "line"),
    [
        ({"drop_lowest": 0.05, "of": "reference"}, "{drop_lowest: 0.05, of: reference}"),
        ({"keep_highest": 0.3, "method": "datacomp"}, "{keep_highest: 0.3, method: datacomp}"),
        ({"min": 1e-7}, "{min: 1.0e-7}"),
    ],
)
def test_what_was_not_moved_is_copied_word_for_word(
    page: Any, criteria: dict[str, Any], line: str
) -> None:
    pool = make_pool(1, 100)
    explored = explore(pool, {"all": [{"clip_score": {"min": 0.2}}]}, [0.5])
    [test] = [test for test in explored.explorer["tests"] if test["active"]]
    test["criteria"] = criteria
    [found] = page.evaluate(MOVE, [explored.explorer, explored.cells, [[None] * 3]])
    assert found["yaml"] == f"rules:\n  all:\n    - clip_score: {line}\n"
    read = yaml.safe_load(found["yaml"])["rules"]
    assert read == {"all": [{"clip_score": criteria}]}
    Rules.model_validate(read)


@pytest.mark.parametrize(
    "name", ["image_informativeness", "on", "a: b", 'qu"ote', "naïve", "1e3", "all"]
)
def test_columns_of_any_name_come_through_yaml(page: Any, name: str) -> None:
    pool = make_pool(1, 50)
    explored = explore(pool, {"all": [{"clip_score": {"min": 0.2}}]}, [0.5])
    explored.explorer["columns"][0]["name"] = name
    [found] = page.evaluate(MOVE, [explored.explorer, explored.cells, [[None] * 3]])
    assert yaml.safe_load(found["yaml"]) == {"rules": {"all": [{name: {"min": 0.2}}]}}


def test_fractions_mean_the_rank_they_were_made_from(page: Any) -> None:
    from curate.numerics.selection import rank_of

    random = np.random.default_rng(0)
    most = 12_800_000_000
    pairs = [(0, 7), (7, 7), (1, 3), (2, 3), (1, most), (most - 1, most)]
    sizes = random.integers(1, 10**9, 200).tolist()
    pairs += [(int(random.integers(0, n + 1)), n) for n in sizes]
    written = "(pairs) => pairs.map(([k, n]) => Curate.format.fraction(k, n))"
    texts = page.evaluate(written, pairs)
    for (k, n), text in zip(pairs, texts, strict=True):
        assert rank_of(n, float(text), "drop_lowest") == k, (k, n, text)
        assert rank_of(n, float(text), "keep_highest") == n - k
    plain = page.evaluate(written, [(50, 1000), (1, 4)])
    assert plain == ["0.05", "0.3"]  # floor(4 x 0.3) = 1


def test_numbers_are_written_as_python_writes_them(page: Any) -> None:
    random = np.random.default_rng(1)
    numbers = [0.05, 1.0, 512.0, 1e-7, 123456789012345680.0, 0.1 + 0.2, 5e-5, 0.0001, 1e15, 999.5]
    numbers += (random.normal(size=200) * 10.0 ** random.integers(-12, 18, 200)).tolist()
    texts = page.evaluate("(xs) => xs.map(Curate.format.general)", numbers)
    assert texts == [f"{x:.15g}" for x in numbers]
    read = page.evaluate("(xs) => xs.map(Curate.format.yamlFloat)", numbers)
    assert [float(yaml.safe_load(text)) for text in read] == numbers


def test_the_float_below_is_numpys(page: Any) -> None:
    for precision, kind in (("float32", np.float32), ("float64", np.float64)):
        numbers = [float(kind(x)) for x in (0.2, 1.0, -1.5, 512.0, 1e-30, 0.0)]
        found = page.evaluate(
            "([xs, p]) => xs.map((x) => Curate.criteria.floatBelow(x, p))", [numbers, precision]
        )
        assert found == [float(np.nextafter(kind(x), kind(-np.inf))) for x in numbers]


def test_numbers_of_any_length_are_unpacked(page: Any) -> None:
    numbers = [0, 1, 127, 128, 300, 2**31, 2**32 + 5, 2**53 - 1]
    packed = leb128(np.array(numbers, dtype=np.int64))
    decode = "([text, n]) => Array.from(Curate.cells.decodeNumbers(text, n))"
    assert page.evaluate(decode, [packed, len(numbers)]) == numbers


def test_damaged_cells_are_noticed(page: Any) -> None:
    message = page.evaluate(
        "(text) => { try { Curate.cells.decodeNumbers(text, 1); return null; }"
        " catch (error) { return error.message; } }",
        leb128(np.array([1, 2])),
    )
    assert "bytes were read of" in message


def test_what_is_near_a_cut_comes_from_its_two_sides(page: Any) -> None:
    near = "([intervals, edge, n]) => Curate.galleries.nearCut(intervals, edge, n)"
    intervals: list[list[int]] = [[0, 1], [], [2, 3, 4, 5, 6, 7, 8, 9], [10]]
    assert page.evaluate(near, [intervals, 2, 3]) == {"below": [9, 8, 7], "above": [10]}
    assert page.evaluate(near, [intervals, 1, 3]) == {"below": [1, 0], "above": [2, 3, 4]}
    assert page.evaluate(near, [intervals, 1, 6])["above"] == [2, 3, 4, 5, 10]
    assert page.evaluate(near, [intervals, -1, 2]) == {"below": [], "above": [0, 1]}
    assert page.evaluate(near, [intervals, 3, 2]) == {"below": [10, 9], "above": []}


def test_a_share_is_never_told_as_nothing_or_everything(page: Any) -> None:
    shares = {0: "0 %", 1: "100 %", 1e-7: "< 0.01 %", 0.999999: "> 99.99 %", 0.9996: "99.96 %"}
    shares |= {0.05: "5.0 %", 0.123456: "12.3 %", 0.004: "0.40 %"}
    texts = page.evaluate("(xs) => xs.map(Curate.format.share)", list(shares))
    assert texts == list(shares.values())
