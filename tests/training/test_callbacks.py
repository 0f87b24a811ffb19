import csv
import json
import os
import sys
import types

import numpy as np
import pytest

from gdengine.data import batched
from gdengine.training import (
    BestCheckpoint,
    Callback,
    Csv,
    EarlyStop,
    Evaluate,
    Plots,
    Sample,
    TensorBoard,
    Wandb,
    read_lines,
)


class Told(Callback):
    """Writes down what it is told."""

    def __init__(self):
        self.calls = []

    def on_start(self, trainer):
        self.calls.append(("start", trainer.step))

    def on_evaluation(self, trainer, record):
        self.calls.append(("evaluation", trainer.step))
        assert "val_loss" in record

    def __call__(self, trainer, record):
        self.calls.append(("step", trainer.step))

    def on_end(self, trainer, record):
        self.calls.append(("end", record and record["step"]))


def fake_losses(trainer, values):
    """Let the evaluations come to these values, one after the other."""
    values = iter(values)
    trainer.evaluate = lambda batches=None: next(values)
    return trainer


def test_callbacks_are_told_what_happens_in_order(make_trainer):
    told = Told()
    make_trainer(callbacks=[told], eval_every=2).fit(3)
    assert told.calls == [
        *(("start", 0), ("evaluation", 0), ("step", 1), ("evaluation", 2), ("step", 2), ("step", 3)),
        *(("evaluation", 3), ("end", 3)),
    ]


def test_the_end_is_told_of_when_something_goes_wrong_too(make_trainer):
    told = Told()

    def fail(trainer, record):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make_trainer(callbacks=[told, fail]).fit(3)
    assert told.calls[-1] == ("end", None)


def test_further_batches_are_measured_under_their_name(make_trainer, tmp_path):
    others = batched(np.arange(27).reshape(3, 9) % 11, 2)
    trainer = make_trainer(
        run=tmp_path / "run", eval_every=2, callbacks=[Evaluate(others, "b"), Evaluate(others, "c", 3)]
    )
    trainer.fit(4)
    records = trainer.history
    assert [r["step"] for r in records if "b" in r] == [0, 2, 4]
    assert [r["step"] for r in records if "c" in r] == [3]
    assert records[4]["b"] == trainer.evaluate(others)
    with pytest.raises(ValueError, match="give a list"):
        Evaluate(iter(others), "b")


@pytest.mark.parametrize("options", [{}, {"min_delta": 0.25}])
def test_early_stop(make_trainer, tmp_path, options):
    values = [5.0, 4.0, 3.0, 2.9, 2.8, 2.7, 2.6]  # without min_delta each is better
    trainer = fake_losses(make_trainer(run=tmp_path / "run", eval_every=1, callbacks=[EarlyStop(2, **options)]), values)
    closing = trainer.fit(6)
    assert closing["step"] == (6 if not options else 4)
    if options:
        assert closing["stopped"] == "val_loss has not become better in 2 evaluations"


def test_a_resumed_run_stops_early_where_the_whole_one_does(make_trainer, tmp_path):
    values = [5.0, 4.0, 4.1, 4.2, 4.3, 1.0]
    options = {"eval_every": 1, "callbacks": [EarlyStop(3)]}
    assert fake_losses(make_trainer(run=tmp_path / "a", **options), values).fit(6)["step"] == 4
    fake_losses(make_trainer(run=tmp_path / "b", **options), values).fit(3)
    again = make_trainer(run=tmp_path / "b", **options)
    again.resume()
    assert fake_losses(again, values[4:]).fit(6)["step"] == 4
    assert (tmp_path / "a" / "metrics.jsonl").read_bytes() == (tmp_path / "b" / "metrics.jsonl").read_bytes()


@pytest.mark.parametrize(
    "wrong", [lambda: EarlyStop(0), lambda: EarlyStop(1, mode="low"), lambda: EarlyStop(1, min_delta=-1)]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        wrong()


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_best_checkpoint_stays(make_trainer, tmp_path, mode):
    sign = 1 if mode == "min" else -1
    values = [sign * value for value in [5.0, 4.0, 2.0, 3.0, 2.5, 2.1, 3.0, float("nan")]]
    trainer = make_trainer(
        run=tmp_path / "run", eval_every=1, checkpoint_every=1, callbacks=[BestCheckpoint(mode=mode)], keep=2
    )
    fake_losses(trainer, values).fit(7)
    store = trainer.folder.store
    assert [int(path.stem) for path in store.paths()] == [2, 6, 7]
    assert store.best().stem == "00000002"
    index = json.loads((store.folder / "index.json").read_text())
    assert [(e["step"], e["note"]["best"]) for e in index["checkpoints"]] == [(2, True), (6, False), (7, False)]
    (store.folder / "index.json").unlink()
    assert store.best().stem == "00000002"
    assert trainer.folder.load(best=True)["step"] == 2


def test_without_other_reasons_there_is_a_checkpoint_of_the_best(make_trainer, tmp_path):
    trainer = make_trainer(run=tmp_path / "run", eval_every=2, callbacks=[BestCheckpoint()])
    fake_losses(trainer, [5.0, 3.0, 4.0, 4.5]).fit(6)
    assert [int(path.stem) for path in trainer.folder.store.paths()] == [2, 6]


def test_samples_are_written_and_cut(make_trainer, tmp_path):
    def run(steps):
        trainer = make_trainer(run=tmp_path / "run", callbacks=[Sample(lambda: f"at {trainer.step}", every=2)])
        if steps > 5:
            trainer.resume()
        trainer.fit(steps)

    run(5)
    path = tmp_path / "run" / "samples.jsonl"
    with open(path, "a") as file:
        file.write('{"step": 6, "text": "of a run that was killed"}\n')
    run(8)
    assert [(r["step"], r["text"]) for r in read_lines(path)] == [(n, f"at {n}") for n in (2, 4, 6, 8)]


def test_pictures_are_drawn(make_trainer, tmp_path):
    pytest.importorskip("matplotlib", reason="pictures are an extra")
    make_trainer(run=tmp_path / "run", callbacks=[Plots()]).fit(2)
    for name in ("loss.png", "lr.png"):
        assert (tmp_path / "run" / name).read_bytes().startswith(b"\x89PNG")


# ---- loggers


def test_the_table_holds_the_metrics(make_trainer, tmp_path):
    run = tmp_path / "run"
    make_trainer(run=run, eval_every=2, callbacks=[Csv()]).fit(3)
    again = make_trainer(run=run, eval_every=2, callbacks=[lambda t, r: r.update(late=t.step), Csv()])
    again.resume()
    again.fit(5)
    with open(run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    records = [r for r in read_lines(run / "metrics.jsonl") if "final" not in r]
    assert len(rows) == len(records) == 6
    for row, record in zip(rows, records, strict=True):
        assert {name: float(value) for name, value in row.items() if value} == record


def events(folder):
    """(step, name, value) of the event files, in order: TFRecords of length, CRC, event, CRC."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        data, at = path.read_bytes(), 0
        while at < len(data):
            size = int.from_bytes(data[at : at + 8], "little")
            event = Event.FromString(data[at + 12 : at + 12 + size])
            found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
            at += 16 + size
    return found


def test_event_files_hold_the_metrics(make_trainer, tmp_path):
    pytest.importorskip("tensorboardX", reason="TensorBoard is an extra")
    trainer = make_trainer(run=tmp_path / "run", eval_every=2, callbacks=[TensorBoard()])
    trainer.fit(4)
    found = {(step, name): value for step, name, value in events(tmp_path / "run" / "tensorboard")}
    for record in trainer.history[:-1]:
        for name in set(record) - {"step"}:
            assert found[record["step"], name] == pytest.approx(record[name], rel=1e-6)  # float32 in the file
    assert found[3, "tokens_per_second"] > 0


def fake_wandb(monkeypatch):
    """A stand-in for the library, and a list of what was asked of it."""
    asked = []

    class Run:
        id = "abc123"

        def log(self, values, step):
            asked.append(("log", step, values))

        def finish(self, exit_code):
            asked.append(("finish", exit_code))

    module = types.ModuleType("wandb")
    module.__spec__ = types.SimpleNamespace(name="wandb")
    module.init = lambda **options: (asked.append(("init", options)), Run())[1]
    monkeypatch.setitem(sys.modules, "wandb", module)
    return asked


def test_weights_and_biases_gets_the_metrics(make_trainer, tmp_path, monkeypatch):
    asked = fake_wandb(monkeypatch)
    run = tmp_path / "mine"
    make_trainer(run=run, callbacks=[Wandb("a project", {"lr": 1}, tags=["t"])]).fit(2)
    options = {"project": "a project", "config": {"lr": 1}, "name": "mine", "dir": str(run), "tags": ["t"]}
    assert asked[0] == ("init", options)
    assert [(what[0], what[1]) for what in asked[1:]] == [("log", 0), ("log", 1), ("log", 2), ("finish", 0)]
    record = read_lines(run / "metrics.jsonl")[1]
    assert asked[2][2].items() >= record.items()
    again = make_trainer(run=run, callbacks=[Wandb("a project")])
    again.resume()
    asked.clear()
    again.fit(3)
    assert asked[0][1].items() >= {"id": "abc123", "resume": "allow"}.items()


@pytest.mark.parametrize(("make", "module"), [(TensorBoard, "tensorboardX"), (lambda: Wandb("p"), "wandb")])
def test_a_library_that_is_not_there_is_named(monkeypatch, make, module):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=rf"{module}.*pip install 'gdengine\["):
        make()


@pytest.mark.parametrize("logger", [Csv, TensorBoard])
def test_without_a_folder_a_logger_needs_a_path(make_trainer, tmp_path, logger):
    if logger is TensorBoard:
        pytest.importorskip("tensorboardX", reason="TensorBoard is an extra")
    with pytest.raises(ValueError, match="a path"):
        make_trainer(callbacks=[logger()]).fit(1)
    make_trainer(callbacks=[logger(tmp_path / "there")]).fit(1)
    assert (tmp_path / "there").exists()


def test_the_readme_names_every_file(make_trainer, tmp_path):
    pytest.importorskip("matplotlib", reason="pictures are an extra")
    run = tmp_path / "run"
    bad = [(np.zeros((2, 8), int), np.zeros((2, 8), int))]
    make_trainer(run=run, batches=bad, callbacks=[Csv(), Plots(), Sample(lambda: "text", 1)]).fit(2)
    readme = (run / "README.txt").read_text()
    for name in os.listdir(run):
        assert name in readme, name
