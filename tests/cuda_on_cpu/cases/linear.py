"""The affine map. Every sum of n products is taken one after the other in float32 (tensor cores: 16 or 8 at a time),
the parts of a split sum likewise: it is off by at most (n + parts)·u·Σ|terms|; bias, residual, what was there before
and the activation add a few roundings of their own size. Products of bfloat16 numbers are exact in float32. tf32 keeps
11 significant bits: rounding two operands to it changes their product by 2⁻¹⁰ of its size (and 2⁻²² more).
"""

from collections.abc import Callable

import numpy as np
import pytest

from gdengine.kernels import runtime
from gdengine.kernels.linear import cuda, reference, wgmma

from . import BF16, FLOATS, EmulatedDevice, U, assert_within, case, normal, unaligned, wide

SHAPES = ((1, 1, 1), (5, 7, 9), (4, 8, 9), (130, 12, 20), (33, 140, 132))  # M, N, K
ALIGNED = ((1, 8, 8), (137, 24, 104), (9, 152, 136))  # N and K multiples of 8
# several tiles a block, more steps than the ring has stages, by the tile's width (plans, below, looks whether it is so)
PERSISTENT = {128: (200, 264, 264), 256: (200, 664, 136)}
TF32 = 2.0**-10 + 2.0**-22


def _products(
    shapes: tuple, dtype: np.dtype, wrap: Callable[[np.ndarray], np.ndarray] = np.copy, rounding: float = 0
) -> None:
    """``rounding``: by how much of its size an operand's own rounding may change a product."""
    for i, (m, n, k) in enumerate(shapes):
        x, w, b = (wrap(normal(*shape, dtype=dtype)) for shape in ((m, k), (n, k), (n,)))
        dy, residual = (wrap(normal(m, n, dtype=dtype, seed=seed)) for seed in (1, 2))
        what = f"{dtype} {m, n, k}"
        _check_forward(x, w, b, None, residual, what, rounding)
        _check_forward(x, w, b if i % 2 else None, ("gelu", "relu")[i % 2], None, what, rounding)
        for add in (False, True):
            dx, dw, db = wrap(normal(m, k, dtype=dtype, seed=3)), wrap(normal(n, k, seed=4)), wrap(normal(n, seed=5))
            _check_input(dy, w, dx, add, what, rounding)
            activation, saved = ("gelu", "relu")[(i + add) % 2], normal(m, k, dtype=dtype, seed=6)
            saved = wrap(np.maximum(saved, 0) if activation == "relu" else saved)
            _check_input(dy, w, dx, add, what, rounding, activation, saved)
            _check_weight(dy, x, dw, add, what, rounding, db if i or add else None, not add)


def _check_forward(x, w, b, activation, residual, what, rounding: float = 0) -> None:
    y, saved = cuda.forward(x, w, b, activation=activation, residual=residual)
    more = {"b": None if b is None else wide(b), "residual": None if residual is None else wide(residual)}
    exact, exact_saved = reference.forward(wide(x), wide(w), activation=activation, **more)
    size = np.abs(wide(x)) @ np.abs(wide(w)).T + sum(np.abs(p) for p in more.values() if p is not None)
    bound = ((x.shape[1] + 12) * U + rounding) * size * 1.13  # gelu' ≤ 1.13
    assert y.dtype == x.dtype
    assert_within(y, exact, bound, f"{what}: y, {activation}")
    if activation is None:
        assert saved is None
    else:
        assert_within(saved, exact_saved, bound, f"{what}: saved by {activation}")


def _check_input(dy, w, out, add, what, rounding: float = 0, activation=None, saved=None) -> None:
    before = wide(out) * add
    options = {"activation": activation, "saved": saved}
    got = cuda.backward_input(dy, w, out=out, accumulate=add, **options)
    assert got is out
    size = np.abs(wide(dy)) @ np.abs(wide(w)) * 1.13  # gelu' ≤ 1.13, and off by 40 u: see backward_relu below
    bound = ((dy.shape[1] + 44) * U + rounding) * size + 4 * U * np.abs(before)
    exact = reference.backward_input(
        wide(dy), wide(w), activation=activation, saved=None if saved is None else wide(saved)
    )
    assert_within(got, before + exact, bound, f"{what}: dx, {add}, {activation}")
    if not add:
        np.testing.assert_array_equal(cuda.backward_input(dy, w, **options), got)


def _check_weight(dy, x, out, add, what, rounding: float = 0, db=None, add_db=False) -> None:
    before, before_db = (wide(part) if kept and part is not None else 0.0 for part, kept in ((out, add), (db, add_db)))
    got = cuda.backward_weight(dy, x, out=out, accumulate=add, db=db, accumulate_db=add_db)
    assert got is out
    size = np.abs(wide(dy)).T @ np.abs(wide(x))
    bound = ((dy.shape[0] + 12) * U + rounding) * size + 12 * U * np.abs(before)
    assert_within(got, before + wide(dy).T @ wide(x), bound, f"{what}: dw, {add}")
    if db is not None:
        bound = ((dy.shape[0] + 12) * U + rounding) * np.abs(wide(dy)).sum(axis=0) + 12 * U * np.abs(before_db)
        assert_within(db, before_db + wide(dy).sum(axis=0), bound, f"{what}: db, {add_db}")
    if not add:
        np.testing.assert_array_equal(cuda.backward_weight(dy, x), got)


@case
def products_simt() -> None:
    with cuda.forced("simt"):
        for dtype in FLOATS:
            _products(SHAPES, dtype)
            _products(((9, 12, 8),), dtype, unaligned)


@case
def products_mma() -> None:
    with cuda.forced("mma"):
        _products(ALIGNED, BF16)
        for n in (3, 14):  # a result's rows may have any length
            x, w, b = normal(7, 16, dtype=BF16), normal(n, 16, dtype=BF16), normal(n, dtype=BF16)
            _check_forward(x, w, b, "gelu", None, f"N = {n}")


@case
def products_wgmma() -> None:
    if runtime.device().capability != (9, 0):
        pytest.skip("wgmma needs compute capability 9.0")
    with cuda.forced("wgmma"):
        _products((*ALIGNED[:2], *PERSISTENT.values()), BF16)
        for m, n, k in ((7, 3, 16), (130, 130, 8), (2056, 264, 8)):  # the last: more than a band of tile rows
            x, w, b = normal(m, k, dtype=BF16), normal(n, k, dtype=BF16), normal(n, dtype=BF16)
            _check_forward(x, w, b, "gelu", None, f"wgmma {m, n, k}")


@case
def products_tf32() -> None:
    with cuda.forced("mma"):
        _products(((1, 4, 4), (137, 20, 100), (9, 152, 136)), FLOATS[0], rounding=TF32)


@case
def tf32_rounds_to_nearest() -> None:
    """1 + 2⁻¹⁰·(j + 1/2) goes to the next number with 10 bits, ties away from zero; sums keep 23 bits."""
    x = 1 + (np.arange(16, dtype=np.float32).reshape(4, 4) + 0.5) * 2.0**-10
    with cuda.allow_tf32():
        y, _ = cuda.forward(x.astype(np.float32), np.eye(4, dtype=np.float32))
        z, _ = cuda.forward(np.float32([[1, 2**-20, 0, 0]]), np.ones((4, 4), np.float32))
    np.testing.assert_array_equal(y, 1 + np.arange(1, 17).reshape(4, 4) * 2.0**-10)
    np.testing.assert_array_equal(z, np.full((1, 4), 1 + 2**-20))


@case
def split_weight_gradient() -> None:
    if runtime.device().multiprocessors > 1:
        assert cuda.split(531, 1)[0] > 1
        assert wgmma.plan(136, 24, 2000, splits=True).parts > 1
    for kind, dtype, m, n in (
        ("simt", FLOATS[0], 531, 9),
        ("simt", BF16, 531, 9),
        ("mma", BF16, 531, 16),
        ("mma", FLOATS[0], 531, 12),
        *([("wgmma", BF16, 2000, 136)] if runtime.device().capability == (9, 0) else []),
    ):
        dy, x = normal(m, n, dtype=dtype), normal(m, 24, dtype=dtype)
        with cuda.forced(kind):
            for add in (False, True):
                rounding = TF32 if kind == "mma" and dtype != BF16 else 0
                db = normal(n, seed=1) if add else np.full(n, np.nan, np.float32)
                _check_weight(dy, x, normal(n, 24), add, f"{kind} {dtype} split", rounding, db, add)


@case
def db_without_a_tile_of_dw() -> None:
    dy, db = normal(7, 5), normal(5)
    before = wide(db)
    assert cuda.backward_weight(dy, normal(7, 0), db=db, accumulate_db=True).shape == (5, 0)
    bound = 23 * U * (np.abs(wide(dy)).sum(axis=0) + np.abs(before))
    assert_within(db, before + wide(dy).sum(axis=0), bound, "db, K = 0")
    cuda.backward_weight(normal(0, 5), normal(0, 3), db=db)
    np.testing.assert_array_equal(db, np.zeros(5))


@case
def generations() -> None:
    x, w = normal(4, 16, dtype=BF16), normal(8, 16, dtype=BF16)
    x32, w32 = x.astype(np.float32), w.astype(np.float32)
    assert cuda.generation(x, w) == "mma"  # too small for wgmma
    assert cuda.generation(x32, w32) == "simt"
    with cuda.allow_tf32():
        assert cuda.generation(x32, w32) == "mma"
        with cuda.allow_tf32(False):
            assert cuda.generation(x32, w32) == "simt"
        assert cuda.generation(x32[:, :14].copy(), w32) == "simt"
        assert cuda.generation(x32, w) == "simt"
    assert cuda.generation(x32, w32) == "simt"
    assert cuda.generation(x[:, :9].copy(), w) == "simt"
    assert cuda.generation(unaligned(x), w) == "simt"
    with cuda.forced("mma"), pytest.raises(ValueError, match="multiples of 16 bytes"):
        cuda.forward(unaligned(x), w)
    with cuda.forced("mma"):
        assert cuda.generation(x32, w32) == "mma"
    with cuda.forced("simt"):
        assert cuda.generation(x, w) == "simt"
    with pytest.raises(ValueError, match="generation must be one of wgmma, mma, simt"), cuda.forced("tensor cores"):
        pass


@case
def generation_wgmma() -> None:
    x, w = normal(64, 72, dtype=BF16), normal(80, 72, dtype=BF16)
    for capability in ((8, 9), (10, 0)):
        with runtime.substituted(EmulatedDevice(capability=capability)):
            assert cuda.generation(x, w) == "mma"
            with cuda.forced("wgmma"), pytest.raises(ValueError, match=r"capability 9\.0, the device has"):
                cuda.generation(x, w)
    with runtime.substituted(EmulatedDevice(capability=(9, 0))):
        assert cuda.generation(x, w) == "wgmma"
        assert cuda.generation(x[:63], w) == "mma"
        assert cuda.generation(unaligned(x), w) == "simt"
        with cuda.forced("wgmma"):
            assert cuda.generation(x[:1], w) == "wgmma"
            for a, b, reason in (
                (x.astype(np.float32), w.astype(np.float32), "two of bfloat16, got float32"),
                (x, unaligned(w), "multiples of 16 bytes"),
                (x[:, :9].copy(), w[:, :9].copy(), "multiples of 16 bytes"),
                (x[:0], w, "empty array"),
            ):
                with pytest.raises(ValueError, match=f"'wgmma': .*{reason}.*; 'simt' takes anything"):
                    cuda.forward(a, b)


@case
def plans() -> None:
    """Tiles and parts, on an H100 and as `PERSISTENT` says."""
    for width, (m, n, k) in PERSISTENT.items():
        for rows, columns, depth, splits in ((m, n, k, False), (m, k, n, False), (n, k, m, True)):
            assert wgmma.plan(rows, columns, depth, splits=splits).width == width
    multiprocessors = 132
    for rows, columns, depth, splits, wanted in (
        (65536, 3072, 768, False, (256, 1)),
        (1024, 1024, 1024, False, (128, 1)),  # 64 tiles instead of 32
        (768, 768, 65536, True, (256, 7)),  # 126 parts of tiles
        (50304, 768, 65536, True, (256, 1)),
        (128, 256, 131, True, (128, 1)),
    ):
        width, parts, span = wgmma._plan(rows, columns, depth, splits, multiprocessors)
        assert (width, parts) == wanted
        assert span % 64 == 0
        assert (parts - 1) * span < depth <= parts * span


@case
def backward_relu() -> None:
    for dtype in FLOATS:
        for wrap in (np.copy, unaligned):
            dy, y = wrap(normal(70, 59, dtype=dtype)), wrap(np.maximum(normal(70, 59, dtype=dtype, seed=1), 0))
            np.testing.assert_array_equal(
                cuda.backward_activation(dy, y, "relu"), reference.backward_activation(dy, y, "relu")
            )
    dy, z = normal(3, 5), normal(3, 5, seed=1)
    exact = reference.backward_activation(wide(dy), wide(z), "gelu")
    assert_within(cuda.backward_activation(dy, z, "gelu"), exact, 40 * U * np.abs(wide(dy)), "gelu")


@case
def backward_bias() -> None:
    for dtype in FLOATS:
        for m, n in ((1, 1), (7, 70), (601, 33)):
            dy, db = normal(m, n, dtype=dtype), normal(n)
            bound = (m / 8 + 16) * U * (np.abs(wide(dy)).sum(axis=0) + np.abs(wide(db)))
            before = wide(db)
            assert_within(cuda.backward_bias(dy), wide(dy).sum(axis=0), bound, f"{dtype} {m, n}")
            got = cuda.backward_bias(dy, out=db, accumulate=True)
            assert got is db
            assert_within(got, before + wide(dy).sum(axis=0), bound, f"{dtype} {m, n}: added")


@case
def nothing_to_do() -> None:
    x, w, b = normal(0, 4), normal(3, 4), normal(3)
    y, _ = cuda.forward(x, w, b)
    assert y.shape == (0, 3)
    np.testing.assert_array_equal(cuda.backward_weight(y, x), np.zeros((3, 4)))
    np.testing.assert_array_equal(cuda.backward_bias(y), np.zeros(3))
    assert cuda.backward_activation(y, y, "relu").shape == (0, 3)
    np.testing.assert_array_equal(cuda.forward(normal(2, 0), normal(3, 0), b)[0], np.stack([b, b]))
