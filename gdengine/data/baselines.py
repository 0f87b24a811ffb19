"""What models that can count, but not learn, reach: the losses to beat."""

import numpy as np


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
        vocab_size: V. The table of pairs takes 8·V² bytes.
    """

    ALPHA = 10.0

    def __init__(self, tokens: np.ndarray, vocab_size: int):
        pairs = tokens[:-1].astype(np.int64) * vocab_size + tokens[1:]
        counts = np.bincount(pairs, minlength=vocab_size**2).reshape(vocab_size, vocab_size)
        prior = Unigram(tokens, vocab_size).probabilities
        self.probabilities = (counts + self.ALPHA * prior) / (counts.sum(axis=1, keepdims=True) + self.ALPHA)

    def loss(self, x: np.ndarray, y: np.ndarray) -> float:
        """Cross-entropy in nats per token: the mean of −ln p(y | x) over x and y of the same shape."""
        return float(-np.log(self.probabilities[x, y]).mean())
