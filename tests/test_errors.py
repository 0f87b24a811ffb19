"""Misuse: each mistake gets the exception named here, whose message says what was given, what is wanted, what to do."""

import numpy as np
import pytest

import gdengine as gd
from gdengine import functional as F
from tests.helpers import leaf, normal


def tensor(*shape, dtype=np.float32):
    return gd.tensor(normal(*shape), dtype=dtype)


def backward_twice():
    loss = (leaf(3) * 2).sum()
    loss.backward()
    loss.backward()


def backward_after_a_change(change):
    x = leaf(3)
    y = (x * x).sum()
    with gd.no_grad():
        change(x)
    y.backward()


def in_place(x, value=1):
    x += value


MISTAKES = {
    # ---- backward
    "backward from a matrix": (
        lambda: (leaf(2, 3) * 2).backward(),
        RuntimeError,
        ["shape (2, 3) needs a scalar", "loss.mean().backward()", "y.backward(gradient)"],
    ),
    "backward from a constant": (
        lambda: gd.ones(3).sum().backward(),
        RuntimeError,
        ["on no tape", "requires_grad", "gd.no_grad()"],
    ),
    "backward from a detached tensor": (lambda: leaf(3).sum().detach().backward(), RuntimeError, ["detached"]),
    "backward a second time": (
        backward_twice,
        RuntimeError,
        ["second time over 'sum'", "freed", "retain_graph=True", "compute the loss anew"],
    ),
    "backward after a change in place": (
        lambda: backward_after_a_change(lambda x: x.zero_()),
        RuntimeError,
        ["backward of 'multiply'", "shape (3,)", "changed in place 1 time", "after backward()", "x.clone()"],
    ),
    "backward with a gradient of another shape": (
        lambda: (leaf(2, 3) * 2).backward(np.ones(3)),
        ValueError,
        ["(2, 3)", "gradient of shape (3,)"],
    ),
    "backward(inputs=) of a result": (
        lambda: (y := leaf(3) * 2).sum().backward(inputs=[y]),
        ValueError,
        ["inputs[0] (shape (3,))", "no leaf", "gd.grad(loss, inputs)"],
    ),
    "backward(inputs=) of a constant": (
        lambda: leaf(3).sum().backward(inputs=[gd.ones(2)]),
        ValueError,
        ["inputs[0] (shape (2,))"],
    ),
    "backward(inputs=[])": (lambda: leaf(3).sum().backward(inputs=[]), ValueError, ["inputs=[]", "every leaf"]),
    "grad of a constant": (
        lambda: gd.grad(leaf(3).sum(), [gd.ones(2)]),
        RuntimeError,
        ["inputs[0] (shape (2,))", "does not require a gradient", "requires_grad_()"],
    ),
    "grad of what was not used": (
        lambda: gd.grad(leaf(3).sum(), [leaf(2)]),
        RuntimeError,
        ["inputs[0] (shape (2,))", "not used", "allow_unused=True"],
    ),
    "grad of an array": (lambda: gd.grad(leaf(3).sum(), [np.ones(2)]), TypeError, ["inputs[0]", "got a ndarray"]),
    "grad of several outputs": (
        lambda: gd.grad([leaf(3).sum()], [leaf(2)]),
        TypeError,
        ["got a list", "a.sum() + b.sum()"],
    ),
    "a second derivative": (
        lambda: gd.grad((x := leaf(3)).sum(), [x], create_graph=True),
        NotImplementedError,
        ["second derivatives are not recorded", "2h"],
    ),
    # ---- requires_grad and .grad
    "an integer that wants a gradient": (
        lambda: gd.tensor([1, 2], requires_grad=True),
        TypeError,
        ["int64", "only floating", "x.to(np.float32)", "indices and labels"],
    ),
    "a bool that wants a gradient": (lambda: gd.tensor([True]).requires_grad_(), TypeError, ["bool"]),
    "an integer parameter": (lambda: gd.Parameter(np.arange(3)), TypeError, ["int64"]),
    "a result that no longer wants a gradient": (
        lambda: (leaf(3) * 2).requires_grad_(False),
        RuntimeError,
        ["'multiply'", "x.detach()", "gd.no_grad()"],
    ),
    "a gradient of another shape": (
        lambda: setattr(leaf(2, 3), "grad", np.ones(3)),
        ValueError,
        ["(2, 3)", "(3,)", "reshape or broadcast"],
    ),
    "a gradient for a constant": (lambda: setattr(gd.ones(3), "grad", np.ones(3)), RuntimeError, ["requires_grad_()"]),
    "data of another shape": (lambda: setattr(leaf(3), "data", np.ones(2)), ValueError, ["(3,)", "(2,)"]),
    # ---- in place
    "in place on a leaf": (lambda: in_place(leaf(3)), RuntimeError, ["not recorded", "y = x + …", "gd.no_grad()"]),
    "filling a result": (lambda: (leaf(3) * 2).fill_(1), RuntimeError, ["not recorded"]),
    "assigning into a leaf": (lambda: leaf(3).__setitem__(0, 1), RuntimeError, ["gd.where(…)"]),
    "assigning what wants a gradient": (
        lambda: gd.zeros(3).copy_(leaf(3)),
        RuntimeError,
        ["no gradient would pass"],
    ),
    "in place with another shape": (lambda: in_place(gd.ones(3), np.ones(2)), ValueError, ["(3,)", "(2,)"]),
    "out of the indices": (lambda: gd.ones(3).__setitem__(3, 0), IndexError, ["3", "out of bounds"]),
    # ---- data
    "text": (lambda: gd.tensor("abc"), TypeError, ["numbers", "<U3", "from a str"]),
    "objects": (lambda: gd.tensor([object()]), TypeError, ["object", "from a list"]),
    "None": (lambda: gd.tensor(None), TypeError, ["from a NoneType"]),
    "complex numbers": (lambda: gd.tensor(1j), TypeError, ["complex128"]),
    "to a complex dtype": (lambda: gd.ones(2).to(np.complex64), TypeError, ["complex64"]),
    "to no dtype": (lambda: gd.ones(2).to("float31"), TypeError, ["float31"]),
    "records": (lambda: gd.tensor(np.zeros(2, [("a", int)])), TypeError, ["'a'"]),
    "ragged lists": (lambda: gd.tensor([[1, 2], [3]]), ValueError, ["inhomogeneous"]),
    "a list to from_numpy": (lambda: gd.from_numpy([1, 2]), TypeError, ["list", "gd.tensor(...)"]),
    "another device": (lambda: gd.ones(2).to("cuda"), RuntimeError, ["'cuda'", "Use 'cpu'"]),
    "a negative size": (lambda: gd.zeros(2, -1), ValueError, ["0 or more", "(2, -1)"]),
    "a size that is no integer": (lambda: gd.ones(2.5), TypeError, ["float", "integer"]),
    "a number of several": (lambda: gd.ones(2).item(), ValueError, ["(2,)", "tolist()"]),
    "float of several": (lambda: float(gd.ones(2)), ValueError, ["(2,)"]),
    "the truth of several": (lambda: bool(gd.ones(2) > 0), ValueError, ["(2,)", "ambiguous", ".any()"]),
    "the length of a number": (lambda: len(gd.tensor(1.0)), TypeError, ["without dimensions"]),
    "iterating over a number": (lambda: list(gd.tensor(1.0)), TypeError, ["without dimensions"]),
    "a float as an index": (lambda: range(3)[gd.tensor(1.0)], TypeError, ["float32", "()"]),
    # ---- shapes
    "shapes that do not broadcast": (
        lambda: tensor(2, 3) + tensor(2),
        ValueError,
        ["(2, 3) and (2,) do not broadcast", "x[:, None]", "x.transpose(0, 1)"],
    ),
    "where, of a condition that does not fit": (
        lambda: F.where([True, False], tensor(3), 0.0),
        ValueError,
        ["(2,) and (3,)", "do not broadcast"],
    ),
    "where, of numbers": (lambda: F.where([1, 0], 1.0, 0.0), TypeError, ["bool condition", "int64", "x > 0"]),
    "matmul of inner sizes that differ": (
        lambda: tensor(2, 3) @ tensor(4, 5),
        ValueError,
        ["(2, 3) and (4, 5)", "last axis of the first", "x.mT"],
    ),
    "matmul of batches that do not broadcast": (
        lambda: tensor(2, 3, 4) @ tensor(3, 4, 5),
        ValueError,
        ["leading axes"],
    ),
    "matmul of a number": (lambda: tensor(2, 2) @ 3.0, ValueError, ["(2, 2) and ()"]),
    "reshape that does not fit": (
        lambda: tensor(2, 3).reshape(4, 2),
        ValueError,
        ["6 elements of shape (2, 3)", "shape (4, 2)"],
    ),
    "reshape to a fraction": (lambda: tensor(6).reshape(6 / 2, 2), TypeError, ["float"]),
    "an axis that is not there": (lambda: tensor(2, 3).sum(2), IndexError, ["axis 2", "(2, 3)", "from -2 to 1"]),
    "an axis twice": (lambda: tensor(2, 3).mean((0, -2)), ValueError, ["twice", "(2, 3)"]),
    "the mean of nothing": (lambda: tensor(2, 0).mean(), ValueError, ["mean of nothing", "(2, 0)"]),
    "transpose of three axes": (lambda: tensor(2, 3, 4).transpose(2, 0, 1), ValueError, ["(2, 0, 1)", "permute"]),
    "transpose of an axis that is not there": (lambda: tensor(2, 3).transpose(0, 2), IndexError, ["axis 2", "(2, 3)"]),
    "permute of too few axes": (lambda: tensor(2, 3).permute(0), ValueError, ["every axis", "(2, 3)", "(0,)"]),
    "flatten the wrong way round": (lambda: tensor(2, 3).flatten(1, 0), ValueError, ["start_dim", "1 to 0"]),
    "flatten past the end": (lambda: tensor(2, 3).flatten(2), IndexError, ["axis 2"]),
    "unsqueeze past the end": (lambda: tensor(2, 3).unsqueeze(4), IndexError, ["-3 to 2", "got 4"]),
    "expand what is not 1": (lambda: tensor(2, 3).expand(2, 6), ValueError, ["(2, 3)", "(2, 6)", "sizes of 1"]),
    "cat of nothing": (lambda: F.cat([]), ValueError, ["one or more tensors"]),
    "cat of a tensor": (lambda: F.cat(tensor(2)), ValueError, ["list of one or more tensors"]),
    "cat of shapes that differ": (
        lambda: F.cat([tensor(2, 3), tensor(2, 4)]),
        ValueError,
        ["axis 0", "every other axis", "(2, 3)", "(2, 4)"],
    ),
    "stack of shapes that differ": (lambda: F.stack([tensor(2), tensor(3)]), ValueError, ["one shape", "(2,)", "(3,)"]),
    "split by nothing": (lambda: tensor(4).split(0), ValueError, ["at least 1", "got 0"]),
    "split sizes that do not add up": (lambda: tensor(4).split([1, 2]), ValueError, ["[1, 2]", "3", "(4,)", "has 4"]),
    "split sizes below 0": (lambda: tensor(4).split([5, -1]), ValueError, ["[5, -1]", "from 0 up"]),
    "an index that does not fit": (lambda: tensor(2, 3)[0, 3], IndexError, ["(2, 3)", "out of bounds"]),
    # ---- layers' functions
    "linear of the wrong width": (
        lambda: F.linear(tensor(2, 3), tensor(5, 4)),
        ValueError,
        ["x of shape (2, 3)", "(5, 4)", "(out, in)", "must be 4"],
    ),
    "linear with a vector for a weight": (lambda: F.linear(tensor(2, 3), tensor(3)), ValueError, ["(out, in)", "(3,)"]),
    "linear with the wrong bias": (
        lambda: F.linear(tensor(2, 3), tensor(5, 3), tensor(3)),
        ValueError,
        ["(5,)", "(3,)"],
    ),
    "linear with the wrong residual": (
        lambda: F.linear(tensor(2, 3), tensor(5, 3), residual=tensor(2, 3)),
        ValueError,
        ["(2, 5)", "(2, 3)"],
    ),
    "mlp without layers": (lambda: F.mlp(tensor(2, 3), []), ValueError, ["mlp", "at least one layer"]),
    "mlp with layers that do not follow each other": (
        lambda: F.mlp(tensor(2, 3), [(tensor(5, 3), None), (tensor(4, 6), None)]),
        ValueError,
        ["mlp", "hidden values", "(2, 5)", "weight of layers[1]", "(4, 6)"],
    ),
    "mlp with two dtypes": (
        lambda: F.mlp(tensor(2, 3), [(gd.tensor(np.ones((4, 3))), None)]),
        TypeError,
        ["mlp", "weight of layers[0] float64"],
    ),
    "feed_forward with the wrong residual": (
        lambda: F.feed_forward(tensor(2, 3), tensor(5, 3), None, tensor(4, 5), None, residual=tensor(2, 3)),
        ValueError,
        ["feed_forward", "(2, 4)", "(2, 3)"],
    ),
    "linear with an unknown activation": (
        lambda: F.linear(tensor(2, 3), tensor(5, 3), activation="swish"),
        ValueError,
        ["'swish'", "relu", "gelu"],
    ),
    "linear with activation and residual": (
        lambda: F.linear(tensor(2, 3), tensor(5, 3), activation="relu", residual=tensor(2, 5)),
        ValueError,
        ["activation or a residual"],
    ),
    "linear of two dtypes": (
        lambda: F.linear(tensor(2, 3), tensor(5, 3), tensor(5, dtype=np.float64)),
        TypeError,
        ["x float32", "weight float32", "bias float64", "x.to('float32')"],
    ),
    "linear of integers": (lambda: F.linear(gd.tensor([[1, 2]]), tensor(5, 2)), TypeError, ["x int64"]),
    "layer_norm with the wrong weight": (
        lambda: F.layer_norm(tensor(2, 3), tensor(2)),
        ValueError,
        ["x (2, 3)", "weight of shape (3,)", "got (2,)"],
    ),
    "layer_norm of two dtypes": (
        lambda: F.layer_norm(tensor(2, 3), tensor(3, dtype=np.float64)),
        TypeError,
        ["x float32", "weight float64"],
    ),
    "layer_norm over nothing": (lambda: F.layer_norm(tensor(2, 0)), ValueError, ["last axis", "(2, 0)"]),
    "layer_norm of a number": (lambda: F.layer_norm(tensor()), ValueError, ["last axis", "()"]),
    "embedding of floats": (
        lambda: F.embedding(gd.ones(2), tensor(5, 3)),
        TypeError,
        ["integer ids", "float32", "ids.astype(np.int64)", "ids.long()"],
    ),
    "embedding out of range": (
        lambda: F.embedding([[0, 1], [2, 5]], tensor(5, 3)),
        IndexError,
        ["ids[1, 1] is 5", "0 … 4"],
    ),
    "embedding below range": (lambda: F.embedding([0, -1], tensor(5, 3)), IndexError, ["ids[1] is -1"]),
    "embedding with its arguments exchanged": (
        lambda: F.embedding(tensor(5, 3), gd.tensor([0, 1])),
        ValueError,
        ["(V, C)", "(2,)", "ids come before"],
    ),
    "cross_entropy of targets that do not fit": (
        lambda: F.cross_entropy(tensor(4, 3, 5), np.zeros((4, 5), int)),
        ValueError,
        ["logits (4, 3, 5)", "targets of shape (4, 3)", "classes are the last axis", "(4, 5)"],
    ),
    "cross_entropy of float targets": (
        lambda: F.cross_entropy(tensor(4, 3), tensor(4)),
        TypeError,
        ["integer targets", "float32"],
    ),
    "cross_entropy out of range": (
        lambda: F.cross_entropy(tensor(4, 3), [0, 1, 3, 2]),
        IndexError,
        ["targets[2] is 3", "0 … 2"],
    ),
    "cross_entropy of nothing": (
        lambda: F.cross_entropy(tensor(2, 3), [-100, -100]),
        ValueError,
        ["no targets", "ignore_index"],
    ),
    "cross_entropy with an unknown reduction": (
        lambda: F.cross_entropy(tensor(2, 3), [0, 1], reduction="average"),
        ValueError,
        ["'average'", "mean", "sum", "none"],
    ),
    "attention of matrices": (
        lambda: F.scaled_dot_product_attention(tensor(3, 4), tensor(3, 4), tensor(3, 4)),
        ValueError,
        ["(batch, heads, time, width)", "query (3, 4)"],
    ),
    "attention of widths that differ": (
        lambda: F.scaled_dot_product_attention(tensor(1, 2, 3, 4), tensor(1, 2, 3, 5), tensor(1, 2, 3, 5)),
        ValueError,
        ["(1, 2, 3, 4)", "(1, 2, 3, 5)"],
    ),
    "causal attention with more keys": (
        lambda: F.scaled_dot_product_attention(*[tensor(1, 2, t, 4) for t in (1, 3, 3)], is_causal=True),
        ValueError,
        ["as many queries as keys", "is_causal=False"],
    ),
    "attention of two dtypes": (
        lambda: F.scaled_dot_product_attention(
            tensor(1, 2, 3, 4), tensor(1, 2, 3, 4), tensor(1, 2, 3, 4, dtype=np.float64)
        ),
        TypeError,
        ["one dtype", "float64"],
    ),
    "packed attention that does not divide": (
        lambda: F.qkv_attention(tensor(2, 3, 10), 2),
        ValueError,
        ["(B, T, 3·C)", "n_head=2", "(2, 3, 10)"],
    ),
    "packed attention without heads": (lambda: F.qkv_attention(tensor(2, 3, 12), 0), ValueError, ["n_head=0"]),
    "dropout of everything": (lambda: F.dropout(tensor(3), 1.0), ValueError, ["0 <= p < 1", "1.0"]),
    "dropout of less than nothing": (lambda: F.dropout(tensor(3), -0.1, training=False), ValueError, ["-0.1"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(name):
    mistake, exception, fragments = MISTAKES[name]
    with pytest.raises(exception) as caught:
        mistake()
    assert type(caught.value).__module__ in ("builtins", "numpy.exceptions")
    for fragment in fragments:
        assert fragment in str(caught.value)
