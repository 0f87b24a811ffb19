"""What this installation of gdengine is made of, for people who ask, and for those who answer them."""

import contextlib
import importlib.metadata
import importlib.util
import os
import pkgutil
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .. import __version__, cuda, kernels
from ..kernels import dispatch
from ..kernels.threads import available_cores, get_num_threads

_PACKAGES = (
    "numpy",
    "numba",
    "ml_dtypes",
    "safetensors",
    "click",
    "tqdm",
    "tomli_w",
    "xxhash",
    "cupy",
    "matplotlib",
    "tokenizers",
    "sklearn",
)
# Where a package's distribution bears another name. (``packages_distributions()`` knows them, and reads a file of every
# package there is for it: a tenth of the way to a run's first step.)
_DISTRIBUTIONS = {"cupy": ("cupy-cuda13x", "cupy-cuda12x", "cupy"), "sklearn": ("scikit-learn",)}
_CACHES = ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA")  # variables that say where compiled kernels are kept


def environment() -> Iterator[tuple[str, str]]:
    """Names and values: versions, devices, threads, BLAS, and which kernels are in use and why."""
    yield "gdengine", f"{__version__} in {Path(__file__).resolve().parent.parent}"
    yield "Python", f"{platform.python_version()} on {platform.platform()}"
    for name in _PACKAGES:
        yield name, _version(name)
    yield "CPU", f"{_cpu()}, {available_cores()} cores for this process"
    if not cuda.is_available():
        yield "GPU", f"none: {cuda.why_not()}"
    for number in range(cuda.device_count()):
        with cuda.device(number):
            yield f"cuda:{number}", f"{cuda.get_device_name(number)}, {cuda.memory()}"
    yield "threads", str(get_num_threads())
    yield "BLAS", _blas()
    fused = ", ".join(_fused())
    if dispatch.choice() == "fused":
        yield "kernels", f"fused, compiled by Numba: {fused}"
        yield "products", _products()
        yield "cache", _cache()
    else:
        yield "kernels", f"NumPy reference, as {dispatch.why_reference()}"


def _version(package: str) -> str:
    for name in _DISTRIBUTIONS.get(package, (package,)):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
    return "not installed"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _blas() -> str:
    config = np.show_config(mode="dicts")
    library = config["Build Dependencies"]["blas"] if isinstance(config, dict) else {}
    name = f"{library.get('name', 'unknown')} {library.get('version', '')}".strip()
    return f"{name}, through numpy.matmul"


def _products() -> str:
    from ..kernels.common.tile import SHAPE

    return (
        f"in the kernels, tiles of {SHAPE.rows} rows and {SHAPE.columns} columns in registers of {SHAPE.width} floats"
    )


def _fused() -> list[str]:
    operations = [module.name for module in pkgutil.iter_modules(kernels.__path__) if module.ispkg]
    return [name for name in operations if importlib.util.find_spec(f"{kernels.__name__}.{name}.cpu")]


def _cache() -> str:
    """Where compiled kernels are kept, without a path of this machine: results of benchmarks are published with it."""
    from ..kernels.common.cache import KERNELS, folder

    path = folder()
    if path is None:
        return "none can be written: every run compiles anew"
    roots = {f"${name}": os.environ[name] for name in _CACHES if os.environ.get(name)}
    roots |= {"": str(KERNELS.parent), "~": os.path.expanduser("~"), "$TMPDIR": tempfile.gettempdir()}
    known = {name: root for name, root in roots.items() if root != os.sep}  # a home of those that have none
    within = [(name, path.relative_to(root)) for name, root in known.items() if path.is_relative_to(root)]
    return "/".join(filter(None, (within[0][0], within[0][1].as_posix()))) if within else path.name
