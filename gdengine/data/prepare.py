"""Text files to a token file, piece by piece: of any size, and gone on with where it was cut short."""

import io
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .corpora import CORPORA, SEPARATOR, decoded, python_docs
from .files import TextFile, find_files, stdlib_files
from .pieces import cut_bytes
from .splits import split_files, stretches
from .token_file import TokenFile, TokenWriter, partial
from .tokenizers import Tokenizer, fingerprint, tokenizer_from_json
from .tokenizers.spec import SPEC, is_spec, tokenizer_for

_PIECE = 1 << 20  # bytes read at a time, and somewhat more, up to a place where text may be cut
_EVERY = 1.0  # seconds from one note of how far it has come to the next
_FORMAT = 1  # of the notes

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Part:
    """A stretch of a file: the bytes from ``start`` to ``end``. ``ends`` says whether a document ends with it."""

    path: Path | None
    start: int
    end: int
    held_out: bool
    ends: bool


def prepare(
    inputs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    tokenizer: str = "byte",
    held_out: float = 0.1,
    blocks: int = 20,
    force: bool = False,
    say: Callable[[str], Any] = lambda line: None,
    progress: Progress = lambda what, done, total: None,
) -> TokenFile:
    """Write the tokens of text files into a token file: those to learn from first, and then those held out.

    Of one file, each of ``blocks`` stretches keeps its last part back, cut at a line end where there is one; of
    several, whole files are kept back (see `split_files`), and each is followed by the tokenizer's token for the end of
    a text, or by two empty lines where it has none.

    Killed half-way, the same call goes on where it was, and ends with the same bytes: ``OUT.partial`` holds the
    tokens so far, ``OUT.partial.json`` how far it has come. If the files or the arguments have changed, it begins anew.

    Args:
        inputs: files, folders, patterns (see `find_files`), or one corpus that comes along: ``["stdlib"]``.
        out: the token file.
        tokenizer: ``char``, ``byte``, ``bpe:8000`` (learned here, from what is not held out), ``bpe:FILE``,
            ``gpt2:FOLDER``.
        held_out: the share that is kept back; 0: nothing.
        blocks: of one file, the places from which it is kept back.
        force: write over a file that is there.
        say: told, in a line, when it goes on, or cannot.
        progress: told of what is done, of so many bytes in all.

    Returns:
        The file, opened.

    Raises:
        FileNotFoundError: there is no input.
        FileExistsError: ``out`` is there.
        ValueError: an input is not UTF-8, or too short to keep some of it back; or an argument is wrong.
        ImportError: byte pairs are meant, and the library tokenizers is not there.
    """
    if not is_spec(tokenizer):
        raise ValueError(f"a tokenizer is {SPEC}, got {tokenizer!r}")
    if os.path.exists(out) and not force:
        raise FileExistsError(f"{os.fspath(out)} is there already: --force writes over it, or name another by --out")
    parts, identity = _parts(inputs, out, held_out, blocks)
    job = fingerprint(
        {"format": _FORMAT, "tokenizer": tokenizer, "held_out": held_out, "blocks": blocks, "of": identity}
    )
    notes = _Notes(out, job)
    state = notes.read(say)
    if state is None:
        made = _tokenizer(tokenizer, parts, progress)
        state = {"part": 0, "offset": 0, "tokens": 0, "crc32": 0, "train": 0, "tokenizer": made.to_json()}
        resume = None
    else:
        made, resume = tokenizer_from_json(state["tokenizer"]), (state["tokens"], state["crc32"])
    with TokenWriter(out, tokenizer=made, resume=resume) as writer:
        notes.write(state, writer)
        train = _encode(parts, made, writer, state, notes, progress)
        if writer.count < 2:
            raise ValueError(f"the corpus gives {writer.count} tokens, and a model needs two or more to learn from")
        writer.finish(writer.count - train)
    notes.remove()
    return TokenFile.open(out)


class _Notes:
    """How far a token file has come, beside it: ``OUT.partial.json``."""

    def __init__(self, out: str | os.PathLike[str], job: str):
        self.path = Path(os.fspath(partial(out)) + ".json")
        self.partial, self.job = partial(out), job

    def read(self, say: Callable[[str], Any]) -> dict[str, Any] | None:
        """What was noted last of this job; None if there is nothing to go on with."""
        try:
            state = json.loads(self.path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        if state.get("job") != self.job:
            say(f"{self.partial} was begun from other files or otherwise: beginning anew")
            return None
        if not self.partial.is_file() or self.partial.stat().st_size < state["size"]:
            say(f"{self.partial} has less in it than was noted: beginning anew")
            return None
        say(f"going on after {state['tokens']:,} tokens")
        return state

    def write(self, state: dict[str, Any], writer: TokenWriter) -> None:
        """Note a state, once the tokens that it speaks of are on the disk."""
        writer.flush()
        temporary = self.path.with_name(self.path.name + ".tmp")
        size = self.partial.stat().st_size
        temporary.write_text(json.dumps({**state, "job": self.job, "size": size}), encoding="utf-8")
        os.replace(temporary, self.path)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def _encode(
    parts: Sequence[Part],
    tokenizer: Tokenizer,
    writer: TokenWriter,
    state: dict[str, Any],
    notes: _Notes,
    progress: Progress,
) -> int:
    """Write the tokens of the parts from where ``state`` says; returns how many of all are to learn from."""
    total = sum(part.end - part.start for part in parts)
    done = sum(part.end - part.start for part in parts[: state["part"]]) + state["offset"]
    end = tokenizer.encode(SEPARATOR) if tokenizer.end_of_text is None else np.array([tokenizer.end_of_text])
    train, noted = state["train"], time.monotonic()
    progress("writing tokens", done, total)
    for number, part in enumerate(parts[state["part"] :], state["part"]):
        begin = part.start + (state["offset"] if number == state["part"] else 0)
        for text, place in _texts(part, begin):
            writer.append(tokenizer.encode(text))
            if place == part.end and part.ends:
                writer.append(end)
            if not part.held_out:
                train = writer.count
            progress("writing tokens", done + place - begin, total)
            if time.monotonic() - noted > _EVERY:
                now = {"part": number, "offset": place - part.start, "tokens": writer.count, "crc32": writer.crc32}
                notes.write({**state, **now, "train": train}, writer)
                noted = time.monotonic()
        done += part.end - begin
    return train


def _tokenizer(spec: str, parts: Sequence[Part], progress: Progress) -> Tokenizer:
    """The tokenizer that is meant, made from the parts where it has to be."""

    def texts(chosen: Sequence[Part]) -> Iterator[str]:
        total, done = sum(part.end - part.start for part in chosen), 0
        for part in chosen:
            for text, place in _texts(part, part.start):
                yield text
                progress("reading for the tokenizer", done + place - part.start, total)
            done += part.end - part.start

    return tokenizer_for(spec, lambda: texts([part for part in parts if not part.held_out]), lambda: texts(parts))


def _parts(
    inputs: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str], held_out: float, blocks: int
) -> tuple[list[Part], list[tuple[str, int, int]]]:
    """What is to be read in which order, and by what it is known again: name, size and time of change of each file."""
    names = [os.fspath(name) for name in inputs]
    if names == ["python_docs"]:
        size = len(python_docs().encode())
        return _of_one(None, size, held_out, blocks), [("python_docs", size, 0)]
    if set(names) & set(CORPORA) and names != ["stdlib"]:
        raise ValueError(f"a corpus that comes along is the only input, got {', '.join(names)}; a folder is ./stdlib")
    written = {Path(os.path.abspath(os.fspath(path))) for path in (out, partial(out), f"{partial(out)}.json")}
    found = stdlib_files() if names == ["stdlib"] else find_files(names)
    files = [file for file in found if Path(os.path.abspath(file.path)) not in written]  # the folder may hold them too
    stats = [file.path.stat() for file in files]
    identity = [
        (os.fspath(file.path.absolute()), stat.st_size, stat.st_mtime_ns)
        for file, stat in zip(files, stats, strict=True)
    ]
    sizes = [stat.st_size for stat in stats]
    if not files:
        raise FileNotFoundError(f"there is no text but {os.fspath(out)} itself; name another folder")
    if len(files) == 1:
        return _of_one(files[0].path, sizes[0], held_out, blocks), identity
    return _of_many(files, sizes, held_out), identity


def _of_many(files: Sequence[TextFile], sizes: Sequence[int], held_out: float) -> list[Part]:
    kept = split_files([file.name for file in files], sizes, held_out) if held_out else [False] * len(files)
    parts = [
        Part(file.path, 0, size, is_kept, True) for file, size, is_kept in zip(files, sizes, kept, strict=True) if size
    ]
    return sorted(parts, key=lambda part: part.held_out)


def _of_one(path: Path | None, size: int, held_out: float, blocks: int) -> list[Part]:
    if not size:
        raise ValueError(f"{path} is empty")
    if not held_out:
        return [Part(path, 0, size, False, False)]
    starts, cuts, ends = stretches(size, held_out, blocks, "bytes")
    places = [*(place for pair in zip(starts, cuts, strict=True) for place in pair), ends[-1]]
    with _Source(path) as source:
        inner = [source.near(int(at), int(limit)) for at, limit in itertools.pairwise(places[1:])]
    edges = [0, *inner, size]
    parts = [Part(path, a, b, bool(i % 2), False) for i, (a, b) in enumerate(itertools.pairwise(edges))]
    return sorted(parts, key=lambda part: part.held_out)


def _texts(part: Part, begin: int) -> Iterator[tuple[str, int]]:
    """The text of a part from a place on, in pieces, each with the place where it ends."""
    with _Source(part.path) as source:
        while begin < part.end:
            raw = source.piece(begin, part.end)
            yield decoded(raw, part.path or "python_docs", begin), begin + len(raw)
            begin += len(raw)


class _Source:
    """The bytes of a file; of the documentation that Python carries if there is no path."""

    def __init__(self, path: Path | None):
        self.path = path
        self._file: Any = io.BytesIO(python_docs().encode()) if path is None else path.open("rb")

    def piece(self, begin: int, end: int) -> bytes:
        """The bytes from ``begin`` on, about ``_PIECE`` of them, up to a place to cut, or to ``end``."""
        raw = self._read(begin, min(2 * _PIECE, end - begin))
        while True:
            if len(raw) <= _PIECE or (cut := cut_bytes(raw, _PIECE)) is None:
                if begin + len(raw) == end:
                    return raw
                raw += self._read(begin + len(raw), min(_PIECE, end - begin - len(raw)))
            else:
                return raw[:cut]

    def near(self, at: int, limit: int) -> int:
        """The first place from ``at`` on where text may be cut, or at least a character ends, but before ``limit``."""
        before = min(3, at)  # what `cut_bytes` looks back at
        raw = self._read(at - before, min(_PIECE, limit - at + before))
        cut = cut_bytes(raw, max(before, 1))
        if cut is None:
            cut = before
            while cut < len(raw) - 1 and (0x80 <= raw[cut] < 0xC0 or raw[cut] == ord("\n")):
                cut += 1
            if 0x80 <= raw[cut] < 0xC0:
                raise ValueError(
                    f"{self.path} is too short to keep some of it back in so many places: take fewer blocks"
                )
        return at - before + cut

    def _read(self, begin: int, count: int) -> bytes:
        self._file.seek(begin)
        raw = self._file.read(count)
        if len(raw) < count:
            raise ValueError(f"{self.path} has become shorter while it was read: prepare it once it stays as it is")
        return raw

    def __enter__(self) -> "_Source":
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()
