"""Sums, means, extremes: NumPy's values, shapes and names of axes."""

import numpy as np
import pytest

import gdengine as gd
from gdengine import functional as F
from tests.helpers import leaf, normal

X = normal(2, 3, 4)


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min"])
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (-1, 0), (), [1]])
@pytest.mark.parametrize("keep", [False, True])
def test_same_as_numpy_under_either_name(name, axis, keep):
    at = tuple(axis) if isinstance(axis, list) else axis
    expected = getattr(np, name)(X, axis=at, keepdims=keep)
    x = gd.tensor(X)
    for got in (
        getattr(F, name)(x, axis, keep),
        getattr(F, name)(x, axis=axis, keepdims=keep),
        getattr(x, name)(dim=axis, keepdim=keep),
        getattr(x, name)(axis=axis, keepdims=keep),
    ):
        assert got.shape == np.shape(expected)
        # mean divides a sum, NumPy's order of addition is kept: equal bits
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "argmax"])
def test_numpys_own_functions_answer_with_tensors(name):
    x = gd.tensor(X, requires_grad=name != "argmax")
    for got, expected in (
        (getattr(np, name)(x), getattr(np, name)(X)),
        (getattr(np, name)(x, axis=1), getattr(np, name)(X, axis=1)),
    ):
        assert isinstance(got, gd.Tensor)
        assert got.requires_grad == x.requires_grad
        np.testing.assert_array_equal(got, expected)


def test_an_axis_may_be_a_numpy_integer():
    assert gd.tensor(X).sum(np.int64(1)).shape == (2, 4)


def test_dtypes():
    assert gd.tensor([True, False, True]).sum().item() == 2
    assert gd.tensor([1, 2]).sum().dtype == np.int64
    assert gd.tensor([1, 2]).mean().dtype == np.float32
    assert gd.ones(3, dtype=np.float16).sum().dtype == np.float16
    assert gd.tensor([1, 2]).max().dtype == np.int64


@pytest.mark.parametrize("shape", [(2, 0, 3), (0,)])
def test_the_sum_of_nothing_is_zero_and_has_a_gradient(shape):
    x = leaf(*shape)
    y = x.sum()
    assert y.item() == 0
    y.backward()
    assert x.grad.shape == shape


def test_argmax_takes_the_first_of_equals():
    x = gd.tensor([[1, 5, 5], [7, 7, 0]])
    assert x.argmax().item() == 3
    assert x.argmax(1).tolist() == [1, 0]
    assert x.argmax(axis=0).tolist() == [1, 1, 0]
    assert F.argmax(x, -1, keepdim=True).shape == (2, 1)
    assert np.argmax(x, axis=1, keepdims=True).tolist() == [[1], [0]]
    assert x.argmax(1).dtype == np.int64


def test_the_gradient_of_a_sum_is_not_stored_expanded():
    x = leaf(3)
    (y,) = gd.grad(x.sum(), x)
    y += 1  # an array of its own, and no broadcast view
    assert y.tolist() == [2, 2, 2]


def test_argmax_knows_no_axis_that_is_not_there():
    for find in (F.argmax, F.argmin):
        with pytest.raises(IndexError, match=r"axis 5 of a tensor of shape \(2, 3\)"):
            find(gd.ones(2, 3), 5)
        assert find(gd.tensor(2.0), 0).item() == 0
