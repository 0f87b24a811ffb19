"""The optimizer's step on a GPU: one launch over all parameters, and nothing that waits for the device.

What a step depends on is computed here and copied to the device ahead of it (learning rates, bias corrections); what
only the device knows stays there (the norm, the clip factor, whether all is finite: where it is not, the kernel writes
nothing). How the step went is read back when somebody asks, at the latest before the next step, by when it has long
been done: only then is a skipped step known, and what was counted for it is taken back.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..cuda import capturing
from ..device import device_of, namespace, pinned
from ..flat import Segment, runs
from ..kernels.common.chunks import Chunks, parts
from ..kernels.global_norm.cuda import NOWHERE, first_not_finite, measure


@dataclass(frozen=True)
class Plan:
    """Which parts of the flat vectors a step runs over.

    Attributes:
        key: of which parameters, in which runs: another key needs another plan.
        firsts: for each row of coefficients, the first parameter that it is for.
        live: all parts that have a gradient.
        variants: the parts for each of the rule's variants (see `Optimizer.gpu_variant`).
    """

    key: tuple
    firsts: Sequence[Segment]
    live: Chunks
    variants: dict[Any, Chunks]


class GpuStep:
    """The step of one optimizer whose parameters are on a GPU."""

    def __init__(self, optimizer: Any):
        self.optimizer = optimizer
        self.flat = optimizer.flats[0]
        self.device = device_of(self.flat.theta)
        self.xp = namespace(self.flat.theta)
        self._plan: Plan | None = None
        self._rows: Any = None
        self._staged: Any = None
        self._results: tuple[Any, Any] = (None, None)
        self._read = (pinned((1,), np.float64), pinned((1,), np.uint64))
        self._event = self.xp.cuda.Event(disable_timing=True)
        self._pending: list[Segment] = []

    def step(self) -> bool:
        """Enqueue a step; whether it moved anything is known once it was looked at (`settle`)."""
        graph = capturing()
        if graph is not None:
            return self._capture(graph)
        self.settle()
        live = self._used()
        if not live:
            warnings.warn("step() found no gradient, so nothing moved: call loss.backward() before it", stacklevel=3)
            return False
        self.prepare(live)
        self.launch()
        self.finish(live)
        return True

    def prepare(self, live: Sequence[Segment]) -> None:
        """Bring to the device what the step of these parameters depends on."""
        key = _key(live)
        if self._plan is None or self._plan.key != key:
            self._plan = self._planned(live, key)
        optimizer = self.optimizer
        lrs = [optimizer.lr_of(group) for group in optimizer.param_groups]
        rows = np.array(
            [
                optimizer.gpu_row(optimizer.param_groups[first.group], lrs[first.group], first.steps + 1)
                for first in self._plan.firsts
            ],
            np.float32,
        )
        if self._rows is None or self._rows.shape != rows.shape:
            self._rows, self._staged = self.xp.empty(rows.shape, rows.dtype), pinned(rows.shape, rows.dtype)
        self._staged[...] = rows  # nobody reads it: the last step, which did, is settled
        self._rows.set(self._staged, stream=self.xp.cuda.get_current_stream())

    def launch(self) -> None:
        """Norm, finite check, update: kernels alone."""
        plan, flat = self._plan, self.flat
        assert plan is not None
        total, clip, ok = measure([(flat.grad, plan.live)], self.optimizer.clip_norm)
        first = first_not_finite(flat.grad, plan.live, ok)
        for variant, chunks in plan.variants.items():
            self.optimizer.gpu_update(flat, chunks, variant, self._rows, clip, ok)
        self._results = total, first

    def finish(self, live: Sequence[Segment]) -> None:
        """Ask for the outcome, and count the step, on trust."""
        stream = self.xp.cuda.get_current_stream()
        for array, out in zip(self._results, self._read, strict=True):
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
        self._event.synchronize()
        live, self._pending = self._pending, []
        optimizer = self.optimizer
        optimizer._grad_norm = math.sqrt(self._read[0][0])
        optimizer._bad_parameter = None
        if math.isfinite(optimizer._grad_norm):
            return
        for segment in live:
            segment.steps -= 1
        optimizer._t -= 1
        optimizer._skipped += 1
        optimizer._bad_parameter = self._name_at(int(self._read[1][0]))

    # ---- as part of a captured graph

    def _capture(self, graph: Any) -> bool:
        live = self._used()
        if self._plan is None or self._plan.key != _key(live):
            raise RuntimeError(
                "the optimizer's step inside a captured graph reaches other parameters than in the calls before the "
                "capture: a captured step must do the same every time"
            )
        self.launch()
        graph.add_step(self, live)
        return True

    def _used(self) -> list[Segment]:
        """The parameters to move; their gradients are used up."""
        live = self.flat.live()
        self.flat.consume()
        return live

    def _planned(self, live: Sequence[Segment], key: tuple) -> Plan:
        firsts: list[Segment] = []
        cut: list[tuple[int, int, int]] = []
        for part, first in runs(live, key=lambda segment: (segment.group, segment.steps)):
            cut.append((part.start, part.stop, len(firsts)))
            firsts.append(first)
        size = self.flat.size
        variants: dict[Any, list[tuple[int, int, int]]] = {}
        for piece, first in zip(cut, firsts, strict=True):
            group = self.optimizer.param_groups[first.group]
            variants.setdefault(self.optimizer.gpu_variant(self.flat, group), []).append(piece)
        chunks = {variant: parts(size, pieces) for variant, pieces in variants.items()}
        return Plan(key, firsts, parts(size, cut), chunks)

    def _name_at(self, place: int) -> str | None:
        if place == NOWHERE:
            return None
        return next(segment.name for segment in self.flat.segments if segment.start <= place < segment.stop)


def _key(live: Sequence[Segment]) -> tuple:
    """Which parameters move, and which of them have taken equally many steps: all that a plan depends on."""
    least = min((segment.steps for segment in live), default=0)
    return tuple([(segment.start, segment.steps - least) for segment in live])
