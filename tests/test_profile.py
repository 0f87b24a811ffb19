"""What `gd.profile` counts and tells, and that nothing but time depends on it."""

import json
import threading
import time

import numpy as np
import pytest

import gdengine as gd
from gdengine import functional as F
from gdengine import nn, optim
from gdengine.tape import mode
from tests.helpers import leaf


def trained(steps, profile=None):
    """A small model after some steps; and the losses."""
    gd.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 3))
    opt = optim.AdamW(model.parameters(), lr=0.1, clip_norm=1.0)
    x, y = gd.randn(16, 4), gd.randint(0, 3, (16,))
    losses = []
    for number in range(steps):
        if profile is not None and number == 1:  # the first step is as without
            profile.__enter__()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        opt.step()
        losses.append(loss.item())
    if profile is not None:
        profile.__exit__(None, None, None)
    return losses, [p.numpy().tobytes() for p in model.parameters()]


@pytest.fixture(scope="module")
def profiled():
    """Four steps, and what `trained` returned."""
    p = gd.profile()
    return p, trained(5, p)


def test_every_call_is_counted_forward_and_backward_apart(profiled):
    calls = {(row.name, row.phase): row.calls for row in profiled[0].rows}
    assert calls == {
        ("linear", "forward"): 8,
        ("linear", "backward"): 8,
        ("gelu", "forward"): 4,
        ("gelu", "backward"): 4,
        ("layer_norm", "forward"): 4,
        ("layer_norm", "backward"): 4,
        ("cross_entropy", "forward"): 4,
        ("cross_entropy", "backward"): 4,
        ("AdamW.step", "update"): 4,
    }


def test_it_changes_no_bit(profiled):
    assert profiled[1] == trained(5)


def test_times_are_parts_of_the_whole(profiled):
    p, _ = profiled
    assert all(row.seconds > 0 for row in p.rows)
    assert sum(row.seconds for row in p.rows) <= p.seconds
    assert [row.share for row in p.rows] == [row.seconds / p.seconds for row in p.rows]
    assert [row.seconds for row in p.rows] == sorted((row.seconds for row in p.rows), reverse=True)


def test_the_table(profiled):
    lines = str(profiled[0]).splitlines()
    assert lines[0].split() == ["operation", "calls", "time", "per", "call", "bytes", "rate", "share"]
    assert len(lines) == 1 + len(profiled[0].rows) + 2
    assert lines[-1].endswith("100.0 %")
    assert len(gd.profile().table().splitlines()) == 3  # never entered: nothing to tell, and no error


def test_the_trace_has_the_slices_one_after_the_other(profiled, tmp_path):
    p, _ = profiled
    p.save_trace(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text("utf-8"))["traceEvents"]
    slices = [event for event in events if event["ph"] == "X"]
    assert len(slices) == sum(row.calls for row in p.rows)
    assert {event["cat"] for event in slices} == {"forward", "backward", "update"}
    ends = [event["ts"] + event["dur"] for event in slices]
    assert all(end <= after["ts"] + 1e-3 for end, after in zip(ends, slices[1:], strict=False))
    assert slices[0]["ts"] >= 0


def test_bytes():
    x, w, b = leaf(5, 4, dtype=np.float32), leaf(3, 4, dtype=np.float32), leaf(3, dtype=np.float32)
    with gd.profile() as p:
        F.linear(x, w, b).reshape(15).sum().backward()
    found = {(row.name, row.phase): row.bytes for row in p.rows}
    own = 4 * (5 * 4 + 3 * 4 + 3)
    assert found["linear", "forward"] == own + 4 * 15
    assert found["linear", "backward"] == 4 * 15 + own + 4 * (5 * 4 + 3 * 4)  # dy; dx, dw, db; x and w, which were kept
    assert found["reshape", "forward"] == 0
    assert found["sum", "forward"] == 4 * 15 + 4


def test_bytes_of_an_update():
    w = gd.Parameter(np.zeros(64, np.float32))
    for rule, vectors in ((optim.AdamW, 2), (optim.SGD, 0)):
        opt = rule([("w", w)], lr=0.1)
        w.grad = np.ones(64, np.float32)
        with gd.profile() as p:
            opt.step()
        assert [row.bytes for row in p.rows] == [4 * 64 * (4 + 2 * vectors)]
        del opt


def test_gradients_that_are_asked_for_and_what_is_not_recorded():
    x = leaf(3)
    with gd.profile() as p:
        y = (x * x).sum()
        assert gd.grad(y, x)[0].tolist() == (2 * x.numpy()).tolist()
        with gd.no_grad():
            x.exp()
    assert {(row.name, row.phase) for row in p.rows} == {
        (name, phase) for name in ("multiply", "sum") for phase in ("forward", "backward")
    } | {("exp", "forward")}


def test_several_results():
    x = leaf(4)
    with gd.profile() as p:
        a, b = x.split(2)
        (a * b).sum().backward()
    assert {row.phase: row.calls for row in p.rows if row.name == "split"} == {"forward": 1, "backward": 1}


def test_a_region_has_what_the_operations_in_it_have_not():
    x = leaf(3)
    with gd.profile() as p:
        with p.region("data"):
            x.exp()
            time.sleep(0.01)
        time.sleep(0.01)
    data, _ = p.rows
    assert (data.name, data.phase, data.calls) == ("data", "region", 1)
    assert 0.01 <= data.seconds <= p.seconds - 0.01


def test_entered_again_it_adds_up():
    x = leaf(3)
    p = gd.profile()
    for _ in range(2):
        with p:
            x.exp()
        x.exp()
    assert [row.calls for row in p.rows] == [2]


def test_one_at_a_time_and_none_after_an_error():
    with gd.profile(), pytest.raises(RuntimeError, match="running in this thread already"), gd.profile():
        pass
    with pytest.raises(ZeroDivisionError), gd.profile():
        1 / 0  # noqa: B018
    assert mode.profile is None


def test_it_sees_its_own_thread():
    x = leaf(3)
    with gd.profile() as p:
        thread = threading.Thread(target=x.exp)
        thread.start()
        thread.join()
    assert p.rows == []


def test_a_step_warns_its_caller(recwarn):
    opt = optim.SGD([leaf(3)], lr=0.1)
    with gd.profile():
        opt.step()
    opt.step()
    assert {warning.filename for warning in recwarn} == {__file__}
    assert len(recwarn) == 2
