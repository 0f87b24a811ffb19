"""Ctrl-C, and a request to end (SIGTERM), when they should wait for the end of a batch."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


class Interrupted(KeyboardInterrupt):
    """Training stopped on Ctrl-C or SIGTERM, when the batch at hand was done; its text says how to go on.

    A `KeyboardInterrupt`: a script that does not care about it stops, as it does on any Ctrl-C.

    Attributes:
        signal: which signal it was. A command that ends because of it exits with 128 and its number, as shells have it:
            130 for Ctrl-C, 143 for SIGTERM.
    """

    def __init__(self, message: str, number: int = signal.SIGINT):
        super().__init__(message)
        self.signal = number


class Interrupt:
    """Within, the first SIGINT or SIGTERM only sets ``requested``, to its number; a second one does what it ever did.

    That is `KeyboardInterrupt` for Ctrl-C, and for SIGTERM the end of the process. Signals come to the main thread:
    within another, nothing is changed; nor for one that is ignored (SIGINT under ``nohup``).

    Args:
        saves: whether a checkpoint will be written then; for what is said.
    """

    def __init__(self, saves: bool = True) -> None:
        self.requested, self.saves = 0, saves
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._previous[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._restore()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.requested = number
        self._restore()
        name = SIGNALS[signal.Signals(number)]
        how = "with a checkpoint" if self.saves else "without a checkpoint"
        notice = f"\n{name}: stopping when this batch is done, {how}; {name} again stops at once.\n"
        os.write(2, notice.encode())  # print() may be in the middle of a line of its own

    def _restore(self) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())
