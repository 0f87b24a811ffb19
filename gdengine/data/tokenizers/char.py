"""A token for each character."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .common import checked_tokens, smallest_dtype

_SHOWN = 5  # unknown characters that an error names


class CharTokenizer:
    """One token for each character (Unicode code point): token i is the i-th of ``alphabet``.

    Args:
        alphabet: the characters that it knows, each once.

    Raises:
        ValueError: a character stands twice in the alphabet, or there is none.
    """

    unit = "character"
    end_of_text = None

    def __init__(self, alphabet: str):
        self.alphabet = alphabet
        self._points = _code_points(alphabet)
        if not alphabet:
            raise ValueError("a tokenizer needs at least one character, and the text is empty")
        ordered = np.sort(self._points)
        twice = ordered[1:][ordered[1:] == ordered[:-1]]
        if twice.size:
            raise ValueError(f"{_named(chr(twice[0]))} stands twice in the alphabet; every character may stand once")
        self._tokens = np.full(int(ordered[-1]) + 2, -1, np.int32)  # by code point; the last is of all that are higher
        self._tokens[self._points] = np.arange(len(alphabet))

    @classmethod
    def from_text(cls, text: str) -> "CharTokenizer":
        """The tokenizer that knows just the characters of ``text``, in the order of their code points."""
        return cls("".join(sorted(set(text))))

    @property
    def vocab_size(self) -> int:
        """The number of different tokens."""
        return len(self.alphabet)

    @property
    def start(self) -> int:
        """The line end, where it is known."""
        return max(self.alphabet.find("\n"), 0)

    def encode(self, text: str) -> np.ndarray:
        """The tokens of ``text``: ``(len(text),)`` of the smallest dtype that holds them.

        Raises:
            ValueError: a character is not in the alphabet; says which, and where.
        """
        tokens = self._tokens[np.minimum(_code_points(text), len(self._tokens) - 1)]
        if tokens.size and tokens.min() < 0:
            raise ValueError(self._unknown(text, np.flatnonzero(tokens < 0)))
        return tokens.astype(smallest_dtype(self.vocab_size))

    def decode(self, tokens: Any) -> str:
        """The text of ``tokens``, integers of any one-dimensional shape.

        Raises:
            ValueError: a token is outside 0 … vocab_size − 1, or ``tokens`` is not a row of integers.
        """
        ids = checked_tokens(tokens, self.vocab_size)
        return self._points[ids].tobytes().decode("utf-32-le", "surrogatepass")

    def lengths(self) -> np.ndarray:
        """From 1 to 4 bytes each."""
        return 1 + np.searchsorted([0x80, 0x800, 0x10000], self._points, side="right").astype(np.int64)

    def to_json(self) -> dict[str, str]:
        """Plain data from which `from_json` makes the same tokenizer."""
        return {"kind": "char", "alphabet": self.alphabet}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "CharTokenizer":
        """The tokenizer that `to_json` described.

        Raises:
            ValueError: ``data`` does not describe a character tokenizer.
        """
        if data.get("kind") != "char" or not isinstance(data.get("alphabet"), str):
            raise ValueError(f"expected {{'kind': 'char', 'alphabet': '…'}}, got keys {sorted(data)}")
        return cls(data["alphabet"])

    def __repr__(self) -> str:
        return f"CharTokenizer({self.vocab_size} characters)"

    def _unknown(self, text: str, where: np.ndarray) -> str:
        first = int(where[0])
        different = list(dict.fromkeys(text[i] for i in where.tolist()))
        shown = ", ".join(_named(c) for c in different[:_SHOWN])
        more = f" and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
        line = text.count("\n", 0, first) + 1
        column = first - (text.rfind("\n", 0, first) + 1) + 1
        return (
            f"the tokenizer knows {self.vocab_size} characters, and {shown}{more} not among them: "
            f"first at index {first} (line {line}, column {column})"
        )


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _named(character: str) -> str:
    return f"{character!r} (U+{ord(character):04X})"
