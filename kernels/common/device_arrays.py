"""What a CUDA launcher does with arrays before and after a kernel: check shapes, make contiguous, put results back.

Works on CuPy arrays, and on NumPy arrays where the emulator runs the kernels.
"""

from typing import Any

from .. import runtime

SUFFIXES = {"float32": "f32", "bfloat16": "bf16"}


def suffix(array: Any, operation: str) -> str:
    """What the names of the kernels for that dtype end with.

    Raises:
        TypeError: there are none.
    """
    if array.dtype.name not in SUFFIXES:
        raise TypeError(f"{operation} has CUDA kernels for float32 and bfloat16, got {array.dtype}; use .astype")
    return SUFFIXES[array.dtype.name]


def ready(array: Any, shape: tuple[int, ...], name: str) -> Any:
    """``array``, C-contiguous: itself or a copy.

    Raises:
        ValueError: it has another shape than ``shape``.
    """
    if array.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, got {array.shape}")
    return array if array.flags.c_contiguous else array.copy(order="C")


def check_flat(theta: Any, **others: Any) -> None:
    """Raise ValueError unless theta and the others (None aside) are contiguous and of one shape."""
    for name, vector in (("theta", theta), *others.items()):
        if vector is None:
            continue
        if vector.shape != theta.shape:
            raise ValueError(f"{name} has the shape {vector.shape}, theta {theta.shape}")
        if not vector.flags.c_contiguous:
            raise ValueError(
                f"{name} is updated in place by its memory, and must be contiguous; got strides {vector.strides}"
            )


def target(out: Any, shape: tuple[int, ...], dtype: Any, name: str) -> Any:
    """What a kernel writes: a new array without ``out``, else ``out`` or a copy of it for `finish` to put back.

    Raises:
        ValueError: ``out`` has another shape than ``shape``.
        TypeError: it has another dtype.
    """
    if out is None:
        return runtime.device().empty(shape, dtype)
    if out.dtype != dtype:
        raise TypeError(f"{name} must be {dtype}, got {out.dtype}")
    return ready(out, shape, name)


def finish(written: Any, out: Any) -> Any:
    """Put what was written in `target`'s array where the caller wants it, and return that."""
    if out is None or written is out:
        return written
    out[...] = written
    return out
