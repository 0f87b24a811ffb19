"""Cubins: compiled by NVRTC, kept on disk, and read for what they hold.

A cubin is kept under a name that covers the source, all that it includes, the options and the compiler's version; so
nothing stale is ever loaded, and nothing is compiled twice.
"""

import contextlib
import hashlib
import os
import re
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from . import nvrtc
from .cuda_source import KERNELS, Source


@dataclass(frozen=True)
class Usage:
    """What one kernel takes of a multiprocessor, as the assembler reports it: bytes, but for the registers."""

    registers: int
    spill_stores: int
    spill_loads: int
    stack: int
    shared: int


def options(architecture: str) -> list[str]:
    """The compiler's options; -v makes it report what each kernel uses."""
    included = [f"-I{path}" for path in (KERNELS, *nvrtc.include_folders())]
    return [f"-arch={architecture}", "--std=c++17", "-lineinfo", "--ptxas-options=-v", *included]


def cubin(source: Source, architecture: str) -> Path:
    """The compiled source, from the cache or fresh.

    Raises:
        CompileError: it does not compile.
        ImportError: there is no compiler.
        OSError: no folder can be written to.
    """
    path = folder() / f"{source.name.replace('/', '.')}.{architecture}.{_key(source, architecture)}.cubin"
    if not path.exists():
        compiled = nvrtc.compile_source(source.text, str(source.path), options(architecture))
        _write(path.with_suffix(".log"), compiled.log.encode())
        _write(path, compiled.cubin)
    return path


def usage(source: Source, architecture: str) -> dict[str, Usage]:
    """What each kernel of the source uses on that architecture."""
    log = cubin(source, architecture).with_suffix(".log").read_text()
    found = {}
    for part in log.split("Compiling entry function '")[1:]:
        numbers = {
            "registers": r"Used (\d+) registers",
            "spill_stores": r"(\d+) bytes spill stores",
            "spill_loads": r"(\d+) bytes spill loads",
            "stack": r"(\d+) bytes stack frame",
            "shared": r"(\d+) bytes smem",
        }
        values = {name: re.search(pattern, part) for name, pattern in numbers.items()}
        found[part.split("'")[0]] = Usage(**{name: int(match[1]) if match else 0 for name, match in values.items()})
    return found


def entry_symbols(elf: bytes) -> set[str]:
    """The names of the kernels in a cubin: the global functions of its symbol table (ELF-64, little-endian)."""
    (table,) = struct.unpack_from("<Q", elf, 40)
    size, count = struct.unpack_from("<HH", elf, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", elf, table + i * size) for i in range(count)]
    names: set[str] = set()
    for _, kind, _, _, offset, length, link, _, _, entry in sections:
        if kind != 2:  # SHT_SYMTAB
            continue
        strings = sections[link][4]
        for at in range(offset, offset + length, entry):
            name, info = struct.unpack_from("<IB", elf, at)
            if info == 0x12:  # STB_GLOBAL, STT_FUNC
                names.add(elf[strings + name : elf.index(b"\0", strings + name)].decode())
    return names


@cache
def folder() -> Path:
    """The first that can be written of: ``$GDENGINE_CACHE_DIR``, the user's cache, a private temporary folder."""
    for path in _places():
        with contextlib.suppress(OSError):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=path).close()
            return path
    return Path(tempfile.mkdtemp(prefix="gdengine-"))


def _places() -> Iterator[Path]:
    if asked := os.environ.get("GDENGINE_CACHE_DIR"):
        yield Path(asked) / "cubins"
    if home := os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA"):
        yield Path(home) / "gdengine" / "cubins"
    with contextlib.suppress(RuntimeError):  # no home directory
        yield Path.home() / ".cache" / "gdengine" / "cubins"


def _key(source: Source, architecture: str) -> str:
    described = [source.digest, *options(architecture), str(nvrtc.version())]
    return hashlib.sha256("\0".join(described).encode()).hexdigest()[:24]


def _write(path: Path, content: bytes) -> None:
    """All at once, so that another process never sees half a file."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    os.replace(file.name, path)
