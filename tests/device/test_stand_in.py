"""The stand-in claims to be like CuPy: every name that it offers is there in CuPy too, and takes the same arguments."""

import importlib
import inspect

import pytest

from tests.stand_in import cupy as stand_in
from tests.stand_in import cupyx as stand_in_x

OWN = {"cuda", "host_of", "PASSED_ON", "UNLIKE_ARRAYS", "METHODS", "OPERATORS", "IN_PLACE", "np", "types"}
OWN_OF_CUDA = {"State", "Block", "Held", "UNIT", "DEVICES", "state", "reset", "enqueue", "wait", "np", "time", "types"}
ELSEWHERE = {"OutOfMemoryError": "memory", "CUDARuntimeError": "runtime"}  # in CuPy, in a module of cupy.cuda


@pytest.fixture
def real():
    """CuPy itself, which needs no GPU to be looked at."""
    return pytest.importorskip("cupy", reason="needs CuPy, to compare the stand-in with")


def public(module, own):
    return {name for name in vars(module) if not name.startswith("_")} - own


def test_the_modules_names(real):
    assert {name for name in public(stand_in, OWN) if not hasattr(real, name)} == set()
    cuda = public(stand_in.cuda, OWN_OF_CUDA)
    assert {name for name in cuda if not hasattr(getattr(real.cuda, ELSEWHERE.get(name, ""), real.cuda), name)} == set()
    assert {name for name in vars(stand_in.cuda.runtime) if not hasattr(real.cuda.runtime, name)} == set()
    cupyx = importlib.import_module("cupyx")
    assert {name for name in public(stand_in_x, {"np"}) if not hasattr(cupyx, name)} == set()


@pytest.mark.parametrize(
    "name", ["ndarray", "cuda.Stream", "cuda.Event", "cuda.Device", "cuda.MemoryPool", "cuda.Graph"]
)
def test_the_classes_members(real, name):
    ours, theirs = stand_in, real
    for part in name.split("."):
        ours, theirs = getattr(ours, part), getattr(theirs, part)
    members = {member for member in vars(ours) if not member.startswith("_")}
    assert {member for member in members if not hasattr(theirs, member)} <= {"before", "free", "blocks", "work"}


@pytest.mark.parametrize("name", ["get", "set"])
def test_arguments_of_methods(real, name):
    """CuPy's are compiled, and say their arguments in the first line of their docstrings."""
    told = getattr(real.ndarray, name).__doc__.splitlines()[0]
    for argument in list(inspect.signature(getattr(stand_in.ndarray, name)).parameters)[1:]:
        assert argument in told or argument == "array"


def test_its_refusals():
    import numpy as np

    x = stand_in.array([1.0, 2.0])
    for refused in (
        lambda: x + np.ones(2),
        lambda: np.ones(2) + x,
        lambda: np.asarray(x),
        lambda: x.__setitem__(slice(None), np.ones(2)),
        lambda: np.add.at(x, [0], 1.0),
        lambda: np.linalg.norm(x),
    ):
        with pytest.raises(TypeError):
            refused()
    assert float(np.exp(x).sum()) == pytest.approx(np.exp([1.0, 2.0]).sum())


def test_memory_is_handed_out_again_and_holds_nothing():
    import numpy as np

    stand_in.cuda.reset()
    x = stand_in.array([1.0, 2.0])
    at = x.data.ptr
    view = x[1:]
    del x
    assert stand_in.empty(2).data.ptr != at  # the view holds it
    del view
    again = stand_in.empty(2)
    assert again.data.ptr == at
    assert np.isnan(again.get()).all()


def test_pinned_memory_must_keep_its_values_until_the_copy_was_made():
    import numpy as np

    staged = stand_in_x.empty_pinned((2,), np.float32)
    staged[...] = 1
    x = stand_in.empty(2, np.float32)
    x.set(staged)
    staged[...] = 2
    with pytest.raises(AssertionError, match="pinned memory was changed"):
        x.get()
    stand_in.cuda.reset()
