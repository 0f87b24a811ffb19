"""Every function's gradient against central differences in float64, for contiguous and for strided inputs."""

from itertools import pairwise

import numpy as np
import pytest

import gdengine as gd
from gdengine import functional as F
from tests.functional import gradient_cases, layer_cases
from tests.functional.forms import WIDE, binary, reduction, unary, with_seed
from tests.helpers import apart, assert_close, normal, values_and_gradients

NO_GRADIENT = {"argmax", *gradient_cases.NO_GRADIENT}
POSITIVE = np.abs(apart(2, 3, seed=5)) + 0.3
IDS = np.array([[1, 0], [2, 1], [1, 1]])
MASK = np.array([[True, False, True], [False, True, True]])


def attention(function, t=3, s=3, d=2, **options):
    shapes = [(2, 2, t, d), (2, 2, s, d), (2, 2, s, d)]
    return (
        with_seed(lambda q, k, v: function(q, k, v, **options)),
        *[normal(*at, seed=i) for i, at in enumerate(shapes)],
    )


def branch(function, hidden, bias=True, **options):
    shapes = (2, 3, 4), (4,), (4,), (hidden, 4), (hidden,), (4, 4 if options.get("n_head") else hidden), (4,)
    arrays = [normal(*at, seed=i) for i, at in enumerate(shapes) if bias or len(at) > 1 or i == 1]
    if bias:
        return lambda *parts: function(*parts, **options), *arrays
    return lambda x, w, w1, w2: function(x, w, None, w1, None, w2, None, **options), *arrays


def layers(*widths):
    """Weights and biases of these widths, one after the other."""
    shapes = [shape for fan, n in pairwise(widths) for shape in ((n, fan), (n,))]
    return [normal(*shape, seed=i) for i, shape in enumerate(shapes, 3)]


def pairs(parts):
    return list(zip(parts[::2], parts[1::2], strict=True))


CASES = {
    "attention_branch": {
        "causal": branch(F.attention_branch, 12, n_head=2),
        "full": branch(F.attention_branch, 12, n_head=2, is_causal=False),
        "no biases": branch(F.attention_branch, 12, bias=False, n_head=4),
    },
    "feed_forward_branch": {
        "gelu": branch(F.feed_forward_branch, 5),
        "relu": branch(F.feed_forward_branch, 5, activation="relu"),
        "no biases": branch(F.feed_forward_branch, 5, bias=False),
    },
    "absolute": unary(F.absolute),
    "add": binary(F.add),
    "cast": {"to itself": (lambda x: F.cast(x, np.float64), apart(2, 3))},
    "cat": {
        "rows": (lambda a, b: F.cat([a, b]), apart(2, 3), apart(1, 3)),
        "last axis, one empty": (lambda a, b, c: F.cat([a, b, c], -1), apart(2, 3), apart(2, 0), apart(2, 2)),
        "one tensor twice": (lambda a: F.cat((a, a * 2, a), 1), apart(2, 2)),
        "with a constant": (lambda a: F.cat([np.ones((1, 3)), a, np.ones((2, 3), int)]), apart(2, 3)),
    },
    "clone": unary(F.clone),
    "cross_entropy": {
        "mean": (lambda z: F.cross_entropy(z, [2, 0, 1, 1]), normal(4, 3)),
        "sum": (lambda z: F.cross_entropy(z, [2, 0, 1, 1], reduction="sum"), normal(4, 3)),
        "none": (lambda z: F.cross_entropy(z, [2, 0, 1, 1], reduction="none"), normal(4, 3)),
        "ignored": (lambda z: F.cross_entropy(z, [2, -100, 1, -100]), normal(4, 3)),
        "ignored, by another number": (lambda z: F.cross_entropy(z, [2, 0, 0, 1], ignore_index=0), normal(4, 3)),
        "all ignored": (lambda z: F.cross_entropy(z, [1, 1], ignore_index=1, reduction="sum"), normal(2, 3)),
        "batch and time": (lambda z: F.cross_entropy(z, IDS), normal(3, 2, 4)),
        "one": (lambda z: F.cross_entropy(z, 1), normal(3)),
        "no rows": (lambda z: F.cross_entropy(z, np.zeros(0, int), reduction="sum"), normal(0, 3)),
    },
    "divide": binary(F.divide),
    "dropout": {
        "training": (with_seed(lambda x: F.dropout(x, 0.4)), apart(3, 4)),
        "not training": (lambda x: F.dropout(x, 0.4, training=False), apart(3, 4)),
        "p = 0": (lambda x: F.dropout(x, 0.0), apart(3, 4)),
        "0-d": (with_seed(F.dropout), apart(1)[0]),
        "no elements": (with_seed(F.dropout), apart(0, 2)),
    },
    "embedding": {
        "repeated": (lambda w: F.embedding(IDS, w), normal(4, 3)),
        "one": (lambda w: F.embedding(2, w), normal(4, 3)),
        "none": (lambda w: F.embedding(np.zeros((0, 2), int), w), normal(4, 3)),
    },
    "exp": unary(F.exp),
    "expand": {
        "size 1": (lambda x: F.expand(x, 2, 4), apart(2, 1)),
        "new axes": (lambda x: F.expand(x, (3, -1, -1)), apart(2, 2)),
        "0-d": (lambda x: F.expand(x, 2, 2), apart(1)[0]),
        "to nothing": (lambda x: F.expand(x, 0, 3), apart(1, 3)),
    },
    "feed_forward": {
        "gelu": (F.feed_forward, normal(2, 3, 4), normal(5, 4), normal(5), normal(3, 5), normal(3)),
        "relu": (
            lambda *tensors: F.feed_forward(*tensors, activation="relu"),
            *(normal(3, 4), normal(5, 4), normal(5), normal(2, 5), normal(2)),
        ),
        "no biases": (lambda x, w, v: F.feed_forward(x, w, None, v, None), normal(3, 4), normal(5, 4), normal(2, 5)),
        "a vector": (F.feed_forward, normal(4), normal(5, 4), normal(5), normal(3, 5), normal(3)),
        "the second layer alone": (
            lambda v, c: F.feed_forward(*(normal(*s, dtype=v.dtype) for s in ((3, 4), (5, 4), (5,))), v, c),
            *(normal(2, 5), normal(2)),
        ),
        "the biases alone": (
            lambda b, c: F.feed_forward(
                *(normal(3, 4, dtype=b.dtype), normal(5, 4, dtype=b.dtype), b), normal(2, 5, dtype=b.dtype), c
            ),
            *(normal(5), normal(2)),
        ),
        "one tensor as all": (lambda x: F.feed_forward(x, x, None, x, None), normal(3, 3)),
        "residual": (
            lambda x, w, b, v, c, r: F.feed_forward(x, w, b, v, c, residual=r),
            *(normal(2, 3, 4), normal(5, 4), normal(5), normal(3, 5), normal(3), normal(2, 3, 3)),
        ),
        "residual is x": (
            lambda x, w, v: F.feed_forward(x, w, None, v, None, residual=x),
            normal(3, 4),
            normal(5, 4),
            normal(4, 5),
        ),
        "no rows": (F.feed_forward, normal(0, 4), normal(5, 4), normal(5), normal(3, 5), normal(3)),
        "nothing hidden": (F.feed_forward, normal(3, 4), normal(0, 4), normal(0), normal(2, 0), normal(2)),
    },
    "flatten": {
        "all": (F.flatten, WIDE),
        "some": (lambda x: F.flatten(x, 1, -1), WIDE),
        "negative": (lambda x: F.flatten(x, -3, -2), WIDE),
        "0-d": (F.flatten, apart(1)[0]),
        "no elements": (lambda x: F.flatten(x, 1), apart(2, 0, 3)),
    },
    "gelu": unary(F.gelu),
    "getitem": {
        "integer": (lambda x: x[1], WIDE),
        "all integers": (lambda x: x[1, 2, -1], WIDE),
        "slices": (lambda x: x[:, 1:, ::2], WIDE),
        "negative step": (lambda x: x[::-1, :, ::-2], WIDE),
        "dots and None": (lambda x: x[..., None, 1], WIDE),
        "one dimension": (lambda x: x[2], apart(4)),
        "repeated": (lambda x: x[[0, 2, 0, 0]], apart(3, 2)),
        "repeated, as a tensor": (lambda x: x[gd.tensor([1, 1, 0])], apart(3, 2)),
        "pairs": (lambda x: x[[0, 1, 0], [2, 0, 2]], apart(2, 3)),
        "broadcast indices": (lambda x: x[np.array([[0], [1]]), np.array([2, 0, 2])], apart(2, 3)),
        "slice between": (lambda x: x[[0, 1, 1], :, [3, 0, 0]], WIDE),
        "slice and indices": (lambda x: x[1:, [2, 2, 0]], WIDE),
        "mask": (lambda x: x[MASK], apart(2, 3)),
        "mask as a tensor": (lambda x: x[gd.tensor(MASK)], apart(2, 3)),
        "mask of an axis": (lambda x: x[:, [True, False, True]], WIDE),
        "mask that takes none": (lambda x: x[MASK & False], apart(2, 3)),
        "a bool": (lambda x: x[True], apart(2)),
        "an index without dimensions": (lambda x: x[gd.tensor(1)], apart(3, 2)),
        "empty slice": (lambda x: x[2:2], apart(3, 2)),
        "0-d": (lambda x: x[()], apart(1)[0]),
    },
    "layer_norm": {
        "plain": (F.layer_norm, normal(3, 4)),
        "weight": (F.layer_norm, normal(3, 4), normal(4, seed=1)),
        "weight and bias": (F.layer_norm, normal(2, 3, 4), normal(4, seed=1), normal(4, seed=2)),
        "bias": (lambda x, b: F.layer_norm(x, None, b), normal(3, 4), normal(4, seed=2)),
        "a vector, large eps": (lambda x, w: F.layer_norm(x, w, eps=0.5), normal(5), normal(5, seed=1)),
        "one tensor as both": (lambda x, w: F.layer_norm(x, w, w), normal(3, 4), normal(4, seed=1)),
        "one tensor as all": (lambda x: F.layer_norm(x, x, x), normal(4)),
        "frozen": (lambda b: F.layer_norm(normal(3, 4, dtype=b.dtype), normal(4, dtype=b.dtype), b), normal(4)),
        "no rows": (F.layer_norm, normal(0, 4), normal(4, seed=1), normal(4, seed=2)),
    },
    "linear": {
        "plain": (F.linear, normal(3, 4), normal(2, 4)),
        "bias": (F.linear, normal(2, 3, 4), normal(2, 4), normal(2)),
        "a vector": (F.linear, normal(4), normal(2, 4), normal(2)),
        "relu": (lambda x, w, b: F.linear(x, w, b, activation="relu"), normal(3, 4), normal(2, 4), normal(2)),
        "gelu": (lambda x, w, b: F.linear(x, w, b, activation="gelu"), normal(3, 4), normal(2, 4), normal(2)),
        "residual": (
            lambda x, w, b, r: F.linear(x, w, b, residual=r),
            normal(2, 3, 4),
            normal(2, 4),
            normal(2),
            normal(2, 3, 2),
        ),
        "residual is x": (lambda x, w: F.linear(x, w, residual=x), normal(3, 4), normal(4, 4)),
        "residual upon residual": (
            lambda x, w, r: F.linear(F.linear(F.layer_norm(r * x), w, residual=r * x), w, residual=r),
            *(normal(3, 4), normal(4, 4), normal(3, 4)),
        ),
        "one tensor as x and bias": (lambda x, w: F.linear(x, w, x, activation="gelu"), normal(4), normal(4, 4)),
        "frozen weight": (
            lambda x, b: F.linear(x, normal(2, 4, dtype=x.dtype), b, activation="gelu"),
            normal(3, 4),
            normal(2),
        ),
        "constant x": (lambda w, b: F.linear(normal(3, 4, dtype=w.dtype), w, b), normal(2, 4), normal(2)),
        "bias alone": (lambda b: F.linear(normal(3, 4, dtype=b.dtype), normal(2, 4, dtype=b.dtype), b), normal(2)),
        "residual alone": (
            lambda r: F.linear(normal(3, 4, dtype=r.dtype), normal(2, 4, dtype=r.dtype), residual=r),
            normal(3, 2),
        ),
        "x is the weight": (lambda x: F.linear(x, x), normal(3, 3)),
        "no rows": (F.linear, normal(0, 4), normal(2, 4), normal(2)),
        "no inputs": (F.linear, normal(3, 0), normal(2, 0), normal(2)),
        "no outputs": (F.linear, normal(3, 4), normal(0, 4), normal(0)),
    },
    "log": unary(F.log, POSITIVE),
    "log_softmax": {
        "last": (F.log_softmax, normal(2, 3)),
        "first": (lambda x: F.log_softmax(x, 0), normal(2, 3, 2)),
        "0-d": (F.log_softmax, normal(1)[0]),
        "no rows": (F.log_softmax, normal(0, 3)),
    },
    "matmul": {
        "matrices": (F.matmul, normal(2, 3), normal(3, 4)),
        "vectors": (F.matmul, normal(3), normal(3, seed=1)),
        "vector, matrix": (F.matmul, normal(3), normal(3, 4)),
        "matrix, vector": (F.matmul, normal(2, 3), normal(3)),
        "vector, batch": (F.matmul, normal(3), normal(2, 3, 2)),
        "batch, vector": (F.matmul, normal(2, 2, 3), normal(3)),
        "batches": (F.matmul, normal(2, 2, 3), normal(2, 3, 2)),
        "batch, matrix": (F.matmul, normal(3, 2, 3), normal(3, 2)),
        "matrix, batch": (F.matmul, normal(2, 3), normal(3, 3, 2)),
        "batches repeated": (F.matmul, normal(3, 1, 2, 2), normal(1, 2, 2, 3)),
        "batch repeated by a new axis": (F.matmul, normal(2, 1, 3), normal(2, 2, 3, 1)),
        "one tensor on both sides": (lambda x: F.matmul(x, x), normal(3, 3)),
        "one tensor, exchanged": (lambda x: F.matmul(x, F.transpose(x)), normal(2, 3)),
        "constant": (lambda x: F.matmul(normal(2, 2), x), normal(2, 3)),
        "no inner size": (F.matmul, normal(2, 0), normal(0, 3)),
        "batch without inner size": (F.matmul, normal(2, 2, 0), normal(0, 3)),
        "no rows": (F.matmul, normal(0, 2), normal(2, 3)),
        "no batch": (F.matmul, normal(0, 2, 3), normal(3, 2)),
    },
    "max": reduction(F.max),
    "maximum": binary(F.maximum),
    "mean": reduction(F.mean),
    "min": reduction(F.min),
    "minimum": binary(F.minimum),
    "mlp": {
        "three layers": (lambda x, *parts: F.mlp(x, pairs(parts)), normal(2, 3, 4), *layers(4, 5, 6, 3)),
        "gelu, residual": (
            lambda x, r, *parts: F.mlp(x, pairs(parts), activation="gelu", residual=r),
            *(normal(3, 4), normal(3, 2), *layers(4, 5, 6, 2)),
        ),
        "one layer": (lambda x, *parts: F.mlp(x, pairs(parts)), normal(3, 4), *layers(4, 2)),
        "without biases": (lambda x, *ws: F.mlp(x, [(w, None) for w in ws]), normal(3, 4), *layers(4, 5, 6, 2)[::2]),
        "the middle layer alone": (
            lambda w, b: F.mlp(
                normal(3, 4, dtype=w.dtype),
                [(normal(5, 4, dtype=w.dtype), None), (w, b), (normal(2, 6, dtype=w.dtype), None)],
            ),
            *(normal(6, 5), normal(6)),
        ),
        "one tensor as all": (lambda x: F.mlp(x, [(x, None)] * 3, activation="gelu"), normal(3, 3)),
        "no rows": (lambda x, *parts: F.mlp(x, pairs(parts)), normal(0, 4), *layers(4, 5, 6, 3)),
    },
    "multiply": {**binary(F.multiply), "square": (lambda x: F.multiply(x, x), apart(2, 3))},
    "negative": unary(F.negative),
    "permute": {
        "order": (lambda x: F.permute(x, 2, 0, 1), WIDE),
        "negative, as a tuple": (lambda x: F.permute(x, (-1, 0, 1)), WIDE),
        "0-d": (lambda x: F.permute(x), apart(1)[0]),
    },
    "power": {
        **{name: (fn, *(np.abs(a) for a in arrays)) for name, (fn, *arrays) in binary(F.power).items()},
        "square of either sign": (lambda x: F.power(x, 2), apart(2, 3)),
        "cube of either sign": (lambda x: F.power(x, 3.0), apart(2, 3)),
        "inverse": (lambda x: F.power(x, -1), apart(2, 3)),
        "to the zeroth": (lambda x: F.power(x, 0.0), apart(2, 3)),
        "square at zero": (lambda x: F.power(x, 2), np.zeros(2)),
        "first at zero": (lambda x: F.power(x, 1), np.zeros(2)),
    },
    "qkv_attention": {
        "causal": (lambda x: F.qkv_attention(x, 2), normal(2, 3, 12)),
        "full": (lambda x: F.qkv_attention(x, 2, is_causal=False), normal(2, 3, 12)),
        "dropout": (with_seed(lambda x: F.qkv_attention(x, 1, dropout_p=0.3)), normal(2, 3, 6)),
        "one position": (lambda x: F.qkv_attention(x, 1), normal(2, 1, 3)),
        "no batch": (lambda x: F.qkv_attention(x, 1), normal(0, 2, 3)),
    },
    "relu": unary(F.relu),
    "reshape": {
        "sizes": (lambda x: F.reshape(x, 4, 6), WIDE),
        "-1": (lambda x: F.reshape(x, (3, -1)), WIDE),
        "to 0-d": (lambda x: F.reshape(x, ()), apart(1)),
        "from 0-d": (lambda x: F.reshape(x, 1, 1), apart(1)[0]),
        "no elements": (lambda x: F.reshape(x, 0, 5), apart(2, 0)),
    },
    "scaled_dot_product_attention": {
        "full": attention(F.scaled_dot_product_attention),
        "other keys": attention(F.scaled_dot_product_attention, t=2, s=4),
        "causal": attention(F.scaled_dot_product_attention, is_causal=True),
        "scale": attention(F.scaled_dot_product_attention, scale=0.3, is_causal=True),
        "dropout": attention(F.scaled_dot_product_attention, dropout_p=0.3),
        "width 1": attention(F.scaled_dot_product_attention, d=1),
        "one tensor as all": (lambda x: F.scaled_dot_product_attention(x, x, x), normal(1, 2, 3, 2)),
    },
    "sigmoid": unary(F.sigmoid),
    "softmax": {
        "last": (F.softmax, normal(2, 3)),
        "middle": (lambda x: F.softmax(x, 1), normal(2, 3, 2)),
        "0-d": (F.softmax, normal(1)[0]),
        "no rows": (F.softmax, normal(0, 3)),
    },
    "split": {
        "size": (lambda x: F.split(x, 2), apart(5, 2)),
        "sizes": (lambda x: F.split(x, [1, 0, 3], -1), apart(2, 4)),
        "some unused": (lambda x: F.split(x, 1)[1], apart(3, 2)),
        "one used twice": (lambda x: (F.split(x, 1)[0] * F.split(x, 2)[0][:1], x), apart(3, 2)),
        "x used besides": (lambda x: F.split(x, 2, 1)[1] * x[:, :1], apart(2, 4)),
    },
    "sqrt": unary(F.sqrt, POSITIVE),
    "squeeze": {
        "all": (F.squeeze, apart(1, 2, 1)),
        "one": (lambda x: F.squeeze(x, -1), apart(1, 2, 1)),
        "not of size 1": (lambda x: F.squeeze(x, 1), apart(1, 2, 1)),
    },
    "stack": {
        "first": (lambda a, b: F.stack([a, b]), apart(2, 3), apart(2, 3, seed=1)),
        "last": (lambda a, b: F.stack([a, b], -1), apart(2, 3), apart(2, 3, seed=1)),
        "0-d": (lambda a, b: F.stack((a, b)), apart(1)[0], apart(1, seed=1)[0]),
    },
    "subtract": {**binary(F.subtract), "itself": (lambda x: F.subtract(x, x * 2), apart(2, 3))},
    "sum": reduction(F.sum),
    "tanh": unary(F.tanh),
    "transpose": {
        "two": (lambda x: F.transpose(x, 0, -1), WIDE),
        "all": (F.transpose, WIDE),
    },
    "unsqueeze": {
        "first": (lambda x: F.unsqueeze(x, 0), apart(2, 3)),
        "last": (lambda x: F.unsqueeze(x, -1), apart(2, 3)),
        "0-d": (lambda x: F.unsqueeze(x, 0), apart(1)[0]),
    },
    "where": {
        "both": (lambda a, b: F.where(MASK, a, b), apart(2, 3), apart(2, 3, seed=1)),
        "broadcast": (lambda a, b: F.where(MASK[:, :1], a, b), apart(3), apart(2, 1, seed=1)),
        "condition repeats": (lambda a, b: F.where(MASK, a, b), apart(1)[0], apart(3, seed=1)),
        "numbers": (lambda a: F.where(MASK, a, -1.0) + F.where(MASK, 0, a), apart(2, 3)),
        "on itself": (lambda a: F.where(a > 0, a, a * 0.1), apart(2, 3)),
    },
}

CASES |= gradient_cases.CASES
for _name, _more in gradient_cases.MORE.items():
    CASES[_name] |= {f"exact or weighted: {label}": case for label, case in _more.items()}
CASES.update(layer_cases.CASES)
CASES["scaled_dot_product_attention"].update(layer_cases.ATTENTION)
NO_GRADIENT |= layer_cases.NO_GRADIENT

ALL = [
    pytest.param(case[0], case[1:], id=f"{name}: {label}")
    for name, cases in CASES.items()
    for label, case in cases.items()
]


def test_no_function_is_forgotten():
    assert set(CASES) == set(F.__all__) - NO_GRADIENT


def test_what_has_no_gradient_gives_none():
    assert not F.argmax(gd.tensor(WIDE, requires_grad=True)).requires_grad


def strided(fn, arrays):
    """``fn`` of every second element of wider arrays, its results with their axes reversed; and those arrays."""

    def of_wide(*wide):
        results = fn(*[x[..., ::2] if x.ndim else x for x in wide])
        return tuple([y.T for y in (results if isinstance(results, tuple) else (results,))])

    return of_wide, [np.repeat(a, 2, axis=-1) if np.ndim(a) else a for a in arrays]


@pytest.mark.parametrize(("fn", "arrays"), ALL)
def test_gradient(fn, arrays):
    gd.gradcheck(fn, arrays)
    gd.gradcheck(*strided(fn, arrays))


@pytest.mark.parametrize(("fn", "arrays"), ALL)
def test_float32_agrees_with_float64(fn, arrays):
    """Values and gradients. The longest sums here have 24 terms, each the result of a few roundings: 100 in all."""
    narrow = [np.asarray(a, np.float32) for a in arrays]
    for form, inputs in ((fn, narrow), strided(fn, narrow)):
        got = values_and_gradients(form, inputs)
        expected = values_and_gradients(form, [a.astype(np.float64) for a in inputs])
        for ours, theirs in zip(got[0], expected[0], strict=True):
            assert_close(ours.astype(np.float32), theirs.astype(np.float32), 100, "value")
        for ours, theirs in zip(got[1], expected[1], strict=True):
            assert_close(ours, theirs.astype(np.float32), 100, "gradient")
