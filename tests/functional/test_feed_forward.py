"""The MLP as one node: beside two calls of `linear`, at relu's kink, in bfloat16; and what it refuses."""

import numpy as np
import pytest

import gdengine as gd
from gdengine import functional as F
from gdengine.precision import bfloat16
from gdengine.tensor import Parameter
from tests.helpers import assert_close, normal

SHAPES = ((5, 7, 12), (20, 12), (20,), (9, 20), (9,))  # x, w1, b1, w2, b2


def leaves(kind=gd.tensor):
    return [kind(normal(*shape, seed=i, dtype=np.float32), requires_grad=True) for i, shape in enumerate(SHAPES)]


def two_calls(x, w1, b1, w2, b2, activation):
    return F.linear(F.linear(x, w1, b1, activation=activation), w2, b2)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_agrees_with_two_calls_of_linear(activation):
    """The same products in the same order; only act' is multiplied elsewhere: 35 rows and 20 hidden values, twice."""
    dy = normal(5, 7, 9, seed=7, dtype=np.float32)
    ours, theirs = leaves(), leaves()
    y, z = F.feed_forward(*ours, activation=activation), two_calls(*theirs, activation)
    np.testing.assert_array_equal(y.numpy(), z.numpy())
    y.backward(dy)
    z.backward(dy)
    for x, t in zip(ours, theirs, strict=True):
        assert_close(x.grad.numpy(), t.grad.numpy(), 2 * (35 + 20))


def test_relus_slope_is_1_above_0_and_0_elsewhere():
    """Whole numbers: nothing is rounded, and some hidden values are exactly 0."""
    rng = np.random.default_rng(0)
    x, w1, b1, w2, b2 = (rng.integers(-3, 4, shape).astype(np.float32) for shape in SHAPES)
    u = x @ w1.T + b1
    assert (u == 0).any()
    dy = rng.integers(-3, 4, (5, 7, 9)).astype(np.float32)
    du = (dy @ w2) * (u > 0)
    tensors = [gd.tensor(a, requires_grad=True) for a in (x, w1, b1, w2, b2)]
    F.feed_forward(*tensors, activation="relu").backward(dy)
    flat = (-1, dy.shape[-1])
    expected = (
        *(du @ w1, du.reshape(-1, 20).T @ x.reshape(-1, 12), du.sum((0, 1))),
        *(dy.reshape(flat).T @ np.maximum(u, 0).reshape(-1, 20), dy.sum((0, 1))),
    )
    for tensor, gradient in zip(tensors, expected, strict=True):
        np.testing.assert_array_equal(tensor.grad.numpy(), gradient)


def test_gradients_are_added_to_fresh_ones():
    tensors, dy = leaves(), normal(5, 7, 9, seed=7, dtype=np.float32)
    F.feed_forward(*tensors).backward(dy)
    first = [t.grad.numpy().copy() for t in tensors]
    F.feed_forward(*tensors).backward(dy)
    for t, once in zip(tensors, first, strict=True):
        assert_close(t.grad.numpy(), 2 * once, 2 * (35 + 20))


@pytest.mark.parametrize("kind", [gd.tensor, Parameter])
@pytest.mark.parametrize("function", [F.feed_forward, lambda *tensors: two_calls(*tensors, "gelu")])
def test_in_bfloat16_gradients_are_float32_sums(function, kind):
    """Against float64 on the operands as they were rounded: U, H, dU and dX are rounded again, each to 2⁻⁸ of itself at
    most. Four such roundings of numbers that a sum adds up: 4·2⁻⁸ of the sum of their sizes, which for these shapes is
    less than 8 times the largest result. (dW without float32 sums would be off by 35·2⁻⁸.)"""
    narrow = [kind(t.numpy(), requires_grad=True) for t in leaves()]
    with gd.autocast("bf16"):
        y = function(*narrow)
    assert y.dtype == bfloat16
    dy = normal(5, 7, 9, seed=7).astype(bfloat16)
    y.backward(dy)
    exact = [gd.tensor(t.numpy().astype(bfloat16).astype(np.float64), requires_grad=True) for t in narrow]
    z = F.feed_forward(*exact)
    z.backward(dy.astype(np.float64))
    limit = 4 * 2.0**-8 * 8
    assert np.abs(y.numpy().astype(np.float64) - z.numpy()).max() <= limit * np.abs(z.numpy()).max()
    for t, e in zip(narrow, exact, strict=True):
        assert t.grad.dtype == np.float32
        assert np.abs(t.grad.numpy() - e.grad.numpy()).max() <= limit * np.abs(e.grad.numpy()).max()


def test_only_what_is_asked_for():
    x, w1, b1, w2, b2 = leaves()
    y = F.feed_forward(x, w1, b1, w2, b2).sum()
    whole = gd.grad(y, [x, w1, b1, w2, b2], retain_graph=True)
    for i, one in enumerate((x, w1, b1, w2, b2)):
        (alone,) = gd.grad(y, [one], retain_graph=True)
        np.testing.assert_array_equal(np.asarray(alone), np.asarray(whole[i]))


WRONG = {
    "x": ((5, 7, 11), SHAPES[1], SHAPES[2], SHAPES[3], SHAPES[4], "the last axis of x must be 12"),
    "w1": (SHAPES[0], (12,), SHAPES[2], SHAPES[3], SHAPES[4], r"a w1 of shape \(out, in\)"),
    "b1": (SHAPES[0], SHAPES[1], (19,), SHAPES[3], SHAPES[4], r"a b1 of shape \(20,\)"),
    "w2": (SHAPES[0], SHAPES[1], SHAPES[2], (9, 21), SHAPES[4], "the last axis of hidden values must be 21"),
    "b2": (SHAPES[0], SHAPES[1], SHAPES[2], SHAPES[3], (1,), r"a b2 of shape \(9,\)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_refuses_what_does_not_fit(name):
    *shapes, said = WRONG[name]
    with pytest.raises(ValueError, match=f"^feed_forward .*{said}"):
        F.feed_forward(*(normal(*shape) for shape in shapes))


@pytest.mark.parametrize("activation", [None, "swish"])
def test_refuses_an_unknown_activation(activation):
    with pytest.raises(ValueError, match=r"feed_forward knows the activations \('relu', 'gelu'\)"):
        F.feed_forward(*leaves(), activation=activation)


def test_refuses_mixed_dtypes():
    x, *rest = leaves()
    with pytest.raises(TypeError, match=r"x float64, w1 float32.*x\.to\('float32'\)"):
        F.feed_forward(x.detach().to(np.float64), *rest)
