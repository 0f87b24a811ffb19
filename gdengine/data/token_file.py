"""Tokens on disk: a header that can be trusted, and then one row of integers that is mapped into memory, not read.

    offset  bytes
         0      8  the magic: 0x89 "GDTOK" CR LF; a transfer as text would change it
         8      4  version of the format, 1
        12      4  bytes of a token: 1, 2 or 4, unsigned
        16      8  number of tokens
        24      8  how many of them, the last ones, are held out
        32      8  vocab_size: every token is below it
        40      4  CRC-32 of the tokens
        44      4  length of the tokenizer's JSON; 0: none is given
        48      4  CRC-32 of the tokenizer's JSON
        52      4  CRC-32 of the 52 bytes before
        56      …  the tokenizer's JSON, in UTF-8, and zeros up to a multiple of 64
         …      …  the tokens

All numbers are little-endian.
"""

import json
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .tokenizers import Tokenizer, smallest_dtype, tokenizer_from_json

MAGIC = b"\x89GDTOK\r\n"
VERSION = 1
_HEADER = struct.Struct("<8sIIQQQIIII")
_ALIGNMENT = 64
_CHUNK = 1 << 24  # bytes looked at between two numbers of a progress bar


class TokenFileError(ValueError):
    """A file that holds no tokens, or not all of them, or others than were written."""


class TokenFile:
    """A file of tokens, opened: see `open` and `write`.

    Attributes:
        path: where it lies.
        tokens: all of them ``(n,)``, read-only, mapped from the file: a token takes no memory before it is looked at.
        held_out: how many of them, the last ones, are not to be trained on.
        vocab_size: every token is below it.
        tokenizer_json: what made them, as `tokenizer_from_json` reads it; None if that was not given.
        crc32: the checksum of the tokens, as the header has it.
    """

    def __init__(self, path: Path, tokens: np.ndarray, header: Mapping[str, int], tokenizer: dict[str, Any] | None):
        self.path, self.tokens, self.tokenizer_json = path, tokens, tokenizer
        self.held_out, self.vocab_size, self.crc32 = header["held_out"], header["vocab_size"], header["crc32"]

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "TokenFile":
        """Map the tokens of a file, once its header and its size have been checked; `verify` checks the tokens.

        Raises:
            FileNotFoundError: there is no such file.
            TokenFileError: it is no token file, a damaged one, one of a later format, or not whole.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}; gdengine data prepare INPUT --out {path} writes one")
        with path.open("rb") as file:
            header = _read_header(path, file)
            tokenizer = _read_tokenizer(path, file, header)
        start, size = _data_start(header["tokenizer_bytes"]), path.stat().st_size
        expected = start + header["count"] * header["itemsize"]
        if size != expected:
            raise TokenFileError(
                f"{path} should have {expected:,} bytes ({header['count']:,} tokens of {header['itemsize']}), and has "
                f"{size:,}: it is {'cut off' if size < expected else 'too long'}; copy it once more, or write it anew: "
                f"gdengine data prepare INPUT --out {path} --force"
            )
        dtype = f"<u{header['itemsize']}"
        empty = np.zeros(0, dtype)
        mapped = np.memmap(path, dtype, "r", start, (header["count"],)) if header["count"] else empty
        return cls(path, np.asarray(mapped), header, tokenizer)

    @classmethod
    def write(
        cls,
        path: str | os.PathLike[str],
        tokens: Any,
        *,
        tokenizer: Tokenizer | None = None,
        vocab_size: int | None = None,
        held_out: int = 0,
    ) -> "TokenFile":
        """Write tokens into a file, whole or not at all, and open it.

        Args:
            tokens: integers ``(n,)``, or several such rows one after another, as a generator may give them.
            tokenizer: what made them; it is kept in the file.
            vocab_size: every token is below it; the tokenizer's if that is given.
            held_out: how many of them, the last ones, are not to be trained on.

        Raises:
            ValueError: neither tokenizer nor vocab_size is given; the tokens are no row of integers, or one is out of
                range; more are held out than there are.
        """
        rows = [tokens] if isinstance(tokens, np.ndarray) else tokens
        with TokenWriter(path, tokenizer=tokenizer, vocab_size=vocab_size) as writer:
            for row in rows:
                writer.append(row)
            writer.finish(held_out)
        return cls.open(path)

    @staticmethod
    def is_one(path: str | os.PathLike[str]) -> bool:
        """Whether there is a file that begins as a token file does, whole or not."""
        path = Path(path)
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC

    @property
    def train(self) -> np.ndarray:
        """The tokens to learn from."""
        return self.tokens[: len(self.tokens) - self.held_out]

    @property
    def kept(self) -> np.ndarray:
        """The tokens held out."""
        return self.tokens[len(self.tokens) - self.held_out :]

    def tokenizer(self) -> Tokenizer:
        """What made the tokens.

        Raises:
            TokenFileError: the file was written without it.
        """
        if self.tokenizer_json is None:
            raise TokenFileError(
                f"{self.path} was written without its tokenizer: TokenFile.write(path, tokens, tokenizer=…) keeps it"
            )
        return tokenizer_from_json(self.tokenizer_json)

    def verify(self) -> None:
        """Read every token, and compare the checksum with the header's.

        Raises:
            TokenFileError: the tokens are others than were written, or one is out of range.
        """
        crc, chunk = 0, _CHUNK // self.tokens.dtype.itemsize
        for start in range(0, len(self.tokens), chunk):
            part = self.tokens[start : start + chunk]
            crc = zlib.crc32(part.data, crc)
            outside = np.flatnonzero(part >= self.vocab_size)
            if outside.size:
                at = start + int(outside[0])
                raise TokenFileError(f"{self.path}: token {at} is {self.tokens[at]}, and vocab_size {self.vocab_size}")
        if crc != self.crc32:
            raise TokenFileError(
                f"{self.path}: its tokens have the checksum {crc:08x}, and were written with {self.crc32:08x}: the "
                f"file has been changed since; write it anew: gdengine data prepare INPUT --out {self.path} --force"
            )

    def __repr__(self) -> str:
        return (
            f"TokenFile({str(self.path)!r}, {len(self.tokens):,} tokens of {self.vocab_size:,}, {self.tokens.dtype}, "
            f"{self.held_out:,} of them held out)"
        )


class TokenWriter:
    """Writes a token file row by row: into ``FILE.partial``, which `finish` makes the file.

    Left by an exception, the partial file stays, and can be gone on with.

    Args:
        path: the file.
        tokenizer, vocab_size: as for `TokenFile.write`.
        resume: ``(tokens, CRC-32)`` that the partial file begins with, when there is one to go on with; what it holds
            beyond is cut off.

    Raises:
        ValueError: neither tokenizer nor vocab_size is given, or they differ; or there is less to go on with.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        tokenizer: Tokenizer | None = None,
        vocab_size: int | None = None,
        resume: tuple[int, int] | None = None,
    ):
        size = vocab_size if tokenizer is None else tokenizer.vocab_size
        if size is None:
            raise ValueError(
                "a token file needs its tokenizer, or else vocab_size: TokenFile.write(path, t, vocab_size=…)"
            )
        if vocab_size not in (None, size):
            raise ValueError(f"vocab_size is {vocab_size}, and the tokenizer's {size}; leave it out")
        self.path, self.vocab_size, self.dtype = Path(path), size, smallest_dtype(size)
        self.partial = partial(path)
        self._tokenizer = b"" if tokenizer is None else json.dumps(tokenizer.to_json()).encode()
        self._start = _data_start(len(self._tokenizer))
        self.count, self.crc32 = resume or (0, 0)
        end = self._start + self.count * self.dtype.itemsize
        if resume is not None and (not self.partial.is_file() or self.partial.stat().st_size < end):
            raise ValueError(f"{self.partial} holds less than {self.count} tokens: there is nothing to go on with")
        self._file = self.partial.open("wb" if resume is None else "r+b")
        self._file.truncate(end)
        self._file.seek(end)

    def append(self, tokens: Any) -> None:
        """Write a row of integers.

        Raises:
            ValueError: it is none, or a token is out of range; says which, and where.
        """
        row = np.asarray(tokens)
        if row.ndim != 1 or (row.size and row.dtype.kind not in "iu"):
            raise ValueError(f"a token file takes rows of integers, got shape {row.shape} of {row.dtype}")
        if row.size and (row.min() < 0 or (_may_exceed(row.dtype, self.vocab_size) and row.max() >= self.vocab_size)):
            at = int(np.flatnonzero((row < 0) | (row >= self.vocab_size))[0])
            raise ValueError(
                f"token {self.count + at} is {row[at]}, and must lie in 0 … {self.vocab_size - 1}, as vocab_size is "
                f"{self.vocab_size}"
            )
        data = row.astype(self.dtype.newbyteorder("<")).tobytes()
        self._file.write(data)
        self.crc32 = zlib.crc32(data, self.crc32)
        self.count += len(row)

    def flush(self) -> None:
        """Return when what was written is on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def finish(self, held_out: int = 0) -> None:
        """Write the header, and give the file its name.

        Raises:
            ValueError: more tokens are held out than there are.
        """
        if not 0 <= held_out <= self.count:
            raise ValueError(f"held_out must lie in 0 … {self.count}, the number of tokens, got {held_out}")
        head = _HEADER.pack(
            *(MAGIC, VERSION, self.dtype.itemsize, self.count, held_out, self.vocab_size, self.crc32),
            *(len(self._tokenizer), zlib.crc32(self._tokenizer), 0),
        )[:-4]
        self._file.seek(0)
        self._file.write((head + struct.pack("<I", zlib.crc32(head)) + self._tokenizer).ljust(self._start, b"\0"))
        self.flush()
        self._file.close()
        os.replace(self.partial, self.path)

    def __enter__(self) -> "TokenWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()


def partial(path: str | os.PathLike[str]) -> Path:
    """Where a token file is while it is being written."""
    return Path(os.fspath(path) + ".partial")


def _data_start(tokenizer_bytes: int) -> int:
    return -(-(_HEADER.size + tokenizer_bytes) // _ALIGNMENT) * _ALIGNMENT


def _may_exceed(dtype: np.dtype[Any], vocab_size: int) -> bool:
    return int(np.iinfo(dtype).max) >= vocab_size


def _read_header(path: Path, file: BinaryIO) -> dict[str, int]:
    raw = file.read(_HEADER.size)
    if raw[: len(MAGIC)] != MAGIC:
        raise TokenFileError(
            f"{path} is no token file: it begins with {raw[:8]!r}, and not with {MAGIC!r}; "
            f"gdengine data prepare {path} --out FILE makes one of a text"
        )
    if len(raw) < _HEADER.size:
        raise TokenFileError(
            f"{path} is cut off in its header: {len(raw)} bytes, of which the header alone takes {_HEADER.size}"
        )
    _, version, itemsize, count, held_out, vocab_size, crc32, length, tokenizer_crc32, header_crc32 = _HEADER.unpack(
        raw
    )
    if version > VERSION:
        raise TokenFileError(f"{path} has format {version}, and this gdengine reads up to {VERSION}: update gdengine")
    if zlib.crc32(raw[:-4]) != header_crc32:
        raise TokenFileError(f"{path} is damaged: its header does not fit its own checksum; write it anew")
    if itemsize != smallest_dtype(vocab_size).itemsize or held_out > count:
        raise TokenFileError(
            f"{path} contradicts itself: {itemsize} bytes a token, vocab_size {vocab_size}, {count} tokens"
        )
    return {
        "itemsize": itemsize,
        "count": count,
        "held_out": held_out,
        "vocab_size": vocab_size,
        "crc32": crc32,
        "tokenizer_bytes": length,
        "tokenizer_crc32": tokenizer_crc32,
    }


def _read_tokenizer(path: Path, file: BinaryIO, header: Mapping[str, int]) -> dict[str, Any] | None:
    raw = file.read(header["tokenizer_bytes"])
    if zlib.crc32(raw) != header["tokenizer_crc32"] or len(raw) < header["tokenizer_bytes"]:
        raise TokenFileError(f"{path} is damaged: its tokenizer does not fit its checksum; write it anew")
    return json.loads(raw) if raw else None
