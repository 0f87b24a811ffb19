import math
import os
import signal
import threading
from dataclasses import replace

import numpy as np
import pytest

import gdengine as gd
from gdengine import nn, optim
from gdengine.data import Repeat, Windows
from gdengine.functional import cross_entropy
from gdengine.training import CheckpointError, Interrupted, Trainer, checkpoint, read_lines
from gdengine.training.checkpoint import load


def parameters(trainer):
    return {name: np.array(value) for name, value in trainer.model.state_dict().items()}


def assert_same_parameters(one, two):
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)


class Stop(Exception):
    """Stands for a process that is killed: nothing is tidied up."""


def die_at(step):
    def callback(trainer, record):
        if trainer.step == step:
            raise Stop

    return callback


# ---- the loop


def test_it_learns_and_writes_down_how(make_trainer, tmp_path):
    trainer = make_trainer(run=tmp_path / "run", eval_every=10)
    closing = trainer.fit(30)
    records = read_lines(tmp_path / "run" / "metrics.jsonl")
    assert records == trainer.history
    assert [r["step"] for r in records] == [*range(31), 30]
    assert [r["step"] for r in records if "val_loss" in r] == [0, 10, 20, 30, 30]
    assert records[0]["val_loss"] == pytest.approx(math.log(11), abs=0.05)
    assert records[-1] == closing == {"step": 30, "val_loss": records[-2]["val_loss"], "final": True}
    assert closing["val_loss"] < records[0]["val_loss"] - 0.1
    assert records[7].keys() == {"step", "loss", "lr", "grad_norm", "tokens"}
    assert records[7]["tokens"] == 7 * 4 * 8
    assert records[7]["lr"] == trainer.optimizer.defaults["lr"](6)
    assert len(read_lines(tmp_path / "run" / "timings.jsonl")) == 30


def test_without_a_folder_nothing_is_written(make_trainer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trainer = make_trainer()
    trainer.fit(3)
    assert os.listdir(tmp_path) == []
    assert [r["step"] for r in trainer.history] == [0, 1, 2, 3, 3]


def test_without_validation_the_closing_record_has_no_loss(make_trainer):
    trainer = make_trainer(validation=None, eval_every=1)
    assert trainer.fit(2) == {"step": 2, "final": True}
    with pytest.raises(ValueError, match="validation="):
        trainer.evaluate()


def test_steps_count_from_the_beginning(make_trainer, tmp_path):
    once, twice = make_trainer(run=tmp_path / "a"), make_trainer(run=tmp_path / "b")
    gd.manual_seed(3)
    once.fit(8)
    gd.manual_seed(3)
    twice.fit(5)
    twice.fit(8)
    assert_same_parameters(parameters(once), parameters(twice))
    assert (tmp_path / "a" / "metrics.jsonl").read_bytes() == (tmp_path / "b" / "metrics.jsonl").read_bytes()


def test_evaluation_changes_nothing(make_trainer):
    often, never = make_trainer(eval_every=1), make_trainer(validation=None)
    gd.manual_seed(5)
    often.fit(5)
    gd.manual_seed(5)
    never.fit(5)
    assert_same_parameters(parameters(often), parameters(never))
    assert often.model.training


def test_every_module_keeps_its_own_mode(make_trainer):
    trainer = make_trainer()
    frozen = list(trainer.model.modules())[-1].eval()
    modes = [module.training for module in trainer.model.modules()]
    seen = []
    trainer.loss_fn = lambda *given: (seen.extend(m.training for m in trainer.model.modules()), cross_entropy(*given))[
        1
    ]
    trainer.evaluate()
    assert not any(seen)
    assert [module.training for module in trainer.model.modules()] == modes
    assert not frozen.training
    assert sum(modes) == len(modes) - 1


def test_evaluation_is_the_mean_over_targets(make_trainer):
    trainer = make_trainer()
    trainer.model.eval()
    losses = [
        cross_entropy(trainer.model(row_x[None]), row_y[None]).item()
        for x, y in trainer.validation
        for row_x, row_y in zip(x, y, strict=True)
    ]
    # Means of float32 losses near 2.4, each rounded: 1e-6 is four units in the last place.
    assert trainer.evaluate() == pytest.approx(np.mean(losses), abs=1e-6)


def test_accumulated_batches_make_the_step_of_one_big_batch():
    x = np.arange(24, dtype=np.float32).reshape(8, 3) / 24
    y = np.arange(8) % 4

    def train(batches, accumulate):
        gd.manual_seed(0)
        model = nn.Linear(3, 4)
        trainer = Trainer(
            model, optim.SGD(model.parameters(), lr=0.5), cross_entropy, batches, accumulate=accumulate, progress=False
        )
        trainer.fit(3)
        return trainer

    big = train([(x, y)], 1)
    small = train([(x[i : i + 2], y[i : i + 2]) for i in range(0, 8, 2)], 4)
    assert small.tokens == big.tokens == 24
    for one, two in zip(big.history[:-1], small.history[:-1], strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-6)
    for one, two in zip(parameters(big).values(), parameters(small).values(), strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-6)  # float32 sums in another order


def test_a_step_that_is_skipped_says_so(tmp_path):
    gd.manual_seed(0)
    model = nn.Linear(2, 3)
    good, bad = np.ones((1, 2), np.float32), np.full((1, 2), np.nan, np.float32)
    batches = [(good, [0]), (bad, [1]), (good, [2])]
    trainer = Trainer(
        model, optim.SGD(model.parameters(), lr=0.1), cross_entropy, batches, run=tmp_path / "run", progress=False
    )
    trainer.fit(3)
    records = read_lines(tmp_path / "run" / "metrics.jsonl")
    assert ["skipped" in record for record in records] == [False, True, False, False]
    assert records[1]["loss"] is None
    assert records[1]["skipped"] in dict(model.named_parameters())
    assert all(np.isfinite(value).all() for value in parameters(trainer).values())


def test_callbacks_see_each_step_and_can_stop(make_trainer, tmp_path):
    def callback(trainer, record):
        record["double"] = 2 * record["loss"]
        if record["step"] == 4:
            trainer.stop()

    trainer = make_trainer(run=tmp_path / "run", callbacks=[callback])
    assert trainer.fit(10)["step"] == 4
    records = read_lines(tmp_path / "run" / "metrics.jsonl")
    assert [r["double"] for r in records[1:5]] == [2 * r["loss"] for r in records[1:5]]
    trainer.callbacks.clear()
    assert trainer.fit(6)["step"] == 6


@pytest.mark.parametrize("name", ["accumulate", "eval_every", "checkpoint_every"])
def test_numbers_out_of_range_are_refused(make_trainer, name):
    with pytest.raises(ValueError, match=name):
        make_trainer(**{name: -1})


def test_a_generator_of_batches_runs_out(make_trainer):
    batch = (np.zeros((1, 8), int), np.zeros((1, 8), int))
    with pytest.raises(ValueError, match="run out"):
        make_trainer(batches=(batch for _ in range(2))).fit(3)


def test_validation_without_targets_is_refused(make_trainer):
    with pytest.raises(ValueError, match="no validation batches"):
        make_trainer(validation=[]).evaluate()


def test_validation_that_cannot_be_gone_through_anew_is_refused(make_trainer):
    batch = (np.zeros((1, 8), int), np.zeros((1, 8), int))
    for validation in (Windows(np.arange(99) % 11, 8, 4), Repeat([batch]), iter([batch]), (batch for _ in range(2))):
        with pytest.raises(ValueError, match="no endless loader or generator"):
            make_trainer(validation=validation)
    assert make_trainer(validation=(batch,)).evaluate() > 0


def test_progress_tells_of_evaluations(make_trainer, capsys):
    make_trainer(progress=True, eval_every=2).fit(4)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" · ")[0].split() for line in lines if line.startswith("step")] == [
        ["step", "0"],
        ["step", "2"],
        ["step", "4"],
    ]
    assert "training loss" in lines[-1]


# ---- resuming


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("deaths", [(7,), (10,), (13, 14, 21)])
def test_a_resumed_run_ends_with_the_same_bits(make_trainer, tmp_path, threads, deaths):
    gd.set_num_threads(threads)
    options = {"eval_every": 4, "checkpoint_every": 5, "accumulate": 2}
    whole = make_trainer(run=tmp_path / "whole", **options)
    whole.fit(24)
    state = whole.state_dict()["random"]

    broken = make_trainer(run=tmp_path / "broken", callbacks=[die_at(deaths[0])], **options)
    for death in deaths[1:]:
        with pytest.raises(Stop):
            broken.fit(24)
        broken = make_trainer(run=tmp_path / "broken", callbacks=[die_at(death)], seed=99, **options)
        broken.resume()
    with pytest.raises(Stop):
        broken.fit(24)

    last = make_trainer(run=tmp_path / "broken", seed=99, **options)
    assert last.resume() == (deaths[-1] - 1) // 5 * 5
    last.fit(24)
    assert_same_parameters(parameters(whole), parameters(last))
    assert last.state_dict()["random"] == state
    whole_bytes = (tmp_path / "whole" / "metrics.jsonl").read_bytes()
    assert (tmp_path / "broken" / "metrics.jsonl").read_bytes() == whole_bytes


def test_before_the_first_checkpoint_there_is_nothing_to_resume(make_trainer, tmp_path):
    with pytest.raises(Stop):
        make_trainer(run=tmp_path / "run", callbacks=[die_at(3)], checkpoint_every=5).fit(24)
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        make_trainer(run=tmp_path / "run").resume()


def test_a_finished_run_goes_on(make_trainer, tmp_path):
    whole = make_trainer(run=tmp_path / "whole", eval_every=10)
    whole.fit(20)
    make_trainer(run=tmp_path / "parts", eval_every=10).fit(13)
    part = make_trainer(run=tmp_path / "parts", eval_every=10, seed=99)
    assert part.resume() == 13
    part.fit(20)
    assert_same_parameters(parameters(whole), parameters(part))
    whole_bytes = (tmp_path / "whole" / "metrics.jsonl").read_bytes()
    assert (tmp_path / "parts" / "metrics.jsonl").read_bytes() == whole_bytes


def test_resume_only_reads(make_trainer, tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(Stop):
        make_trainer(run=folder, checkpoint_every=3, callbacks=[die_at(5)]).fit(9)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    trainer = make_trainer(run=folder)
    assert trainer.resume() == 3
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    trainer.fit(4)
    assert [record["step"] for record in trainer.history] == [0, 1, 2, 3, 4, 4]


def test_a_list_of_batches_goes_on_from_its_place(make_trainer, tmp_path):
    rng = np.random.default_rng(0)
    batches = [(rng.integers(0, 11, (2, 8)), rng.integers(0, 11, (2, 8))) for _ in range(7)]
    whole = make_trainer(batches=batches, run=tmp_path / "whole")
    whole.fit(12)
    make_trainer(batches=batches, run=tmp_path / "parts").fit(10)
    part = make_trainer(batches=batches, run=tmp_path / "parts", seed=99)
    part.resume()
    part.fit(12)
    assert_same_parameters(parameters(whole), parameters(part))


def test_the_newest_two_checkpoints_stay(make_trainer, tmp_path):
    make_trainer(run=tmp_path / "run", checkpoint_every=3).fit(10)
    kept = ["00000009.safetensors", "00000010.safetensors", "index.json"]
    assert sorted(os.listdir(tmp_path / "run" / "checkpoints")) == kept


def test_a_folder_with_another_run_is_not_written_over(make_trainer, tmp_path):
    make_trainer(run=tmp_path / "run").fit(2)
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    with pytest.raises(FileExistsError, match=r"resume\(\)"):
        make_trainer(run=tmp_path / "run").fit(2)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


def test_a_folder_that_cannot_be_made(make_trainer, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match=r"there can be no folder .*file/run: .*Give the run another one"):
        make_trainer(run=tmp_path / "file" / "run").fit(2)


def test_a_folder_where_nothing_came_about_is_taken(make_trainer, tmp_path):
    bad = [(np.zeros((2, 9), int), np.zeros((2, 9), int))]
    with pytest.raises(ValueError, match="block_size"):
        make_trainer(run=tmp_path / "run", batches=bad).fit(2)
    assert len(read_lines(tmp_path / "run" / "metrics.jsonl")) == 1
    trainer = make_trainer(run=tmp_path / "run")
    trainer.fit(2)
    assert [r["step"] for r in trainer.history] == [0, 1, 2, 2]


def test_it_resumes_from_any_checkpoint(make_trainer, tmp_path):
    options = {"accumulate": 2, "eval_every": 4, "keep": 99}
    whole = make_trainer(run=tmp_path / "run", checkpoint_every=1, **options)
    whole.fit(14)  # 11 batches an epoch: within epochs, at their ends, and in the step in which two meet
    bits = [whole.optimizer.flats[0].theta.tobytes(), *(v.tobytes() for v in whole.optimizer.flats[0].state.values())]
    paths = whole.folder.store.paths()
    assert [int(path.stem) for path in paths] == list(range(1, 15))
    for path in paths:
        again = make_trainer(seed=99, **options)
        again.load_state_dict(load(path))
        again.fit(14)
        flat = again.optimizer.flats[0]
        assert [flat.theta.tobytes(), *(v.tobytes() for v in flat.state.values())] == bits
        assert again.state_dict()["random"] == whole.state_dict()["random"]
        assert again.state_dict()["batches"] == whole.state_dict()["batches"]


def test_a_state_of_format_1_is_taken(make_trainer):
    trainer, other = make_trainer(), make_trainer()
    trainer.fit(3)
    state = trainer.state_dict()
    other.load_state_dict({name: state[name] for name in state if name not in ("row", "config")})
    assert_same_parameters(parameters(trainer), parameters(other))


# ---- checkpoints beside the training


def test_the_writer_runs_no_kernel(make_trainer, tmp_path):
    seen = set()

    def look(frame, event, argument):
        seen.add((threading.current_thread().name, frame.f_globals.get("__name__", "")))

    threading.setprofile(look)
    try:
        make_trainer(run=tmp_path / "run", checkpoint_every=1).fit(3)
    finally:
        threading.setprofile(None)
    modules = {module for thread, module in seen if thread == "gdengine checkpoint"}
    assert "gdengine.training.whole" in modules
    assert not [module for module in modules if module.startswith(("gdengine.kernels", "numba", "cupy"))]


def test_training_goes_on_while_a_checkpoint_is_written(make_trainer, tmp_path, monkeypatch):
    begun, going_on, at_work, most = threading.Event(), threading.Event(), [], []
    real = checkpoint.Snapshot.write

    def write(snapshot, path):
        at_work.append(path)
        most.append(len(at_work))
        if path.stem == "00000002":
            begun.set()
            assert going_on.wait(60)
        real(snapshot, path)
        at_work.remove(path)

    monkeypatch.setattr(checkpoint.Snapshot, "write", write)

    def callback(trainer, record):
        if trainer.step == 3:
            assert begun.wait(60)
            assert len(at_work) == 1  # step 3 is done while step 2 is being written
            going_on.set()

    trainer = make_trainer(run=tmp_path / "run", checkpoint_every=2, callbacks=[callback], keep=9)
    trainer.fit(8)
    assert max(most) == 1
    trees = [load(path) for path in trainer.folder.store.paths()]
    assert [(tree["step"], tree["optimizer"]["t"]) for tree in trees] == [(n, n) for n in (2, 4, 6, 8)]
    once = make_trainer()
    once.load_state_dict(trees[0])
    gd.manual_seed(0)
    plain = make_trainer()
    plain.fit(2)
    assert_same_parameters(parameters(once), parameters(plain))


def test_what_goes_wrong_in_the_writer_is_raised_at_the_next_step(make_trainer, tmp_path, monkeypatch):
    done = []

    def fail(snapshot, path):
        raise OSError(28, "No space left on device")

    def callback(trainer, record):
        done.append(trainer.step)
        while trainer.step > 3 and trainer.folder._background._thread.is_alive():
            pass

    trainer = make_trainer(run=tmp_path / "run", checkpoint_every=3, callbacks=[callback])
    monkeypatch.setattr(checkpoint.Snapshot, "write", fail)
    with pytest.raises(OSError, match=r"checkpoint of step 3 could not be written: No space left.*there is none yet"):
        trainer.fit(9)
    assert done == [1, 2, 3, 4]


def test_the_snapshots_bytes_are_used_again(make_trainer, tmp_path):
    buffers = []
    trainer = make_trainer(run=tmp_path / "run", checkpoint_every=1, validation=None)
    trainer.callbacks.append(lambda t, r: buffers.append(t.folder._buffer))
    trainer.fit(5)
    assert buffers[1] is buffers[2] is buffers[3]
    assert trainer.folder._buffer is None


def test_extra_data_comes_back(make_trainer, tmp_path):
    make_trainer(run=tmp_path / "run", extra={"note": "é", "numbers": [1, 2.5]}).fit(1)
    trainer = make_trainer(run=tmp_path / "run")
    trainer.resume()
    assert trainer.extra == {"note": "é", "numbers": [1, 2.5]}


def test_a_state_that_does_not_fit_changes_nothing(make_trainer):
    trainer, other = make_trainer(), make_trainer()
    trainer.fit(3)
    other.fit(5)
    before, state = parameters(trainer), trainer.state_dict()
    plain = {key: state[key] for key in ("step", "tokens", "batches", "random")}

    def check(wrong, error):
        with pytest.raises(error):
            trainer.load_state_dict({**other.state_dict(), **wrong})
        assert_same_parameters(before, parameters(trainer))
        assert {key: trainer.state_dict()[key] for key in plain} == plain

    check({"batches": {"epoch": 0, "index": 10**6}}, ValueError)
    check({"batches": {}}, KeyError)
    check({"random": {"seed": -1, "rank": 0, "call": 0}}, ValueError)
    check({"optimizer": {**other.state_dict()["optimizer"], "param_groups": []}}, ValueError)
    with pytest.raises(KeyError, match="optimizer"):
        trainer.load_state_dict({"step": 1})


def test_a_damaged_checkpoint_is_refused(make_trainer, tmp_path):
    make_trainer(run=tmp_path / "run").fit(2)
    path = tmp_path / "run" / "checkpoints" / "00000002.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        make_trainer(run=tmp_path / "run").resume()


def test_a_damaged_checkpoint_is_passed_over(make_trainer, tmp_path):
    whole = make_trainer(run=tmp_path / "whole", checkpoint_every=4)
    whole.fit(12)
    broken = make_trainer(run=tmp_path / "broken", checkpoint_every=4, callbacks=[die_at(10)])
    with pytest.raises(Stop):
        broken.fit(12)
    path = tmp_path / "broken" / "checkpoints" / "00000008.safetensors"
    damaged = bytearray(path.read_bytes())
    damaged[-5] ^= 1
    path.write_bytes(damaged)
    again = make_trainer(run=tmp_path / "broken", checkpoint_every=4, seed=99)
    with pytest.warns(UserWarning, match=r"00000008.* is damaged: .*Taking the checkpoint before it, of step 4"):
        assert again.resume() == 4
    again.fit(12)
    assert_same_parameters(parameters(whole), parameters(again))
    assert (tmp_path / "broken" / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()
    kept = ["00000008.safetensors", "00000008.safetensors.damaged", "00000012.safetensors", "index.json"]
    assert sorted(os.listdir(path.parent)) == kept


def test_a_trainer_that_was_made_otherwise_does_not_go_on(make_trainer, tmp_path):
    make_trainer(run=tmp_path / "run").fit(2)
    with pytest.raises(ValueError, match=r"made with accumulate = 2 \(was 1\)"):
        make_trainer(run=tmp_path / "run", accumulate=2).resume()


def changed(make_trainer, run):
    """A trainer for the same run, from a script that was changed since."""
    trainer = make_trainer(run=run)
    group = trainer.optimizer.param_groups[0]
    group["weight_decay"], group["betas"], group["lr"] = 0.3, (0.8, 0.9), optim.warmup_cosine(2e-2, 3, 40)
    return trainer


def test_settings_that_a_script_changed_since_are_told(make_trainer, tmp_path):
    make_trainer(run=tmp_path / "run").fit(2)
    trainer, lines = changed(make_trainer, tmp_path / "run"), []
    with gd.no_grad():
        trainer.model.config = replace(trainer.model.config, dropout=0.5)
    trainer.resume(lines.append)
    name = "optimizer.param_groups[0]"
    schedule = "Warmup(steps=3, after=Cosine(peak={}, total=37, floor=0.0))"
    assert sorted(lines) == [
        "model.config.dropout is 0.5 from here on, and was 0.2 when the checkpoint was written",
        f"{name}['betas'] stays [0.9, 0.999], as in the checkpoint: assign [0.8, 0.9] after resume() if it is to "
        "change",
        f"{name}['lr'] is {schedule.format(0.02)} from here on, and was {schedule.format(0.01)} when the checkpoint "
        "was written",
        f"{name}['weight_decay'] stays 0.01, as in the checkpoint: assign 0.3 after resume() if it is to change",
    ]
    assert trainer.optimizer.param_groups[0]["weight_decay"] == 0.01
    with pytest.warns(UserWarning, match=r"optimizer\.param_groups") as seen:
        changed(make_trainer, tmp_path / "run").resume()
    assert len(seen) == 3
    assert {warning.filename for warning in seen} == {__file__}


def test_a_number_in_place_of_a_schedule_is_told_and_the_other_way_round(make_trainer, tmp_path):
    def make(name, lr):
        trainer = make_trainer(run=tmp_path / name)
        trainer.optimizer.lr = lr
        return trainer

    make("number", 0.5).fit(1)
    make("function", lambda t: 0.5).fit(1)
    for name, lr, told in (
        ("number", lambda t: 0.25, "stays 0.5, as in the checkpoint: assign a function"),
        ("function", 0.25, "is 0.25 from here on, and was a function"),
        ("function", lambda t: 0.25, ""),
    ):
        lines = []
        make(name, lr).resume(lines.append)
        assert len(lines) == bool(told)
        assert told in "".join(lines)


def test_nothing_is_told_where_nothing_was_changed(make_trainer, tmp_path, recwarn):
    make_trainer(run=tmp_path / "run").fit(2)
    make_trainer(run=tmp_path / "run").resume()
    assert not recwarn.list


def test_saving_needs_a_folder(make_trainer):
    with pytest.raises(ValueError, match="run="):
        make_trainer().save()
    with pytest.raises(ValueError, match="run="):
        make_trainer().resume()


# ---- Ctrl-C


def press_ctrl_c_at(step, times=1):
    def callback(trainer, record):
        if trainer.step == step:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)

    return callback


def test_ctrl_c_finishes_the_step_and_saves(make_trainer, tmp_path, capfd):
    whole = make_trainer(run=tmp_path / "whole")
    whole.fit(9)
    trainer = make_trainer(run=tmp_path / "run", callbacks=[press_ctrl_c_at(4)])
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="after step 4"):
        trainer.fit(9)
    assert signal.getsignal(signal.SIGINT) is handler
    assert "Ctrl-C again stops at once" in capfd.readouterr().err
    trainer = make_trainer(run=tmp_path / "run", seed=99)
    assert trainer.resume() == 4
    trainer.fit(9)
    assert_same_parameters(parameters(whole), parameters(trainer))
    whole_bytes = (tmp_path / "whole" / "metrics.jsonl").read_bytes()
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == whole_bytes


def test_a_second_ctrl_c_stops_at_once(make_trainer):
    trainer = make_trainer(callbacks=[press_ctrl_c_at(4, times=2)])
    with pytest.raises(KeyboardInterrupt) as error:
        trainer.fit(9)
    assert not isinstance(error.value, Interrupted)
    assert trainer.history[-1]["step"] == 3


def test_ctrl_c_without_a_folder_says_that_nothing_is_saved(make_trainer):
    with pytest.raises(Interrupted, match="nothing was saved"):
        make_trainer(callbacks=[press_ctrl_c_at(2)]).fit(9)


def test_ctrl_c_in_the_last_step_lets_the_run_end(make_trainer):
    assert make_trainer(callbacks=[press_ctrl_c_at(3)]).fit(3)["step"] == 3


def test_another_thread_can_train(make_trainer):
    trainer = make_trainer()
    thread = threading.Thread(target=trainer.fit, args=(2,))
    thread.start()
    thread.join()
    assert trainer.step == 2


def test_windows_are_not_wrapped(make_trainer):
    assert isinstance(make_trainer().batches, Windows)
