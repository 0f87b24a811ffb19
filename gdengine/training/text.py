"""A corpus, ready to train on: tokens to learn from, windows to measure on, and what counting alone reaches there."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data import (
    CORPORA,
    Bigram,
    Document,
    TokenFile,
    Tokenizer,
    Unigram,
    read_documents,
    split,
    split_files,
    split_text,
    unseen_windows,
)
from ..data.corpora import SEPARATOR
from ..data.tokenizers import fingerprint
from ..data.tokenizers.spec import tokenizer_for
from .settings import Settings

_COUNTED = 1 << 24  # training tokens that the baselines count at most


@dataclass(frozen=True)
class Text:
    """A corpus, ready to train on.

    Attributes:
        tokenizer: what made the tokens.
        train: the training tokens ``(n,)``.
        held_out: the windows measured on ``(m, block_size + 1)``; none of them stands in ``train``.
        identity: by which a resumed run knows it: the number of characters, and a SHA-256 of the text; of a token file,
            the number of tokens, their CRC-32, and a SHA-256 of the tokenizer.
        baselines: what counting alone reaches on ``held_out``: the loss of a unigram and of a bigram model.
    """

    tokenizer: Tokenizer
    train: np.ndarray
    held_out: np.ndarray
    identity: dict[str, Any]
    baselines: dict[str, float]

    def bits_per_byte(self, loss: float) -> float:
        """A loss on ``held_out``, in nats per token, as bits per byte of UTF-8: one measure for all tokenizers."""
        targets = self.held_out[:, 1:]
        return loss / math.log(2) * targets.size / int(self.tokenizer.lengths()[targets].sum())


def read(settings: Settings, tokenizer: Tokenizer | None = None, known: Mapping[str, Any] | None = None) -> Text:
    """The settings' corpus, split, made tokens, and counted.

    Args:
        settings: its corpus, tokenizer, and what is held out.
        tokenizer: the one to use, where it was made before; None makes it as the settings say.
        known: the identity that it must have.

    Raises:
        OSError, ValueError: it cannot be read, is no text, or too short; or is another than it was.
        ImportError: the tokenizer needs a library that is not there.
    """
    if settings.corpus not in CORPORA and TokenFile.is_one(settings.corpus):
        return _from_tokens(settings, known)
    documents = read_documents(settings.corpus)
    identity = {"characters": sum(len(document.text) for document in documents), "sha256": _digest(documents)}
    _check(settings.corpus, identity, known)
    train, kept, ends = _split(documents, settings)
    if tokenizer is None:
        every = [*train, *kept]
        tokenizer = tokenizer_for(settings.tokenizer or "char", lambda: train, lambda: every, settings.vocab_size)
    return _counted(tokenizer, _encoded(tokenizer, train, ends), _encoded(tokenizer, kept, ends), identity, settings)


def _from_tokens(settings: Settings, known: Mapping[str, Any] | None) -> Text:
    file = TokenFile.open(settings.corpus)
    if settings.tokenizer:
        raise ValueError(
            f"{settings.corpus} is a token file, and brings its own tokenizer: leave tokenizer out, got "
            f"{settings.tokenizer!r}; other tokens are made of the text: gdengine data prepare INPUT --out FILE "
            f"--tokenizer {settings.tokenizer}"
        )
    tokenizer = file.tokenizer()
    identity = {"tokens": len(file.tokens), "crc32": file.crc32, "tokenizer": fingerprint(tokenizer.to_json())}
    _check(settings.corpus, identity, known)
    if file.held_out:
        train, kept = file.train, file.kept
    else:
        train, kept = split(file.tokens, settings.held_out, settings.held_out_blocks)
    return _counted(tokenizer, train, kept, identity, settings)


def _check(corpus: str, identity: Mapping[str, Any], known: Mapping[str, Any] | None) -> None:
    """Raise unless a corpus is the known one."""
    if known is not None and identity != known:
        raise ValueError(
            f"the corpus {corpus} is another than the run began with: it has {_size(identity)} now, and had "
            f"{_size(known)}" + (", or others; another Python carries another text" if corpus in CORPORA else "")
        )


def _size(identity: Mapping[str, Any]) -> str:
    """How much a corpus holds, in words."""
    return " ".join(f"{identity[name]:,} {name}" for name in ("characters", "tokens") if name in identity)


def _split(documents: Sequence[Document], settings: Settings) -> tuple[list[str], list[str], bool]:
    """The texts to learn from, those held out, and whether each is a document, whose end is to be seen."""
    if len(documents) == 1:
        train, kept = split_text(documents[0].text, settings.held_out, settings.held_out_blocks)
        return [train], [kept], False
    is_kept = split_files([d.name for d in documents], [len(d.text) for d in documents], settings.held_out)
    sides: tuple[list[str], list[str]] = ([], [])
    for document, kept_back in zip(documents, is_kept, strict=True):
        sides[kept_back].append(document.text)
    return *sides, True


def _encoded(tokenizer: Tokenizer, texts: Sequence[str], ends: bool) -> np.ndarray:
    """The tokens of texts one after another, the end of each after it if ``ends``."""
    if not ends:
        return np.concatenate([tokenizer.encode(text) for text in texts])
    if tokenizer.end_of_text is None:
        return tokenizer.encode("".join(text + SEPARATOR for text in texts))
    rows = [tokenizer.encode(text) for text in texts]
    return np.concatenate([part for row in rows for part in (row, np.array([tokenizer.end_of_text], row.dtype))])


def _counted(
    tokenizer: Tokenizer, train: np.ndarray, kept: np.ndarray, identity: dict[str, Any], settings: Settings
) -> Text:
    held_out = unseen_windows(kept, train, settings.block_size, settings.eval_windows or None)
    x, y = held_out[:, :-1], held_out[:, 1:]
    counted, size = train[:_COUNTED], tokenizer.vocab_size
    baselines = {"unigram": Unigram(counted, size).loss(y), "bigram": Bigram(counted, size).loss(x, y)}
    return Text(tokenizer, train, held_out, identity, baselines)


def _digest(documents: Sequence[Document]) -> str:
    """A SHA-256 of the texts; of many, with the number of characters of each, so that none may pass into another."""
    digest = hashlib.sha256()
    for document in documents:
        if len(documents) > 1:
            digest.update(f"{len(document.text)}\n".encode())
        digest.update(document.text.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
