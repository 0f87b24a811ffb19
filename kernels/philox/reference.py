"""Philox 4×32-10 in plain NumPy: the specification."""

import numpy as np

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
WORD = 0xFFFFFFFF


def bits(key, call, n, *, start=0):
    first, last = start // 4, (start + n + 3) // 4
    blocks = np.arange(first, last, dtype=np.uint64)
    words = philox(key, (blocks & WORD, blocks >> 32, np.uint64(call & WORD), np.uint64(call >> 32)))
    return np.stack(words, axis=1).reshape(-1)[start - 4 * first :][:n].astype(np.uint32)


def philox(key, counter):
    """Four words (as uint64) for each counter, a tuple of four words (lowest first) that broadcast."""
    k0, k1 = key
    c0, c1, c2, c3 = np.broadcast_arrays(*(np.asarray(c, np.uint64) for c in counter))
    for _ in range(ROUNDS):
        p0, p1 = c0 * np.uint64(MULTIPLIERS[0]), c2 * np.uint64(MULTIPLIERS[1])
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ np.uint64(k0), p1 & WORD, (p0 >> 32) ^ c3 ^ np.uint64(k1), p0 & WORD
        k0, k1 = (k0 + WEYL[0]) & WORD, (k1 + WEYL[1]) & WORD
    return c0, c1, c2, c3
