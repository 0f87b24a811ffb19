"""What a run measured, for other programs: a table, TensorBoard, Weights & Biases."""

import csv
import importlib.util
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .callbacks import Callback, Record


def _timed(trainer: Any, record: Mapping[str, Any]) -> Record:
    """A step's record, and how fast the step was."""
    return {**record, "tokens_per_second": trainer.tokens_per_second}


class Csv(Callback):
    """Writes the records as a table, for spreadsheets and data frames: a row for each step, a column for each entry.

    ``metrics.jsonl`` is the original: when training starts, the table is made anew from it, and again when a record has
    an entry that no record before it had.

    Args:
        path: the file; None: ``metrics.csv`` in the run's folder.
    """

    FILE = "metrics.csv"

    def __init__(self, path: str | os.PathLike[str] | None = None):
        self.path = None if path is None else Path(path)
        self.columns: list[str] = []

    def on_start(self, trainer: Any) -> None:
        """Write what came before."""
        if self.path is None:
            if trainer.folder is None:
                raise ValueError("there is no folder for the table: give Csv a path, or Trainer run=")
            self.path = trainer.folder.path / self.FILE
        self._rewrite(trainer.history)

    def on_evaluation(self, trainer: Any, record: Record) -> None:
        """The row of the untrained model, after which no step's call comes."""
        if trainer.step == 0:
            self(trainer, record)

    def __call__(self, trainer: Any, record: Record) -> None:
        """A row more."""
        if set(record) <= set(self.columns):
            self._write([record], "a")
        else:
            self._rewrite([*trainer.history, record])

    def on_end(self, trainer: Any, record: Record | None) -> None:
        """All rows once more: later callbacks may have added to the records."""
        if self.path is not None:
            self._rewrite(trainer.history)

    def _rewrite(self, records: list[Record]) -> None:
        records = [record for record in records if not record.get("final")]
        self.columns = list(dict.fromkeys(name for record in records for name in record))
        self._write(records, "w")

    def _write(self, records: list[Record], mode: str) -> None:
        assert self.path is not None
        with open(self.path, mode, newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns)
            if mode == "w" and self.columns:
                writer.writeheader()
            writer.writerows(records)


class TensorBoard(Callback):
    """Writes event files for TensorBoard (``tensorboard --logdir runs``), by the library tensorboardX.

    Args:
        path: the folder; None: ``tensorboard/`` in the run's folder.

    Raises:
        ImportError: tensorboardX is not installed; says how to.
    """

    HOW_TO_INSTALL = "event files for TensorBoard need tensorboardX: pip install 'gdengine[tensorboard]'"

    def __init__(self, path: str | os.PathLike[str] | None = None):
        self.check()
        self.path = path
        self._writer: Any = None

    @classmethod
    def check(cls) -> None:
        """Raise ImportError unless tensorboardX is installed."""
        if importlib.util.find_spec("tensorboardX") is None:
            raise ImportError(cls.HOW_TO_INSTALL)

    def on_start(self, trainer: Any) -> None:
        """Open a new event file, from which on events of later steps in earlier files do not count."""
        from tensorboardX import SummaryWriter

        if self.path is None:
            if trainer.folder is None:
                raise ValueError("there is no folder for event files: give TensorBoard a path, or Trainer run=")
            self.path = trainer.folder.path / "tensorboard"
        self._writer = SummaryWriter(os.fspath(self.path), purge_step=trainer.step + 1 if trainer.history else 0)

    def on_evaluation(self, trainer: Any, record: Record) -> None:
        """The untrained model, after which no step's call comes."""
        if trainer.step == 0:
            self._add(record)

    def __call__(self, trainer: Any, record: Record) -> None:
        """Every number of the record is a curve."""
        self._add(_timed(trainer, record))

    def on_end(self, trainer: Any, record: Record | None) -> None:
        """Bring all to the disk."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _add(self, record: Mapping[str, Any]) -> None:
        for name, value in record.items():
            if name == "step" or value is None:
                continue
            if isinstance(value, int | float):
                self._writer.add_scalar(name, value, record["step"])
            else:
                self._writer.add_text(name, str(value), record["step"])


class Wandb(Callback):
    """Sends the records to Weights & Biases, by its own library. A resumed run goes on as the same run there.

    Args:
        project: its name there.
        config: what to show as the run's configuration; None: the trainer's ``extra``.
        options: further arguments of ``wandb.init``.

    Raises:
        ImportError: wandb is not installed; says how to.
    """

    FILE = "wandb-id.txt"
    HOW_TO_INSTALL = "Weights & Biases needs its library wandb: pip install 'gdengine[wandb]'"

    def __init__(self, project: str, config: Mapping[str, Any] | None = None, **options: Any):
        self.check()
        self.project, self.config, self.options = project, config, options
        self._run: Any = None

    @classmethod
    def check(cls) -> None:
        """Raise ImportError unless wandb is installed."""
        if importlib.util.find_spec("wandb") is None:
            raise ImportError(cls.HOW_TO_INSTALL)

    def on_start(self, trainer: Any) -> None:
        """Begin a run there, or go on with the one that this folder belongs to."""
        import wandb

        options = {"project": self.project, "config": dict(trainer.extra if self.config is None else self.config)}
        path = None if trainer.folder is None else trainer.folder.path / self.FILE
        if path is not None:
            options |= {"name": path.parent.name, "dir": str(path.parent)}
            if path.exists() and trainer.step > 0:
                options |= {"id": path.read_text(encoding="utf-8").strip(), "resume": "allow"}
        self._run = wandb.init(**{**options, **self.options})
        if path is not None:
            path.write_text(f"{self._run.id}\n", encoding="utf-8")

    def on_evaluation(self, trainer: Any, record: Record) -> None:
        """The untrained model, after which no step's call comes."""
        if trainer.step == 0:
            self._log(record)

    def __call__(self, trainer: Any, record: Record) -> None:
        """Send the record."""
        self._log(_timed(trainer, record))

    def on_end(self, trainer: Any, record: Record | None) -> None:
        """Say how it ended: as it should, or cut short."""
        if self._run is not None:
            self._run.finish(exit_code=0 if record is not None else 1)
            self._run = None

    def _log(self, record: Mapping[str, Any]) -> None:
        kept = {name: value for name, value in record.items() if not isinstance(value, float) or math.isfinite(value)}
        self._run.log(kept, step=record["step"])
