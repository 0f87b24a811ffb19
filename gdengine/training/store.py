"""A run's checkpoints: which there are, which stay, and the newest that is whole."""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .checkpoint import SUFFIX, CheckpointError, Snapshot, describe, load, path_for
from .whole import TEMPORARY, explained, write_whole

INDEX = "index.json"
DAMAGED = ".damaged"  # the ending that a checkpoint gets which turned out to be damaged, when the run goes on without


@dataclass(frozen=True)
class Entry:
    """One checkpoint.

    Attributes:
        step: of the run.
        path: the file.
        size: in bytes.
        note: what the trainer wrote about it: ``{"best": …, "val_loss": …}``; ``best`` says that it was better than
            all before.
        is_best: whether it is the last one that was.
    """

    step: int
    path: Path
    size: int
    note: Mapping[str, Any]
    is_best: bool = False


class Store:
    """A folder of checkpoints, one file a step, and ``index.json``, which lists them for others to read.

    What counts is the files: the index is made from them, and does without none of them. At most one checkpoint is in
    the making at a time.

    Args:
        folder: it need not be there yet.
        keep: how many of the newest stay; the best one stays besides.
    """

    def __init__(self, folder: str | os.PathLike[str], keep: int = 2):
        if keep < 1:
            raise ValueError(f"keep must be 1 or more, got {keep}")
        self.folder, self.keep = Path(folder), keep
        self._damaged: set[Path] = set()

    def paths(self) -> list[Path]:
        """The files, by step."""
        found = [path for path in self.folder.glob(f"*{SUFFIX}") if path.stem.isdecimal()]
        return sorted(found, key=lambda path: int(path.stem))

    def entries(self) -> list[Entry]:
        """The checkpoints, by step. One whose header cannot be read has an empty note."""
        indexed = self._indexed()
        found = [self._entry(path, indexed) for path in self.paths()]
        best = max((entry.step for entry in found if entry.note.get("best") is True), default=None)
        return [replace(entry, is_best=entry.step == best) for entry in found]

    def newest(self) -> Path | None:
        """The checkpoint of the latest step; None if there is none."""
        paths = self.paths()
        return paths[-1] if paths else None

    def best(self) -> Path | None:
        """The best checkpoint; None if none was marked so."""
        return next((entry.path for entry in self.entries() if entry.is_best), None)

    def write(self, step: int, snapshot: Snapshot) -> Path:
        """Write the checkpoint of a step, and remove those that need not stay.

        Raises:
            OSError: it could not be written; those that there were are still there. Says what helps.
        """
        path = path_for(self.folder, step)
        try:
            snapshot.write(path)
            self._remove_old()
            self._write_index()
        except OSError as error:
            rest = [int(other.stem) for other in self.paths()]
            newest = f"the newest whole checkpoint is of step {rest[-1]}" if rest else "there is none yet"
            raise explained(
                error,
                f"the checkpoint of step {step} could not be written",
                f"See that the disk has room and the folder can be written to, and resume: {newest}",
            ) from error
        return path

    def load(self, say: Callable[[str], Any]) -> dict[str, Any]:
        """The newest checkpoint that is whole; each damaged one on the way to it is told of.

        Raises:
            FileNotFoundError: there is none at all.
            CheckpointError: all are damaged.
        """
        paths = self.paths()
        if not paths:
            raise FileNotFoundError(f"there is no checkpoint in {self.folder}")
        errors: list[CheckpointError] = []
        for path in reversed(paths):
            try:
                tree = load(path)
            except CheckpointError as error:
                errors.append(error)
                self._damaged.add(path)
                continue
            for damage in errors:
                say(f"{damage}. Taking the checkpoint before it, of step {int(path.stem)}")
            return tree
        raise (
            errors[0]
            if len(errors) == 1
            else CheckpointError(f"no checkpoint in {self.folder} is whole: " + "; ".join(map(str, errors)))
        )

    def cut(self, step: int) -> None:
        """Take back what was written after a step, and whatever was left unfinished. Damaged files are set aside."""
        for path in self.folder.glob(f"*{TEMPORARY}"):
            path.unlink()
        for path in self.paths():
            if path in self._damaged:
                os.replace(path, path.with_name(path.name + DAMAGED))
            elif int(path.stem) > step:
                path.unlink()
        self._damaged.clear()
        self._write_index()

    def rewind(self, step: int, snapshot: Snapshot) -> None:
        """See that there is a checkpoint of a step, written from ``snapshot`` if need be, and none of a later one."""
        path = path_for(self.folder, step)
        if not path.exists():
            snapshot.write(path)
        self.cut(step)

    def _remove_old(self) -> None:
        best = self.best()
        for path in self.paths()[: -self.keep]:
            if path != best:
                path.unlink()

    def _entry(self, path: Path, indexed: Mapping[str, Any]) -> Entry:
        status = path.stat()
        known = indexed.get(path.name)
        if isinstance(known, dict) and known.get("bytes") == status.st_size and known.get("at") == status.st_mtime_ns:
            note = known.get("note", {})
        else:
            note = {}
            with suppress(CheckpointError, OSError):
                note = describe(path)["note"]
        return Entry(int(path.stem), path, status.st_size, note if isinstance(note, dict) else {})

    def _indexed(self) -> Mapping[str, Any]:
        """What the index says, by file name; nothing if it cannot be read."""
        try:
            listed = json.loads((self.folder / INDEX).read_bytes())["checkpoints"]
            return {entry["file"]: entry for entry in listed}
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return {}

    def _write_index(self) -> None:
        listed = [
            {
                "step": entry.step,
                "file": entry.path.name,
                "bytes": entry.size,
                "at": entry.path.stat().st_mtime_ns,
                "note": entry.note,
            }
            for entry in self.entries()
        ]
        if listed or (self.folder / INDEX).exists():
            write_whole(self.folder / INDEX, [json.dumps({"format": 1, "checkpoints": listed}, indent=1).encode()])
