"""Batches of rows of arrays: images and labels, or whatever else has one row for each example."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

# Our own bits, in plain NumPy: batches may be made in a thread of their own, where no compiled parallel kernel may run.
from ..kernels.philox.reference import bits

_RANK = 0x64617461  # "data": a key that no training process has, so that these bits are nobody else's
_AUGMENT = 0x61756700  # "aug": the key of the first augmentation, the next of the second

Augmentation = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Batches:
    """Endless batches of examples, in an order that is a function of ``(seed, epoch, index)``.

    An epoch goes through all examples once, in an order drawn anew. Its last batch is smaller where the examples do not
    divide evenly, or left out by ``drop_last``; then the next epoch begins. `epoch` gives the batches of one.

    The position is ``(epoch, index)``, ``index`` counting the examples already taken in this epoch.

    >>> batches = Batches((np.arange(5), np.arange(5) * 10), batch_size=2, shuffle=False)
    >>> [(x.tolist(), y.tolist()) for x, y in batches.epoch()]
    [([0, 1], [0, 10]), ([2, 3], [20, 30]), ([4], [40])]

    Args:
        arrays: arrays of one length n: ``(x, y)``, say. A batch has the same rows of each, as a tuple.
        batch_size: B, the examples of a batch.
        shuffle: False takes them as they lie.
        seed: a whole number in [0, 2³²).
        drop_last: leave out the rest of an epoch that makes no whole batch.
        augment: changes to the first array of a batch, one after another: see `gdengine.data.augment`. What each
            draws is a function of (seed, epoch, index) too.

    Raises:
        ValueError: the arrays are none, empty or of different lengths, or a number is out of its range.
    """

    def __init__(
        self,
        arrays: Sequence[Any],
        batch_size: int,
        *,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        augment: Sequence[Augmentation] = (),
    ):
        self.arrays = _checked(arrays)
        self.n = len(self.arrays[0])
        if batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
        if drop_last and batch_size > self.n:
            raise ValueError(
                f"{self.n} examples make no batch of {batch_size}, and drop_last leaves the smaller one out: "
                "take a smaller batch_size, or drop_last=False"
            )
        if not 0 <= seed < 2**32:
            raise ValueError(f"seed must be a whole number from 0 to 2**32 - 1, got {seed}")
        self.batch_size, self.shuffle, self.seed, self.drop_last = batch_size, shuffle, seed, drop_last
        self.augment = tuple(augment)
        self.epoch_number = self.index = 0
        self._order: tuple[int, np.ndarray] | None = None  # of one epoch, with its number

    @property
    def batches_per_epoch(self) -> int:
        """How many batches an epoch has."""
        return self.n // self.batch_size if self.drop_last else -(-self.n // self.batch_size)

    def order(self, epoch: int) -> np.ndarray:
        """The examples in the order in which an epoch takes them: int64 ``(n,)``."""
        if not self.shuffle:
            return np.arange(self.n)
        return np.argsort(bits((self.seed, _RANK), epoch, self.n), kind="stable")

    def epoch(self) -> Iterator[tuple[Any, ...]]:
        """The batches up to the end of the epoch in which the position is."""
        number = self.epoch_number
        while self.epoch_number == number:
            yield next(self)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self

    def __next__(self) -> tuple[Any, ...]:
        """The next batch: of each array the same rows, ``(B, …)``, in its own dtype."""
        if self._order is None or self._order[0] != self.epoch_number:
            self._order = self.epoch_number, self.order(self.epoch_number)
        chosen = self._order[1][self.index : self.index + self.batch_size]
        batch = tuple(array[chosen] for array in self.arrays)
        if self.augment:
            batch = (self._augmented(batch[0]), *batch[1:])
        self._go_on(len(chosen))
        return batch

    def _augmented(self, x: Any) -> Any:
        for number, change in enumerate(self.augment):
            key = (self.seed, _AUGMENT + number)
            words = bits(key, self.epoch_number, 4 * len(x), start=4 * self.index).reshape(-1, 4)
            x = change(x, words)
        return x

    def _go_on(self, count: int) -> None:
        self.index += count
        rest = self.n - self.index
        if rest < (self.batch_size if self.drop_last else 1):
            self.epoch_number, self.index = self.epoch_number + 1, 0

    def state_dict(self) -> dict[str, int]:
        """``{"epoch", "index"}``: the place of the next example."""
        return {"epoch": self.epoch_number, "index": self.index}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go to the place where `state_dict` was taken.

        Raises:
            KeyError: ``epoch`` or ``index`` is missing.
            ValueError: there is no such place in these arrays.
        """
        missing = [key for key in ("epoch", "index") if key not in state]
        if missing:
            raise KeyError(f"a position needs epoch and index; {' and '.join(missing)} missing")
        epoch, index = int(state["epoch"]), int(state["index"])
        if epoch < 0 or not 0 <= index < self.n:
            raise ValueError(
                f"there is no example at epoch {epoch}, index {index}: there are {self.n} examples; the position "
                "belongs to other arrays"
            )
        self.epoch_number, self.index = epoch, index
        self._go_on(0)  # the position of a loader that drops nothing may lie in what this one leaves out

    def __repr__(self) -> str:
        return (
            f"Batches({self.n} examples, batch_size={self.batch_size}, seed={self.seed}, at epoch {self.epoch_number}, "
            f"example {self.index} of {self.n})"
        )


def in_batches(arrays: Sequence[Any], batch_size: int) -> list[tuple[Any, ...]]:
    """The rows of arrays as they lie, as a list of batches: what `Trainer` measures on. Views, no copies.

    Raises:
        ValueError: the arrays are none, empty or of different lengths, or batch_size is below 1.
    """
    rows = _checked(arrays)
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
    return [tuple(a[i : i + batch_size] for a in rows) for i in range(0, len(rows[0]), batch_size)]


def _checked(arrays: Sequence[Any]) -> tuple[np.ndarray, ...]:
    """The arrays. Raises ValueError unless they have one length, above 0."""
    if isinstance(arrays, np.ndarray):
        raise ValueError(f"arrays are several, got one of shape {arrays.shape}: write (x, y), or (x,) for x alone")
    result = tuple(np.asarray(array) for array in arrays)
    if not result or any(not array.ndim for array in result):
        raise ValueError(f"arrays have a row for each example: write (x, y); got {len(result)} arrays")
    lengths = [len(array) for array in result]
    if len(set(lengths)) > 1:
        raise ValueError(f"arrays must have one length, an example a row, got lengths {', '.join(map(str, lengths))}")
    if not lengths[0]:
        raise ValueError(f"there are no examples: the arrays have shapes {', '.join(str(a.shape) for a in result)}")
    return result
