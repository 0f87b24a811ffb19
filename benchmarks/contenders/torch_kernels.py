"""The operations of `our_kernels` in PyTorch: the forward as a function of tensors, which autograd goes back through.

Each builder returns ``(function, inputs, dy)``: the inputs whose gradients our kernel computes come first, those that
need none after them; ``dy`` makes the gradient of the result. Products are given by their own kernels, see `PRODUCTS`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional as F

Differentiable = tuple[Callable[..., Any], Sequence[Any], Callable[[], Any]]


def layer_norm(there: Any, *, m: int, n: int) -> Differentiable:
    x, w, b = there.normal("x", (m, n)), there.normal("w", (n,)), there.normal("b", (n,))
    return lambda x, w, b: F.layer_norm(x, (n,), w, b), needed(x, w, b), lambda: there.normal("dy", (m, n))


def gelu(there: Any, *, m: int, n: int) -> Differentiable:
    x = there.normal("x", (m, n))
    return lambda x: F.gelu(x, approximate="tanh"), needed(x), lambda: there.normal("dy", (m, n))


def dropout(there: Any, *, m: int, n: int) -> Differentiable:
    x = there.normal("x", (m, n))
    return lambda x: F.dropout(x, 0.1, training=True), needed(x), lambda: there.normal("dy", (m, n))


def cross_entropy(there: Any, *, m: int, n: int) -> Differentiable:
    logits, targets = there.normal("logits", (m, n)), there.integers("targets", m, n)
    # in float32, as under autocast
    losses = lambda z, t: F.cross_entropy(z.float(), t, reduction="none")  # noqa: E731
    return losses, [*needed(logits), targets], lambda: there.number(1.0, (m,))


def embedding(there: Any, *, m: int, v: int, c: int) -> Differentiable:
    w, ids = there.normal("w", (v, c)), there.integers("ids", m, v)
    return lambda w, ids: F.embedding(ids, w), [*needed(w), ids], lambda: there.normal("dy", (m, c))


def attention(there: Any, *, b: int, h: int, t: int, d: int) -> Differentiable:
    qkv = there.normal("qkv", (b, t, 3, h, d))
    q, k, v = (qkv[:, :, i].transpose(1, 2) for i in range(3))
    return (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
        needed(q, k, v),
        lambda: there.normal("do", (b, t, h, d)).transpose(1, 2),
    )


def linear_cross_entropy(there: Any, *, m: int, c: int, v: int) -> Differentiable:
    x, w = there.normal("x", (m, c)), there.normal("w", (v, c), 1 / math.sqrt(c))
    targets = there.integers("targets", m, v)
    return (
        lambda x, w, t: F.cross_entropy(F.linear(x, w).float(), t),
        [*needed(x, w), targets],
        lambda: there.number(1.0, ()),
    )


DIFFERENTIABLE: dict[str, Callable[..., Differentiable]] = {
    function.__name__: function
    for function in (layer_norm, gelu, dropout, cross_entropy, embedding, attention, linear_cross_entropy)
}


def needed(*tensors: Any) -> list[Any]:
    """The tensors, as leaves that want a gradient; strides stay."""
    return [tensor.detach().requires_grad_() for tensor in tensors]


# ---- matrix products, each by the one call that computes it


def linear_forward(there: Any, *, m: int, k: int, n: int) -> Callable[[], Any]:
    x, w, b = there.normal("x", (m, k)), there.normal("w", (n, k), 1 / math.sqrt(k)), there.normal("b", (n,))
    return lambda: F.linear(x, w, b)


def linear_backward_input(there: Any, *, m: int, k: int, n: int) -> Callable[[], Any]:
    dy, w = there.normal("dy", (m, n)), there.normal("w", (n, k), 1 / math.sqrt(n))
    return lambda: torch.mm(dy, w)


def linear_backward_weight(there: Any, *, m: int, k: int, n: int) -> Callable[[], Any]:
    dy, x = there.normal("dy", (m, n)), there.normal("x", (m, k), 1 / math.sqrt(m))
    return lambda: torch.mm(dy.t(), x)


PRODUCTS: dict[str, Callable[..., Callable[[], Any]]] = {
    function.__name__: function for function in (linear_forward, linear_backward_input, linear_backward_weight)
}
