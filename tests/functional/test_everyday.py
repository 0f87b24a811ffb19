"""The everyday functions beside PyTorch's and NumPy's: values, gradients, edges, and what they refuse."""

import math

import numpy as np
import pytest

import gdengine as gd
from gdengine import functional as F
from tests.functional.forms import same_as_torch
from tests.helpers import normal

torch = pytest.importorskip("torch", reason="compares with PyTorch")
T = torch.nn.functional

PICKS = np.random.default_rng(1).integers(0, 7, (5, 4))
MASK = np.random.default_rng(2).random((5, 7)) < 0.5
HOLES = np.where(MASK, 0.0, normal(5, 7))
TIES = np.array([[1.0, 3, 3, 0, 3], [2, 2, 2, 2, 2], [5, 4, 3, 2, 1]])
ids = torch.from_numpy


def same(name):
    return getattr(F, name), getattr(torch, name)


# (ours, theirs), the inputs or their shapes, the length of the longest sum
CASES = {
    **{name: (same(name), [(5, 7)], 1) for name in ("sin", "cos", "erf", "expm1", "square", "floor", "ceil", "round")},
    "erf of large": ((lambda a: F.erf(4 * a), lambda a: torch.erf(4 * a)), [(37, 19)], 20),
    "round, decimals": ((lambda a: F.round(a, 1), lambda a: torch.round(a, decimals=1)), [(5, 7)], 1),
    "log1p": ((lambda a: F.log1p(a * a), lambda a: torch.log1p(a * a)), [(5, 7)], 1),
    "rsqrt": ((lambda a: F.rsqrt(a * a + 0.1), lambda a: torch.rsqrt(a * a + 0.1)), [(5, 7)], 30),
    "clamp": ((lambda a: a.clamp(-0.3, 0.7), lambda a: a.clamp(-0.3, 0.7)), [(5, 7)], 1),
    "clamp at the limits": ((lambda a: a.clamp(1, 3), lambda a: a.clamp(1, 3)), [TIES], 1),
    "clamp, tensors": (same("clamp"), [(5, 7), (7,), (5, 1)], 7),
    "var": (same("var"), [(5, 7)], 70),
    "var, dim": ((lambda a: F.var(a, (0, 2)), lambda a: torch.var(a, (0, 2))), [(5, 3, 7)], 70),
    "var, correction": ((lambda a: a.var(1, correction=0), lambda a: a.var(1, correction=0)), [(5, 3)], 9),
    "std": ((lambda a: F.std(a, -1, keepdim=True), lambda a: torch.std(a, -1, keepdim=True)), [(5, 7)], 28),
    "std, no spread": ((lambda a: F.std(a, 1), lambda a: torch.std(a, 1)), [TIES], 20),
    "prod": ((lambda a: F.prod(a, 1), lambda a: torch.prod(a, 1)), [(5, 7)], 14),
    "prod with zeros": ((lambda a: F.prod(a, 1), lambda a: torch.prod(a, 1)), [HOLES[:, :3]], 9),
    "cumsum": ((lambda a: F.cumsum(a, 1), lambda a: torch.cumsum(a, 1)), [(5, 17, 3)], 17),
    "cumprod": ((lambda a: F.cumprod(a, 1), lambda a: torch.cumprod(a, 1)), [HOLES], 28),
    "logsumexp": ((lambda a: F.logsumexp(9 * a, 1), lambda a: torch.logsumexp(9 * a, 1)), [(5, 17)], 150),
    **{
        f"norm {p}": ((lambda a, p=p: F.norm(a, p, 1), lambda a, p=p: torch.norm(a, p, 1)), [(5, 17)], 40)
        for p in (1, 2, 3, 0.5, math.inf)
    },
    **{
        f"norm {p} at zero": ((lambda a, p=p: F.norm(a, p, 1), lambda a, p=p: torch.norm(a, p, 1)), [0 * TIES], 1)
        for p in (1, 2, 3)
    },
    "norm inf, equals": ((lambda a: F.norm(a, math.inf, 1), lambda a: torch.norm(a, math.inf, 1)), [TIES], 1),
    "einsum": (
        (lambda a, b: F.einsum("b...ij,kj->...ik", a, b), lambda a, b: torch.einsum("b...ij,kj->...ik", a, b)),
        [(3, 2, 4, 65), (5, 65)],
        195,
    ),
    "einsum, three": (
        (lambda *x: F.einsum("bi,bj,ijk->bk", *x), lambda *x: torch.einsum("bi,bj,ijk->bk", *x)),
        [(5, 3), (5, 4), (3, 4, 2)],
        60,
    ),
    "gather": ((lambda a: a.gather(1, PICKS), lambda a: a.gather(1, ids(PICKS))), [(5, 7)], 4),
    "scatter_add": (
        (lambda a, s: a.scatter_add(1, PICKS, s), lambda a, s: a.scatter_add(1, ids(PICKS), s)),
        [(5, 7), (5, 4)],
        5,
    ),
    "index_select": (
        (lambda a: a.index_select(1, PICKS[0]), lambda a: a.index_select(1, ids(PICKS[0]))),
        [(5, 7, 2)],
        4,
    ),
    "masked_fill": ((lambda a: a.masked_fill(MASK, -3), lambda a: a.masked_fill(ids(MASK), -3)), [(5, 7)], 1),
    "repeat": ((lambda a: a.repeat(2, 1, 3), lambda a: a.repeat(2, 1, 3)), [(5, 7)], 6),
    "tile": ((lambda a: a.tile(3), lambda a: a.tile(3)), [(5, 7)], 3),
    "repeat_interleave": (
        (lambda a: a.repeat_interleave(3, 1), lambda a: a.repeat_interleave(3, 1)),
        [(5, 7, 2)],
        3,
    ),
    "flip": ((lambda a: a.flip(0, -1), lambda a: a.flip(0, -1)), [(5, 3, 7)], 1),
    "roll": ((lambda a: a.roll((2, -9), (0, 2)), lambda a: a.roll((2, -9), (0, 2))), [(5, 3, 7)], 1),
    "tril": ((lambda a: a.tril(1), lambda a: a.tril(1)), [(2, 5, 7)], 1),
    "triu": ((lambda a: a.triu(-2), lambda a: a.triu(-2)), [(2, 5, 7)], 1),
    "diagonal": ((lambda a: a.diagonal(-1, 1, 2), lambda a: a.diagonal(-1, 1, 2)), [(2, 5, 3)], 1),
    "chunk": ((lambda a: a.chunk(4, 1), lambda a: a.chunk(4, 1)), [(5, 9)], 1),
    "unbind": ((lambda a: a.unbind(1), lambda a: a.unbind(1)), [(5, 3, 2)], 1),
    "sort": ((lambda a: a.sort(1), lambda a: torch.sort(a, 1)), [(5, 17, 2)], 1),
    "sort, equals": ((F.sort, lambda a: torch.sort(a, stable=True)), [TIES], 1),
    "sort, descending equals": (
        (lambda a: a.sort(descending=True), lambda a: torch.sort(a, descending=True, stable=True)),
        [TIES],
        1,
    ),
    "topk": ((lambda a: a.topk(3, 1), lambda a: a.topk(3, 1)), [(5, 17, 2)], 1),
    "topk, smallest": ((lambda a: a.topk(3, largest=False), lambda a: a.topk(3, largest=False)), [(5, 17)], 1),
    "pad": ((lambda a: F.pad(a, (1, 2, -1, 3), value=2.0), lambda a: T.pad(a, (1, 2, -1, 3), value=2.0)), [(5, 7)], 1),
    **{
        f"pad, {mode}": (
            (lambda a, m=mode: F.pad(a, (4, 2, 1, 3), m), lambda a, m=mode: T.pad(a, (4, 2, 1, 3), m)),
            [(2, 3, 5, 7)],
            40,
        )
        for mode in ("reflect", "replicate", "circular")
    },
    **{
        name: ((lambda a, n=name: getattr(F, n)(5 * a), lambda a, n=name: getattr(T, n)(5 * a)), [(37, 20)], 60)
        for name in ("leaky_relu", "elu", "silu", "mish", "softplus", "logsigmoid", "hardswish", "relu6", "glu")
    },
    "softplus, beta": ((lambda a: F.softplus(9 * a, 2, 9), lambda a: T.softplus(9 * a, 2, 9)), [(37, 19)], 60),
    "gelu, exact": ((lambda a: F.gelu(3 * a, "none"), lambda a: T.gelu(3 * a)), [(37, 19)], 20),
    "swiglu": ((F.swiglu, lambda a, b: T.silu(a) * b), [(37, 19), (37, 19)], 10),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_same_as_torch(name, dtype):
    """See test_against_torch: 2·(n + 20) roundings of sums of n terms."""
    (ours, theirs), inputs, n = CASES[name]
    arrays = [normal(*a, seed=i) if isinstance(a, tuple) else a for i, a in enumerate(inputs)]
    same_as_torch(ours, theirs, arrays, dtype, 2 * (n + 20))


X = normal(2, 3, 4)
NUMPYS = {
    "clip": lambda np_, x: np_.clip(x, -0.5, 0.5),
    "clip, one": lambda np_, x: np_.clip(x, None, 0.5),
    "round": lambda np_, x: np_.round(x, 1),
    "var": lambda np_, x: np_.var(x, axis=1),
    "std": lambda np_, x: np_.std(x, axis=(0, 2), ddof=1, keepdims=True),
    "prod": lambda np_, x: np_.prod(x, axis=1),
    "cumsum": lambda np_, x: np_.cumsum(x),
    "cumprod": lambda np_, x: np_.cumprod(x, axis=1),
    "einsum": lambda np_, x: np_.einsum("bij,bkj->bik", x, x),
    "norm": lambda np_, x: np_.linalg.norm(x, axis=-1),
    "take_along_axis": lambda np_, x: np_.take_along_axis(x, np.array([[[0, -1]]]), 2),
    "repeat": lambda np_, x: np_.repeat(x, 2, axis=1),
    "repeat, each": lambda np_, x: np_.repeat(x, [0, 2, 1], axis=1),
    "tile": lambda np_, x: np_.tile(x, (2, 1)),
    "flip": lambda np_, x: np_.flip(x, 1),
    "roll": lambda np_, x: np_.roll(x, 2),
    "tril": lambda np_, x: np_.tril(x, 1),
    "diagonal": lambda np_, x: np_.diagonal(x, 1, 1, 2),
    "pad": lambda np_, x: np_.pad(x, ((0, 1), (2, 0), (1, 1)), constant_values=2.0),
    "pad, edge": lambda np_, x: np_.pad(x, 2, "edge"),
    "pad, wrap": lambda np_, x: np_.pad(x, (1, 2), mode="wrap"),
    "sort": lambda np_, x: np_.sort(x, axis=1),
    "sort, flat": lambda np_, x: np_.sort(x, axis=None),
}


@pytest.mark.parametrize("name", NUMPYS)
def test_numpys_functions_are_differentiated(name):
    y = NUMPYS[name](np, gd.tensor(X, requires_grad=True))
    assert isinstance(y, gd.Tensor)
    assert y.requires_grad
    # a sum of at most 12 terms about 1, in another order
    np.testing.assert_allclose(y.detach().numpy(), NUMPYS[name](np, X), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", ["any", "all", "argmin", "argsort"])
def test_numpys_questions(name):
    x = gd.tensor(np.round(X), requires_grad=True)
    for options in ({}, {"axis": 1}):
        got = getattr(np, name)(x, **options)
        assert not got.requires_grad
        np.testing.assert_array_equal(got, getattr(np, name)(np.round(X), **options))


def test_erf_is_good_to_the_last_digits():
    """Beside the C library's, itself within an ulp: relative to erf, near 0, over the seam at 1, and where it is 1."""
    x = np.concatenate([np.linspace(-6.5, 6.5, 20_001), 10.0 ** np.linspace(-300, 0, 500), [1, -1, 0, np.inf, -np.inf]])
    exact = np.array([math.erf(v) for v in x])
    assert (np.abs(F.erf(x).numpy() - exact) <= 3 * 2**-53 * np.abs(exact)).all()
    narrow = x[np.abs(x) > 1e-30].astype(np.float32)
    exact = np.array([math.erf(v) for v in narrow.astype(np.float64)])
    assert (np.abs(F.erf(narrow).numpy() - exact) <= 4 * 2**-24 * np.abs(exact)).all()
    assert np.isnan(F.erf(gd.tensor([np.nan])).item())
    assert F.erf(gd.tensor([1.0], dtype=gd.bfloat16)).dtype == gd.bfloat16


@pytest.mark.parametrize(
    "function",
    [
        F.sqrt,
        F.log,
        F.rsqrt,
        lambda x: F.log1p(x - 1),
        lambda x: F.norm(x, 2, 1, keepdim=True) + 0 * x,
        lambda x: F.norm(x, 3, 1, keepdim=True) + 0 * x,
        lambda x: F.std(x, 1, keepdim=True) + 0 * x,
        lambda x: F.sqrt(F.sum(x * x, 1, keepdim=True)) + 0 * x,
    ],
)
def test_no_nan_leaks_out_of_the_branch_not_taken(function):
    for values in (np.zeros((2, 3)), np.array([[0.0, 0, 0], [1, 2, 3]])):
        x = gd.tensor(values, requires_grad=True)
        with np.errstate(all="ignore"):
            F.where(x > 0, function(x), x).sum().backward()
        assert np.isfinite(x.grad.numpy()).all()
        np.testing.assert_array_equal(x.grad.numpy()[0], [1, 1, 1])


def test_a_norm_has_no_slope_at_zero():
    for p in (1, 1.5, 2, 3, np.inf):
        x = gd.zeros(3, requires_grad=True)
        x.norm(p).backward()
        assert x.grad.tolist() == [0, 0, 0]


def test_logsumexp_of_nothing():
    x = gd.tensor([[-np.inf, -np.inf], [0.0, -np.inf]], requires_grad=True)
    y = F.logsumexp(x, 1)
    y.sum().backward()
    assert y.tolist() == [-np.inf, 0]
    assert x.grad.tolist() == [[0, 0], [1, 0]]


def test_order_puts_nan_last_of_the_ascending_and_first_of_the_descending():
    x = gd.tensor([np.nan, 1.0, 2.0])
    assert F.argsort(x).tolist() == [1, 2, 0]
    assert F.argsort(x, descending=True).tolist() == [0, 2, 1]
    assert F.topk(x, 1).indices.tolist() == [0]


def test_one_hot_is_torchs():
    for classes in (-1, 9):
        expected = T.one_hot(ids(PICKS), classes).numpy()
        got = F.one_hot(PICKS, classes)
        assert got.dtype == np.int64
        np.testing.assert_array_equal(got, expected)


def test_what_gathers_works_on_integers_too():
    x = gd.tensor(np.arange(10).reshape(2, 5))
    assert F.gather(x, 1, [[4], [0]]).tolist() == [[4], [5]]
    assert F.sort(x, descending=True).values.tolist() == [[4, 3, 2, 1, 0], [9, 8, 7, 6, 5]]
    assert F.cumsum(x, 1).dtype == np.int64
    assert F.prod(x, 1).tolist() == [0, 15120]
    assert F.clamp(x, 2, 4).dtype == np.int64
    assert F.any(x, 0).tolist() == [True] * 5
    assert F.all(x, 1).tolist() == [False, True]
    assert x.argmin().item() == 0


def test_views_share_memory():
    x = gd.zeros(2, 3)
    for y in (x.flip(0), *x.unbind(1), *x.chunk(2, 1)):
        y.fill_(7)
    assert (x == 7).all()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: F.clamp(x), ValueError, "a min, a max, or both"),
        (lambda x: F.clamp(x, np.zeros(3)), ValueError, "do not broadcast"),
        (lambda x: F.var(x[:1], 0), ValueError, "correction=1 asks for more"),
        (lambda x: F.norm(x, 0), ValueError, "p > 0"),
        (lambda x: F.gather(x, 1, [[9]]), IndexError, "must lie in 0 … 6"),
        (lambda x: F.gather(x, 1, [0]), ValueError, "as many axes"),
        (lambda x: F.gather(x, 0, [[0.5]]), TypeError, "integer index"),
        (lambda x: F.scatter_add(x, 1, PICKS, x[:2]), ValueError, "at least as large"),
        (lambda x: F.scatter_add(x, 1, PICKS, x.float()), TypeError, "one dtype"),
        (lambda x: F.index_select(x, 0, [[0]]), ValueError, "a vector of indices"),
        (lambda x: F.one_hot([]), ValueError, "pass num_classes"),
        (lambda x: F.topk(x, 8), ValueError, "cannot give 8"),
        (lambda x: F.einsum("ij,jk", x), ValueError, "is for 2 operands, got 1"),
        (lambda x: F.einsum("ijk", x), ValueError, r"does not name the 2 axes"),
        (lambda x: F.einsum("ij->ijk", x), ValueError, "must be the operands', each once"),
        (lambda x: F.einsum("i!", x), ValueError, "not made of letters"),
        (lambda x: F.einsum("ij,ik", x, x[:3]), ValueError, "axis 'i' has size 3 in operand 1, and 5 before"),
        (lambda x: F.einsum(x, "ij"), TypeError, "its equation first"),
        (lambda x: F.repeat(x, 2), ValueError, "a number for each axis"),
        (lambda x: F.repeat(x, -1, 2), ValueError, "0 or more"),
        (lambda x: F.repeat_interleave(x, [1, 2], 0), ValueError, "or 5 of them"),
        (lambda x: F.roll(x, (1, 2), 0), ValueError, "a shift for each axis"),
        (lambda x: F.tril(x[0]), ValueError, "two axes or more"),
        (lambda x: F.diagonal(x, 0, 1, -1), ValueError, "two different axes"),
        (lambda x: F.pad(x, (1,)), ValueError, "wants pairs"),
        (lambda x: F.pad(x, (1, 1), "mirror"), ValueError, "knows the modes"),
        (lambda x: F.pad(x, (7, 1), "reflect"), ValueError, "at most 6 at an end"),
        (lambda x: F.pad(x, (-4, -4)), ValueError, "cannot be made"),
        (lambda x: F.chunk(x, 0), ValueError, "at least 1 piece"),
        (lambda x: F.glu(x), ValueError, "an even number"),
        (lambda x: F.swiglu(x, x[:2]), ValueError, "one shape"),
        (lambda x: F.swiglu(x, x.float()), TypeError, "one dtype"),
        (lambda x: F.gelu(x, "erf"), ValueError, "approximate='tanh' or 'none'"),
    ],
)
def test_mistakes(call, error, words):
    with pytest.raises(error, match=words):
        call(gd.tensor(normal(5, 7)))
