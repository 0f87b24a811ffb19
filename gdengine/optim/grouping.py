"""Parameter groups by a predicate."""

from collections.abc import Callable
from typing import Any

from ..tensor import Tensor


def groups(
    model: Any, *, weight_decay: float, no_decay: Callable[[str, Tensor], bool] | None = None
) -> list[dict[str, Any]]:
    """Two groups for an optimizer: the parameters that decay, with ``weight_decay``, and those that do not, with 0.

        opt = optim.AdamW(optim.groups(model, weight_decay=0.1), lr=1e-3)

    Args:
        model: a `Module`, or (name, parameter) pairs.
        no_decay: ``no_decay(name, parameter)`` says which do not; unless given, those of fewer than two dimensions, as
            usual: biases and the scales of norms.

    Returns:
        The groups that are not empty, each parameter in its place in the model's order.
    """
    spared = no_decay or (lambda name, parameter: parameter.ndim < 2)
    pairs = list(model.named_parameters() if hasattr(model, "named_parameters") else model)
    split: tuple[list, list] = ([], [])
    for name, parameter in pairs:
        split[bool(spared(name, parameter))].append((name, parameter))
    described = zip(split, (weight_decay, 0.0), strict=True)
    return [{"params": members, "weight_decay": decay} for members, decay in described if members]
