"""Files that are damaged, or made to do harm: refused, or they hold what they held."""

import json
import shutil
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdengine.training.checkpoint import FORMAT, CheckpointError, describe, load, save
from gdengine.training.settings import Settings, SettingsError, read_toml
from tests.damage import CHANGES, LONG, QUICK, changed
from tests.trees import TREE, assert_same

FORMATS = Path(__file__).parent.parent / "data"
SMALL = {"step": 3, "w": np.arange(3, dtype=np.float32), "b": np.array([True, False]), "extra": {"text": "é"}}


@pytest.fixture
def small(tmp_path):
    """A small checkpoint, and its bytes."""
    path = tmp_path / "small.safetensors"
    save(path, SMALL)
    return path, path.read_bytes()


def same_or_refused(path, data, expected):
    """Whether the bytes were refused; if not, they hold what is expected."""
    path.write_bytes(data)
    try:
        tree = load(path)
    except CheckpointError as error:
        told = str(error)
    else:
        assert_same(tree, expected)
        return False
    assert str(path) in told
    return True


@pytest.mark.parametrize("version", range(1, FORMAT + 1))
def test_every_format_there_was_is_read(version):
    path = FORMATS / f"checkpoint_format_{version}.safetensors"
    assert_same(load(path), TREE)
    assert describe(path)["format"] == version


def test_every_bit_flipped(small):
    path, whole = small
    refused = 0
    for place in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            refused += same_or_refused(path, bytes(damaged), SMALL)
    assert refused == 8 * len(whole)


def test_every_length_it_can_be_cut_to(small):
    path, whole = small
    assert all(same_or_refused(path, whole[:length], SMALL) for length in range(len(whole)))
    assert same_or_refused(path, whole + b"\0", SMALL)


def rewritten(header, data=b"", length=None):
    """The bytes of a safetensors file with this header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype="F32", shape=(1,), start=0, stop=4):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, stop]}


META = {"gdengine": json.dumps({"format": 1, "tree": {"a": {"$tensor": "a"}}})}
DEEP = '{"a":' * 50_000 + "1" + "}" * 50_000


@pytest.mark.parametrize(
    "data",
    [
        rewritten({}, length=2**63),
        rewritten({}, length=99_999_999),
        rewritten({}, length=0),
        rewritten(b"[" * 100_000),
        rewritten(b'{"a":' * 100_000),
        rewritten({"__metadata__": META, "a": entry(shape=(2**62,)), "b": entry()}, bytes(4)),
        rewritten({"__metadata__": META, "a": entry(shape=(2**32, 2**32, 2**32))}, bytes(4)),
        rewritten({"__metadata__": META, "a": entry(shape=(2**62, 0), stop=0)}),
        rewritten({"__metadata__": META, "a": entry(shape=(1,) * 200)}, bytes(4)),
        rewritten({"__metadata__": META, "a": entry(shape=(-1,))}, bytes(4)),
        rewritten({"__metadata__": META, "a": entry(), "b": entry(start=2, stop=6)}, bytes(6)),
        rewritten({"__metadata__": META, "a": entry(), "b": entry(start=8, stop=12)}, bytes(12)),
        rewritten({"__metadata__": META, "a": entry(start=4, stop=0)}, bytes(4)),
        rewritten({"__metadata__": META, "a": entry(stop=2**64)}, bytes(4)),
        rewritten({"__metadata__": META, "a": entry("F99")}, bytes(4)),
        rewritten({"__metadata__": META, "a": entry("F8_E4M3", (4,))}, bytes(4)),
        rewritten(
            b'{"__metadata__":' + json.dumps(META).encode() + b',"a":' + json.dumps(entry()).encode()
            + b',"a":' + json.dumps(entry()).encode() + b"}", bytes(4)
        ),
        rewritten({"__metadata__": {"gdengine": DEEP}, "a": entry()}, bytes(4)),
        rewritten({"__metadata__": {"gdengine": f'{{"format": 1, "tree": {DEEP}}}'}, "a": entry()}, bytes(4)),
        rewritten({"__metadata__": {"gdengine": '{"format": true, "tree": {}}'}, "a": entry()}, bytes(4)),
        rewritten({"__metadata__": {"gdengine": '{"format": 2, "tree": {}}'}, "a": entry()}, bytes(4)),
        rewritten({"__metadata__": {"gdengine": '{"format": 1, "tree": {"a": {"$tensor": ["a"]}}}'}}),
        rewritten({"__metadata__": {"gdengine": '{"format": 0, "tree": {}}'}}),
    ],
)  # fmt: skip
def test_hostile_files_are_refused(tmp_path, data):
    assert same_or_refused(tmp_path / "a.safetensors", data, None)


def test_a_folder_in_its_place_is_no_checkpoint(tmp_path):
    (tmp_path / "a.safetensors").mkdir()
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        load(tmp_path / "a.safetensors")


def fuzz_checkpoint(path, whole, changes):
    same_or_refused(path, changed(whole, changes), SMALL)


@QUICK
@given(CHANGES)
def test_a_changed_checkpoint(small, changes):
    fuzz_checkpoint(*small, changes)


@pytest.mark.endurance
@LONG
@given(CHANGES)
def test_twenty_thousand_changed_checkpoints(small, changes):
    fuzz_checkpoint(*small, changes)


# ---- configuration

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)
CONFIGS = st.dictionaries(st.sampled_from(list(Settings().to_dict())) | st.text(max_size=8), VALUES, max_size=5)


def fuzz_settings(values):
    try:
        made = Settings.from_dict(values)
    except SettingsError:
        return
    assert made.to_dict().items() >= {name: values[name] for name in values}.items()


def fuzz_toml(path, changes):
    path.write_bytes(changed(Settings().to_toml().encode(), changes))
    with suppress(SettingsError):
        fuzz_settings(read_toml(path))


@QUICK
@given(CONFIGS)
def test_any_settings(values):
    fuzz_settings(values)


@QUICK
@given(CHANGES)
def test_any_settings_file(tmp_path_factory, changes):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    fuzz_toml(path, changes)


@pytest.mark.endurance
@LONG
@given(CONFIGS, CHANGES)
def test_twenty_thousand_settings(tmp_path_factory, values, changes):
    fuzz_settings(values)
    fuzz_toml(tmp_path_factory.getbasetemp() / "any.toml", changes)


def test_a_copy_is_as_good(small, tmp_path):
    shutil.copy(small[0], tmp_path / "copy.safetensors")
    assert_same(load(tmp_path / "copy.safetensors"), SMALL)
