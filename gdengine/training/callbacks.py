"""What a trainer calls as it goes: any function, or an object with more to say.

A callback is called as ``callback(trainer, record)`` after every step. One that also has ``on_start``,
``on_evaluation`` or ``on_end`` is told of those too; `Callback` has all of them, doing nothing, to inherit from.

What these objects know of the past they read from the run's history when training starts. So they have no state to
save, and a run that was stopped and resumed does what one that was not does.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .metrics import JsonLines, cut_lines

Record = dict[str, Any]
MODES = ("min", "max")


class Callback:
    """Called as training goes on; each method is for a subclass to replace."""

    def on_start(self, trainer: Any) -> None:
        """Before the first step of a `fit`: the folder is there, and ``trainer.history`` is what came before."""

    def on_evaluation(self, trainer: Any, record: Record) -> None:
        """After ``val_loss`` was measured and put in the record, and before `__call__`; step 0 included."""

    def __call__(self, trainer: Any, record: Record) -> None:
        """After every step, before its record is written: what is added to the record is written too."""

    def on_end(self, trainer: Any, record: Record | None) -> None:
        """After the closing record was written; with None where a fit ended otherwise, by Ctrl-C or an error.

        Not after a second Ctrl-C, which ends everything at once.
        """


def tell(callbacks: Iterable[Any], name: str, *arguments: Any) -> None:
    """Call the method ``name`` of those callbacks that have it."""
    for callback in callbacks:
        method = getattr(callback, name, None)
        if method is not None:
            method(*arguments)


class _Best:
    """The best value so far of one entry of the records."""

    def __init__(self, metric: str, mode: str, min_delta: float = 0.0):
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
        if not min_delta >= 0:
            raise ValueError(f"min_delta must be 0 or more, got {min_delta!r}")
        self.metric, self.sign, self.min_delta = metric, 1.0 if mode == "min" else -1.0, min_delta
        self.value = math.inf

    def improves(self, record: Mapping[str, Any]) -> bool:
        """Whether the record has a better value, which is the best from then on."""
        value = record[self.metric]
        if value is None or not math.isfinite(value) or not self.sign * value < self.value - self.min_delta:
            return False
        self.value = self.sign * value
        return True


def _measured(history: Iterable[Mapping[str, Any]], metric: str) -> Iterable[Mapping[str, Any]]:
    return (record for record in history if metric in record and not record.get("final"))


class Evaluate(Callback):
    """Measures the loss on further batches, and records it under a name of its own.

    Args:
        batches: as a Trainer's ``validation``.
        name: the entry of the record.
        every: steps from one measurement to the next; 0: at each evaluation.
    """

    def __init__(self, batches: Iterable[tuple[Any, Any]], name: str, every: int = 0):
        if iter(batches) is batches:
            raise ValueError("Evaluate goes through its batches anew each time: give a list of (x, y)")
        self.batches, self.name, self.every = batches, name, every

    def on_evaluation(self, trainer: Any, record: Record) -> None:
        """Measure, unless that is done every so many steps."""
        if not self.every:
            record[self.name] = trainer.evaluate(self.batches)

    def __call__(self, trainer: Any, record: Record) -> None:
        """Measure where that is due."""
        if self.every and trainer.step % self.every == 0:
            record[self.name] = trainer.evaluate(self.batches)


class BestCheckpoint(Callback):
    """Keeps the checkpoint of the best evaluation, beside the newest ones.

    Args:
        metric: the entry of the records to look at.
        mode: ``"min"`` if lower is better, else ``"max"``.
    """

    def __init__(self, metric: str = "val_loss", mode: str = "min"):
        self.metric, self.mode = metric, mode
        self.best = _Best(metric, mode)

    def on_start(self, trainer: Any) -> None:
        """Know the best so far."""
        self.best = _Best(self.metric, self.mode)
        for record in _measured(trainer.history, self.metric):
            self.best.improves(record)

    def on_evaluation(self, trainer: Any, record: Record) -> None:
        """Ask for a checkpoint if it is better; the untrained model is not worth one."""
        if self.metric in record and self.best.improves(record) and trainer.step > 0 and trainer.folder is not None:
            trainer.request_save(best=True)


class EarlyStop(Callback):
    """Stops when evaluations have not become better for a while.

    Args:
        patience: so many evaluations in a row without a better one are the end.
        metric: the entry of the records to look at.
        mode: ``"min"`` if lower is better, else ``"max"``.
        min_delta: by how much at least it has to be better.
    """

    def __init__(self, patience: int, metric: str = "val_loss", mode: str = "min", min_delta: float = 0.0):
        if patience < 1:
            raise ValueError(f"patience must be 1 or more, got {patience}")
        self.patience, self.metric, self.mode, self.min_delta = patience, metric, mode, min_delta
        self.on_start(None)

    def on_start(self, trainer: Any) -> None:
        """Know the best so far, and for how long it has been that."""
        self.best = _Best(self.metric, self.mode, self.min_delta)
        self.waited = 0
        for record in _measured(trainer.history if trainer is not None else (), self.metric):
            self._see(record)

    def on_evaluation(self, trainer: Any, record: Record) -> None:
        """Stop if this was one too many."""
        if self.metric in record:
            self._see(record)
            if self.waited >= self.patience:
                trainer.stop(f"{self.metric} has not become better in {self.waited} evaluations")

    def _see(self, record: Mapping[str, Any]) -> None:
        self.waited = 0 if self.best.improves(record) else self.waited + 1


class Sample(Callback):
    """Lets the model show what it can do, and writes that to ``samples.jsonl`` in the run's folder.

    Args:
        write: returns a text. It must leave the run's random numbers as they are.
        every: steps from one sample to the next; 0: at each evaluation.
    """

    FILE = "samples.jsonl"

    def __init__(self, write: Callable[[], str], every: int = 0):
        self.write, self.every = write, every

    def on_start(self, trainer: Any) -> None:
        """Take back what was written after this step."""
        if trainer.folder is not None:
            cut_lines(trainer.folder.path / self.FILE, trainer.step if trainer.history else -1)

    def on_evaluation(self, trainer: Any, record: Record) -> None:
        """A sample at each evaluation."""
        if not self.every:
            self._sample(trainer)

    def __call__(self, trainer: Any, record: Record) -> None:
        """A sample where one is due."""
        if self.every and trainer.step % self.every == 0:
            self._sample(trainer)

    def _sample(self, trainer: Any) -> None:
        if trainer.folder is not None:
            JsonLines(trainer.folder.path / self.FILE).write({"step": trainer.step, "text": self.write()})


class Plots(Callback):
    """Draws ``loss.png`` and ``lr.png`` in the run's folder, when training ends and before. Needs matplotlib.

    Args:
        every: steps from one drawing to the next; 0: at the end only.
        baselines: losses of other models, by name, to be drawn beside.
        title: above the loss.
    """

    def __init__(self, every: int = 0, baselines: Mapping[str, float] | None = None, title: str = ""):
        self.every, self.baselines, self.title = every, baselines, title

    def __call__(self, trainer: Any, record: Record) -> None:
        """Draw where that is due."""
        if self.every and trainer.step % self.every == 0:
            self.draw(trainer)

    def on_end(self, trainer: Any, record: Record | None) -> None:
        """Draw what there is."""
        self.draw(trainer)

    def draw(self, trainer: Any) -> None:
        """Draw now."""
        from .plots import draw_loss, draw_lr

        if trainer.folder is not None:
            history, folder = trainer.history, trainer.folder.path
            draw_loss(history, folder / "loss.png", baselines=self.baselines, title=self.title)
            draw_lr(history, folder / "lr.png")
