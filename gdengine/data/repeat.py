"""Batches that somebody else makes, gone through again and again."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any


class Repeat:
    """Endless passes over ``batches``, with a position: how many batches this pass has taken.

    Going to a position takes that many batches and drops them, so it is exact where every pass gives the same batches,
    as a list does.

    Args:
        batches: anything that can be gone through more than once.
    """

    def __init__(self, batches: Iterable[Any]):
        self.batches = batches
        self.taken = 0
        self._pass: Iterator[Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        """The next batch, the first of a new pass after the last.

        Raises:
            ValueError: a pass has no batch in it: there are none, or they came from a generator, now used up.
        """
        for _ in range(2):
            if self._pass is None:
                self._pass, self.taken = iter(self.batches), 0
            try:
                batch = next(self._pass)
            except StopIteration:
                self._pass = None
                continue
            self.taken += 1
            return batch
        raise ValueError(
            "the batches have run out: give a list or a loader, which can be gone through again, and not a generator"
        )

    def state_dict(self) -> dict[str, int]:
        """``{"taken"}``."""
        return {"taken": self.taken}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Begin a new pass, and take and drop as many batches as `state_dict` counted.

        Raises:
            KeyError: it is the position of something else.
            ValueError: a pass has fewer batches.
        """
        if "taken" not in state:
            raise KeyError(f"the position of Repeat is 'taken', got {', '.join(state)}")
        batches = iter(self.batches)
        for number in range(state["taken"]):
            if next(batches, None) is None:
                raise ValueError(f"batch {state['taken']} was taken before, and now there are only {number}")
        self._pass, self.taken = batches, state["taken"]
