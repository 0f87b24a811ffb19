"""A transformer's two branches, each added to what it reads: x + f(norm(x)).

On the CPU, in float32, a branch is one node of the tape and one pass (`gdengine.kernels.attention_branch`,
`gdengine.kernels.feed_forward_branch`): a core takes its rows from the norm to the sum while they are in its cache.
Everywhere else, and where somebody looks at what stands between, it is the functions that it is made of.
"""

from typing import Any

import numpy as np

from .. import kernels, precision, tape
from ..tensor import Tensor, as_tensor, record
from .attention import qkv_attention
from .linear import linear
from .mlp import feed_forward
from .normalization import layer_norm

Inputs = tuple[Any, ...]  # x, the norm's weight and bias, the first product's, the last one's
Shapes = tuple[tuple[int, ...], ...]

MATRICES = 1, 3, 5  # the places in them that may not be None


def attention_branch(
    x: Any,
    norm_weight: Any,
    norm_bias: Any,
    qkv_weight: Any,
    qkv_bias: Any,
    proj_weight: Any,
    proj_bias: Any,
    *,
    n_head: int,
    is_causal: bool = True,
    eps: float = 1e-5,
) -> Tensor:
    """Y = X + linear(qkv_attention(linear(layer_norm(X)))): a transformer's attention, pre-norm (GPT-2's).

    Args:
        x: ``(B, T, C)``.
        norm_weight, norm_bias: ``(C,)``, the bias or None.
        qkv_weight, qkv_bias: ``(3·C, C)`` and ``(3·C,)`` or None: queries, keys and values, packed.
        proj_weight, proj_bias: ``(C, C)`` and ``(C,)`` or None.
        n_head: of C / n_head each.
        is_causal: position i sees 0 … i only.

    Raises:
        ValueError: a shape does not fit.
        TypeError: the dtypes differ.
    """
    inputs = _tensors(x, norm_weight, norm_bias, qkv_weight, qkv_bias, proj_weight, proj_bias)
    width = _width(inputs[0])
    shapes = (width,), (width,), (3 * width, width), (3 * width,), (width, width), (width,)
    divides = inputs[0].ndim == 3 and n_head > 0 and width % n_head == 0
    if divides and _is_one_pass(kernels.attention_branch, inputs, shapes):
        options = {"n_head": n_head, "causal": is_causal}
        return _one_pass("attention_branch", kernels.attention_branch, inputs, eps, options)
    normed = layer_norm(x, norm_weight, norm_bias, eps)
    heads = qkv_attention(linear(normed, qkv_weight, qkv_bias), n_head, is_causal=is_causal)
    return linear(heads, proj_weight, proj_bias, residual=x)


def feed_forward_branch(
    x: Any,
    norm_weight: Any,
    norm_bias: Any,
    w1: Any,
    b1: Any,
    w2: Any,
    b2: Any,
    *,
    activation: str = "gelu",
    eps: float = 1e-5,
) -> Tensor:
    """Y = X + feed_forward(layer_norm(X)): a transformer's MLP, pre-norm (GPT-2's).

    Args:
        x: ``(..., C)``.
        norm_weight, norm_bias: ``(C,)``, the bias or None.
        w1, b1: ``(hidden, C)`` and ``(hidden,)`` or None.
        w2, b2: ``(C, hidden)`` and ``(C,)`` or None.
        activation: ``"relu"`` or ``"gelu"`` (tanh form).

    Raises:
        ValueError: a shape does not fit, or the activation is not known.
        TypeError: the dtypes differ.
    """
    inputs = _tensors(x, norm_weight, norm_bias, w1, b1, w2, b2)
    width, hidden = _width(inputs[0]), inputs[3].shape[:1]
    shapes = (width,), (width,), (*hidden, width), hidden, (width, *hidden), (width,)
    known = activation in kernels.feed_forward_branch.ACTIVATIONS
    if known and _is_one_pass(kernels.feed_forward_branch, inputs, shapes):
        options = {"activation": activation}
        return _one_pass("feed_forward_branch", kernels.feed_forward_branch, inputs, eps, options)
    normed = layer_norm(x, norm_weight, norm_bias, eps)
    return feed_forward(normed, w1, b1, w2, b2, activation=activation, residual=x)


def _tensors(*given: Any) -> Inputs:
    return tuple([None if part is None else as_tensor(part) for part in given])


def _width(x: Tensor) -> int:
    return x.shape[-1] if x.ndim else 0


def _is_one_pass(kernel: Any, inputs: Inputs, shapes: Shapes) -> bool:
    """Whether the kernel takes these arrays, nobody looks at what is between, and every gradient is wanted, each in a
    place of its own.

    (Of what does not fit, the functions that the branch is made of say what it is.)
    """
    if tape.mode.watch is not None or precision.mode.dtype is not None:
        return False
    arrays = _arrays(inputs)
    for array in arrays:
        if array is not None and not (isinstance(array, np.ndarray) and array.dtype == np.float32):
            return False
    for array, shape in zip(arrays[1:], shapes, strict=True):
        if array is not None and array.shape != shape:
            return False
    if any(arrays[i] is None for i in MATRICES) or not arrays[0].size or not arrays[3].size:
        return False
    edges = [part._edge for part in inputs if part is not None]
    wanted = not tape.mode.enabled or not any(edges) or (None not in edges and len(set(edges)) == len(edges))
    return wanted and kernel.suits(arrays[0], arrays[3])


def _one_pass(name: str, kernel: Any, inputs: Inputs, eps: float, options: dict[str, Any]) -> Tensor:
    """The branch as one node."""
    x, norm_w, norm_b, w1, b1, w2, b2 = _arrays(inputs)
    parts = (norm_w, norm_b), (w1, b1), (w2, b2)
    y, saved = kernel.forward(x, *parts, eps=eps, **options)

    def backward(dy: Any, into: Any) -> None:
        places = [(None, False) if part is None else into(i, part._array.shape) for i, part in enumerate(inputs)]
        out, adds = zip(*places, strict=True)
        kernel.backward(dy, x, saved, *parts, **options, out=out, accumulate=adds)

    keeps = tuple([part for part in (inputs[0], inputs[2], *[inputs[i] for i in MATRICES]) if part is not None])
    return record(name, y, inputs, backward, keeps=keeps, direct=True)


def _arrays(inputs: Inputs) -> list[Any]:
    return [None if part is None else part._array for part in inputs]
