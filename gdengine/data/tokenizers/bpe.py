"""A token for each piece of text that pairs of bytes, joined again and again, make."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..pieces import pieces
from .common import checked_tokens, smallest_dtype, utf8

END_OF_TEXT = "<|endoftext|>"
_PIECE = 1 << 16  # characters encoded at a time; the library spreads pieces over its threads
_GPT2_FILES = (("vocab.json", "encoder.json"), ("merges.txt", "vocab.bpe"))


class BPETokenizer:
    """Byte-level byte-pair encoding, as in GPT-2 (Sennrich, Haddow and Birch 2016; Radford et al. 2019, section 2.2).

    The text is cut into words, numbers, signs and white space; each is a row of bytes, of which the pair that was
    learned first is joined, then the next, until none is left. All 256 bytes are tokens, so no text is unknown, and
    ``decode(encode(text)) == text``. The library `tokenizers` (Hugging Face) does the work, and its ``tokenizer.json``
    is the format on disk.

    Args:
        inner: a ``tokenizers.Tokenizer`` of this kind. `train`, `load` and `gpt2` make one.

    Raises:
        ImportError: the library is not there.
        ValueError: it is of another kind: joined otherwise than by byte pairs, or cut otherwise than GPT-2 cuts.
    """

    unit = "token"

    def __init__(self, inner: Any):
        _library()
        _check_kind(json.loads(inner.to_str()))
        inner.encode_special_tokens = True  # "<|endoftext|>" in a text is text
        self._inner = inner
        self.vocab_size: int = inner.get_vocab_size()
        self.end_of_text: int | None = inner.token_to_id(END_OF_TEXT)
        self.start: int = int(self.encode("\n")[-1])

    @classmethod
    def train(cls, texts: str | Iterable[str], vocab_size: int) -> "BPETokenizer":
        """Learn the pairs of a text, or of several: the same text, the same tokenizer.

        Args:
            texts: what to learn from.
            vocab_size: how many tokens there shall be: 256 bytes, the end of a text, and pairs. A text too short to
                hold so many pairs twice gives fewer: see ``vocab_size`` of the result.

        Raises:
            ImportError: the library is not there.
            ValueError: fewer than 257 tokens are wanted.
        """
        library = _library()
        if vocab_size < 257:
            raise ValueError(f"vocab_size must be 257 or more (256 bytes and the end of a text), got {vocab_size}")
        inner = _assembled(library.models.BPE())
        trainer = library.trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=2,
            special_tokens=[END_OF_TEXT],
            initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        given = [texts] if isinstance(texts, str) else texts
        inner.train_from_iterator((piece for text in given for piece in pieces(text, _PIECE)), trainer)
        return cls(inner)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "BPETokenizer":
        """The tokenizer of a ``tokenizer.json``, as `save` writes it.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no tokenizer, or of another kind.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"there is no file {path}; BPETokenizer.train(text, 4096).save({str(path)!r}) writes one"
            )
        try:
            return cls(_parsed(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    @classmethod
    def gpt2(cls, folder: str | os.PathLike[str]) -> "BPETokenizer":
        """GPT-2's own tokenizer (50,257 tokens), from a folder with its two files.

        They are ``vocab.json`` (or ``encoder.json``) and ``merges.txt`` (or ``vocab.bpe``), as the model's publishers
        give them out; other vocabularies in the same form do as well.

        Raises:
            FileNotFoundError: one of the two is not there.
            ValueError: they do not belong together, or a byte has no token.
        """
        library = _library()
        vocabulary, merges = (_one_of(Path(folder), names) for names in _GPT2_FILES)
        try:
            model = library.models.BPE.from_file(str(vocabulary), str(merges))
        except Exception as error:  # the library raises Exception itself
            raise ValueError(f"{vocabulary} and {merges} are no vocabulary of byte pairs: {error}") from None
        inner = _assembled(model)
        if inner.token_to_id(END_OF_TEXT) is not None:
            inner.add_special_tokens([END_OF_TEXT])
        return cls(inner)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write ``tokenizer.json``, which `load` and the library itself read."""
        Path(path).write_text(self._inner.to_str(pretty=True), encoding="utf-8")

    def encode(self, text: str) -> np.ndarray:
        """The tokens of ``text``: ``(n,)`` of the smallest dtype that holds them.

        Raises:
            TypeError: it is no text.
            ValueError: it holds half of a surrogate pair, which has no UTF-8; says where.
        """
        utf8(text)  # raises, saying where, what the library says less of
        encoded = self._inner.encode_batch_fast(list(pieces(text, _PIECE)), add_special_tokens=False)
        dtype = smallest_dtype(self.vocab_size)
        return np.concatenate([np.zeros(0, dtype), *(np.array(piece.ids, dtype) for piece in encoded)])

    def decode(self, tokens: Any) -> str:
        """The text of ``tokens``, ``�`` standing where they are no UTF-8, as where a character is cut in half.

        Raises:
            ValueError: a token is outside the vocabulary, or ``tokens`` is not a row of integers.
        """
        ids = checked_tokens(tokens, self.vocab_size)
        return self._inner.decode(ids.tolist(), skip_special_tokens=False)

    def lengths(self) -> np.ndarray:
        """The bytes of each token; 0 of the end of a text, which is none of its bytes."""
        # The library writes each byte as one character of an alphabet of its own.
        result = np.array([len(self._inner.id_to_token(i)) for i in range(self.vocab_size)], np.int64)
        if self.end_of_text is not None:
            result[self.end_of_text] = 0
        return result

    def to_json(self) -> dict[str, Any]:
        """Plain data from which `from_json` makes the same tokenizer."""
        return {"kind": "bpe", "tokenizer": json.loads(self._inner.to_str())}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "BPETokenizer":
        """The tokenizer that `to_json` described.

        Raises:
            ValueError: ``data`` does not describe a tokenizer of byte pairs.
        """
        if data.get("kind") != "bpe" or not isinstance(data.get("tokenizer"), Mapping):
            raise ValueError(f"expected {{'kind': 'bpe', 'tokenizer': {{…}}}}, got keys {sorted(data)}")
        return cls(_parsed(json.dumps(data["tokenizer"])))

    def __repr__(self) -> str:
        return f"BPETokenizer({self.vocab_size} tokens)"


def _library() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise ImportError("byte pairs need the library tokenizers: pip install 'gdengine[bpe]'") from None
    return tokenizers


def _assembled(model: Any) -> Any:
    """A ``tokenizers.Tokenizer`` that cuts as GPT-2 does, round a model of byte pairs."""
    library = _library()
    inner = library.Tokenizer(model)
    inner.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    inner.decoder = library.decoders.ByteLevel()
    return inner


def _parsed(text: str) -> Any:
    try:
        return _library().Tokenizer.from_str(text)
    except ImportError:
        raise
    except Exception as error:  # the library raises Exception itself
        raise ValueError(f"this is no tokenizer.json: {error}") from None


def _check_kind(document: Mapping[str, Any]) -> None:
    """Raise unless a tokenizer.json is what `_assembled` makes: where text may be cut rests on it."""
    cut, model = document.get("pre_tokenizer") or {}, document.get("model") or {}
    wrong = {
        "model": model.get("type") not in ("BPE", None) or model.get("dropout") or model.get("byte_fallback"),
        "pre_tokenizer": cut.get("type") != "ByteLevel"
        or cut.get("add_prefix_space")
        or not cut.get("use_regex", True),
        "decoder": (document.get("decoder") or {}).get("type") != "ByteLevel",
        "normalizer": document.get("normalizer") is not None,
    }
    for part in (name for name, is_wrong in wrong.items() if is_wrong):
        raise ValueError(
            f"the tokenizer's {part} is {document.get(part) if part != 'model' else model.get('type')!r}; "
            "BPETokenizer takes byte-level byte pairs cut as in GPT-2 (ByteLevel, no prefix space, no normalizer): "
            "train one with BPETokenizer.train(text, vocab_size)"
        )
    missing = [c for c in _library().pre_tokenizers.ByteLevel.alphabet() if c not in model.get("vocab", {})]
    if missing:
        raise ValueError(
            f"{len(missing)} of the 256 bytes have no token, so that some text could not be written; the vocabulary is "
            "not whole, or not of bytes"
        )


def _one_of(folder: Path, names: tuple[str, str]) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(
        f"there is neither {names[0]} nor {names[1]} in {folder}; GPT-2's tokenizer is two files: vocab.json "
        "(or encoder.json) and merges.txt (or vocab.bpe)"
    )
