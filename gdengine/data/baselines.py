"""What models that can count, but not learn, reach: the losses to beat."""

import numpy as np

_SPARSE = 2048  # from so many tokens on, a table of all pairs would be mostly zeros


class Unigram:
    """Predicts each token by how often it occurs: p(y) = (c(y) + 1) / (n + V), Laplace's rule.

    Args:
        tokens: the training tokens, integers in [0, vocab_size) ``(n,)``.
        vocab_size: V.
    """

    def __init__(self, tokens: np.ndarray, vocab_size: int):
        counts = np.bincount(tokens, minlength=vocab_size) + 1.0
        self.probabilities = counts / counts.sum()

    def loss(self, y: np.ndarray) -> float:
        """Cross-entropy in nats per token: the mean of −ln p(y) over targets of any shape."""
        return float(-np.log(self.probabilities[y]).mean())


class Bigram:
    """Predicts each token from the one before, leaning on the unigram model where the pair is rare.

        p(y | x) = (c(x, y) + α·p(y)) / (c(x) + α),   α = 10

    Dirichlet smoothing (MacKay and Peto 1995, section 3): α counts as that many tokens seen at random after each x.

    Args:
        tokens: the training tokens, integers in [0, vocab_size) ``(n,)``.
        vocab_size: V. The table of pairs takes 8·V² bytes; from V = 2048 on, only pairs that occur are kept.
    """

    ALPHA = 10.0

    def __init__(self, tokens: np.ndarray, vocab_size: int):
        self._vocab_size = vocab_size
        pairs = tokens[:-1].astype(np.int64) * vocab_size + tokens[1:]
        self._first = np.bincount(tokens[:-1], minlength=vocab_size)
        self._prior = Unigram(tokens, vocab_size).probabilities
        if vocab_size < _SPARSE:
            self._pairs = None
            self._counts = np.bincount(pairs, minlength=vocab_size**2)
        else:
            self._pairs, self._counts = np.unique(pairs, return_counts=True)

    @property
    def probabilities(self) -> np.ndarray:
        """p(y | x) of every pair: float64 ``(V, V)``."""
        x, y = np.indices((self._vocab_size, self._vocab_size), sparse=True)
        return self._probability(x, y)

    def loss(self, x: np.ndarray, y: np.ndarray) -> float:
        """Cross-entropy in nats per token: the mean of −ln p(y | x) over x and y of the same shape."""
        return float(-np.log(self._probability(x, y)).mean())

    def _probability(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        pairs = x.astype(np.int64) * self._vocab_size + y
        if self._pairs is None:
            counts = self._counts[pairs]
        else:
            at = np.minimum(np.searchsorted(self._pairs, pairs), len(self._pairs) - 1)
            counts = np.where(self._pairs[at] == pairs, self._counts[at], 0)
        return (counts + self.ALPHA * self._prior[y]) / (self._first[x] + self.ALPHA)
