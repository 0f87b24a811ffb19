"""Where compiled kernels are kept between runs.

Numba's own cache looks only at the file that a function stands in, and would go on serving a kernel compiled with an
older version of what it calls from another file. Here every kernel's stamp covers the sources of all of them. Loading
all kernels takes 0.4 s, compiling them takes 18 s.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from numba.core.caching import CompileResultCacheImpl, FunctionCache, NullCache

from . import garbage
from .compiling import announce

KERNELS = Path(__file__).resolve().parent.parent

# The files of this folder that kernels are compiled from, besides every operation's ``cpu.py``.
COMPILED = ("exp", "jit", "launch", "parts", "pieces", "row_blocks", "rows", "sgemm", "tile")


def attach(dispatcher: Any, worker: Callable) -> None:
    """Let ``dispatcher``, the compiled form of ``worker``, load from the cache, save to it, and say if it compiles."""
    dispatcher._cache = cache_of(worker)


def cache_of(worker: Callable) -> Any:
    """Where the compiled form of ``worker`` is loaded from and saved to; it says if it is compiled."""
    return _NoCache(worker) if folder() is None else _Cache(worker)


@cache
def folder() -> Path | None:
    """The first that can be written of: ``$NUMBA_CACHE_DIR``, the package's own ``__pycache__``, the user's cache, a
    private folder among the temporary ones. None where there is no such place: then every run compiles."""
    for path in _places():
        with contextlib.suppress(OSError):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=path).close()
            return path
    return None


def _places() -> Iterator[Path]:
    if asked := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(asked) / "gdengine"
    yield KERNELS / "__pycache__"
    if home := os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA"):
        yield Path(home) / "gdengine"
    with contextlib.suppress(RuntimeError):  # no home directory
        yield Path.home() / ".cache" / "gdengine"
    temporary = Path(tempfile.gettempdir()) / f"gdengine-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    if _is_private(temporary):
        yield temporary


def _is_private(path: Path) -> bool:
    """Whether nobody else can have put code into ``path``, a name that anybody could guess."""
    with contextlib.suppress(OSError):
        path.mkdir(mode=0o700)
    if not hasattr(os, "getuid"):  # Windows: the temporary folder is the user's own
        return path.is_dir()
    try:
        status = path.lstat()
    except OSError:
        return False
    return path.is_dir() and not path.is_symlink() and status.st_uid == os.getuid() and not status.st_mode & 0o022


@cache
def _sources() -> str:
    """A digest of every source that can be compiled into a kernel."""
    digest = hashlib.sha256()
    toolbox = [KERNELS / "common" / f"{name}.py" for name in COMPILED]
    for path in (*toolbox, *sorted(KERNELS.glob("*/cpu.py"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()


class _Locator:
    """What Numba asks about a function: where its compiled form lies, and when it is stale."""

    def __init__(self, worker: Callable) -> None:
        self._worker = worker

    @classmethod
    def from_function(cls, py_func: Callable, py_file: str) -> "_Locator":
        return cls(py_func)

    def ensure_cache_path(self) -> None:
        Path(self.get_cache_path()).mkdir(parents=True, exist_ok=True)

    def get_cache_path(self) -> str:
        return str(folder())

    def get_source_stamp(self) -> str:
        return _sources()

    def get_disambiguator(self) -> str:
        return self._worker.__module__


class _Files(CompileResultCacheImpl):
    _locator_classes = (_Locator,)


class _Cache(FunctionCache):
    _impl_class = _Files

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        with garbage.kept():
            loaded = super().load_overload(sig, target_context)
        if loaded is None:
            announce(title(self._py_func))
        return loaded

    def save_overload(self, sig: Any, data: Any) -> None:
        with contextlib.suppress(OSError):  # a full disk costs the cache, not the run
            super().save_overload(sig, data)


class _NoCache(NullCache):
    def __init__(self, worker: Callable) -> None:
        self._worker = worker

    def load_overload(self, sig: Any, target_context: Any) -> None:
        announce(title(self._worker))


def title(worker: Callable) -> str:
    """``linear.forward`` for the worker ``_forward`` in ``linear/cpu.py``; ``sgemm.product`` in ``common/sgemm.py``."""
    *_, folder_name, file = worker.__module__.split(".")
    return f"{file if folder_name == 'common' else folder_name}.{worker.__name__.lstrip('_')}"
