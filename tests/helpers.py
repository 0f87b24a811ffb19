"""What several test modules need: arrays that are the same at every run, and values and gradients of any function."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import gdengine as gd


def normal(*shape: int, seed: int = 0, dtype: Any = np.float64) -> Any:
    """Standard normal numbers, the same for the same shape and seed."""
    return np.asarray(np.random.default_rng([seed, *shape]).normal(size=shape), dtype)


def apart(*shape: int, seed: int = 0, dtype: Any = np.float64) -> Any:
    """Numbers of either sign, none closer than 0.1 to 0 or to another: away from every kink."""
    n = int(np.prod(shape))
    steps = 0.1 * np.random.default_rng([seed, *shape]).permutation(n) + 0.13
    return np.asarray(steps * np.where(np.arange(n) % 2, 1, -1), dtype).reshape(shape)


def leaf(*shape: int, seed: int = 0, dtype: Any = np.float64) -> gd.Tensor:
    """A tensor of `normal` numbers that requires a gradient."""
    return gd.tensor(normal(*shape, seed=seed), dtype=dtype, requires_grad=True)


def values_and_gradients(fn: Callable[..., Any], arrays: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """The results of ``fn`` on tensors, and the gradients of its float inputs, for a gradient of `normal` numbers."""
    tensors = [gd.tensor(a, requires_grad=np.asarray(a).dtype.kind == "f") for a in arrays]
    results = fn(*tensors)
    results = results if isinstance(results, tuple) else (results,)
    total = sum((y * normal(*y.shape, seed=9, dtype=y.dtype)).sum() for y in results)
    total.backward()
    return [y.detach().numpy() for y in results], [t.grad.numpy() for t in tensors if t.requires_grad]


def assert_close(got: Any, expected: Any, units: float, what: str = "") -> None:
    """``got`` has the shape and dtype of ``expected``, and differs by at most ``units`` roundings of its largest entry.

    A rounding is eps · max(1, |expected|) of that dtype: the two sides compute the same formula in another order, so
    that intermediate values, which are about as large as the results, are rounded that many times more or less.
    """
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape, f"{what}: shape {got.shape}, expected {expected.shape}"
    assert got.dtype == expected.dtype, f"{what}: {got.dtype}, expected {expected.dtype}"
    if not expected.size:
        return
    eps = np.finfo(expected.dtype).eps
    error = np.abs(got.astype(np.float64) - expected).max()
    limit = units * eps * max(1.0, np.abs(expected).max())
    assert error <= limit, f"{what}: off by {error:.3g}, {error / limit * units:.1f} roundings; {units} allowed"
