"""The command, with real contenders in their processes, on next to nothing."""

import importlib.util
import json

import pytest
from click.testing import CliRunner

from benchmarks import __main__ as command
from benchmarks import cpu, report


def invoke(*arguments):
    return CliRunner().invoke(command.main, list(arguments))


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """``cpu --check``: its output, and what it wrote."""
    out = tmp_path_factory.mktemp("results") / "cpu.json"
    done = invoke("cpu", "--check", "--threads", "1", "--out", str(out), "--note", "only a check")
    assert done.exit_code == 0, done.output
    return done.output, json.loads(out.read_text("utf-8"))


def test_every_task_works(checked):
    _, result = checked
    assert list(result["parts"]) == [part.name for part in cpu.parts(1)]
    for part in result["parts"].values():
        assert part["cases"]
        assert "error" not in part


def test_every_contender_ran_everything_or_is_absent(checked):
    _, result = checked
    present = {name for name, found in result["contenders"].items() if "absent" not in found}
    assert {"gdengine", "NumPy"} <= present
    for part in cpu.small_parts(1):
        asked = {case.name: case.only or tuple(who.name for who in part.contenders) for case in part.cases}
        for case in result["parts"][part.name]["cases"]:
            assert set(case["contenders"]) == present & set(asked[case["case"]])
            assert all(outcome["median_s"] > 0 for outcome in case["contenders"].values())


def test_results_agree_with_pytorch(checked):
    if importlib.util.find_spec("torch") is None:
        pytest.skip("needs PyTorch")
    _, result = checked
    assert command.faults(result) == []
    for name in ("step", "update", "linear", "kernels"):
        for case in result["parts"][name]["cases"]:
            agreements = [o["agreement"] for who, o in case["contenders"].items() if who != "PyTorch"]
            assert all(found["against"] == "PyTorch" and found["compared"] for found in agreements)


def test_what_is_told(checked):
    output, result = checked
    assert "### Training steps" in output
    assert "note: only a check" in output
    assert report.text(result) in output
    assert result["threads"] == 1
    assert result["commit"]
    assert result["machine"]["cpu"]


def test_picture(checked, tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    if importlib.util.find_spec("torch") is None:
        pytest.skip("needs PyTorch: alone, ours has no ratios to draw")
    from benchmarks.pictures import draw_cpu

    assert draw_cpu(checked[1], tmp_path / "cpu.png")
    assert (tmp_path / "cpu.png").stat().st_size > 10_000


def test_a_part_that_does_not_exist():
    done = invoke("cpu", "--only", "step,steep")
    assert done.exit_code == 2
    assert "there are ceilings, step, update, growth" in " ".join(done.output.split())


def test_without_a_gpu_everybody_is_absent_with_the_reason():
    from gdengine import cuda

    if cuda.is_available():
        pytest.skip("there is a GPU")
    done = invoke("gpu", "--check", "--only", "launch")
    assert done.exit_code == 1
    assert "- gdengine: absent: CuPy" in done.output
    assert "nothing was measured" in done.output


def test_results_are_named_by_device_and_date():
    assert command.slug("NVIDIA H100 80GB HBM3") == "nvidia-h100-80gb-hbm3"


@pytest.mark.parametrize("file", sorted(command.RESULTS.glob("*.json")), ids=lambda path: path.name)
def test_kept_results_can_be_shown(file):
    result = json.loads(file.read_text("utf-8"))
    assert result["date"][:10] in file.name
    assert command.slug(result["device"]) in file.name
    assert report.measured(result)
    assert report.text(result)
