"""How a contender times its calls: on the CPU by the clock, on a GPU by its events.

``"queued"`` is the device's own time for one call. Before each call the device is given something else to do, writing
over more memory than its L2 holds, for longer than the CPU takes to enqueue the call: so inputs come from memory, and
neither launches nor Python are in the figure. ``"stream"`` is the time of one call in a row of them, as a training loop
makes them, launches included. On the CPU both are the time from call to return. ``"told"`` is what a call returns:
seconds that a process of its own has measured.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol

MOST_FLUSHES = 64  # a call that waits for the device cannot be hidden: its time is then in the figure


@dataclass
class Call:
    """What a contender has built.

    Attributes:
        run: called with 0, 1, 2, …; what it returns is handed to `read` once the time is taken.
        prepare: called before each, outside the time.
        read: the number, such as a loss, that a returned value stands for.
        results: arrays of the CPU to compare with other contenders' (as `inputs.rows` leaves them).
        facts: what else is to be known of it, as JSON.
    """

    run: Callable[[int], Any]
    prepare: Callable[[int], None] | None = None
    read: Callable[[Any], float] | None = None
    results: Callable[[], Sequence[Any]] | None = None
    facts: dict[str, Any] | None = None

    def once(self, number: int) -> Any:
        """Prepare and run."""
        if self.prepare is not None:
            self.prepare(number)
        return self.run(number)


class Device(Protocol):
    """A GPU's clock."""

    def event(self) -> Any:
        """A mark in the queue, at its end now."""

    def elapsed(self, begin: Any, end: Any) -> float:
        """Seconds between two marks; waits for the second."""

    def flush(self) -> None:
        """Enqueue a write over more than the L2 holds."""

    def wait(self) -> None:
        """Until all that was enqueued is done."""


class HostClock:
    """The CPU's."""

    def time(self, call: Call, first: int, count: int, how: str) -> tuple[list[float], list[Any]]:
        """The seconds of calls number first … first + count − 1, and what they returned."""
        seconds, returned = [], []
        for number in range(first, first + count):
            if call.prepare is not None:
                call.prepare(number)
            begin = time.perf_counter()
            result = call.run(number)
            seconds.append(result if how == "told" else time.perf_counter() - begin)
            returned.append(result)
        return seconds, returned

    def wait(self) -> None:
        """Nothing is under way when a call has returned."""


class DeviceClock:
    """A device's."""

    def __init__(self, device: Device):
        self.device = device
        self._flush_s: float | None = None

    def time(self, call: Call, first: int, count: int, how: str) -> tuple[list[float], list[Any]]:
        """As `HostClock.time`; ``"stream"`` gives one figure, the mean of the row."""
        return (self._stream if how == "stream" else self._queued)(call, first, count)

    def wait(self) -> None:
        """Until the device has done everything."""
        self.device.wait()

    def _stream(self, call: Call, first: int, count: int) -> tuple[list[float], list[Any]]:
        self.device.wait()
        begin = time.perf_counter()
        returned = [call.once(number) for number in range(first, first + count)]
        self.device.wait()
        return [(time.perf_counter() - begin) / count], returned

    def _queued(self, call: Call, first: int, count: int) -> tuple[list[float], list[Any]]:
        seconds, returned, longest = [], [], 0.0
        for number in range(first, first + count):
            if call.prepare is not None:
                call.prepare(number)
            self.device.wait()
            for _ in range(self._flushes(longest)):
                self.device.flush()
            begin, asked = self.device.event(), time.perf_counter()
            result = call.run(number)
            longest = max(longest, time.perf_counter() - asked)
            seconds.append(self.device.elapsed(begin, self.device.event()))
            returned.append(result)
        return seconds, returned

    def _flushes(self, enqueue_s: float) -> int:
        """How many take longer than enqueueing the call does."""
        if self._flush_s is None:
            self._flush_s = median(self._one_flush() for _ in range(5))
        return max(2, min(MOST_FLUSHES, math.ceil(2 * enqueue_s / max(self._flush_s, 1e-9))))

    def _one_flush(self) -> float:
        self.device.wait()
        begin = self.device.event()
        self.device.flush()
        return self.device.elapsed(begin, self.device.event())
