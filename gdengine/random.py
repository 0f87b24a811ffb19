"""Counter-based random numbers: every random call has a number, and its bits are a function of that number.

The generator is Philox 4×32-10 with key (seed, rank) and counter (call number, element); see `gdengine.kernels.philox`.
The whole state is three integers, so a checkpoint that saves them goes on with the same bits.
"""

import os
from typing import Any

import numpy as np

from . import kernels


def _word(name: str, value: Any) -> int:
    if not isinstance(value, int | float | np.number) or not 0 <= value < 2**32 or value != int(value):
        raise ValueError(f"{name} must be a whole number from 0 to 2**32 - 1, got {value!r}")
    return int(value)


class Generator:
    """Hands out random calls. ``seed`` and ``rank`` are whole numbers in [0, 2³²)."""

    def __init__(self, seed: int = 0, rank: int = 0):
        self.seed = _word("seed", seed)
        self.rank = _word("rank", rank)
        self.call = 0

    def next_call(self) -> tuple[tuple[int, int], int]:
        """``(key, call)`` of a random call that nobody else gets."""
        call = self.call
        self.call += 1
        return (self.seed, self.rank), call

    def uniform(self, shape: tuple[int, ...]) -> Any:
        """float32 in [0, 1), from 24 bits each."""
        return kernels.philox.uniform(*self.next_call(), int(np.prod(shape))).reshape(shape)

    def normal(self, shape: tuple[int, ...]) -> Any:
        """float64, standard normal."""
        return kernels.philox.normal(*self.next_call(), int(np.prod(shape))).reshape(shape)

    def integers(self, low: int, high: int, shape: tuple[int, ...]) -> Any:
        """int64 in [low, high), every value equally likely to within (high − low)/2⁶⁴."""
        low, high = int(low), int(high)
        width = high - low
        if not 0 < width <= 2**32:
            raise ValueError(f"integers needs low < high, at most 2**32 apart, got low={low}, high={high}")
        words = kernels.philox.bits(*self.next_call(), 2 * int(np.prod(shape))).astype(np.uint64)
        scaled = (words[1::2] * width + (words[0::2] * width >> 32)) >> 32
        return (scaled.astype(np.int64) + low).reshape(shape)

    def permutation(self, n: int) -> Any:
        """The numbers 0 … n − 1 in random order, int64."""
        if n < 0:
            raise ValueError(f"permutation wants n from 0 up, got {n}")
        return np.argsort(kernels.philox.bits(*self.next_call(), n), kind="stable")

    def state_dict(self) -> dict[str, int]:
        """``{"seed", "rank", "call"}``: all there is."""
        return {"seed": self.seed, "rank": self.rank, "call": self.call}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from where `state_dict` was taken."""
        missing = {"seed", "rank", "call"} - set(state)
        if missing:
            raise KeyError(f"the state of a generator needs seed, rank and call; {', '.join(sorted(missing))} missing")
        seed, rank = _word("seed", state["seed"]), _word("rank", state["rank"])
        self.seed, self.rank, self.call = seed, rank, int(state["call"])


default_generator = Generator()


def manual_seed(seed: int, rank: int = 0) -> Generator:
    """Start the default generator anew from ``seed`` (a whole number in [0, 2³²)), and return it."""
    default_generator.load_state_dict({"seed": seed, "rank": rank, "call": 0})
    return default_generator


def seed() -> int:
    """Seed the default generator from the operating system, and return the seed, so that the run can be repeated."""
    chosen = int.from_bytes(os.urandom(4), "little")  # secrets does just this, and imports OpenSSL
    manual_seed(chosen)
    return chosen


def state_dict() -> dict[str, int]:
    """The default generator's state."""
    return default_generator.state_dict()


def load_state_dict(state: dict[str, int]) -> None:
    """Put the default generator where `state_dict` was taken."""
    default_generator.load_state_dict(state)
