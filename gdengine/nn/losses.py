"""Losses as modules, under PyTorch's names: each calls the function of its name. Classes are the last axis."""

from typing import Any

from .. import functional as F
from ..functional.losses import check_reduction
from ..tensor import Tensor, as_tensor
from .module import Module


class Loss(Module):
    """What losses have in common: how they are reduced."""

    knows: tuple[str, ...] = ()

    def __init__(self, reduction: str):
        super().__init__()
        if reduction not in self.knows:
            check_reduction(type(self).__name__, reduction)
        self.reduction = reduction

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}"

    def _keep_constant(self, name: str, value: Any) -> None:
        """Weights move with the module; they are no part of what is trained."""
        self.register_buffer(name, None if value is None else as_tensor(value).detach())


class CrossEntropyLoss(Loss):
    """`functional.cross_entropy` of logits ``(..., V)`` and targets ``(...)``, or probabilities ``(..., V)``."""

    def __init__(
        self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0
    ):
        super().__init__(reduction)
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"CrossEntropyLoss wants a label_smoothing in [0, 1], got {label_smoothing!r}")
        self._keep_constant("weight", weight)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, logits: Any, targets: Any) -> Tensor:
        return F.cross_entropy(
            logits,
            targets,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(Loss):
    """`functional.nll_loss` of log-probabilities ``(..., V)`` and targets ``(...)``."""

    def __init__(self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"):
        super().__init__(reduction)
        self._keep_constant("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, log_probabilities: Any, targets: Any) -> Tensor:
        return F.nll_loss(
            log_probabilities,
            targets,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )


class MSELoss(Loss):
    """(x − t)²."""

    def __init__(self, reduction: str = "mean"):
        super().__init__(reduction)

    def forward(self, input: Any, target: Any) -> Tensor:
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(Loss):
    """|x − t|."""

    def __init__(self, reduction: str = "mean"):
        super().__init__(reduction)

    def forward(self, input: Any, target: Any) -> Tensor:
        return F.l1_loss(input, target, reduction=self.reduction)


class HuberLoss(Loss):
    """d²/2 where |d| ≤ delta, else delta·(|d| − delta/2), with d = x − t."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0):
        super().__init__(reduction)
        self.delta = delta

    def forward(self, input: Any, target: Any) -> Tensor:
        return F.huber_loss(input, target, delta=self.delta, reduction=self.reduction)


class SmoothL1Loss(Loss):
    """d²/(2·beta) where |d| < beta, else |d| − beta/2, with d = x − t."""

    def __init__(self, reduction: str = "mean", beta: float = 1.0):
        super().__init__(reduction)
        self.beta = beta

    def forward(self, input: Any, target: Any) -> Tensor:
        return F.smooth_l1_loss(input, target, beta=self.beta, reduction=self.reduction)


class BCEWithLogitsLoss(Loss):
    """`functional.binary_cross_entropy_with_logits`."""

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None):
        super().__init__(reduction)
        self._keep_constant("weight", weight)
        self._keep_constant("pos_weight", pos_weight)

    def forward(self, input: Any, target: Any) -> Tensor:
        return F.binary_cross_entropy_with_logits(
            input, target, weight=self.weight, pos_weight=self.pos_weight, reduction=self.reduction
        )


class KLDivLoss(Loss):
    """t·(ln t − x); ``reduction="batchmean"`` is the divergence's mean."""

    knows = ("batchmean",)

    def __init__(self, reduction: str = "mean", log_target: bool = False):
        super().__init__(reduction)
        self.log_target = log_target

    def forward(self, input: Any, target: Any) -> Tensor:
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class CosineSimilarity(Module):
    """x₁·x₂ / (‖x₁‖·‖x₂‖) along ``dim``."""

    def __init__(self, dim: int = 1, eps: float = 1e-8):
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Any, x2: Any) -> Tensor:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, eps={self.eps}"


class CosineEmbeddingLoss(Loss):
    """1 − cos(x₁, x₂) where the target is 1, max(0, cos(x₁, x₂) − margin) where it is −1."""

    def __init__(self, margin: float = 0.0, reduction: str = "mean"):
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: Any, input2: Any, target: Any) -> Tensor:
        return F.cosine_embedding_loss(input1, input2, target, margin=self.margin, reduction=self.reduction)


class TripletMarginLoss(Loss):
    """max(0, d(anchor, positive) − d(anchor, negative) + margin)."""

    def __init__(
        self, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False, reduction: str = "mean"
    ):
        super().__init__(reduction)
        self.margin = margin
        self.p = p
        self.eps = eps
        self.swap = swap

    def forward(self, anchor: Any, positive: Any, negative: Any) -> Tensor:
        return F.triplet_margin_loss(
            *(anchor, positive, negative),
            margin=self.margin,
            p=self.p,
            eps=self.eps,
            swap=self.swap,
            reduction=self.reduction,
        )
