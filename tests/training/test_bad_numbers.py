"""Steps whose numbers go bad: nothing moves, the cause is named, and the run ends in time."""

import numpy as np
import pytest

import gdengine as gd
from gdengine import nn, optim
from gdengine.functional import cross_entropy
from gdengine.kernels import dispatch
from gdengine.training import Diverged, Spikes, Trainer, read_lines
from gdengine.training.checkpoint import load
from tests.failing_memory import failing_memory

GOOD = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)


class Halves(nn.Module):
    """Two layers, and between them something that can be told to go wrong."""

    def __init__(self):
        super().__init__()
        self.first, self.drop, self.second = nn.Linear(3, 4), nn.Dropout(0.3), nn.Linear(4, 5)
        self.wrong = lambda x: x

    def forward(self, x):
        return self.second(self.wrong(self.drop(self.first(x))))


def make(batches, run=None, **options):
    gd.manual_seed(0)
    model = Halves()
    optimizer = optim.AdamW(model.named_parameters(), lr=0.01)
    return Trainer(model, optimizer, options.pop("loss", cross_entropy), batches, run=run, progress=False, **options)


def state(trainer):
    """All bits of parameters and optimizer state."""
    vectors = [trainer.optimizer.flats[0].theta, *trainer.optimizer.flats[0].state.values()]
    return [vector.tobytes() for vector in vectors]


def batches_with(bad, at, count=6):
    good = (GOOD, np.array([1, 2]))
    return [bad if i in at else good for i in range(count)]


NAN_INPUT = (np.array([[1, np.nan, 1], [1, 1, 1]], np.float32), np.array([0, 0]))


def test_a_step_with_bad_numbers_moves_nothing_and_names_the_first(tmp_path):
    seen = []
    trainer = make(batches_with(NAN_INPUT, {2}), tmp_path / "run", callbacks=[lambda t, r: seen.append(state(t))])
    trainer.fit(4)
    assert seen[1] == seen[2] != seen[3]
    record = trainer.history[2]
    assert record["loss"] is None
    assert record["skipped"] in dict(trainer.model.named_parameters())
    assert record["first"] == "input x (batch 1): 1 of 6 numbers"
    assert trainer.optimizer.skipped == 1
    incident = read_lines(tmp_path / "run" / "incidents.jsonl")[0]
    assert incident["batches"] == {"taken": 2}
    assert incident["step"] == 3
    assert incident["first"] == record["first"]


@pytest.mark.parametrize(
    ("wrong", "first"),
    [
        (lambda x: gd.functional.exp(x * 1e4), "result of exp in the model (batch 1)"),
        (lambda x: x / 0.0, "result of divide in the model (batch 1)"),
        (lambda x: gd.functional.sqrt(x * 0.0), "gradient of the result of multiply (batch 1)"),
    ],
)
def test_the_first_tensor_in_forward_order_is_named(wrong, first):
    trainer = make(batches_with(None, ()), max_skipped=0)
    trainer.model.wrong = wrong
    before = state(trainer)
    with np.errstate(all="ignore"):
        trainer.fit(1)
    assert trainer.history[0]["first"].startswith(first)
    assert state(trainer) == before


def test_a_bad_parameter_is_named_and_so_is_a_module():
    trainer = make(batches_with(None, ()), max_skipped=0)
    with gd.no_grad():
        trainer.model.second.bias[1] = float("inf")
    with np.errstate(all="ignore"):
        trainer.fit(1)
    assert trainer.history[0]["first"] == "parameter second.bias: 1 of 5 numbers"
    trainer = make(batches_with((GOOD * 1e38, np.array([0, 0])), {0}), max_skipped=0)
    with gd.no_grad():
        trainer.model.first.weight[...] = 10.0
    with np.errstate(all="ignore"):
        trainer.fit(1)
    assert trainer.history[0]["first"].startswith("result of linear in first (batch 1)")


def test_a_loss_that_is_not_finite_is_enough():
    trainer = make(batches_with(None, ()), loss=lambda out, y: cross_entropy(out, y) + float("inf"), max_skipped=0)
    before = state(trainer)
    trainer.fit(2)
    assert [r["skipped"] for r in trainer.history[:2]] == ["loss", "loss"]
    assert state(trainer) == before
    assert trainer.optimizer.skipped == 2


def test_looking_for_the_cause_changes_nothing_else(tmp_path):
    looked = make(batches_with(NAN_INPUT, {1}), tmp_path / "a")
    blind = make(batches_with(NAN_INPUT, {1}), tmp_path / "b")
    blind._first_not_finite = lambda *_: "input x (batch 1): 1 of 6 numbers"
    for trainer in (looked, blind):
        gd.manual_seed(3)
        trainer.fit(5)
    assert state(looked) == state(blind)
    assert (tmp_path / "a" / "metrics.jsonl").read_bytes() == (tmp_path / "b" / "metrics.jsonl").read_bytes()


def test_too_many_in_a_row_end_the_run_with_a_checkpoint_from_before(tmp_path):
    run = tmp_path / "run"
    batches = batches_with(NAN_INPUT, {1, 4, 5, 6}, count=9)
    trainer = make(batches, run, max_skipped=3, checkpoint_every=1)
    seen = []
    trainer.callbacks.append(lambda t, r: seen.append(state(t)))
    with pytest.raises(Diverged, match=r"3 steps, from 5 on.*first: input x.*checkpoint of step 4, before them"):
        trainer.fit(20)
    assert [path.stem for path in trainer.folder.store.paths()][-1] == "00000004"
    tree = load(trainer.folder.store.newest())
    assert (tree["step"], tree["tokens"], tree["batches"], tree["optimizer"]["skipped"]) == (4, 8, {"taken": 4}, 1)

    mended = batches_with(NAN_INPUT, {1}, count=9)
    again = make(mended, run, max_skipped=3)
    assert again.resume() == 4
    assert state(again) == seen[3]
    again.fit(9)
    whole = make(mended, tmp_path / "whole", max_skipped=3)
    whole.fit(9)
    assert state(whole) == state(again)
    assert (run / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()


def test_a_row_goes_on_over_a_resume(tmp_path):
    batches = batches_with(NAN_INPUT, {2, 3, 4, 5}, count=9)
    make(batches, tmp_path / "run", max_skipped=4).fit(4)
    again = make(batches, tmp_path / "run", max_skipped=4)
    again.resume()
    with pytest.raises(Diverged, match="from 3 on"):
        again.fit(9)
    assert again.folder.store.newest().stem == "00000002"


def test_without_a_folder_it_ends_too():
    with pytest.raises(Diverged, match="2 steps"):
        make(batches_with(NAN_INPUT, range(6)), max_skipped=2).fit(9)


# ---- jumps of the loss


def test_a_jump_is_one_by_median_and_mad():
    rng = np.random.default_rng(0)
    spikes = Spikes(threshold=8, window=100)
    usual = 3 + 0.1 * rng.standard_normal(400)
    assert [z for z in map(spikes.see, usual) if z is not None] == []
    z = spikes.score(4.5)
    window = usual[-100:]
    mad = np.median(np.abs(window - np.median(window)))
    assert z == pytest.approx((4.5 - np.median(window)) / (1.4826 * mad), rel=1e-12)
    assert spikes.see(4.5) == z
    assert spikes.see(1.5) is None
    assert spikes.see(float("nan")) is None


def test_jumps_do_not_hide_each_other_and_levels_are_followed():
    rng = np.random.default_rng(1)
    spikes = Spikes(threshold=8, window=40)
    for value in 3 + 0.1 * rng.standard_normal(40):
        spikes.see(value)
    assert all(spikes.see(9.0) is not None for _ in range(8))
    for value in 5 + 0.1 * rng.standard_normal(60):
        spikes.see(value)
    assert spikes.see(5.2) is None


def test_too_few_losses_and_equal_losses():
    spikes = Spikes(window=40)
    assert [spikes.see(9.0**i) for i in range(9)] == [None] * 9
    spikes = Spikes(window=40)
    assert [spikes.see(2.0) for _ in range(40)] == [None] * 40
    assert spikes.see(2.0 + 1e-7) is None
    assert spikes.see(2.1) > 8


@pytest.mark.parametrize("options", [{"threshold": 0}, {"window": 7}])
def test_wrong_settings_are_refused(options):
    with pytest.raises(ValueError, match="must be"):
        Spikes(**options)


@pytest.mark.parametrize("skip", [False, True])
def test_a_jump_is_told_of_and_skipped_if_that_is_wanted(tmp_path, skip):
    jump = (GOOD * 400, np.array([0, 0]))
    seen = []
    options = {"spikes": Spikes(window=12, skip=skip)}
    batches = batches_with(jump, {15}, count=30)
    trainer = make(batches, tmp_path / "a", callbacks=[lambda t, r: seen.append(state(t))], **options)
    trainer.fit(20)
    records = trainer.history
    assert [r["step"] for r in records if "spike" in r] == [16]
    assert records[15].get("skipped") == ("spike" if skip else None)
    assert (seen[14] == seen[15]) is skip
    assert seen[15] != seen[16]
    assert read_lines(tmp_path / "a" / "incidents.jsonl")[0]["spike"] == records[15]["spike"]

    make(batches, tmp_path / "b", **options).fit(15)
    again = make(batches, tmp_path / "b", **options)
    again.resume()
    again.fit(20)
    assert state(again) == state(trainer)
    assert (tmp_path / "a" / "metrics.jsonl").read_bytes() == (tmp_path / "b" / "metrics.jsonl").read_bytes()


def test_a_recorded_step_cannot_skip_jumps():
    with pytest.raises(ValueError, match="before its loss is known"):
        make(batches_with(None, ()), graph=True, spikes=Spikes(skip=True))


# ---- memory that runs out


@pytest.mark.parametrize("kernels", ["fused", "reference"])
def test_an_array_that_cannot_be_had_in_a_step_leaves_all_or_nothing(monkeypatch, kernels):
    if kernels == "fused" and (reason := dispatch.why_reference()):
        pytest.skip(reason)
    monkeypatch.setattr(dispatch, "choice", lambda: kernels)
    batches = batches_with(None, ())

    def step(memory, number):
        """Bits before and after a step in which an allocation fails, and whether that came to pass."""
        trainer = make(batches)
        trainer.fit(1)
        before, failed = state(trainer), False
        memory.fail(number)
        try:
            trainer.fit(2)
        except MemoryError:
            failed = True
        count = memory.count
        memory.fail(0)
        return before, state(trainer), failed, count

    with failing_memory() as memory:
        before, after, failed, count = step(memory, 0)
        assert not failed
        assert count > 15
        for n in range(1, count + 1):
            _, now, failed, _ = step(memory, n)
            assert failed
            assert now in (before, after), f"half an update, when allocation {n} of {count} fails"


def test_half_an_update_is_never_gone_on_with(monkeypatch, tmp_path):
    from gdengine import kernels

    trainer = make(batches_with(None, ()), tmp_path / "run")
    trainer.fit(2)
    real, calls = kernels.adamw.step, []

    def step(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise MemoryError
        real(*args, **kwargs)

    trainer.optimizer.flats[0].segments[2].steps -= 1  # so that an update takes more than one call
    monkeypatch.setattr(kernels.adamw, "step", step)
    with pytest.raises(MemoryError):
        trainer.fit(3)
    monkeypatch.undo()
    for again in (trainer.optimizer.step, trainer.optimizer.state_dict, trainer.save):
        with pytest.raises(RuntimeError, match="broken off half-way"):
            again()
    assert trainer.resume() == 2
    trainer.fit(4)
    whole = make(batches_with(None, ()))
    whole.fit(4)
    assert state(whole) == state(trainer)
