"""The runner of what wants a GPU: which stages there are, and what becomes of failures."""

import sys

import pytest

from tests import on_a_gpu


def test_a_stage_that_there_is_not(capsys):
    assert on_a_gpu.main(["kernel"]) == 2
    assert "kernels" in capsys.readouterr().out


def test_the_worst_decides_and_all_are_run(monkeypatch, capsys):
    def python(program: str) -> tuple[str, ...]:
        return sys.executable, "-c", program

    stages = {
        "good": (python(""), 60),
        "bad": (python("raise SystemExit(3)"), 60),
        "endless": (python("import time; time.sleep(60)"), 1),
    }
    monkeypatch.setattr(on_a_gpu, "STAGES", stages)
    assert on_a_gpu.main([]) == 124
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[-3:]] == [
        ["good", "passed"],
        ["bad", "FAILED"],
        ["endless", "FAILED"],
    ]
    assert on_a_gpu.main(["good"]) == 0


@pytest.mark.parametrize("name", [name for name, (command, _) in on_a_gpu.STAGES.items() if "pytest" in command])
def test_what_a_stage_runs_is_there(name):
    command, _ = on_a_gpu.STAGES[name]
    path = next(part for part in command if part.startswith("tests/")).split("::")[0]
    assert (on_a_gpu.ROOT / path).exists()
