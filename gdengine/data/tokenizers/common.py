"""What all tokenizers have in common."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np


class Tokenizer(Protocol):
    """What a tokenizer is: anything with these members serves.

    Attributes:
        unit: what a token stands for, in words: "character", "byte" or "token".
        end_of_text: the token that stands after a document where many follow each other; None: there is none.
        start: the token from which a text begins that goes on from nothing: a line end, where there is one.
    """

    @property
    def unit(self) -> str: ...
    @property
    def end_of_text(self) -> int | None: ...
    @property
    def start(self) -> int: ...

    @property
    def vocab_size(self) -> int:
        """V, the number of different tokens."""
        ...

    def encode(self, text: str) -> np.ndarray:
        """The tokens of a text: integers ``(n,)`` in [0, V), of `smallest_dtype` (V)."""
        ...

    def decode(self, tokens: Any) -> str:
        """The text of a row of tokens."""
        ...

    def lengths(self) -> np.ndarray:
        """How many bytes of UTF-8 each token stands for: int64 ``(V,)``."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Plain data, for checkpoints and token files, from which `tokenizer_from_json` makes the same tokenizer."""
        ...


def smallest_dtype(vocab_size: int) -> np.dtype[Any]:
    """The smallest unsigned dtype that holds the tokens 0 … vocab_size − 1.

    >>> [smallest_dtype(size).name for size in (256, 257, 65_536, 65_537)]
    ['uint8', 'uint16', 'uint16', 'uint32']
    """
    if not 1 <= vocab_size <= 2**32:
        raise ValueError(f"a vocabulary has from 1 to 2**32 tokens, got {vocab_size}")
    return np.dtype(np.uint8 if vocab_size <= 2**8 else np.uint16 if vocab_size <= 2**16 else np.uint32)


def fingerprint(tokenizer: Mapping[str, Any]) -> str:
    """The SHA-256 of what ``to_json`` gave: equal for tokenizers that do the same."""
    return hashlib.sha256(json.dumps(tokenizer, sort_keys=True).encode()).hexdigest()


def utf8(text: str) -> bytes:
    """The text in UTF-8.

    Raises:
        TypeError: it is no text.
        ValueError: it holds half of a surrogate pair, which has no UTF-8; says where.
    """
    if not isinstance(text, str):
        raise TypeError(f"encode takes text, got {type(text).__name__}; of bytes: encode(raw.decode())")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"the character {text[error.start]!r} at index {error.start} has no UTF-8, being half of a surrogate "
            'pair; replace it: text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")'
        ) from None


def checked_tokens(tokens: Any, vocab_size: int) -> np.ndarray:
    """``tokens`` as an array.

    Raises:
        ValueError: a token is outside 0 … vocab_size − 1, or they are not a row of integers.
    """
    ids = np.asarray(tokens)
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise ValueError(f"decode takes a row of integers, got shape {ids.shape} of {ids.dtype}; decode row by row")
    outside = np.flatnonzero((ids < 0) | (ids >= vocab_size))
    if outside.size:
        at = int(outside[0])
        raise ValueError(f"token {ids[at]} at index {at} is outside 0 … {vocab_size - 1}")
    return ids.astype(np.int64)
