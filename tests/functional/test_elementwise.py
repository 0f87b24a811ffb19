"""Arithmetic: values and broadcasting as NumPy's, the dtype that comes out, and where gradients go."""

import operator

import numpy as np
import pytest

import gdengine as gd
from gdengine import functional as F
from tests.helpers import leaf, normal

OPERATORS = ["add", "sub", "mul", "truediv", "pow"]


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize(("left", "right"), [((2, 3), (3,)), ((4, 1, 3), (2, 1)), ((), (2, 3)), ((0, 3), (1,))])
def test_operators_compute_and_broadcast_as_numpys(name, left, right):
    a, b = np.abs(normal(*left)) + 0.1, normal(*right, seed=1)
    function = getattr(operator, name)
    expected = function(a, b)
    np.testing.assert_array_equal(function(gd.tensor(a), gd.tensor(b)), expected)
    np.testing.assert_array_equal(function(gd.tensor(a), b), expected)
    np.testing.assert_array_equal(function(a, gd.tensor(b)), expected)


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("number", [3, 0.5, True, np.float64(0.5), np.float32(3), np.int64(3)])
def test_operators_with_numbers_on_either_side(name, number):
    a = np.abs(normal(2, 3)) + 0.1
    function = getattr(operator, name)
    for got, expected in (
        (function(gd.tensor(a), number), function(a, np.float64(number))),
        (function(number, gd.tensor(a)), function(np.float64(number), a)),
    ):
        assert isinstance(got, gd.Tensor)
        np.testing.assert_array_equal(got, expected)


def tensor_of(dtype):
    return gd.tensor([1, 2], dtype=dtype)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (np.float32, np.float64, np.float64),
        (np.float16, np.float32, np.float32),
        (np.float32, np.int64, np.float32),
        (np.float16, np.int64, np.float16),
        (np.float32, np.bool_, np.float32),
        (np.int32, np.int64, np.int64),
        (np.uint8, np.int8, np.int16),
        (np.bool_, np.int32, np.int32),
    ],
)
def test_the_wider_dtype_wins_but_an_integer_widens_no_float(left, right, expected):
    for a, b in ((tensor_of(left), tensor_of(right)), (tensor_of(right), tensor_of(left))):
        assert (a + b).dtype == expected
        assert (a * b).dtype == expected
        assert F.where(np.array([True, False]), a, b).dtype == expected
        assert F.maximum(a, b).dtype == expected
        assert F.cat([a, b]).dtype == expected
        assert F.stack([a, b]).dtype == expected


@pytest.mark.parametrize("number", [2, 2.5, True, np.float64(2.5), np.float32(2.5), np.int64(2), np.bool_(True)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_number_takes_on_a_floats_dtype(dtype, number):
    x = tensor_of(dtype)
    for result in (x + number, number + x, x * number, number * x, x**number, x / number, number / x, number - x):
        assert result.dtype == dtype
    assert F.where(np.array([True, False]), x, number).dtype == dtype
    assert F.maximum(x, number).dtype == dtype


@pytest.mark.parametrize(
    ("dtype", "number", "expected"),
    [
        (np.int32, 2, np.int32),
        (np.int32, np.int64(2), np.int32),
        (np.uint8, 2, np.uint8),
        (np.int64, True, np.int64),
        (np.int64, 2.5, np.float32),
        (np.int64, np.float64(2.5), np.float32),
        (np.bool_, 2, np.int64),
        (np.bool_, 2.5, np.float32),
    ],
)
def test_a_number_beside_integers(dtype, number, expected):
    x = gd.tensor([True, False]).to(dtype)
    assert (x + number).dtype == expected
    assert (number * x).dtype == expected


def test_integers_divide_into_float32():
    assert (gd.tensor([1, 2]) / gd.tensor([2, 4])).dtype == np.float32
    assert (1 / gd.tensor([1, 2])).tolist() == [1.0, 0.5]


@pytest.mark.parametrize(
    "function", [F.exp, F.log, F.sqrt, F.tanh, F.sigmoid, F.gelu, F.softmax, F.log_softmax, F.mean]
)
def test_functions_of_integers_are_float32(function):
    assert function(gd.tensor([1, 2])).dtype == np.float32


def test_a_list_beside_a_float64_tensor_keeps_all_its_digits():
    x = gd.ones(2, dtype=np.float64)
    np.testing.assert_array_equal(x * [0.1, 0.2], [0.1, 0.2])
    np.testing.assert_array_equal(F.where([True, False], x, [0.1, 0.2]), [1, 0.2])


def test_a_number_that_an_integer_dtype_cannot_hold_is_refused():
    with pytest.raises(OverflowError):
        gd.tensor([1], dtype=np.uint8) + 300


def test_gradients_come_back_in_each_operands_dtype():
    x, y = leaf(2, 3, dtype=np.float32), leaf(3, dtype=np.float64)
    (x * y).sum().backward()
    assert (x.grad.dtype, y.grad.dtype) == (np.float32, np.float64)
    np.testing.assert_array_equal(x.grad, np.broadcast_to(y.numpy(), (2, 3)).astype(np.float32))


def test_cast_carries_gradients_between_floats_and_drops_them_at_integers():
    x = leaf(3, dtype=np.float32)
    (x.double() * 2).sum().backward()
    assert x.grad.dtype == np.float32
    assert x.grad.tolist() == [2, 2, 2]
    assert not x.long().requires_grad
    assert x.to(np.float32) is x


def test_sigmoid_does_not_overflow():
    x = gd.tensor([-1000.0, -100.0, 0.0, 100.0, 1000.0], requires_grad=True)
    y = F.sigmoid(x)
    np.testing.assert_array_equal(y, np.array([0, np.exp(-100), 0.5, 1, 1], np.float32))
    y.sum().backward()
    assert np.isfinite(x.grad.numpy()).all()


def test_softmax_of_large_and_of_excluded_entries():
    y = F.softmax(gd.tensor([[1e4, 1e4, -np.inf], [-1e4, -1e4, -np.inf]]))
    np.testing.assert_array_equal(y, [[0.5, 0.5, 0], [0.5, 0.5, 0]])


def test_maximum_passes_infinite_gradients_to_the_larger_alone():
    x, y = gd.tensor([1.0, 2.0], requires_grad=True), gd.tensor([2.0, 1.0], requires_grad=True)
    F.maximum(x, y).backward(np.full(2, np.inf))
    np.testing.assert_array_equal(x.grad, [0, np.inf])
    np.testing.assert_array_equal(y.grad, [np.inf, 0])


def test_where_stops_a_gradient_that_is_not_finite_on_the_side_not_taken():
    x = gd.tensor([0.0, 4.0], requires_grad=True)
    with np.errstate(divide="ignore"):
        F.where(x.numpy() > 0, F.where(x.numpy() > 0, x, 1.0).sqrt(), 0.0).sum().backward()
    np.testing.assert_array_equal(x.grad, [0, 0.25])


@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "gt", "ge"])
def test_comparisons_are_numpys_and_carry_no_gradient(name):
    function = getattr(operator, name)
    a, b = np.array([[1.0, 2, 3], [3, 2, 1]]), np.array([2.0, 2, 2])
    for x in (gd.tensor(a, requires_grad=True), gd.tensor(a)):
        for result in (function(x, gd.tensor(b)), function(x, b), function(x, 2)):
            assert isinstance(result, gd.Tensor)
            assert not result.requires_grad
            assert result.dtype == np.bool_
            np.testing.assert_array_equal(result, function(a, b))
        np.testing.assert_array_equal(function(b, x), function(b, a))


def test_a_comparison_with_a_number_is_made_in_the_tensors_dtype():
    assert (gd.tensor([0.1]) == 0.1).tolist() == [True]


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_zeroes_a_share_p_and_scales_the_rest(p):
    gd.manual_seed(0)
    n = 100_000
    y = F.dropout(gd.ones(n), p).numpy()
    dropped = int((y == 0).sum())
    assert abs(dropped - n * p) < 5 * np.sqrt(n * p * (1 - p))  # 5 standard deviations of a binomial count
    np.testing.assert_array_equal(y[y != 0], np.float32(1 / (1 - p)))


def test_dropout_backward_drops_the_same_elements_and_each_call_others():
    gd.manual_seed(0)
    x = gd.ones(1000, requires_grad=True)
    first, second = F.dropout(x, 0.5), F.dropout(x, 0.5)
    assert (first.numpy() != second.numpy()).any()
    (dx,) = gd.grad(first.sum(), [x])
    np.testing.assert_array_equal(dx, first.detach())


def test_dropout_draws_no_random_number_when_it_drops_nothing():
    gd.manual_seed(0)
    x = gd.ones(3)
    assert F.dropout(x, 0.5, training=False) is x
    assert F.dropout(x, 0.0) is x
    assert gd.random.state_dict()["call"] == 0
    F.dropout(x, 0.5)
    assert gd.random.state_dict()["call"] == 1


def test_dropout_drops_the_same_elements_in_both_dtypes():
    masks = []
    for dtype in (np.float32, np.float64):
        gd.manual_seed(5)
        masks.append(F.dropout(gd.ones(501, dtype=dtype), 0.3).numpy() == 0)
    np.testing.assert_array_equal(*masks)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, s: F.leaky_relu(x, s(0.1)),
        lambda x, s: F.elu(x, s(1.5)),
        lambda x, s: F.softplus(x, s(2)),
        lambda x, s: F.norm(x, s(3), 1),
        lambda x, s: F.var(x, 1, correction=s(1)),
        lambda x, s: F.std(x, 1, correction=s(0)),
        lambda x, s: F.huber_loss(x, x * 2, delta=s(0.5)),
        lambda x, s: F.smooth_l1_loss(x, x * 2, beta=s(0.5)),
        lambda x, s: F.cross_entropy(x, [0, 1], label_smoothing=s(0.1)),
        lambda x, s: F.layer_norm(x, eps=s(1e-5)),
        lambda x, s: F.rms_norm(x, eps=s(1e-5)),
        lambda x, s: F.group_norm(x, 1, eps=s(1e-5)),
        lambda x, s: F.batch_norm(x, training=True, eps=s(1e-5)),
        lambda x, s: F.triplet_margin_loss(x, x * 2, x * 3, margin=s(1), eps=s(1e-6)),
        lambda x, s: F.normalize(x, eps=s(1e-5)),
    ],
)
def test_a_setting_may_be_numpys_own_scalar_which_widens_nothing(function):
    x = gd.tensor(normal(2, 3), dtype=np.float32)
    ours, pythons = function(x, np.float64), function(x, float)
    assert ours.dtype == np.float32
    assert (ours.numpy() == pythons.numpy()).all()


def test_leaky_relu_of_integers_is_float32():
    assert F.leaky_relu(np.arange(-2, 3)).dtype == np.float32


@pytest.mark.parametrize("function", [F.softmax, F.log_softmax])
def test_softmax_over_no_elements_and_over_no_axis(function):
    assert function(gd.ones(2, 0)).shape == (2, 0)
    with pytest.raises(IndexError, match=r"axis 5 of a tensor of shape \(2, 3\)"):
        function(gd.ones(2, 3), 5)
