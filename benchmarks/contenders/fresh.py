"""What a process of its own takes: to import a library, to come to the first training step, to hold a model.

Run as a program, it is that process: ``python -m benchmarks.contenders.fresh`` with what `steps` gives it.
"""

import importlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..process import ROOT
from ..timing import Call
from ..worker import memory

# What is installed has its bytecode beside it. So has a checkout after the first call, which is not timed, unless the
# environment forbids it: then a half of every start would go into compiling Python, for us alone.
BYTECODE = {"PYTHONDONTWRITEBYTECODE": ""}
IMPORT = "import time; began = time.perf_counter(); import {}; print(time.perf_counter() - began)"
JOB = """
import json, os, sys
from gdengine.training.job import start
from gdengine.training.settings import Settings

def done(trainer, record):
    os._exit(0)

job = start(Settings(**json.loads(sys.argv[1])), (done,))
job.trainer.fit(job.settings.steps)
"""
STEPS = 3


def imported(module: str) -> Call:
    """Import ``module``; how much memory on disk it and what it depends on take is among the facts."""

    def run(number: int) -> float:
        return float(_answer("-c", IMPORT.format(module))[0])

    return Call(run, facts={"installed_mb": installed_mb(module)})


def first_step(cold: bool, settings: Mapping[str, Any], environment: Mapping[str, str]) -> Call:
    """``gdengine train`` up to the end of its first step; ``cold``: no kernel has ever been compiled."""

    def run(number: int) -> float:
        with tempfile.TemporaryDirectory(prefix="benchmarks-first-") as folder:
            cache = {"NUMBA_CACHE_DIR": f"{folder}/cache"} if cold else {}
            arguments = JOB, json.dumps({**settings, "run": f"{folder}/run"})
            return _answer("-c", *arguments, **cache, **environment)[1]

    return Call(run)


def steps(module: str, options: Mapping[str, Any], workload: Mapping[str, Any], start: str) -> Call:
    """A contender's first training steps; the process's peak memory is among the facts."""
    facts: dict[str, Any] = {}

    def run(number: int) -> float:
        arguments = module, json.dumps(options), json.dumps(workload), start
        told, seconds = _answer("-m", "benchmarks.contenders.fresh", *arguments)
        facts.update(json.loads(told))
        return seconds

    return Call(run, facts=facts)


def installed_mb(module: str) -> float:
    """MB of the files of a module's distribution and of all that it cannot do without, compiled Python aside."""
    found = importlib.metadata.packages_distributions().get(module, [module])[0]
    names, total = _needed(found), 0.0
    for name in names:
        total += sum(path.stat().st_size for path in _files(name) if path.suffix != ".pyc")
    return total / 1e6


def _files(distribution: str) -> Iterator[Path]:
    """Those that were installed; of gdengine those of the package that is in use, which may be a checkout's."""
    if distribution == "gdengine":
        package = Path(importlib.import_module("gdengine").__file__ or "").parent
        for folder, _, names in os.walk(package, followlinks=True):
            yield from (Path(folder, name) for name in names if "__pycache__" not in folder)
        return
    for file in importlib.metadata.files(distribution) or ():
        path = Path(str(file.locate()))
        if path.is_file():
            yield path


def _needed(distribution: str) -> set[str]:
    """The distribution and all that it requires, as far as that is installed."""
    found: set[str] = set()
    stack = [distribution]
    while stack:
        name = _normal(stack.pop())
        if name in found:
            continue
        try:
            requires = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        found.add(name)
        stack += [re.split(r"[^\w.-]", line)[0] for line in requires if "extra ==" not in line]
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _answer(*arguments: str, **environment: str) -> tuple[str, float]:
    """What such a Python prints, and the seconds from its start to its end."""
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **BYTECODE, **environment},
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["without a word"])[-1])
    return done.stdout, seconds


def main(module: str, options: str, workload: str, start: str) -> None:
    """Take the steps, print the memory, and leave without tidying up, which is not what is measured."""
    contender = importlib.import_module(f"benchmarks.contenders.{module}").make(**json.loads(options))
    imported_mb = memory().get("now_mb")
    call = contender.train(json.loads(workload), start, "float32")
    for number in range(STEPS):
        call.once(number)
    contender.clock.wait()
    print(json.dumps({"imported_mb": imported_mb, "peak_mb": memory().get("peak_mb")}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
