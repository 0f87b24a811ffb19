"""A contender's process: it waits at a pipe, builds what it is asked for, times it, and answers.

    python -m benchmarks.worker MODULE OPTIONS REPLIES

MODULE is one of `benchmarks.contenders`, whose ``make(**OPTIONS)`` makes the contender; requests come on standard
input, a line of JSON each, answers go to the file descriptor REPLIES. While it waits it does nothing.
"""

import gc
import importlib
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from . import inputs


class Worker:
    """What can be asked of a contender: each method answers one request."""

    def __init__(self, contender: Any):
        self.contender = contender
        self.call: Any = None
        self.done = 0  # calls so far

    def hello(self) -> dict[str, Any]:
        """Versions, and the device."""
        return {"about": self.contender.about(), "memory": memory()}

    def build(self, task: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Let go of what was there, build, and make the first call."""
        self.drop()
        begin = time.perf_counter()
        self.call = getattr(self.contender, task)(**arguments)
        built = time.perf_counter()
        returned = self.call.once(0)
        self.contender.clock.wait()
        answer = {"build_s": built - begin, "first_s": time.perf_counter() - built, "values": self._read([returned])}
        self.done = 1
        return {**answer, "facts": self.call.facts or {}}

    def time(self, warm: int, count: int, how: str) -> dict[str, Any]:
        """Some calls that are not timed, and some that are."""
        returned = [self.call.once(self.done + number) for number in range(warm)]
        self.contender.clock.wait()
        seconds, more = self.contender.clock.time(self.call, self.done + warm, count, how)
        self.done += warm + count
        return {"seconds": seconds, "values": self._read([*returned, *more])}

    def results(self) -> dict[str, Any]:
        """A sample of the results."""
        arrays = self.call.results() if self.call.results is not None else []
        return {"samples": [inputs.sample(array) for array in arrays]}

    def memory(self, reset: bool = False) -> dict[str, Any]:
        """Resident memory of this process; ``reset`` lets the peak begin anew."""
        if reset:
            reset_peak()
        return {"memory": memory(), "device": self.contender.memory()}

    def drop(self) -> dict[str, Any]:
        """Let go of what was built."""
        self.call = None
        gc.collect()
        self.contender.release()
        return {}

    def _read(self, returned: list[Any]) -> list[float]:
        read = self.call.read
        return [] if read is None else [float(read(value)) for value in returned]


def memory() -> dict[str, float]:
    """MB of this process that are in memory, and that were at most; empty where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return {}
    found = {line.split(":")[0]: float(line.split()[1]) / 1000 * 1.024 for line in lines if line.startswith("Vm")}
    return {"now_mb": found.get("VmRSS", 0.0), "peak_mb": found.get("VmHWM", 0.0)}


def reset_peak() -> None:
    """The highest resident memory counts from here on, where the system can do that (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def main(module: str, options: str, replies: str) -> None:
    """Answer requests until there are no more."""
    with os.fdopen(int(replies), "w", encoding="utf-8") as pipe:
        worker = None
        for line in sys.stdin:
            request = json.loads(line)
            verb = request.pop("verb")
            try:
                if worker is None:
                    worker = Worker(
                        importlib.import_module(f"benchmarks.contenders.{module}").make(**json.loads(options))
                    )
                answer = getattr(worker, verb)(**request)
            except Exception as error:
                traceback.print_exc()
                answer = {"error": str(error).strip() or type(error).__name__, "kind": type(error).__name__}
            print(json.dumps(answer), file=pipe, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
