"""Values and gradients beside PyTorch's, in float32 and float64, on ragged shapes.

A case is (our function, PyTorch's, shapes of the float inputs, n): n is the length of the longest sum behind one entry
of a result or gradient. Either side rounds each of n additions and some 20 operations besides, so that the two may be
2·(n + 20) roundings apart at the very most.
"""

import numpy as np
import pytest

import gdengine as gd
from gdengine import functional as F
from tests.helpers import assert_close, normal

torch = pytest.importorskip("torch", reason="compares with PyTorch")
T = torch.nn.functional

IDS = np.random.default_rng(1).integers(0, 13, (5, 7))
TARGETS = np.where(np.arange(35).reshape(5, 7) % 6 == 0, -100, IDS)
MASK = np.random.default_rng(2).random((5, 7)) < 0.5
ROWS, COLUMNS = np.array([4, 0, 4, -1, 2]), np.array([0, 6, 0, 3, 3])


def tensor(a):
    return torch.from_numpy(np.asarray(a))


def heads(qkv, n_head):
    """PyTorch's attention on packed projections, as nanoGPT writes it."""
    b, t, c = qkv.shape
    q, k, v = (part.view(b, t, n_head, -1).transpose(1, 2) for part in qkv.split(c // 3, dim=2))
    o = T.scaled_dot_product_attention(q, k, v, is_causal=True)
    return o.transpose(1, 2).reshape(b, t, c // 3)


CASES = {
    "abs": (F.absolute, torch.abs, [(5, 7)], 1),
    "add": (F.add, torch.add, [(5, 1, 7), (3, 1)], 15),
    "subtract": (F.subtract, torch.sub, [(7,), (5, 7)], 5),
    "multiply": (F.multiply, torch.mul, [(5, 1), (1, 7)], 7),
    "divide": (lambda a, b: a / (b * b + 1), lambda a, b: a / (b * b + 1), [(5, 7), (7,)], 5),
    "power": (lambda a, b: (a * a + 0.5) ** b, lambda a, b: (a * a + 0.5) ** b, [(5, 7), (7,)], 5),
    "square": (lambda a: a**2, lambda a: a**2, [(5, 7)], 1),
    "maximum": (F.maximum, torch.maximum, [(5, 7), (7,)], 5),
    "minimum": (F.minimum, torch.minimum, [(5, 1), (5, 7)], 7),
    "exp": (F.exp, torch.exp, [(5, 7)], 1),
    "log": (lambda a: F.log(a * a + 0.1), lambda a: torch.log(a * a + 0.1), [(5, 7)], 1),
    "sqrt": (lambda a: F.sqrt(a * a + 0.1), lambda a: torch.sqrt(a * a + 0.1), [(5, 7)], 1),
    "tanh": (F.tanh, torch.tanh, [(5, 7)], 1),
    "sigmoid": (lambda a: F.sigmoid(30 * a), lambda a: torch.sigmoid(30 * a), [(5, 7)], 30),
    "relu": (F.relu, torch.relu, [(5, 7)], 1),
    "gelu": (lambda a: F.gelu(3 * a), lambda a: T.gelu(3 * a, approximate="tanh"), [(37, 19)], 3),
    "softmax": (lambda a: F.softmax(5 * a, 1), lambda a: torch.softmax(5 * a, 1), [(3, 17, 5)], 17 * 5),
    "log_softmax": (lambda a: F.log_softmax(5 * a), lambda a: torch.log_softmax(5 * a, -1), [(9, 17)], 17 * 5),
    "where": (lambda a, b: F.where(MASK, a, b), lambda a, b: torch.where(tensor(MASK), a, b), [(5, 7), (7,)], 5),
    "sum": (lambda a: F.sum(a, (0, 2), keepdim=True), lambda a: a.sum((0, 2), keepdim=True), [(5, 3, 7)], 35),
    "mean": (lambda a: F.mean(a, -2), lambda a: a.mean(-2), [(5, 3, 7)], 3),
    "max": (lambda a: F.max(a, (0, 1)), lambda a: torch.amax(a, (0, 1)), [(5, 3, 7)], 1),
    "min": (lambda a: F.min(a, 1, keepdim=True), lambda a: torch.amin(a, 1, keepdim=True), [(5, 3, 7)], 1),
    "matmul, matrices": (F.matmul, torch.matmul, [(33, 65), (65, 17)], 65),
    "matmul, vectors": (F.matmul, torch.matmul, [(65,), (65,)], 65),
    "matmul, vector and batch": (F.matmul, torch.matmul, [(5,), (3, 2, 5, 4)], 24),
    "matmul, batch and vector": (F.matmul, torch.matmul, [(3, 2, 4, 5), (5,)], 24),
    "matmul, batches": (F.matmul, torch.matmul, [(3, 1, 4, 5), (2, 5, 6)], 15),
    "matmul, batch and matrix": (F.matmul, torch.matmul, [(3, 2, 4, 5), (5, 6)], 24),
    "linear": (F.linear, T.linear, [(5, 3, 65), (19, 65), (19,)], 65),
    "linear without bias": (F.linear, T.linear, [(33, 65), (19, 65)], 65),
    "linear, relu": (
        lambda x, w, b: F.linear(x, w, b, activation="relu"),
        lambda x, w, b: torch.relu(T.linear(x, w, b)),
        [(33, 65), (19, 65), (19,)],
        65,
    ),
    "linear, gelu": (
        lambda x, w, b: F.linear(x, w, b, activation="gelu"),
        lambda x, w, b: T.gelu(T.linear(x, w, b), approximate="tanh"),
        [(33, 65), (19, 65), (19,)],
        65,
    ),
    "linear, residual": (
        lambda x, w, b, r: F.linear(x, w, b, residual=r),
        lambda x, w, b, r: T.linear(x, w, b) + r,
        [(5, 3, 65), (19, 65), (19,), (5, 3, 19)],
        65,
    ),
    "feed_forward, gelu": (
        F.feed_forward,
        lambda x, w, b, v, c: T.linear(T.gelu(T.linear(x, w, b), approximate="tanh"), v, c),
        [(5, 3, 65), (33, 65), (33,), (19, 33), (19,)],
        65 + 33 + 19,
    ),
    "feed_forward, residual": (
        lambda x, w, b, v, c, r: F.feed_forward(x, w, b, v, c, residual=r),
        lambda x, w, b, v, c, r: T.linear(T.gelu(T.linear(x, w, b), approximate="tanh"), v, c) + r,
        [(5, 3, 65), (33, 65), (33,), (19, 33), (19,), (5, 3, 19)],
        65 + 33 + 19,
    ),
    "feed_forward, relu": (
        lambda x, w, b, v, c: F.feed_forward(x, w, b, v, c, activation="relu"),
        lambda x, w, b, v, c: T.linear(torch.relu(T.linear(x, w, b)), v, c),
        [(5, 3, 65), (33, 65), (33,), (19, 33), (19,)],
        65 + 33 + 19,
    ),
    "mlp": (
        lambda x, w, b, v, c, u: F.mlp(x, [(w, b), (v, c), (u, None)]),
        lambda x, w, b, v, c, u: T.linear(torch.relu(T.linear(torch.relu(T.linear(x, w, b)), v, c)), u),
        [(5, 3, 65), (33, 65), (33,), (19, 33), (19,), (7, 19)],
        65 + 33 + 19 + 7,
    ),
    "layer_norm": (F.layer_norm, lambda x, w, b: T.layer_norm(x, x.shape[-1:], w, b), [(5, 3, 65), (65,), (65,)], 65),
    "layer_norm, plain": (F.layer_norm, lambda x: T.layer_norm(x, x.shape[-1:]), [(33, 17)], 17),
    "embedding": (
        lambda w: F.embedding(IDS, w),
        lambda w: T.embedding(tensor(IDS), w),
        [(13, 9)],
        35,
    ),
    "cross_entropy": (
        lambda z: F.cross_entropy(z, TARGETS),
        lambda z: T.cross_entropy(z.view(35, 17), tensor(TARGETS).view(35)),
        [(5, 7, 17)],
        52,
    ),
    "cross_entropy, sum": (
        lambda z: F.cross_entropy(z, TARGETS, reduction="sum"),
        lambda z: T.cross_entropy(z.view(35, 17), tensor(TARGETS).view(35), reduction="sum"),
        [(5, 7, 17)],
        52,
    ),
    "cross_entropy, none": (
        lambda z: F.cross_entropy(50 * z, TARGETS, reduction="none"),
        lambda z: T.cross_entropy((50 * z).view(35, 17), tensor(TARGETS).view(35), reduction="none").view(5, 7),
        [(5, 7, 17)],
        17 * 50,
    ),
    "attention": (
        F.scaled_dot_product_attention,
        T.scaled_dot_product_attention,
        [(2, 3, 9, 5), (2, 3, 11, 5), (2, 3, 11, 5)],
        16,
    ),
    "attention, causal": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.7),
        lambda q, k, v: T.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.7),
        [(2, 3, 33, 5)] * 3,
        38,
    ),
    "qkv_attention": (lambda x: F.qkv_attention(x, 3), lambda x: heads(x, 3), [(2, 33, 45)], 38),
    "reshape and permute": (
        lambda a: F.permute(F.reshape(a, 7, -1, 3), 2, 0, 1) * 2,
        lambda a: a.reshape(7, -1, 3).permute(2, 0, 1) * 2,
        [(5, 3, 7)],
        1,
    ),
    "getitem, pairs": (lambda a: a[ROWS, COLUMNS], lambda a: a[tensor(ROWS), tensor(COLUMNS)], [(5, 7)], 2),
    "getitem, rows": (lambda a: a[ROWS], lambda a: a[tensor(ROWS)], [(5, 7)], 2),
    "getitem, mask": (lambda a: a[MASK], lambda a: a[tensor(MASK)], [(5, 7)], 1),
    "getitem, mixed": (
        lambda a: a[1:, ROWS, None, ::2],
        lambda a: a[1:, tensor(ROWS), None, ::2],
        [(3, 5, 7)],
        2,
    ),
    "getitem, apart": (lambda a: a[ROWS, :, ROWS], lambda a: a[tensor(ROWS), :, tensor(ROWS)], [(5, 3, 7)], 2),
    "cat": (lambda a, b: F.cat([a, b, a], -1), lambda a, b: torch.cat([a, b, a], -1), [(5, 7), (5, 2)], 2),
    "stack": (lambda a, b: F.stack([a, b], 1), lambda a, b: torch.stack([a, b], 1), [(5, 7), (5, 7)], 1),
    "split": (
        lambda a: F.split(a, [1, 4, 2], 1)[1] * F.split(a, 4, 1)[0],
        lambda a: torch.split(a, [1, 4, 2], 1)[1] * torch.split(a, 4, 1)[0],
        [(5, 7)],
        2,
    ),
    "expand": (lambda a: F.expand(a, 4, -1, 7), lambda a: a.expand(4, -1, 7), [(5, 1)], 28),
    "squeeze and unsqueeze": (
        lambda a: F.unsqueeze(F.squeeze(a, 1), -1),
        lambda a: a.squeeze(1).unsqueeze(-1),
        [(5, 1, 7)],
        1,
    ),
    "flatten": (lambda a: F.flatten(a, 1), lambda a: a.flatten(1), [(5, 3, 7)], 1),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_same_as_torch(name, dtype):
    ours, theirs, shapes, n = CASES[name]
    arrays = [normal(*shape, seed=i, dtype=dtype) for i, shape in enumerate(shapes)]
    xs = [gd.tensor(a, requires_grad=True) for a in arrays]
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, z = ours(*xs), theirs(*ts)
    assert_close(y.numpy(), z.detach().numpy(), 2 * (n + 20), "value")
    dy = normal(*z.shape, seed=7, dtype=dtype)
    y.backward(dy)
    z.backward(torch.from_numpy(dy))
    for i, (x, t) in enumerate(zip(xs, ts, strict=True)):
        assert_close(x.grad.numpy(), t.grad.numpy(), 2 * (n + 20), f"gradient {i}")


TIES = np.array([[1.0, 3, 3, 0, 3], [2, 2, 2, 2, 2], [5, 4, 3, 2, 1]])


@pytest.mark.parametrize("dim", [0, 1, (0, 1), -1])
@pytest.mark.parametrize("name", ["max", "min"])
def test_equal_extremes_share_the_gradient_as_torch_has_it(name, dim):
    x, t = gd.tensor(TIES, requires_grad=True), torch.tensor(TIES, requires_grad=True)
    y, z = getattr(F, name)(x, dim), getattr(torch, f"a{name}")(t, dim)
    dy = normal(*z.shape)
    y.backward(dy)
    z.backward(torch.from_numpy(np.asarray(dy)))
    assert_close(x.grad.numpy(), t.grad.numpy(), 2)


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_equal_operands_share_the_gradient_as_torch_has_it(name):
    other = np.array([[1.0, 4, 2, 0, 3]])
    pairs = [(gd.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)) for a in (TIES, other)]
    (x, t), (x2, t2) = pairs
    dy = normal(*TIES.shape)
    getattr(F, name)(x, x2).backward(dy)
    getattr(torch, name)(t, t2).backward(torch.from_numpy(dy))
    for ours, theirs in pairs:
        assert_close(ours.grad.numpy(), theirs.grad.numpy(), 6)


def test_kinks_have_the_gradient_that_torch_gives_them():
    for function in ("relu", "abs"):
        x, t = gd.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
        getattr(x, function)().sum().backward()
        getattr(t, function)().sum().backward()
        np.testing.assert_array_equal(x.grad, t.grad)


@pytest.mark.parametrize("base", [0.0, 1.5])
@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0, 3.0])
def test_powers_at_their_edges_have_the_gradients_that_torch_gives_them(base, exponent):
    x, y = (gd.tensor(v, requires_grad=True) for v in (base, exponent))
    t, u = (torch.tensor(v, requires_grad=True) for v in (base, exponent))
    (x**y).backward()
    (t**u).backward()
    for ours, theirs in ((x, t), (y, u)):
        assert_close(ours.grad.numpy(), theirs.grad.numpy(), 8)
