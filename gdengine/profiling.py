"""Where the time goes: what each operation of a stretch of training costs, forward and backward apart.

    with gd.profile() as p:
        for x, y in batches:
            cross_entropy(model(x), y).backward()
            optimizer.step()
    print(p)
    p.save_trace("trace.json")  # for Perfetto (ui.perfetto.dev), or chrome://tracing

The thread's time is cut into slices that follow upon each other: every operation ends one, with its result; every node
of a backward walk, and every step of an optimizer, is one.
"""

import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import cuda
from .device import is_on_cuda
from .tape import Node, Walk, mode

FORWARD, BACKWARD, UPDATE, REGION = "forward", "backward", "update", "region"
HEADERS = ("operation", "", "calls", "time", "per call", "bytes", "rate", "share")


@dataclass(frozen=True)
class Row:
    """All calls of one operation in one phase.

    Attributes:
        name: as the tape, an optimizer's class or a region calls it.
        phase: ``"forward"``, ``"backward"``, ``"update"`` or ``"region"``.
        calls: how many.
        seconds: all of them together.
        bytes: of the arrays that they were handed and handed on, see `profile`.
        share: of the whole profile's seconds.
    """

    name: str
    phase: str
    calls: int
    seconds: float
    bytes: int
    share: float


@dataclass(frozen=True)
class _Mark:
    """A moment: by the host's clock, and, where there is a GPU, as an event in its queue."""

    host: float
    event: Any


@dataclass(frozen=True)
class _Slice:
    """The time from one moment to another, which is the GPU's where ``on_gpu``."""

    name: str
    phase: str
    begin: _Mark
    end: _Mark
    bytes: int
    on_gpu: bool


class profile:
    """Says, for what runs inside, what each operation costs. ``with gd.profile() as p: …``, then ``print(p)``.

    **Time.** An operation's forward counts from the end of what came before it to its own, so what Python does on the
    way to it is in its time: fetch batches outside, or in a `region`, which has a row of its own. A backward and an
    optimizer's step count from their own beginnings. Slices do not overlap: what is computed anew within a backward
    counts as forward. On the CPU the time is the clock's; on a GPU it lies between two events in its queue, and nothing
    waits for it before rows are read. Where the GPU waits for Python, that is in the figure.

    **Bytes.** Forward: of the tensors read and of the result written, none where that is a view. Backward: of the
    gradients that arrive, those handed on, and the tensors kept for it. Update: θ, g and state read, θ and state
    written, and g once more for its norm. What an operation reads and writes besides is not counted; a rate above the
    memory's says that arrays lay in a cache, or were handed on untouched.

    It sees the thread that it was entered in, and what is recorded without a gradient too; not what a captured graph
    replays, which runs without Python. It may be entered again, and then goes on adding up.

    Raises:
        RuntimeError: on entry, where a profile runs in this thread already.
    """

    def __init__(self) -> None:
        self._slices: list[_Slice] = []
        self._spans: list[tuple[_Mark, _Mark | None]] = []
        self._last: _Mark
        self._gpu = False

    def __enter__(self) -> "profile":
        if mode.profile is not None:
            raise RuntimeError("a profile is running in this thread already: leave it before the next is entered")
        self._gpu = "cupy" in sys.modules and cuda.is_available()
        self._last = self._mark()
        self._spans.append((self._last, None))
        mode.profile = self
        return self

    def __exit__(self, *_: object) -> None:
        mode.profile = None
        self._spans[-1] = (self._spans[-1][0], self._mark())

    @contextlib.contextmanager
    def region(self, name: str) -> Iterator[None]:
        """What runs inside, but for the operations in it, has a row of its own: ``with p.region("data"): …``."""
        with self._span(name, REGION, 0, False):
            yield

    # ---- what is told

    @property
    def seconds(self) -> float:
        """From entry to exit, all entries together; up to now while it runs."""
        self._settle()
        return sum(self._between(begin, end or self._mark(), self._gpu) for begin, end in self._spans)

    @property
    def rows(self) -> list[Row]:
        """One for each operation and phase, the longest first."""
        self._settle()
        whole = self.seconds
        found: dict[tuple[str, str], list[_Slice]] = {}
        for piece in self._slices:
            found.setdefault((piece.name, piece.phase), []).append(piece)
        rows = []
        for (name, phase), pieces in found.items():
            seconds = sum(self._between(piece.begin, piece.end, piece.on_gpu) for piece in pieces)
            moved = sum(piece.bytes for piece in pieces)
            rows.append(Row(name, phase, len(pieces), seconds, moved, seconds / whole))
        return sorted(rows, key=lambda row: -row.seconds)

    def table(self) -> str:
        """The rows, and what is left, laid out in columns."""
        rows = self.rows
        whole = self.seconds
        rest = max(0.0, whole - sum(row.seconds for row in rows))
        cells = [_cells(row) for row in rows]
        cells.append(("between them", "", "", _time(rest), "", "", "", _percent(rest / (whole or 1.0))))
        cells.append(("all", "", "", _time(whole), "", "", "", _percent(1.0)))
        return "\n".join(_aligned([HEADERS, *cells]))

    def __str__(self) -> str:
        return self.table()

    def save_trace(self, path: str | os.PathLike[str]) -> None:
        """Write the slices as Chrome's trace events (JSON), which Perfetto and chrome://tracing show along the time."""
        self._settle()
        origin = self._spans[0][0].host if self._spans else 0.0
        events: list[dict[str, Any]] = []
        for number, title in enumerate(("CPU", "GPU")):
            events.append({"name": "thread_name", "ph": "M", "pid": 1, "tid": number, "args": {"name": title}})
        for piece in self._slices:
            begin = self._at(piece.begin, piece.on_gpu) - origin
            events.append(
                {
                    "name": piece.name,
                    "cat": piece.phase,
                    "ph": "X",
                    "ts": 1e6 * begin,
                    "dur": 1e6 * self._between(piece.begin, piece.end, piece.on_gpu),
                    "pid": 1,
                    "tid": int(piece.on_gpu),
                    "args": {"phase": piece.phase, "bytes": piece.bytes},
                }
            )
        Path(path).write_text(json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}), encoding="utf-8")

    # ---- what the tape and the optimizers call

    def forward(self, name: str, inputs: Sequence[Any], outs: Sequence[Any], is_view: bool) -> None:
        """The operation ``name`` has its results: tensors, as its inputs, of which some may be None."""
        moved = 0 if is_view else sum(x._array.nbytes for x in (*inputs, *outs) if x is not None)
        self._end(name, FORWARD, moved, is_on_cuda(outs[0]._array))

    def visiting(self, walk: Walk) -> Callable[[Node], None]:
        """What visits the nodes of ``walk`` in the place of its own ``_visit``."""
        return _Visits(self, walk)

    def update(self, optimizer: Any) -> contextlib.AbstractContextManager[None]:
        """The optimizer's step runs inside."""
        moved = 0
        for flat in optimizer.flats:
            elements = sum(segment.stop - segment.start for segment in flat.live())
            moved += elements * flat.theta.itemsize * (4 + 2 * len(flat.state))
        return self._span(f"{type(optimizer).__name__}.step", UPDATE, moved, is_on_cuda(optimizer.flats[0].theta))

    @contextlib.contextmanager
    def _span(self, name: str, phase: str, moved: int, on_gpu: bool) -> Iterator[None]:
        self._begin()
        try:
            yield
        finally:
            self._end(name, phase, moved, on_gpu)

    def _begin(self) -> None:
        """What comes now begins now; what was since the last slice belongs to none."""
        if mode.profile is self and cuda.capturing() is None:
            self._last = self._mark()

    def _end(self, name: str, phase: str, moved: int, on_gpu: bool) -> None:
        """A slice from the last mark to now."""
        if mode.profile is not self or cuda.capturing() is not None:
            return
        self._gpu = self._gpu or on_gpu
        begin, self._last = self._last, self._mark()
        self._slices.append(_Slice(name, phase, begin, self._last, moved, on_gpu and begin.event is not None))

    # ---- the clocks

    def _mark(self) -> _Mark:
        event = None
        if self._gpu:
            event = sys.modules["cupy"].cuda.Event()
            event.record()
        return _Mark(time.perf_counter(), event)

    def _settle(self) -> None:
        """Until the GPU has passed the last mark."""
        if self._spans and self._gpu:
            (self._spans[-1][1] or self._last).event.synchronize()

    def _between(self, begin: _Mark, end: _Mark, on_gpu: bool) -> float:
        """Seconds."""
        if not on_gpu or begin.event is None or end.event is None:
            return end.host - begin.host
        end.event.synchronize()
        return sys.modules["cupy"].cuda.get_elapsed_time(begin.event, end.event) / 1e3

    def _at(self, mark: _Mark, on_gpu: bool) -> float:
        """When it was, by the host's clock: the GPU's is taken to have passed the first mark as it was made."""
        first = next((begin for begin, _ in self._spans if begin.event is not None), mark)
        return first.host + self._between(first, mark, True) if on_gpu else mark.host


class _Visits:
    """Visits the nodes of a walk, each of them a slice, and counts the bytes of the gradients that they hand on."""

    def __init__(self, profile: profile, walk: Walk):
        self.profile, self.walk = profile, walk
        self.handed_on = 0

    def __call__(self, node: Node) -> None:
        pending = [self.walk._pending.get((node, i)) for i in range(node.results)]
        arriving = [dy for dy in pending if dy is not None]
        if not arriving:
            self.walk._visit(node)
            return
        self.handed_on = 0
        kept = sum(math.prod(shape) for _, _, shape in node.kept) * arriving[0].dtype.itemsize
        read = kept + sum(dy.nbytes for dy in arriving)
        walk = self.walk
        walk.into, walk._add = self._into, self._add  # type: ignore[method-assign]
        self.profile._begin()
        try:
            walk._visit(node)
        finally:
            del walk.into, walk._add
        self.profile._end(node.name, BACKWARD, read + self.handed_on, is_on_cuda(arriving[0]))

    def _into(self, i: int, shape: tuple[int, ...], dtype: Any = None) -> tuple[Any, bool]:
        array, accumulate = Walk.into(self.walk, i, shape, dtype)
        self.handed_on += 0 if array is None else array.nbytes * (1 + accumulate)
        return array, accumulate

    def _add(self, edge: Any, gradient: Any) -> None:
        self.handed_on += gradient.nbytes
        Walk._add(self.walk, edge, gradient)


def _cells(row: Row) -> tuple[str, ...]:
    rate = f"{row.bytes / row.seconds / 1e9:.2f} GB/s" if row.bytes and row.seconds > 0 else ""
    each = _time(row.seconds / row.calls)
    moved = cuda.readable(row.bytes) if row.bytes else ""
    return row.name, row.phase, str(row.calls), _time(row.seconds), each, moved, rate, _percent(row.share)


def _time(seconds: float) -> str:
    size, unit = next(((s, u) for s, u in ((1.0, "s"), (1e-3, "ms")) if seconds >= s), (1e-6, "µs"))
    return f"{seconds / size:.3g} {unit}" if seconds < 1000 * size else f"{seconds / size:.0f} {unit}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns as wide as their widest cell, the first two flush left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
