"""A run's folder: what was measured, and the checkpoints."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import checkpoint
from .metrics import JsonLines, cut_lines, lines_until, read_lines


class RunFolder:
    """Where a run is written down: ``metrics.jsonl``, ``timings.jsonl``, ``checkpoints/``.

    Args:
        path: the folder; it need not be there yet.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self.metrics = JsonLines(self.path / "metrics.jsonl")
        self.timings = JsonLines(self.path / "timings.jsonl")
        self.checkpoints = self.path / "checkpoints"

    @property
    def is_used(self) -> bool:
        """Whether a run has got anywhere here: a step that was done, or a checkpoint."""
        steps = (record.get("step", 0) for record in read_lines(self.metrics.path))
        return any(step > 0 for step in steps) or checkpoint.newest(self.checkpoints) is not None

    def create(self) -> None:
        """Make the folder, unless it is there."""
        self.checkpoints.mkdir(parents=True, exist_ok=True)

    def metrics_until(self, step: int) -> list[dict[str, Any]]:
        """The metrics that `cut` leaves."""
        return lines_until(self.metrics.path, step)

    def cut(self, step: int) -> None:
        """Take back what was written after ``step``, a closing line included."""
        cut_lines(self.timings.path, step)
        cut_lines(self.metrics.path, step)

    def save(self, step: int, tree: Mapping[str, Any]) -> Path:
        """Write the checkpoint of a step, its metrics first, and remove all but the newest two."""
        self.metrics.sync()
        self.timings.sync()
        path = checkpoint.path_for(self.checkpoints, step)
        checkpoint.save(path, tree)
        checkpoint.remove_old(self.checkpoints)
        return path

    def load(self) -> dict[str, Any]:
        """The newest checkpoint.

        Raises:
            FileNotFoundError: there is none.
            CheckpointError: it is damaged.
        """
        path = checkpoint.newest(self.checkpoints)
        if path is None:
            raise FileNotFoundError(f"there is no checkpoint in {self.path}: no run was saved there")
        return checkpoint.load(path)
