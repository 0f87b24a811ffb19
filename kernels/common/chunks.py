"""The parts of flat vectors that one launch runs over, cut into the chunks that blocks take (common/chunks.cuh)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import runtime

CHUNK = 4096


@dataclass(frozen=True)
class Chunks:
    """``count`` chunks: arrays of the device with their starts, lengths and groups, or None for all of ``size``."""

    count: int
    size: int
    starts: Any = None
    lengths: Any = None
    groups: Any = None

    @property
    def arguments(self) -> tuple:
        """What the kernels take: starts, lengths, groups, chunks, n."""
        return self.starts, self.lengths, self.groups, self.count, self.size


def whole(size: int) -> Chunks:
    """All elements, of group 0."""
    return Chunks(-(-size // CHUNK), size)


def parts(size: int, cut: Iterable[tuple[int, int, int]]) -> Chunks:
    """The parts (start, stop, group) of vectors of ``size`` elements. Starts on multiples of 4 are fastest.

    Raises:
        ValueError: a part reaches beyond the vectors.
    """
    rows = []
    for start, stop, group in cut:
        if not 0 <= start <= stop <= size:
            raise ValueError(f"the part {start} … {stop} is not within 0 … {size}")
        rows += [(first, min(CHUNK, stop - first), group) for first in range(start, stop, CHUNK)]
    if not rows:
        return Chunks(0, size)
    starts, lengths, groups = zip(*rows, strict=True)
    upload = runtime.device().upload
    return Chunks(
        len(rows),
        size,
        upload(np.array(starts, np.int64)),
        upload(np.array(lengths, np.int32)),
        upload(np.array(groups, np.int32)),
    )
