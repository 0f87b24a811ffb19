"""Text to learn from."""

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from .files import TextFile, find_files, stdlib_files

# A paragraph of fewer characters may come again: "Changed in version 3.8:" is how this text is written, and no copy.
_PASSAGE = 40

SEPARATOR = "\n\n\n"  # between documents, for a tokenizer that has no token for the end of a text


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
    return SEPARATOR.join(_new_paragraphs(topics[name] for name in sorted(topics)))


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
    text = decoded(raw, path)
    if not text.strip():
        raise ValueError(f"{path} is empty")
    return text


def decoded(raw: bytes, path: str | os.PathLike[str], offset: int = 0) -> str:
    r"""The bytes of a UTF-8 file from ``offset`` on as text: a byte-order mark dropped, every line end made ``\n``.

    Raises:
        ValueError: they are not UTF-8 (says at which byte of the file).
    """
    try:
        text = raw.decode("utf-8-sig" if offset == 0 else "utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 text: byte 0x{error.object[error.start]:02x} at offset {offset + error.start} "
            f"({error.reason}); convert it first: iconv -f latin1 -t utf-8 {path}; or, if it is no text, leave it out "
            "by a pattern: 'folder/**/*.txt'"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


class Document(NamedTuple):
    """A text with the name that it has in its corpus."""

    name: str
    text: str


def _python_docs() -> list[Document]:
    return [Document("python_docs", python_docs())]


def _stdlib() -> list[Document]:
    return _read(stdlib_files())


CORPORA: dict[str, Callable[[], list[Document]]] = {"python_docs": _python_docs, "stdlib": _stdlib}


def read_documents(name: str) -> list[Document]:
    """The documents of a corpus: one that comes along (``CORPORA``), a text file, a folder or a pattern of files.

    A file or folder that is called as one that comes along is ``./stdlib``. See `find_files` for the order, and
    `read_text` for how a file is read; of many, those with nothing but white space in them are left out.

    Raises:
        FileNotFoundError: there is none of that name; the message lists those that come along.
        ValueError: a file is not UTF-8; or all are empty.
    """
    if name in CORPORA:
        return CORPORA[name]()
    try:
        files = find_files(name)
    except FileNotFoundError as error:
        if os.path.exists(name):
            raise
        raise FileNotFoundError(f"{error}; the corpora that come along are: {', '.join(CORPORA)}") from None
    return [Document(files[0].name, read_text(files[0].path))] if len(files) == 1 else _read(files)


def read_corpus(name: str) -> str:
    """The text of a corpus as `read_documents` finds it, documents with two empty lines between them."""
    return SEPARATOR.join(document.text for document in read_documents(name))


def _read(files: Iterable[TextFile]) -> list[Document]:
    texts = ((file.name, decoded(file.path.read_bytes(), file.path)) for file in files)
    documents = [Document(name, text) for name, text in texts if text.strip()]
    if not documents:
        raise ValueError("all files of the corpus are empty")
    return documents


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
