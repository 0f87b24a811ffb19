"""The parent's side of a contender's process: start it, ask it, see what it uses, end it."""

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
PATIENCE_S = 240.0
ABSENT = ("ImportError", "ModuleNotFoundError")
HARMLESS = (*ABSENT, "NotImplementedError", "TypeError", "ValueError", "AttributeError")


class ContenderError(RuntimeError):
    """A contender could not do what it was asked; ``kind`` is the name of its exception."""

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind


class Contender:
    """One process, started when it is first asked.

    Args:
        name: as tables show it.
        module: of `benchmarks.contenders`.
        options: for its ``make``, plain data.
        ours: whether it is one of gdengine's, which peers are compared with.
        environment: variables beside this process's own.
        folder: for its log.
    """

    def __init__(
        self,
        name: str,
        module: str,
        options: Mapping[str, Any],
        *,
        ours: bool,
        environment: Mapping[str, str],
        folder: Path,
    ):
        self.name, self.module, self.options, self.ours = name, module, dict(options), ours
        self.environment = dict(environment)
        self.log = folder / f"{name.replace(' ', '-')}.log"
        self._process: subprocess.Popen[str] | None = None
        self._replies: Any = None

    def ask(self, verb: str, **arguments: Any) -> dict[str, Any]:
        """Send a request and wait for the answer.

        Raises:
            ContenderError: an exception there, the process's end, or no answer within four minutes.
        """
        if self._process is None:
            self._start()
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"verb": verb, **arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._died() from None
        line = self._line()
        if not line:
            raise self._died()
        answer = json.loads(line)
        if "error" in answer:
            if answer["kind"] not in HARMLESS:
                self.close()  # a GPU that has met a fault answers nothing any more: the next request starts anew
            raise ContenderError(answer["error"], answer["kind"])
        return answer

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    def cpu_seconds(self) -> float:
        """What the process has computed so far, all its threads and the processes that it has waited for together; 0
        where the system does not say."""
        if self._process is None:
            return 0.0
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            return 0.0
        return sum(map(int, fields[11:15])) / TICKS

    def close(self) -> None:
        """End the process."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
            self._process.wait(5)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._replies.close()
        self._process = None

    def _start(self) -> None:
        reading, writing = os.pipe()
        command = [sys.executable, "-m", "benchmarks.worker", self.module, json.dumps(self.options), str(writing)]
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **self.environment},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(writing,),
                text=True,
            )
        os.close(writing)
        self._replies = os.fdopen(reading, encoding="utf-8")

    def _line(self) -> str:
        """The answer; empty where the process has ended."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._replies, selectors.EVENT_READ)
            if not selector.select(PATIENCE_S):
                assert self._process is not None
                self._process.kill()
                self.close()
                raise ContenderError(f"no answer within {PATIENCE_S:.0f} s", "TimeoutError")
        return self._replies.readline()

    def _died(self) -> ContenderError:
        """What is to be said when there is no answer."""
        self.close()
        text = self.log.read_text(errors="replace").strip().splitlines()
        return ContenderError("its process ended: " + (text[-1] if text else "without a word"), "Died")
