"""Parts of a tensor by index."""

from typing import Any

import numpy as np

from .. import kernels
from ..device import is_on_cuda, namespace
from ..tensor import Tensor, array_index, as_tensor, record, tensors_of


def getitem(x: Any, index: Any) -> Tensor:
    """x[index] with NumPy's rules: slices, integers, None and ``...`` give a view, integer and bool arrays a copy.

    Backward: dy at those places, zero elsewhere; where an index repeats, its gradients add up.

    Raises:
        IndexError: the index does not fit the shape.
    """
    x = as_tensor(x)
    keeps = tensors_of(*index) if isinstance(index, tuple) else tensors_of(index)
    index = array_index(index, x._array)
    simple = _is_simple(index)
    if simple:  # the dots make a view of a single element too
        parts = index if isinstance(index, tuple) else (index,)
        index = parts if any(part is Ellipsis for part in parts) else (*parts, Ellipsis)
    shape, dtype = x.shape, x.dtype
    try:
        y = x._array[index]
    except IndexError as error:
        raise IndexError(f"{error} (indexing a tensor of shape {shape} with {index!r})") from None

    def backward(dy: Any, into: Any) -> None:
        dx, accumulate = into(0, shape, dtype)
        if not accumulate:
            dx[...] = 0
        if simple:
            dx[index] += dy
        else:
            add_at(dx, index, dy)

    return record("getitem", y, (x,), backward, keeps=keeps, view_of=x if simple else None, direct=True)


def add_at(target: Any, index: Any, values: Any) -> None:
    """target[index] += values, where an index repeats adding up in order: ``np.add.at``, and on a GPU as reproducible.

    (CuPy's own adds in the order in which threads arrive.)
    """
    if not is_on_cuda(target):
        np.add.at(target, index, values)
        return
    places = namespace(target).arange(target.size).reshape(target.shape)[index].reshape(-1)
    sums = target.astype(np.float32).reshape(-1, 1)
    kernels.embedding.backward(values.reshape(-1, 1), places, out=sums, accumulate=True)
    target[...] = sums.reshape(target.shape)


def _is_simple(index: Any) -> bool:
    """Whether no element can be selected twice: slices and integers only."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        part is None or part is Ellipsis or (isinstance(part, int | np.integer | slice) and not isinstance(part, bool))
        for part in parts
    )
