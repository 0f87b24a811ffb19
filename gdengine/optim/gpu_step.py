"""The optimizer's step on a GPU: one launch over all parameters, and nothing that waits for the device.

What a step depends on is computed here and copied to the device ahead of it (learning rates, bias corrections); what
only the device knows stays there (the norm, the clip factor, whether gradient and losses are finite: where they are
not, the kernel writes nothing). How the step went is read back when somebody asks, at the latest before the next step,
by when it has long been done: only then is a skipped step known, and what was counted for it is taken back.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np

from ..cuda import capturing, check_not_capturing
from ..device import device_of, namespace, pinned
from ..flat import Segment, runs
from ..kernels.common.chunks import Chunks, parts
from ..kernels.global_norm.cuda import NOWHERE, first_not_finite, measure


@dataclass(frozen=True)
class Plan:
    """Which parts of the flat vectors a step runs over, and with what.

    Attributes:
        key: all that it depends on: another key needs another plan.
        firsts: for each row of coefficients, the first parameter that it is for.
        live: all parts that have a gradient.
        variants: the parts for each of the rule's variants (see `Optimizer.gpu_variant`).
        rows: the coefficients, on the device; ``staged``, in pinned memory, on their way there.
    """

    key: tuple
    firsts: Sequence[Segment]
    live: Chunks
    variants: dict[Any, Chunks]
    rows: Any
    staged: Any


class GpuStep:
    """The step of one optimizer whose parameters are on a GPU."""

    def __init__(self, optimizer: Any):
        self.optimizer = optimizer
        self.flat = optimizer.flats[0]
        self.device = device_of(self.flat.theta)
        self.xp = namespace(self.flat.theta)
        self._plan: Plan | None = None
        self._read = (pinned((1,), np.float64), pinned((1,), np.int32), pinned((1,), np.uint64))
        self._event = self.xp.cuda.Event(disable_timing=True)
        self._pending: list[Segment] = []

    def step(self, losses: Sequence[Any] = ()) -> bool:
        """Enqueue a step; whether it moved anything is known once it was looked at (`settle`)."""
        graph = capturing()
        if graph is None:
            self.settle()
        live = self.flat.consume()
        if not live:
            warnings.warn("step() found no gradient, so nothing moved: call loss.backward() before it", stacklevel=4)
            return False
        key = self.key(live)
        if self._plan is None or self._plan.key != key:
            if graph is not None:
                raise RuntimeError(
                    "the optimizer's step inside a captured graph reaches other parameters, or has other settings, "
                    "than in the calls before the capture: a captured step must do the same every time"
                )
            self._plan = self._planned(live, key)
        if graph is not None:
            graph.add_step(CapturedStep(self, self._plan, live, self.launch(self._plan, losses)))
            return True
        self.prepare(self._plan, live)
        self.finish(live, self.launch(self._plan, losses))
        return True

    def key(self, live: Sequence[Segment]) -> tuple:
        """Which parameters move, which of them have taken equally many steps, and what their launches differ by."""
        least = min((segment.steps for segment in live), default=0)
        variants = [self.optimizer.gpu_variant(self.flat, group) for group in self.optimizer.param_groups]
        places = [(segment.start, segment.steps - least) for segment in live]
        return tuple(places), tuple(variants), self.optimizer.clip_norm, self.optimizer.clip_value

    def prepare(self, plan: Plan, live: Sequence[Segment]) -> None:
        """Bring to the device what the step of these parameters depends on. The last step is settled."""
        optimizer = self.optimizer
        lrs = [optimizer.lr_of(group) for group in optimizer.param_groups]
        for row, first in zip(plan.staged, plan.firsts, strict=True):
            row[...] = optimizer.gpu_row(optimizer.param_groups[first.group], lrs[first.group], first.steps + 1)
        plan.rows.set(plan.staged, stream=self.xp.cuda.get_current_stream())

    def launch(self, plan: Plan, losses: Sequence[Any]) -> tuple[Any, Any, Any]:
        """Norm, finite check, update: kernels alone. Where the sum of squares will be, whether all is finite, and the
        first element of the gradient that is not."""
        flat = self.flat
        total, clip, ok = measure([(flat.grad, plan.live)], self.optimizer.clip_norm, self._row(losses))
        first = first_not_finite(flat.grad, plan.live, ok)
        for variant, chunks in plan.variants.items():
            self.optimizer.gpu_update(flat, chunks, variant, plan.rows, clip, ok)
        return total, ok, first

    def finish(self, live: Sequence[Segment], outcome: tuple[Any, Any, Any]) -> None:
        """Ask for the outcome, and count the step, on trust."""
        stream = self.xp.cuda.get_current_stream()
        for array, out in zip(outcome, self._read, strict=True):
            array.get(stream=stream, out=out, blocking=False)
        self._event.record(stream)
        self._pending = list(live)
        for segment in live:
            segment.steps += 1
            segment.tensor._version.n += 1
            if self.flat.shadow is not None:
                segment.tensor._leaf.shadow_version = segment.tensor._version.n
        self.optimizer._t += 1

    def settle(self) -> None:
        """See how the last step went: read its norm, and take its count back if it was skipped."""
        if not self._pending:
            return
        check_not_capturing("reading how an optimizer's step went (t, lr, grad_norm, skipped)")
        self._event.synchronize()
        live, self._pending = self._pending, []
        optimizer = self.optimizer
        optimizer._grad_norm = math.sqrt(self._read[0][0])
        optimizer._bad_parameter = None
        if self._read[1][0]:
            return
        for segment in live:
            segment.steps -= 1
        optimizer._t -= 1
        optimizer._skipped += 1
        optimizer._bad_parameter = self._name_at(int(self._read[2][0]))

    def _planned(self, live: Sequence[Segment], key: tuple) -> Plan:
        firsts: list[Segment] = []
        cut: list[tuple[int, int, int]] = []
        for part, first in runs(live, key=attrgetter("group", "steps")):
            cut.append((part.start, part.stop, len(firsts)))
            firsts.append(first)
        size, groups = self.flat.size, self.optimizer.param_groups
        variants: dict[Any, list[tuple[int, int, int]]] = {}
        for piece, first in zip(cut, firsts, strict=True):
            variants.setdefault(self.optimizer.gpu_variant(self.flat, groups[first.group]), []).append(piece)
        chunks = {variant: parts(size, pieces) for variant, pieces in variants.items()}
        width = len(self.optimizer.gpu_row(groups[firsts[0].group], 0.0, 1))
        staged = pinned((len(firsts), width), np.float32)
        return Plan(key, firsts, parts(size, cut), chunks, self.xp.empty(staged.shape, staged.dtype), staged)

    def _row(self, losses: Sequence[Any]) -> Any:
        """Losses, scalar tensors or numbers, as a vector of the device; None of none."""
        if not losses:
            return None
        row = self.xp.empty((len(losses),), np.float64)
        for i, loss in enumerate(losses):
            row[i] = getattr(loss, "_array", loss)
        return row

    def _name_at(self, place: int) -> str | None:
        if place == NOWHERE:
            return None
        return next(segment.name for segment in self.flat.segments if segment.start <= place < segment.stop)


class CapturedStep:
    """A step that a graph has recorded: what there is to be done round each replay."""

    def __init__(self, gpu: GpuStep, plan: Plan, live: Sequence[Segment], outcome: tuple[Any, Any, Any]):
        self.gpu, self.plan, self.live, self.outcome = gpu, plan, live, outcome
        self.wanted = self._wanted()

    def before(self) -> None:
        """Settle the last step, and bring this one's coefficients to the device.

        Raises:
            RuntimeError: the optimizer would move other parameters now, or otherwise.
        """
        self.gpu.settle()
        if self.gpu.key(self.live) != self.plan.key or self._wanted() != self.wanted:
            raise RuntimeError(
                "since the graph was recorded, other parameters require a gradient, some have taken steps of their "
                "own, or clip_norm, clip_value or a setting other than lr, betas, eps and weight_decay was changed: "
                "the recorded step cannot follow; make a new graph, gd.graph(...)"
            )
        self.gpu.prepare(self.plan, self.live)

    def after(self) -> None:
        """Count it."""
        self.gpu.finish(self.live, self.outcome)

    def _wanted(self) -> list[bool]:
        return [segment.tensor.requires_grad for segment in self.gpu.flat.segments]
