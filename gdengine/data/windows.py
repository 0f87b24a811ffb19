"""Batches of windows over one long row of tokens."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

# Our own bits, in plain NumPy: batches may be made in a thread of their own, where no compiled parallel kernel may run.
from ..kernels.philox.reference import bits

_RANK = 0x64617461  # "data": a key that no training process has, so that these bits are nobody else's


class Windows:
    """Endless batches ``(x, y)`` of windows, in an order that is a function of ``(seed, epoch, index)``.

    Every epoch lays windows of ``block_size`` tokens side by side round the whole text (its end joined to its
    beginning), from a place drawn anew, and takes them in an order drawn anew: Philox bits with key (seed, "data") and
    the epoch's number as call. In each epoch every token is a target once (up to ``block_size − 1`` of them twice,
    where the circle closes). A batch that reaches past the last window goes on in the next epoch, so none is dropped.

    The position is ``(epoch, index)``, ``index`` counting the windows already taken in this epoch.

    Args:
        tokens: integers ``(n,)``, ``n ≥ block_size + 1``.
        block_size: T, the tokens of context.
        batch_size: B, the windows of a batch.
        seed: a whole number in [0, 2³²).

    Raises:
        ValueError: the tokens are no row of integers or too few, or a size is below 1.
    """

    def __init__(self, tokens: Any, block_size: int, batch_size: int, *, seed: int = 0):
        self.tokens = np.asarray(tokens)
        if self.tokens.ndim != 1 or self.tokens.dtype.kind not in "iu":
            raise ValueError(
                f"tokens must be one row of integers, got shape {self.tokens.shape} of {self.tokens.dtype}"
            )
        for name, size in (("block_size", block_size), ("batch_size", batch_size)):
            if size < 1:
                raise ValueError(f"{name} must be 1 or more, got {size}")
        if len(self.tokens) < block_size + 1:
            raise ValueError(
                f"the text has {len(self.tokens)} tokens, and a window of block_size {block_size} needs "
                f"{block_size + 1}: take a longer text or a smaller block_size"
            )
        if not 0 <= seed < 2**32:
            raise ValueError(f"seed must be a whole number from 0 to 2**32 - 1, got {seed}")
        self.block_size, self.batch_size, self.seed = block_size, batch_size, seed
        self.epoch = self.index = 0
        self._order: tuple[int, np.ndarray] | None = None  # of one epoch, with its number

    @property
    def windows_per_epoch(self) -> int:
        """How many windows it takes to make every token a target."""
        return -(-len(self.tokens) // self.block_size)

    def starts(self, epoch: int) -> np.ndarray:
        """Where an epoch's windows begin, in the order in which they come: int64 ``(windows_per_epoch,)``."""
        n = self.windows_per_epoch
        words = bits((self.seed, _RANK), epoch, n + 2)
        offset = (int(words[n]) << 32 | int(words[n + 1])) % len(self.tokens)
        order = np.argsort(words[:n], kind="stable")
        return (offset + order * self.block_size) % len(self.tokens)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return self

    def __next__(self) -> tuple[np.ndarray, np.ndarray]:
        """The next batch: x and y, int64 ``(batch_size, block_size)``; y is x moved on by one token."""
        starts = np.array([self._take() for _ in range(self.batch_size)])
        places = (starts[:, None] + np.arange(self.block_size + 1)) % len(self.tokens)
        windows = self.tokens[places].astype(np.int64)
        return np.ascontiguousarray(windows[:, :-1]), np.ascontiguousarray(windows[:, 1:])

    def _take(self) -> int:
        if self._order is None or self._order[0] != self.epoch:
            self._order = self.epoch, self.starts(self.epoch)
        start = int(self._order[1][self.index])
        self.index += 1
        if self.index == self.windows_per_epoch:
            self.epoch, self.index = self.epoch + 1, 0
        return start

    def state_dict(self) -> dict[str, int]:
        """``{"epoch", "index"}``: the place of the next window."""
        return {"epoch": self.epoch, "index": self.index}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go to the place where `state_dict` was taken.

        Raises:
            KeyError: ``epoch`` or ``index`` is missing.
            ValueError: there is no such place in this text.
        """
        missing = [key for key in ("epoch", "index") if key not in state]
        if missing:
            raise KeyError(f"a position needs epoch and index; {' and '.join(missing)} missing")
        epoch, index = state["epoch"], state["index"]
        if epoch < 0 or not 0 <= index < self.windows_per_epoch:
            raise ValueError(
                f"there is no window at epoch {epoch}, index {index}: an epoch of this text has "
                f"{self.windows_per_epoch} windows; the position belongs to another text or block_size"
            )
        self.epoch, self.index = int(epoch), int(index)

    def __repr__(self) -> str:
        return (
            f"Windows({len(self.tokens)} tokens, block_size={self.block_size}, batch_size={self.batch_size}, "
            f"seed={self.seed}, at epoch {self.epoch}, window {self.index} of {self.windows_per_epoch})"
        )


def batched(windows: np.ndarray, batch_size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Windows ``(n, T + 1)`` as a list of batches ``(x, y)``, int64 ``(batch_size, T)``; the last may hold fewer."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
    rows = np.asarray(windows).astype(np.int64)
    return [
        (np.ascontiguousarray(rows[i : i + batch_size, :-1]), np.ascontiguousarray(rows[i : i + batch_size, 1:]))
        for i in range(0, len(rows), batch_size)
    ]
