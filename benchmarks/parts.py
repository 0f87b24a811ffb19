"""A run: parts, each a list of cases that some contenders do; and what is written down of it.

The result is plain data, as JSON has it. It is saved after every case, so that what was measured is there whatever
comes after; what goes wrong in a part is recorded in it, and the next begins.
"""

import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from . import machine, tables, workloads
from .cases import Case
from .process import ABSENT, ROOT, Contender, ContenderError
from .rounds import Comparison, Plan, compare, side_by_side
from .statistics import spread

VARIABLES = ("GDENGINE_KERNELS", "CUDA_VISIBLE_DEVICES")  # of the environment: they change what is measured

NO_GPU = "no GPU"


@dataclass(frozen=True)
class Who:
    """A contender: its name in tables, its module, and the options of ``make``."""

    name: str
    module: str
    options: Mapping[str, Any] = field(default_factory=dict)
    ours: bool = False


@dataclass(frozen=True)
class Part:
    """What can be chosen with ``--only``.

    Attributes:
        share: of the time, in proportion to the other parts'.
        needs: parts that are run along with it, since its floors are measured there.
    """

    name: str
    title: str
    contenders: Sequence[Who]
    cases: Sequence[Case]
    share: float
    plan: Plan = field(default_factory=Plan)
    needs: tuple[str, ...] = ()

    def groups(self) -> list[list[Case]]:
        """Its cases as they are measured: the sizes of an axis together, others each for itself."""
        numbered = enumerate(self.cases)
        return [
            [case for _, case in group]
            for _, group in groupby(numbered, key=lambda pair: pair[1].facts.get("axis", pair[0]))
        ]


@dataclass
class Run:
    """A run in progress.

    Args:
        kind: ``"cpu"`` or ``"gpu"``.
        seconds: for everything; a part that is short of time makes fewer rounds, and then leaves cases out.
        threads: for each contender.
        out: where the result is written; None for nowhere.
        say: called with lines of progress.
    """

    kind: str
    seconds: float
    threads: int
    out: Path | None
    say: Callable[[str], None] = print
    result: dict[str, Any] = field(default_factory=dict)

    def go(self, parts: Sequence[Part]) -> dict[str, Any]:
        """Do the parts one after the other, and return the result."""
        watch, began = machine.Watch(), time.monotonic()
        self.result = {**_heading(self.kind, self.threads, self.seconds), "contenders": {}, "parts": {}}
        with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder, self._hall(Path(folder)) as hall:
            for number, part in enumerate(parts):
                left = self.seconds - (time.monotonic() - began)
                share = part.share / sum(other.share for other in parts[number:])
                self._part(part, time.monotonic() + left * share, hall, Path(folder))
        self.result["machine"]["meanwhile"] = watch.report()
        self.result["seconds"] = time.monotonic() - began
        self.save()
        return self.result

    def save(self) -> None:
        """Write what there is, at once."""
        if self.out is None:
            return
        self.out.parent.mkdir(parents=True, exist_ok=True)
        half = self.out.with_suffix(".part")
        half.write_text(json.dumps(finite(self.result), indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
        half.replace(self.out)

    def _part(self, part: Part, until: float, hall: "Hall", folder: Path) -> None:
        began = time.monotonic()
        entry: dict[str, Any] = {"title": part.title, "cases": []}
        self.result["parts"][part.name] = entry
        try:
            present = [c for c in (hall.enter(who) for who in part.contenders) if c is not None]
            groups = part.groups()
            for number, group in enumerate(groups):
                those = [c for c in present if group[0].only is None or c.name in group[0].only]
                if not those:
                    continue
                left = until - time.monotonic()
                if left <= 0 and number:
                    names = [case.name for later in groups[number:] for case in later]
                    entry["left_out"] = {"cases": names, "reason": "the time of this part was used up"}
                    self.say(f"{part.name}: out of time, {len(names)} cases left out")
                    break
                limit = time.monotonic() + left / (len(groups) - number)
                ready = [_ready(case, folder, place) for place, case in enumerate(group)]
                for done in _measured(ready, those, part.plan, hall, limit):
                    state = {"gpu": machine.gpu_state()} if self.kind == "gpu" else {}
                    entry["cases"].append(done.to_json() | state)
                    self.say(f"{part.name}: {_line(done)}")
                self.save()
        except Exception as error:  # in here: what goes wrong in a contender is in its outcome
            entry["error"] = "".join(traceback.format_exception_only(error)).strip()
            self.say(f"{part.name}: {entry['error']}")
        entry["seconds"] = time.monotonic() - began
        self.save()

    @contextlib.contextmanager
    def _hall(self, folder: Path) -> Iterator["Hall"]:
        hall = Hall(self, folder)
        try:
            yield hall
        finally:
            hall.close()


class Hall:
    """The contenders' processes: each is started when it is first wanted, and ended with the run."""

    def __init__(self, run: Run, folder: Path):
        self.run, self.folder = run, folder
        self.contenders: dict[str, Contender | None] = {}

    def enter(self, who: Who) -> Contender | None:
        """The contender; None where it is absent, with the reason in the result."""
        if who.name not in self.contenders:
            self.contenders[who.name] = self._start(who)
        return self.contenders[who.name]

    def again(self, contender: Contender, number: int) -> Contender:
        """Another process of a contender that is there; it has its number behind its name."""
        name = f"{contender.name} {number}"
        found = self.contenders.get(name)
        if found is None:
            found = self.contenders[name] = self._made(Who(name, contender.module, contender.options, contender.ours))
        return found

    def close(self) -> None:
        """End all of them."""
        for contender in self.contenders.values():
            if contender is not None:
                contender.close()

    def _made(self, who: Who) -> Contender:
        threads = environment(self.run.threads)
        return Contender(who.name, who.module, who.options, ours=who.ours, environment=threads, folder=self.folder)

    def _start(self, who: Who) -> Contender | None:
        contender = self._made(who)
        listed = self.run.result["contenders"]
        try:
            about = contender.ask("hello")["about"]
        except ContenderError as error:
            reason = str(error).splitlines()[0] if error.kind in ABSENT else f"{error.kind}: {error}"
            listed[who.name] = {"ours": who.ours, "absent": reason}
            self.run.say(f"{who.name} is absent: {reason}")
            contender.close()
            return None
        listed[who.name] = {"ours": who.ours, "about": about}
        if self.run.result["device"] == NO_GPU and "device" in about:  # where nvidia-smi is not there to ask
            self.run.result["device"] = about["device"]
        return contender


def environment(threads: int) -> dict[str, str]:
    """The same number of threads for whichever pool a contender uses."""
    pools = ("OMP", "MKL", "OPENBLAS", "NUMBA", "GDENGINE")
    return {f"{pool}_NUM_THREADS": str(threads) for pool in pools}


def finite(value: Any) -> Any:
    """As JSON knows it: what is not finite becomes its name."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _measured(
    cases: Sequence[Case], contenders: Sequence[Contender], plan: Plan, hall: "Hall", limit: float
) -> list[Comparison]:
    """A case by all contenders, or each of several sizes by the first one, in a process of its own."""

    def left() -> float:
        return limit - time.monotonic()

    if len(cases) == 1:
        return [compare(cases[0], contenders, plan, left=left)]
    first = contenders[0]
    return side_by_side(cases, [first, *(hall.again(first, n) for n in range(2, len(cases) + 1))], plan, left=left)


def _ready(case: Case, folder: Path, place: int) -> Case:
    """With the file that a training starts from; cases in other places of their group have other ones."""
    if "workload" not in case.arguments:
        return case
    start = folder / f"start-{place}.npz"
    workloads.save(workloads.made(case.arguments["workload"]), start)
    return replace(case, arguments={**case.arguments, "start": str(start)})


def _line(done: Comparison) -> str:
    """A comparison in a line of progress."""
    found = []
    for name, outcome in done.outcomes.items():
        time = outcome.failure or tables.seconds(spread(outcome.rounds).median)
        found.append(f"{name} {time}" + ("" if outcome.failure or outcome.valid else " VOID"))
    return f"{done.case.name}: {', '.join(found)}"


def _heading(kind: str, threads: int, seconds: float) -> dict[str, Any]:
    about = machine.description()
    state = machine.gpu_state() if kind == "gpu" else None
    return {
        "benchmarks": kind,
        "device": (state or {}).get("name") or (about["cpu"] if kind == "cpu" else NO_GPU),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "threads": threads,
        "asked_seconds": seconds,
        "machine": {**about, "gpu": state},
        "python": sys.version.split()[0],
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "notes": [],
    }


def _commit() -> str:
    """The commit, and whether files differ from it; "unknown" outside a checkout."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + (" with changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
