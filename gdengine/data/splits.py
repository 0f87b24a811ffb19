"""What is kept back to measure on, so that nothing measured was trained on."""

import hashlib
from collections.abc import Sequence

import numpy as np

from ..kernels.philox.reference import bits

_RANK = 0x64617461  # "data": a key that no training process has, so that these bits are nobody else's
_CHUNK = 1 << 16  # tokens looked through at a time: their hashes stay in the cache
_SIEVE = np.uint64(64 - 20)  # a table of 2²⁰ entries sorts out nearly all hashes that are none of those looked for


def split(tokens: np.ndarray, held_out: float = 0.1, blocks: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Training tokens and held-out tokens: each of ``blocks`` equal stretches of the text keeps its last part back.

    Why not the tail alone: a text changes as it goes on. The last tenth of Python's documentation, by the alphabet,
    is the methods of sequences, where a bigram model scores 2.40 nats; over twenty blocks it scores 2.59, and over
    forty 2.56. So blocks stand for the whole, the tail for itself. For a text in order of time, where the question is
    the future, ``blocks=1`` keeps the tail.

    Blocks share no token. A passage that the author repeats may still stand on both sides: `unseen_windows` finds that.

    Args:
        tokens: integers ``(n,)``.
        held_out: the share kept back, between 0 and 1.
        blocks: into how many pieces it is scattered.

    Returns:
        Two arrays, the training stretches joined and the held-out ones joined, in the order of the text.

    Raises:
        ValueError: the share is not between 0 and 1, or the text is too short for so many blocks.
    """
    tokens = np.asarray(tokens)
    if tokens.ndim != 1:
        raise ValueError(f"split takes one row of tokens, got shape {tokens.shape}")
    starts, cuts, ends = stretches(len(tokens), held_out, blocks, "tokens")
    train = np.concatenate([tokens[a:b] for a, b in zip(starts, cuts, strict=True)])
    kept = np.concatenate([tokens[a:b] for a, b in zip(cuts, ends, strict=True)])
    return train, kept


def split_text(text: str, held_out: float = 0.1, blocks: int = 20) -> tuple[str, str]:
    """`split` of a text before it is made tokens: what a tokenizer may learn from, and what is kept back."""
    starts, cuts, ends = stretches(len(text), held_out, blocks, "characters")
    train = "".join(text[a:b] for a, b in zip(starts, cuts, strict=True))
    return train, "".join(text[a:b] for a, b in zip(cuts, ends, strict=True))


def split_files(names: Sequence[str], sizes: Sequence[int], held_out: float = 0.1) -> list[bool]:
    """Which of many files are kept back whole: about so large a share of their size, at least one, and not all.

    They are taken in the order of the SHA-256 of their names until the share is reached, those that would reach more
    than half their size beyond it left out: as good as random, and the same wherever the files lie.

    Raises:
        ValueError: there is but one file, or the share is not between 0 and 1.
    """
    if not 0 < held_out < 1:
        raise ValueError(f"held_out is the share kept back, between 0 and 1, got {held_out}")
    if len(names) < 2:
        raise ValueError(f"to keep whole files back takes two files or more, got {len(names)}")
    order = sorted(range(len(names)), key=lambda i: (hashlib.sha256(names[i].encode()).digest(), i))
    wanted, taken = held_out * sum(sizes), 0
    kept = [False] * len(names)
    for i in order[:-1]:
        if taken + sizes[i] / 2 <= wanted:
            kept[i], taken = True, taken + sizes[i]
    if not any(kept):
        kept[order[0]] = True
    return kept


def stratified(labels: np.ndarray, held_out: float = 0.2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Which examples to train on and which to hold out, the same share of every class: numbers of rows, ascending.

    Of a class's n examples round(held_out · n) are held out, at least one, drawn by Philox bits with key (seed, "data")
    and the class's number, in ascending order, as call.

    Raises:
        ValueError: labels are no row, the share is not between 0 and 1, or a class has too few examples for both sides.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise ValueError(f"labels are a row, one of each example, got shape {labels.shape}")
    if not 0 < held_out < 1:
        raise ValueError(f"held_out is the share kept back, between 0 and 1, got {held_out}")
    kept = np.zeros(len(labels), bool)
    for number, label in enumerate(np.unique(labels)):
        members = np.flatnonzero(labels == label)
        count = max(round(held_out * len(members)), 1)
        if count >= len(members):
            raise ValueError(f"class {label} has {len(members)} examples: too few to hold {held_out:g} of them out")
        kept[members[np.argsort(bits((seed, _RANK), number, len(members)), kind="stable")[:count]]] = True
    return np.flatnonzero(~kept), np.flatnonzero(kept)


def stretches(n: int, held_out: float, blocks: int, what: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where each block of `split` begins, where the part of it begins that is kept back, and where it ends.

    Raises:
        ValueError: the share is not between 0 and 1, or ``n`` is too small for so many blocks.
    """
    if not 0 < held_out < 1:
        raise ValueError(f"held_out is the share kept back, between 0 and 1, got {held_out}")
    if blocks < 1:
        raise ValueError(f"blocks must be 1 or more, got {blocks}")
    ends = np.arange(1, blocks + 1) * n // blocks
    starts = np.concatenate(([0], ends[:-1]))
    cuts = ends - np.floor((ends - starts) * held_out).astype(np.int64)
    if (cuts == starts).any() or (cuts == ends).any():
        raise ValueError(
            f"{n} {what} are too few to keep {held_out:g} of them back in {blocks} blocks: "
            "a block would be empty; take fewer blocks or a longer text"
        )
    return starts, cuts, ends


def unseen_windows(held_out: np.ndarray, train: np.ndarray, block_size: int, limit: int | None = None) -> np.ndarray:
    """The held-out text in windows, side by side, without those that stand somewhere in ``train`` word for word.

    Args:
        held_out: integers ``(n,)``.
        train: integers ``(m,)``: what the model learns from.
        block_size: T, the tokens of context.
        limit: so many windows at most, taken at even distances.

    Returns:
        ``(windows, T + 1)``: a window's first T tokens are the context, its last T the targets. Each held-out token but
        the first is a target at most once.

    Raises:
        ValueError: the held-out text is shorter than one window, or all its windows stand in the training text.
    """
    count = (len(held_out) - 1) // block_size
    if count < 1:
        raise ValueError(
            f"the held-out text has {len(held_out)} tokens, and a window of block_size {block_size} needs "
            f"{block_size + 1}; keep more back, take a longer text, or a smaller block_size"
        )
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be 1 or more, got {limit}")
    chosen = np.arange(count) if limit is None or count <= limit else np.arange(limit) * count // limit
    windows = held_out[chosen[:, None] * block_size + np.arange(block_size + 1)]
    seen = _stand_in(windows, train)
    if seen.all():
        raise ValueError(
            "every held-out window also stands in the training text word for word, so that a loss measured there would "
            "say nothing; the text repeats itself: remove what stands twice"
        )
    return windows[~seen]


def _stand_in(windows: np.ndarray, text: np.ndarray) -> np.ndarray:
    """Which of the windows ``(n, L)`` stand somewhere in the text: bool ``(n,)``."""
    length = windows.shape[1]
    ours = _fingerprints(windows, length)[:, 0]
    found = np.zeros(len(ours), bool)
    sieve = np.zeros(1 << 20, bool)
    sieve[ours >> _SIEVE] = True
    for start in range(0, len(text), _CHUNK):
        theirs = _fingerprints(text[start : start + _CHUNK + length - 1], length)
        likely = theirs[sieve[theirs >> _SIEVE]]
        if likely.size:
            found |= np.isin(ours, likely)
    return found


def _fingerprints(tokens: np.ndarray, length: int) -> np.ndarray:
    """A 64-bit hash of the ``length`` tokens from each place on: uint64 ``(…, n − length + 1)`` from ``(…, n)``.

    Hashes of twice the width come from two of the width, so it takes log₂(length) passes over the text. Equal windows
    have equal hashes; that different ones do has a chance of about n·m/2⁶⁴, and costs a window that might have stayed.
    """
    hashes, width = _spread(tokens.astype(np.uint64)), 1
    result, done = hashes, 0
    while done < length:
        if length & width:
            result, done = (_joined(result, hashes[..., done:]) if done else hashes), done + width
        hashes, width = _joined(hashes, hashes[..., width:]), 2 * width
    return result


def _joined(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    n = min(left.shape[-1], right.shape[-1])
    return _spread(left[..., :n] * np.uint64(0x9E3779B97F4A7C15) + right[..., :n])


def _spread(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): each bit of x on every bit of the result."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
