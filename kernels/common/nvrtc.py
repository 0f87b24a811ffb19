"""NVRTC, NVIDIA's compiler as a library, through ctypes; from a wheel or from an installed CUDA toolkit.

It needs neither a driver nor a GPU, so every kernel can be compiled anywhere.
"""

import contextlib
import ctypes
import ctypes.util
import os
import site
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


class CompileError(RuntimeError):
    """NVRTC refused a source; the message is the compiler's own."""


@dataclass(frozen=True)
class Compiled:
    """A cubin (an ELF file) and what the compiler said about it."""

    cubin: bytes
    log: str


@cache
def library() -> Any:
    """The loaded library.

    Raises:
        ImportError: there is none; the message says which package brings it.
    """
    tried = [str(path) for path in _candidates()]
    for path in tried:
        try:
            _load_builtins(Path(path).parent)
            return ctypes.CDLL(path)
        except OSError:
            continue
    raise ImportError(
        "NVRTC was not found (looked in the wheels nvidia-cuda-nvrtc, in $CUDA_HOME and among the system's libraries): "
        "pip install 'gdengine[cuda13]', or set CUDA_HOME to an installed toolkit"
    )


def _load_builtins(folder: Path) -> None:
    """Load what NVRTC asks for by its name alone when it first compiles, and finds only where it was loaded before.

    (Of the wheels, 13.0's says nowhere that it lies beside it.)
    """
    for path in sorted(folder.glob("libnvrtc-builtins.so.[0-9]*")):
        with contextlib.suppress(OSError):
            ctypes.CDLL(str(path))


@cache
def include_folders() -> tuple[Path, ...]:
    """Where NVIDIA's headers lie.

    Raises:
        ImportError: nowhere; the message says which packages bring them.
    """
    folders = [folder for root in _roots() for folder in root.glob("include") if (folder / "cuda_bf16.h").exists()]
    if not folders:
        raise ImportError(
            "NVIDIA's headers (cuda_bf16.h) were not found: pip install 'gdengine[cuda13]', or set CUDA_HOME"
        )
    folder = folders[0]
    return tuple(path for path in (folder, folder / "cccl") if path.is_dir())


@cache
def version() -> tuple[int, int]:
    """The compiler's version, such as (13, 0)."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _check(library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)), "nvrtcVersion")
    return major.value, minor.value


def compile_source(text: str, name: str, options: Sequence[str]) -> Compiled:
    """The cubin of ``text``; ``name`` is for messages.

    Raises:
        CompileError: with the compiler's messages.
    """
    nvrtc = library()
    program = ctypes.c_void_p()
    _check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), name.encode(), 0, None, None), name)
    try:
        encoded = [option.encode() for option in options]
        status = nvrtc.nvrtcCompileProgram(program, len(encoded), (ctypes.c_char_p * len(encoded))(*encoded))
        log = _bytes(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program).rstrip(b"\0").decode()
        if status:
            raise CompileError(f"{name} does not compile with {' '.join(options)}:\n{log}")
        return Compiled(_bytes(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN, program), log)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _bytes(size_of: Any, read: Any, program: Any) -> bytes:
    size = ctypes.c_size_t()
    _check(size_of(program, ctypes.byref(size)), size_of.__name__)
    buffer = ctypes.create_string_buffer(size.value)
    _check(read(program, buffer), read.__name__)
    return buffer.raw


def _check(status: int, what: str) -> None:
    if status:
        nvrtc = library()
        nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
        raise CompileError(f"NVRTC: {what}: {nvrtc.nvrtcGetErrorString(status).decode()}")


def _roots() -> Iterator[Path]:
    """Folders that may hold ``include`` and ``lib``: the wheels' (CUDA 13, then 12), then toolkits."""
    for packages in dict.fromkeys((*site.getsitepackages(), site.getusersitepackages(), *sys.path)):
        yield from sorted((Path(packages) / "nvidia").glob("cu[0-9]*"), reverse=True)
        yield from (Path(packages) / "nvidia" / part for part in ("cuda_nvrtc", "cuda_runtime"))
    for variable in ("CUDA_HOME", "CUDA_PATH"):
        if value := os.environ.get(variable):
            yield Path(value)
    yield Path("/usr/local/cuda")


def _candidates() -> Iterator[Path | str]:
    for root in _roots():
        for folder in ("lib", "lib64", "bin"):
            yield from sorted(root.glob(f"{folder}/libnvrtc.so.[0-9]*"))
            yield from sorted(root.glob(f"{folder}/nvrtc64_*_0.dll"))
    if found := ctypes.util.find_library("nvrtc"):
        yield found
