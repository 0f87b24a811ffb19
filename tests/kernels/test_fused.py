"""Every fused CPU kernel against the float64 reference; a walk over the folders finds them, and none is forgotten."""

import inspect

import numpy as np
import pytest

from tests.kernels.cases import CHECKS, copied
from tests.kernels.walk import CHECKED, FUNCTIONS, call, describe, floats, is_written, module, small_cases

pytestmark = pytest.mark.usefixtures("fused")

LAYOUTS = {
    "read-only": lambda a: read_only(a.copy()),
    "every second": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "backwards": lambda a: a[..., ::-1].copy()[..., ::-1],
    "transposed": lambda a: np.asfortranarray(a),
    "misaligned": lambda a: misaligned(a),
    "one value for all": lambda a: np.broadcast_to(a.reshape(-1)[:1].reshape((1,) * a.ndim), a.shape),
}
FLOATS = [(name, argument) for name in CHECKED for argument in floats(small_cases(name)[-1])]
OF_ANOTHER_DTYPE = ("philox.bits", "global_norm.sum_of_squares")  # whatever they are given


@pytest.mark.parametrize("name", FUNCTIONS)
def test_has_the_signature_of_the_reference(name):
    operation, function = name.split(".")
    parameters = []
    for kind in ("reference", "cpu"):
        signature = inspect.signature(getattr(module(operation, kind), function))
        parameters.append([(p.name, p.kind, p.default) for p in signature.parameters.values()])
    assert parameters[0] == parameters[1]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_is_checked(name):
    assert name in CHECKS, f"tests/kernels/cases.py has no Check for {name}"


@pytest.mark.parametrize("name", CHECKED)
def test_agrees_with_the_reference(name, set_num_threads, pieces_run):
    set_num_threads(2)
    for case in CHECKS[name].inputs():
        compare(name, case)
    assert pieces_run == {1, 2}, f"the cases of {name} ran in {pieces_run} pieces; there must be some for 1 and for 2"


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("name", CHECKED)
def test_gives_the_same_bits_again(name, count, set_num_threads):
    set_num_threads(count)
    *_, largest = CHECKS[name].inputs()
    first, second = (call(name, "cpu", copied(largest)) for _ in range(2))
    for result, value in first.items():
        assert value.tobytes() == second[result].tobytes()


@pytest.mark.parametrize("name", CHECKED)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the reference's, about the numbers put in
def test_numbers_that_are_not_finite_spread_as_in_the_reference(name):
    for case in small_cases(name):
        if case.get("causal"):
            continue  # the reference multiplies what may not be seen by 0, and gets NaN: see the next test
        for argument in floats(case):
            for value in (np.nan, np.inf, -np.inf):
                planted = copied(case)
                planted[argument].reshape(-1)[planted[argument].size // 2] = value
                got = call(name, "cpu", copied(planted))
                for result, expected in call(name, "reference", copied(planted, np.float64)).items():
                    said = f"{name} with {value} in {argument}, {describe(case)}: {result}"
                    special = ~np.isfinite(expected)
                    assert np.array_equal(special, ~np.isfinite(got[result])), said
                    assert np.array_equal(got[result][special], expected[special], equal_nan=True), said


@pytest.mark.parametrize("argument", ["q", "k", "v"])
def test_causal_attention_lets_nothing_leak_backwards(argument):
    attention = module("attention")
    arrays = {
        name: np.random.default_rng(i).normal(size=(1, 2, 150, 8)).astype(np.float32) for i, name in enumerate("qkv")
    }
    clean, _ = attention.forward(**arrays, causal=True)
    arrays[argument][:, :, 100] = np.nan
    spoilt, _ = attention.forward(**arrays, causal=True)
    before = (
        64 if argument == "v" else 100
    )  # within its block of 64 queries, a value that may not be seen counts 0 times
    assert np.array_equal(clean[:, :, :before], spoilt[:, :, :before])
    assert np.isnan(spoilt[:, :, 100]).all()
    assert np.isnan(spoilt[:, :, 101:]).all() == (argument != "q")


def test_impossible_classes_have_probability_zero():
    cross_entropy = module("cross_entropy")
    logits = np.zeros((3, 40), np.float32)
    logits[:, 20:] = -np.inf
    chosen = np.array([3, 19, 30])
    losses, lse = cross_entropy.forward(logits, chosen)
    # log 20 is rounded, and the sum of 20 ones is exact
    assert np.allclose(losses[:2], np.log(20), rtol=2**-22, atol=0)
    assert losses[2] == np.inf
    dz = cross_entropy.backward(np.ones(3, np.float32), logits, chosen, lse)
    assert np.array_equal(dz[:, 20:] != 0, np.arange(20, 40) == chosen[:, None])


def read_only(array):
    array.flags.writeable = False
    return array


def misaligned(array):
    buffer = np.empty(array.nbytes + 1, np.uint8)
    moved = buffer[1:].view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", CHECKED)
def test_takes_arrays_of_any_layout(name, layout, compiled):
    for case in small_cases(name):
        for argument, value in case.items():
            if not isinstance(value, np.ndarray) or not value.ndim or not value.size:
                continue
            unusual = LAYOUTS[layout](value)
            if is_written(name, argument) and not unusual.flags.writeable:
                continue
            usual = {**copied(case), argument: np.array(unusual, order="C")}
            expected = call(name, "cpu", usual)
            compiled.clear()
            got = call(name, "cpu", {**copied(case), argument: unusual})
            assert not compiled, f"{compiled} compiled anew"
            for result in expected:
                said = f"{name} with {argument} {layout}, {describe(case)}: {result}"
                assert np.array_equal(got[result], expected[result]), said


@pytest.fixture
def compiled():
    """The names of the kernels compiled since, or since the list was cleared."""
    from gdengine.kernels.common.compiling import on_compile

    names = []
    stop = on_compile(names.append)
    yield names
    stop()


@pytest.mark.parametrize(("name", "argument"), [(n, a) for n, a in FLOATS if is_written(n, a)])
def test_refuses_to_write_what_is_read_only(name, argument):
    case = copied(small_cases(name)[-1])
    before = copied(case)
    read_only(case[argument])
    with pytest.raises(ValueError, match="read-only"):
        call(name, "cpu", case)
    for other, value in before.items():
        if isinstance(value, np.ndarray):
            assert np.array_equal(case[other], value), f"{other} was changed"


@pytest.mark.parametrize(("name", "argument"), FLOATS)
def test_refuses_another_dtype(name, argument):
    case = copied(small_cases(name)[-1])
    case[argument] = case[argument].astype(np.float64)
    with pytest.raises(TypeError, match="float32"):
        call(name, "cpu", case)


@pytest.mark.parametrize(
    ("name", "argument"), [(n, a) for n, a in FLOATS if sum(n == other for other, _ in FLOATS) > 1]
)
def test_refuses_a_shape_that_does_not_fit(name, argument):
    case = copied(small_cases(name)[-1])
    case[argument] = np.zeros([n + 1 for n in case[argument].shape], np.float32)
    with pytest.raises(ValueError, match="shape"):
        call(name, "cpu", case)


def compare(name, case):
    """Assert that the fused version is as near to the reference as the bound says."""
    got = call(name, "cpu", copied(case))
    wide = copied(case, np.float64)
    expected = call(name, "reference", copied(wide))
    before = {f"before_{k}": v for k, v in wide.items()}  # what arguments held that are written in place
    with np.errstate(all="ignore"):  # a bound on nothing may divide by it
        bound = CHECKS[name].bound({**wide, **before, "before": wide.get("out")}, expected)
    for result, value in expected.items():
        said = f"{name} {describe(case)}: {result}"
        assert got[result].shape == value.shape, said
        assert got[result].dtype == (np.float32 if name not in OF_ANOTHER_DTYPE else value.dtype), said
        error = np.abs(got[result].astype(np.float64) - value)
        assert np.all(error <= bound[result]), f"{said} is off by {error.max()}; allowed is {np.max(bound[result])}"


@pytest.fixture
def pieces_run(monkeypatch):
    """The numbers of pieces that kernels have been run in since."""
    from gdengine.kernels.common.jit import Kernel

    seen, run = set(), Kernel.__call__

    def record(self, pieces, *args):
        seen.add(pieces)
        run(self, pieces, *args)

    monkeypatch.setattr(Kernel, "__call__", record)
    return seen
