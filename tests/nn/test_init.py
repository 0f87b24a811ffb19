"""Initialisers: their statistics, that they repeat, and what they refuse.

Statistical bounds: of n independent draws the mean is off by σ/√n and the standard deviation by σ/√(2n); five times
that happens less than once in a million seeds, and the seed is fixed.
"""

import math

import numpy as np
import pytest

import gdengine as gd
from gdengine import nn
from gdengine.nn import init

SHAPE = (200, 150)
N = 200 * 150


def fresh(shape=SHAPE, dtype=np.float32):
    gd.manual_seed(1)
    return nn.Parameter(np.full(shape, np.nan, dtype))


def assert_normal(x, mean, std):
    x = x.numpy().astype(np.float64)
    assert abs(x.mean() - mean) < 5 * std / math.sqrt(x.size)
    assert abs(x.std() - std) < 5 * std / math.sqrt(2 * x.size)
    # the fourth moment tells a normal (3) from a uniform (1.8); its own spread is √(96/n)
    kurtosis = ((x - x.mean()) ** 4).mean() / x.var() ** 2
    assert abs(kurtosis - 3) < 5 * math.sqrt(96 / x.size)


def assert_uniform(x, low, high):
    x = x.numpy().astype(np.float64)
    assert low <= x.min() < low + 10 * (high - low) / x.size
    assert high - 10 * (high - low) / x.size < x.max() <= high
    std = (high - low) / math.sqrt(12)
    assert abs(x.mean() - (low + high) / 2) < 5 * std / math.sqrt(x.size)
    assert abs(x.std() - std) < 5 * std / math.sqrt(x.size)


def test_constants():
    x = fresh()
    assert init.zeros_(x) is x
    assert not x.numpy().any()
    assert (init.ones_(x).numpy() == 1).all()
    assert (init.constant_(x, 0.25).numpy() == 0.25).all()


def test_distributions():
    assert_normal(init.normal_(fresh()), 0, 1)
    assert_normal(init.normal_(fresh(), mean=3, std=0.02), 3, 0.02)
    assert_uniform(init.uniform_(fresh()), 0, 1)
    assert_uniform(init.uniform_(fresh(), -2, 5), -2, 5)


def test_variances_by_fan():
    """fan_in 150, fan_out 200."""
    assert_uniform(init.kaiming_uniform_(fresh()), -math.sqrt(6 / 150), math.sqrt(6 / 150))
    assert_uniform(init.kaiming_uniform_(fresh(), a=math.sqrt(5)), -1 / math.sqrt(150), 1 / math.sqrt(150))
    assert_normal(init.kaiming_normal_(fresh()), 0, math.sqrt(2 / 150))
    assert_normal(init.kaiming_normal_(fresh(), a=1.0), 0, math.sqrt(1 / 150))
    assert_uniform(init.xavier_uniform_(fresh()), -math.sqrt(6 / 350), math.sqrt(6 / 350))
    assert_uniform(init.xavier_uniform_(fresh(), gain=2), -2 * math.sqrt(6 / 350), 2 * math.sqrt(6 / 350))
    assert_normal(init.xavier_normal_(fresh()), 0, math.sqrt(2 / 350))


def test_fans_of_more_axes():
    x = nn.Parameter(np.zeros((8, 4, 3, 5), np.float32))
    assert (init.fan_in(x), init.fan_out(x)) == (60, 120)


def test_bounds_are_pytorchs():
    """The extremes of our draws lie within 1 % of PyTorch's own, for every initialiser that both have."""
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    torch.manual_seed(0)
    for name in ("kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "xavier_normal_"):
        ours = getattr(init, name)(fresh()).numpy()
        theirs = getattr(torch.nn.init, name)(torch.empty(*SHAPE)).numpy()
        if "uniform" in name:
            assert np.abs(ours).max() == pytest.approx(np.abs(theirs).max(), rel=0.01)
        assert ours.std() == pytest.approx(theirs.std(), rel=2 * 5 / math.sqrt(2 * N))


@pytest.mark.parametrize("name", ["normal_", "uniform_", "kaiming_uniform_", "xavier_normal_"])
def test_the_same_seed_gives_the_same_bits(name):
    draw = getattr(init, name)
    first, again = draw(fresh()), draw(fresh())
    assert first.numpy().tobytes() == again.numpy().tobytes()
    second = draw(again)  # the next random call
    assert (first.numpy() != second.numpy()).mean() > 0.99


@pytest.mark.parametrize("name", ["normal_", "uniform_", "kaiming_normal_"])
def test_every_dtype_starts_from_the_same_values(name):
    draw = getattr(init, name)
    wide = draw(fresh(dtype=np.float64)).numpy()
    np.testing.assert_array_equal(draw(fresh()).numpy(), wide.astype(np.float32))


def test_models_of_one_seed_are_equal_in_any_dtype():
    gd.manual_seed(3)
    single = nn.Linear(20, 30)
    gd.manual_seed(3)
    double = nn.Linear(20, 30, dtype=np.float64)
    for p, q in zip(single.parameters(), double.parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy().astype(np.float32))


def test_an_initialiser_is_not_recorded_and_is_noticed():
    x = fresh()
    y = x * x
    init.zeros_(x)
    assert x.is_leaf
    assert x.requires_grad
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()


@pytest.mark.parametrize("name", ["kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "xavier_normal_"])
@pytest.mark.parametrize("shape", [(), (3,)])
def test_a_vector_has_no_fans(name, shape):
    x = fresh(shape)
    with pytest.raises(ValueError, match=r"fans are defined for weights \(out, in, ...\), not for shape"):
        getattr(init, name)(x)
    assert np.isnan(x.numpy()).all()


def test_spreads_that_make_no_sense():
    x = fresh()
    with pytest.raises(ValueError, match="a standard deviation is at least 0, got std=-1"):
        init.normal_(x, std=-1)
    with pytest.raises(ValueError, match="from low up to high, got low=1, high=0"):
        init.uniform_(x, 1, 0)
    assert np.isnan(x.numpy()).all()


def test_gains_and_fans_are_pytorchs():
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
    assert init.calculate_gain("leaky_relu", 0.3) == pytest.approx(torch.nn.init.calculate_gain("leaky_relu", 0.3))
    assert_uniform(init.kaiming_uniform_(fresh(), mode="fan_out"), -math.sqrt(6 / 200), math.sqrt(6 / 200))
    assert_normal(init.kaiming_normal_(fresh(), mode="fan_out", nonlinearity="tanh"), 0, 5 / 3 / math.sqrt(200))
    with pytest.raises(ValueError, match="gains are known for"):
        init.calculate_gain("swish")
    with pytest.raises(ValueError, match="'fan_in' or 'fan_out'"):
        init.kaiming_normal_(fresh(), mode="fan_avg")


@pytest.mark.parametrize("shape", [(5, 12), (12, 5), (6, 2, 3)])
def test_orthogonal(shape):
    """QR leaves columns orthonormal to a few dozen roundings of float64, of which float32 keeps its own."""
    q = init.orthogonal_(fresh(shape, np.float64), gain=2).numpy().reshape(shape[0], -1) / 2
    gram = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-14)
    with pytest.raises(ValueError, match="fans are defined"):
        init.orthogonal_(fresh((3,)))


@pytest.mark.parametrize(("mean", "std", "a", "b"), [(0, 1, -2, 2), (1, 0.5, 0.9, 1.1), (0, 1, 2, 5)])
def test_truncated_normal(mean, std, a, b):
    """The share below the middle of [a, b] is the distribution's, within five of its spreads; so is the mean."""
    x = init.trunc_normal_(fresh(), mean, std, a, b).numpy().astype(np.float64)
    assert a <= x.min()
    assert x.max() <= b
    phi = [0.5 * (1 + math.erf((at - mean) / std / math.sqrt(2))) for at in (a, (a + b) / 2, b)]
    share = (phi[1] - phi[0]) / (phi[2] - phi[0])
    assert abs((x < (a + b) / 2).mean() - share) < 5 * math.sqrt(share * (1 - share) / N)
    low, high = (math.exp(-(((at - mean) / std) ** 2) / 2) / math.sqrt(2 * math.pi) for at in (a, b))
    expected = mean + std * (low - high) / (phi[2] - phi[0])
    assert abs(x.mean() - expected) < 5 * x.std() / math.sqrt(N)
    with pytest.raises(ValueError, match="std > 0"):
        init.trunc_normal_(fresh(), std=0)
