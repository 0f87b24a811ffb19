"""Mixed precision: matrix products and activations in bfloat16 over float32 parameters.

    with gd.autocast("bf16"):
        loss = cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()

Inside, the layers' functions (linear, embedding, layer_norm, attention and what is made of them) compute in bfloat16,
with float32 sums. Parameters stay float32: products read their *shadow*, a bfloat16 copy that is refreshed when the
parameter has changed since (an optimizer on a GPU writes it in the pass of its step). Gradients of parameters are
float32, and so are losses. bfloat16 has float32's exponent, so nothing has to be scaled.
"""

import threading
from contextlib import ContextDecorator
from typing import Any

import ml_dtypes
import numpy as np

from .cuda import capturing
from .device import namespace
from .tensor import Parameter, Tensor, as_tensor, wrap

bfloat16 = np.dtype(ml_dtypes.bfloat16)
NAMES = {"bf16": bfloat16, "bfloat16": bfloat16, "fp32": None, "float32": None}


class _Mode(threading.local):
    """The dtype that operands are brought to; None leaves them as they are."""

    def __init__(self) -> None:
        self.dtype: Any = None
        self.before: list[Any] = []


mode = _Mode()


class autocast(ContextDecorator):
    """``with gd.autocast("bf16"):`` what the layers' functions compute inside is bfloat16; ``"fp32"`` switches it off.

    Only the forward belongs inside; a backward knows what its forward did. Threads are independent.

    Raises:
        ValueError: another dtype.
    """

    def __init__(self, dtype: Any = "bf16"):
        try:
            known = dtype in NAMES
        except TypeError:
            known = False
        name = dtype if known else np.dtype(dtype).name
        if name not in NAMES:
            raise ValueError(f"autocast computes in 'bf16' or 'fp32', got {dtype!r}")
        self.dtype = NAMES[name]

    def __enter__(self) -> None:
        mode.before.append(mode.dtype)
        mode.dtype = self.dtype

    def __exit__(self, *_: object) -> None:
        mode.dtype = mode.before.pop()


def operand(x: Any) -> Tensor:
    """What a layer's function computes on in the place of x: itself, or under `autocast` its bfloat16 values.

    The gradient goes to x, in x's own dtype. What is not float32 stays what it is.
    """
    x = x if isinstance(x, Tensor) else as_tensor(x)
    if mode.dtype is None or x.dtype != np.float32:
        return x
    if not isinstance(x, Parameter):
        from .functional.elementwise import cast

        return cast(x, mode.dtype)
    out = wrap(shadow(x))
    out._edge, out._version = x._edge, x._version
    return out


def sum_dtype(dtype: Any) -> Any:
    """The dtype of a weight's gradient where the layer computes in ``dtype``: float32 for bfloat16, as its sums are."""
    return np.dtype(np.float32) if dtype == bfloat16 else dtype


def shadow(parameter: Parameter) -> Any:
    """The parameter's values in bfloat16: an array that is kept, and written anew when the values have changed."""
    graph = capturing()
    if graph is not None:
        graph.note_shadow(parameter)
    leaf, version = parameter._leaf, parameter._version.n
    assert leaf is not None
    if leaf.shadow is None:
        leaf.shadow = shadow_place(parameter)
        leaf.shadow_version = -1
    if leaf.shadow_version != version:
        leaf.shadow[...] = parameter._array
        leaf.shadow_version = version
    return leaf.shadow


def shadow_place(parameter: Parameter) -> Any:
    """Where the shadow is written: in the optimizer's vector of shadows, where there is one."""
    leaf = parameter._leaf
    assert leaf is not None
    if leaf.flat is not None:
        return leaf.flat.shadow_of(parameter)
    return namespace(parameter._array).empty(parameter.shape, bfloat16)
