import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from gdengine import kernels
from gdengine.cli import main
from gdengine.kernels import dispatch
from gdengine.training import Csv, Settings
from gdengine.training.charts import Chart, Line, thinned
from gdengine.training.comparison import Comparison
from gdengine.training.numbers import duration, shown
from gdengine.training.recorded import RecordedRun
from gdengine.training.report import environment

KERNELS = Path(kernels.__file__).resolve().parent


@pytest.fixture
def run(make_trainer, tmp_path):
    """The folder of a run, with settings and samples in it."""
    folder = tmp_path / "a run"
    make_trainer(run=folder, eval_every=2, checkpoint_every=3).fit(8)
    (folder / "settings.toml").write_text(Settings(lr=0.5, corpus="<b>&text</b>.txt").to_toml())
    (folder / "sample.txt").write_text("<script>alert('no')</script>\n")
    return folder


def command(*arguments, code=0):
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_a_recorded_run_says_what_came_of_it(run):
    one = RecordedRun(run)
    steps, losses = one.curve("val_loss")
    assert steps.tolist() == [0, 2, 4, 6, 8]
    results = one.results()
    assert results["held-out loss"] == losses[-1]
    assert results["best held-out loss"] == losses.min()
    assert results["tokens"] == 8 * 32
    assert (one.step, one.state, results["skipped steps"]) == (8, "finished", 0)
    assert one.changed_settings() == {"lr", "corpus"}
    assert len(one.speed()[0]) == 8
    assert len(one.sessions) == 1


def test_the_report_is_one_page_that_needs_nothing_else(run):
    pytest.importorskip("matplotlib", reason="pictures are an extra")
    output = command("report", run)
    assert str(run / "report.html") in output
    page = (run / "report.html").read_text()
    assert not re.search(r'(src|href)\s*=\s*"(?!#)', page)
    assert "@import" not in page
    assert "url(http" not in page
    assert "<script" not in page
    assert "&lt;script&gt;alert" in page
    assert "&lt;b&gt;&amp;text" in page
    for text in ("Loss", "Learning rate", "Gradient norm", "Tokens a second", "Settings", "Environment", "Checkpoints"):
        assert f">{text}" in page
    assert page.count("<svg") == page.count("</svg>") == 4
    ids = re.findall(r'<clipPath id="([^"]+)"', page)
    assert len(set(ids)) == len(ids)


def test_a_report_of_a_bare_run_can_be_made(make_trainer, tmp_path):
    pytest.importorskip("matplotlib", reason="pictures are an extra")
    make_trainer(run=tmp_path / "bare", validation=None).fit(1)
    command("report", tmp_path / "bare", "--output", tmp_path / "there.html")
    assert (tmp_path / "there.html").exists()
    assert not (tmp_path / "bare" / "report.html").exists()


def test_no_run_is_said_so(tmp_path):
    assert "there is no run in" in command("report", tmp_path / "none", code=1)
    assert "there is no run in" in command("compare", tmp_path, tmp_path, code=1)
    assert "two runs or more" in command("compare", tmp_path, code=2)


@pytest.fixture
def other(run, tmp_path):
    """A run like ``run``, with other settings and a better loss."""
    folder = tmp_path / "deeper" / "a run"
    shutil.copytree(run, folder)
    (folder / "settings.toml").write_text(Settings(lr=0.25, corpus="<b>&text</b>.txt", n_layer=7).to_toml())
    with open(folder / "metrics.jsonl", "a") as file:
        file.write('{"step": 9, "loss": 1.0, "lr": 0.1, "grad_norm": null, "tokens": 288, "val_loss": 0.125}\n')
    return folder


def test_runs_are_compared_in_a_table(run, other):
    lines = command("compare", run, other).splitlines()
    cells = {line.split("  ")[0]: line.split()[-4:] for line in lines if line}
    assert lines[0].split("  ")[-1].strip().endswith("deeper/a run")
    assert [part for part in cells["lr"] if part[0].isdigit()] == ["0.5", "0.25"]
    assert [part for part in cells["n_layer"] if part[0].isdigit()] == ["4", "7"]
    assert "dropout" not in cells
    assert cells["held-out loss"][-2:] == ["0.125", "*"]
    comparison = Comparison([RecordedRun(run), RecordedRun(other)])
    assert comparison.best("held-out loss") == 1
    assert comparison.best("steps") is None


def test_runs_are_compared_on_a_page(run, other, tmp_path):
    pytest.importorskip("matplotlib", reason="pictures are an extra")
    command("compare", run, other, "--html", tmp_path / "both.html")
    page = (tmp_path / "both.html").read_text()
    assert page.count("<svg") == 4
    assert page.count('class="key"') == 4
    assert "n_layer" in page


def test_thinning_keeps_the_ends_of_every_stretch():
    values = np.sin(np.arange(10_000.0))
    values[1234], values[5678], values[99] = 9.0, -9.0, np.nan
    steps, kept = thinned(np.arange(10_000.0), values, 500)
    assert len(kept) <= 500
    assert (kept.max(), kept.min()) == (9.0, -9.0)
    assert (np.diff(steps) > 0).all()


def test_a_drawing_leaves_colours_to_the_page():
    pytest.importorskip("matplotlib", reason="pictures are an extra")
    drawing = Chart("A <title>", [Line("one", (np.arange(9.0), np.arange(9.0)))], {"level": 4.0}).svg()
    assert "var(--faint)" in drawing
    assert "#02" not in drawing
    assert 'aria-label="A &lt;title>"' in drawing


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((None, "–"), (True, "yes"), (1234567, "1,234,567"), (1.25, "1.25"), (0.004, "0.004"), (1e-8, "1e-08")),
        *((12345.6, "12,346"), (0.0, "0"), (float("inf"), "inf"), ("text", "text"), (2.0, "2")),
    ],
)
def test_numbers_are_shown_as_people_read_them(value, text):
    assert shown(value) == text


def test_durations():
    assert [duration(s) for s in (1.23, 12.3, 75, 3700)] == ["1.2 s", "12 s", "1 min 15 s", "1 h 1 min"]


def test_checkpoints_are_listed_checked_and_shown(run):
    output = command("checkpoint", "ls", run)
    assert [line.split()[1] for line in output.splitlines()] == ["6", "8"]
    assert command("checkpoint", "verify", run).count("whole") == 2
    output = command("checkpoint", "show", run, "--step", 6)
    assert re.search(r"^step +6$", output, re.MULTILINE)
    assert "model/transformer.wte.weight" in output
    assert "there is no checkpoint of step 5" in command("checkpoint", "show", run, "--step", 5, code=1)
    assert "there is no checkpoint in" in command("checkpoint", "ls", run.parent / "none", code=1)
    path = run / "checkpoints" / "00000006.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 128
    path.write_bytes(data)
    output = command("checkpoint", "verify", run, code=1)
    assert "00000006.safetensors  DAMAGED" in output
    assert "00000008.safetensors  whole" in output
    assert "is damaged" in command("checkpoint", "show", path, code=1)


def test_a_table_is_no_record_of_its_own(make_trainer, tmp_path):
    make_trainer(run=tmp_path / "run", callbacks=[Csv()]).fit(1)
    assert RecordedRun(tmp_path / "run").results()["steps"] == 1


# ---- the environment


@pytest.mark.parametrize(
    ("place", "named"),
    [
        (KERNELS / "__pycache__", f"{KERNELS.name}/__pycache__"),
        (Path.home() / ".cache" / "gdengine", "~/.cache/gdengine"),
        (Path("/scratch/of mine/gdengine"), "$NUMBA_CACHE_DIR/gdengine"),
        (Path("/mnt/odd/gdengine"), "gdengine"),
        (None, "none can be written: every run compiles anew"),
    ],
)
def test_where_the_kernels_are_kept_names_no_path_of_the_machine(monkeypatch, place, named):
    cache = pytest.importorskip("gdengine.kernels.common.cache", reason="without Numba nothing is compiled")
    monkeypatch.setattr(cache, "folder", lambda: place)
    monkeypatch.setattr(dispatch, "choice", lambda: "fused")
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/scratch/of mine")
    told = {name: value for name, value in environment() if name != "gdengine"}  # which says where it is installed
    assert told["cache"] == named
    for root in (str(Path.home()), str(KERNELS.parent), tempfile.gettempdir()):
        assert not [value for value in told.values() if f"{root}/" in value]
