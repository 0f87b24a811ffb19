"""A run as its folder tells it: for reports and comparisons, whoever wrote it."""

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .folder import RunFolder
from .metrics import read_lines
from .settings import Settings, SettingsError, read_toml
from .store import Entry

Curve = tuple[np.ndarray, np.ndarray]  # steps, values


class RecordedRun:
    """What there is to be read in a run's folder. Nothing is written, and no array of a checkpoint is read.

    Args:
        path: the folder.

    Raises:
        FileNotFoundError: there is no such folder, or no run in it.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self.folder = RunFolder(path)
        if not self.path.is_dir() or not self.records:
            raise FileNotFoundError(f"there is no run in {self.path}: it has no metrics.jsonl with a line in it")

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.resolve().name

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """All lines of ``metrics.jsonl``."""
        return read_lines(self.folder.metrics.path)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What ``settings.toml`` says; nothing for the run of a script of its own."""
        try:
            return read_toml(self.path / "settings.toml")
        except SettingsError:
            return {}

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What ``summary.json`` says; nothing if the run is not at its end."""
        return self.folder.read_json("summary.json")

    @cached_property
    def sessions(self) -> list[dict[str, Any]]:
        """A record for each time that training began."""
        return read_lines(self.folder.sessions.path)

    @cached_property
    def incidents(self) -> list[dict[str, Any]]:
        """Skipped steps, and jumps of the loss."""
        return read_lines(self.folder.incidents.path)

    @cached_property
    def samples(self) -> list[tuple[str, str]]:
        """What the model wrote, each with when: on the way, and at the end."""
        found = [(f"step {record['step']:,}", record["text"]) for record in read_lines(self.path / "samples.jsonl")]
        path = self.path / "sample.txt"
        if path.exists():
            last = path.read_text(encoding="utf-8", errors="replace").removesuffix("\n")
            if not found or found[-1][1] != last:
                found.append(("at the end", last))
        return found

    @cached_property
    def checkpoints(self) -> list[Entry]:
        """The checkpoints, by step."""
        return self.folder.store.entries()

    @property
    def step(self) -> int:
        """The last step that was done."""
        return int(self.records[-1].get("step", 0))

    @property
    def state(self) -> str:
        """``"finished"``, ``"stopped early: …"``, or where it stands."""
        last = self.records[-1]
        if "stopped" in last:
            return f"stopped at step {self.step:,}: {last['stopped']}"
        wanted = self.settings.get("steps")
        if last.get("final"):
            return "finished"
        return f"at step {self.step:,}" + (f" of {wanted:,}" if wanted else "")

    @property
    def title(self) -> str:
        """The name, which no other run of a comparison may have: see there."""
        return self.name

    def curve(self, name: str) -> Curve:
        """An entry of the records against the step; null is NaN."""
        rows = {record["step"]: record[name] for record in self.records if name in record}
        values = [np.nan if value is None else value for value in rows.values()]
        return np.array(list(rows), dtype=np.float64), np.array(values, dtype=np.float64)

    def speed(self) -> Curve:
        """Tokens a second against the step."""
        tokens = {record["step"]: record["tokens"] for record in self.records if "tokens" in record}
        rows = []
        for record in read_lines(self.folder.timings.path):
            step = record["step"]
            if step in tokens and record["seconds"]:
                rows.append((step, (tokens[step] - tokens.get(step - 1, 0)) / record["seconds"]))
        found = np.array(rows, dtype=np.float64).reshape(-1, 2)
        return found[:, 0], found[:, 1]

    def seconds(self) -> float:
        """That all steps took, evaluations and the like not counted."""
        return float(sum(record["seconds"] for record in read_lines(self.folder.timings.path)))

    def results(self) -> dict[str, Any]:
        """What came of it: numbers by name; those that are not known are left out."""
        _, held_out = self.curve("val_loss")
        _, losses = self.curve("loss")
        _, speeds = self.speed()
        held_out, losses = held_out[np.isfinite(held_out)], losses[np.isfinite(losses)]
        found: dict[str, Any] = {"steps": self.step}
        if len(held_out):
            found |= {"held-out loss": float(held_out[-1]), "best held-out loss": float(held_out.min())}
        if len(losses):
            found["training loss"] = float(losses[-max(1, len(losses) // 50) :].mean())
        tokens = [record["tokens"] for record in self.records if "tokens" in record]
        if tokens:
            found["tokens"] = tokens[-1]
        if "parameters" in self.summary:
            found["parameters"] = self.summary["parameters"]
        if len(speeds):
            found |= {"seconds in steps": round(self.seconds(), 1), "tokens a second": round(float(np.median(speeds)))}
        found["skipped steps"] = sum("skipped" in record for record in self.records)
        return found

    @property
    def baselines(self) -> Mapping[str, float]:
        """Losses of other models on the same held-out data, by name."""
        return {name: self.summary[name] for name in ("bigram", "unigram") if name in self.summary}

    def changed_settings(self) -> set[str]:
        """The settings that are not at their default."""
        usual = Settings().to_dict()
        return {name for name, value in self.settings.items() if usual.get(name) != value}
