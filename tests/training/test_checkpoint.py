import json
import os

import numpy as np
import pytest

from gdengine.training.checkpoint import CheckpointError, Snapshot, load, path_for, save
from gdengine.training.store import Store
from tests.trees import TREE, assert_same


def test_a_tree_comes_back(tmp_path):
    save(tmp_path / "a.safetensors", TREE)
    assert_same(load(tmp_path / "a.safetensors"), TREE)
    assert os.listdir(tmp_path) == ["a.safetensors"]


def test_any_reader_of_safetensors_finds_the_weights(tmp_path):
    from safetensors.numpy import load_file

    save(tmp_path / "a.safetensors", TREE)
    np.testing.assert_array_equal(load_file(tmp_path / "a.safetensors")["model/w.weight"], TREE["model"]["w.weight"])


def test_arrays_are_saved_as_they_look_not_as_they_lie(tmp_path):
    array = np.arange(12.0).reshape(3, 4)
    save(tmp_path / "a.safetensors", {"t": array.T, "s": array[:, ::2]})
    tree = load(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(tree["t"], array.T)
    np.testing.assert_array_equal(tree["s"], array[:, ::2])


def test_numpy_scalars_and_tuples_become_plain(tmp_path):
    save(tmp_path / "a.safetensors", {"a": np.float32(0.1), "b": (1, np.int64(2))})
    assert load(tmp_path / "a.safetensors") == {"a": float(np.float32(0.1)), "b": [1, 2]}


def test_arrays_without_axes_stay_so(tmp_path):
    save(tmp_path / "a.safetensors", {"a": np.array(1.5), "b": np.zeros(1)})
    tree = load(tmp_path / "a.safetensors")
    assert (tree["a"].shape, float(tree["a"]), tree["b"].shape) == ((), 1.5, (1,))


def test_the_names_in_a_list_begin_with_its_numbers(tmp_path):
    from safetensors.numpy import load_file

    save(tmp_path / "a.safetensors", [np.zeros(1), {"a": np.ones(2)}])
    assert load_file(tmp_path / "a.safetensors").keys() == {"0", "1/a"}
    np.testing.assert_array_equal(load(tmp_path / "a.safetensors")[1]["a"], np.ones(2))


@pytest.mark.parametrize(
    "tree",
    [
        {"a": {"b": np.zeros(1)}, "a/b": np.ones(1)},
        {"a": [np.zeros(1)], "a/0": np.ones(1)},
        {"": {"a/b": np.zeros(1)}, "a": {"b": np.ones(1)}},
    ],
)
def test_two_arrays_of_one_name_are_refused(tmp_path, tree):
    with pytest.raises(TypeError, match="would both be named 'a/"):
        save(tmp_path / "a.safetensors", tree)
    assert os.listdir(tmp_path) == []


def test_others_may_read_what_they_may_read_of_any_file(tmp_path):
    (tmp_path / "any").touch()
    save(tmp_path / "a.safetensors", TREE)
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "any").stat().st_mode


@pytest.mark.parametrize("tree", [{"a": {1: 2}}, {"a": {"b": [object()]}}, {"a": {"$tensor": "b"}}])
def test_what_cannot_be_saved_is_named_and_nothing_written(tmp_path, tree):
    with pytest.raises(TypeError, match="a"):
        save(tmp_path / "a.safetensors", tree)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
def test_a_save_that_fails_leaves_the_old_file_whole(tmp_path, monkeypatch, failing):
    path = tmp_path / "a.safetensors"
    save(path, {"a": np.zeros(3)})
    before = path.read_bytes()

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="No space left"):
        save(path, {"a": np.ones(3)})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.safetensors"]


def test_a_folder_that_is_not_there_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        save(tmp_path / "missing" / "a.safetensors", {"a": np.ones(3)})


def test_the_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "fsync", lambda fd, real=os.fsync: (calls.append("fsync"), real(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b, real=os.replace: (calls.append("rename"), real(a, b)))
    save(tmp_path / "a.safetensors", TREE)
    assert calls == ["fsync", "rename", "fsync"]


def test_no_file_and_damaged_files_are_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        load(path)
    save(path, TREE)
    whole = path.read_bytes()
    for cut in (0, 4, 8, 100, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(CheckpointError, match="not a whole safetensors file"):
            load(path)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "no checkpoint"),
        ({"gdengine": "{"}, "damaged"),
        ({"gdengine": "[]"}, "damaged"),
        ({"gdengine": json.dumps({"format": 1})}, "damaged"),
        ({"gdengine": json.dumps({"format": 1, "tree": {"a": {"$tensor": "b"}}})}, "tensor 'b'"),
        ({"gdengine": json.dumps({"format": 99, "tree": {}})}, "format 99"),
    ],
)
def test_other_files_are_refused(tmp_path, metadata, message):
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(1)}, tmp_path / "a.safetensors", metadata=metadata)
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path / "a.safetensors")


def test_the_newest_is_that_of_the_latest_step(tmp_path):
    store = Store(tmp_path)
    assert store.newest() is None
    for step in (5, 100_000_000, 99_999_999):
        save(path_for(tmp_path, step), {"step": step})
    (tmp_path / "00000200.safetensors.tmp").write_bytes(b"")
    (tmp_path / "best.safetensors").write_bytes(b"")
    assert store.newest() == tmp_path / "100000000.safetensors"
    store.write(7, Snapshot({"step": 7}))
    assert [path.stem for path in store.paths()] == ["99999999", "100000000"]
