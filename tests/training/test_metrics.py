import errno
import math
import os
from functools import partial

import pytest

from gdengine.training.metrics import JsonLines, cut_lines, read_lines


@pytest.fixture
def lines(tmp_path):
    return JsonLines(tmp_path / "metrics.jsonl")


def test_lines_come_back(lines):
    records = [{"step": 1, "loss": 4.5}, {"step": 2, "loss": 1 / 3, "name": "é\n"}]
    for record in records:
        lines.write(record)
    lines.sync()
    assert read_lines(lines.path) == records
    assert lines.path.read_bytes().count(b"\n") == 2


def test_a_file_that_is_not_there_has_no_lines(tmp_path):
    assert read_lines(tmp_path / "none") == []
    assert cut_lines(tmp_path / "none", 3) == []
    assert not (tmp_path / "none").exists()


def test_what_is_not_finite_is_null(lines):
    lines.write({"a": math.nan, "b": math.inf, "c": 1.0})
    assert read_lines(lines.path) == [{"a": None, "b": None, "c": 1.0}]


@pytest.mark.parametrize("call", ["open", "write", "fsync"])
def test_a_disk_that_refuses_is_told_with_what_helps(lines, monkeypatch, call):
    lines.write({"step": 1})

    def refuse(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    add_or_sync = lines.sync if call == "fsync" else partial(lines.write, {"step": 2})
    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(OSError, match=r"could not be written to: .*, and resume") as raised:
        add_or_sync()
    monkeypatch.undo()
    assert raised.value.errno == errno.EIO
    assert read_lines(lines.path) == [{"step": 1}]


def test_a_last_line_without_its_end_is_left_out(lines):
    lines.write({"step": 1})
    with open(lines.path, "a") as file:
        file.write('{"step": 2, "lo')
    assert read_lines(lines.path) == [{"step": 1}]


@pytest.mark.parametrize("bad", ["{", "[1]", "3"])
def test_a_damaged_line_is_named(lines, bad):
    lines.write({"step": 1})
    with open(lines.path, "a") as file:
        file.write(bad + "\n")
    with pytest.raises(ValueError, match="line 2 is not"):
        read_lines(lines.path)


def test_cut_leaves_what_was_there_at_the_step(lines):
    lines.write({"step": 0, "val_loss": 5.0})
    for step in range(1, 4):
        lines.write({"step": step, "loss": 1.0})
    before = lines.path.read_bytes()
    for step in range(4, 8):
        lines.write({"step": step, "loss": 1.0})
    with open(lines.path, "a") as file:
        file.write('{"step": 8, "l')
    assert [record["step"] for record in cut_lines(lines.path, 3)] == [0, 1, 2, 3]
    assert lines.path.read_bytes() == before


def test_what_a_power_cut_left_after_the_step_is_cut_off_and_before_it_an_error(lines):
    for step in range(1, 4):
        lines.write({"step": step, "loss": 1.0})
    before = lines.path.read_bytes()
    with open(lines.path, "ab") as file:
        file.write(bytes(40) + b'\n{"step": 5}\n')
    assert len(cut_lines(lines.path, 3)) == 3
    assert lines.path.read_bytes() == before
    lines.path.write_bytes(b"garbage\n" + before)
    with pytest.raises(ValueError, match=r"line 1 is not JSON.*take that line out to go on"):
        cut_lines(lines.path, 3)


def test_cut_takes_the_closing_line_away(lines):
    lines.write({"step": 3, "loss": 1.0})
    before = lines.path.read_bytes()
    lines.write({"step": 3, "val_loss": 2.0, "final": True})
    assert len(cut_lines(lines.path, 3)) == 1
    assert lines.path.read_bytes() == before
