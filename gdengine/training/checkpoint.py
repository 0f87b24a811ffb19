"""A checkpoint: a tree of plain data and arrays in one safetensors file.

The arrays are the file's tensors, named by their way through the tree (``model/transformer.wte.weight``), so that any
reader of safetensors finds them. The rest of the tree is JSON in the file's metadata, under ``gdengine``, with a
reference where an array stood. Nothing in the file is executed when it is read.

That JSON also says of every tensor its dtype, its shape and the checksum of its bytes, and the metadata's ``checksum``
is that of the JSON (XXH3, 128 bits). So a file in which anything was changed is refused, or holds what it held.

=======  =======================================================================
Format   What is new in it
=======  =======================================================================
1        no checksums
2        checksums of all tensors and of the JSON; a note on what it is worth
=======  =======================================================================
"""

import json
import os
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from ..device import to_host
from .whole import write_whole

FORMAT = 2  # a reader refuses what is later than itself
SUFFIX = ".safetensors"
_REFERENCE = "$tensor"
_BYTES_AT_ONCE = 4 << 20
_LONGEST_HEADER = 100_000_000  # safetensors' own limit
_DTYPES = {
    "F64": np.dtype(np.float64),
    "I64": np.dtype(np.int64),
    "U64": np.dtype(np.uint64),
    "F32": np.dtype(np.float32),
    "I32": np.dtype(np.int32),
    "U32": np.dtype(np.uint32),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F16": np.dtype(np.float16),
    "I16": np.dtype(np.int16),
    "U16": np.dtype(np.uint16),
    "I8": np.dtype(np.int8),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


class CheckpointError(ValueError):
    """A file that is no checkpoint, or no whole one, or one of a later version."""


class Snapshot:
    """A tree as it is at this moment: later changes of its arrays do not reach it, and it can be written at leisure.

    Args:
        tree: dicts with text keys, lists, text, numbers, bools, None and arrays, NumPy's or CuPy's.
        note: plain data about it, to be read without the rest (see `describe`).
        buffer: bytes to hold the copy in, such as an older snapshot's; taken if they are just as many as are needed.

    Raises:
        TypeError: something else is in the tree, or two arrays whose ways through it read the same
            (``{"a": {"b": x}, "a/b": y}``); says where.
    """

    def __init__(self, tree: Mapping[str, Any], note: Mapping[str, Any] | None = None, buffer: Any = None):
        arrays: dict[str, np.ndarray] = {}
        self._document = {
            "format": FORMAT,
            "versions": _versions(),
            "note": dict(note or {}),
            "tree": _without_arrays(tree, "", arrays),
        }
        # From wide to narrow, as every writer of safetensors does, so that all begin on multiples of their width.
        order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
        size = sum(arrays[name].nbytes for name in order)
        self.buffer = buffer if buffer is not None and buffer.size == size else np.empty(size, np.uint8)
        self._places: dict[str, tuple[str, tuple[int, ...], int, int]] = {}
        start = 0
        for name in order:
            array = arrays[name]
            stop = start + array.nbytes
            self.buffer[start:stop].view(array.dtype).reshape(array.shape)[...] = array
            self._places[name] = (_NAMES[array.dtype], array.shape, start, stop)
            start = stop

    def write(self, path: str | os.PathLike[str]) -> int:
        """Write it, as one file that comes into being whole or not at all; returns its size in bytes.

        Only bytes are copied and summed here: any thread may do it.

        Raises:
            OSError: the disk is full, the folder may not be written to, …; a file that was there is still there.
        """
        return write_whole(path, self._chunks())

    def _chunks(self) -> Iterator[Any]:
        memory = self.buffer.data
        sums = {name: checksum(memory[start:stop]) for name, (_, _, start, stop) in self._places.items()}
        tensors = {name: [kind, list(shape), sums[name]] for name, (kind, shape, _, _) in self._places.items()}
        document = json.dumps({**self._document, "tensors": tensors})
        header: dict[str, Any] = {"__metadata__": {"gdengine": document, "checksum": checksum(document.encode())}}
        for name, (kind, shape, start, stop) in self._places.items():
            header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [start, stop]}
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        yield len(text).to_bytes(8, "little") + text
        for start in range(0, len(memory), _BYTES_AT_ONCE):
            yield memory[start : start + _BYTES_AT_ONCE]


def save(path: str | os.PathLike[str], tree: Mapping[str, Any], note: Mapping[str, Any] | None = None) -> int:
    """Write a tree; returns the file's size in bytes. Arguments and errors as `Snapshot` and its ``write``."""
    return Snapshot(tree, note).write(path)


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The tree that `save` wrote (tuples having become lists), every byte of it checked.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is no checkpoint of gdengine, or damaged, or of a later format.
    """
    path = Path(path)
    header, document, begin = _opened(path)
    tensors = dict(_tensors(path, header, begin))
    if document["format"] >= 2:
        _check_tensors(path, tensors, document)
    try:
        tree = _with_arrays(document["tree"], tensors, path)
    except RecursionError:
        raise CheckpointError(f"{path} is damaged: its tree is nested too deeply") from None
    return tree


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a checkpoint says of itself, without its tensors being read: ``{"format", "versions", "note", "tensors"}``.

    ``tensors`` holds name: ``(dtype, shape)``. Raises as `load` does, but for damage among the tensors' bytes.
    """
    path = Path(path)
    header, document, _ = _opened(path)
    tensors = {name: (entry["dtype"], tuple(entry["shape"])) for name, entry in header.items()}
    versions, note = document.get("versions", {}), document.get("note", {})
    return {"format": document["format"], "versions": versions, "note": note, "tensors": tensors}


def checksum(data: Any) -> str:
    """XXH3 of some bytes, 128 bits, in hexadecimal."""
    from xxhash import xxh3_128_hexdigest

    return str(xxh3_128_hexdigest(data))


def path_for(folder: str | os.PathLike[str], step: int) -> Path:
    """Where the checkpoint of a step lies in a folder of checkpoints."""
    return Path(folder) / f"{step:08d}{SUFFIX}"


def _opened(path: Path) -> tuple[dict[str, Any], dict[str, Any], int]:
    """The header without its metadata, the document, and where the tensors' bytes begin; checked but for those."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    try:
        with safe_open(path, framework="np"):  # lengths, offsets, overlaps, gaps, dtypes
            pass
        header, begin = _header(path)
    except (SafetensorError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from None
    metadata = header.pop("__metadata__", None) or {}
    if "gdengine" not in metadata:
        raise CheckpointError(f"{path} is a safetensors file, but no checkpoint: its metadata has no entry 'gdengine'")
    return header, _document(path, metadata), begin


def _header(path: Path) -> tuple[dict[str, Any], int]:
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > _LONGEST_HEADER:
            raise ValueError(f"its header would be {length} bytes long")
        header = json.loads(file.read(length), object_pairs_hook=_once_each)
    return header, 8 + length


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, in which a name comes once."""
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("its header has two entries of one name")
    return names


def _document(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        document = json.loads(metadata["gdengine"])
        version, _ = document["format"], document["tree"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: its metadata cannot be read ({error!r})") from None
    if type(version) is not int or not 1 <= version <= FORMAT:
        raise CheckpointError(f"{path} has format {version}, and this gdengine reads up to {FORMAT}: update gdengine")
    if version >= 2 and metadata.get("checksum") != checksum(metadata["gdengine"].encode("utf-8", "surrogatepass")):
        raise CheckpointError(f"{path} is damaged: the checksum of its metadata is another")
    return document


def _tensors(path: Path, header: Mapping[str, Any], begin: int) -> Iterator[tuple[str, np.ndarray]]:
    with open(path, "rb") as file:
        for name, entry in header.items():
            if entry["dtype"] not in _DTYPES:
                raise CheckpointError(f"{path}: the tensor {name!r} has dtype {entry['dtype']}, which NumPy has not")
            start, stop = entry["data_offsets"]
            try:
                array = np.empty(entry["shape"], _DTYPES[entry["dtype"]])
            except (ValueError, OverflowError) as error:
                raise CheckpointError(f"{path}: the tensor {name!r} cannot be: {error}") from None
            file.seek(begin + start)
            read = file.readinto(array.reshape(-1).view(np.uint8).data) if array.nbytes else 0
            if read != stop - start:
                raise CheckpointError(f"{path} is not a whole safetensors file: it ends within {name!r}")
            yield name, array


def _check_tensors(path: Path, tensors: Mapping[str, np.ndarray], document: Mapping[str, Any]) -> None:
    told = document.get("tensors")
    if not isinstance(told, dict) or told.keys() != tensors.keys():
        raise CheckpointError(f"{path} is damaged: it holds other tensors than its metadata says")
    for name, array in tensors.items():
        now = [_NAMES[array.dtype], list(array.shape), checksum(array.reshape(-1).view(np.uint8).data)]
        if told[name] != now:
            raise CheckpointError(f"{path} is damaged: the checksum of its tensor {name!r} is another")


def _without_arrays(value: Any, way: str, tensors: dict[str, np.ndarray]) -> Any:
    """``value`` with a reference in place of each array, which goes into ``tensors``."""
    value = to_host(value)
    if isinstance(value, np.ndarray):
        if way in tensors or way == "__metadata__":
            raise TypeError(
                f"two arrays of the checkpoint would both be named {way!r}: give one of the keys another name"
            )
        if value.dtype not in _NAMES:
            raise TypeError(f"a checkpoint's arrays are of {', '.join(map(str, _NAMES))}; {way} is of {value.dtype}")
        tensors[way] = value
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
    if not isinstance(name, str) or name not in tensors:
        raise CheckpointError(f"{path} is damaged: it names a tensor {name!r} that it does not hold")
    return tensors[name]


def _versions() -> dict[str, str]:
    from .. import __version__

    return {"gdengine": __version__, "python": platform.python_version(), "numpy": np.__version__}
