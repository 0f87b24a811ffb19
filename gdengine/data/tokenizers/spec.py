"""A tokenizer by what one types for it."""

import re
from collections.abc import Callable, Iterable

from .bpe import BPETokenizer
from .byte import ByteTokenizer
from .char import CharTokenizer
from .common import Tokenizer

SPEC = "char, byte, bpe, bpe:8000, bpe:FILE (a tokenizer.json) or gpt2:FOLDER (with GPT-2's two files)"

Texts = Callable[[], Iterable[str]]


def is_spec(spec: str) -> bool:
    """Whether `tokenizer_for` knows it."""
    return re.fullmatch(r"char|byte|bpe|(bpe|gpt2):.+", spec) is not None


def tokenizer_for(spec: str, train: Texts, every: Texts, vocab_size: int = 4096) -> Tokenizer:
    """The tokenizer that is meant by ``char``, ``byte``, ``bpe``, ``bpe:8000``, ``bpe:FILE`` or ``gpt2:FOLDER``.

    Args:
        spec: that.
        train: gives the texts of which byte pairs are learned: those that the model will learn from.
        every: gives all texts, whose characters make an alphabet.
        vocab_size: of ``bpe`` without a number.

    Raises:
        ValueError: it is none of them, or the file is no tokenizer.
        FileNotFoundError: the file or the folder's files are not there.
        ImportError: byte pairs are meant, and the library tokenizers is not there.
    """
    kind, _, rest = spec.partition(":")
    if not is_spec(spec):
        raise ValueError(f"a tokenizer is {SPEC}, got {spec!r}")
    if kind == "byte":
        return ByteTokenizer()
    if kind == "char":
        alphabet = {"\n"}.union(*(set(text) for text in every()))
        return CharTokenizer("".join(sorted(alphabet)))
    if kind == "gpt2":
        return BPETokenizer.gpt2(rest)
    if rest and not rest.isdecimal():
        return BPETokenizer.load(rest)
    return BPETokenizer.train(train(), int(rest or vocab_size))
