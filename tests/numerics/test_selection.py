from __future__ import annotations

import itertools
import json
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curate.errors import NumericsError
from curate.numerics.keys import value_of_bits
from curate.numerics.selection import (
    DROP_ALL,
    KEEP_ALL,
    UID,
    AllOf,
    AnyOf,
    Cut,
    Test,
    below,
    datacomp_rank,
    decide,
    format_uids,
    ordered_bits,
    parse_uids,
    quantile_cut,
    rank_of,
    reasons_of,
)

WORDS = st.integers(0, 2**64 - 1)
FLOATS = st.floats(width=32, allow_nan=False)
FEW_FLOATS = st.sampled_from([-math.inf, -1.5, -0.0, 0.0, 1e-45, 0.1, 0.25, 3.0, math.inf])
UID_TEXTS = st.tuples(WORDS, WORDS).map(lambda pair: f"{pair[0]:016x}{pair[1]:016x}")
FEW_WORDS = st.sampled_from([0, 1, 2**16, 2**32 + 1, 2**63, 2**64 - 1])


def uid_array(pairs):
    return np.array([tuple(pair) for pair in pairs], dtype=UID)


def rows(values=FLOATS, words=WORDS, min_size=1, max_size=40):
    """Lists of (value, (high, low)) with unique uids."""
    return st.lists(
        st.tuples(values, st.tuples(words, words)),
        min_size=min_size,
        max_size=max_size,
        unique_by=lambda row: row[1],
    )


def split(table):
    values = np.array([value for value, _ in table], dtype=np.float32)
    return values, uid_array([uid for _, uid in table])


class TestUids:
    @given(st.lists(UID_TEXTS))
    def test_round_trip_and_halves(self, uids):
        parsed = parse_uids(uids)
        assert parsed.dtype == np.dtype("u8,u8")
        assert format_uids(parsed) == uids
        assert parsed["f0"].tolist() == [int(uid[:16], 16) for uid in uids]
        assert parsed["f1"].tolist() == [int(uid[16:], 16) for uid in uids]

    @given(st.lists(st.tuples(WORDS, WORDS)))
    def test_the_other_way_round(self, pairs):
        array = uid_array(pairs)
        assert np.array_equal(parse_uids(format_uids(array)), array)

    @given(st.lists(st.one_of(st.text(max_size=33), UID_TEXTS), max_size=6))
    def test_refuses_the_first_bad_one_by_name_and_row(self, uids):
        bad = [i for i, uid in enumerate(uids) if not re.fullmatch("[0-9a-fA-F]{32}", uid)]
        if not bad:
            assert len(parse_uids(uids)) == len(uids)
            return
        with pytest.raises(NumericsError) as caught:
            parse_uids(uids)
        assert f"uid {uids[bad[0]]!r} at row {bad[0]}:" in str(caught.value)

    @pytest.mark.parametrize(
        "bad",
        [
            "g" * 32,
            "0" * 31,
            "0" * 33,
            " " + "0" * 31,
            "0" * 31 + "\n",
            "0x" + "0" * 30,
            "٣" * 32,
            "é" * 32,
            "\ud800" * 32,
            "0" * 31 + "\0",
            None,
            7,
            b"0" * 32,
        ],
    )
    def test_refuses_what_hex_parsers_let_pass(self, bad):
        with pytest.raises(NumericsError, match="at row 1"):
            parse_uids(["0" * 32, bad])

    def test_numpy_strings_and_case(self):
        uids = ["0123456789abcdef" * 2, "FEDCBA9876543210" * 2]
        for array in (np.array(uids), np.array(uids, dtype=object)):
            assert format_uids(parse_uids(array)) == [uid.lower() for uid in uids]

    def test_refuses_another_dtype(self):
        with pytest.raises(NumericsError, match="see parse_uids"):
            format_uids(np.zeros(3, dtype=np.uint64))


class TestOrderedBits:
    @given(hnp.arrays(np.float32, st.integers(0, 30), elements=FLOATS))
    def test_is_monotone_and_invertible(self, values):
        bits = ordered_bits(values)
        assert bits.dtype == np.uint32
        assert np.array_equal(bits[:, None] < bits, values[:, None] < values)
        assert np.array_equal(bits[:, None] == bits, values[:, None] == values)
        assert [value_of_bits(bit) for bit in bits.tolist()] == values.tolist()

    def test_zeros_are_one(self):
        for dtype in (np.float32, np.float64):
            bits = ordered_bits(np.array([-0.0, 0.0], dtype=dtype))
            assert bits[0] == bits[1]
            assert math.copysign(1, value_of_bits(int(bits[0]), dtype)) == 1

    def test_leaves_input_alone_and_refuses_what_is_not_real(self):
        values = np.array([1.0, -0.0, -2.0], dtype=np.float32)
        before = values.tobytes()
        ordered_bits(values)
        assert values.tobytes() == before
        with pytest.raises(NumericsError, match="expected a real"):
            ordered_bits(["a"])
        with pytest.raises(NumericsError, match="expected a real"):
            ordered_bits([[1.0]])


class TestCut:
    @given(rows(FEW_FLOATS, FEW_WORDS), FEW_FLOATS, st.tuples(FEW_WORDS, FEW_WORDS))
    def test_below_is_the_lexicographic_order(self, table, value, uid):
        values, uids = split(table)
        expected = [(float(np.float32(v)), u) < (float(np.float32(value)), uid) for v, u in table]
        assert below(Cut(value, uid), values, uids).tolist() == expected

    @given(st.floats(allow_nan=False), st.tuples(WORDS, WORDS))
    def test_json_round_trip_is_exact(self, value, uid):
        cut = Cut(value, uid)
        text = json.dumps(cut.to_json(), allow_nan=False)
        assert Cut.from_json(json.loads(text)) == cut

    @pytest.mark.parametrize(
        "data",
        [
            {},
            [],
            {"value": 1.0},
            {"value": 1.0, "uid": "0" * 32, "more": 1},
            {"value": "nan", "uid": "0" * 32},
            {"value": "1.0", "uid": "0" * 32},
            {"value": True, "uid": "0" * 32},
            {"value": None, "uid": "0" * 32},
            {"value": [], "uid": "0" * 32},
            {"value": 1.0, "uid": "0" * 31},
            {"value": 1.0, "uid": "0" * 32 + "\n"},
            {"value": 1.0, "uid": 0},
        ],
    )
    def test_refuses_other_json(self, data):
        with pytest.raises(NumericsError, match="cut"):
            Cut.from_json(data)

    def test_refuses_bad_fields(self):
        with pytest.raises(NumericsError, match="NaN"):
            Cut(math.nan)
        for uid in ((-1, 0), (0, 2**64), (1,)):
            with pytest.raises(NumericsError, match="64 bits"):
                Cut(0.0, uid)

    def test_thresholds_are_compared_in_float32(self):
        uids = uid_array([(0, 0)])
        scores = np.array([0.7], dtype=np.float32)
        assert float(scores[0]) < 0.7  # the trap
        assert not below(Cut(0.7), scores, uids)[0]
        assert below(Cut(1e300), scores, uids)[0]
        assert not below(Cut(-1e300), scores, uids)[0]

    def test_refuses_lengths_that_differ(self):
        with pytest.raises(NumericsError, match="2 values and 1 uids"):
            below(Cut(0.0), [1.0, 2.0], uid_array([(0, 0)]))


class TestMissingAndPrecision:
    def test_a_missing_value_ranks_lowest_and_passes_no_bound(self):
        uids = uid_array([(0, 1), (0, 2), (0, 3)])
        values = {"x": np.array([1.0, math.nan, -math.inf], dtype=np.float32)}
        for cut, kept in (
            (KEEP_ALL, [True, True, True]),
            (DROP_ALL, [False, False, False]),
            (Cut(-1e30), [True, False, False]),
            (Cut(-math.inf, (0, 3)), [True, False, True]),
        ):
            assert decide(Test("t", "x", "at_least", cut), values, uids).kept.tolist() == kept
        most = decide(Test("t", "x", "at_most", Cut(5.0)), values, uids)
        assert most.kept.tolist() == [True, False, True]

    @given(hnp.arrays(np.float64, st.integers(0, 30), elements=st.floats(allow_nan=False)))
    def test_float64_is_compared_in_float64(self, values):
        bits = ordered_bits(values)
        assert bits.dtype == np.uint64
        assert np.array_equal(bits[:, None] < bits, values[:, None] < values)
        assert [value_of_bits(bit, np.float64) for bit in bits.tolist()] == values.tolist()
        uids = np.zeros(len(values), dtype=UID)
        for value in values.tolist():
            assert below(Cut(value), values, uids).tolist() == (values < value).tolist()

    @given(st.integers(1, 10**6), st.floats(0, 1))
    def test_datacomp_counts_from_the_top(self, n, fraction):
        kept_from = int(n * fraction)  # index into the descending order, as its code has it
        assert datacomp_rank(n, fraction) == n - 1 - kept_from

    def test_datacomp_refuses_what_is_no_fraction(self):
        for n, fraction in ((1, 1.5), (-1, 0.5), (1, math.nan)):
            with pytest.raises(NumericsError, match="expected a fraction"):
                datacomp_rank(n, fraction)


class TestRankOf:
    @pytest.mark.parametrize(
        ("n", "fraction", "drop", "keep"),
        [
            (1900, 0.05, 95, 1805),
            (100, 0.29, 29, 71),
            (100, 0.57, 57, 43),
            (10, 0.3, 3, 7),
            (3, 0.5, 1, 2),
            (0, 0.5, 0, 0),
            (7, 0, 0, 7),
            (7, 1, 7, 0),
            (7, 1.0, 7, 0),
            (10**10, 1e-05, 100_000, 10**10 - 100_000),
        ],
    )
    def test_is_exact_in_decimals(self, n, fraction, drop, keep):
        assert rank_of(n, fraction, "drop_lowest") == drop
        assert rank_of(n, fraction, "keep_highest") == keep

    @given(st.integers(0, 10**12), st.integers(0, 10**6))
    def test_equals_integer_arithmetic(self, n, millionths):
        assert rank_of(n, millionths / 10**6, "drop_lowest") == n * millionths // 10**6

    @pytest.mark.parametrize("fraction", [-0.1, 1.1, math.nan, math.inf])
    def test_refuses_what_is_no_fraction(self, fraction):
        with pytest.raises(NumericsError, match="expected a fraction"):
            rank_of(10, fraction, "drop_lowest")

    def test_refuses_other_rules(self):
        with pytest.raises(NumericsError, match="rule is 'drop'"):
            rank_of(10, 0.1, "drop")
        with pytest.raises(NumericsError, match="-1"):
            rank_of(-1, 0.1, "drop_lowest")


class TestQuantileCut:
    @given(
        st.lists(FLOATS.filter(math.isfinite), min_size=1, max_size=50),
        st.integers(0, 100),
        st.sampled_from(["drop_lowest", "keep_highest"]),
    )
    def test_drops_the_rank_less_ties(self, values, percent, rule):
        cut = quantile_cut(values, percent / 100, rule)
        rank = rank_of(len(values), percent / 100, rule)
        ordered = sorted(np.float32(values).tolist())
        expected = [-math.inf, *ordered[1:], math.inf]
        assert cut == Cut(expected[rank])
        dropped = below(cut, values, np.zeros(len(values), dtype=UID)).sum()
        assert dropped == sum(v < cut.value for v in ordered) <= rank

    def test_ends(self):
        assert quantile_cut([1.0, 2.0], 0.0, "drop_lowest") == KEEP_ALL
        assert quantile_cut([1.0, 2.0], 1.0, "drop_lowest") == DROP_ALL
        assert quantile_cut([1.0, 2.0], 1.0, "keep_highest") == KEEP_ALL
        assert quantile_cut([1.0, 2.0], 0.0, "keep_highest") == DROP_ALL

    def test_refuses_bad_samples(self):
        with pytest.raises(NumericsError, match="empty"):
            quantile_cut([], 0.5, "drop_lowest")
        with pytest.raises(NumericsError, match="sample values holds NaN"):
            quantile_cut([math.nan], 0.5, "drop_lowest")


LEAVES = st.builds(
    Test,
    name=st.sampled_from(["p", "q", "r"]),
    column=st.sampled_from(["a", "b"]),
    keep=st.sampled_from(["at_least", "at_most"]),
    cut=st.builds(Cut, FEW_FLOATS, st.tuples(FEW_WORDS, FEW_WORDS)),
)
NODES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(AllOf, st.lists(inner, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(inner, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


def reason_of(node, row, uid):
    """Why one row is dropped, or None: the rules read aloud."""
    if isinstance(node, Test):
        value, threshold = np.float32(row[node.column]), np.float32(node.cut.value)
        if node.keep == "at_least":
            good = (float(value), uid) >= (float(threshold), node.cut.uid)
        else:
            good = value <= threshold
        return None if good else node.name
    reasons = [reason_of(child, row, uid) for child in node.tests]
    if isinstance(node, AllOf):
        return next((reason for reason in reasons if reason is not None), None)
    return None if None in reasons else " and ".join(reasons)


class TestDecide:
    @given(node=NODES, data=st.data())
    def test_equals_the_rules_read_aloud(self, node, data):
        pair = st.tuples(FEW_FLOATS, FEW_FLOATS)
        table = data.draw(rows(pair, FEW_WORDS, min_size=0, max_size=12))
        columns = {
            name: np.array([values[i] for values, _ in table], dtype=np.float32)
            for i, name in enumerate("ab")
        }
        uids = uid_array([uid for _, uid in table])
        decision = decide(node, columns, uids)
        expected = [
            reason_of(node, {"a": values[0], "b": values[1]}, uid) or "kept"
            for values, uid in table
        ]
        assert decision.labels() == expected
        assert decision.kept.tolist() == [reason == "kept" for reason in expected]
        assert decision.code.dtype == np.int16
        assert decision.reasons == reasons_of(node)
        assert decision.counts() == {r: expected.count(r) for r in decision.reasons}
        # Row by row gives the same: a decision knows nothing of the other rows.
        single = [
            decide(node, {n: c[i : i + 1] for n, c in columns.items()}, uids[i : i + 1]).labels()
            for i in range(len(table))
        ]
        assert list(itertools.chain.from_iterable(single)) == expected

    def test_reasons_are_a_function_of_the_rules(self):
        a, b, c = (Test(name, name, "at_least", Cut(0.0)) for name in "abc")
        assert reasons_of(AllOf()) == ("kept",)
        assert reasons_of(AllOf((a, b))) == ("kept", "a", "b")
        assert reasons_of(AllOf((a, a))) == ("kept", "a")
        assert reasons_of(AllOf((c, AnyOf((a, b))))) == ("kept", "c", "a and b")
        assert reasons_of(AnyOf((AllOf((a, b)), c))) == ("kept", "a and c", "b and c")
        assert reasons_of(AnyOf((AllOf(), a))) == ("kept",)

    def test_first_failing_test_is_the_reason(self):
        rules = AllOf(
            (Test("low", "x", "at_least", Cut(1.0)), Test("wide", "w", "at_most", Cut(10.0)))
        )
        columns = {"x": [0.0, 0.0, 1.0, 2.0], "w": np.array([5, 50, 11, 10], dtype=np.int32)}
        decision = decide(rules, columns, np.zeros(4, dtype=UID))
        assert decision.labels() == ["low", "low", "wide", "kept"]
        assert decision.counts() == {"kept": 1, "low": 2, "wide": 1}

    def test_any_names_the_failure_of_every_branch(self):
        """All mixtures of how two branches of two tests each can fail."""
        w, x, y, z = (Test(name, name, "at_least", Cut(1.0)) for name in "wxyz")
        rules = AnyOf((AllOf((w, x)), AllOf((y, z))))
        bits = np.array(list(itertools.product([0, 1], repeat=4)))
        decision = decide(rules, dict(zip("wxyz", bits.T, strict=True)), np.zeros(16, dtype=UID))
        for (a, b, c, d), label in zip(bits.tolist(), decision.labels(), strict=True):
            if (a and b) or (c and d):
                assert label == "kept"
            else:
                assert label == f"{'x' if a else 'w'} and {'z' if c else 'y'}"

    def test_pool_fraction_drops_exactly_its_share_among_ties(self):
        rng = np.random.default_rng(0)
        values = rng.integers(0, 3, 1900).astype(np.float32)
        uids = uid_array(zip(rng.integers(0, 2**63, 1900), range(1900), strict=True))
        rank = rank_of(1900, 0.05, "drop_lowest")
        order = np.lexsort((uids["f1"], uids["f0"], values))
        at = order[rank]
        cut = Cut(float(values[at]), (int(uids["f0"][at]), int(uids["f1"][at])))
        decision = decide(Test("t", "x", "at_least", cut), {"x": values}, uids)
        assert decision.counts() == {"kept": 1805, "t": 95}

    def test_refuses_bad_columns(self):
        node = Test("t", "x", "at_least", Cut(0.0))
        uids = np.zeros(2, dtype=UID)
        with pytest.raises(NumericsError, match="no column 'x'; there are \\['y'\\]"):
            decide(node, {"y": [0.0, 1.0]}, uids)
        with pytest.raises(NumericsError, match="'x' has 3 rows and there are 2 uids"):
            decide(node, {"x": [0.0, 1.0, 2.0]}, uids)
        with pytest.raises(NumericsError, match="column 'x' is <U1"):
            decide(node, {"x": ["a", "b"]}, uids)

    def test_refuses_bad_rules(self):
        with pytest.raises(NumericsError, match="at least one"):
            AnyOf(())
        for name in ("", "kept"):
            with pytest.raises(NumericsError, match="other than `kept`"):
                Test(name, "x", "at_least", Cut(0.0))
        with pytest.raises(NumericsError, match="keep is 'above'"):
            Test("t", "x", "above", Cut(0.0))
        branch = AllOf(tuple(Test(f"t{i}", "x", "at_least", Cut(0.0)) for i in range(40)))
        with pytest.raises(NumericsError, match="simplify the rules"):
            reasons_of(AnyOf((branch,) * 20))
