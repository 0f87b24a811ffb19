"""The text files that a corpus is made of, in an order that is the same everywhere."""

import glob
import os
import sysconfig
from collections.abc import Sequence, Set
from pathlib import Path
from typing import NamedTuple

# Of the standard library: what is installed into it, what tests it, the documentation (a corpus of its own), and what
# was written by the machine that built it.
_NOT_SOURCES = {"site-packages", "dist-packages", "test", "tests", "idle_test", "pydoc_data"}
_BUILT = ("_sysconfigdata", "config-")


class TextFile(NamedTuple):
    """A file of a corpus.

    Attributes:
        name: its way from the corpus's folder, with slashes: what its place in the order comes from.
        path: where it lies.
    """

    name: str
    path: Path


def find_files(inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[TextFile]:
    """The files of a corpus: of a file, a folder, a pattern (``notes/**/*.md``), or several of them one after another.

    The files of a folder or a pattern come in the order of their names, part by part, by code point. Left out are
    files and folders whose name begins with a dot, ``__pycache__``, and files with nothing in them.

    Raises:
        FileNotFoundError: there is nothing of that name, or no file in it.
    """
    given = [inputs] if isinstance(inputs, (str, os.PathLike)) else list(inputs)
    if not given:
        raise FileNotFoundError("a corpus needs a file, a folder or a pattern, and none was given")
    return [file for each in given for file in _found(os.fspath(each))]


def stdlib_files() -> list[TextFile]:
    """The sources of the standard library of the Python that runs this: about 700 files, 11 million characters.

    Without its tests, what is installed in ``site-packages``, the documentation that it carries, and what was made by
    the machine that built it: one release of Python, one text, wherever it is installed whole.

    Raises:
        FileNotFoundError: this Python carries no sources.
    """
    root = Path(sysconfig.get_path("stdlib"))
    files = [file for file in _in_folder(root, _NOT_SOURCES) if file.name.endswith(".py")]
    files = [file for file in files if not file.name.startswith(_BUILT)]
    if not files:
        raise FileNotFoundError(f"this Python carries no sources of its standard library in {root}")
    return files


def _found(name: str) -> list[TextFile]:
    path = Path(name)
    if path.is_file():
        return [TextFile(path.name, path)]
    if path.is_dir():
        files, what = _in_folder(path), f"the folder {name} holds no text"
    elif glob.has_magic(name):
        files, what = _by_pattern(name), f"no file with anything in it fits the pattern {name}"
    else:
        raise FileNotFoundError(f"there is no file, folder or pattern {name!r}")
    if not files:
        raise FileNotFoundError(f"{what}; name another folder, or a pattern such as 'notes/**/*.txt'")
    return files


def _in_folder(folder: Path, without: Set[str] = frozenset()) -> list[TextFile]:
    paths = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not _is_hidden(name) and name not in without]
        paths += [Path(parent, name) for name in names if not _is_hidden(name)]
    return _ordered([TextFile(path.relative_to(folder).as_posix(), path) for path in paths])


def _by_pattern(pattern: str) -> list[TextFile]:
    return _ordered([TextFile(Path(found).as_posix(), Path(found)) for found in glob.glob(pattern, recursive=True)])


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__"


def _ordered(files: list[TextFile]) -> list[TextFile]:
    kept = [file for file in files if file.path.is_file() and file.path.stat().st_size]
    return sorted(kept, key=lambda file: file.name.split("/"))
