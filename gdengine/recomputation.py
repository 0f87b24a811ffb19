"""Activations computed anew in the backward instead of kept: less memory for more time.

    for block in blocks:
        x = gd.checkpoint(block, x)

Of each call only its arguments and results are kept. When the backward reaches it, the function runs again, recorded,
with the random numbers and under the precision of the first time, and the walk goes on over what that recorded: so the
gradients are those of the plain way, to the bit, and go where they would have gone (a parameter's into g).

Of n layers that each keep a, and hand on x, n·a is kept without; with a checkpoint every k layers n/k·x, and k·a more
while k layers are computed anew. That is least for k = √(n·x/a): √n where layers keep no more than they hand on, and 1
for the blocks of a transformer, which keep some twenty times as much. It costs one more forward.

Source: Chen, Xu, Zhang and Guestrin (2016), section 4.
"""

import threading
from collections.abc import Callable
from typing import Any

from . import precision, tape
from .random import default_generator
from .tape import Edge, Node, Recomputed, enable_grad, is_below, next_number
from .tensor import Tensor, wrap


class _Mode(threading.local):
    def __init__(self) -> None:
        self.again = False


mode = _Mode()


def is_recomputing() -> bool:
    """Whether what runs now has run before, and runs again for a backward: what counts or collects has to know."""
    return mode.again


def checkpoint(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """``function(*args, **kwargs)``, of which the tape keeps the arguments and no more.

    Gradients flow to tensors among the arguments, to parameters that the function uses, and to other tensors that it
    sees. Calls nest. Where gradients are not enabled it is a plain call.

    Args:
        function: gives a tensor, or a tuple or list with tensors. It is called again in the backward, and must do the
            same then: draw its random numbers from gdengine.random's default generator, and depend on nothing that
            changes in between (``model.eval()`` before the backward). Batch normalisation takes each batch into its
            running statistics once (PyTorch's does it twice); what else the function does, it does twice.

    Raises:
        RuntimeError: in the backward: the function drew another number of random numbers, gave other shapes, or used
            other tensors than the first time.
    """
    if not tape.mode.enabled:
        return function(*args, **kwargs)
    floor, before = next_number(), default_generator.state_dict()
    result = function(*args, **kwargs)
    outs = _tensors(result)
    starts = [out._edge for out in outs if out._edge is not None]
    if not starts:
        return result
    leading_out, kept = _border(starts, floor)
    given = [x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)]
    kept += [(x._version, x._version.n, x.shape) for x in given]
    calls, dtype = default_generator.call - before["call"], precision.mode.dtype
    shapes = [out.shape for out in outs]
    name = f"checkpoint({getattr(function, '__name__', type(function).__name__)})"

    def backward(dys: Any, walk: Any) -> None:
        floor, after, outer = next_number(), default_generator.state_dict(), mode.again
        default_generator.load_state_dict(before)
        mode.again = True
        try:
            with enable_grad(), precision.autocast(dtype or "fp32"):
                again = _tensors(function(*args, **kwargs))
            drawn = default_generator.call - before["call"]
        finally:
            mode.again = outer
            default_generator.load_state_dict(after)
        if [out.shape for out in again] != shapes or drawn != calls:
            raise RuntimeError(
                f"{name}, run again for the backward, gave results of shapes {[out.shape for out in again]} after "
                f"{drawn} random calls, and {shapes} after {calls} in the forward: it must do the same both times"
            )
        dys = dys if len(shapes) > 1 else (dys,)
        pairs = zip(again, dys, strict=True)
        walk.go_on([(out._edge, dy) for out, dy in pairs if dy is not None and out._edge is not None], floor)

    node = Recomputed(name, tuple(leading_out), backward, tuple(kept), True, len(outs))
    return _replaced(result, node)


def _tensors(result: Any) -> list[Tensor]:
    parts = result if isinstance(result, tuple | list) else (result,)
    return [part for part in parts if isinstance(part, Tensor)]


def _border(starts: list[Edge], floor: int) -> tuple[list[Edge], list[Any]]:
    """The edges that lead out of what was recorded from ``floor`` on, and what must not be changed in place."""
    out: dict[Edge, None] = {}
    kept: dict[tuple[int, int], Any] = {}
    seen: set[Node] = set()
    stack = list(starts)
    while stack:
        edge = stack.pop()
        if is_below(edge, floor):
            out[edge] = None
        elif edge[0] not in seen:
            seen.add(edge[0])
            kept.update({(id(entry[0]), entry[1]): entry for entry in edge[0].kept})
            stack.extend(inner for inner in edge[0].inputs if inner is not None)
    return list(out), list(kept.values())


def _replaced(result: Any, node: Node) -> Any:
    """The result over the same arrays, with ``node`` in the place of what was recorded."""
    if isinstance(result, Tensor):
        return _on(result, node, 0)
    numbers = iter(range(node.results))
    parts = [_on(part, node, next(numbers)) if isinstance(part, Tensor) else part for part in result]
    return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)


def _on(tensor: Tensor, node: Node, index: int) -> Tensor:
    out = wrap(tensor._array)
    out._version = tensor._version
    if tensor._edge is not None:
        out._edge = (node, index)
    return out
