"""A checkpoint: a tree of plain data and arrays in one safetensors file.

The arrays are the file's tensors, named by their way through the tree (``model/transformer.wte.weight``), so that any
reader of safetensors finds them. The rest of the tree is JSON in the file's metadata, under ``gdengine``, with a
reference where an array stood. Nothing in the file is executed when it is read.
"""

import json
import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..device import to_host

FORMAT = 1  # of the JSON document; a reader refuses what is later than itself
SUFFIX = ".safetensors"
_KEEP = 2  # checkpoints of a run that stay: the newest, and the one before it
_REFERENCE = "$tensor"


class CheckpointError(ValueError):
    """A file that is no checkpoint, or no whole one, or one of a later version."""


def save(path: str | os.PathLike[str], tree: Mapping[str, Any]) -> None:
    """Write a tree of dicts with text keys, lists, text, numbers, bools, None and arrays, NumPy's or CuPy's.

    The file comes into being whole or not at all: written under a temporary name, brought to the disk, renamed.

    Raises:
        TypeError: something else is in the tree, or two arrays whose ways through it read the same
            (``{"a": {"b": x}, "a/b": y}``); says where.
        OSError: the disk is full, the folder may not be written to, …; a file that was there is still there.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    path = Path(path)
    tensors: dict[str, np.ndarray] = {}
    document = {"format": FORMAT, "versions": _versions(), "tree": _without_arrays(tree, "", tensors)}
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # what the umask makes of it; save_file would let nobody else read the file
        save_file(tensors, temporary, metadata={"gdengine": json.dumps(document)})
        temporary.chmod(mode)
        _sync(temporary)
        os.replace(temporary, path)
    except SafetensorError as error:
        raise OSError(f"{path} could not be written: {error}") from error
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    _sync(path.parent)


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The tree that `save` wrote (tuples having become lists).

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is no checkpoint of gdengine, or damaged, or of a later format.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from None
    if "gdengine" not in metadata:
        raise CheckpointError(f"{path} is a safetensors file, but no checkpoint: its metadata has no entry 'gdengine'")
    try:
        document = json.loads(metadata["gdengine"])
        version, tree = document["format"], document["tree"]
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path} is damaged: its metadata cannot be read ({error!r})") from None
    if not isinstance(version, int) or version > FORMAT:
        raise CheckpointError(f"{path} has format {version}, and this gdengine reads up to {FORMAT}: update gdengine")
    return _with_arrays(tree, tensors, path)


def path_for(folder: str | os.PathLike[str], step: int) -> Path:
    """Where the checkpoint of a step lies in a folder of checkpoints."""
    return Path(folder) / f"{step:08d}{SUFFIX}"


def newest(folder: str | os.PathLike[str]) -> Path | None:
    """The checkpoint of the latest step in a folder of checkpoints; None if there is none."""
    found = _all(folder)
    return found[-1] if found else None


def remove_old(folder: str | os.PathLike[str]) -> None:
    """Remove all checkpoints of a folder but the newest two."""
    for path in _all(folder)[:-_KEEP]:
        path.unlink()


def _all(folder: str | os.PathLike[str]) -> list[Path]:
    paths = [path for path in Path(folder).glob(f"*{SUFFIX}") if path.stem.isdecimal()]
    return sorted(paths, key=lambda path: int(path.stem))


def _without_arrays(value: Any, way: str, tensors: dict[str, np.ndarray]) -> Any:
    """``value`` with a reference in place of each array, which goes into ``tensors``."""
    value = to_host(value)
    if isinstance(value, np.ndarray):
        if way in tensors:
            raise TypeError(
                f"two arrays of the checkpoint would both be named {way!r}: give one of the keys another name"
            )
        tensors[way] = np.asarray(value, order="C")
        return {_REFERENCE: way}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (list, tuple)):
        return [_without_arrays(part, _further(way, str(i)), tensors) for i, part in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or key == _REFERENCE:
                raise TypeError(f"a checkpoint's keys are text other than {_REFERENCE!r}, got {key!r} in {way or 'it'}")
        return {key: _without_arrays(part, _further(way, key), tensors) for key, part in value.items()}
    raise TypeError(
        f"a checkpoint holds dicts, lists, text, numbers, bools, None and NumPy arrays; "
        f"{way or 'it'} is of type {type(value).__name__}"
    )


def _further(way: str, key: str) -> str:
    return f"{way}/{key}" if way else key


def _with_arrays(value: Any, tensors: Mapping[str, np.ndarray], path: Path) -> Any:
    if isinstance(value, list):
        return [_with_arrays(part, tensors, path) for part in value]
    if not isinstance(value, dict):
        return value
    if _REFERENCE not in value:
        return {key: _with_arrays(part, tensors, path) for key, part in value.items()}
    name = value[_REFERENCE]
    if name not in tensors:
        raise CheckpointError(f"{path} is damaged: it names a tensor {name!r} that it does not hold")
    return tensors[name]


def _versions() -> dict[str, str]:
    from .. import __version__

    return {"gdengine": __version__, "python": platform.python_version(), "numpy": np.__version__}


def _sync(path: Path) -> None:
    """Return when the file, or the folder's list of names, is on the disk."""
    if path.is_dir() and os.name == "nt":  # Windows opens no folders, and keeps their names itself
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
