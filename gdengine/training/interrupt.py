"""Ctrl-C, when it should wait for the end of a step."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_NOTICE = b"\nStopping when this step is done; Ctrl-C again stops at once.\n"


class Interrupted(KeyboardInterrupt):
    """Training stopped on Ctrl-C, at the end of a step; its text says how to go on.

    A `KeyboardInterrupt`: a script that does not care about it stops, as it does on any Ctrl-C.
    """


class Interrupt:
    """Within, the first Ctrl-C (SIGINT) only sets ``requested``; a second one raises `KeyboardInterrupt` as ever.

    Signals come to the main thread: within another, or where SIGINT is ignored (``nohup``), nothing is changed.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: Any = None

    def __enter__(self) -> "Interrupt":
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGINT) not in (signal.SIG_IGN, None):
            self._previous = signal.signal(signal.SIGINT, self._remember)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._restore()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._restore()
        os.write(2, _NOTICE)  # print() may be in the middle of a line of its own

    def _restore(self) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None
