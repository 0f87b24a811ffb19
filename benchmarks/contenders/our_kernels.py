"""Single operations, by the functions that gdengine itself calls: one contract for the CPU and for CUDA.

Each function gets ``of``, which gives an operation's module, and where its arrays are made; it returns what to call,
and what gives the arrays to compare.
"""

import math
from collections.abc import Callable
from typing import Any

GRADIENT, LR = 3e-3, 1e-3  # of updates alone: gradients large enough to be clipped
Built = tuple[Callable[[], Any], Callable[[], list[Any]]]
OPERATIONS: dict[str, Callable[..., Built]] = {}


def operation(builder: Callable[..., Built]) -> Callable[..., Built]:
    """Enter it into the table, under its name."""
    OPERATIONS[builder.__name__] = builder
    return builder


def fresh(run: Callable[[], Any]) -> Built:
    """An operation that returns what it computes, an array or several."""

    def outputs() -> list[Any]:
        result = run()
        return list(result) if isinstance(result, tuple) else [result]

    return run, outputs


@operation
def linear_forward(of: Any, there: Any, *, m: int, k: int, n: int) -> Built:
    x, w = there.normal("x", (m, k)), there.normal("w", (n, k), 1 / math.sqrt(k))
    b, linear = there.normal("b", (n,)), of("linear")
    return fresh(lambda: linear.forward(x, w, b)[0])


@operation
def linear_backward_input(of: Any, there: Any, *, m: int, k: int, n: int) -> Built:
    dy, w, linear = there.normal("dy", (m, n)), there.normal("w", (n, k), 1 / math.sqrt(n)), of("linear")
    return fresh(lambda: linear.backward_input(dy, w))


@operation
def linear_backward_weight(of: Any, there: Any, *, m: int, k: int, n: int) -> Built:
    dy, x, linear = there.normal("dy", (m, n)), there.normal("x", (m, k), 1 / math.sqrt(m)), of("linear")
    dw = there.zeros((n, k), "float32")
    return fresh(lambda: linear.backward_weight(dy, x, out=dw))


@operation
def layer_norm_forward(of: Any, there: Any, *, m: int, n: int) -> Built:
    x, w, b, norm = there.normal("x", (m, n)), there.normal("w", (n,)), there.normal("b", (n,)), of("layer_norm")
    return fresh(lambda: norm.forward(x, w, b)[0])


@operation
def layer_norm_backward(of: Any, there: Any, *, m: int, n: int) -> Built:
    x, w, b, norm = there.normal("x", (m, n)), there.normal("w", (n,)), there.normal("b", (n,)), of("layer_norm")
    dy, dx = there.normal("dy", (m, n)), there.zeros((m, n))
    dw, db = there.zeros((n,), "float32"), there.zeros((n,), "float32")
    _, mean, rstd = norm.forward(x, w, b)
    return lambda: norm.backward(dy, x, w, mean, rstd, dx=dx, dw=dw, db=db), lambda: [dx, dw, db]


@operation
def gelu_forward(of: Any, there: Any, *, m: int, n: int) -> Built:
    x, gelu = there.normal("x", (m, n)), of("gelu")
    return fresh(lambda: gelu.forward(x))


@operation
def gelu_backward(of: Any, there: Any, *, m: int, n: int) -> Built:
    x, dy, gelu = there.normal("x", (m, n)), there.normal("dy", (m, n)), of("gelu")
    return fresh(lambda: gelu.backward(dy, x))


@operation
def dropout(of: Any, there: Any, *, m: int, n: int) -> Built:
    x, drop = there.normal("x", (m, n)), of("dropout")
    return fresh(lambda: drop.forward(x, 0.1, (1, 2), 3))


@operation
def cross_entropy_forward(of: Any, there: Any, *, m: int, n: int) -> Built:
    logits, targets, loss = there.normal("logits", (m, n)), there.integers("targets", m, n), of("cross_entropy")
    return fresh(lambda: loss.forward(logits, targets)[0])


@operation
def cross_entropy_backward(of: Any, there: Any, *, m: int, n: int) -> Built:
    logits, targets, loss = there.normal("logits", (m, n)), there.integers("targets", m, n), of("cross_entropy")
    dlosses = there.number(1.0, (m,))
    _, lse = loss.forward(logits, targets)
    return fresh(lambda: loss.backward(dlosses, logits, targets, lse))


@operation
def linear_cross_entropy(of: Any, there: Any, *, m: int, c: int, v: int) -> Built:
    x, w = there.normal("x", (m, c)), there.normal("w", (v, c), 1 / math.sqrt(c))
    targets, dlosses = there.integers("targets", m, v), there.number(1 / m, (m,))
    dx, dw, head = there.zeros((m, c)), there.zeros((v, c), "float32"), of("linear_cross_entropy")
    return lambda: head.backward(dlosses, x, w, targets, dx=dx, dw=dw), lambda: [dx, dw]


@operation
def embedding_forward(of: Any, there: Any, *, m: int, v: int, c: int) -> Built:
    w, ids, table = there.normal("w", (v, c)), there.integers("ids", m, v), of("embedding")
    return fresh(lambda: table.forward(w, ids))


@operation
def embedding_backward(of: Any, there: Any, *, m: int, v: int, c: int) -> Built:
    dy, ids, table = there.normal("dy", (m, c)), there.integers("ids", m, v), of("embedding")
    dw = there.zeros((v, c), "float32")
    return fresh(lambda: table.backward(dy, ids, out=dw))


@operation
def attention_forward(of: Any, there: Any, *, b: int, h: int, t: int, d: int) -> Built:
    q, k, v = packed(there.normal("qkv", (b, t, 3, h, d)))
    attention = of("attention")
    return fresh(lambda: attention.forward(q, k, v, causal=True)[0])


@operation
def attention_backward(of: Any, there: Any, *, b: int, h: int, t: int, d: int) -> Built:
    q, k, v = packed(there.normal("qkv", (b, t, 3, h, d)))
    dq, dk, dv = packed(there.zeros((b, t, 3, h, d)))
    do, attention = there.normal("do", (b, t, h, d)).swapaxes(1, 2), of("attention")
    _, saved = attention.forward(q, k, v, causal=True)
    return (
        lambda: attention.backward(do, q, k, v, saved, causal=True, out=(dq, dk, dv)),
        lambda: [dq, dk, dv],
    )


def packed(qkv: Any) -> tuple[Any, Any, Any]:
    """The views (B, H, T, D) of q, k and v in the buffer (B, T, 3, H, D) that one linear layer writes."""
    return tuple(qkv[:, :, i].swapaxes(1, 2) for i in range(3))  # type: ignore[return-value]
