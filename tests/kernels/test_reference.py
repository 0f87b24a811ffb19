"""Every backward of the reference against central differences of its forward, in float64."""

import numpy as np
import pytest

from gdengine.kernels.attention import reference as attention
from gdengine.kernels.conv2d import Geometry
from gdengine.kernels.conv2d import reference as conv2d
from gdengine.kernels.cross_entropy import reference as cross_entropy
from gdengine.kernels.dropout import reference as dropout
from gdengine.kernels.embedding import reference as embedding
from gdengine.kernels.gelu import reference as gelu
from gdengine.kernels.layer_norm import reference as layer_norm
from gdengine.kernels.linear import reference as linear
from gdengine.kernels.linear_cross_entropy import reference as linear_cross_entropy
from gdengine.kernels.rms_norm import reference as rms_norm
from gdengine.kernels.rotary import reference as rotary
from gdengine.kernels.silu import reference as silu
from gdengine.kernels.swiglu import reference as swiglu
from tests.helpers import apart, normal

STEP = 1e-5


def assert_gradient(gradient, fn, x, upstream):
    """``gradient`` is that of Σ upstream ⊙ fn(), which reads x, with respect to x.

    A central difference is off by STEP²/6 times a third derivative, and by the rounding of the sum, 2⁻⁵³ of its size,
    over STEP: both about 2e-11 where values and derivatives are about 1. 1e-8 leaves room for some that are 100.
    """
    assert gradient.shape == x.shape
    expected = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        kept = x[index]
        x[index] = kept + STEP
        above = (upstream * fn()).sum()
        x[index] = kept - STEP
        expected[index] = ((upstream * fn()).sum() - above) / (-2 * STEP)
        x[index] = kept
    assert np.abs(gradient - expected).max(initial=0) < 1e-8


@pytest.mark.parametrize(("activation", "residual"), [(None, False), (None, True), ("relu", False), ("gelu", False)])
def test_linear(activation, residual):
    x, w, b, dy = apart(3, 4), apart(5, 4, seed=1), normal(5), normal(3, 5, seed=2)
    r = normal(3, 5, seed=3) if residual else None
    _, saved = linear.forward(x, w, b, activation=activation, residual=r)
    dz = dy if activation is None else linear.backward_activation(dy, saved, activation)

    def fn():
        return linear.forward(x, w, b, activation=activation, residual=r)[0]

    assert_gradient(linear.backward_input(dz, w), fn, x, dy)
    assert_gradient(linear.backward_weight(dz, x), fn, w, dy)
    assert_gradient(linear.backward_bias(dz), fn, b, dy)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_linear_back_through_an_activation_and_with_the_bias(activation):
    u, w, b, dy = apart(3, 4), apart(5, 4, seed=1), normal(5), normal(3, 5, seed=2)
    identity = np.eye(4)

    def fn():
        return linear.forward(linear.forward(u, identity, activation=activation)[0], w, b)[0]

    h, saved = linear.forward(u, identity, activation=activation)
    assert_gradient(linear.backward_input(dy, w, activation=activation, saved=saved), fn, u, dy)
    db = normal(5, seed=3)
    expected = db + linear.backward_bias(dy)
    dw = linear.backward_weight(dy, h, db=db, accumulate_db=True)
    assert_gradient(dw, fn, w, dy)
    assert np.array_equal(db, expected)


def test_gelu():
    x, dy = 2 * normal(4, 5), normal(4, 5, seed=1)
    assert_gradient(gelu.backward(dy, x), lambda: gelu.forward(x), x, dy)


def test_silu():
    x, dy = 2 * normal(4, 5), normal(4, 5, seed=1)
    assert_gradient(silu.backward(dy, x), lambda: silu.forward(x), x, dy)


def test_swiglu():
    a, b, dy = 2 * normal(4, 5), normal(4, 5, seed=2), normal(4, 5, seed=1)
    for gradient, x in zip(swiglu.backward(dy, a, b), (a, b), strict=True):
        assert_gradient(gradient, lambda: swiglu.forward(a, b), x, dy)


@pytest.mark.parametrize("affine", [False, True])
def test_layer_norm(affine):
    x, dy = normal(3, 6), normal(3, 6, seed=1)
    w, b = (normal(6), normal(6, seed=2)) if affine else (None, None)
    _, mean, rstd = layer_norm.forward(x, w, b)
    dx, dw, db = np.empty((3, 6)), np.empty(6), np.empty(6)
    layer_norm.backward(dy, x, w, mean, rstd, dx=dx, dw=dw, db=db)

    def fn():
        return layer_norm.forward(x, w, b)[0]

    assert_gradient(dx, fn, x, dy)
    if affine:
        assert_gradient(dw, fn, w, dy)
        assert_gradient(db, fn, b, dy)


@pytest.mark.parametrize("affine", [False, True])
def test_rms_norm(affine):
    x, dy, w = normal(3, 6), normal(3, 6, seed=1), normal(6) if affine else None
    _, rstd = rms_norm.forward(x, w)
    dx, dw = np.empty((3, 6)), np.empty(6)
    rms_norm.backward(dy, x, w, rstd, dx=dx, dw=dw)
    assert_gradient(dx, lambda: rms_norm.forward(x, w)[0], x, dy)
    if affine:
        assert_gradient(dw, lambda: rms_norm.forward(x, w)[0], w, dy)


@pytest.mark.parametrize("groups", [1, 2])
def test_conv2d(groups):
    geometry = Geometry((2, 1), (1, 0), (1, 2), groups, (3, 2))
    x, w, b, dy = normal(2, 4, 5, 6), normal(2, 4 // groups, 3, 3, seed=1), normal(2), normal(2, 2, 3, 2, seed=2)
    db = np.empty(2)

    def fn():
        return conv2d.forward(x, w, b, geometry=geometry)

    assert_gradient(conv2d.backward_input(dy, w, x.shape, geometry=geometry), fn, x, dy)
    assert_gradient(conv2d.backward_weight(dy, x, w.shape, geometry=geometry, db=db), fn, w, dy)
    assert_gradient(db, fn, b, dy)


@pytest.mark.parametrize("interleaved", [False, True])
def test_rotary_is_undone_by_its_backward(interleaved):
    x, dy, angle = normal(2, 3, 5), normal(2, 3, 5, seed=1), normal(3, 2)
    tables = np.cos(angle), np.sin(angle)
    dx = rotary.rotate(dy, *tables, interleaved=interleaved, inverse=True)
    assert_gradient(dx, lambda: rotary.rotate(x, *tables, interleaved=interleaved), x, dy)


def test_embedding():
    w, dy, ids = normal(5, 3), normal(2, 4, 3), np.array([[0, 3, 3, 1], [3, 0, 2, 2]])
    dw = embedding.backward(dy, ids, out=np.full((5, 3), np.nan))
    assert_gradient(dw, lambda: embedding.forward(w, ids), w, dy)


def test_cross_entropy():
    z, dlosses, targets = normal(4, 6), normal(4), np.array([5, -100, 0, 2])
    _, lse = cross_entropy.forward(z, targets)
    dz = cross_entropy.backward(dlosses, z, targets, lse)
    assert_gradient(dz, lambda: cross_entropy.forward(z, targets)[0], z, dlosses)
    assert not dz[1].any()


@pytest.mark.parametrize("dropping", [None, (0.4, (1, 2), 3)])
@pytest.mark.parametrize("scale", [None, 0.7])
@pytest.mark.parametrize(("time", "keys", "causal"), [(5, 5, True), (5, 5, False), (2, 5, False)])
def test_attention(time, keys, causal, scale, dropping):
    q, k, v = normal(2, 2, time, 3), normal(2, 2, keys, 3, seed=1), normal(2, 2, keys, 3, seed=2)
    settings = {"causal": causal, "scale": scale, "dropout": dropping}
    o, saved = attention.forward(q, k, v, **settings)
    do = normal(*o.shape, seed=3)
    gradients = attention.backward(do, q, k, v, saved, **settings)
    for gradient, x in zip(gradients, (q, k, v), strict=True):
        assert_gradient(gradient, lambda: attention.forward(q, k, v, **settings)[0], x, do)


def test_dropout_is_its_own_backward():
    x, dy = normal(6, 5), normal(6, 5, seed=1)
    assert_gradient(dropout.forward(dy, 0.3, (1, 2), 3), lambda: dropout.forward(x, 0.3, (1, 2), 3), x, dy)


def test_accumulate_adds_to_what_is_there():
    x, w, dy, before = normal(3, 4), normal(5, 4), normal(3, 5), normal(5, 4, seed=1)
    out = before.copy()
    assert linear.backward_weight(dy, x, out=out, accumulate=True) is out
    assert np.array_equal(out, before + linear.backward_weight(dy, x))
    dx = normal(3, 4, seed=2)
    expected = dx + linear.backward_input(dy, w)
    assert np.array_equal(linear.backward_input(dy, w, out=dx, accumulate=True), expected)


def test_linear_cross_entropy():
    x, w, b, dlosses = normal(5, 3), normal(7, 3, seed=1), normal(7, seed=2), normal(5, seed=3)
    targets = np.array([3, 0, -100, 6, 2])
    dx, dw, db = np.empty_like(x), np.empty_like(w), np.empty_like(b)
    losses = linear_cross_entropy.backward(dlosses, x, w, targets, b, dx=dx, dw=dw, db=db, rows=2)

    def fn():
        return linear_cross_entropy.forward(x, w, targets, b, rows=3)

    assert np.array_equal(losses, fn())
    for gradient, array in ((dx, x), (dw, w), (db, b)):
        assert_gradient(gradient, fn, array, dlosses)
