"""Batches made ahead, while the model works on the one before."""

import queue
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .repeat import Repeat

_PATIENCE = 0.05  # seconds between two looks at whether the thread shall end


class Prefetch:
    """The batches of a loader, up to ``n`` of them made ahead in a thread of its own: the same batches, the same order.

        with Prefetch(Windows(tokens, 1024, 64), 4) as loader:
            Trainer(model, optimizer, cross_entropy, loader).fit(1000)

    The position is that of the batches that were taken, not of those made ahead, so that a checkpoint is right. What
    goes wrong in the thread is raised where its batch is taken. A thread and no process: the loaders of this package
    spend their time in NumPy, which lets others run meanwhile.

    Args:
        loader: has ``state_dict`` and ``load_state_dict``, as all of this package; or can be gone through again and
            again, as a list. Nobody else takes from it as long as this is open. In the thread no compiled parallel
            kernel may run: a loader of your own computes with NumPy, not with gdengine's functions.
        n: so many batches are held ready.

    Raises:
        ValueError: n is below 1.
    """

    def __init__(self, loader: Iterable[Any], n: int = 2):
        if n < 1:
            raise ValueError(f"n, the batches held ready, must be 1 or more, got {n}")
        given: Any = loader
        self.loader: Any = given if hasattr(given, "load_state_dict") else Repeat(given)
        self.n = n
        self._position: Any = self.loader.state_dict()
        self._running: tuple[threading.Thread, queue.Queue[Any], threading.Event] | None = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        """The next batch, waited for if it is not ready.

        Raises:
            Exception: what the loader raised when it made this batch. The next call tries again.
        """
        if self._running is None:
            self._start()
        assert self._running is not None
        batch, position, error = self._running[1].get()
        if error is not None:
            self.close()
            raise error
        self._position = position
        return batch

    def state_dict(self) -> Any:
        """The loader's position after the batch that was taken last."""
        return self._position

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a position of the loader's; what was made ahead is dropped. Raises as the loader does, and stays."""
        self.close()
        try:
            self.loader.load_state_dict(state)
        except Exception:
            self.loader.load_state_dict(self._position)
            raise
        self._position = self.loader.state_dict()

    def close(self) -> None:
        """End the thread, and put the loader where the next batch would have come from. Another batch starts anew."""
        if self._running is not None:
            thread, _, stop = self._running
            stop.set()
            thread.join()
            self._running = None
            self.loader.load_state_dict(self._position)

    def _start(self) -> None:
        ready: queue.Queue[Any] = queue.Queue(self.n)
        stop = threading.Event()
        # The thread knows nothing of this object, so that one that is forgotten is collected, and the thread ends.
        thread = threading.Thread(target=_make, args=(self.loader, ready, stop), name="gdengine-prefetch", daemon=True)
        weakref.finalize(self, stop.set)
        self._running = thread, ready, stop
        thread.start()

    def __enter__(self) -> "Prefetch":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Prefetch({self.loader!r}, {self.n})"


def _make(loader: Any, ready: "queue.Queue[Any]", stop: threading.Event) -> None:
    """Make batches until told to stop, or something goes wrong."""
    batches, error = iter(loader), None
    while error is None and not stop.is_set():
        batch = position = None
        try:
            batch = next(batches)
            position = loader.state_dict()
        except BaseException as raised:
            error = raised
        while not stop.is_set():
            try:
                ready.put((batch, position, error), timeout=_PATIENCE)
                break
            except queue.Full:
                continue
