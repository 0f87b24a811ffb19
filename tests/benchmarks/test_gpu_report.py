"""A whole GPU run with contenders that only pretend: all that needs no GPU, from the parts to the picture."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from benchmarks import gpu, machine, parts, report
from benchmarks.__main__ import main
from benchmarks.cases import COSTS, SIZES

DEVICE = "NVIDIA H100 80GB HBM3"
BANDWIDTH, RATES = 3.0e12, {"bfloat16": 7e14, "tf32": 3.5e14, "float32": 5e13}


class Pretender:
    """As `benchmarks.process.Contender`; ours run at ``speed`` times the rate of the others."""

    speed = 1.25
    running = True

    def __init__(self, name, module, options, *, ours, environment, folder):
        self.name, self.ours, self.options = name, ours, options
        self.seconds = 0.0

    def ask(self, verb, **arguments):
        if verb == "hello":
            if self.name == "PyTorch compiled":
                raise parts.ContenderError("No module named 'torch'", "ModuleNotFoundError")
            return {"about": {"version": "1.0", "device": DEVICE}}
        if verb == "build":
            self.seconds = self._seconds(arguments["task"], arguments["arguments"])
            return {"build_s": 1.0, "first_s": 1.0, "values": [10.0], "facts": {}}
        if verb == "time":
            return {"seconds": [self.seconds] * arguments["count"], "values": []}
        return {"samples": [[1.0, -1.0]]} if verb == "results" else {}

    def _seconds(self, task, arguments):
        if self.options.get("generation") == "wgmma" and arguments["m"] == gpu.CEILING:
            raise parts.ContenderError("wgmma cannot do this\nindeed", "ValueError")
        speed = self.speed if self.ours else 1.0
        if task == "copy":
            return 2 * arguments["size"] / BANDWIDTH
        if task == "matmul":
            return 2 * arguments["size"] ** 3 / RATES[arguments["dtype"]]
        if task == "update":
            return 124_475_904 * 34 / BANDWIDTH / 0.8 / speed
        if task == "kernel":
            sizes = {key: value for key, value in arguments.items() if key not in ("operation", "dtype")}
            flops, moved = COSTS[arguments["operation"]](SIZES[arguments["dtype"]], **sizes)
            return max(flops / RATES["bfloat16"], moved / BANDWIDTH) / speed
        return 0.1

    def cpu_seconds(self):
        return 0.0

    def close(self):
        pass


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """What such a run writes, read back."""
    out = tmp_path_factory.mktemp("results") / "gpu.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "Contender", Pretender)
        patch.setattr(parts.workloads, "save", lambda workload, path: None)
        patch.setattr(machine, "gpu_state", lambda: {"name": DEVICE, "clocks.sm": "1980 MHz"})
        quick = [replace(p, plan=replace(p.plan, rounds=3, turn_s=0.0, settle_s=0.0)) for p in gpu.parts(2)]
        parts.Run("gpu", 300, 2, out, lambda line: None).go(quick)
    return json.loads(out.read_text("utf-8"))


def test_the_most_important_comes_first():
    assert [part.name for part in gpu.parts(2)] == ["step", "update", "linear", "ceilings", "kernels", "launch"]
    assert [part.name for part in gpu.small_parts(2)] == [part.name for part in gpu.parts(2)]


def test_shapes_are_those_of_gpt2():
    shapes = {(case.arguments["m"], case.arguments["n"], case.arguments["k"]) for case in gpu.parts(2)[2].cases}
    assert {(16384, 2304, 768), (16384, 50304, 768), (16384, 1600, 6400), (8192, 8192, 8192)} <= shapes
    assert len(shapes) == 10
    update = gpu.parts(2)[1].cases[1]
    assert update.name == "124.5 million parameters"
    assert update.bytes == 34 * update.facts["parameters"]


def test_every_part_is_there_and_nothing_went_wrong_unseen(result):
    assert result["device"] == DEVICE
    assert list(result["parts"]) == [part.name for part in gpu.parts(2)]
    assert not any("error" in part or "left_out" in part for part in result["parts"].values())
    assert result["contenders"]["PyTorch compiled"] == {"ours": False, "absent": "No module named 'torch'"}
    assert all(case["gpu"]["clocks.sm"] for part in result["parts"].values() for case in part["cases"])


def test_tables(result):
    text = report.text(result)
    assert "- PyTorch compiled: absent: No module named 'torch'" in text
    assert "| copy 1024 MiB" in text
    assert "3.00 TB/s" in text
    assert "0.80 (0.80–0.80)" in text  # ours / PyTorch
    assert "- gdengine wgmma: ValueError: wgmma cannot do this" in text
    launches = text[text.index("### Launches") :]
    assert "1.00 ms" in launches  # a hundred of them took 0.1 s


def test_floors_are_operations_or_bytes_over_the_measured_ceilings(result):
    cases = {case["case"]: case for part in result["parts"].values() for case in part["cases"]}
    square = cases["linear forward 8192 × 8192 × 8192"]
    assert report.floor_s(result, square) == pytest.approx(2 * 8192**3 / RATES["bfloat16"])
    norm = cases["layer norm forward 16384 × 768"]
    assert report.floor_s(result, norm) == pytest.approx(2 * 2 * 16384 * 768 / BANDWIDTH)


def test_targets(result):
    told = [str(target) for target in report.targets(result)]
    assert told[0] == "met: the update reaches 90 % of the measured copy bandwidth: 100 %"
    assert told[1] == "met: bfloat16 dX reaches 85 % of cuBLAS over 8192³: 125 %"
    assert told[4].startswith("met: bfloat16 dW reaches 90 % of cuBLAS over GPT-2 124M's shapes: 125 % (from 125 % to")
    assert all(line.startswith("not measured: a training step of GPT-2 124M") for line in told[5:])
    slower = json.loads(json.dumps(result))
    for outcome in slower["parts"]["update"]["cases"][1]["contenders"].values():
        outcome["median_s"] *= 2
    assert str(report.targets(slower)[0]).startswith("NOT MET")


def test_picture(result, tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    from benchmarks.pictures import draw_gpu

    assert draw_gpu(result, tmp_path / "gpu.png")
    assert (tmp_path / "gpu.png").stat().st_size > 10_000


def test_show_prints_what_was_saved(result, tmp_path):
    file = tmp_path / "gpu.json"
    file.write_text(json.dumps(result), "utf-8")
    done = CliRunner().invoke(main, ["show", str(file)])
    assert done.exit_code == 0
    assert "### First targets" in done.output


def test_an_exception_in_a_part_is_recorded_and_the_next_part_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "Contender", Pretender)
    monkeypatch.setattr(parts.workloads, "save", lambda workload, path: 1 / 0)
    chosen = [part for part in gpu.small_parts(2) if part.name in ("step", "launch")]
    found = parts.Run("gpu", 60, 2, tmp_path / "out.json", lambda line: None).go(chosen)
    assert found["parts"]["step"]["error"].startswith("ZeroDivisionError")
    assert len(found["parts"]["launch"]["cases"]) == 2
    assert "this part ended early: ZeroDivisionError" in report.text(found)


def test_a_run_that_is_out_of_time_says_what_was_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "Contender", Pretender)
    chosen = [part for part in gpu.small_parts(2) if part.name == "ceilings"]
    found = parts.Run("gpu", 0.0, 2, None, lambda line: None).go(chosen)
    assert [case["case"] for case in found["parts"]["ceilings"]["cases"]] == ["copy 1 MiB"]
    assert found["parts"]["ceilings"]["left_out"]["cases"][0] == "matmul bfloat16 256"
