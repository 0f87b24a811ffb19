"""What a kernel is handed: C-contiguous, writable float32 arrays, so that one compiled form of it is enough.

Kernels do not check bounds; these functions check every shape before one runs.
"""

from typing import Any

import numpy as np

FLOAT = np.dtype(np.float32)
INTEGER = np.dtype(np.int64)
NONE1 = np.empty(0, FLOAT)  # stand for an array that was not given
NONE2 = np.empty((0, 0), FLOAT)


def ready(array: Any, shape: tuple[int, ...], name: str) -> Any:
    """``array`` in the form that kernels read: itself, or a copy where its memory is laid out otherwise.

    Raises:
        ValueError: it has another shape than ``shape``.
        TypeError: it is not float32.
    """
    if type(array) is np.ndarray and array.dtype is FLOAT and array.shape == shape and array.flags.carray:
        return array  # nearly always: some 200 arrays in a small GPT's step
    check(array, shape, name)
    array = np.ascontiguousarray(array).view(np.ndarray)
    if not array.flags.aligned:
        return array.copy()
    return array if array.flags.writeable else plain(array)


def plain(array: Any) -> Any:
    """The same memory as a NumPy array that is not read-only: kernels only read it, and a copy costs memory."""
    return np.asarray(_Writable(array))


def target(out: Any, shape: tuple[int, ...], name: str) -> Any:
    """The array to write: a new one without ``out``, ``out`` itself, or a copy of it for `finish` to put back.

    Raises:
        ValueError: ``out`` has another shape than ``shape``, or cannot be written.
        TypeError: it is not float32.
    """
    if out is None:
        return np.empty(shape, FLOAT)
    if type(out) is np.ndarray and out.dtype is FLOAT and out.shape == shape and out.flags.carray:
        return out
    check_target(out, shape, name)
    return np.array(out, order="C", subok=False)


def finish(written: Any, out: Any) -> Any:
    """Put what was written in `target`'s array where the caller wants it, and return that."""
    if out is None or written is out:
        return written
    out[...] = written
    return out


def check_target(out: Any, shape: tuple[int, ...], name: str) -> None:
    """Raise unless ``out`` is float32, has ``shape``, and can be written."""
    check(out, shape, name)
    if not out.flags.writeable:
        raise ValueError(f"{name} is read-only; give an array that can be written")


def check(array: Any, shape: tuple[int, ...], name: str) -> None:
    """Raise unless ``array`` is float32 and has ``shape``."""
    if array.dtype != FLOAT:
        raise TypeError(f"{name} must be float32 like the other arrays, got {array.dtype}; convert it with .astype")
    if array.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, got {array.shape}")


def integers(array: Any) -> Any:
    """Indices of any integer dtype and shape as a flat int64 vector."""
    flat = np.asarray(array).reshape(-1)
    if flat.dtype is INTEGER and flat.flags.carray:
        return flat
    return np.require(flat, INTEGER, ["C", "A", "W"])


class _Writable:
    """An array under a description that does not say whether it is read-only."""

    def __init__(self, array: Any) -> None:
        interface = dict(array.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__ = interface
        self._keep_alive = array
