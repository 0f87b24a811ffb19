"""Text to integers and back: a token for each character, for each byte, or for each piece that byte pairs make."""

from collections.abc import Mapping
from typing import Any

from .bpe import BPETokenizer
from .byte import ByteTokenizer
from .char import CharTokenizer
from .common import Tokenizer, fingerprint, smallest_dtype

__all__ = [
    "BPETokenizer",
    "ByteTokenizer",
    "CharTokenizer",
    "Tokenizer",
    "fingerprint",
    "smallest_dtype",
    "tokenizer_from_json",
]

_KINDS: dict[str, Any] = {"char": CharTokenizer, "byte": ByteTokenizer, "bpe": BPETokenizer}


def tokenizer_from_json(data: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that ``to_json`` of any of them described.

    Raises:
        ValueError: it describes none.
        ImportError: it is of byte pairs, and the library tokenizers is not there.
    """
    kind = data.get("kind")
    if kind not in _KINDS:
        raise ValueError(f"a tokenizer's 'kind' is one of {', '.join(_KINDS)}, got {kind!r}")
    return _KINDS[kind].from_json(data)
