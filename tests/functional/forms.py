"""The forms in which tables give a function to the gradient checks, and the comparison with PyTorch they share."""

import numpy as np

import gdengine as gd
from tests.helpers import apart, assert_close, normal

WIDE = apart(2, 3, 4)


def with_seed(fn):
    """``fn`` with the same random numbers at every call."""

    def seeded(*tensors):
        gd.manual_seed(3)
        return fn(*tensors)

    return seeded


def unary(function, x=None):
    """Cases of a function of each element: a matrix, a tensor without dimensions, and none at all."""
    x = apart(2, 3) if x is None else x
    return {"matrix": (function, x), "0-d": (function, x[0, 1]), "no elements": (function, x[:0])}


def binary(function, a=None, b=None):
    """Cases of a function of two: every way to broadcast, scalars on either side, one tensor on both."""
    a = apart(2, 3) if a is None else a
    b = apart(2, 3, seed=1) + 0.017 if b is None else b
    return {
        "same shape": (function, a, b),
        "row": (function, a, b[0]),
        "column": (function, a[:, :1], b),
        "both repeated": (function, a[:, None, :1], b),
        "0-d": (function, a[0, 0], b),
        "both 0-d": (function, a[0, 0], b[1, 1]),
        "no elements": (function, a[:0], b[:1]),
        "number right": (lambda x: function(x, 1.7), a),
        "number left": (lambda y: function(1.7, y), b),
        "constant": (lambda x: function(x, b), a),
        "integers": (lambda x: function(x, np.array([1, 2, 3])), a),
    }


def reduction(function):
    """Cases of a sum or an extreme over axes."""
    return {
        "all": (function, WIDE),
        "axis": (lambda x: function(x, 1), WIDE),
        "negative axis": (lambda x: function(x, -1), WIDE),
        "axes": (lambda x: function(x, (0, -1)), WIDE),
        "list of axes": (lambda x: function(x, [2, 0]), WIDE),
        "no axes": (lambda x: function(x, ()), WIDE),
        "keepdim": (lambda x: function(x, 1, keepdim=True), WIDE),
        "keepdim, all": (lambda x: function(x, keepdim=True), WIDE),
        "NumPy's names": (lambda x: function(x, axis=(0, 2), keepdims=True), WIDE),
        "0-d": (function, WIDE[0, 0, 0]),
        "axis of an empty batch": (lambda x: function(x, 1), WIDE[:0]),
    }


def same_as_torch(ours, theirs, arrays, dtype, roundings):
    """Values and gradients of a function of ours and of PyTorch's, which may differ by so many roundings."""
    import torch

    arrays = [np.asarray(a, dtype) for a in arrays]
    xs = [gd.tensor(a, requires_grad=True) for a in arrays]
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    ys, zs = ours(*xs), theirs(*ts)
    ys, zs = (list(r) if isinstance(r, tuple | list) else [r] for r in (ys, zs))
    for i, (y, z) in enumerate(zip(ys, zs, strict=True)):
        if z.is_floating_point():
            assert_close(y.numpy(), z.detach().numpy(), roundings, f"value {i}")
        else:
            np.testing.assert_array_equal(y.numpy(), z.numpy())
    pairs = [(y, z, normal(*z.shape, seed=7, dtype=dtype)) for y, z in zip(ys, zs, strict=True) if z.requires_grad]
    sum(((y * dy).sum() for y, _, dy in pairs), start=gd.tensor(0.0)).backward()
    sum((z * torch.from_numpy(np.asarray(dy))).sum() for _, z, dy in pairs).backward()
    for i, (x, t) in enumerate(zip(xs, ts, strict=True)):
        assert_close(x.grad.numpy(), t.grad.numpy(), roundings, f"gradient {i}")
