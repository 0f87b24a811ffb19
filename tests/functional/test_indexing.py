"""Indices: NumPy's rules, with tensors allowed in them."""

import numpy as np
import pytest

import gdengine as gd
from tests.helpers import leaf, normal

X = normal(4, 5, 3)
ROWS, MASK = np.array([3, 0, 3]), X[:, :, 0] > 0

INDICES = [
    1,
    -1,
    np.int64(2),
    (1, 2, 0),
    slice(1, None, 2),
    (slice(None), 2),
    (..., 1),
    (None, 1, ..., None),
    (),
    ...,
    None,
    ROWS,
    [0, 0, 1],
    (ROWS, [4, 4, 4]),
    (slice(None), ROWS),
    (ROWS, slice(1, 3)),
    (ROWS, slice(None), [0, 1, 0]),
    (ROWS[:, None], [0, 2]),
    MASK,
    (slice(None), [True, False, True, False, True]),
    (MASK[:, 0], 1),
    True,
    False,
    np.array(2),
    slice(3, 1),
    range(2),
]


def in_tensors(index):
    if isinstance(index, tuple):
        return tuple(in_tensors(part) for part in index)
    return gd.tensor(index) if isinstance(index, np.ndarray) else index


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_same_as_numpy_and_gradients_land_where_they_came_from(index):
    expected = np.zeros_like(X)
    dy = normal(*X[index].shape, seed=1)
    np.add.at(expected, index, dy)
    for form in (index, in_tensors(index)):
        x = gd.tensor(X, requires_grad=True)
        y = x[form]
        np.testing.assert_array_equal(y, X[index])
        assert y.shape == X[index].shape
        y.backward(dy)
        np.testing.assert_array_equal(x.grad, expected)


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_assignment_is_numpys(index):
    expected, x = X.copy(), gd.tensor(X)
    expected[index] = 7
    x[in_tensors(index)] = gd.tensor(7.0)
    np.testing.assert_array_equal(x, expected)


def test_repeated_indices_add_up_in_a_fixed_order():
    """Added one after another in the order of the indices: float32 sums show any other order."""
    dy = normal(1000, dtype=np.float32)
    expected = np.float32(0)
    for d in dy:
        expected += d
    x = gd.zeros(2, requires_grad=True)
    x[np.ones(1000, int)].backward(dy)
    assert x.grad.tolist() == [0, expected]


def test_a_slice_bound_may_be_a_tensor():
    x = gd.tensor(X)
    np.testing.assert_array_equal(x[gd.tensor(1) : gd.tensor(3)], X[1:3])


def test_an_element_of_a_vector_is_a_view():
    x = gd.zeros(3)
    y = x[1]
    y += 2
    assert x.tolist() == [0, 2, 0]


def test_iteration_and_unpacking():
    x = leaf(2, 3)
    a, b = x
    (a * 2 + b).sum().backward()
    assert x.grad.tolist() == [[2, 2, 2], [1, 1, 1]]
    assert len(x) == 2


@pytest.mark.parametrize("index", [4, -5, (0, 5), ([0, 4],), (0, 0, 0, 0), 1.0, "a", np.array([0.5]), np.ones(3, bool)])
def test_what_does_not_fit_raises_with_the_shape(index):
    with pytest.raises(IndexError, match=r"\(4, 5, 3\)"):
        gd.tensor(X)[index]
