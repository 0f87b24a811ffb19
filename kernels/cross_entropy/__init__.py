"""Softmax cross-entropy against class indices, a loss for each row.

    loss[m] = log Σ_v exp(z[m, v]) − z[m, target[m]]

Shapes: logits z ``(M, V)``; targets ``(M,)`` of any integer dtype; losses and lse ``(M,)`` in the dtype of z. A row
whose target is ``ignore_index`` has loss 0 and gradient 0. Targets are otherwise in [0, V): the caller has checked.
"""

from typing import Any

from ..dispatch import select


def forward(logits: Any, targets: Any, *, ignore_index: int = -100) -> tuple[Any, Any]:
    """Returns ``(losses, lse)`` with lse[m] = log Σ_v exp(z[m, v]), which the backward reads."""
    return select(__name__, logits).forward(logits, targets, ignore_index=ignore_index)


def backward(
    dlosses: Any,
    logits: Any,
    targets: Any,
    lse: Any,
    *,
    ignore_index: int = -100,
    out: Any = None,
    accumulate: bool = False,
) -> Any:
    """dZ[m, v] = dlosses[m] · (exp(z[m, v] − lse[m]) − [v = target[m]]), 0 in ignored rows; ``dlosses`` ``(M,)``.

    Writes into ``out`` where given (adding where ``accumulate``); returns dZ.
    """
    return select(__name__, logits).backward(
        dlosses, logits, targets, lse, ignore_index=ignore_index, out=out, accumulate=accumulate
    )
