"""Several runs beside each other: in which settings they differ, and what came of each."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

from .numbers import shown
from .recorded import RecordedRun

# What differs because two runs are two, and what says nothing about the training.
_BESIDE_THE_POINT = ("run", "plots", "csv", "tensorboard", "wandb", "prompt", "sample_tokens", "sample_every")
LOWER_IS_BETTER = ("held-out loss", "best held-out loss", "training loss", "seconds in steps", "skipped steps")
HIGHER_IS_BETTER = ("tokens a second",)


class Comparison:
    """Runs, compared.

    Args:
        runs: two or more.

    Attributes:
        names: of the runs, no two alike.
        differences: setting → its value in each run (None where it has none), of those that are not the same in all.
        results: name → number in each run (None where it is not known).

    Raises:
        ValueError: it is not two runs or more.
    """

    def __init__(self, runs: Sequence[RecordedRun]):
        if len(runs) < 2:
            raise ValueError(f"a comparison takes two runs or more, got {len(runs)}")
        self.runs = list(runs)
        self.names = _names([run.path for run in runs])
        settings = list(dict.fromkeys(name for run in runs for name in run.settings))
        rows = {name: [run.settings.get(name) for run in runs] for name in settings if name not in _BESIDE_THE_POINT}
        self.differences = {name: row for name, row in rows.items() if any(value != row[0] for value in row)}
        found = [run.results() for run in runs]
        names = list(dict.fromkeys(name for result in found for name in result))
        self.results = {name: [result.get(name) for result in found] for name in names}

    def best(self, name: str) -> int | None:
        """Which run has the best of a result; None where none is better than all others, or better means nothing."""
        if name not in LOWER_IS_BETTER and name not in HIGHER_IS_BETTER:
            return None
        sign = 1 if name in LOWER_IS_BETTER else -1
        values = [math.inf if value is None else sign * value for value in self.results[name]]
        least = min(values)
        return values.index(least) if values.count(least) == 1 and math.isfinite(least) else None

    def table(self) -> list[str]:
        """Lines of text for a terminal: the settings that differ, then the results; a star stands at the best."""
        rows: list[list[str]] = [["", *self.names]]
        rows += [[name, *(shown(value) + "  " for value in values)] for name, values in self.differences.items()]
        if not self.differences:
            rows.append(["(the same settings)"])
        rows.append([])
        for name, values in self.results.items():
            best = self.best(name)
            rows.append([name, *(shown(value) + (" *" if i == best else "  ") for i, value in enumerate(values))])
        columns = max(map(len, rows))
        padded = [row + [""] * (columns - len(row)) for row in rows]
        widths = [max(len(row[i]) for row in padded) for i in range(columns)]
        return [
            "  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                      for i, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
            for row in padded
        ]  # fmt: skip


def _names(paths: Sequence[Path]) -> list[str]:
    """The last parts of the paths, as many as it takes to tell them apart."""
    parts = [Path(os.path.abspath(path)).parts for path in paths]
    for number in range(1, max(map(len, parts)) + 1):
        names = [os.path.join(*part[-number:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{part[-1]} ({i})" for i, part in enumerate(parts, 1)]
