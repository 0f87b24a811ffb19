"""Medians, ratios, and whether contenders agree."""

import math

import pytest

from benchmarks.agreement import of_losses, of_samples
from benchmarks.statistics import Spread, ratio, spread


def test_spread_is_median_and_quartiles():
    assert spread([4.0, 1.0, 2.0, 3.0, 5.0]) == Spread(3.0, 2.0, 4.0)


def test_spread_of_nothing_is_refused():
    with pytest.raises(ValueError, match="nothing was measured"):
        spread([])


def test_a_ratio_is_taken_within_a_round():
    drifting = [1.0, 2.0, 4.0]  # the machine slows down, for both
    assert ratio([2 * t for t in drifting], drifting) == Spread(2.0, 2.0, 2.0)


def test_losses_agree_within_the_bound():
    found = of_losses([4.0, 3.0, 2.0], [4.0, 3.00005, 9.0], steps=2, bound=1e-4, against="peer")
    assert not found.void
    assert found.compared == 2
    assert str(found).startswith("agrees with peer by 5.0e-05")


@pytest.mark.parametrize(
    ("own", "others"),
    [([4.0, 3.01], [4.0, 3.0]), ([4.0, math.nan], [4.0, 3.0]), ([], [4.0, 3.0])],
    ids=["apart", "nan", "nothing"],
)
def test_losses_that_differ_are_void(own, others):
    assert of_losses(own, others, steps=8, bound=1e-4, against="peer").void


def test_samples_are_compared_in_root_mean_squares():
    big = [1000.0, -1000.0, 1000.0]
    found = of_samples([[1000.5, -1000.0, 1000.0]], [big], bound=1e-3, against="peer")
    assert found.worst == pytest.approx(5e-4)
    assert not found.void


@pytest.mark.parametrize("own", [[[1.0, 2.0], [3.0]], [[1.0]], [[1.0, math.nan]], []], ids=str)
def test_samples_of_another_shape_or_nan_are_void(own):
    assert of_samples(own, [[1.0, 2.0]], bound=1.0, against="peer").void
