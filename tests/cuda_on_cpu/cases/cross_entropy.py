"""Cross-entropy. exp is good to 2 ulp, and its argument z − max is off by u·|z − max|; n/256 + 14 counts the roundings
of the sum over a row.
"""

import numpy as np

from gdengine.kernels.cross_entropy import cuda, reference

from . import FLOATS, U, assert_within, case, normal, wide

SHAPES = ((1, 1), (5, 7), (4, 1029), (3, 50_257 // 16))


def _inputs(shape: tuple[int, int], dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    targets = np.random.default_rng(0).integers(0, shape[1], shape[0])
    targets[-1] = shape[1] - 1
    if shape[0] > 1:
        targets[1] = -100
    return (3 * normal(*shape)).astype(dtype), targets


def _check_forward(z: np.ndarray, targets: np.ndarray, what: str) -> None:
    losses, lse = cuda.forward(z, targets)
    exact, exact_lse = reference.forward(wide(z), targets)
    top, chosen = wide(z).max(axis=1), np.abs(wide(z)).max(axis=1)
    bound = (z.shape[1] / 256 + 20 + 2 * (top - wide(z).min(axis=1))) * U + 2 * U * (np.abs(exact_lse) + np.abs(top))
    assert_within(lse, exact_lse, bound, f"{what}: lse")
    bound = np.where(targets == -100, 0, bound + U * (chosen + np.abs(exact_lse)))
    assert_within(losses, exact, bound, f"{what}: losses")


@case
def forward() -> None:
    for dtype in FLOATS:
        for shape in SHAPES:
            _check_forward(*_inputs(shape, dtype), f"{dtype} {shape}")


@case
def forward_of_extreme_logits() -> None:
    """Logits of ±10⁴ do not overflow; those at −∞ count nothing, also when a thread sees nothing else."""
    z = normal(3, 2000)
    z[0] *= 1e4
    z[1, :1990] = -np.inf
    z[2, 5:] = -1e30
    targets = np.array([7, 1995, 3], np.int32)
    losses, lse = cuda.forward(z, targets)
    exact, exact_lse = reference.forward(wide(z), targets)
    np.testing.assert_allclose(lse, exact_lse, rtol=40 * U)
    np.testing.assert_allclose(losses, exact, rtol=40 * U, atol=40 * U * 5e4)


def _check_backward(shape: tuple[int, int], dtype: np.dtype, accumulate: bool, in_place: bool) -> None:
    z, targets = _inputs(shape, dtype)
    dlosses = normal(shape[0], seed=1)
    lse = reference.forward(wide(z), targets)[1].astype(np.float32)
    out = z if in_place else normal(*shape, dtype=dtype, seed=2)
    exact, before = wide(out), np.abs(wide(out)) * accumulate
    p = np.exp(wide(z) - wide(lse)[:, None])
    bound = np.abs(wide(dlosses))[:, None] * (p * (np.abs(wide(z) - wide(lse)[:, None]) + 6) + 2) * U + 2 * U * before
    bound[targets == -100] = 2 * U * before[targets == -100]
    reference.backward(wide(dlosses), wide(z), targets, wide(lse), out=exact, accumulate=accumulate)
    got = cuda.backward(dlosses, z, targets, lse, out=out, accumulate=accumulate)
    assert got is out
    assert_within(out, exact, bound, f"{dtype} {shape} accumulate={accumulate} in_place={in_place}")


@case
def backward() -> None:
    for dtype in FLOATS:
        for shape in SHAPES:
            for accumulate, in_place in ((False, False), (True, False), (False, True)):
                _check_backward(shape, dtype, accumulate, in_place)


@case
def backward_into_memory_aligned_otherwise() -> None:
    z, targets = _inputs((3, 100), np.dtype(np.float32))
    lse = reference.forward(z, targets)[1]
    out = np.zeros(301, np.float32)[1:].reshape(3, 100)
    dlosses = normal(3)
    cuda.backward(dlosses, z, targets, lse, out=out)
    np.testing.assert_array_equal(out, cuda.backward(dlosses, z, targets, lse))


@case
def targets_out_of_range() -> None:
    """Their losses and gradients are NaN; nothing outside the logits is read (it would trap)."""
    z, targets = normal(4, 130), np.array([129, 130, -1, 2**40])
    losses, lse = cuda.forward(z, targets)
    np.testing.assert_array_equal(np.isnan(losses), [False, True, True, True])
    dz = cuda.backward(np.ones(4, np.float32), z, targets, lse)
    np.testing.assert_array_equal(np.isnan(dz).all(axis=1), [False, True, True, True])
