"""Shapes: NumPy's values, views where memory allows, and results that share it."""

import numpy as np
import pytest

import gdengine as gd
from gdengine import functional as F
from tests.helpers import leaf, normal

X = normal(2, 3, 4)


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (lambda x: x.reshape(4, 6), X.reshape(4, 6)),
        (lambda x: x.reshape((6, -1)), X.reshape(6, 4)),
        (lambda x: x.reshape([-1]), X.reshape(-1)),
        (lambda x: x.view(2, -1), X.reshape(2, 12)),
        (lambda x: x.flatten(1), X.reshape(2, 12)),
        (lambda x: x.flatten(0, 1), X.reshape(6, 4)),
        (lambda x: x.transpose(0, -1), X.swapaxes(0, 2)),
        (lambda x: x.transpose(), X.T),
        (lambda x: np.transpose(x), X.T),
        (lambda x: x.T, X.T),
        (lambda x: x.mT, X.swapaxes(-1, -2)),
        (lambda x: x.permute(1, 2, 0), X.transpose(1, 2, 0)),
        (lambda x: x.permute((-1, 0, 1)), X.transpose(2, 0, 1)),
        (lambda x: x.unsqueeze(-1), X[..., None]),
        (lambda x: x.unsqueeze(1), X[:, None]),
        (lambda x: x[:, :1].squeeze(), X[:, 0]),
        (lambda x: x[:, :1].squeeze(1), X[:, 0]),
        (lambda x: x.squeeze(0), X),
        (lambda x: x[:, None, :1].squeeze((1, 2)), X[:, 0]),
        (lambda x: x[:1, :1].squeeze([0, -1]), X[0, :1]),
        (lambda x: x[:, :1].expand(2, 3, -1), np.broadcast_to(X[:, :1], (2, 3, 4))),
        (lambda x: x.expand(5, -1, -1, -1), np.broadcast_to(X, (5, 2, 3, 4))),
        (lambda x: F.cat([x, x], 1), np.concatenate([X, X], 1)),
        (lambda x: F.cat(list(x), -1), np.concatenate(list(X), -1)),
        (lambda x: F.stack([x, x], -1), np.stack([X, X], -1)),
        (lambda x: F.stack(tuple(x)), X),
    ],
)
def test_same_as_numpy(fn, expected):
    for x in (gd.tensor(X), gd.tensor(X, requires_grad=True)):
        np.testing.assert_array_equal(fn(x), expected)


@pytest.mark.parametrize("size", [1, 2, 3, 7, np.int64(2), [1, 2], (0, 3), [3]])
def test_split_cuts_everything_up(size):
    pieces = F.split(gd.tensor(X), size, 1)
    np.testing.assert_array_equal(F.cat(pieces, 1), X)
    if isinstance(size, list | tuple):
        assert [piece.shape[1] for piece in pieces] == list(size)
    else:
        assert all(piece.shape[1] == size for piece in pieces[:-1])


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x.reshape(6, 4),
        lambda x: x.T,
        lambda x: x.permute(1, 0, 2),
        lambda x: x.unsqueeze(0),
        lambda x: x.flatten(),
        lambda x: x.split(2, 1)[1],
        lambda x: x[1:, ::2],
        lambda x: x[0],
        lambda x: x[1, 2, 3],
        lambda x: x.detach(),
        lambda x: x.data,
    ],
)
def test_views_share_memory_both_ways(fn):
    x = gd.tensor(X)
    y = fn(x)
    y.fill_(7)
    assert (fn(x) == 7).numpy().all()
    x.fill_(5)
    assert (y == 5).numpy().all()


@pytest.mark.parametrize(
    "fn",
    [lambda x: x.T.reshape(-1), lambda x: x[[0, 1]], lambda x: x.clone(), lambda x: F.cat([x]), lambda x: x[x < 9]],
)
def test_copies_do_not(fn):
    x = gd.tensor(X)
    fn(x).fill_(7)
    np.testing.assert_array_equal(x, X)


def test_pieces_of_a_split_that_are_not_used_have_zero_gradient():
    x = leaf(5, 2)
    _, middle, _ = x.split(2)
    middle.sum().backward()
    assert x.grad.tolist() == [[0, 0], [0, 0], [1, 1], [1, 1], [0, 0]]


def test_each_piece_of_a_split_adds_to_what_is_there():
    x = leaf(4)
    a, b = x.split(2)
    (a * 2).sum().backward(retain_graph=True)
    (x.split(2)[0] + b).sum().backward()
    assert x.grad.tolist() == [3, 3, 1, 1]


def test_an_expanded_tensor_cannot_be_changed_in_place():
    with pytest.raises(ValueError, match="read-only"):
        gd.ones(1, 3).expand(2, 3).fill_(0)


def test_squeeze_knows_no_axis_that_is_not_there():
    for shape in ((2, 3), (1, 3)):
        with pytest.raises(IndexError, match=rf"axis 7 of a tensor of shape \({shape[0]}, 3\)"):
            gd.ones(shape).squeeze(7)
    assert gd.tensor(2.0).squeeze(-1).shape == ()  # as PyTorch's
