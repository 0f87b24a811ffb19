"""A whole CPU run with contenders that only pretend: parts, floors, growth, sizes and targets."""

import json
from dataclasses import replace

import pytest

from benchmarks import cpu, growth, parts, report
from benchmarks.__main__ import chosen, faults
from benchmarks.cases import COSTS
from benchmarks.contenders import fresh
from benchmarks.pictures import can_draw, draw_cpu
from benchmarks.statistics import Spread, slope
from benchmarks.timing import Call, HostClock

BANDWIDTH, RATE = 2e10, 2e11
SPEED = {"gdengine": 2.0, "PyTorch": 1.0, "PyTorch compiled": 1.25, "JAX": 0.5, "NumPy": 0.5}


class Pretender:
    """As `benchmarks.process.Contender`; every rate is ``SPEED`` times that of PyTorch."""

    running = True

    def __init__(self, name, module, options, *, ours, environment, folder):
        self.name, self.module, self.options, self.ours, self.seconds = name, module, options, ours, 0.0

    def ask(self, verb, **arguments):
        if verb == "hello":
            return {"about": {"version": "1.0"}}
        if verb == "build":
            self.seconds = self._seconds(arguments["task"], arguments["arguments"]) / SPEED[self.name.rstrip(" 234")]
            facts = {"installed_mb": 10.0} if arguments["task"] == "imported" else {}
            facts |= {"peak_mb": 2000.0} if arguments["task"] == "fresh_steps" else {}
            return {"build_s": 1.0, "first_s": self.seconds, "values": [5.0], "facts": facts}
        if verb == "time":
            return {"seconds": [self.seconds] * arguments["count"], "values": [5.0]}
        return {"samples": [[1.0, -1.0]]} if verb == "results" else {}

    def _seconds(self, task, arguments):
        if task in ("copy", "scale"):
            return 2 * arguments["size"] / BANDWIDTH
        if task == "matmul":
            return 2 * arguments["size"] ** 3 / RATE
        if task == "train":
            return 1e-3 * arguments["workload"].get("n_layer", 1)
        if task == "kernel":
            sizes = {key: value for key, value in arguments.items() if key not in ("operation", "dtype")}
            flops, moved = COSTS[arguments["operation"]](4, **sizes)
            return 2 * max(flops / RATE, moved / BANDWIDTH)
        return {"update": 0.4, "imported": 2.0, "fresh_steps": 3.0, "first_step": 12.0}[task]

    def cpu_seconds(self):
        return 0.0

    def close(self):
        pass


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """What such a run writes, read back."""
    out = tmp_path_factory.mktemp("results") / "cpu.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "Contender", Pretender)
        patch.setattr(parts.workloads, "save", lambda workload, path: None)
        plan = {"rounds": 1, "turn_s": 0.0, "settle_s": 0.0, "spare": None}
        quick = [replace(part, plan=replace(part.plan, **plan)) for part in cpu.parts(2)]
        parts.Run("cpu", 300, 2, out, lambda line: None).go(quick)
    return json.loads(out.read_text("utf-8"))


@pytest.fixture(scope="module")
def cases(result):
    """The cases by name."""
    return {case["case"]: case for part in result["parts"].values() for case in part["cases"]}


def test_nothing_went_wrong_unseen(result):
    assert list(result["parts"]) == [part.name for part in cpu.parts(2)]
    assert not any("error" in part or "left_out" in part for part in result["parts"].values())
    assert faults(result) == []


def test_floors(result, cases):
    step = cases["W1: GPT 4 layers × 128, batch 12 × 64"]
    assert report.floor_s(result, step) == pytest.approx(step["flops"] / RATE)
    update = cases["124.5 million parameters"]
    assert report.floor_s(result, update) == pytest.approx(32 * update["facts"]["parameters"] / BANDWIDTH)


def test_the_fastest_peer(result, cases):
    assert report.fastest_peer(cases["W3: MLP 64-256-256-10, batch 64"]) == (
        pytest.approx(1.6),
        "1.60 (1.60–1.60) PyTorch compiled",
    )
    assert "| times as fast as the fastest peer |" in report.text(result)


def test_targets(result):
    told = [str(target) for target in report.cpu_targets(result)]
    assert told[0] == (
        "met: a step of W1 is at least 1.5 times as fast as the fastest peer's: 1.60 (1.60–1.60) PyTorch compiled "
        "(of 3 peers)"
    )
    assert told[2].startswith("NOT MET: a step of W3 is at least 1.8 times as fast")
    assert told[3].startswith(
        "met: an update of 124 million parameters is at least 1.2 times as fast as PyTorch's: 2.00"
    )
    assert told[4].startswith("NOT MET: the import is at least 5 times as fast")
    assert told[5:] == [
        "met: the default job's first step is there within 20 s with a cold cache: 6.00 s",
        "NOT MET: the default job's first step is there within 1.5 s with a warm cache: 6.00 s",
    ]
    nothing = [str(target) for target in report.cpu_targets({**result, "parts": {}})]
    assert all(line.startswith("not measured") for line in nothing)


def test_growth_and_sizes_are_told(result):
    text = report.text(result)
    exact = "size^1.00 (1.00–1.00 over the rounds), between the two largest size^1.00 (as expected, 0.8 to 1.1)."
    assert f"- layers: {exact}" in text
    assert "- batch: size^0.00 (0.00–0.00 over the rounds), between the two largest size^0.00 (NOT as exp" in text
    assert set(result["contenders"]) == set(SPEED)  # the processes of the sizes are nobody's peers
    assert "| installed, with all it requires: the package" in text
    assert text.count("2,000 MB") == 3 * 2


def test_picture(result, tmp_path):
    if not can_draw():
        pytest.skip("needs matplotlib")
    assert draw_cpu(result, tmp_path / "cpu.png")
    assert (tmp_path / "cpu.png").stat().st_size > 10_000


def test_an_exponent_is_fitted():
    assert slope([1, 2, 4], [3.0, 12.0, 48.0]) == pytest.approx(2)
    points = [({"axis": "T", "size": size}, [1e-3 * size + 1e-6 * size**2]) for size in (100, 10, 1000)]
    (fit,) = growth.fits(points)
    assert 1 < fit.exponent.median < fit.last < 2
    assert list(growth.fits(points[:1])) == []


def test_an_exponent_is_that_of_each_round():
    drifting = (1.0, 10.0, 1.0, 1.0, 3.0)  # how slow the machine is
    points = [({"axis": "layers", "size": size}, [slow * size for slow in drifting]) for size in (1, 2, 4)]
    assert next(growth.fits(points)).exponent == pytest.approx(Spread(1.0, 1.0, 1.0))
    points[0][1].pop()  # as when the sizes came one after the other
    assert next(growth.fits(points)).exponent.median == pytest.approx(1.0)


def test_axes_that_grow_change_one_size_each():
    for axis in growth.AXES:
        loads = [case.arguments["workload"] for case in growth.steps([axis])]
        assert {key for key in loads[0] if len({load[key] for load in loads}) > 1} == {axis.field}


def test_single_cases_can_be_chosen_and_bring_their_floors():
    found = chosen(cpu.parts(2), "W3,start")
    assert [part.name for part in found] == ["ceilings", "step", "start"]
    assert [case.short for case in found[1].cases] == ["W3"]
    assert len(found[2].cases) == len(cpu.parts(2)[-1].cases)


def test_a_process_of_its_own_tells_its_seconds():
    call = Call(lambda number: 7.0 + number)
    assert HostClock().time(call, 1, 2, "told")[0] == [8.0, 9.0]
    with pytest.raises(RuntimeError, match="No module named 'nothing_of_this_name'"):
        fresh.imported("nothing_of_this_name").run(0)


def test_what_is_installed_is_counted_with_what_it_requires():
    assert fresh.installed_mb("numba") > fresh.installed_mb("numpy") > 10
    assert {"numba", "numpy", "click"} <= fresh._needed("gdengine")
    assert "matplotlib" not in fresh._needed("gdengine")
