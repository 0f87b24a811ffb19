"""What a run measured, one JSON object a line."""

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .whole import explained, write_all


class JsonLines:
    """A file of JSON objects, a line each, to which lines are added; a line can be read by others once it is written.

    Args:
        path: the file; it goes on after the lines that it has.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)

    def write(self, record: Mapping[str, Any]) -> None:
        """Add a line. A number that is not finite becomes ``null``: JSON has no other word for it.

        Raises:
            OSError: the disk is full, …; there is no half of a line then.
        """
        line = json.dumps({key: _finite(value) for key, value in record.items()}) + "\n"
        with self._opened() as descriptor:
            before = os.fstat(descriptor).st_size
            try:
                write_all(descriptor, line.encode())
            except OSError:
                with suppress(OSError):
                    os.ftruncate(descriptor, before)
                raise

    def sync(self) -> None:
        """Return when the lines are on the disk, where a power cut leaves them.

        Raises:
            OSError: they could not be brought there.
        """
        with self._opened() as descriptor:
            os.fsync(descriptor)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The file's descriptor; what the disk refuses meanwhile is raised saying what helps."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
            try:
                yield descriptor
            finally:
                os.close(descriptor)
        except OSError as error:
            raise explained(
                error,
                f"{self.path} could not be written to",
                "See that the disk has room and the folder can be written to, and resume from the last checkpoint",
            ) from error


def read_lines(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The objects of a `JsonLines` file; nothing if there is no file. A last line that was cut off is left out.

    Raises:
        ValueError: another line is no JSON object; says which.
    """
    path = Path(path)
    return list(_records(path)) if path.exists() else []


def lines_until(path: str | os.PathLike[str], step: int) -> list[dict[str, Any]]:
    """What a run had written when it went on from ``step``.

    Not among it: a line that was cut off, lines of later steps, and the closing line (``"final": true``) of a run that
    had come to its end and now goes on; nor what a power cut has made of the lines after ``step``.

    Raises:
        ValueError: a line is no JSON object, and there is none of ``step`` before it.
    """
    path = Path(path)
    kept: list[dict[str, Any]] = []
    try:
        for record in _records(path) if path.exists() else ():
            if record.get("step", 0) > step or record.get("final"):
                break
            kept.append(record)
    except ValueError:
        if not kept or kept[-1].get("step", 0) < step:
            raise
    return kept


def cut_lines(path: str | os.PathLike[str], step: int) -> list[dict[str, Any]]:
    """Cut the file to its `lines_until` a step, and return them."""
    path = Path(path)
    kept = lines_until(path, step)
    if path.exists():
        os.truncate(path, sum(len(line) for line in _whole_lines(path)[: len(kept)]))
    return kept


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of the whole lines, one after the other; raises at one that is none."""
    for number, line in enumerate(_whole_lines(path), 1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{path}, line {number} is not JSON: {error}; take that line out to go on") from None
        if not isinstance(record, dict):
            raise ValueError(f"{path}, line {number} is not a JSON object: {line[:40]!r}; take that line out to go on")
        yield record


def _whole_lines(path: Path) -> list[bytes]:
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
