"""Data: corpora, tokens, and batches whose order is a function of (seed, epoch, index)."""

from .baselines import Bigram, Unigram
from .corpora import CORPORA, python_docs, read_corpus, read_text
from .repeat import Repeat
from .splits import split, unseen_windows
from .tokenizer import CharTokenizer
from .windows import Windows, batched

__all__ = [
    "CORPORA",
    "Bigram",
    "CharTokenizer",
    "Repeat",
    "Unigram",
    "Windows",
    "batched",
    "python_docs",
    "read_corpus",
    "read_text",
    "split",
    "unseen_windows",
]
