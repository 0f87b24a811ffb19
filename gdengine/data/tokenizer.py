"""Text to integers and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np

_SHOWN = 5  # unknown characters that an error names


class CharTokenizer:
    """One token for each character (Unicode code point): token i is the i-th of ``alphabet``.

    Args:
        alphabet: the characters that it knows, each once.

    Raises:
        ValueError: a character stands twice in the alphabet, or there is none.
    """

    def __init__(self, alphabet: str):
        self.alphabet = alphabet
        self._points = _code_points(alphabet)
        self._order = np.argsort(self._points, kind="stable")
        self._sorted = self._points[self._order]
        if not alphabet:
            raise ValueError("a tokenizer needs at least one character, and the text is empty")
        twice = self._sorted[1:][self._sorted[1:] == self._sorted[:-1]]
        if twice.size:
            raise ValueError(f"{_named(chr(twice[0]))} stands twice in the alphabet; every character may stand once")

    @classmethod
    def from_text(cls, text: str) -> "CharTokenizer":
        """The tokenizer that knows just the characters of ``text``, in the order of their code points."""
        return cls("".join(sorted(set(text))))

    @property
    def vocab_size(self) -> int:
        """The number of different tokens."""
        return len(self.alphabet)

    def encode(self, text: str) -> np.ndarray:
        """The tokens of ``text``: int32 ``(len(text),)``.

        Raises:
            ValueError: a character is not in the alphabet; says which, and where.
        """
        points = _code_points(text)
        places = np.minimum(np.searchsorted(self._sorted, points), self.vocab_size - 1)
        unknown = self._sorted[places] != points
        if unknown.any():
            raise ValueError(self._unknown(text, np.flatnonzero(unknown)))
        return self._order[places].astype(np.int32)

    def decode(self, tokens: Any) -> str:
        """The text of ``tokens``, integers of any one-dimensional shape.

        Raises:
            ValueError: a token is outside 0 … vocab_size − 1, or ``tokens`` is not a row of integers.
        """
        ids = np.asarray(tokens)
        if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
            raise ValueError(f"decode takes a row of integers, got shape {ids.shape} of {ids.dtype}; decode row by row")
        outside = np.flatnonzero((ids < 0) | (ids >= self.vocab_size))
        if outside.size:
            at = int(outside[0])
            raise ValueError(f"token {ids[at]} at index {at} is outside 0 … {self.vocab_size - 1}")
        return self._points[ids.astype(np.int64)].tobytes().decode("utf-32-le", "surrogatepass")

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
