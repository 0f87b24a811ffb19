"""The affine map on the GPU: which kernel, which tiles, how the sums of dW and db are split.

Three generations of products: ``"simt"`` (linear_simt.cu: any shape, any device), ``"mma"`` (linear_mma.cu: tensor
cores, sm_80 and up, where the rows of both operands lie a multiple of 16 bytes apart) and ``"wgmma"`` (linear_wgmma.cu:
Hopper's way to its tensor cores, sm_90, bfloat16, rows likewise; launched by wgmma.py). The best that the arrays allow
runs, or the one that `forced` says; ``"wgmma"`` leaves small products to ``"mma"`` unless forced. Tensor cores round
float32 operands to tf32, 10 bits of mantissa instead of 23: they take them only where `allow_tf32` or `forced` says so.

dW and db are float32, whatever the operands are: their sums are, and they go into g.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np

from .. import runtime
from ..common.device_arrays import SUFFIXES, finish, ready, suffix, target
from ..gelu import cuda as gelu
from . import separately, wgmma

SOURCES = {name: runtime.Source(__file__, f"linear_{name}.cu") for name in ("mma", "simt")}
PASSES = runtime.Source(__file__, "linear_passes.cu")
CODES = {None: 0, "relu": 1, "gelu": 2}

TILE = 128  # rows and columns of the result that a block of simt or mma makes
SHARED = {"simt": 0, "mma": 3 * 2 * 10240}  # bytes: mma's stages, operands, a tile
LEAST_SPAN = 128  # rows that a part of a split sum has at least

_forced: ContextVar[str | None] = ContextVar("linear_generation", default=None)


class allow_tf32:
    """Let products of float32 arrays run on tensor cores: for good as a statement, to the end of a ``with`` block.

    An operand is then off by up to 2⁻¹¹ of itself; sums are float32 still. Off at first, as PyTorch's
    ``torch.backends.cuda.matmul.allow_tf32`` is. Holds for the whole process.
    """

    now = False

    def __init__(self, allowed: bool = True):
        self._before = allow_tf32.now
        allow_tf32.now = bool(allowed)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        allow_tf32.now = self._before


@contextlib.contextmanager
def forced(generation: str) -> Iterator[None]:
    """Compute the products inside this block with ``"wgmma"``, ``"mma"`` or ``"simt"``.

    A product that the generation cannot do then raises ValueError.
    """
    if generation not in BEST_FIRST:
        raise ValueError(f"generation must be one of {', '.join(BEST_FIRST)}, got {generation!r}")
    token = _forced.set(generation)
    try:
        yield
    finally:
        _forced.reset(token)


def forward(x, w, b=None, *, activation=None, residual=None):
    (m, k), n = x.shape, w.shape[0]
    x, w = ready(x, (m, k), "x"), ready(w, (n, k), "w")
    b = None if b is None else ready(b, (n,), "b")
    residual = None if residual is None else ready(residual, (m, n), "residual")
    empty = runtime.device().empty
    y = empty((m, n), x.dtype)
    z = empty((m, n), x.dtype) if activation == "gelu" else None
    kind = generation(x, w)
    _product(kind, "forward", x, w, (b, residual, z, y, m, n, k, CODES[activation]), m, n, _plan(kind, m, n, k))
    return y, {None: None, "relu": y, "gelu": z}[activation]


def backward_activation(dy, saved, activation):
    if activation == "gelu":
        return gelu.backward(dy, saved)
    dy, saved = ready(dy, saved.shape, "dy"), ready(saved, saved.shape, "saved")
    dz = runtime.device().empty(dy.shape, dy.dtype)
    if dz.size:
        width = 16 // dy.dtype.itemsize
        runtime.launch(
            PASSES[f"linear_backward_relu_{suffix(dy, 'linear')}"],
            grid=(runtime.blocks(-(-dy.size // width), 256, 8),),
            block=(256,),
            arguments=(dy, saved, dz, dy.size),
        )
    return dz


def backward_input(dy, w, *, activation=None, saved=None, out=None, accumulate=False):
    (m, n), k = dy.shape, w.shape[1]
    dy, w = ready(dy, (m, n), "dy"), ready(w, (n, k), "w")
    saved = None if activation is None else ready(saved, (m, k), "saved")
    dx = target(out, (m, k), dy.dtype, "out")
    add = int(out is not None and bool(accumulate))
    kind = generation(dy, w)
    _product(kind, "backward_input", dy, w, (saved, dx, m, n, k, CODES[activation], add), m, k, _plan(kind, m, k, n))
    return finish(dx, out)


def backward_weight(dy, x, *, out=None, accumulate=False, db=None, accumulate_db=False):
    (m, n), k = dy.shape, x.shape[1]
    dy, x = ready(dy, (m, n), "dy"), ready(x, (m, k), "x")
    dw = target(out, (n, k), np.float32, "out")
    sums = None if db is None else target(db, (n,), np.float32, "db")
    add, add_db = int(out is not None and bool(accumulate)), int(bool(accumulate_db))
    kind = generation(dy, x)
    plan = _plan(kind, n, k, m, splits=True)
    if not k and db is not None:  # no tile of dW, whose blocks would sum
        backward_bias(dy, out=sums, accumulate=accumulate_db)
    elif plan.parts == 1:
        _product(kind, "backward_weight", dy, x, (dw, sums, m, n, k, plan.span, add, add_db), n, k, plan)
    else:
        empty = runtime.device().empty
        dw_parts = empty((plan.parts, n, k), np.float32)
        db_parts = None if db is None else empty((plan.parts, n), np.float32)
        _product(kind, "backward_weight", dy, x, (dw_parts, db_parts, m, n, k, plan.span, 0, 0), n, k, plan)
        _sum_partials(dw_parts, dw, add, db_parts, sums, add_db)
    finish(sums, db)
    return finish(dw, out)


def backward_bias(dy, *, out=None, accumulate=False):
    dy = ready(dy, dy.shape, "dy")
    m, n = dy.shape
    db = target(out, (n,), np.float32, "out")
    parts, span = split(m, -(-n // 32))
    partials = runtime.device().empty((parts, n), np.float32)
    if db.size:
        runtime.launch(
            PASSES[f"linear_column_sums_{suffix(dy, 'linear')}"],
            grid=(-(-n // 32), parts),
            block=(256,),
            arguments=(dy, partials, m, n, span),
        )
    _sum_partials(None, None, 0, partials, db, int(out is not None and bool(accumulate)))
    return finish(db, out)


def backward(
    dy,
    x,
    w,
    *,
    activation=None,
    saved=None,
    below=None,
    below_saved=None,
    dx=None,
    dw=None,
    db=None,
    accumulate=(False, False, False),
):
    undone = activation, saved, below, below_saved
    separately.backward(sys.modules[__name__], dy, x, w, *undone, (dx, dw, db), accumulate)


def split(length: int, tiles: int) -> tuple[int, int]:
    """Into how many parts, and how long ones, a sum is split so that ``tiles`` of them keep the device busy.

    The parts are a multiple of 64 long, so that where they begin is aligned. A function of the shape and the device
    alone: the same bits at every run.
    """
    wanted = 2 * runtime.device().multiprocessors // max(tiles, 1)
    return wgmma.spans(length, max(1, min(wanted, length // LEAST_SPAN)))


def generation(a: Any, b: Any) -> str:
    """Which of the generations multiplies the contiguous operands ``a`` and ``b``.

    Raises:
        ValueError: the forced one cannot.
    """
    asked = _forced.get()
    if asked is None:
        return next(kind for kind in BEST_FIRST if not (_only_if_asked(kind, a, b) or OBSTACLES[kind](a, b)))
    if obstacle := OBSTACLES[asked](a, b):
        raise ValueError(f"linear cannot use the generation {asked!r}: {obstacle}; 'simt' takes anything")
    return asked


def _only_if_asked(kind: str, a: Any, b: Any) -> bool:
    if kind == "wgmma":
        return min(*a.shape, *b.shape) < wgmma.SMALL
    return kind == "mma" and a.dtype == np.float32 and not allow_tf32.now


def no_mma(a: Any, b: Any) -> str:
    """Why mma.sync cannot multiply them; empty when it can."""
    if runtime.device().capability < (8, 0):
        return f"it needs compute capability 8.0, the device has {runtime.device().capability}"
    for array in (a, b):
        if array.dtype.name not in SUFFIXES or array.dtype != a.dtype:
            return f"it multiplies two of bfloat16 or two of float32, got {a.dtype} and {b.dtype}"
        if array.shape[1] * array.dtype.itemsize % 16 or wgmma.address(array) % 16:
            return f"rows must start at multiples of 16 bytes, those of a {array.shape} operand do not"
    return ""


OBSTACLES: dict[str, Callable[[Any, Any], str]] = {
    "wgmma": wgmma.obstacle,
    "mma": no_mma,
    "simt": lambda a, b: "",
}
BEST_FIRST = tuple(OBSTACLES)


def _plan(kind: str, rows: int, columns: int, depth: int, *, splits: bool = False) -> wgmma.Plan:
    """In which tiles, and how many parts of the depth, a result of rows × columns is made."""
    if kind == "wgmma":
        return wgmma.plan(rows, columns, depth, splits=splits)
    tiles = -(-rows // TILE) * -(-columns // TILE)
    return wgmma.Plan(TILE, *(split(depth, tiles) if splits else (1, depth)))


def _product(kind: str, name: str, a: Any, b: Any, arguments: tuple, rows: int, columns: int, plan: wgmma.Plan) -> None:
    """Launch a product of the operands ``a`` and ``b``; ``arguments`` are the kernel's others."""
    if not rows or not columns:
        return
    if kind == "wgmma":
        wgmma.launch(name, a, b, arguments, rows, columns, plan)
        return
    runtime.launch(
        SOURCES[kind][f"linear_{kind}_{name}_{suffix(a, 'linear')}"],
        grid=(-(-rows // TILE), -(-columns // TILE), plan.parts),
        block=(256,),
        arguments=(a, b, *arguments),
        shared_bytes=SHARED[kind],
    )


def _sum_partials(dw_parts: Any, dw: Any, accumulate: int, db_parts: Any, db: Any, accumulate_db: int) -> None:
    sizes = [0 if array is None else array.size for array in (dw, db)]
    parts = len(db_parts if dw_parts is None else dw_parts)
    if sum(sizes):
        runtime.launch(
            PASSES["linear_sum_partials"],
            grid=(runtime.blocks(sum(sizes), 256, 8),),
            block=(256,),
            arguments=(dw_parts, db_parts, dw, db, parts, *sizes, accumulate, accumulate_db),
        )
