"""The training loop."""

import copy
import math
import os
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .. import cuda, random
from ..data.repeat import Repeat
from ..device import assign
from ..graph import graph as captured
from ..precision import autocast
from ..tape import no_grad
from .begun import Begun
from .callbacks import tell
from .changes import settings_of, told
from .checkpoint import Snapshot, path_for
from .folder import RunFolder
from .incidents import Diverged, Spikes, first_not_finite
from .interrupt import Interrupt, Interrupted
from .metrics import read_lines
from .progress import Progress, compile_notice

Record = dict[str, Any]
Callback = Callable[["Trainer", Record], None]  # or an object with more methods: see callbacks.py

# Of a trainer's state; format 1 had no more.
NEEDED = ("step", "tokens", "model", "optimizer", "batches", "random", "extra")


class Trainer:
    """Moves a model downhill, batch by batch, and keeps a record of the way.

        trainer = Trainer(model, optimizer, cross_entropy, batches, validation=held_out, run="runs/mine")
        trainer.fit(1000)

    A step is: ``loss = loss_fn(model(x), y)`` and its backward, for ``accumulate`` batches, then ``optimizer.step()``.

    With a ``run`` folder, it writes there

    - ``metrics.jsonl``: a line for each step with ``step``, ``loss`` (before the update), ``lr``, ``grad_norm`` (before
      clipping), ``tokens`` (targets seen so far), and ``val_loss`` (after the update) where it was measured. A step
      that made no update has ``skipped``: the name of the first parameter whose gradient was not finite; ``loss``, if
      only that was not; or ``spike``. Step 0 is the untrained model; the line with ``"final": true`` the trained one.
      Nothing here depends on time: a run that was stopped and resumed writes the same bytes as one that was not;
    - ``timings.jsonl``: the seconds that each step took; ``sessions.jsonl``: when and where training began;
    - ``incidents.jsonl``: for a skipped step, or a jump of the loss, what went bad first, and the place in the data and
      among the random numbers where that step began;
    - ``checkpoints/``: every ``checkpoint_every`` steps, at the end, and on Ctrl-C or SIGTERM. They are written beside
      the training, from a copy; what goes wrong there is raised at the next step.

    Checkpoints fall between steps, anywhere within an epoch. Only on Ctrl-C or SIGTERM may one fall within a step,
    between two of its ``accumulate`` batches: it is the last step's, and holds besides what the batches have come to.

    After a skipped step, parameters and the optimizer's state are as they were, bit for bit, and so are the model's
    buffers. It is computed once more, with every tensor looked at, to name the first that was not finite.

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
        keep: how many of the newest checkpoints stay.
        max_skipped: so many skipped steps in a row end the training with `Diverged`, and a checkpoint from before them;
            0: never.
        spikes: tells of jumps of the loss, and makes no update from them if it is to: see `Spikes`.
        dtype: ``"bf16"`` runs the model in bfloat16, training and validation: see `gdengine.autocast`.
        graph: record the step on the GPU, and replay it: see `gdengine.graph`. The model does the same in every step
            then, and all batches are of one shape. The same bits as without; on the CPU, no difference.
        callbacks: each called as ``callback(trainer, record)`` after every step, before its line is written: what it
            adds to the record is written too, and ``trainer.stop()`` makes this step the last. One with ``on_start``,
            ``on_evaluation`` or ``on_end`` is told of those too: see `gdengine.training.callbacks`.
        extra: plain data to be kept in every checkpoint.
        progress: whether to show a bar, and a line at each evaluation.

    Raises:
        ValueError: a number is out of its range, or ``validation`` is an iterator; ``graph`` is to skip jumps of the
            loss, which a recorded step cannot.
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
        keep: int = 2,
        max_skipped: int = 10,
        spikes: Spikes | None = None,
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
            ("keep", keep, 1),
            ("max_skipped", max_skipped, 0),
        ):
            if value < low:
                raise ValueError(f"{name} must be {low} or more, got {value}")
        if validation is not None and iter(validation) is validation:
            raise ValueError(
                "validation is gone through anew at every evaluation: give a list of (x, y), as gdengine.data.batched "
                "makes, and no endless loader or generator"
            )
        if graph and spikes is not None and spikes.skip:
            raise ValueError("a recorded step updates before its loss is known: graph=True goes with spikes.skip=False")
        self.model, self.optimizer, self.loss_fn = model, optimizer, loss_fn
        self.batches: Any = batches if hasattr(batches, "load_state_dict") else Repeat(batches)
        self.validation = validation
        self.folder = None if run is None else RunFolder(run, keep)
        self.max_skipped, self.spikes = max_skipped, spikes
        self.dtype = dtype
        self.accumulate, self.eval_every, self.checkpoint_every = accumulate, eval_every, checkpoint_every
        self.autocast = autocast(dtype)
        self._graph = captured(self._compute) if graph and cuda.is_available() else None
        self.callbacks = list(callbacks)
        self.extra = dict(extra or {})
        self.progress = progress
        self.step = 0
        self.tokens = 0
        self._kept: list[Record] = []  # where there is no folder to keep them in
        self._last: Record = {}
        self._recent = (0.0, 0)  # the losses since the last evaluation: their sum, and how many
        self._stopped = ""  # why the step at hand is the last one
        self._wanted: set[str] = set()  # what was asked of this step: "save", "best"
        self._row: dict[str, Any] = {"skipped": 0}  # steps skipped without a break, and where the trainer was before
        self._begun: Begun | None = None  # the step that was left between its batches
        self._owns_folder = False  # what is in the folder was written here, or was resumed from
        self.seconds = 0.0  # that the last step took
        self.tokens_per_second = 0.0

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
            OSError: something could not be written; the last checkpoint is whole.
            Interrupted: Ctrl-C was pressed, or SIGTERM came. The batch at hand was finished (with ``graph``, the step),
                and a checkpoint written if there is a folder. A second one ends it at once.
            Diverged: ``max_skipped`` steps in a row were skipped.
        """
        self._open()
        with (
            Interrupt(self.folder is not None) as interrupt,
            Progress(self.step, steps, self.progress) as bar,
            compile_notice(bar.say),
        ):
            try:
                tell(self.callbacks, "on_start", self)
                closing = self._descend(steps, interrupt, bar)
            except (Exception, Interrupted):  # and not a second Ctrl-C, which ends it at once
                self._let_save_end()
                tell(self.callbacks, "on_end", self, None)
                raise
            tell(self.callbacks, "on_end", self, closing)
            return closing

    def stop(self, reason: str = "it was asked to") -> None:
        """Make the step at hand the last one: for callbacks. The reason stands in the closing record."""
        self._stopped = reason

    def request_save(self, best: bool = False) -> None:
        """Have a checkpoint written once the step at hand is written down: for callbacks.

        The ``best`` one stays until a better one comes, however many newer ones there are.
        """
        self._wanted |= {"save", "best"} if best else {"save"}

    def evaluate(self, batches: Iterable[tuple[Any, Any]] | None = None) -> float:
        """The mean loss over the validation batches, or others, in ``eval()`` mode, without gradients.

        Σ size(y) · loss / Σ size(y): a batch weighs as many times as it has targets, ``np.size(y)``. Afterwards every
        module is in the mode it was in.

        Raises:
            ValueError: there are no validation batches, or none with a target in it.
        """
        batches = self.validation if batches is None else batches
        if batches is None:
            raise ValueError("there is nothing to evaluate on: give Trainer validation=, a list of (x, y) batches")
        total, count = 0.0, 0
        with self.model.evaluating(), no_grad():
            for x, y in batches:
                size = int(np.size(y))
                total += self._loss(x, y).item() * size
                count += size
        if count == 0:
            raise ValueError("there are no validation batches with a target in them: give a list of (x, y)")
        return total / count

    @property
    def place(self) -> str:
        """How far it is: ``"step 4"``, or ``"step 4 and 3 of the 8 batches of step 5"``."""
        place = f"step {self.step}"
        if self._begun is None:
            return place
        return f"{place} and {len(self._begun.losses)} of the {self.accumulate} batches of step {self.step + 1}"

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the run depends on: a tree of plain data and arrays, these being live views."""
        state = {
            "step": self.step,
            "tokens": self.tokens,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "batches": self.batches.state_dict(),
            "random": random.state_dict(),
            "row": self._row,
            "config": self.config(),
            "settings": settings_of(self.model, self.optimizer),
            "extra": self.extra,
        }
        return state if self._begun is None else self._begun.within(state, self.optimizer)

    def config(self) -> dict[str, Any]:
        """What a resumed run must have as it was, for its steps to be the same."""
        batches = self.batches.batches if isinstance(self.batches, Repeat) else self.batches
        loader = {name: getattr(batches, name, None) for name in ("block_size", "batch_size", "seed")}
        loader = {name: value for name, value in loader.items() if isinstance(value, int)}
        return {
            "optimizer": type(self.optimizer).__name__,
            "clip_norm": self.optimizer.clip_norm,
            "clip_value": self.optimizer.clip_value,
            "accumulate": self.accumulate,
            "dtype": self.dtype,
            **{f"batches.{name}": value for name, value in loader.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to where `state_dict` was taken; if something in it does not fit, everything stays as it was.

        Raises:
            KeyError, ValueError: parts are missing, or belong to another model, optimizer or text; or the trainer was
                made otherwise, says how.
        """
        missing = [name for name in NEEDED if name not in state]
        if missing:
            raise KeyError(f"the state of a Trainer needs {', '.join(missing)} too; it has {', '.join(state)}")
        self._check_config(state.get("config", {}))  # which format 1 did not have
        before = None if self.optimizer.is_half_done else copy.deepcopy(self.state_dict())
        try:
            self._load(state)
        except Exception:
            if before is not None:
                self._load(before)
            raise

    def save(self, wait: bool = True) -> Path:
        """Write a checkpoint of this moment into the run's folder.

        Args:
            wait: return when it is on the disk; else at once, and what goes wrong is raised at the next step.

        Raises:
            ValueError: there is no folder.
            OSError: it, or the one before, could not be written.
        """
        if self.folder is None:
            raise ValueError("there is no folder to save in: give Trainer run=")
        note: dict[str, Any] = {name: self._last[name] for name in ("val_loss",) if name in self._last}
        if self._begun is not None:
            note["begun"] = len(self._begun.losses)
        self.folder.save(self.step, self.state_dict(), {**note, "best": "best" in self._wanted})
        if wait:
            self.folder.wait()
        return path_for(self.folder.checkpoints, self.step)

    def resume(self, say: Callable[[str], Any] | None = None) -> int:
        """Go on from the newest whole checkpoint in the run's folder; returns its step.

        The folder is only read here: what was written there after that step stays until `fit` goes on.

        The settings of the optimizer's groups are the checkpoint's from then on, but for a learning rate that is a
        function here: see `Optimizer.load_state_dict`. What this script has otherwise is told.

        Args:
            say: called with a line for each damaged checkpoint that is passed over, and for each setting that was
                another when the checkpoint was written; `warnings.warn` unless given.

        Raises:
            FileNotFoundError: there is none.
            CheckpointError: all are damaged.
            KeyError, ValueError: it belongs to another model, optimizer or text.
        """
        if self.folder is None:
            raise ValueError("there is no folder to resume from: give Trainer run=")
        here, state = settings_of(self.model, self.optimizer), self.folder.load(say)
        self.load_state_dict(state)
        for line in told(state.get("settings", {}), here, settings_of(self.model, self.optimizer)):
            (say or partial(warnings.warn, stacklevel=2))(line)
        self._last = (self.folder.metrics_until(self.step) or [{}])[-1]
        self._owns_folder = True
        return self.step

    def _open(self) -> None:
        """See that the folder is this run's, and take back what was written there after this step."""
        self._stopped, self._wanted = "", set()
        if self._begun is None:
            self.optimizer.zero_grad()  # a step that an error broke off may have left some
        if self.folder is None:
            if self._last.get("final"):
                self._kept.pop()
            self._watch_spikes()
            return
        is_new = self.step == 0 and not self._last and not self._owns_folder
        if is_new and self.folder.is_used:
            path = self.folder.path
            raise FileExistsError(f"{path} holds a run: go on with it by resume(), or take another folder")
        self.folder.create()
        self.folder.cut(-1 if is_new else self.step)
        self._owns_folder = True
        self.folder.begin_session(self.step)
        self._watch_spikes()

    def _watch_spikes(self) -> None:
        if self.spikes is not None:
            self.spikes.start(self.history)

    def _descend(self, steps: int, interrupt: Interrupt, bar: Progress) -> Record:
        """All steps, from the untrained model's evaluation to the closing record."""
        if self.step == 0 and self.validation is not None and not self._last:
            record = {"step": 0, "val_loss": self._measure(bar)}
            tell(self.callbacks, "on_evaluation", self, record)
            self._note(record)
        if interrupt.requested and self.step < steps:
            self._leave(interrupt.requested)
        while self.step < steps and not self._stopped:
            self._wanted.clear()
            self._advance(interrupt, bar)
            is_last = self.step >= steps or bool(self._stopped)
            if self.max_skipped and self._row["skipped"] >= self.max_skipped:
                self._give_up()
            if interrupt.requested and not is_last:
                self._leave(interrupt.requested)
            if not is_last and self.folder is not None:
                self.folder.check()
                if self._is_due(self.checkpoint_every) or "save" in self._wanted:
                    self.save(wait=False)
        return self._finish(bar)

    def _advance(self, interrupt: Interrupt, bar: Progress) -> None:
        """One step, with what is due after it."""
        began, tokens = time.perf_counter(), self.tokens
        record = self._update(interrupt)
        self.seconds = time.perf_counter() - began
        self.tokens_per_second = (self.tokens - tokens) / self.seconds
        bar.update(record["loss"], record["lr"], self.tokens_per_second)
        if self.validation is not None and self._is_due(self.eval_every):
            record["val_loss"] = self._measure(bar)
            tell(self.callbacks, "on_evaluation", self, record)
        for callback in self.callbacks:
            callback(self, record)
        self._note(record)
        if self.folder is not None:
            self.folder.timings.write({"step": self.step, "seconds": self.seconds})

    def _update(self, interrupt: Interrupt) -> Record:
        """Forward, backward, and the optimizer's step."""
        lr = float(self.optimizer.lr)
        begun, self._begun = self._begun or self._begin(), None
        before, batches = begun.before, begun.batches
        losses = self._losses(begun, interrupt)
        mean = sum(losses) / len(losses)
        z = None if self.spikes is None else self.spikes.see(mean)
        skipped = self._step(mean, z)
        self.tokens += sum(int(np.size(y)) for _, y in batches)
        self.step += 1
        self._recent = (self._recent[0] + mean, self._recent[1] + 1)
        record: Record = {"step": self.step, "loss": mean, "lr": lr}
        record |= {"grad_norm": self.optimizer.grad_norm, "tokens": self.tokens}
        if z is not None:
            record["spike"] = z
        if skipped:
            record["skipped"] = skipped
        self._count_row(bool(skipped), before)
        if skipped or z is not None:
            self._tell_incident(record, before, batches)
        return record

    def _begin(self) -> Begun:
        """Take the batches of a step."""
        return Begun(self._place(), [next(self.batches) for _ in range(self.accumulate)])

    def _losses(self, begun: Begun, interrupt: Interrupt) -> list[float]:
        """Compute those of a step's batches that are not done. The losses of all; the gradient of their mean is in g.

        On a signal, it stops here before the next batch.
        """
        if self._graph is not None:
            return [loss.item() for loss in self._graph(*(part for batch in begun.batches for part in batch))]
        for x, y in begun.batches[len(begun.losses) :]:
            if begun.losses and interrupt.requested:
                self._begun = begun
                self._leave(interrupt.requested)
            begun.losses.append(self._gradient(x, y))
        return [float(loss) for loss in begun.losses]

    def _step(self, loss: float, z: float | None) -> str:
        """The optimizer's step, unless there is a reason against it, which is returned."""
        is_spike = z is not None and self.spikes is not None and self.spikes.skip
        if is_spike:
            self.optimizer.skip()
            return self.optimizer.bad_parameter or "spike"
        if self._graph is None:
            self.optimizer.step(loss=loss)
        return self.optimizer.bad_parameter or ("" if math.isfinite(loss) else "loss")

    def _place(self) -> dict[str, Any]:
        """Where a step begins: what has to be put back for it to be computed again."""
        return {
            **{"step": self.step, "tokens": self.tokens, "skipped": self.optimizer.skipped},
            **{"batches": self.batches.state_dict(), "random": random.state_dict()},
            "buffers": {name: buffer._array.copy() for name, buffer in self.model.named_buffers()},
        }

    def _count_row(self, skipped: bool, before: Mapping[str, Any]) -> None:
        """Count the steps skipped without a break, and remember where the trainer was before the first of them."""
        if not skipped:
            self._row = {"skipped": 0}
            return
        self._put_buffers(before)
        plain = {name: value for name, value in before.items() if name != "buffers"}
        self._row = {"skipped": self._row["skipped"] + 1, "before": self._row.get("before", plain)}

    def _tell_incident(self, record: Record, before: Mapping[str, Any], batches: list[tuple[Any, Any]]) -> None:
        """Find out where it began, and write that down beside what it takes to repeat the step."""
        first = None if record.get("skipped") in (None, "spike") else self._first_not_finite(before, batches)
        kept = ("step", "loss", "grad_norm", "spike", "skipped")
        incident = {name: record[name] for name in kept if name in record}
        incident |= {"first": first, "batches": before["batches"], "random": before["random"]}
        if first is not None:
            record["first"] = first
        if self.folder is not None:
            self.folder.incidents.write(incident)

    def _first_not_finite(self, before: Mapping[str, Any], batches: list[tuple[Any, Any]]) -> str | None:
        """The name of the first tensor of a skipped step that was not finite. The trainer is as it was afterwards."""
        after = random.state_dict()
        random.load_state_dict(before["random"])
        try:
            return first_not_finite(self.model, batches, self._loss)
        finally:
            random.load_state_dict(after)
            self.optimizer.zero_grad()
            self._put_buffers(before)

    def _put_buffers(self, before: Mapping[str, Any]) -> None:
        for name, buffer in self.model.named_buffers():
            assign(buffer._array, before["buffers"][name])

    def _compute(self, *parts: Any) -> list[Any]:
        """The step of the batches x, y, x, y, …: what a graph records. The losses."""
        losses = [self._gradient(x, y) for x, y in zip(parts[::2], parts[1::2], strict=True)]
        self.optimizer.step(loss=losses)
        return losses

    def _gradient(self, x: Any, y: Any) -> Any:
        """A batch's loss; its share of the gradient is added to g."""
        loss = self._loss(x, y)
        (loss if self.accumulate == 1 else loss / self.accumulate).backward()
        return loss.detach()

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

    def _leave(self, number: int) -> None:
        """Stop here, on a signal."""
        if self.folder is None:
            raise Interrupted(f"stopped after {self.place}; without a run folder, nothing was saved", number)
        path = self.save()
        self.folder.close()
        raise Interrupted(f"stopped after {self.place}, saved in {path}; resume() and fit() go on from there", number)

    def _give_up(self) -> None:
        """Stop here, with a checkpoint from before the steps that were skipped: nothing else has changed since."""
        count, before = self._row["skipped"], self._row["before"]
        told = f"the last {count} steps, from {before['step'] + 1} on, had to be skipped ({self._last.get('skipped')}"
        told += f"; first: {self._last['first']})" if "first" in self._last else ")"
        advice = "A lower lr, more warmup or clip_norm help; incidents.jsonl tells of each step"
        if self.folder is None:
            raise Diverged(f"{told}. {advice.split(';')[0]}")
        state = self.state_dict()
        plain = {name: before[name] for name in ("step", "tokens", "batches", "random")}
        state |= {**plain, "row": {"skipped": 0}, "optimizer": {**state["optimizer"], "skipped": before["skipped"]}}
        self.folder.close()
        self.folder.store.rewind(before["step"], Snapshot(state))
        raise Diverged(f"{told}. There is a checkpoint of step {before['step']}, before them. {advice}")

    def _let_save_end(self) -> None:
        """After an error that is being raised already: a checkpoint that is being written is written to its end."""
        if self.folder is not None:
            with suppress(Exception):
                self.folder.close()

    def _finish(self, bar: Progress) -> Record:
        """The closing line, and the last checkpoint."""
        closing: Record = {"step": self.step}
        if self.validation is not None:
            is_fresh = self._last.get("step") == self.step and "val_loss" in self._last
            closing["val_loss"] = self._last["val_loss"] if is_fresh else self._measure(bar)
            if not is_fresh:
                tell(self.callbacks, "on_evaluation", self, closing)
        if self._stopped:
            closing["stopped"] = self._stopped
        closing["final"] = True
        self._note(closing)
        if self.folder is not None:
            self.save()
            self.folder.close()
        return closing

    def _check_config(self, saved: Mapping[str, Any]) -> None:
        now = self.config()
        wrong = [name for name, value in saved.items() if name in now and now[name] != value]
        if wrong:
            told = ", ".join(f"{name} = {now[name]!r} (was {saved[name]!r})" for name in wrong)
            raise ValueError(f"a run goes on with what it began with; this trainer was made with {told}")

    def _load(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.batches.load_state_dict(state["batches"])
        random.load_state_dict(state["random"])
        self._row = dict(state.get("row", {"skipped": 0}))
        self.step, self.tokens, self.extra = int(state["step"]), int(state["tokens"]), dict(state["extra"])
        self._begun = None
        self.optimizer.zero_grad()
        if "begun" in state and self._graph is None:  # a recorded step is done as a whole: it is begun anew
            begun = self._begin()
            begun.go_on(state["begun"], self.model, self.optimizer)
            self._begun = begun
