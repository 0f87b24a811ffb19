"""The real command, killed at any moment and resumed: the same bits and the same metrics as one that was not."""

import errno
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gdengine.training.checkpoint import load
from gdengine.training.store import Store

ROOT = Path(__file__).resolve().parent.parent.parent
KILLER = Path(__file__).parent / "killer"
STEPS, EVERY = 12, 4
TRAIN = [
    *("--corpus", "../text.txt", "--run", "run", "--no-plots", "--sample-tokens", "0", "--threads", "1"),
    *("--n-layer", "1", "--n-head", "2", "--n-embd", "16", "--block-size", "16", "--batch-size", "2"),
    *("--dropout", "0.1", "--accumulate", "2", "--held-out", "0.02", "--held-out-blocks", "1"),
    *("--eval-every", "3", "--decay-steps", "40"),
]


def environment(folder, **variables):
    """With NumPy's reference kernels, which start at once, and no bytecode written, which would be counted."""
    path = os.pathsep.join(([str(KILLER)] if "KILL_LOG" in variables else []) + [str(ROOT)])
    return {
        **os.environ,
        **{"PYTHONPATH": path, "GDENGINE_KERNELS": "reference", "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "500"},
        **{name: str(value) for name, value in variables.items()},
    }


def command(folder, *arguments, wrapper=(), **variables):
    """Start the real command in a folder."""
    program = wrapper or ("-m", "gdengine")
    return subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        **{"cwd": folder, "env": environment(folder, **variables), "text": True},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT},
    )


def finish(process, code=0):
    output, _ = process.communicate(timeout=120)
    assert process.returncode == code, output
    assert "Traceback" not in output
    return output


def train(folder, steps=STEPS, every=EVERY, **variables):
    return command(folder, "train", *TRAIN, "--steps", steps, "--checkpoint-every", every, **variables)


def go_on(folder, steps=STEPS, every=EVERY):
    """Resume what was killed; begin anew where it had not got as far as a checkpoint. Returns the step resumed from."""
    newest = Store(folder / "run" / "checkpoints").newest()
    if newest is None:
        shutil.rmtree(folder / "run", ignore_errors=True)
        finish(train(folder, steps, every))
        return 0
    done = load(newest)["step"]  # raises, if it is not whole
    if done < steps:  # else all was done but for the last words
        finish(command(folder, "train", "--resume", "run", "--steps", steps))
    return done


def assert_same_run(one, two, steps=STEPS):
    """The same bytes of metrics, and of all checkpoints that both have, the last among them."""
    assert (one / "run" / "metrics.jsonl").read_bytes() == (two / "run" / "metrics.jsonl").read_bytes()
    last = f"{steps:08d}.safetensors"
    assert (one / "run/checkpoints" / last).read_bytes() == (two / "run/checkpoints" / last).read_bytes()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    (folder / "text.txt").write_text("".join(f"Line {i}: {i * i} is the square of {i}.\n" for i in range(300)))
    return folder


@pytest.fixture(scope="module")
def whole(place):
    """The folder of an uninterrupted run, and what it wrote, fsynced, renamed and removed, in order."""
    folder = place / "whole"
    folder.mkdir()
    finish(train(folder, KILL_LOG=place / "log"))
    return folder, [line.split(maxsplit=2) for line in (place / "log").read_text().splitlines()]


def kill_at(place, whole, n):
    folder = place / f"at-{n}"
    folder.mkdir()
    process = train(folder, KILL_LOG=place / "other-log", KILL_AT=n)
    process.communicate(timeout=120)
    assert process.returncode in (-signal.SIGKILL, 0), n  # 0: the threads took turns otherwise, and it came to its end
    resumed_from = go_on(folder)
    assert_same_run(whole, folder)
    assert resumed_from == STEPS or not list((folder / "run").rglob("*.tmp"))
    shutil.rmtree(folder)


def test_a_save_writes_syncs_and_renames(whole):
    names = [name for _, name, thread in whole[1] if thread == "gdengine checkpoint"]
    text = " ".join(names)
    assert re.search(r"fsync fsync write write fsync replace fsync", text)  # metrics, timings; file, name
    assert names.count("replace") >= 2 * STEPS // EVERY  # each checkpoint, and the index after it


def test_killed_in_the_middle_of_a_save(place, whole):
    saves = [int(n) for n, name, thread in whole[1] if thread == "gdengine checkpoint" and name in ("write", "replace")]
    for n in (saves[len(saves) // 2], saves[len(saves) // 2 + 2]):
        kill_at(place, whole[0], n)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(4))  # parts, for pytest's workers to share
def test_killed_at_every_write_fsync_rename_and_removal(place, whole, start):
    assert len(whole[1]) > 60
    for n, _, _ in whole[1][start::4]:
        kill_at(place, whole[0], int(n))


def kill_at_random_moments(place, times, steps, seed):
    """A run that is killed so many times, each after another while, and then ends. Returns the steps resumed from."""
    chance = random.Random(seed)
    first, whole, broken = (place / f"{name}-{seed}" for name in ("first", "whole", "broken"))
    for folder in (first, whole, broken):
        folder.mkdir()
    finish(train(first, 1, 7))  # what it may have to compile is not to count
    began = time.monotonic()
    finish(train(whole, steps, 7))
    seconds = time.monotonic() - began
    resumed = []
    for _ in range(times):
        store = Store(broken / "run" / "checkpoints")
        newest = store.newest()
        done = 0 if newest is None else load(newest)["step"]
        if done >= steps:
            shutil.rmtree(broken / "run")
            newest, done = None, 0
        resumed.append(done)
        if newest is None:
            shutil.rmtree(broken / "run", ignore_errors=True)
            process = train(broken, steps, 7)
        else:
            process = command(broken, "train", "--resume", "run", "--steps", steps)
        try:
            process.communicate(timeout=seconds * (0.3 + 0.7 * chance.random()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
    go_on(broken, steps, 7)
    assert_same_run(whole, broken, steps)
    return resumed


@pytest.mark.slow
def test_killed_at_a_dozen_random_moments(place):
    resumed = kill_at_random_moments(place, 12, 120, seed=1)
    assert len(set(resumed)) > 2, resumed


@pytest.mark.endurance
def test_killed_at_two_hundred_random_moments(place):
    resumed = kill_at_random_moments(place, 200, 400, seed=2)
    print(f"\n200 kills; resumed from {sorted(set(resumed))}")


# ---- errors of the disk


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_a_disk_that_fails_leaves_the_last_checkpoint_whole(place, whole, number):
    folder = place / f"errno-{number}"
    folder.mkdir()
    saves = [int(n) for n, name, thread in whole[1] if thread == "gdengine checkpoint" and name == "write"]
    fail_at = saves[len(saves) // 2]
    output = finish(train(folder, KILL_LOG=place / "errno-log", FAIL_AT=fail_at, FAIL_WITH=number), code=1)
    assert os.strerror(number) in output
    assert "See that the disk has room and the folder can be written to, and resume" in output
    assert not list((folder / "run").rglob("*.safetensors.tmp")) or number  # a removal fails as well here
    for path in Store(folder / "run" / "checkpoints").paths():
        load(path)
    go_on(folder)
    assert_same_run(whole[0], folder)


LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
sys.argv[0] = "gdengine"
runpy.run_module("gdengine", run_name="__main__")
"""


def test_a_file_that_may_not_grow_leaves_the_last_checkpoint_whole(place, whole):
    folder = place / "limited"
    folder.mkdir()
    size = (whole[0] / "run" / "checkpoints" / f"{STEPS:08d}.safetensors").stat().st_size
    finish(train(folder, 5, 2))
    before = {path: path.read_bytes() for path in Store(folder / "run" / "checkpoints").paths()}
    process = command(folder, size // 2, "train", "--resume", "run", "--steps", STEPS, wrapper=("-c", LIMITED))
    output = finish(process, code=1)
    assert "could not be written: File too large" in output
    assert "the newest whole checkpoint is of step 5" in output
    assert {path: path.read_bytes() for path in before} == before
    assert not list((folder / "run").rglob("*.tmp"))


FULL = """
mount -t tmpfs -o size=$1 tmpfs small || exit 99
shift
cp -r run small/run
cd small
"$@"
code=$?
cp -r run ../after
exit $code
"""


def in_a_small_folder(folder, size, *arguments):
    """Start the real command with ``run`` on a disk of so many bytes; what is on it in the end is in ``after``."""
    (folder / "small").mkdir()
    program = [sys.executable, "-m", "gdengine", *map(str, arguments)]
    return subprocess.Popen(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", FULL, "sh", str(size), *program],
        **{"cwd": folder, "env": environment(folder), "text": True},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT},
    )


def why_no_small_disk():
    """Why no disk can be made here; empty if one can."""
    tried = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        done = subprocess.run(tried, capture_output=True, text=True)
    except OSError as error:
        return f"a small disk needs unshare: {error}"
    return f"a small disk cannot be mounted here: {done.stderr.strip()}" if done.returncode else ""


def test_a_disk_that_is_full_leaves_the_last_checkpoint_whole(place, whole):
    """On a disk with room for two checkpoints and a half, so that the third is cut off by the disk itself."""
    if reason := why_no_small_disk():
        pytest.skip(reason)
    folder = place / "full"
    folder.mkdir()
    finish(train(folder, 5))
    paths = Store(folder / "run" / "checkpoints").paths()
    before = {path.name: path.read_bytes() for path in paths}
    used = [-(-path.stat().st_size // 4096) for path in (folder / "run").rglob("*") if path.is_file()]
    room = 4096 * (sum(used) + max(used) // 2)  # in whole pages; half of another checkpoint
    process = in_a_small_folder(folder, room, "train", "--resume", "run", "--steps", STEPS)
    output = finish(process, code=1)
    assert os.strerror(errno.ENOSPC) in output
    assert "See that the disk has room and the folder can be written to, and resume" in output
    after = Store(folder / "after" / "checkpoints").paths()
    assert {path.name: path.read_bytes() for path in after} == before
    assert not list((folder / "after").rglob("*.tmp"))
    shutil.rmtree(folder / "run")
    (folder / "after").rename(folder / "run")
    go_on(folder)
    assert_same_run(whole[0], folder)


# ---- signals


def wait_for_lines(path, number, process):
    deadline = time.monotonic() + 60
    while not (path.exists() and path.read_bytes().count(b"\n") >= number):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_with_a_checkpoint(place, number, code):
    folder = place / f"signal-{code}"
    folder.mkdir()
    process = train(folder, 10**6, 0)
    wait_for_lines(folder / "run" / "metrics.jsonl", 4, process)
    process.send_signal(number)
    output = finish(process, code=code)
    step = int(re.search(r"Stopped after step (\d+).*, with a checkpoint", output)[1])
    assert load(Store(folder / "run" / "checkpoints").newest())["step"] == step


def test_a_signal_does_not_wait_for_the_end_of_a_long_step(place):
    """With accumulation it stops between two batches, and what they have come to is in the checkpoint."""
    long = ("--accumulate", 400, "--eval-every", 0)
    folders = [place / name for name in ("long", "long-stopped")]
    for folder in folders:
        folder.mkdir()
    finish(command(folders[0], "train", *TRAIN, *long, "--steps", 2))
    process = command(folders[1], "train", *TRAIN, *long, "--steps", 2)
    wait_for_lines(folders[1] / "run" / "timings.jsonl", 1, process)
    time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    output = finish(process, code=143)
    done = re.search(r"Stopped after step 1 and (\d+) of the 400 batches of step 2, with a checkpoint", output)[1]
    assert "SIGTERM: stopping when this batch is done, with a checkpoint" in output
    listed = finish(command(folders[1], "checkpoint", "ls", "run"))
    assert "step        1" in listed
    assert f"and {done} batches of the next" in listed
    assert "whole" in finish(command(folders[1], "checkpoint", "verify", "run"))
    finish(command(folders[1], "train", "--resume", "run"))
    assert_same_run(*folders, steps=2)


SLOW = """
import runpy, sys, threading, time
from gdengine.training import whole
real = whole.write_all
def write_all(descriptor, data):
    if threading.current_thread().name == "gdengine checkpoint":
        open("writing", "w").close()
        time.sleep(30)
    return real(descriptor, data)
whole.write_all = write_all
sys.argv[0] = "gdengine"
runpy.run_module("gdengine", run_name="__main__")
"""


@pytest.mark.parametrize(("number", "codes"), [(signal.SIGINT, (130,)), (signal.SIGTERM, (-15, 143))])
def test_a_second_signal_stops_at_once(place, number, codes):
    folder = place / f"twice-{codes[0]}"
    folder.mkdir()
    finish(train(folder, 3, 0))
    process = command(folder, "train", "--resume", "run", "--steps", 10**6, wrapper=("-c", SLOW))
    wait_for_lines(folder / "run" / "metrics.jsonl", 8, process)
    process.send_signal(number)
    while "again stops at once" not in process.stdout.readline():  # two signals in one moment would be one
        assert process.poll() is None
    deadline = time.monotonic() + 60
    while not (folder / "writing").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    began = time.monotonic()
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode in codes
    assert time.monotonic() - began < 15
    paths = Store(folder / "run" / "checkpoints").paths()
    assert [load(path)["step"] for path in paths] == [3]
