"""Tensors beside NumPy's arrays and PyTorch's tensors."""

import gc

import numpy as np
import pytest

import gdengine as gd
from gdengine import functional as F
from gdengine import nn, optim
from tests.helpers import leaf, normal

# ---- arrays


def test_asarray_shares_memory():
    x = gd.tensor(normal(2, 3))
    a = np.asarray(x)
    assert type(a) is np.ndarray
    assert np.shares_memory(a, x.numpy())
    a[0, 0] = 7
    assert x[0, 0].item() == 7


def test_asarray_of_what_requires_a_gradient_is_read_only():
    x = leaf(3)
    for a in (np.asarray(x), x.numpy(), np.asarray(x * 2), x.__array__()):
        assert not a.flags.writeable
    x.detach().numpy()[0] = 7
    assert x[0].item() == 7


def test_array_copies_and_converts_as_numpy_asks():
    x = leaf(3)
    assert not np.shares_memory(np.array(x), x.numpy())
    assert np.array(x).flags.writeable
    assert np.asarray(x, np.float32).dtype == np.float32
    assert np.shares_memory(np.array(x, copy=False), x.numpy())
    with pytest.raises(ValueError):
        np.array(x, np.float32, copy=False)
    with pytest.raises(ValueError):
        x.__array__(np.float32, copy=False)


def test_the_array_interface():
    x = gd.tensor(normal(2, 3)).T
    assert x.__array_interface__ == x.numpy().__array_interface__
    assert leaf(3).__array_interface__["data"][1] is True


def test_an_array_outlives_its_tensor():
    a = np.asarray(gd.tensor(np.arange(100_000.0)))
    gc.collect()
    np.testing.assert_array_equal(a, np.arange(100_000.0))


def test_an_array_outlives_its_parameters_move_into_an_optimizer():
    """The optimizer gives the parameter other memory; what NumPy was given before must not be memory set free."""
    p = gd.Parameter(np.arange(100_000, dtype=np.float32))
    for a in (np.asarray(p), p.numpy(), np.frombuffer(memoryview(np.asarray(p)), np.float32)):
        optimizer = optim.SGD([gd.Parameter(p)], lr=1.0)
        del optimizer
        np.testing.assert_array_equal(a, np.arange(100_000))
    a = np.asarray(p)
    optimizer = optim.SGD([p], lr=1.0)
    filler = [np.full(100_000, -1, np.float32) for _ in range(20)]
    np.testing.assert_array_equal(a, np.arange(100_000))
    p.sum().backward()
    optimizer.step()
    np.testing.assert_array_equal(a, np.arange(100_000))
    assert p[0].item() == -1
    assert len(filler) == 20


def test_an_array_outlives_a_conversion_of_its_module():
    module = nn.Linear(300, 300)
    module.register_buffer("mean", normal(90_000, dtype=np.float32))
    arrays = [np.asarray(module.weight), np.asarray(module.mean)]
    copies = [a.copy() for a in arrays]
    module.double()
    filler = [np.full(90_000, -1, np.float32) for _ in range(20)]
    for a, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(a, copy)
    assert len(filler) == 20


def test_subclasses_of_arrays_become_plain():
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix([[1.0, 2.0], [3.0, 4.0]])
    x = gd.tensor(matrix)
    assert (x * x).tolist() == [[1, 4], [9, 16]]


# ---- NumPy's functions


@pytest.mark.parametrize("name", F.UFUNCS)
def test_numpys_functions_are_answered_with_differentiable_ones(name):
    ufunc = getattr(np, name)
    arrays = [np.abs(normal(3, 3, seed=i)) + 0.5 for i in range(ufunc.nin)]
    assert gd.gradcheck(ufunc, arrays)
    result = ufunc(*[gd.tensor(a, requires_grad=True) for a in arrays])
    assert isinstance(result, gd.Tensor)
    assert result.requires_grad
    np.testing.assert_array_equal(result, ufunc(*arrays))


def test_an_array_on_the_left_does_not_swallow_the_tensor():
    a, x = normal(2, 3), leaf(3)
    for result, expected in (
        (a + x, a + x.numpy()),
        (a - x, a - x.numpy()),
        (a * x, a * x.numpy()),
        (a / x, a / x.numpy()),
        (a @ x, a @ x.numpy()),
        (np.abs(a) ** x, np.abs(a) ** x.numpy()),
    ):
        assert isinstance(result, gd.Tensor)
        assert result.requires_grad
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("function", [np.arctan, np.sign, np.add.reduce, np.multiply.accumulate, np.negative.at])
def test_a_numpy_function_that_would_lose_a_gradient_is_refused(function):
    arguments = ([0],) if function == np.negative.at else ()
    with pytest.raises(TypeError, match=r"would lose the gradient.*x.detach\(\)"):
        function(leaf(3), *arguments)


def test_other_numpy_functions_give_arrays_where_no_gradient_is_lost():
    x = gd.tensor(normal(3))
    np.testing.assert_array_equal(np.sin(x), np.sin(x.numpy()))
    assert np.add.reduce(x) == x.numpy().sum()
    with gd.no_grad():
        np.testing.assert_array_equal(np.logaddexp(x, 1), np.logaddexp(x.numpy(), 1))


@pytest.mark.parametrize("function", [np.isfinite, np.isnan, np.signbit, lambda x: np.logical_and(x, x)])
def test_questions_have_no_gradient_to_lose(function):
    x = leaf(3)
    np.testing.assert_array_equal(function(x), function(x.numpy()))


def test_arrays_compare_with_what_requires_a_gradient():
    x, a = leaf(3), np.zeros(3)
    np.testing.assert_array_equal(a < x, x.numpy() > 0)
    np.testing.assert_array_equal(a == x, [False] * 3)


def test_an_array_takes_in_a_tensor_in_place():
    a, x = np.ones(3), gd.tensor([1.0, 2.0, 3.0])
    a += x
    np.testing.assert_array_equal(a, [2, 3, 4])
    with pytest.raises(TypeError, match="would lose the gradient"):
        a += leaf(3)


def test_a_tensor_can_be_numpys_out_but_not_one_that_requires_a_gradient():
    x = gd.tensor([1.0, 2.0])
    np.add(x, 1, out=x)
    assert x.tolist() == [2, 3]
    y = gd.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match="gradient"):
        np.add(np.ones(2), 1, out=y)
    assert y.tolist() == [1, 2]


# ---- DLPack and PyTorch


def test_dlpack_with_numpy():
    x = gd.tensor(normal(2, 3))
    a = np.from_dlpack(x)
    assert np.shares_memory(a, x.numpy())
    y = gd.from_dlpack(a)
    y[0, 0] = 7
    assert x[0, 0].item() == 7


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, np.int32, np.uint8, np.bool_])
def test_dlpack_to_torch_and_back(dtype):
    torch = pytest.importorskip("torch", reason="exchanges arrays with PyTorch")
    x = gd.tensor([[1, 0], [1, 1]], dtype=dtype)
    t = torch.from_dlpack(x)
    assert t.tolist() == x.tolist()
    assert t.data_ptr() == x.__array_interface__["data"][0]
    t[0, 1] = 1
    assert x[0, 1].item() == 1
    y = gd.from_dlpack(t)
    assert y.dtype == dtype
    y.zero_()
    assert t.sum().item() == 0


def test_dlpack_of_views():
    torch = pytest.importorskip("torch", reason="exchanges arrays with PyTorch")
    x = gd.tensor(normal(4, 6))
    assert torch.from_dlpack(x.T[::2, 1:]).tolist() == x.T[::2, 1:].tolist()
    t = torch.arange(12.0).reshape(3, 4)
    assert gd.from_dlpack(t.T[1:, ::2]).tolist() == t.T[1:, ::2].tolist()


def test_memory_that_came_by_dlpack_outlives_its_owner():
    torch = pytest.importorskip("torch", reason="exchanges arrays with PyTorch")
    x = gd.from_dlpack(torch.arange(100_000))
    t = torch.from_dlpack(gd.arange(100_000))
    gc.collect()
    np.testing.assert_array_equal(x, np.arange(100_000))
    np.testing.assert_array_equal(t.numpy(), np.arange(100_000))


def test_what_requires_a_gradient_does_not_leave_by_dlpack():
    with pytest.raises(BufferError, match=r"export x.detach\(\)"):
        np.from_dlpack(leaf(3))
    np.testing.assert_array_equal(np.from_dlpack(leaf(3).detach()), leaf(3))


def test_torch_tensors_are_data():
    torch = pytest.importorskip("torch", reason="exchanges arrays with PyTorch")
    t = torch.arange(6.0).reshape(2, 3)
    x = gd.tensor(t)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, t.numpy())
    assert not np.shares_memory(x.numpy(), t.numpy())
    np.testing.assert_array_equal(torch.as_tensor(np.asarray(x)).numpy(), x)


def test_from_numpy_shares_memory():
    a = normal(2, 3)
    x = gd.from_numpy(a)
    a[0, 0] = 7
    assert x[0, 0].item() == 7
    assert np.shares_memory(gd.Tensor(a).numpy(), a)
    assert not np.shares_memory(gd.tensor(a).numpy(), a)


def test_numpys_tests_take_tensors():
    np.testing.assert_allclose(leaf(3), leaf(3).numpy())
    np.testing.assert_array_equal(leaf(3) * 2, leaf(3).numpy() * 2)
    assert np.allclose(leaf(3).detach(), leaf(3).numpy())


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.concatenate([x, x[:1]]),
        lambda x: np.stack([x, 2 * x], axis=1),
        lambda x: np.where(np.ones((2, 3), bool), x, 0.0),
        lambda x: np.sum(x, axis=1),
        lambda x: np.mean(x, axis=0, keepdims=True),
        lambda x: np.max(x, axis=1),
        lambda x: np.reshape(x, (3, 2)),
        lambda x: np.transpose(x),
    ],
)
def test_numpys_array_functions_keep_the_gradient(function):
    values = np.arange(6.0).reshape(2, 3)
    y = function(gd.tensor(values, requires_grad=True))
    assert isinstance(y, gd.Tensor)
    assert y.requires_grad
    np.testing.assert_array_equal(y.detach().numpy(), function(values))


def test_numpys_other_array_functions_refuse_to_lose_a_gradient():
    x = gd.ones(3, requires_grad=True)
    with pytest.raises(TypeError, match=r"np\.diff .* would lose the gradient"):
        np.diff(x)
    np.testing.assert_array_equal(np.diff(x.detach()), [0, 0])


def test_numpys_arguments_that_ours_do_not_know():
    x = gd.ones(3, requires_grad=True)
    assert np.mean(x.detach(), dtype=np.float64) == 1
    np.testing.assert_array_equal(np.where(x.detach() > 0)[0], [0, 1, 2])
    with pytest.raises(TypeError, match="would lose the gradient"):
        np.mean(x, dtype=np.float64)


def test_a_ufunc_gives_back_the_tensor_that_it_wrote():
    x = gd.ones(3)
    assert np.add(x, 1, out=x) is x
    np.testing.assert_array_equal(x.numpy(), [2, 2, 2])
