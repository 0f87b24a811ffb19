"""Random computations beside PyTorch's: every way for values to be shared, dropped, cut up, viewed and put together."""

import numpy as np
import pytest

import gdengine as gd
from gdengine import functional as F
from tests.helpers import assert_close, normal

torch = pytest.importorskip("torch", reason="compares with PyTorch")
T = torch.nn.functional

SIZE, LEAVES, STEPS = 4, 4, 14
ROUNDINGS = STEPS * 20  # each step is a sum of up to 20 terms, of values that stay of the size of 1

# Each takes and gives 4×4 matrices (some several of them), once with our functions and once with PyTorch's. All are
# smooth: where rows are repeated, a maximum would be decided by rounding.
OPERATIONS = [
    (1, lambda a: (a + 1,), lambda a: (a + 1,)),
    (1, lambda a: (F.tanh(a),), lambda a: (torch.tanh(a),)),
    (1, lambda a: (a.T,), lambda a: (a.T,)),
    (1, lambda a: (a.reshape(2, 8).T.reshape(SIZE, SIZE),), lambda a: (a.reshape(2, 8).T.reshape(SIZE, SIZE),)),
    (1, lambda a: (a[[0, 0, 2, 1]],), lambda a: (a[[0, 0, 2, 1]],)),
    (1, lambda a: (F.cat(a.split([1, 2, 1])[1:] * 2)[:4],), lambda a: (torch.cat(a.split([1, 2, 1])[1:] * 2)[:4],)),
    (1, lambda a: [p.expand(SIZE, -1) for p in a.split(1)[:3]], lambda a: [p.expand(SIZE, -1) for p in a.split(1)[:3]]),
    (1, lambda a: (a - a.mean(0),), lambda a: (a - a.mean(0),)),
    (1, lambda a: (F.layer_norm(a, eps=0.1),), lambda a: (T.layer_norm(a, (SIZE,), eps=0.1),)),
    (1, lambda a: (F.linear(a, a, residual=a),), lambda a: (T.linear(a, a) + a,)),
    (2, lambda a, b: (a + b,), lambda a, b: (a + b,)),
    (2, lambda a, b: (a - b, a * b), lambda a, b: (a - b, a * b)),
    (2, lambda a, b: (a @ F.softmax(b),), lambda a, b: (a @ torch.softmax(b, -1),)),
    (2, lambda a, b: (F.where(np.eye(SIZE) > 0, a, b),), lambda a, b: (torch.where(torch.eye(SIZE) > 0, a, b),)),
    (2, lambda a, b: (F.linear(a, b, activation="gelu"),), lambda a, b: (T.gelu(T.linear(a, b), approximate="tanh"),)),
    (3, lambda a, b, c: (F.linear(a, b, residual=c),), lambda a, b, c: (T.linear(a, b) + c,)),
    (3, lambda a, b, c: (F.stack([a, b, c]).sum(0) / 3,), lambda a, b, c: (torch.stack([a, b, c]).sum(0) / 3,)),
]  # fmt: skip


def grow(rng, ours, theirs):
    """Apply random operations to random values, old and new, of both lists."""
    for _ in range(STEPS):
        n, mine, its = OPERATIONS[rng.integers(len(OPERATIONS))]
        chosen = rng.integers(len(ours), size=n)
        ours.extend(F.tanh(y) for y in mine(*[ours[i] for i in chosen]))  # so that nothing grows without bounds
        theirs.extend(torch.tanh(y) for y in its(*[theirs[i] for i in chosen]))


@pytest.mark.parametrize("seed", range(40))
def test_same_gradients_as_torch(seed):
    """Of the leaves by two backwards over one tape, then of leaves and results in between by grad."""
    rng = np.random.default_rng(seed)
    arrays = [normal(SIZE, SIZE, seed=100 * seed + i) for i in range(LEAVES)]
    ours = [gd.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    grow(rng, ours, theirs)
    ends = rng.integers(LEAVES, len(ours), size=4)
    loss = sum((ours[i] * (k + 1)).sum() for k, i in enumerate(ends))
    other = sum((theirs[i] * (k + 1)).sum() for k, i in enumerate(ends))
    # by autograd.grad: after stack, PyTorch's .grad of two leaves may share memory, and a second backward adds wrong
    expected = torch.autograd.grad(other, theirs, allow_unused=True)
    loss.backward(retain_graph=True)
    loss.backward(retain_graph=True)
    for x, dt in zip(ours[:LEAVES], expected, strict=False):
        assert (x.grad is None) == (dt is None)
        if dt is not None:
            assert_close(x.grad.numpy(), 2 * dt.numpy(), ROUNDINGS)
    chosen = [int(i) for i in rng.permutation(len(ours))[:8]]
    got = gd.grad(loss, [ours[i] for i in chosen], allow_unused=True)
    for i, dx in zip(chosen, got, strict=True):
        assert (dx is None) == (expected[i] is None)
        if dx is not None:
            assert_close(dx.numpy(), expected[i].numpy(), ROUNDINGS)
    arrays = [dx.numpy() for dx in got if dx is not None]
    for i, a in enumerate(arrays):
        assert not any(np.shares_memory(a, b) for b in arrays[i + 1 :])
