"""Functions of bfloat16: what they return is bfloat16, what they add up is added in float32."""

import numpy as np
import pytest

import gdengine as gd
from gdengine import functional as F
from tests.functional import gradient_cases, layer_cases, test_gradients

#: float32 whatever comes in, as `gdengine.precision` says of losses; or what was asked for
IN_FLOAT32 = {"cross_entropy", "linear_cross_entropy", "info_nce"}
CHOSEN = {"cast"}

CASES = [
    pytest.param(function, fn, inputs, id=f"{function}-{label}")
    for cases in (test_gradients.CASES, gradient_cases.CASES, layer_cases.CASES)
    for function, labelled in cases.items()
    if function not in CHOSEN
    for label, (fn, *inputs) in labelled.items()
    # what computes on arrays of its own in the dtype of one that is given as float64 is no case for this
    if all(np.asarray(array).dtype.kind == "f" for array in inputs)
]


@pytest.mark.parametrize(("function", "fn", "inputs"), CASES)
def test_results_and_gradients_are_bfloat16_again(function, fn, inputs):
    tensors = [gd.tensor(array, dtype=gd.bfloat16, requires_grad=True) for array in inputs]
    results = fn(*tensors)
    results = [y for y in (results if isinstance(results, tuple) else (results,)) if y.requires_grad]
    expected = np.dtype(np.float32) if function in IN_FLOAT32 else gd.bfloat16
    assert {y.dtype for y in results} <= {expected, np.dtype(np.float64)}  # float64: beside the case's own constants
    sum(y.sum() for y in results).backward()
    assert all(t.grad is None or t.grad.dtype == gd.bfloat16 for t in tensors)


N = 1000  # ones: added up in bfloat16, which has 8 bits, they would never come past 256
ONES = np.ones((3, N), np.float32)
SUMS = {
    "sum": (lambda x: x.sum(1), N),
    "mean": (lambda x: x.mean(1), 1),
    "softmax": (lambda x: F.softmax(x) * N, 1),
    "log_softmax": (lambda x: F.log_softmax(x), -np.log(N)),
    "logsumexp": (lambda x: F.logsumexp(x, 1), 1 + np.log(N)),
    "norm": (lambda x: F.norm(x, 2, 1), np.sqrt(N)),
    "norm, p = 1": (lambda x: F.norm(x, 1, 1), N),
    "std": (lambda x: F.std(x * np.where(np.arange(N) % 2, 1, -1), 1), 1),
    "cumsum": (lambda x: F.cumsum(x, 1)[:, -1], N),
    "avg_pool1d": (lambda x: F.avg_pool1d(x, N), 1),
    "mse_loss": (lambda x: F.mse_loss(x, 0 * x, reduction="sum"), 3 * N),
}


@pytest.mark.parametrize("name", SUMS)
def test_long_sums_lose_nothing(name):
    fn, expected = SUMS[name]
    y = fn(gd.tensor(ONES, dtype=gd.bfloat16))
    assert y.dtype == gd.bfloat16
    np.testing.assert_allclose(y.numpy().astype(np.float32), expected, rtol=2.0**-8)  # one rounding to 8 bits


def test_nor_do_the_gradients_of_what_was_repeated():
    bias = gd.zeros(2, dtype=gd.bfloat16, requires_grad=True)
    (gd.ones(N, 2, dtype=gd.bfloat16) + bias).sum().backward()
    np.testing.assert_allclose(bias.grad.numpy().astype(np.float32), N, rtol=2.0**-8)


def test_nor_those_of_many_equals():
    x = gd.tensor(ONES[0], dtype=gd.bfloat16, requires_grad=True)
    x.max().backward()
    np.testing.assert_allclose(x.grad.numpy().astype(np.float32), 1 / N, rtol=2.0**-8)
