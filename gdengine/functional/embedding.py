"""Rows of a table by index."""

from typing import Any

import numpy as np

from .. import kernels
from ..device import beside, check_same, is_on_cuda
from ..precision import operand, sum_dtype
from ..tensor import Tensor, as_tensor, record, tensors_of


def embedding(ids: Any, weight: Any) -> Tensor:
    """y[...] = weight[ids[...]]: see `gdengine.kernels.embedding`.

    Args:
        ids: integers of any shape, in [0, V).
        weight: ``(V, C)``.

    Returns:
        ``(*ids.shape, C)``.

    Raises:
        TypeError: ids are not integers.
        ValueError: the weight has not two axes.
        IndexError: an id is out of range; the message says which, and where. (Ids that live on a GPU are not looked
            at, since that would have to wait for it: an id out of range reads as NaN there, and moves nothing.)
    """
    w = operand(weight)
    if w.ndim != 2:
        raise ValueError(f"embedding wants a weight of shape (V, C), got {w.shape}; the ids come before the weight")
    indices = as_tensor(ids)._array
    check_indices("embedding", "ids", indices, w.shape[0])
    indices = beside(indices, w._array)
    check_same("embedding", ids=indices, weight=w._array)
    w_shape, dtype = w.shape, w.dtype

    def backward(dy: Any, into: Any) -> None:
        dw, accumulate = into(0, w_shape, sum_dtype(dtype))
        kernels.embedding.backward(dy, indices, out=dw, accumulate=accumulate)

    y = kernels.embedding.forward(w._array, indices)
    return record("embedding", y, (w,), backward, keeps=tensors_of(ids), direct=True)


def check_indices(function: str, name: str, indices: Any, limit: int, ignored: int | None = None) -> bool:
    """Raise unless ``indices`` are integers in [0, limit), or ``ignored``.

    Returns:
        Whether all are known to lie in [0, limit). (Not on a GPU, which nothing waits for.)
    """
    if indices.dtype.kind not in "iu":
        raise TypeError(
            f"{function} wants integer {name}, got {indices.dtype}: write {name}.astype(np.int64), or {name}.long() if "
            "that is a tensor"
        )
    if not indices.size or is_on_cuda(indices):
        return False
    if indices.dtype == np.int64:  # one pass in place of two: as unsigned numbers, negative ones are the largest
        in_range = int(indices.view(np.uint64).max()) < limit
    else:
        in_range = int(indices.min()) >= 0 and int(indices.max()) < limit
    if in_range:
        return True
    wrong = (indices < 0) | (indices >= limit)
    if ignored is not None:
        wrong &= indices != ignored
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise IndexError(f"{function}: {name}{list(at)} is {indices[at]}, but {name} must lie in 0 … {limit - 1}")
    return False
