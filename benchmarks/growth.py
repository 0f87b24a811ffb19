"""How the cost of a step grows with the model and the batch: one axis at a time, and the exponent e that fits best in
seconds ≈ c·sizeᵉ, by least squares over the logarithms. The sizes of an axis are measured in turn, and fitted round by
round, so that a machine that drifts bends no exponent.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from . import cases, workloads
from .statistics import Spread, slope, spread


@dataclass(frozen=True)
class Axis:
    """One size that grows, the others staying as they are in ``base``.

    Attributes:
        field: of `workloads.GPT`.
        low, high: between what the exponent is expected to lie.
        why: in a sentence.
    """

    name: str
    field: str
    base: workloads.GPT
    sizes: Sequence[int]
    low: float
    high: float
    why: str


BASE = workloads.GPT(n_layer=4, n_head=4, n_embd=128, block_size=64, batch_size=8)
AXES = (
    Axis(
        "layers",
        "n_layer",
        BASE,
        (2, 4, 8, 16),
        0.8,
        1.1,
        "1 is expected: every layer costs the same; embedding, head and loss, which are there once, make it less",
    ),
    Axis(
        "width",
        "n_embd",
        BASE,
        (64, 128, 256, 512),
        1.0,
        2.0,
        "between 1 and 2: matrix products and the update grow with the square, all that goes over activations once "
        "with the width itself; products of small matrices reach less of the CPU, which makes it less",
    ),
    Axis(
        "T",
        "block_size",
        replace(BASE, batch_size=2),
        (128, 256, 512, 1024),
        1.0,
        2.0,
        "between 1 and 2: attention looks at T²/2 pairs, all else goes over T tokens, and is most of the work here",
    ),
    Axis(
        "batch",
        "batch_size",
        BASE,
        (4, 8, 16, 32),
        0.8,
        1.1,
        "1 is expected: every sequence costs the same; the update and the calls, which do not grow, make it less",
    ),
)
TINY = tuple(
    replace(axis, base=replace(axis.base, n_layer=1, n_embd=16, block_size=8, batch_size=2), sizes=sizes)
    for axis, sizes in zip(AXES, ((1, 2), (8, 16), (4, 8), (1, 2)), strict=True)
)


def steps(axes: Sequence[Axis]) -> list[cases.Case]:
    """A training step for each size of each axis."""
    found = []
    for axis in axes:
        for size in axis.sizes:
            load = replace(axis.base, **{axis.field: size})
            case = cases.train(f"{axis.name} {size}", load, "float32")
            found.append(replace(case, facts={**case.facts, "axis": axis.name, "size": size}))
    return found


@dataclass(frozen=True)
class Fit:
    """An axis, the exponent over all sizes with its quartiles over the rounds, and that between the two largest
    alone."""

    axis: Axis
    exponent: Spread
    last: float

    def __str__(self) -> str:
        where = "as expected" if self.axis.low <= self.exponent.median <= self.axis.high else "NOT as expected"
        return (
            f"{self.axis.name}: size^{self.exponent.median:.2f} ({self.exponent.low:.2f}–{self.exponent.high:.2f} over "
            f"the rounds), between the two largest size^{self.last:.2f} ({where}, {self.axis.low:g} to "
            f"{self.axis.high:g}). {self.axis.why[0].upper()}{self.axis.why[1:]}."
        )


def fits(measured: Sequence[tuple[Mapping[str, Any], Sequence[float]]]) -> Iterator[Fit]:
    """For each axis with two sizes or more: of the facts of cases, and their seconds round by round. Sizes with
    different numbers of rounds were not measured in turn: there the medians alone are fitted."""
    for axis in AXES:
        found = [(facts["size"], list(seconds)) for facts, seconds in measured if facts.get("axis") == axis.name]
        points = sorted(pair for pair in found if pair[1])
        if len(points) > 1:
            sizes, times = zip(*points, strict=True)
            paired = len({len(seconds) for seconds in times}) == 1
            rounds = list(zip(*times, strict=True)) if paired else [[median(seconds) for seconds in times]]
            last = median(slope(sizes[-2:], seconds[-2:]) for seconds in rounds)
            yield Fit(axis, spread([slope(sizes, seconds) for seconds in rounds]), last)
