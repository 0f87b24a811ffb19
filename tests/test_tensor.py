"""What a tensor is: its data and dtype, its properties, its changes in place, its place among Python's numbers."""

import copy
import math
import pickle

import numpy as np
import pytest

import gdengine as gd
from gdengine import functional as F
from tests.helpers import leaf, normal

# ---- made of what


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1, np.int64),
        (1.5, np.float32),
        (True, np.bool_),
        ([1, 2], np.int64),
        ([1, 2.5], np.float32),
        ([[True], [False]], np.bool_),
        ([], np.float32),
        ((), np.float32),
        (range(3), np.int64),
        (np.float64(1.5), np.float64),
        (np.arange(3, dtype=np.int16), np.int16),
        (np.ones(3), np.float64),
        ([np.float64(1.5)], np.float32),
        ([gd.tensor(1.0), gd.tensor(2.0)], np.float32),
    ],
)
def test_dtype_of_data(data, dtype):
    for x in (gd.tensor(data), gd.Tensor(data)):
        assert x.dtype == dtype
        np.testing.assert_array_equal(x, np.asarray(data))


def test_a_dtype_given():
    assert gd.tensor([1, 2], dtype=np.float64).dtype == np.float64
    assert gd.tensor([0.1], dtype=np.float64).item() == 0.1
    assert gd.tensor(np.ones(2), dtype="float32").dtype == np.float32
    assert gd.Tensor(gd.ones(2), dtype=np.int32).dtype == np.int32


def test_tensor_copies_and_Tensor_does_not():
    a = normal(3)
    assert not np.shares_memory(gd.tensor(a).numpy(), a)
    assert gd.Tensor(a).numpy() is a
    x = gd.tensor(a)
    assert not np.shares_memory(gd.tensor(x).numpy(), x.numpy())


def test_a_copy_has_no_history():
    y = gd.tensor(leaf(3) * 2)
    assert y.is_leaf
    assert not y.requires_grad


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (lambda: gd.zeros(2, 3), np.zeros((2, 3), np.float32)),
        (lambda: gd.zeros((2, 3), dtype=np.int32), np.zeros((2, 3), np.int32)),
        (lambda: gd.zeros(), np.float32(0)),
        (lambda: gd.ones([2]), np.ones(2, np.float32)),
        (lambda: gd.full((2, 2), 7), np.full((2, 2), 7, np.float32)),
        (lambda: gd.full(2, 7, dtype=np.int64), np.full(2, 7)),
        (lambda: gd.zeros_like(gd.tensor([1, 2])), np.zeros(2, int)),
        (lambda: gd.ones_like(np.zeros((2, 1))), np.ones((2, 1))),
        (lambda: gd.arange(3), np.arange(3)),
        (lambda: gd.arange(1, 7, 2), np.arange(1, 7, 2)),
        (lambda: gd.arange(0.0, 1.0, 0.25), np.arange(0, 1, 0.25, dtype=np.float32)),
        (lambda: gd.arange(3, dtype=np.float64), np.arange(3.0)),
        (lambda: gd.arange(5, step=2), np.arange(0, 5, 2)),
    ],
)
def test_creation(made, expected):
    x = made()
    assert x.dtype == expected.dtype
    np.testing.assert_array_equal(x, expected)
    assert x.shape == expected.shape


def test_creation_of_leaves():
    for make in (gd.zeros, gd.ones, gd.rand, gd.randn):
        assert make(2, requires_grad=True).requires_grad
    assert gd.full(2, 1.0, requires_grad=True).requires_grad
    assert gd.zeros_like(gd.ones(2), requires_grad=True).requires_grad
    assert gd.tensor([1.0], requires_grad=True).is_leaf


# ---- what it says of itself


def test_properties():
    x = gd.tensor(normal(2, 3, 4))
    assert (x.shape, x.ndim, x.dim(), x.size, x.numel(), x.nbytes) == ((2, 3, 4), 3, 3, 24, 24, 192)
    assert x.device == "cpu"
    assert x.to("cpu") is x.cpu() is x
    assert len(x) == 2
    assert x.tolist() == x.numpy().tolist()


def test_leaves_and_results():
    x = leaf(3)
    y = x * 2
    assert x.is_leaf
    assert not y.is_leaf
    assert y.requires_grad
    assert y.detach().is_leaf
    assert gd.ones(3).is_leaf


def test_requires_grad_switches():
    x = gd.ones(3)
    assert x.requires_grad_() is x
    assert x.requires_grad
    (x * 2).sum().backward()
    x.requires_grad = False
    assert not x.requires_grad
    assert x.grad.tolist() == [2, 2, 2]
    x.requires_grad_()
    (x * 2).sum().backward()
    assert x.grad.tolist() == [4, 4, 4]


def test_repr():
    assert repr(gd.tensor([1.0, 2.5])) == "tensor([1. , 2.5])"
    assert repr(gd.tensor([1, 2])) == "tensor([1, 2])"
    assert repr(gd.tensor([1.0], dtype=np.float64)) == "tensor([1.], dtype=float64)"
    x = gd.tensor([1.0], requires_grad=True)
    assert repr(x) == "tensor([1.], requires_grad=True)"
    assert repr(x + 1) == "tensor([2.], grad_fn=<add>)"
    assert repr(gd.tensor([[1, 2], [3, 4]])) == "tensor([[1, 2],\n        [3, 4]])"
    assert repr(gd.Parameter(np.ones(1, np.float32))) == "Parameter containing:\ntensor([1.], requires_grad=True)"
    assert len(repr(gd.zeros(1000, 1000))) < 1000
    assert repr(gd.tensor(2)) == "tensor(2)"


def test_format():
    loss = gd.tensor(1.23456, requires_grad=True)
    assert f"{loss:.2f} {loss * 2:8.3f}" == "1.23    2.469"
    assert f"{gd.tensor(7):03d}" == "007"
    assert f"{gd.tensor([1, 2])}" == str(gd.tensor([1, 2]))
    with pytest.raises(ValueError, match="one element"):
        f"{gd.tensor([1.0, 2.0]):.2f}"


# ---- among Python's numbers


def test_conversions_of_one_element():
    for x in (gd.tensor(2.5), gd.tensor([[2.5]], requires_grad=True)):
        assert float(x) == x.item() == 2.5
        assert int(x) == 2
        assert bool(x) is True
        assert math.sqrt(x) == math.sqrt(2.5)
    assert not gd.tensor([0])
    assert "abc"[gd.tensor(1)] == "b"
    assert range(3)[gd.tensor([2])] == 2


def test_membership_and_order():
    x = gd.tensor([1, 2])
    assert 2 in x
    assert 3 not in x
    assert max(gd.tensor(1.0), gd.tensor(2.0)).item() == 2
    assert sorted([gd.tensor(2), gd.tensor(1)])[0].item() == 1


def test_tensors_are_keys_by_identity():
    a, b = gd.ones(1), gd.ones(1)
    assert len({a: 1, b: 2}) == 2
    assert {a, b, a} == {a, b}


def test_unary_operators():
    x = gd.tensor([1.0, -2.0])
    assert (-x).tolist() == [-1, 2]
    assert abs(x).tolist() == [1, 2]
    assert +x is x


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "tanh", "sigmoid", "relu", "abs", "softmax", "log_softmax"])
def test_methods_are_the_functions(name):
    x = gd.tensor(np.abs(normal(2, 3)) + 0.1)
    np.testing.assert_array_equal(getattr(x, name)(), getattr(F, {"abs": "absolute"}.get(name, name))(x))


def test_methods_with_arguments_are_the_functions():
    x = gd.tensor(normal(2, 3))
    np.testing.assert_array_equal(x.pow(2), F.power(x, 2))
    np.testing.assert_array_equal(x.matmul(x.T), F.matmul(x, x.T))
    np.testing.assert_array_equal(x.softmax(0), F.softmax(x, 0))
    np.testing.assert_array_equal(x.log_softmax(dim=0), F.log_softmax(x, 0))
    np.testing.assert_array_equal(x.clone(), x)


def test_conversions_of_dtype():
    x = gd.tensor([1.7, -1.7])
    assert x.long().tolist() == [1, -1]
    assert x.double().dtype == np.float64
    assert x.float() is x
    assert x.to("float64").dtype == x.to(np.float64).dtype == np.float64


# ---- changes in place


def test_changes_in_place_change_the_same_memory():
    x = gd.tensor([1.0, 2.0, 3.0])
    a = x.numpy()
    x += 1
    x -= [0.0, 1.0, 2.0]
    x *= gd.tensor(3.0)
    x /= np.array([2.0, 1.0, 1.0])
    assert x.numpy() is a
    assert x.tolist() == [3, 6, 6]
    x[1:] = 7
    assert x.copy_(gd.tensor([1, 2, 3])) is x
    assert x.tolist() == [1, 2, 3]
    assert x.fill_(4).tolist() == [4, 4, 4]
    assert x.zero_().tolist() == [0, 0, 0]
    assert x.dtype == np.float32
    assert gd.tensor([True]).zero_().tolist() == [False]


def test_a_change_in_place_keeps_the_dtype():
    x = gd.tensor([1.0, 2.0])
    x *= np.float64(1.5)
    x += gd.ones(2, dtype=np.float64)
    x += 1
    assert x.dtype == np.float32
    n = gd.tensor([1, 2])
    with pytest.raises(TypeError):
        n += 0.5
    assert n.tolist() == [1, 2]


def test_a_change_that_does_not_fit_leaves_the_values():
    x = gd.tensor([1.0, 2.0])
    for change in (lambda: x.copy_([1, 2, 3]), lambda: x.__iadd__(np.ones((2, 2))), lambda: x.__setitem__(5, 0)):
        with pytest.raises((ValueError, IndexError)):
            change()
    assert x.tolist() == [1, 2]


def test_data_can_be_read_changed_and_assigned():
    p = gd.Parameter(np.array([1.0, 2.0], np.float32))
    p.grad = [1.0, 1.0]
    before = p.data
    p.data -= 0.5 * p.grad
    assert p.tolist() == [0.5, 1.5]
    p.data = [3.0, 4.0]
    assert p.tolist() == before.tolist() == [3, 4]
    assert p.requires_grad
    assert p.dtype == np.float32
    with pytest.raises(ValueError, match=r"keeps its shape"):
        p.data = np.ones(3)


# ---- copies


def test_pickle_of_a_leaf():
    x = pickle.loads(pickle.dumps(leaf(2, 3)))
    np.testing.assert_array_equal(x, leaf(2, 3))
    (x * 2).sum().backward()
    assert x.grad.shape == (2, 3)


def test_a_shallow_copy_is_the_same_tensor_in_all_that_matters():
    x = leaf(3)
    y = copy.copy(x)
    assert np.shares_memory(x.numpy(), y.numpy())


# ---- parameters


def test_a_parameter():
    p = gd.Parameter(normal(3, dtype=np.float32))
    assert isinstance(p, gd.Tensor)
    assert p.requires_grad
    assert p.name is None
    frozen = gd.Parameter(np.ones(2, np.float32), requires_grad=False)
    assert not frozen.requires_grad
    frozen.requires_grad = True
    assert not (p * 2).is_leaf
    assert type(p * 2) is gd.Tensor


def test_augmented_assignment_is_recorded_on_results_and_in_place_elsewhere():
    x = gd.tensor([1.0, 2.0], requires_grad=True)
    total = gd.zeros(())
    before = total
    for _ in range(3):
        total += (x * x).sum()
    assert before.item() == 0
    total -= x.sum()
    total *= 2
    total /= 4
    total.backward()
    np.testing.assert_array_equal(x.grad.numpy(), (6 * x.numpy() - 1) / 2)
    with gd.no_grad():
        same = x
        x -= 0.5
    assert same is x
    np.testing.assert_array_equal(x.numpy(), [0.5, 1.5])


def test_masks_combine():
    x = gd.tensor([-1.0, 0.0, 2.0])
    np.testing.assert_array_equal(((x > 0) | (x < 0)).numpy(), [True, False, True])
    np.testing.assert_array_equal(((x > 0) & ~(x > 1)).numpy(), [False, False, False])
    np.testing.assert_array_equal(((x >= 0) ^ (x > 1)).numpy(), [False, True, False])
    np.testing.assert_array_equal((True ^ (x > 1)).numpy(), [True, True, False])
    assert (x > 1).any()
    assert not (x > 1).all()


def test_contiguous():
    x = gd.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    assert x.contiguous() is x
    y = x.T.contiguous()
    assert y.numpy().flags.c_contiguous
    y.view(6).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.ones((2, 3)))
