"""What goes wrong with the numbers of a step: where it began, and jumps of the loss."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ..device import namespace
from ..tape import mode
from ..tensor import is_floating


class Diverged(ArithmeticError):
    """So many steps in a row had to be skipped that going on makes no sense; its text says what there is to do."""


class Spikes:
    """Tells a jump of the loss from its ordinary ups and downs.

        z = (loss − median) / (1.4826 · MAD)

    over the last ``window`` losses, MAD being the median distance from the median: a standard deviation (1.4826 makes
    it one, for normal numbers) that the jumps themselves hardly move. (Iglewicz and Hoaglin 1993, chapter 3.)

    Args:
        threshold: a loss whose z is above it is a jump.
        window: of how many losses; nothing is a jump before a quarter of them were seen.
        skip: make no update from the batch of a jump.
    """

    def __init__(self, threshold: float = 8.0, window: int = 100, skip: bool = False):
        if not threshold > 0:
            raise ValueError(f"threshold must be above 0, got {threshold!r}")
        if window < 8:
            raise ValueError(f"window must be 8 or more, for a median to mean something, got {window}")
        self.threshold, self.window, self.skip = threshold, window, skip
        self._losses: deque[float] = deque(maxlen=window)

    def start(self, history: Iterable[Mapping[str, Any]]) -> None:
        """Know the losses so far."""
        self._losses.clear()
        for record in history:
            self._keep(record.get("loss"))

    def see(self, loss: float) -> float | None:
        """z, if the loss is a jump; it counts among the losses from then on."""
        z = self.score(loss)
        self._keep(loss)
        return z if z is not None and z > self.threshold else None

    def score(self, loss: float) -> float | None:
        """z; None if the loss is not finite, or too few were seen."""
        if not math.isfinite(loss) or len(self._losses) < self.window // 4:
            return None
        values = np.array(self._losses)
        median = float(np.median(values))
        spread = 1.4826 * float(np.median(np.abs(values - median)))
        least = float(np.finfo(np.float32).eps) * abs(median)  # losses that are all the same are so to rounding
        return (loss - median) / max(spread, least, np.finfo(np.float64).tiny)

    def _keep(self, loss: Any) -> None:
        if isinstance(loss, float) and math.isfinite(loss):
            self._losses.append(loss)


class _Found(Exception):
    """A tensor that is not finite; its text says which."""


def first_not_finite(model: Any, batches: Iterable[tuple[Any, Any]], loss_of: Callable[[Any, Any], Any]) -> str | None:
    """Compute some batches' losses and gradients again, and name the first tensor that is not finite, in that order.

    The parameters are looked at first, then inputs, results in forward order, and gradients in backward order. The
    gradients are overwritten; random numbers are drawn: the caller sees to both.

    Args:
        model: a module.
        batches: pairs (x, y).
        loss_of: the loss of a batch.

    Returns:
        Such as ``"result of gelu in transformer.h.0.mlp (batch 1): 3 of 8192 numbers"``; None if all is finite.
    """
    for name, parameter in model.named_parameters():
        if told := _told(parameter):
            return f"parameter {name}: {told}"
    names = {id(module): name or "the model" for name, module in model.named_modules()}
    for number, (x, y) in enumerate(batches, 1):
        for name, values in (("x", x), ("y", y)):
            if told := _told(values):
                return f"input {name} (batch {number}): {told}"
        before = mode.watch
        mode.watch = _watch
        try:
            loss_of(x, y).backward()
        except _Found as found:
            place = _module_of(found, names)
            what, told = found.args
            return f"{what}{f' in {place}' if place else ''} (batch {number}): {told}"
        finally:
            mode.watch = before
    return None


def _watch(what: str, array: Any) -> None:
    told = _told(array)
    if told:
        raise _Found(what, told)


def _told(values: Any) -> str:
    """How many numbers are not finite; empty if all are, or it holds no floats."""
    array = getattr(values, "_array", values)
    array = array if hasattr(array, "dtype") else np.asarray(array)
    if not is_floating(array.dtype):
        return ""
    xp = namespace(array)
    bad = int(array.size - xp.isfinite(array).sum())
    return f"{bad} of {array.size} numbers" if bad else ""


def _module_of(error: BaseException, names: Mapping[int, str]) -> str:
    """The innermost module that was at work where the error was raised."""
    place, at = "", error.__traceback__
    while at is not None:
        place = names.get(id(at.tb_frame.f_locals.get("self")), place)
        at = at.tb_next
    return place
