"""Philox 4×32-10 in compiled loops that vectorise.

Rounds are the outer loop, blocks the inner one: 0.5 ns an element on a core, against 3.5 with a block done at a time,
which LLVM does not vectorise.
"""

import numpy as np
from numba import uint32, uint64

from ..common.jit import exact, parallel
from ..common.pieces import pieces, split

M0, M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
W0, W1 = np.uint32(0x9E3779B9), np.uint32(0xBB67AE85)
ROUNDS = 10
HALF = np.uint64(32)

BLOCKS = 64  # drawn at a time, a fixed number: their counters stay in the first-level cache, and the loops have no ends


def bits(key, call, n, *, start=0):
    words = np.empty(n, np.uint32)
    block, skip = divmod(int(start), 4)
    _bits(pieces(2 * n), words, block & 0xFFFFFFFF, block >> 32, skip, *counter_words(key, call))
    return words


def counter_words(key, call):
    """The arguments of `fill_bits` that stand for a random call: the key's two words, the call's lower and upper."""
    return int(key[0]), int(key[1]), int(call) & 0xFFFFFFFF, int(call) >> 32


@parallel
def _bits(t, nt, words, block_low, block_high, skip, key0, key1, call_low, call_high):
    lo, hi = split(words.size, t, nt)
    block = (uint64(block_high) << HALF) + uint64(block_low) + uint64((skip + lo) // 4)
    _fill(words[lo:hi], block, (skip + lo) % 4, key0, key1, call_low, call_high)


@exact
def fill_bits(words, start, key0, key1, call_low, call_high):
    """words[j] = element ``start + j`` of the call."""
    _fill(words, uint64(start // 4), start % 4, key0, key1, call_low, call_high)


@exact
def _fill(words, block, skip, key0, key1, call_low, call_high):
    """words[j] = the word ``skip + j`` places after the first of ``block``."""
    drawn = np.empty(4 * BLOCKS, np.uint32)
    for b in range(0, (skip + words.size + 3) // 4, BLOCKS):
        _draw(drawn, block + uint64(b), key0, key1, call_low, call_high)
        j = 4 * b - skip
        if j >= 0 and j + 4 * BLOCKS <= words.size:
            whole = words[j:]
            for i in range(BLOCKS):
                whole[4 * i], whole[4 * i + 1] = drawn[i], drawn[BLOCKS + i]
                whole[4 * i + 2], whole[4 * i + 3] = drawn[2 * BLOCKS + i], drawn[3 * BLOCKS + i]
        else:  # the ends of the range
            for i in range(max(0, -j), min(4 * BLOCKS, words.size - j)):
                words[j + i] = drawn[i % 4 * BLOCKS + i // 4]


@exact
def _draw(drawn, block, key0, key1, call_low, call_high):
    """The first words of blocks ``block`` … ``block + BLOCKS − 1``, then their second, third and fourth words."""
    for i in range(BLOCKS):
        number = block + uint64(i)
        drawn[i], drawn[BLOCKS + i] = uint32(number), uint32(number >> HALF)
        drawn[2 * BLOCKS + i], drawn[3 * BLOCKS + i] = uint32(call_low), uint32(call_high)
    k0, k1 = uint32(key0), uint32(key1)
    for _ in range(ROUNDS):
        for i in range(BLOCKS):
            p0, p1 = uint64(drawn[i]) * M0, uint64(drawn[2 * BLOCKS + i]) * M1
            x0, x2 = drawn[BLOCKS + i] ^ uint32(p1 >> HALF) ^ k0, drawn[3 * BLOCKS + i] ^ uint32(p0 >> HALF) ^ k1
            drawn[i], drawn[BLOCKS + i] = x0, uint32(p1)
            drawn[2 * BLOCKS + i], drawn[3 * BLOCKS + i] = x2, uint32(p0)
        k0, k1 = uint32(k0 + W0), uint32(k1 + W1)
