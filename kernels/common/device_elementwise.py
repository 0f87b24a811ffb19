"""Functions of each element on the GPU: launches of kernels that are `elementwise` of common/elementwise.cuh."""

from typing import Any

from .. import runtime
from .device_arrays import ready, suffix


def computed(source: runtime.Source, kernel: str, outs: int = 1, **arrays: Any) -> tuple[Any, ...]:
    """``outs`` new arrays like the last of the arrays, as ``kernel(*arrays, *outs, n)`` for its dtype writes them.

    Raises:
        ValueError: an array has another shape than the last, by its name.
        TypeError: there is no kernel for the dtype.
    """
    *_, last = arrays.values()
    entry = source[f"{kernel}_{suffix(last, kernel)}"]
    given = [ready(array, last.shape, name) for name, array in arrays.items()]
    results = tuple([runtime.device().empty(last.shape, last.dtype) for _ in range(outs)])
    width = 16 // last.dtype.itemsize
    runtime.launch(
        entry,
        grid=(runtime.blocks(-(-last.size // width), 256, 8),),
        block=(256,),
        arguments=(*given, *results, last.size),
    )
    return results
