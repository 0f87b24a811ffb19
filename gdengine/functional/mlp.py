"""Affine maps with an activation between them, as one node of the tape."""

import math
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from .. import kernels, tape
from ..precision import operand, sum_dtype
from ..tensor import Tensor, plainly_alike, record
from .linear import check_activation, check_affine, check_alike, check_residual, linear


def mlp(x: Any, layers: Iterable[tuple[Any, Any]], *, activation: str = "relu", residual: Any = None) -> Tensor:
    """Y = act(… act(X·W₁ᵀ + b₁) …)·Wₙᵀ + bₙ + residual, over the last axis of X: a multi-layer perceptron.

    Args:
        x: ``(..., in)``.
        layers: pairs of a weight ``(out, in)`` and a bias ``(out,)`` or None; at least one pair.
        activation: ``"relu"`` or ``"gelu"`` (tanh form), after each layer but the last.
        residual: of the result's shape, added in the same pass.

    Backward, with Uᵢ = Hᵢ₋₁·Wᵢᵀ + bᵢ and Hᵢ = act(Uᵢ): dUᵢ = (dUᵢ₊₁·Wᵢ₊₁) ⊙ act'(Uᵢ) in one pass, so that dHᵢ never
    stands in memory, as it does between two calls of `linear`; dWᵢ = dUᵢᵀ·Hᵢ₋₁, dbᵢ = Σ dUᵢ, dX = dU₁·W₁.

    Raises:
        ValueError: a shape does not fit, the activation is not known, or there is no layer.
        TypeError: the dtypes differ.
    """
    layers = list(layers)
    if not layers:
        raise ValueError("mlp wants at least one layer, a pair of a weight and a bias (or None)")
    return _chain("mlp", x, layers, _names(len(layers)), activation, residual)


def feed_forward(
    x: Any, w1: Any, b1: Any, w2: Any, b2: Any, *, activation: str = "gelu", residual: Any = None
) -> Tensor:
    """Y = act(X·W₁ᵀ + b₁)·W₂ᵀ + b₂ + residual, over the last axis of X: a transformer's MLP, `mlp` of two layers.

    Args:
        x: ``(..., in)``.
        w1: ``(hidden, in)``.
        b1: ``(hidden,)`` or None.
        w2: ``(out, hidden)``.
        b2: ``(out,)`` or None.
        activation: ``"relu"`` or ``"gelu"`` (tanh form).
        residual: ``(..., out)``, added in the same pass.

    Raises:
        ValueError: a shape does not fit, or the activation is not known.
        TypeError: the dtypes differ.
    """
    return _chain("feed_forward", x, ((w1, b1), (w2, b2)), (("w1", "b1"), ("w2", "b2")), activation, residual)


Names = tuple[tuple[str, str], ...]


@cache
def _names(layers: int) -> Names:
    """What messages call the weights and biases of so many layers."""
    return tuple((f"weight of layers[{i}]", f"bias of layers[{i}]") for i in range(layers))


def _chain(
    function: str, x: Any, layers: Sequence[tuple[Any, Any]], names: Names, activation: str, residual: Any
) -> Tensor:
    x = operand(x)
    check_activation(function, activation, kernels.mlp.ACTIVATIONS)
    parameters: list[Any] = []
    shape, read = x.shape, "x"
    for (weight, bias), (w_name, b_name) in zip(layers, names, strict=True):
        w, b = operand(weight), None if bias is None else operand(bias)
        check_affine(function, shape, w, b, (read, w_name, b_name))
        shape, read = (*shape[:-1], w.shape[0]), "hidden values"
        parameters += w, b
    r = None if residual is None else operand(residual)
    check_residual(function, r, x.shape, parameters[-2])
    inputs = (x, *parameters, r)
    if not plainly_alike(*inputs):
        called = ("x", *[name for pair in names for name in pair], "residual")
        check_alike(function, **dict(zip(called, inputs, strict=True)))
    if tape.mode.watch is not None:
        return _one_by_one(x, parameters, activation, r)
    m = math.prod(shape[:-1])
    rows = x._array.reshape(m, x.shape[-1])
    arrays = [None if part is None else part._array for part in parameters]
    pairs = tuple(zip(arrays[::2], arrays[1::2], strict=True))
    added = None if r is None else r._array.reshape(m, shape[-1])
    y, saved = kernels.mlp.forward(rows, pairs, activation=activation, residual=added)
    x_shape, own, wide = x.shape, x.dtype, sum_dtype(x.dtype)
    at = [None if array is None else (array.shape, wide) for array in arrays]
    as_it_is = None if r is None else len(inputs) - 1  # the input whose gradient is dY itself

    def backward(dy: Any, into: Any) -> int | None:
        places = [(None, False)] * (1 + len(at))
        for i in range(len(at), 0, -1):  # in the order in which they are written: a tensor may be there twice
            place = at[i - 1]
            if place is not None:
                places[i] = into(i, *place)
        dx, add = into(0, x_shape, own)
        places[0] = None if dx is None else dx.reshape(rows.shape), add
        out, adds = zip(*places, strict=True)
        kernels.mlp.backward(
            *(dy.reshape(m, shape[-1]), rows, saved, pairs),
            activation=activation,
            out=out,
            accumulate=adds,
        )
        return as_it_is

    keeps = _read_again(x, parameters)
    return record(function, y.reshape(shape), inputs, backward, keeps=keeps, direct=True)


def _read_again(x: Tensor, parameters: list[Any]) -> tuple[Tensor, ...]:
    """What the backward reads: X for W₁'s gradient, a weight for whatever lies below."""
    keeps = [x] if parameters[0].requires_grad else []
    wanted = x.requires_grad
    for w, b in zip(parameters[::2], parameters[1::2], strict=True):
        if wanted:
            keeps.append(w)
        wanted = wanted or w.requires_grad or (b is not None and b.requires_grad)
    return tuple(keeps)


def _one_by_one(x: Tensor, parameters: list[Any], activation: str, residual: Tensor | None) -> Tensor:
    """A node for each layer, where somebody looks at what is between."""
    *first, w, b = parameters
    for weight, bias in zip(first[::2], first[1::2], strict=True):
        x = linear(x, weight, bias, activation=activation)
    return linear(x, w, b, residual=residual)
