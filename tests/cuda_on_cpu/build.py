"""Compile a .cu file for the CPU: a shared library that ctypes loads, kept in a cache by content."""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from gdengine.kernels.common import nvrtc
from gdengine.kernels.common.cuda_source import find_include

HOST = Path(__file__).resolve().parent / "host"
COMMON = ("-std=c++17", "-fPIC", "-Wall", "-Wno-unknown-pragmas", "-Wno-unused")
# uninitialised variables get a pattern that is no small number
KERNEL = ("-O1", "-ftrivial-auto-var-init=pattern")
LINKED = ("-shared", "-Wl,-Bsymbolic")
# where no sanitizer does it: a misaligned access is an illegal instruction, which the emulator reports
ALIGNMENT = ("-g0", "-fsanitize=alignment", "-fsanitize-undefined-trap-on-error")
# no loop of the emulator may become a memcpy, which a sanitizer would intercept
RUNTIME = ("-g", "-O2", "-fno-tree-loop-distribute-patterns")
SANITIZERS = {
    "address": ("-g", "-fsanitize=address"),
    "undefined": ("-g", "-fsanitize=undefined", "-fno-sanitize=vptr", "-fno-sanitize-recover=all"),
    "thread": ("-g", "-fsanitize=thread"),
}


class BuildError(RuntimeError):
    """g++ refused a source."""


@cache
def why_not() -> str:
    """Why kernels cannot be executed on this machine; empty when they can."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "running CUDA sources on the CPU needs Linux on x86-64 (threads are fibers switched in its assembly)"
    if shutil.which("g++") is None:
        return "running CUDA sources on the CPU needs g++"
    try:
        folder, *_ = nvrtc.include_folders()
    except ImportError as error:
        return f"running CUDA sources on the CPU needs NVIDIA's headers: {error}"
    if not (folder / "crt" / "host_defines.h").exists():  # which NVRTC does without
        return f"running CUDA sources on the CPU needs crt/host_defines.h in {folder}: pip install nvidia-cuda-crt"
    return ""


def library(source: Path, sanitizer: str = "") -> Path:
    """The path of ``source`` compiled for the CPU.

    Raises:
        BuildError: g++'s messages.
    """
    text = translate(source)
    compiled = (*COMMON, *KERNEL, *SANITIZERS.get(sanitizer, ALIGNMENT))
    linked = (*LINKED, str(emulator()))
    path = folder() / f"{source.stem}.{_digest(text, _host_digest(), _compiler(), *compiled, *linked)}.so"
    if not path.exists():
        with tempfile.NamedTemporaryFile("w", suffix=".cpp", dir=folder()) as translated:
            translated.write(text)
            translated.flush()
            _build(path, "-include", str(_header(compiled)), *_folders(), translated.name, *compiled, *linked)
    return path


@cache
def _header(flags: tuple[str, ...]) -> Path:
    """What to include for cuda_host.h as g++ has parsed it, once for all sources: PATH, where PATH.gch lies."""
    path = folder() / f"cuda_host.{_digest(_host_digest(), _compiler(), *flags)}.h"
    parsed = path.with_name(f"{path.name}.gch")
    if not parsed.exists():
        _build(parsed, "-x", "c++-header", str(HOST / "cuda_host.h"), *_folders(), *flags)
    return path


@cache
def emulator() -> Path:
    """The emulator's library: compiled once, never instrumented, shared by all kernels' libraries."""
    flags = (*COMMON, *RUNTIME, "-shared")
    path = folder() / f"emulator.{_digest(_host_digest(), _compiler(), *flags)}.so"
    if not path.exists():
        sources = (str(source) for source in sorted((HOST / "runtime").glob("*.cpp")))
        _build(path, *flags, *_folders(), *sources)
    return path


_ENTRY = re.compile(r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\(')
_ALIGN = r"(?:(?:__align__|alignas)\s*\((?P<align>[^)]*)\)\s*)?"
_DYNAMIC = re.compile(rf"\bextern\s+__shared__\s+{_ALIGN}(?P<type>[\w:<>, ]+?)\s+(?P<name>\w+)\s*\[\s*\]\s*;")
_STATIC = re.compile(rf"\b__shared__\s+{_ALIGN}(?P<type>[\w:<>, ]+?)\s+(?P<name>\w+)\s*(?P<size>(?:\[[^\]]*\])*)\s*;")


replaced: dict[Path, str] = {}
"""Texts to read instead of files': what mutations.py changes."""


def translate(source: Path) -> str:
    """The source as g++ takes it: includes expanded, shared memory rewritten, an `ENTRY` for each kernel."""
    text = _expand(source.resolve(), set())
    text = _DYNAMIC.sub(r"typedef \g<type> Shared_\g<name>; DYNAMIC_SHARED_VARIABLE(\g<name>);", text)
    text = _STATIC.sub(_static, text)
    return text + '\n#line 1 "entries"\n' + "".join(f"ENTRY({name})\n" for name in _ENTRY.findall(text))


def _static(match: re.Match) -> str:
    aligned = f" __attribute__((aligned({match['align']})))" if match["align"] else ""
    return f"typedef {match['type']} Shared_{match['name']}{match['size']}{aligned}; SHARED_VARIABLE({match['name']});"


def _expand(path: Path, seen: set[Path]) -> str:
    seen.add(path)
    lines = [f'#line 1 "{path}"']
    for number, line in enumerate(replaced.get(path, path.read_text()).splitlines(), 1):
        if match := re.match(r'\s*#\s*include\s+"([^"]+)"', line):
            included = find_include(match[1], path)
            if included not in seen:
                lines.append(_expand(included, seen))
            lines.append(f'#line {number + 1} "{path}"')
        else:
            lines.append("" if line.strip() == "#pragma once" else line)
    return "\n".join(lines)


@cache
def folder() -> Path:
    """Where libraries are kept: ``$GDENGINE_TEST_CACHE``, or a private folder among the temporary ones."""
    path = Path(os.environ.get("GDENGINE_TEST_CACHE") or Path(tempfile.gettempdir()) / f"cuda-on-cpu-{os.getuid()}")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.stat()
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        return Path(tempfile.mkdtemp(prefix="cuda-on-cpu-"))
    return path


def _folders() -> tuple[str, ...]:
    """Where to look for headers."""
    return (f"-I{HOST}", *(f"-isystem{path}" for path in nvrtc.include_folders()))


def _build(path: Path, *arguments: str) -> None:
    """g++'s result under ``path``, all at once, so that another process never sees half a file."""
    with tempfile.TemporaryDirectory(dir=path.parent) as work:
        fresh = Path(work) / path.name
        done = subprocess.run(("g++", *arguments, "-o", str(fresh)), capture_output=True, text=True, check=False)
        if done.returncode:
            raise BuildError(done.stderr[:6000])
        os.replace(fresh, path)


@cache
def _compiler() -> str:
    return subprocess.run(("g++", "-v"), capture_output=True, text=True, check=True).stderr


@cache
def _host_digest() -> str:
    files = sorted((*HOST.glob("*.h"), *HOST.glob("runtime/*")))
    return _digest(*(path.read_text() for path in files if path.is_file()), *map(str, nvrtc.include_folders()))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]
