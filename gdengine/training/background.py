"""One piece of work at a time, beside the training."""

import threading
from collections.abc import Callable


class Background:
    """Runs a function in a thread of its own; what it raises is raised at the next call here.

    The function must not run compiled parallel kernels: those belong to the training. A process that ends does not wait
    for it; `wait` does.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self, work: Callable[[], None]) -> None:
        """Run it, once the work before is done."""
        self.wait()
        self._thread = threading.Thread(target=self._run, args=(work,), name="gdengine checkpoint", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise what the work has raised, if it is done."""
        if self._thread is not None and not self._thread.is_alive():
            self.wait()

    def wait(self) -> None:
        """Return when the work is done, or raise what it has raised."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._error = error
