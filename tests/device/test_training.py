"""The trainer, checkpoints and the command on a GPU."""

import os
import signal

import numpy as np
import pytest
from click.testing import CliRunner

import gdengine as gd
from gdengine import optim
from gdengine.cli import main
from gdengine.data import Windows, batched
from gdengine.functional import cross_entropy
from gdengine.models import GPT, GPTConfig
from gdengine.training import Interrupted, Trainer, read_lines
from gdengine.training.checkpoint import load
from gdengine.training.store import Store

TOKENS = (np.arange(400) ** 2 + np.arange(400)) % 11
TINY = [
    "--n-layer",
    "1",
    "--n-head",
    "2",
    "--n-embd",
    "16",
    "--block-size",
    "8",
    "--batch-size",
    "4",
    "--dropout",
    "0.1",
]


def trainer(device, run=None, **options):
    gd.manual_seed(0)
    model = GPT(GPTConfig(block_size=8, vocab_size=11, n_layer=1, n_head=2, n_embd=16, dropout=0.1)).to(device)
    optimizer = optim.AdamW(model.named_parameters(), lr=optim.warmup_cosine(peak=1e-2, warmup=2, total=10))
    batches = Windows(TOKENS, 8, 4, seed=0)
    held_out = batched(TOKENS[:45].reshape(5, 9), 4)  # the last batch is smaller
    return Trainer(
        model, optimizer, cross_entropy, batches, validation=held_out, run=run, eval_every=4, progress=False, **options
    )


def fitted(steps, *args, **options):
    one = trainer(*args, **options)
    one.fit(steps)
    return one


def weights(one):
    return {name: value.get().tobytes() for name, value in one.model.state_dict().items()}


@pytest.mark.parametrize("accumulate", [1, 2])
def test_it_records_what_the_cpu_records(gpu, accumulate):
    here, there = (fitted(6, device, accumulate=accumulate) for device in ("cpu", "cuda"))
    for expected, got in zip(here.history, there.history, strict=True):
        assert expected.keys() == got.keys()
        for name, value in expected.items():
            assert got[name] == pytest.approx(value, rel=2e-5), name


@pytest.mark.parametrize("options", [{}, {"accumulate": 2}, {"dtype": "bf16"}], ids=str)
def test_captured_it_has_the_same_bits(gpu, options):
    eager, captured = (fitted(6, "cuda", graph=graph, **options) for graph in (False, True))
    assert eager.history == captured.history
    assert weights(eager) == weights(captured)


@pytest.mark.parametrize("graph", [False, True])
def test_stopped_and_resumed_it_has_the_same_bits(gpu, graph, tmp_path):
    whole = trainer("cuda", tmp_path / "whole", graph=graph, dtype="bf16")
    whole.fit(8)
    part = trainer("cuda", tmp_path / "part", graph=graph, dtype="bf16", checkpoint_every=5)
    part.callbacks.append(stop_after(6))
    with pytest.raises(KeyboardInterrupt):
        part.fit(8)
    again = trainer("cuda", tmp_path / "part", graph=graph, dtype="bf16")
    assert again.resume() == 5
    again.fit(8)
    assert weights(whole) == weights(again)
    metrics = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "part")]
    assert metrics[0] == metrics[1]


@pytest.mark.parametrize("graph", [False, True])
def test_stopped_between_batches_and_resumed_it_has_the_same_bits(gpu, graph, tmp_path):
    """A recorded step begins anew; any other goes on in its middle."""
    whole = trainer("cuda", tmp_path / "whole", accumulate=3)
    whole.fit(3)
    part = trainer("cuda", tmp_path / "part", accumulate=3)
    loss_fn, calls = part.loss_fn, []

    def loss(*given):
        calls.append(1)
        if len(calls) == 5 + 2:  # two validation batches come first
            os.kill(os.getpid(), signal.SIGTERM)
        return loss_fn(*given)

    part.loss_fn = loss
    with pytest.raises(Interrupted, match="step 1 and 2 of the 3"):
        part.fit(3)
    again = trainer("cuda", tmp_path / "part", accumulate=3, graph=graph)
    assert again.resume() == 1
    again.fit(3)
    assert weights(whole) == weights(again)
    metrics = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "part")]
    assert metrics[0] == metrics[1]


@pytest.mark.parametrize(("graph", "accumulate"), [(False, 1), (True, 2)])
def test_a_step_whose_loss_alone_is_not_finite_changes_no_bit(gpu, graph, accumulate):
    """The gradient is finite: a constant was added to the loss."""
    one = trainer("cuda", graph=graph, accumulate=accumulate)
    one.validation = None
    added, loss_fn, seen = gd.Tensor(np.zeros((), np.float32)).to("cuda"), one.loss_fn, []
    one.loss_fn = lambda *given: loss_fn(*given) + added

    def spoil(which, record):
        flat = which.optimizer.flats[0]
        seen.append([flat.theta.get().tobytes(), *(vector.get().tobytes() for vector in flat.state.values())])
        with gd.no_grad():
            added[...] = float("nan") if record["step"] == 3 else float("-inf") if record["step"] == 4 else 0.0

    one.callbacks.append(spoil)
    one.fit(6)
    assert [record.get("skipped") for record in one.history if "loss" in record] == [*[None] * 3, "loss", "loss", None]
    assert seen[2] == seen[3] == seen[4] != seen[5]
    assert (one.optimizer.t, one.optimizer.skipped) == (4, 2)
    assert all(np.isfinite(record["grad_norm"]) for record in one.history if "loss" in record)


def stop_after(step):
    def callback(one, record):
        if one.step == step:
            raise KeyboardInterrupt

    return callback


def test_a_skipped_step_is_told_of(gpu):
    one = trainer("cuda")

    def spoil(which, record):
        if which.step == 2:
            with gd.no_grad():
                which.model.transformer.ln_f.bias[0] = float("inf")
        if which.step == 3:
            which.stop()

    one.callbacks.append(spoil)
    one.validation = None
    one.fit(4)
    assert ["skipped" in record for record in one.history if "loss" in record] == [False, False, True]


def test_the_command(gpu, tmp_path, monkeypatch):
    pytest.importorskip("tomli_w", reason="the command writes its settings with tomli_w")
    monkeypatch.chdir(tmp_path)
    corpus = tmp_path / "text.txt"
    corpus.write_text("".join(f"{i}: {i * i}.\n" for i in range(300)))

    def run(*arguments, code=0):
        result = CliRunner().invoke(main, [str(a) for a in arguments])
        assert result.exit_code == code, result.output
        return result.output

    common = ["--corpus", corpus, "--device", "cuda", "--dtype", "bf16", "--graph", "--no-plots", "--sample-tokens", 5]
    told = run("train", *common, *TINY, "--steps", 4, "--eval-every", 0, "--held-out-blocks", 1, "--held-out", 0.02)
    assert "(cuda), bf16, the step captured as a graph" in told
    run("train", "--resume", "runs/text", "--steps", 6)
    state = load(Store(tmp_path / "runs" / "text" / "checkpoints").newest())
    assert {type(value) for value in state["model"].values()} == {np.ndarray}
    assert state["step"] == 6
    assert len(read_lines(tmp_path / "runs" / "text" / "metrics.jsonl")) == 8
    assert run("sample", "runs/text", "--tokens", 3, "--prompt", "1").startswith("1")
    assert "cuda:0" in run("info")


def test_the_command_without_a_gpu(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gd.cuda, "why_not", lambda: "there is none")
    result = CliRunner().invoke(main, ["train", "--device", "cuda"])
    assert result.exit_code != 0
    assert "'cuda' cannot be used: there is none. Use 'cpu'" in result.output
    assert list(tmp_path.iterdir()) == []
