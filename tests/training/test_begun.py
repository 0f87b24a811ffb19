"""Stopped between the batches of a step, and resumed there: the same bits as a run that nothing disturbed."""

import os
import signal

import numpy as np
import pytest

import gdengine as gd
from gdengine import nn, optim
from gdengine.functional import cross_entropy
from gdengine.training import Interrupted, Trainer
from gdengine.training.checkpoint import describe, load

STEPS, BATCHES = 7, 4  # in a step; 44 windows an epoch make 11 batches, so that epochs end within steps


def bits(trainer):
    """All of the trainer's state, to the bit; the loader's place and the random numbers too."""
    flat = trainer.optimizer.flats[0]
    state = trainer.state_dict()
    arrays = [flat.theta, *flat.state.values(), *(buffer._array for buffer in trainer.model.buffers())]
    return [array.tobytes() for array in arrays], *(state[name] for name in ("step", "tokens", "batches", "random"))


def stop_at(trainer, calls):
    """Send SIGTERM while a loss is computed, the n-th of all since now for each n."""
    loss_fn, done = trainer.loss_fn, []

    def loss(*given):
        done.append(1)
        if len(done) in calls:
            os.kill(os.getpid(), signal.SIGTERM)
        return loss_fn(*given)

    trainer.loss_fn = loss
    return trainer


@pytest.fixture
def whole(make_trainer, tmp_path):
    """All bits of a run that nothing disturbed, and a function that makes a trainer for the folder of another."""
    options = {"accumulate": BATCHES, "validation": None, "checkpoint_every": 3, "keep": 99}
    trainer = make_trainer(run=tmp_path / "whole", **options)
    trainer.fit(STEPS)
    return everything(trainer), lambda **more: make_trainer(run=tmp_path / "broken", **{**options, **more})


def everything(trainer):
    """`bits`, and what it wrote down."""
    return *bits(trainer), trainer.folder.metrics.path.read_bytes()


@pytest.mark.parametrize("call", range(1, BATCHES * STEPS, 2))
def test_stopped_after_any_batch_and_resumed(whole, call):
    whole, make = whole
    step, done = divmod(call, BATCHES)
    with pytest.raises(Interrupted, match=f"after step {step}" + (f" and {done} of the 4 batches" if done else "")):
        stop_at(make(), [call]).fit(STEPS)
    again = make(seed=99)
    assert again.resume() == step
    path = again.folder.store.newest()
    assert path.stem == f"{step:08d}"
    assert describe(path)["note"].get("begun", 0) == done
    assert ("begun" in load(path)) == bool(done)
    again.fit(STEPS)
    assert everything(again) == whole
    assert "begun" not in again.state_dict()


def test_stopped_again_and_again_within_one_step_and_another_number_of_steps_to_go(whole):
    whole, make = whole
    with pytest.raises(Interrupted, match="step 2 and 1 of the 4"):
        stop_at(make(), [9]).fit(STEPS - 3)
    for done in (2, 3):
        again = make(seed=99)
        again.resume()
        with pytest.raises(Interrupted, match=f"step 2 and {done} of the 4"):
            stop_at(again, [1]).fit(STEPS + 5)
    again = make(seed=99)
    again.resume()
    again.fit(STEPS)
    assert everything(again) == whole


def test_the_same_trainer_goes_on_as_well(whole):
    whole, make = whole
    gd.manual_seed(0)
    trainer = stop_at(make(), [2, 11, 12])
    for place in ("step 0 and 2", "step 2 and 3", "step 3"):
        with pytest.raises(Interrupted, match=f"after {place}"):
            trainer.fit(STEPS)
    trainer.fit(STEPS)
    assert everything(trainer) == whole


def test_who_does_not_know_of_it_does_the_whole_step_again(whole):
    """An earlier gdengine, and a recorded step."""
    whole, make = whole
    with pytest.raises(Interrupted):
        stop_at(make(), [10]).fit(STEPS)
    state = load(make().folder.store.newest())
    del state["begun"]
    again = make(seed=99)
    again.load_state_dict(state)
    again._owns_folder = True
    again.fit(STEPS)
    assert everything(again) == whole


def test_killed_in_the_middle_of_an_accumulation_it_does_the_whole_step_again(whole):
    whole, make = whole

    class Killed(BaseException):
        """Stands for a process that is no more: nothing is tidied up."""

    def die(*given):
        raise Killed

    broken = make()
    broken.fit(3)
    losses = iter(range(6))
    loss_fn = broken.loss_fn
    broken.loss_fn = lambda *given: loss_fn(*given) if next(losses, None) is not None else die()
    with pytest.raises(Killed):
        broken.fit(STEPS)
    again = make(seed=99)
    assert again.resume() == 3
    again.fit(STEPS)
    assert everything(again) == whole


def test_the_best_checkpoint_stays_the_best(make_trainer, tmp_path):
    trainer = make_trainer(run=tmp_path / "run", accumulate=BATCHES, validation=None)
    trainer.callbacks.append(lambda t, r: t.request_save(best=True) if t.step == 2 else None)
    with pytest.raises(Interrupted, match="step 2 and 1"):
        stop_at(trainer, [9]).fit(STEPS)
    (entry,) = trainer.folder.store.entries()
    assert (entry.step, entry.is_best, entry.note["begun"]) == (2, True, 1)


def test_without_a_folder_the_trainer_stops_and_goes_on_too(make_trainer, capfd):
    options = {"accumulate": BATCHES, "validation": None}
    whole = make_trainer(**options)
    whole.fit(3)
    expected = bits(whole)
    trainer = stop_at(make_trainer(**options), [6])
    with pytest.raises(Interrupted, match="step 1 and 2 of the 4 batches of step 2; without a run folder"):
        trainer.fit(3)
    assert "without a checkpoint; SIGTERM again stops at once" in capfd.readouterr().err
    trainer.fit(3)
    assert bits(trainer) == expected


# ---- buffers, and steps that are skipped


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.linear = nn.BatchNorm1d(3), nn.Linear(3, 4)

    def forward(self, x):
        return self.linear(self.norm(x))


def test_buffers_are_those_of_the_batches_done_and_a_skipped_step_takes_them_back(tmp_path):
    rng = np.random.default_rng(0)
    batches = [(rng.standard_normal((4, 3)).astype(np.float32), rng.integers(0, 4, 4)) for _ in range(12)]
    batches[7][0][0, 0] = np.nan  # in the second step, the last batch

    def make(name):
        gd.manual_seed(0)
        model = Normed()
        optimizer = optim.SGD(model.named_parameters(), lr=0.1, momentum=0.9)
        return Trainer(
            model, optimizer, cross_entropy, batches, accumulate=4, run=tmp_path / name, progress=False, keep=9
        )

    run = make("whole")
    run.fit(3)
    whole, incidents = everything(run), run.folder.incidents.path.read_bytes()
    broken = make("broken")
    with pytest.raises(Interrupted, match="step 1 and 2"):
        stop_at(broken, [6]).fit(3)
    state = load(broken.folder.store.newest())
    assert state["model"]["norm.num_batches_tracked"] == 4
    assert state["begun"]["buffers"]["norm.num_batches_tracked"] == 6
    again = make("broken")
    again.resume()
    again.fit(3)
    assert everything(again) == whole
    assert "skipped" in again.history[1]
    assert again.model.norm.num_batches_tracked == 8
    assert again.folder.incidents.path.read_bytes() == incidents


# ---- what does not fit


def test_a_begun_step_of_another_model_changes_nothing(make_trainer):
    options = {"accumulate": BATCHES, "validation": None}
    one, other = stop_at(make_trainer(**options), [6]), make_trainer(**options)
    with pytest.raises(Interrupted):
        one.fit(3)
    other.fit(2)
    before, state = bits(other), one.state_dict()
    begun = state["begun"]
    name = next(iter(begun["gradients"]))
    for wrong, message in (
        ({**begun, "gradients": {**begun["gradients"], "x.weight": np.zeros(3)}}, "another model: it has x.weight"),
        ({**begun, "gradients": {name: np.zeros(99, np.float32)}}, "cannot have shape"),
        ({**begun, "losses": [1.0] * 4}, "cannot have 4 of them done"),
    ):
        with pytest.raises(ValueError, match=message):
            other.load_state_dict({**state, "begun": wrong})
        assert bits(other) == before
