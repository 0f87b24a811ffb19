"""A token for each byte."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .common import checked_tokens, utf8


class ByteTokenizer:
    """One token for each byte of the text's UTF-8: 256 of them, and no text that it does not know.

    >>> ByteTokenizer().encode("né").tolist()
    [110, 195, 169]
    """

    unit = "byte"
    vocab_size = 256
    end_of_text = None
    start = ord("\n")

    def encode(self, text: str) -> np.ndarray:
        """The bytes of ``text`` in UTF-8: uint8 ``(n,)``.

        Raises:
            TypeError: it is no text.
            ValueError: it holds half of a surrogate pair, which has no UTF-8; says where.
        """
        return np.frombuffer(utf8(text), np.uint8)

    def decode(self, tokens: Any) -> str:
        """The text of ``tokens``, ``�`` standing where they are no UTF-8, as where a character is cut in half.

        Raises:
            ValueError: a token is outside 0 … 255, or ``tokens`` is not a row of integers.
        """
        return checked_tokens(tokens, self.vocab_size).astype(np.uint8).tobytes().decode("utf-8", "replace")

    def lengths(self) -> np.ndarray:
        """One byte for each."""
        return np.ones(self.vocab_size, np.int64)

    def to_json(self) -> dict[str, str]:
        """Plain data from which `from_json` makes the same tokenizer."""
        return {"kind": "byte"}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "ByteTokenizer":
        """The tokenizer that `to_json` described.

        Raises:
            ValueError: ``data`` does not describe a byte tokenizer.
        """
        if data.get("kind") != "byte":
            raise ValueError(f"expected {{'kind': 'byte'}}, got keys {sorted(data)}")
        return cls()

    def __repr__(self) -> str:
        return "ByteTokenizer()"
