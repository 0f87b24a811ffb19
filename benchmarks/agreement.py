"""Whether contenders computed the same: a comparison of times means nothing where they did not."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

# The largest difference between the losses of two contenders at one step. Peers that compute the same formulas in
# float32, in another order, were seen to differ by 6e-6 over 50 steps; a wrong learning rate, a missing decay or
# another initialisation shows with 1e-3 and more.
LOSS_BOUND = 1e-4
# With products in bfloat16 a loss of about 10 is a mean over thousands of tokens, each with an error of some 2⁻⁸ of its
# logits' spread; trajectories part by about a hundredth within the first steps.
LOSS_BOUND_BF16 = 5e-2


@dataclass(frozen=True)
class Agreement:
    """How far a contender's values lie from those of the one that it is measured against.

    Attributes:
        against: who that is.
        worst: the largest difference, of losses or in root mean squares.
        bound: what was allowed.
        compared: how many values.
    """

    against: str
    worst: float
    bound: float
    compared: int

    @property
    def void(self) -> bool:
        """Whether they differ by more than the bound (NaN does), or there was nothing to compare."""
        return self.compared == 0 or not self.worst <= self.bound

    def __str__(self) -> str:
        if not self.compared:
            return f"there is nothing to compare with {self.against}"
        verb = "differs from" if self.void else "agrees with"
        return f"{verb} {self.against} by {self.worst:.1e} (bound {self.bound:.0e}, {self.compared} values)"

    def to_json(self) -> dict[str, Any]:
        """Everything."""
        return {**asdict(self), "worst": self.worst if math.isfinite(self.worst) else str(self.worst)}


def of_losses(own: Sequence[float], others: Sequence[float], steps: int, bound: float, against: str) -> Agreement:
    """Compare the losses of the first ``steps`` steps, or of as many as both have made."""
    compared = min(steps, len(own), len(others))
    return Agreement(against, _distance(own[:compared], others[:compared]), bound, compared)


def of_samples(
    own: Sequence[Sequence[float]], others: Sequence[Sequence[float]], bound: float, against: str
) -> Agreement:
    """Compare samples of results, result by result, each in units of the other's root mean square."""
    if len(own) != len(others):
        return Agreement(against, math.inf, bound, 0)
    distances = [_distance(a, b) / (_root_mean_square(b) or 1.0) for a, b in zip(own, others, strict=True)]
    worst = math.nan if any(map(math.isnan, distances)) else max(distances, default=0.0)
    return Agreement(against, worst, bound, sum(map(len, own)))


def _root_mean_square(values: Sequence[float]) -> float:
    return math.sqrt(sum(v * v for v in values) / max(len(values), 1))


def _distance(own: Sequence[float], others: Sequence[float]) -> float:
    """The largest difference; inf where they are not equally many, NaN where one is."""
    if len(own) != len(others):
        return math.inf
    apart = [abs(a - b) for a, b in zip(own, others, strict=True)]
    return math.nan if any(map(math.isnan, apart)) else max(apart, default=0.0)
