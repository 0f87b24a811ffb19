"""Random numbers: a function of (seed, rank, call), with the distributions they claim.

The seeds are fixed, so nothing here fails by chance. The bounds are 5 standard deviations of each statistic for n
independent draws: of 10 million other seeds, about 6 would fall outside.
"""

import math

import numpy as np
import pytest

import gdengine as gd
from gdengine.random import Generator, default_generator

N = 200_000


@pytest.fixture(autouse=True)
def _same_state_after():
    before = gd.random.state_dict()
    yield
    gd.random.load_state_dict(before)


def draws(seed=1):
    """One of every kind, from a generator that starts anew."""
    g = Generator(seed)
    return [g.uniform((3, 5)), g.normal((7,)), g.integers(-5, 100, (4, 2)), g.permutation(9)]


# ---- a function of its number


def test_the_first_block_is_the_published_one():
    """Philox 4×32-10 of an all-zero key and counter, from the Random123 distribution's known-answer file."""
    words = np.array([0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8])
    np.testing.assert_array_equal(Generator(0).uniform((4,)), (words >> 8) / 2**24)


def test_the_same_seed_the_same_bits():
    for a, b in zip(draws(), draws(), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(draws(), draws(2), strict=True):
        assert (a != b).any()


def test_every_call_and_every_rank_has_bits_of_its_own():
    a, b = Generator(1, rank=0), Generator(1, rank=1)
    rows = [g.uniform((1000,)) for g in (a, a, b, b)]
    for i, row in enumerate(rows):
        for other in rows[i + 1 :]:
            assert abs(np.corrcoef(row, other)[0, 1]) < 5 / math.sqrt(1000)


def test_a_longer_draw_begins_with_a_shorter_one():
    for kind in (lambda g, n: g.uniform((n,)), lambda g, n: g.integers(0, 10, (n,)), lambda g, n: g.normal((n,))):
        np.testing.assert_array_equal(kind(Generator(1), 1001)[:10], kind(Generator(1), 10))


def test_the_state_goes_on_where_it_was_taken():
    g = Generator(7, rank=3)
    g.uniform((5,))
    state = g.state_dict()
    assert state == {"seed": 7, "rank": 3, "call": 1}
    expected = [g.normal((3,)), g.permutation(5)]
    h = Generator()
    h.load_state_dict(state)
    for value, again in zip(expected, [h.normal((3,)), h.permutation(5)], strict=True):
        np.testing.assert_array_equal(value, again)


def test_the_default_generator():
    assert gd.manual_seed(5) is default_generator
    a = gd.rand(3)
    state = gd.random.state_dict()
    b = gd.randn(3)
    assert gd.random.state_dict()["call"] == state["call"] + 1
    gd.random.load_state_dict(state)
    np.testing.assert_array_equal(gd.randn(3), b)
    gd.manual_seed(5)
    np.testing.assert_array_equal(gd.rand(3), a)
    gd.manual_seed(5, rank=1)
    assert (gd.rand(3) != a).numpy().any()


def test_a_seed_from_the_system_can_be_repeated():
    chosen = gd.random.seed()
    a = gd.rand(4)
    gd.manual_seed(chosen)
    np.testing.assert_array_equal(gd.rand(4), a)


def test_one_draw_in_every_dtype():
    for make in (gd.rand, gd.randn):
        values = []
        for dtype in (np.float32, np.float64):
            gd.manual_seed(3)
            values.append(make(1000, dtype=dtype).numpy())
            assert values[-1].dtype == dtype
        np.testing.assert_array_equal(values[0], values[1].astype(np.float32))


# ---- distributions


def within(value, expected, deviation):
    assert abs(value - expected) < 5 * deviation, f"{value} is {(value - expected) / deviation:.1f} deviations away"


def test_uniform():
    u = Generator(1).uniform((N,))
    assert u.dtype == np.float32
    assert u.min() >= 0
    assert u.max() < 1
    u = u.astype(np.float64)
    within(u.mean(), 0.5, math.sqrt(1 / 12 / N))
    within(((u - 0.5) ** 2).mean(), 1 / 12, math.sqrt(1 / 180 / N))  # variance of (u − ½)²: 1/80 − 1/144
    for count in np.histogram(u, 16, (0, 1))[0]:
        within(count, N / 16, math.sqrt(N * 15 / 256))
    within(np.corrcoef(u[:-1], u[1:])[0, 1], 0, 1 / math.sqrt(N))


def test_every_bit_of_a_uniform_number_is_fair():
    bits = (Generator(1).uniform((N,)) * 2**24).astype(np.int64)
    np.testing.assert_array_equal(bits / 2**24, Generator(1).uniform((N,)))
    for place in range(24):
        within(((bits >> place) & 1).sum(), N / 2, math.sqrt(N / 4))


def test_normal():
    z = Generator(1).normal((N,))
    assert z.dtype == np.float64
    within(z.mean(), 0, 1 / math.sqrt(N))
    within((z**2).mean(), 1, math.sqrt(2 / N))
    within((z**3).mean(), 0, math.sqrt(15 / N))
    within((z**4).mean(), 3, math.sqrt(96 / N))  # E z⁸ − (E z⁴)² = 105 − 9
    for k in (0.5, 1, 2, 3):
        p = math.erfc(k / math.sqrt(2))
        within((np.abs(z) > k).sum(), N * p, math.sqrt(N * p * (1 - p)))
    within(np.corrcoef(z[::2], z[1::2])[0, 1], 0, 1 / math.sqrt(N / 2))  # the two of a Box-Muller pair
    within(np.corrcoef(z[::2] ** 2, z[1::2] ** 2)[0, 1], 0, 1 / math.sqrt(N / 2))


@pytest.mark.parametrize(("low", "high"), [(0, 2), (-3, 4), (5, 6), (0, 10), (0, 1000), (-(2**31), 2**31)])
def test_integers(low, high):
    k = Generator(1).integers(low, high, (N,))
    assert k.dtype == np.int64
    assert k.min() >= low
    assert k.max() < high
    width = high - low
    within(k.mean(), (low + high - 1) / 2, math.sqrt((width**2 - 1) / 12 / N) + 1e-12)
    if width <= 10:
        for value in range(low, high):
            within((k == value).sum(), N / width, math.sqrt(N * (width - 1)) / width + 1e-12)


def test_integers_take_numpys_numbers():
    np.testing.assert_array_equal(gd.randint(0, np.int64(9), (50,)) < 9, True)
    assert gd.randint(np.int32(3), np.uint8(4), 2).tolist() == [3, 3]


@pytest.mark.parametrize("n", [0, 1, 2, 1000])
def test_a_permutation_has_every_number_once(n):
    order = Generator(1).permutation(n)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


def test_every_permutation_is_equally_likely():
    g, tries = Generator(1), 2400
    counts = {}
    for _ in range(tries):
        order = tuple(g.permutation(4).tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 24
    for count in counts.values():
        within(count, tries / 24, math.sqrt(tries * 23) / 24)


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1,), (2, 3), (7, 1)])
def test_shapes(shape):
    g = Generator(1)
    assert g.uniform(shape).shape == g.normal(shape).shape == g.integers(0, 5, shape).shape == shape
    assert gd.rand(*shape).shape == gd.randn(shape).shape == gd.randint(0, 5, shape).shape == shape


# ---- what is refused


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "1", None, math.inf, math.nan])
def test_a_seed_that_is_none_is_refused_and_changes_nothing(seed):
    before = gd.random.state_dict()
    with pytest.raises(ValueError, match="seed must be a whole number"):
        gd.manual_seed(seed)
    with pytest.raises(ValueError, match="rank must be a whole number"):
        gd.manual_seed(0, rank=seed)
    assert gd.random.state_dict() == before


@pytest.mark.parametrize("seed", [0, 2**32 - 1, np.int64(3), np.uint32(3), 4.0])
def test_whole_numbers_of_any_type_are_seeds(seed):
    assert gd.manual_seed(seed).state_dict()["seed"] == int(seed)


def test_a_state_that_lacks_something_is_refused_and_changes_nothing():
    before = gd.random.state_dict()
    for state in ({}, {"seed": 1, "call": 0}, {"seed": -1, "rank": 0, "call": 0}):
        with pytest.raises((KeyError, ValueError)):
            gd.random.load_state_dict(state)
    assert gd.random.state_dict() == before


def test_an_empty_range_and_negative_sizes_are_refused():
    with pytest.raises(ValueError, match=r"low < high.*low=3, high=3"):
        gd.randint(3, 3, (2,))
    with pytest.raises(ValueError, match="from 0 up, got -1"):
        gd.randperm(-1)
    for make in (gd.rand, gd.randn, gd.zeros):
        with pytest.raises(ValueError, match=r"0 or more, got \(2, -3\)"):
            make(2, -3)
