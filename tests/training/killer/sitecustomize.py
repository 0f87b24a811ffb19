"""Runs first in the processes of `test_kill.py`, which puts this folder on their PYTHONPATH.

Ends the process, as ``kill -9`` does, at the n-th of its writes, fsyncs, renames and removals: a write half done, the
rest before they begin. Or lets one fail. What came is written to a log.

    KILL_AT    n; 0: never        FAIL_AT   n, from which on they fail        FAIL_WITH   an errno
    KILL_LOG   the log
"""

import os
import signal
import threading

_real = {name: getattr(os, name) for name in ("write", "fsync", "replace", "unlink", "truncate")}
_kill_at, _fail_at = int(os.environ.get("KILL_AT", 0)), int(os.environ.get("FAIL_AT", 0))
_log = os.open(os.environ["KILL_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
_lock, _count = threading.Lock(), [0]


def _patched(name):
    def call(*args, **kwargs):
        with _lock:
            if name == "write" and args[0] in (1, 2):
                return _real[name](*args, **kwargs)
            _count[0] += 1
            now = _count[0]
            _real["write"](_log, f"{now} {name} {threading.current_thread().name}\n".encode())
            if now == _kill_at:
                if name == "write":
                    _real["write"](args[0], memoryview(args[1])[: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            if _fail_at and now >= _fail_at:
                number = int(os.environ["FAIL_WITH"])
                raise OSError(number, os.strerror(number))
        return _real[name](*args, **kwargs)

    return call


for _name in _real:
    setattr(os, _name, _patched(_name))
