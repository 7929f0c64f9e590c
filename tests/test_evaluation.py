"""What a cut catches, counted by hand."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import NumericsError
from curate.evaluation import Catch, catch_lowest


def test_a_small_case_by_hand() -> None:
    values = np.array([0.1, 0.2, 0.3, 0.4, np.nan, np.nan])
    noise = np.array([True, False, False, True, True, False])
    found = catch_lowest(values, noise, 0.5)
    assert found == Catch(noise=3, rejected=1, lowest=1, clean_lost=0.5)
    assert found.recall == pytest.approx(2 / 3)


rows = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0, 2.0, 3.0, math.nan]), st.booleans()), min_size=1
).filter(lambda rows: any(noise for _, noise in rows))


@given(rows, st.sampled_from([0, 0.05, 0.1, 0.29, 0.5, 1]))
def test_counts_are_those_of_a_plain_loop(rows: list[tuple[float, bool]], fraction: float) -> None:
    values = np.array([value for value, _ in rows])
    noise = np.array([label for _, label in rows])
    scored = sorted(((value, at) for at, value in enumerate(values) if not math.isnan(value)))
    dropped = {at for _, at in scored[: math.floor(Fraction(str(fraction)) * len(scored))]}
    found = catch_lowest(values, noise, fraction)
    assert found.noise == sum(noise)
    assert found.rejected == sum(noise[i] for i in range(len(rows)) if math.isnan(values[i]))
    assert found.lowest == sum(bool(noise[i]) for i in dropped)
    clean = [at for _, at in scored if not noise[at]]
    lost = sum(at in dropped for at in clean)
    assert found.clean_lost == pytest.approx(lost / len(clean) if clean else 0)
    assert 0 <= found.recall <= 1
    if fraction == 1:
        assert found.recall == 1


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(NumericsError, match="no sample is labelled"):
        catch_lowest(np.zeros(3), np.zeros(3, bool), 0.1)
    with pytest.raises(NumericsError, match=r"\(3,\).*\(2,\)"):
        catch_lowest(np.zeros(3), np.ones(2, bool), 0.1)
    with pytest.raises(NumericsError):
        catch_lowest(np.zeros((2, 2)), np.ones((2, 2), bool), 0.1)
    with pytest.raises(NumericsError, match="fraction"):
        catch_lowest(np.zeros(3), np.ones(3, bool), 1.5)
