"""Functions of each element on the CPU: what stands round a compiled one."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .arrays import ready
from .pieces import pieces


def computed(kernel: Callable[..., None], outs: int = 1, **arrays: Any) -> tuple[Any, ...]:
    """``outs`` new float32 arrays of the arrays' shape, as ``kernel(pieces, *arrays, *outs)`` writes them, all flat.

    Raises:
        ValueError, TypeError: an array has another shape than the first, or is not float32; by its name.
    """
    shape = next(iter(arrays.values())).shape
    flat = [ready(array, shape, name).reshape(-1) for name, array in arrays.items()]
    results = tuple([np.empty(shape, np.float32) for _ in range(outs)])
    kernel(pieces(flat[0].size), *flat, *(result.reshape(-1) for result in results))
    return results
