"""Batches of several loaders, mixed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

# Our own bits, in plain NumPy: batches may be made in a thread of their own, where no compiled parallel kernel may run.
from ..kernels.philox.reference import bits
from .repeat import Repeat

_RANK = 0x6D697874  # "mixt": a key of its own


class Mixture:
    """Endless batches, each from a loader drawn at random: loader i with probability weights[i] / Σ weights.

    Which loader gives batch number k is a function of (seed, k) alone: Philox bits with key (seed, "mixt"), element k.
    The position is k, and the position of each loader.

    >>> mixed = Mixture([["a"], ["b"]], weights=[3, 1], seed=1)
    >>> "".join(next(mixed) for _ in range(16))
    'baaabaabaabbbaaa'

    Args:
        loaders: with ``state_dict`` and ``load_state_dict``, as all of this package; or what can be gone through again
            and again, as a list.
        weights: one of each loader, 0 or more, not all 0.
        seed: a whole number in [0, 2³²).

    Raises:
        ValueError: there are no loaders, or not as many weights, or a number is out of its range.
    """

    def __init__(self, loaders: Sequence[Iterable[Any]], weights: Sequence[float], *, seed: int = 0):
        shares = np.asarray(weights, np.float64)
        if not loaders or shares.shape != (len(loaders),):
            raise ValueError(
                f"a mixture has a weight for each loader, got {len(loaders)} loaders, {shares.size} weights"
            )
        if not (np.isfinite(shares).all() and (shares >= 0).all() and shares.any()):
            raise ValueError(f"weights must be 0 or more and finite, not all 0, got {list(weights)}")
        if not 0 <= seed < 2**32:
            raise ValueError(f"seed must be a whole number from 0 to 2**32 - 1, got {seed}")
        self.loaders: list[Any] = [each if hasattr(each, "load_state_dict") else Repeat(each) for each in loaders]
        self.weights, self.seed = (shares / shares.sum()).tolist(), seed
        self.taken = 0
        # each loader's share of the words 0 … 2³² − 1; the last that has a weight takes what rounding leaves
        self._ends = np.floor(np.cumsum(shares) / shares.sum() * 2.0**32)
        self._ends[np.flatnonzero(shares)[-1] :] = 2.0**32

    def choice(self, number: int) -> int:
        """Which loader gives batch ``number``."""
        word = bits((self.seed, _RANK), 0, 1, start=number)[0]
        return int(np.searchsorted(self._ends, float(word), side="right"))

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        """The next batch of the loader whose turn it is."""
        batch = next(self.loaders[self.choice(self.taken)])
        self.taken += 1
        return batch

    def state_dict(self) -> dict[str, Any]:
        """``{"taken", "loaders"}``: how many batches were taken, and the loaders' positions."""
        return {"taken": self.taken, "loaders": [loader.state_dict() for loader in self.loaders]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to the place where `state_dict` was taken; if a loader refuses its part, all stay where they are.

        Raises:
            KeyError: ``taken`` or ``loaders`` is missing.
            ValueError: it is the position of another mixture.
        """
        missing = [key for key in ("taken", "loaders") if key not in state]
        if missing:
            raise KeyError(f"the position of a mixture needs taken and loaders; {' and '.join(missing)} missing")
        if len(state["loaders"]) != len(self.loaders) or state["taken"] < 0:
            raise ValueError(
                f"the position is of a mixture of {len(state['loaders'])} loaders after {state['taken']} batches, and "
                f"this one has {len(self.loaders)}"
            )
        before = [loader.state_dict() for loader in self.loaders]
        try:
            for loader, position in zip(self.loaders, state["loaders"], strict=True):
                loader.load_state_dict(position)
        except Exception:
            for loader, position in zip(self.loaders, before, strict=True):
                loader.load_state_dict(position)
            raise
        self.taken = int(state["taken"])

    def __repr__(self) -> str:
        return f"Mixture({len(self.loaders)} loaders, weights={self.weights}, seed={self.seed}, {self.taken} taken)"
