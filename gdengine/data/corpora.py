"""Text to learn from."""

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

# A paragraph of fewer characters may come again: "Changed in version 3.8:" is how this text is written, and no copy.
_PASSAGE = 40


def python_docs() -> str:
    """The English documentation that this Python carries (`pydoc_data.topics`), each passage once.

    The topics overlap: "with", whole, is also a part of "compound", so that a fifth of the text stands there twice,
    and a model would be tested on what it was trained on. A paragraph that came before, word for word but for spaces
    and line ends, is left out: of 465,000 characters in Python 3.11, 377,000 stay; of 511,000 in Python 3.13, 419,000.
    Topics come in the order of their names: the same Python, the same text.

    Raises:
        FileNotFoundError: this Python was installed without `pydoc_data`.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise FileNotFoundError(
            "this Python was installed without pydoc_data.topics, the default corpus; "
            "train on a text file of your own: gdengine train --corpus FILE"
        ) from error
    return "\n\n\n".join(_new_paragraphs(topics[name] for name in sorted(topics)))


def read_text(path: str | os.PathLike[str]) -> str:
    r"""The text of a UTF-8 file, a byte-order mark dropped and every line end made ``\n``.

    Raises:
        FileNotFoundError, IsADirectoryError, PermissionError: there is no file to read.
        ValueError: the file is empty, or is not UTF-8 (says at which byte).
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; a corpus is one text file")
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {path}") from None
    except PermissionError:
        raise PermissionError(f"{path} may not be read: permission denied") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 text: byte 0x{raw[error.start]:02x} at offset {error.start} ({error.reason}); "
            f"convert it first: iconv -f latin1 -t utf-8 {path}"
        ) from None
    if not text.strip():
        raise ValueError(f"{path} is empty")
    return text.replace("\r\n", "\n").replace("\r", "\n")


CORPORA: dict[str, Callable[[], str]] = {"python_docs": python_docs}


def read_corpus(name: str) -> str:
    """A corpus by its name in ``CORPORA``, else the text file at that path (``./python_docs`` for a file of that name).

    Raises:
        FileNotFoundError: neither; the message lists the names.
    """
    if name in CORPORA:
        return CORPORA[name]()
    if not os.path.exists(name):
        raise FileNotFoundError(f"there is no file {name!r}, and the corpora that come along are: {', '.join(CORPORA)}")
    return read_text(name)


def _new_paragraphs(texts: Iterable[str]) -> Iterable[str]:
    """Each text without the paragraphs that came before, in it or in an earlier one; none that nothing is left of."""
    seen: set[str] = set()
    for text in texts:
        kept = []
        for paragraph in re.split(r"\n[ \t]*\n", text.strip("\n")):
            words = " ".join(paragraph.split())
            if words not in seen or len(words) < _PASSAGE:
                kept.append(paragraph)
            seen.add(words)
        if kept:
            yield "\n\n".join(kept)
