"""Files that come into being whole or not at all, whatever happens meanwhile: a crash, a power cut, a full disk."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

TEMPORARY = ".tmp"  # the ending of a file that is not whole yet


def write_whole(path: str | os.PathLike[str], chunks: Iterable[Any]) -> int:
    """Write the chunks (bytes) one after the other; returns how many bytes.

    Under a temporary name first; brought to the disk, renamed, and the folder's list of names brought to the disk.

    Raises:
        OSError: the disk is full, the folder may not be written to, …; a file that was there is still there.
    """
    path = Path(path)
    temporary = path.with_name(path.name + TEMPORARY)
    size = 0
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
        try:
            for chunk in chunks:
                size += write_all(descriptor, chunk)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)
    return size


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text in UTF-8.

    Raises:
        OSError: as `write_whole`; says what helps.
    """
    try:
        write_whole(path, [text.encode()])
    except OSError as error:
        advice = "See that the disk has room and the folder can be written to"
        raise explained(error, f"{path} could not be written", advice) from error


def write_all(descriptor: int, data: Any) -> int:
    """Write all bytes, in as many calls as it takes; returns how many they are."""
    view = memoryview(data)
    written = 0
    while written < len(view):
        written += os.write(descriptor, view[written:])
    return written


def sync_folder(path: Path) -> None:
    """Return when the folder's list of names is on the disk."""
    if os.name == "nt":  # Windows opens no folders, and keeps their names itself
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def explained(error: OSError, what: str, advice: str) -> OSError:
    """The same kind of error, saying what could not be done, why, and what helps."""
    return OSError(error.errno, f"{what}: {error.strerror or error}. {advice}", error.filename)
