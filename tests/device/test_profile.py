"""`gd.profile` on a GPU: times between events, which nothing waits for before they are read."""

import json

import pytest

import gdengine as gd
from gdengine import nn, optim
from gdengine.functional import cross_entropy


def training(**options):
    gd.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 8), nn.GELU(), nn.Linear(8, 16)).to("cuda")
    opt = optim.AdamW(model.parameters(), lr=0.1, clip_norm=1.0)
    x, y = gd.randn(4, 16).to("cuda"), gd.randint(0, 3, (4,)).to("cuda")

    def step():
        loss = cross_entropy(model(x), y)
        loss.backward()
        opt.step()
        return loss

    return step


def test_rows_are_the_gpus(gpu, tmp_path):
    step = training()
    with gd.profile() as p:
        step()
        if gpu.device is not None:
            assert gpu.cupy.cuda.state.events  # of which nobody has waited for any
    phases = {(row.name, row.phase): row.calls for row in p.rows}
    assert phases["linear", "forward"] == phases["linear", "backward"] == 2
    assert phases["AdamW.step", "update"] == 1
    assert 0 < sum(row.seconds for row in p.rows) <= p.seconds * (1 + 1e-6)
    p.save_trace(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text("utf-8"))["traceEvents"]
    assert {event["tid"] for event in events if event["ph"] == "X"} == {1}
    assert all(event["ts"] >= 0 and event["dur"] >= 0 for event in events if event["ph"] == "X")


def test_a_captured_graph_is_not_looked_into(gpu):
    step = gd.graph(training(), warmup=1)
    with gd.profile() as p:
        losses = [step().item() for _ in range(4)]
    assert {row.calls for row in p.rows if row.name == "cross_entropy"} == {1}  # of the warm-up
    again = training()
    assert losses == pytest.approx([again().item() for _ in range(4)])
