"""The training loop."""

import copy
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import random
from ..data.repeat import Repeat
from ..graph import graph as captured
from ..precision import autocast
from ..tape import no_grad
from .folder import RunFolder
from .interrupt import Interrupt, Interrupted
from .metrics import read_lines
from .progress import Progress, compile_notice

Record = dict[str, Any]
Callback = Callable[["Trainer", Record], None]


class Trainer:
    """Moves a model downhill, batch by batch, and keeps a record of the way.

        trainer = Trainer(model, optimizer, cross_entropy, batches, validation=held_out, run="runs/mine")
        trainer.fit(1000)

    A step is: ``loss = loss_fn(model(x), y)`` and its backward, for ``accumulate`` batches, then ``optimizer.step()``.

    With a ``run`` folder, it writes there

    - ``metrics.jsonl``: a line for each step with ``step``, ``loss`` (before the update), ``lr``, ``grad_norm`` (before
      clipping), ``tokens`` (targets seen so far), and ``val_loss`` (after the update) where it was measured. A step
      whose gradient was not finite has ``skipped``, the name of the first parameter where it was not. Step 0 is the
      untrained model; the line with ``"final": true`` the trained one. Nothing here depends on time: a run that was
      stopped and resumed writes the same bytes as one that was not;
    - ``timings.jsonl``: the seconds that each step took;
    - ``checkpoints/``: every ``checkpoint_every`` steps, at the end, and on Ctrl-C; the newest two stay.

    Args:
        model: a module; called with x.
        optimizer: over its parameters.
        loss_fn: of the model's output and y, a scalar Tensor, the mean over targets.
        batches: an iterable of ``(x, y)``. One with ``state_dict`` and ``load_state_dict``, such as
            `gdengine.data.Windows`, must be endless, and goes on from its place after a resume; another is gone through
            again and again, as `gdengine.data.Repeat` does.
        validation: ``(x, y)`` batches to measure on, gone through anew at every evaluation: a list, as
            `gdengine.data.batched` makes, and no iterator, which is endless or used up after the first time.
        run: the folder; None writes nothing.
        accumulate: batches of equal size whose gradients are averaged into one step.
        eval_every: steps from one evaluation to the next; 0 measures before and after only.
        checkpoint_every: steps from one checkpoint to the next; 0 saves at the end only.
        dtype: ``"bf16"`` runs the model in bfloat16, training and validation: see `gdengine.autocast`.
        graph: record the step on the GPU, and replay it: see `gdengine.graph`. The model does the same in every step
            then, and all batches are of one shape. The same bits as without; on the CPU, no difference.
        callbacks: each called as ``callback(trainer, record)`` after every step, before its line is written: what it
            adds to the record is written too, and ``trainer.stop()`` makes this step the last.
        extra: plain data to be kept in every checkpoint.
        progress: whether to show a bar, and a line at each evaluation.

    Raises:
        ValueError: a number is out of its range, or ``validation`` is an iterator.
    """

    def __init__(
        self,
        model: Any,
        optimizer: Any,
        loss_fn: Callable[[Any, Any], Any],
        batches: Iterable[tuple[Any, Any]],
        *,
        validation: Iterable[tuple[Any, Any]] | None = None,
        run: str | os.PathLike[str] | None = None,
        accumulate: int = 1,
        eval_every: int = 0,
        checkpoint_every: int = 0,
        dtype: str = "fp32",
        graph: bool = False,
        callbacks: Sequence[Callback] = (),
        extra: Mapping[str, Any] | None = None,
        progress: bool = True,
    ):
        for name, value, low in (
            ("accumulate", accumulate, 1),
            ("eval_every", eval_every, 0),
            ("checkpoint_every", checkpoint_every, 0),
        ):
            if value < low:
                raise ValueError(f"{name} must be {low} or more, got {value}")
        if validation is not None and iter(validation) is validation:
            raise ValueError(
                "validation is gone through anew at every evaluation: give a list of (x, y), as gdengine.data.batched "
                "makes, and no endless loader or generator"
            )
        self.model, self.optimizer, self.loss_fn = model, optimizer, loss_fn
        self.batches: Any = batches if hasattr(batches, "load_state_dict") else Repeat(batches)
        self.validation = validation
        self.folder = None if run is None else RunFolder(run)
        self.accumulate, self.eval_every, self.checkpoint_every = accumulate, eval_every, checkpoint_every
        self.autocast = autocast(dtype)
        self._run = captured(self._compute) if graph else self._compute
        self.callbacks = list(callbacks)
        self.extra = dict(extra or {})
        self.progress = progress
        self.step = 0
        self.tokens = 0
        self._kept: list[Record] = []  # where there is no folder to keep them in
        self._last: Record = {}
        self._recent = (0.0, 0)  # the losses since the last evaluation: their sum, and how many
        self._stopped = False

    @property
    def history(self) -> list[Record]:
        """All records so far: what ``metrics.jsonl`` holds, where there is a folder."""
        return list(self._kept) if self.folder is None else read_lines(self.folder.metrics.path)

    def fit(self, steps: int) -> Record:
        """Train until ``steps`` steps have been done in all, those before a resume or an earlier ``fit`` included.

        Returns:
            The closing record: ``step``, and ``val_loss`` if there are validation batches.

        Raises:
            FileExistsError: the folder holds another run.
            Interrupted: Ctrl-C was pressed. The step was finished, and a checkpoint written if there is a folder.
        """
        self._open()
        with Interrupt() as interrupt, Progress(self.step, steps, self.progress) as bar, compile_notice(bar.say):
            if self.step == 0 and self.validation is not None and not self._last:
                self._note({"step": 0, "val_loss": self._measure(bar)})
            while self.step < steps and not self._stopped:
                self._advance(bar)
                if interrupt.requested and self.step < steps:
                    self._leave()
                if self._is_due(self.checkpoint_every) and self.step < steps:
                    self.save()
            return self._finish(bar)

    def stop(self) -> None:
        """Make the step at hand the last one: for callbacks."""
        self._stopped = True

    def evaluate(self) -> float:
        """The mean loss over the validation batches, in ``eval()`` mode, without gradients.

        Σ size(y) · loss / Σ size(y): a batch weighs as many times as it has targets, ``np.size(y)``. Afterwards every
        module is in the mode it was in.

        Raises:
            ValueError: there are no validation batches, or none with a target in it.
        """
        if self.validation is None:
            raise ValueError("there is nothing to evaluate on: give Trainer validation=, a list of (x, y) batches")
        total, count = 0.0, 0
        with self.model.evaluating(), no_grad():
            for x, y in self.validation:
                size = int(np.size(y))
                total += self._loss(x, y).item() * size
                count += size
        if count == 0:
            raise ValueError("there are no validation batches with a target in them: give a list of (x, y)")
        return total / count

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the run depends on: a tree of plain data and arrays, these being live views."""
        return {
            "step": self.step,
            "tokens": self.tokens,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "batches": self.batches.state_dict(),
            "random": random.state_dict(),
            "extra": self.extra,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to where `state_dict` was taken; if something in it does not fit, everything stays as it was.

        Raises:
            KeyError, ValueError: parts are missing, or belong to another model, optimizer or text.
        """
        missing = [name for name in self.state_dict() if name not in state]
        if missing:
            raise KeyError(f"the state of a Trainer needs {', '.join(missing)} too; it has {', '.join(state)}")
        before = copy.deepcopy(self.state_dict())
        try:
            self._load(state)
        except Exception:
            self._load(before)
            raise

    def save(self) -> Path:
        """Write a checkpoint of this moment into the run's folder.

        Raises:
            ValueError: there is no folder.
        """
        if self.folder is None:
            raise ValueError("there is no folder to save in: give Trainer run=")
        return self.folder.save(self.step, self.state_dict())

    def resume(self) -> int:
        """Go on from the newest checkpoint in the run's folder; returns its step.

        The folder is only read here: what was written there after that step stays until `fit` goes on.

        Raises:
            FileNotFoundError: there is none.
            CheckpointError: it is damaged.
            KeyError, ValueError: it belongs to another model, optimizer or text.
        """
        if self.folder is None:
            raise ValueError("there is no folder to resume from: give Trainer run=")
        self.load_state_dict(self.folder.load())
        self._last = (self.folder.metrics_until(self.step) or [{}])[-1]
        return self.step

    def _open(self) -> None:
        """See that the folder is this run's, and take back what was written there after this step."""
        self._stopped = False
        if self.folder is None:
            if self._last.get("final"):
                self._kept.pop()
            return
        is_new = self.step == 0 and not self._last
        if is_new and self.folder.is_used:
            path = self.folder.path
            raise FileExistsError(f"{path} holds a run: go on with it by resume(), or take another folder")
        self.folder.create()
        self.folder.cut(-1 if is_new else self.step)

    def _advance(self, bar: Progress) -> None:
        """One step, with what is due after it."""
        began, tokens = time.perf_counter(), self.tokens
        record = self._update()
        seconds = time.perf_counter() - began
        bar.update(record["loss"], record["lr"], (self.tokens - tokens) / seconds)
        if self.validation is not None and self._is_due(self.eval_every):
            record["val_loss"] = self._measure(bar)
        for callback in self.callbacks:
            callback(self, record)
        self._note(record)
        if self.folder is not None:
            self.folder.timings.write({"step": self.step, "seconds": seconds})

    def _update(self) -> Record:
        """Forward, backward, and the optimizer's step."""
        lr = float(self.optimizer.lr)
        batches = [next(self.batches) for _ in range(self.accumulate)]
        losses = [loss.item() for loss in self._run(*[part for batch in batches for part in batch])]
        self.tokens += sum(int(np.size(y)) for _, y in batches)
        self.step += 1
        mean = sum(losses) / len(losses)
        self._recent = (self._recent[0] + mean, self._recent[1] + 1)
        record: Record = {"step": self.step, "loss": mean, "lr": lr}
        record |= {"grad_norm": self.optimizer.grad_norm, "tokens": self.tokens}
        bad = self.optimizer.bad_parameter
        return record if bad is None else record | {"skipped": bad}

    def _compute(self, *parts: Any) -> list[Any]:
        """The step of the batches x, y, x, y, …: what a graph records. The losses."""
        losses = []
        for x, y in zip(parts[::2], parts[1::2], strict=True):
            loss = self._loss(x, y)
            (loss if self.accumulate == 1 else loss / self.accumulate).backward()
            losses.append(loss.detach())
        self.optimizer.step()
        return losses

    def _loss(self, x: Any, y: Any) -> Any:
        with self.autocast:
            return self.loss_fn(self.model(x), y)

    def _measure(self, bar: Progress) -> float:
        """`evaluate`, and a line that tells of it, beside the mean training loss since the last one."""
        value = self.evaluate()
        total, count = self._recent
        trained = f" · training loss {total / count:.4f}" if count else ""
        bar.say(f"step {self.step:6d} · held-out loss {value:.4f}{trained}")
        self._recent = (0.0, 0)
        return value

    def _note(self, record: Record) -> None:
        self._last = record
        if self.folder is None:
            self._kept.append(record)
        else:
            self.folder.metrics.write(record)

    def _is_due(self, every: int) -> bool:
        return every > 0 and self.step % every == 0

    def _leave(self) -> None:
        """Stop here, on Ctrl-C."""
        if self.folder is None:
            raise Interrupted(f"stopped after step {self.step}; without a run folder, nothing was saved")
        path = self.save()
        raise Interrupted(f"stopped after step {self.step}, saved in {path}; resume() and fit() go on from there")

    def _finish(self, bar: Progress) -> Record:
        """The closing line, and the last checkpoint."""
        closing: Record = {"step": self.step}
        if self.validation is not None:
            is_fresh = self._last.get("step") == self.step and "val_loss" in self._last
            closing["val_loss"] = self._last["val_loss"] if is_fresh else self._measure(bar)
        closing["final"] = True
        self._note(closing)
        if self.folder is not None:
            self.save()
        return closing

    def _load(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.batches.load_state_dict(state["batches"])
        random.load_state_dict(state["random"])
        self.step, self.tokens, self.extra = int(state["step"]), int(state["tokens"]), dict(state["extra"])
