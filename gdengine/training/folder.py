"""A run's folder: what was measured, the checkpoints, and a text that says what is what."""

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .background import Background
from .checkpoint import CheckpointError, Snapshot, path_for
from .metrics import JsonLines, cut_lines, lines_until, read_lines
from .store import Store
from .whole import explained, write_text

README = """\
The folder of a training run, written by gdengine.

README.txt       this text
settings.toml    every setting of the run, each with a comment; gdengine train --config takes it
metrics.jsonl    a line for each step: loss before the update, lr, gradient norm before clipping, targets seen
                 ("tokens"), and val_loss after the update where it was measured; step 0 is the untrained model,
                 the line with "final" the trained one. The same run writes the same bytes, resumed or not
timings.jsonl    the seconds that each step took
sessions.jsonl   a line each time training began here: when, at which step, on what machine, with which versions
incidents.jsonl  steps whose gradient was not finite, and jumps of the loss: what went bad first, and the place in the
                 data and among the random numbers from which the step can be repeated
checkpoints/     parameters, optimizer, place in the data and random numbers, as STEP.safetensors: the newest ones and
                 the best one, which index.json lists; what ends in .damaged turned out to be so
summary.json     what came of the run, for other programs
sample.txt       what the trained model writes
samples.jsonl    what it wrote on the way there
loss.png lr.png  loss and learning rate against the step
metrics.csv      the metrics as a table
tensorboard/     the metrics for TensorBoard: tensorboard --logdir .
wandb/ wandb-id.txt   the run's copy for Weights & Biases, and its name there
report.html      all of this on one page, made by gdengine report

What is not here was not asked for, or is yet to come. To go on with the run, to read about it, to check it:

    gdengine train --resume FOLDER --steps MORE
    gdengine report FOLDER
    gdengine checkpoint verify FOLDER
"""


class RunFolder:
    """Where a run is written down; `README` says what lies in it.

    Args:
        path: the folder; it need not be there yet.
        keep: how many of the newest checkpoints stay.
    """

    def __init__(self, path: str | os.PathLike[str], keep: int = 2):
        self.path = Path(path)
        self.metrics = JsonLines(self.path / "metrics.jsonl")
        self.timings = JsonLines(self.path / "timings.jsonl")
        self.sessions = JsonLines(self.path / "sessions.jsonl")
        self.incidents = JsonLines(self.path / "incidents.jsonl")
        self.store = Store(self.path / "checkpoints", keep)
        self._background = Background()
        self._buffer: Any = None  # the last snapshot's bytes, to be used again

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.store.folder

    @property
    def is_used(self) -> bool:
        """Whether a run has got anywhere here: a step that was done, or a checkpoint."""
        steps = (record.get("step", 0) for record in read_lines(self.metrics.path))
        return any(step > 0 for step in steps) or self.store.newest() is not None

    def create(self) -> None:
        """Make the folder, unless it is there, and see that it can be written to.

        Raises:
            OSError: it cannot be made or written to; says what helps.
        """
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explained(error, f"there can be no folder {self.path}", "Give the run another one") from None
        write_text(self.path / "README.txt", README)

    def begin_session(self, step: int) -> None:
        """Write down when and where training begins."""
        from .report import environment

        began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.sessions.write({"step": step, "began": began, "environment": dict(environment())})

    def metrics_until(self, step: int) -> list[dict[str, Any]]:
        """The metrics that `cut` leaves."""
        return lines_until(self.metrics.path, step)

    def cut(self, step: int) -> None:
        """Take back what was written after ``step``, a closing line included."""
        for lines in (self.timings, self.incidents, self.metrics):
            cut_lines(lines.path, step)
        self.store.cut(step)

    def save(self, step: int, tree: Mapping[str, Any], note: Mapping[str, Any] | None = None) -> None:
        """Have the checkpoint of a step written beside the training, its metrics first: `check` and `wait` tell how
        that went. The tree's arrays may change at once; a save that is still under way is waited for.

        Raises:
            OSError: the save before could not be done.
            TypeError: the tree holds something that cannot be saved.
        """
        self._background.wait()
        if self.store.best() == path_for(self.checkpoints, step):  # it is written again, and no worse
            note = {**(note or {}), "best": True}
        snapshot = Snapshot(tree, note, self._buffer)
        self._buffer = snapshot.buffer

        def write() -> None:
            for lines in (self.metrics, self.timings):
                lines.sync()
            self.store.write(step, snapshot)

        self._background.start(write)

    def check(self) -> None:
        """Raise what went wrong in a save that is over."""
        self._background.check()

    def wait(self) -> None:
        """Return when nothing is being saved, or raise what went wrong."""
        self._background.wait()

    def close(self) -> None:
        """`wait`, and give back the memory for snapshots."""
        try:
            self.wait()
        finally:
            self._buffer = None

    def load(self, say: Callable[[str], Any] | None = None, best: bool = False) -> dict[str, Any]:
        """The newest checkpoint that is whole, or the best one.

        Args:
            say: called with a line for each damaged one; `warnings.warn` unless given.
            best: the best one instead, whole or not.

        Raises:
            FileNotFoundError: there is none.
            CheckpointError: all are damaged.
        """
        import warnings

        from .checkpoint import load

        if self.store.newest() is None:
            raise FileNotFoundError(f"there is no checkpoint in {self.path}: no run was saved there")
        if not best:
            return self.store.load(say or (lambda line: warnings.warn(line, stacklevel=4)))
        path = self.store.best()
        if path is None:
            raise FileNotFoundError(f"no checkpoint in {self.checkpoints} is marked as the best")
        return load(path)

    def read_json(self, name: str) -> dict[str, Any]:
        """A file of the folder that is a JSON object; empty if it is not there or is none."""
        with suppress(OSError, ValueError):
            found = json.loads((self.path / name).read_text(encoding="utf-8"))
            return found if isinstance(found, dict) else {}
        return {}


__all__ = ["README", "CheckpointError", "RunFolder"]
