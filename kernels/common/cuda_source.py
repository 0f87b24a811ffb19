"""A .cu file: its text, what it includes, and the kernels that it declares.

Every entry is written out (no macro makes one), so that its signature can be read from the text::

    extern "C" __global__ void __launch_bounds__(256) gelu_forward_f32(const float* __restrict__ x, …, long long n)
"""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

KERNELS = Path(__file__).resolve().parent.parent

_ENTRY = re.compile(
    r'^extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\(([^)]*)\)', re.MULTILINE
)
_PARAMETER = re.compile(
    r"(?P<const>const\s+)?(?:__grid_constant__\s+)?(?P<type>[\w\s]+?)\s*(?P<pointer>\*)?\s*(?:__restrict__\s+)?(?P<name>\w+)"
)
_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel: ``type`` is the C++ name, without the star of a pointer."""

    name: str
    type: str
    is_pointer: bool
    is_const: bool


@dataclass(frozen=True, eq=False)
class Kernel:
    """One entry of a source. There is one object for each, so that it can be looked up by identity."""

    source: "Source"
    name: str
    parameters: tuple[Parameter, ...]

    def __str__(self) -> str:
        return f"{self.source.name}:{self.name}"


class Source:
    """The .cu file ``name`` in the folder of the module ``beside`` (its ``__file__``); ``source["entry"]`` is a kernel.

    Local includes (``#include "common/…"``) are looked up from the kernels' folder.
    """

    def __init__(self, beside: str, name: str):
        self.path = Path(beside).resolve().parent / name
        self.name = f"{self.path.parent.name}/{name}"

    @cached_property
    def text(self) -> str:
        """The file's text."""
        return self.path.read_text()

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The file itself and all local files that it includes, directly or not."""
        found = [self.path]
        for path in found:
            included = (find_include(name, path) for name in _INCLUDE.findall(path.read_text()))
            found.extend(other for other in included if other not in found)
        return tuple(found)

    @cached_property
    def digest(self) -> str:
        """Changes when the file or anything that it includes does."""
        import hashlib  # it imports OpenSSL

        return hashlib.sha256(b"\0".join(path.read_bytes() for path in self.files)).hexdigest()

    @cached_property
    def kernels(self) -> dict[str, Kernel]:
        """The entries, by name."""
        return {
            name: Kernel(self, name, tuple(_parameter(text) for text in parameters.split(",")))
            for name, parameters in _ENTRY.findall(self.text)
        }

    def __getitem__(self, name: str) -> Kernel:
        if name not in self.kernels:
            raise KeyError(f"{self.name} has no kernel {name!r}; it has {', '.join(self.kernels)}")
        return self.kernels[name]

    @property
    def architectures(self) -> tuple[str, ...]:
        """What it can be compiled for: Hopper's own instructions exist on sm_90a alone."""
        if any(path.name == "hopper.cuh" for path in self.files):
            return ("sm_90a",)
        return ("sm_80", "sm_89", "sm_90a", "sm_100")


def find_include(name: str, includer: Path) -> Path:
    """The local file that ``#include "name"`` in ``includer`` means."""
    for folder in (includer.parent, KERNELS):
        if (folder / name).exists():
            return (folder / name).resolve()
    raise FileNotFoundError(f'{includer} includes "{name}", which is neither beside it nor in {KERNELS}')


def all_sources() -> list[Source]:
    """Every .cu file of every operation."""
    return [Source(str(path), path.name) for path in sorted(KERNELS.glob("*/*.cu"))]


def _parameter(text: str) -> Parameter:
    match = _PARAMETER.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"a kernel's parameter cannot be read: {text.strip()!r}")
    is_pointer = match["pointer"] is not None
    return Parameter(match["name"], " ".join(match["type"].split()), is_pointer, match["const"] is not None)
