"""Likeness of vectors, and losses that train embeddings by it."""

from typing import Any

from ..device import namespace
from ..tensor import Tensor, as_tensor
from .elementwise import floating, maximum, minimum, where
from .losses import check_reduction, cross_entropy, reduced
from .matmul import matmul
from .reductions import sum as sum_over
from .shaping import transpose
from .statistics import norm
from .steps import clamp


def normalize(x: Any, p: float = 2, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """x / max(‖x‖ₚ, eps) along ``dim``: vectors of length 1."""
    x = floating(x)
    return x / clamp(norm(x, p, dim, keepdim=True), min=eps)


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x₁·x₂ / (max(‖x₁‖, eps)·max(‖x₂‖, eps)) along ``dim``; the shapes broadcast."""
    a, b = floating(x1), floating(x2)
    lengths = [clamp(norm(x, 2, dim, keepdim=True), min=eps) for x in (a, b)]
    return sum_over((a / lengths[0]) * (b / lengths[1]), dim)


def cosine_embedding_loss(
    input1: Any, input2: Any, target: Any, *, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """1 − cos(x₁, x₂) where target is 1, max(0, cos(x₁, x₂) − margin) where it is −1.

    Args:
        input1, input2: ``(..., D)``.
        target: 1 or −1, ``(...)``.
        reduction: ``"mean"``, ``"sum"``, or ``"none"``.

    Raises:
        ValueError: the shapes do not fit, or the reduction is not known.
    """
    check_reduction("cosine_embedding_loss", reduction)
    a, b, t = floating(input1), floating(input2), as_tensor(target)
    if a.shape != b.shape or not a.shape or t.shape != a.shape[:-1]:
        raise ValueError(
            f"cosine_embedding_loss wants two inputs (..., D) and a target (...), got {a.shape}, {b.shape}, {t.shape}"
        )
    likeness = cosine_similarity(a, b, -1)
    return reduced(where(t == 1, 1 - likeness, maximum(likeness - margin, 0)), reduction)


def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(a, pos) − d(a, neg) + margin), d(u, v) = ‖u − v + eps‖ₚ over the last axis (Schroff et al. 2015).

    Args:
        swap: take d(pos, neg) where that is smaller than d(a, neg) (Balntas et al. 2016).
        reduction: ``"mean"``, ``"sum"``, or ``"none"``.

    Raises:
        ValueError: the shapes differ, or the reduction is not known.
    """
    check_reduction("triplet_margin_loss", reduction)
    a, near, far = floating(anchor), floating(positive), floating(negative)
    if not a.shape or not a.shape == near.shape == far.shape:
        raise ValueError(
            f"triplet_margin_loss wants three of one shape (..., D), got {a.shape}, {near.shape}, {far.shape}"
        )
    to_far = norm(a - far + eps, p, -1)
    if swap:
        to_far = minimum(to_far, norm(near - far + eps, p, -1))
    return reduced(clamp(norm(a - near + eps, p, -1) - to_far + margin, min=0), reduction)


def info_nce(
    queries: Any,
    keys: Any,
    *,
    temperature: Any = 0.07,
    symmetric: bool = False,
    normalized: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """The cross-entropy of finding a query's own key among all keys of the batch (van den Oord et al. 2018).

        z[i, j] = cos(q_i, k_j) / temperature        loss[i] = −ln softmax(z[i])[i]

    Args:
        queries: ``(N, D)``.
        keys: ``(M, D)`` with M ≥ N: key i belongs to query i, further ones to none.
        temperature: a number, or a tensor that is trained with the rest.
        symmetric: the mean of that and of finding a key's query among the queries, as CLIP has it (Radford et al.
            2021); wants M = N.
        normalized: the vectors have length 1 already.
        reduction: ``"mean"``, ``"sum"``, or ``"none"``.

    Raises:
        ValueError: the shapes do not fit, the temperature is not above 0, or the reduction is not known.
    """
    check_reduction("info_nce", reduction)
    q, k = floating(queries), floating(keys)
    if q.ndim != 2 or k.ndim != 2 or q.shape[1] != k.shape[1] or len(k) < len(q) or (symmetric and len(k) != len(q)):
        wanted = "as many keys" if symmetric else "at least as many keys"
        raise ValueError(f"info_nce wants queries (N, D) and {wanted} of that D, got {q.shape} and {k.shape}")
    if not isinstance(temperature, Tensor) and not temperature > 0:
        raise ValueError(f"info_nce wants a temperature above 0, got {temperature!r}")
    if not normalized:
        q, k = normalize(q), normalize(k)
    z = matmul(q, transpose(k)) / temperature
    own = namespace(z._array).arange(len(q))
    loss = cross_entropy(z, own, reduction=reduction)
    return (loss + cross_entropy(transpose(z), own, reduction=reduction)) / 2 if symmetric else loss
