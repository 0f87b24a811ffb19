import json
import math
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import gdengine as gd
from gdengine.cli import main
from gdengine.kernels import dispatch
from gdengine.training import Settings, read_lines

ROOT = Path(__file__).parent.parent
TINY = [
    *("--n-layer", "1", "--n-head", "2", "--n-embd", "16", "--block-size", "16", "--batch-size", "4"),
    *("--dropout", "0.1", "--steps", "20", "--eval-every", "10", "--sample-tokens", "30"),
]


@pytest.fixture(autouse=True)
def _same_threads_after():
    before = gd.get_num_threads()
    yield
    gd.set_num_threads(before)


@pytest.fixture
def corpus(tmp_path):
    """A small text file, of numbered lines none of which comes twice."""
    path = tmp_path / "some text.txt"
    path.write_text("".join(f"Line {i}: {i * i} is the square of {i}.\n" for i in range(300)))
    return path


@pytest.fixture
def gdengine(tmp_path, monkeypatch):
    """A function that runs a command in an empty folder, and wants it to end with ``code``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments, code=0):
        result = CliRunner().invoke(main, [str(a) for a in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result.output

    return run


def test_help_names_every_setting(gdengine):
    output = gdengine("train", "--help")
    for name in Settings().to_dict():
        assert f"--{name.replace('_', '-')} " in output
    for title in ("Data:", "Model:", "Optimizer:", "Schedule:", "Training:", "Sample:", "Run:"):
        assert title in output


def test_help_is_there_at_once():
    program = "import sys; from gdengine.cli import main; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"numba", "matplotlib", "safetensors", "tqdm", "scipy"} & set(modules)


def test_train_sample_resume(gdengine, corpus, tmp_path):
    output = gdengine("train", "--corpus", corpus, "--no-plots", *TINY)
    folder = Path("runs") / "some text"
    assert "300 lines" not in output
    assert re.search(r"GPT with [\d,]+ parameters: 1 layers, 2 heads, width 16, context 16", output)
    assert "step     20 · held-out loss" in output
    assert re.search(r"bigram model +\d\.\d{4}", output)
    assert re.search(r"unigram model +\d\.\d{4}", output)
    assert f"gdengine sample '{folder}' --prompt Line" in output
    assert sorted(os.listdir(folder)) == [
        "README.txt", "checkpoints", "metrics.jsonl", "sample.txt", "sessions.jsonl", "settings.toml", "summary.json",
        "timings.jsonl",
    ]  # fmt: skip
    settings = Settings.from_toml(folder / "settings.toml")
    assert settings.corpus == str(corpus)
    assert settings.decay_steps == settings.steps == 20
    assert settings.threads == gd.get_num_threads()
    assert len((folder / "sample.txt").read_text()) == 31

    written = [gdengine("sample", folder, "--prompt", "Line 1", "--tokens", 20, "--seed", seed) for seed in (1, 1, 2)]
    assert written[0] == written[1] != written[2]
    assert all(text.startswith("Line 1") and len(text) == 27 for text in written)
    assert gdengine("sample", folder, "--tokens", 5, "--top-k", 1, "--temperature", 0)

    output = gdengine("train", "--resume", folder, "--steps", 25, "--sample-tokens", 0)
    assert "falls until step 20" in output
    records = read_lines(folder / "metrics.jsonl")
    assert [r["step"] for r in records] == [*range(26), 25]
    assert records[24]["lr"] == pytest.approx(4e-4)
    assert Settings.from_toml(folder / "settings.toml").steps == 25


def test_runs_are_numbered(gdengine, corpus):
    arguments = ("train", "--corpus", corpus, "--no-plots", *TINY, "--steps", 1, "--sample-tokens", 0)
    for _ in range(3):
        gdengine(*arguments)
    assert sorted(os.listdir("runs")) == ["some text", "some text-2", "some text-3"]
    gdengine(*arguments, "--run", "mine")
    assert "mine holds a run already" in gdengine(*arguments, "--run", "mine", code=1)


def test_pictures_are_drawn(gdengine, corpus):
    pytest.importorskip("matplotlib", reason="pictures are an extra")
    gdengine("train", "--corpus", corpus, "--run", "mine", *TINY)
    for name in ("loss.png", "lr.png"):
        assert (Path("mine") / name).read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_it_says_how_to_get_it(gdengine, corpus, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    output = gdengine("train", "--corpus", corpus, "--run", "mine", *TINY)
    assert "pip install 'gdengine[plots]'" in output
    assert not (Path("mine") / "loss.png").exists()


def test_settings_of_a_run_make_the_same_run(gdengine, corpus):
    gdengine("train", "--corpus", corpus, "--run", "one", "--no-plots", *TINY)
    gdengine("train", "--config", Path("one") / "settings.toml", "--run", "two")
    assert (Path("one") / "metrics.jsonl").read_bytes() == (Path("two") / "metrics.jsonl").read_bytes()
    one, two = (tomllib.loads((Path(name) / "settings.toml").read_text()) for name in ("one", "two"))
    assert (one["run"].pop("run"), two["run"].pop("run")) == ("one", "two")
    assert one == two


def test_options_override_the_file(gdengine, corpus):
    Path("a.toml").write_text(f"[data]\ncorpus = '{corpus}'\n[training]\nsteps = 5\nseed = 3\n[run]\nplots = false\n")
    gdengine("train", "--config", "a.toml", "--run", "mine", *TINY, "--steps", 2)
    settings = Settings.from_toml(Path("mine") / "settings.toml")
    assert (settings.steps, settings.seed, settings.corpus) == (2, 3, str(corpus))


def test_a_run_goes_on_with_the_file_that_it_began_with(gdengine, corpus):
    Path("a.toml").write_text(
        f"[data]\ncorpus = '{corpus.name}'\n[schedule]\ndecay_steps = 0\n[training]\nthreads = 0\nsteps = 5\n"
        "[model]\nn_layer = 1\nn_head = 2\nn_embd = 16\n[run]\nrun = 'mine'\nplots = false\n"
    )
    gdengine("train", "--config", "a.toml")
    before = Settings.from_toml(Path("mine") / "settings.toml")
    gdengine("train", "--config", "a.toml", "--resume", "mine", "--steps", 6)
    assert Settings.from_toml(Path("mine") / "settings.toml") == replace(before, steps=6)


def test_a_run_that_moved_goes_on(gdengine, corpus):
    gdengine("train", "--corpus", corpus, "--run", "here", "--no-plots", *TINY)
    os.rename("here", "there")
    os.rename(corpus, "moved.txt")
    output = gdengine("train", "--resume", "there", "--steps", 22, code=1)
    assert "there is no file" in output
    assert "if the text lies elsewhere now, say where by --corpus" in output
    gdengine("train", "--resume", "there", "--steps", 22, "--corpus", "moved.txt")
    settings = Settings.from_toml(Path("there") / "settings.toml")
    assert (settings.run, settings.corpus) == ("there", os.path.abspath("moved.txt"))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--steps", "0"], 2, "steps must be 1 or more, got 0"),
        (["--steps", "x"], 2, "'x' is not a valid integer"),
        (["--n-layers", "3"], 2, "Did you mean"),
        (["--n-embd", "31"], 2, "n_embd must be a multiple of n_head"),
        (["--config", "none.toml"], 2, "none.toml cannot be read"),
        (
            ["--corpus", "none.txt"],
            1,
            "there is no file, folder or pattern 'none.txt'; the corpora that come along are: python_docs",
        ),
        (["--corpus", "none/*.txt"], 1, "no file with anything in it fits the pattern"),
        (["--tokenizer", "word"], 2, "tokenizer must be empty, char, byte, bpe"),
        (["--tokenizer", "bpe:none.json"], 1, "there is no file none.json"),
        (["--vocab-size", "9"], 2, "vocab_size must be 257 or more"),
        (["--block-size", "9999"], 1, "smaller block_size"),
        (["--prompt", "ß"], 1, "'ß' (U+00DF) not among them"),
        (["--resume", "none"], 1, "there is no checkpoint in none"),
        (["--run", "some text.txt"], 1, "some text.txt"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_message(gdengine, corpus, arguments, code, message):
    before = sorted(os.listdir())
    output = gdengine("train", "--corpus", corpus, *TINY, *arguments, code=code)
    assert message in " ".join(output.split())
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize(
    ("tokenizer", "told", "unit"),
    [
        (["byte"], "as bytes of 256, ", "byte"),
        (["bpe", "--vocab-size", 300], "as tokens of 300, ", "token"),
    ],
)
def test_other_tokens(gdengine, corpus, tokenizer, told, unit):
    if unit == "token":
        pytest.importorskip("tokenizers", reason="byte pairs need the library")
    arguments = ("--no-plots", *TINY, "--sample-tokens", 9)
    output = gdengine("train", "--corpus", corpus, "--run", "mine", "--tokenizer", *tokenizer, *arguments)
    assert told in output
    assert f"in nats per {unit}:" in output
    model, per_byte = re.search(r"this model +([\d.]+) .*; ([\d.]+) bits a byte", output).groups()
    summary = json.loads((Path("mine") / "summary.json").read_text())
    assert summary["held_out_bits_per_byte"] == pytest.approx(float(per_byte), abs=1e-3)
    if unit == "byte":
        assert float(per_byte) == pytest.approx(float(model) / math.log(2), abs=2e-3)
    assert gdengine("sample", "mine", "--prompt", "Line ß", "--tokens", 1, "--seed", 1).startswith("Line ß")
    whole = read_lines(Path("mine") / "metrics.jsonl")
    gdengine("train", "--resume", "mine", "--steps", 22, "--sample-tokens", 0)
    assert read_lines(Path("mine") / "metrics.jsonl")[:20] == whole[:20]


def test_a_folder_of_files(gdengine, corpus):
    text = corpus.read_text()
    for i in range(5):
        path = Path("texts", "ab"[i % 2], f"{i}.txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("Line", f"Row {i}-"))
    output = gdengine("train", "--corpus", "texts/**/*.txt", "--no-plots", *TINY, "--eval-windows", 7)
    assert re.search(r"[1-7] windows of 16 characters", output)
    assert (Path("runs") / "texts" / "summary.json").exists()
    settings = Settings.from_toml(Path("runs") / "texts" / "settings.toml")
    assert settings.corpus == os.path.abspath("texts/**/*.txt")
    gdengine("train", "--resume", Path("runs") / "texts", "--corpus", "texts", "--steps", 22, "--sample-tokens", 0)
    Path("texts", "a", "0.txt").write_text("another text altogether")
    output = gdengine("train", "--resume", Path("runs") / "texts", "--steps", 30, code=1)
    assert "is another than the run began with: it has" in " ".join(output.split())


def test_a_token_file_is_made_shown_and_trained_on(gdengine, corpus):
    output = gdengine("data", "prepare", corpus, "--out", "a.tokens", "--tokenizer", "char")
    assert re.search(r"a\.tokens: [\d,]+ tokens of \d+ \(uint8\), the last [\d,]+ held out; tokenizer char", output)
    assert "gdengine train --corpus a.tokens" in output
    assert "--force" in gdengine("data", "prepare", corpus, "--out", "a.tokens", code=1)
    output = gdengine("data", "show", "a.tokens", "--verify")
    assert "It begins: 'Line 0: 0 is the square" in output
    assert "Every token is as it was written" in output
    arguments = ("train", "--corpus", "a.tokens", "--no-plots", *TINY)
    output = gdengine(*arguments)
    assert "characters of " in output
    assert "trained on" in output
    gdengine("train", "--resume", Path("runs") / "a", "--steps", 22, "--sample-tokens", 0)
    assert "brings its own tokenizer" in gdengine(*arguments, "--tokenizer", "byte", code=1)
    raw = Path("a.tokens").read_bytes()
    Path("a.tokens").write_bytes(raw[:-10])
    assert "it is cut off" in " ".join(gdengine(*arguments, code=1).split())
    Path("a.tokens").write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    assert "has been changed since" in " ".join(gdengine("data", "show", "a.tokens", "--verify", code=1).split())


def test_without_the_library_byte_pairs_say_how_to_get_it(gdengine, corpus, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    output = gdengine("train", "--corpus", corpus, "--tokenizer", "bpe", *TINY, code=1)
    assert "pip install 'gdengine[bpe]'" in output


@pytest.fixture
def tiny_run(gdengine, corpus):
    gdengine("train", "--corpus", corpus, "--run", "mine", "--no-plots", *TINY, "--steps", 3, "--sample-tokens", 0)
    return Path("mine")


def test_a_change_that_makes_it_another_run_is_refused(gdengine, tiny_run):
    before = (tiny_run / "settings.toml").read_bytes()
    output = gdengine("train", "--resume", tiny_run, "--steps", 9, "--lr", 0.5, "--n-embd", 32, code=2)
    assert "cannot take lr = 0.5 (was 0.004), n_embd = 32 (was 16); start" in " ".join(output.split())
    assert (tiny_run / "settings.toml").read_bytes() == before


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 1, "mine has done 3 steps, and 3 are wanted; to go on: gdengine train --resume mine --steps 6"),
        (["--steps", 2], 1, "mine has done 3 steps, and 2 are wanted"),
        (["--steps", 9, "--run", "other"], 2, "--resume mine cannot take --run other; leave --run out"),
        (["--steps", 9, "--run", ""], 2, "--resume mine cannot take --run ''"),
    ],
)
def test_a_resume_that_is_refused_changes_nothing(gdengine, tiny_run, arguments, code, message):
    before = files(tiny_run)
    output = gdengine("train", "--resume", tiny_run, *arguments, code=code)
    assert message in " ".join(output.split())
    assert files(tiny_run) == before
    assert not Path("other").exists()


def test_the_folder_of_a_file_or_the_same_folder_is_no_contradiction(gdengine, tiny_run):
    Path("a.toml").write_text("[run]\nrun = 'other'\n")
    gdengine("train", "--resume", tiny_run, "--config", "a.toml", "--steps", 4)
    gdengine("train", "--resume", tiny_run, "--run", tiny_run.absolute(), "--steps", 5)
    assert not Path("other").exists()


def test_another_corpus_is_refused(gdengine, tiny_run, corpus):
    corpus.write_text(corpus.read_text().replace("square", "SQUARE"))
    before = files(tiny_run)
    assert "is another than the run began with" in gdengine("train", "--resume", tiny_run, "--steps", 9, code=1)
    assert files(tiny_run) == before


@pytest.mark.parametrize(("schedule", "told"), [("cosine", True), ("constant", False)])
def test_a_new_run_whose_lr_stays_says_so(gdengine, corpus, schedule, told):
    output = gdengine(
        *("train", "--corpus", corpus, "--run", "mine", "--no-plots", *TINY, "--schedule", schedule),
        *("--steps", 2, "--decay-steps", 1, "--sample-tokens", 0),
    )
    assert ("falls until step 1 (decay_steps), and then stays" in output) is told


def test_a_text_that_begins_with_white_space_has_no_prompt_to_propose(gdengine, corpus):
    corpus.write_text("\n" * 4000 + corpus.read_text())
    output = gdengine(
        *("train", "--corpus", corpus, "--run", "mine", "--no-plots", *TINY, "--held-out-blocks", 1),
        *("--steps", 1, "--sample-tokens", 0),
    )
    assert "  gdengine sample mine\n" in output


def test_the_help_of_sample_says_what_the_settings_say(gdengine):
    output = " ".join(gdengine("sample", "--help").split())
    assert "below 1: unlikely tokens are drawn more rarely; 0: never" in output


def test_everything_that_can_be_written_down(gdengine, corpus, monkeypatch):
    pytest.importorskip("tensorboardX", reason="TensorBoard is an extra")
    more = ["--csv", "--tensorboard", "--sample-every", 1, "--patience", 1, "--keep", 1]
    slope = ["--lr", 0.03, "--eval-every", 1, "--steps", 200]  # a low lr makes it better first; noise ends it
    output = gdengine("train", "--corpus", corpus, "--run", "mine", "--no-plots", *TINY, *more, *slope)
    assert "Stopped early at step" in output
    assert "has not become better in 1 evaluations" in output
    folder = Path("mine")
    readme = (folder / "README.txt").read_text()
    assert {"metrics.csv", "tensorboard", "samples.jsonl"} <= set(os.listdir(folder))
    assert all(name in readme for name in os.listdir(folder))
    steps = [int(path.stem) for path in (folder / "checkpoints").glob("*.safetensors")]
    assert len(steps) == 2  # the best, and the newest
    texts = [gdengine("sample", folder, "--tokens", 9, "--seed", 1, *best) for best in ([], ["--best"])]
    assert texts[0] != texts[1]


def test_a_library_that_is_not_there_is_named_before_anything_is_made(gdengine, corpus):
    output = gdengine("train", "--corpus", corpus, "--run", "mine", *TINY, "--wandb", "project", code=1)
    assert "pip install 'gdengine[wandb]'" in output
    assert not Path("mine").exists()


def test_training_that_diverges_gives_up(gdengine, corpus):
    with np.errstate(all="ignore"):
        output = gdengine(
            *("train", "--corpus", corpus, "--run", "mine", "--no-plots", *TINY, "--lr", 1e30, "--steps", 99),
            code=3,
        )
    assert "the last 10 steps, from" in output
    assert "first: result of" in output
    assert "There is a checkpoint of step" in output
    assert "gdengine train --config mine/settings.toml --run mine-again --lr 3.3e+29" in output
    assert len(read_lines(Path("mine") / "incidents.jsonl")) == 10


def test_a_damaged_checkpoint_is_passed_over(gdengine, tiny_run):
    gdengine("train", "--resume", tiny_run, "--steps", 5)
    path = tiny_run / "checkpoints" / "00000005.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    output = gdengine("train", "--resume", tiny_run, "--steps", 6)
    assert "00000005.safetensors is not a whole safetensors file" in output
    assert "Taking the checkpoint before it, of step 3" in output
    assert (tiny_run / "checkpoints" / "00000005.safetensors.damaged").exists()


def test_a_damaged_checkpoint_is_refused(gdengine, tiny_run):
    path = tiny_run / "checkpoints" / "00000003.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    for command in (["train", "--steps", "9", "--resume"], ["sample"]):
        assert "is not a whole safetensors file" in gdengine(*command, tiny_run, code=1)


def test_sample_says_what_is_wrong(gdengine, tiny_run):
    assert "'ß' (U+00DF) not among them" in gdengine("sample", tiny_run, "--prompt", "ß", code=1)
    assert "no checkpoint" in gdengine("sample", "none", code=1)
    assert "temperature" in gdengine("sample", tiny_run, "--temperature", "-1", code=2)


def test_the_run_of_a_script_is_not_the_commands(gdengine, tmp_path):
    from gdengine import nn, optim
    from gdengine.functional import cross_entropy
    from gdengine.training import Trainer

    model = nn.Linear(2, 3)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    Trainer(model, optimizer, cross_entropy, [([[0.0, 1.0]], [1])], run="script", progress=False).fit(1)
    assert "a script of its own" in gdengine("sample", "script", code=1)


def test_an_option_as_it_is_called_elsewhere(gdengine):
    assert "no option --learning-rate; did you mean --lr?" in gdengine("train", "--learning-rate", "1", code=2)
    assert "did you mean --clip-norm?" in gdengine("train", "--max-grad-norm", "1", code=2)


def test_a_file_where_the_folder_should_be(gdengine, tmp_path):
    (tmp_path / "file").write_text("")
    for run in (tmp_path / "file", tmp_path / "file" / "below"):
        told = gdengine("train", "--run", run, "--steps", 1, code=1)
        assert f"there can be no folder {run}: " in told
        assert "Name another by --run" in told


def test_info(gdengine):
    output = gdengine("info")
    names = (
        "gdengine",
        "Python",
        "numpy",
        "numba",
        "click",
        "tqdm",
        "tomli_w",
        "cupy",
        "CPU",
        "GPU",
        "threads",
        "kernels",
    )
    for name in names:
        assert re.search(rf"^{name} +\S", output, re.MULTILINE)
    assert re.search(r"^BLAS +\S.*, through numpy.matmul$", output, re.MULTILINE)
    fused = dispatch.choice() == "fused"
    assert fused == bool(re.search(r"^products +in the kernels, tiles of \d+ rows", output, re.MULTILINE))


def test_python_m_and_version():
    result = subprocess.run(
        [sys.executable, "-m", "gdengine", "--version"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert gd.__version__ in result.stdout


def test_ctrl_c_stops_with_a_checkpoint_and_says_how_to_go_on(gdengine, corpus, tmp_path):
    arguments = ["train", "--corpus", str(corpus), "--no-plots", *TINY, "--decay-steps", "40"]
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    process = subprocess.Popen(
        [sys.executable, "-m", "gdengine", *arguments, "--run", str(broken), "--steps", "1000000"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        metrics, deadline = broken / "metrics.jsonl", time.monotonic() + 120
        while not (metrics.exists() and metrics.read_bytes().count(b"\n") >= 4):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Ctrl-C again stops at once" in err
    assert "Traceback" not in err
    step = int(re.search(r"Stopped after step (\d+).*, with a checkpoint", out)[1])
    assert f"gdengine train --resume {broken}" in out
    assert [r["step"] for r in read_lines(metrics)] == list(range(step + 1))
    assert sorted(os.listdir(broken / "checkpoints")) == [f"{step:08d}.safetensors", "index.json"]

    gdengine("train", "--resume", broken, "--steps", step + 10)
    gdengine(*arguments, "--run", whole, "--steps", step + 10)
    assert metrics.read_bytes() == (whole / "metrics.jsonl").read_bytes()
