"""What a person at the terminal sees while training goes on."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

_BAR = "{percentage:3.0f}% {bar} step {n_fmt} of {total_fmt} · {elapsed} gone, {remaining} to go{postfix}"
_SMOOTHING = 0.9  # of the loss and the speed beside the bar: an average over about the last ten steps
_said: list[str] = []  # the kernel at which this process said that it compiles


class Progress:
    """A bar with loss, learning rate, tokens a second and the time left, and lines of text above it.

    The bar is drawn on standard error, and only on a terminal; the lines go to standard output.

    Args:
        step: the steps done already.
        steps: those there will be.
        shown: False for silence.
    """

    def __init__(self, step: int, steps: int, shown: bool = True):
        from tqdm import tqdm

        self.shown = shown
        disable = None if shown else True  # None: tqdm looks whether it writes to a terminal
        self._bar = tqdm(
            total=steps, initial=step, disable=disable, bar_format=_BAR, dynamic_ncols=True, leave=False, smoothing=0.2
        )
        self._loss: float | None = None
        self._speed: float | None = None

    def update(self, loss: float, lr: float, speed: float) -> None:
        """One step more, made at ``speed`` tokens a second."""
        self._loss, self._speed = _smoothed(self._loss, loss), _smoothed(self._speed, speed)
        postfix = f"loss {self._loss:.4f} · lr {lr:.2e} · {_thousands(self._speed)} tokens/s"
        self._bar.set_postfix_str(postfix, refresh=False)
        self._bar.update()

    def say(self, line: str) -> None:
        """A line of text, above the bar."""
        if self.shown:
            self._bar.write(line, file=sys.stdout)
            sys.stdout.flush()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._bar.close()


@contextmanager
def compile_notice(say: Callable[[str], Any]) -> Iterator[None]:
    """Within, say so when the CPU kernels are compiled, once a process: it is what the first run waits for."""
    from ..kernels.common.compiling import on_compile

    def notice(name: str) -> None:
        if not _said:
            _said.append(name)
            say("Compiling the CPU kernels, once on this machine: about half a minute …")

    take_off = on_compile(notice)
    try:
        yield
    finally:
        take_off()


def _smoothed(old: float | None, new: float) -> float:
    return new if old is None else _SMOOTHING * old + (1 - _SMOOTHING) * new


def _thousands(number: float) -> str:
    return f"{number / 1000:.1f}k" if number >= 1000 else f"{number:.0f}"
