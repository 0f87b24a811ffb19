"""Rotary position embedding."""

from functools import lru_cache
from typing import Any

import numpy as np

from .. import kernels
from ..device import beside, check_same, device_of, moved
from ..precision import operand
from ..tensor import Tensor, as_tensor, record, wrap
from .elementwise import floating


def rotary_embedding(
    x: Any,
    positions: Any = None,
    *,
    base: float = 10_000.0,
    interleaved: bool = False,
    tables: tuple[Any, Any] | None = None,
) -> Tensor:
    """Queries or keys with their positions turned in (Su et al. 2021): see `gdengine.kernels.rotary` for the formula.

    The product of a query and a key that were both turned depends on how far apart they are, not where.

    Args:
        x: ``(..., T, D)``, such as heads ``(B, H, T, D)``; D even.
        positions: ``(T,)``, whole numbers or not; 0 … T − 1 unless given.
        base: pair k turns by position · base^(−2k/D).
        interleaved: pairs are neighbours (2k, 2k + 1), as in the paper and GPT-J; else (k, k + D/2), as in GPT-NeoX and
            LLaMA.
        tables: (cos, sin), ``(T, R/2)`` each, in the place of positions and base: see `rotary_tables`. With R < D the
            elements from R on stay.

    Raises:
        ValueError: a shape does not fit, or positions and tables both.
    """
    x = operand(floating(x))
    if x.ndim < 2 or (tables is None and x.shape[-1] % 2):
        raise ValueError(f"rotary_embedding wants (..., time, width) with an even width, got x of shape {x.shape}")
    time, width = x.shape[-2:]
    dtype = np.dtype(np.float64 if x.dtype == np.float64 else np.float32)
    if tables is None:
        cos, sin = _tables_for(positions, time, width, float(base), device_of(x._array), dtype)
    elif positions is not None:
        raise ValueError("rotary_embedding takes positions or tables of their cosines and sines, not both")
    else:
        cos, sin = (beside(as_tensor(t)._array, x._array).astype(dtype, copy=False) for t in tables)
    check_same("rotary_embedding", x=x._array, cos=cos, sin=sin)
    if cos.ndim != 2 or cos.shape[0] != time or cos.shape != sin.shape or 2 * cos.shape[1] > width:
        raise ValueError(f"rotary_embedding of x {x.shape} wants {time} positions; its cos and sin are {cos.shape}")
    shape, heads = x.shape, (-1, time, width) if x.size else (0, time, width)
    y = kernels.rotary.rotate(x._array.reshape(heads), cos, sin, interleaved=interleaved)

    def backward(dy: Any) -> tuple[Any]:
        dx = kernels.rotary.rotate(dy.reshape(heads), cos, sin, interleaved=interleaved, inverse=True)
        return (dx.reshape(shape),)

    return record("rotary_embedding", y.reshape(shape), (x,), backward)


def rotary_tables(
    positions: Any, width: int, *, base: float = 10_000.0, dtype: Any = np.float32
) -> tuple[Tensor, Tensor]:
    """cos and sin of position · base^(−2k/width), ``(T, width/2)`` each, for `rotary_embedding`.

    Computed in float64 and rounded once: angles of far positions keep their digits. ``positions`` is T, or ``(T,)``.
    """
    if width < 2 or width % 2:
        raise ValueError(f"rotary_tables wants an even width, got {width}")
    at = (
        np.arange(positions) if isinstance(positions, int | np.integer) else as_tensor(positions).cpu().detach().numpy()
    )
    if at.ndim != 1:
        raise ValueError(f"rotary_tables wants positions of shape (time,), got {at.shape}")
    angle = np.multiply.outer(at.astype(np.float64), float(base) ** (-np.arange(0, width, 2) / width))
    return wrap(np.cos(angle).astype(dtype)), wrap(np.sin(angle).astype(dtype))


def _tables_for(positions: Any, time: int, width: int, base: float, device: str, dtype: Any) -> tuple[Any, Any]:
    if positions is None:
        return _first(time, width, base, device, dtype)
    cos, sin = rotary_tables(positions, width, base=base, dtype=dtype)
    return moved(cos._array, device), moved(sin._array, device)


@lru_cache(maxsize=32)
def _first(time: int, width: int, base: float, device: str, dtype: Any) -> tuple[Any, Any]:
    """Kept: a model asks for the same ones at every layer of every step, and a graph may copy nothing."""
    if not width:
        return moved(np.empty((time, 0), dtype), device), moved(np.empty((time, 0), dtype), device)
    cos, sin = rotary_tables(time, width, base=base, dtype=dtype)
    return moved(cos._array, device), moved(sin._array, device)
