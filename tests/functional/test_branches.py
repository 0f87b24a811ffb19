"""A transformer's branches: one node and one pass where that can be, and else the functions that they are made of."""

import numpy as np
import pytest

import gdengine as gd
from gdengine import functional as F
from gdengine import tape
from gdengine.kernels import dispatch
from gdengine.models import GPT, GPTConfig
from tests.helpers import normal

B, T, C, H, N = 6, 60, 32, 4, 80
INNER = {"attention_branch": (3 * C, C), "feed_forward_branch": (N, N)}

# Normwise, as in tests/kernels/cases.py: sums over the rows, of the products' terms, of the keys.
ALLOWED = 2 * (B * T + 3 * C + 2 * N + 2 * T) * 2**-24

names = pytest.mark.parametrize("name", INNER)


def tensors(name, dtype=np.float32, bias=True):
    wide, inner = INNER[name]
    shapes = (B, T, C), (C,), (C,), (wide, C), (wide,), (C, inner), (C,)
    made = [
        gd.tensor((normal(*shape, seed=i) / len(shape) ** 2).astype(np.float32).astype(dtype), requires_grad=True)
        for i, shape in enumerate(shapes)
    ]
    return made if bias else [None if i in (2, 4, 6) else x for i, x in enumerate(made)]


def branch(name, parts):
    return F.attention_branch(*parts, n_head=H) if name == "attention_branch" else F.feed_forward_branch(*parts)


def node(y):
    return y._edge[0].name


def assert_near(got, expected):
    assert np.abs(got - expected).max() <= ALLOWED * np.abs(expected).max()


@pytest.fixture
def fused():
    if reason := dispatch.why_reference():
        pytest.skip(f"the fused kernels are not in use: {reason}")


@pytest.fixture(params=[1, 2])
def threads(request):
    before = gd.get_num_threads()
    gd.set_num_threads(request.param)
    yield
    gd.set_num_threads(before)


@names
@pytest.mark.parametrize("bias", [True, False])
def test_one_pass_agrees_with_its_functions_in_float64(fused, threads, name, bias):
    ours, theirs = tensors(name, bias=bias), tensors(name, np.float64, bias=bias)
    y, z = branch(name, ours), branch(name, theirs)
    assert node(y) == name
    assert node(z) != name
    assert_near(y.numpy(), z.numpy())
    dy = normal(B, T, C, seed=9, dtype=np.float32)
    for _ in range(2):  # the second time on top of the first
        branch(name, ours).backward(dy)
        branch(name, theirs).backward(dy.astype(np.float64))
    for a, b in zip(ours, theirs, strict=True):
        if a is not None:
            assert_near(a.grad.numpy(), b.grad.numpy())


@names
def test_is_its_functions_where_somebody_looks_between_or_not_every_gradient_is_wanted(fused, name):
    parts = tensors(name)
    expected = branch(name, parts).numpy()
    frozen = [x if i != 3 else x.detach() for i, x in enumerate(parts)]
    seen = []
    tape.mode.watch = lambda what, array: seen.append(what)
    try:
        watched = branch(name, parts)
    finally:
        tape.mode.watch = None
    assert "result of layer_norm" in seen
    for y in (watched, branch(name, frozen)):
        assert node(y) != name
        assert_near(y.numpy(), expected)
    with gd.no_grad():
        assert branch(name, frozen)._edge is None
    with gd.autocast("bf16"):
        assert node(branch(name, parts)) != name


@names
def test_one_parameter_in_two_places_gets_both_gradients(fused, name):
    parts, apart = tensors(name), tensors(name)
    parts[6] = parts[2]  # two biases of width C
    with gd.no_grad():
        apart[6].copy_(apart[2])
    y = branch(name, parts)
    assert node(y) != name
    y.sum().backward()
    branch(name, apart).sum().backward()
    assert_near(parts[2].grad.numpy(), apart[2].grad.numpy() + apart[6].grad.numpy())


@names
def test_the_gradient_of_one_input_alone(fused, name):
    parts = tensors(name)
    (dx,) = gd.grad(branch(name, parts).sum(), [parts[0]])
    assert all(x.grad is None for x in parts)
    branch(name, parts).sum().backward()
    np.testing.assert_array_equal(dx.numpy(), parts[0].grad.numpy())


@names
def test_a_changed_input_is_told_of(fused, name):
    parts = tensors(name)
    y = branch(name, parts)
    with gd.no_grad():
        parts[3] += 1
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()


def test_what_does_not_fit_is_told_by_the_function_that_it_does_not_fit():
    x, *parts = tensors("attention_branch")
    with pytest.raises(ValueError, match="n_head=5"):
        F.attention_branch(x, *parts, n_head=5)
    with pytest.raises(ValueError, match="layer_norm"):
        F.attention_branch(x[..., :-1], *parts, n_head=H)
    with pytest.raises(ValueError, match="activations"):
        F.feed_forward_branch(*tensors("feed_forward_branch"), activation="tanh")


class Adapted(gd.nn.Linear):
    """A layer that somebody put in another's place."""


def adapt(block):
    block.attn.c_attn = Adapted(C, 3 * C)


def drop(block):
    block.mlp.dropout.p = 0.5


def hook(block):
    block.mlp.c_fc.register_forward_hook(lambda *_: None)


@pytest.mark.parametrize("interrupt", [hook, adapt, drop])
def test_a_gpts_block_is_two_nodes_unless_something_happens_within(fused, interrupt):
    block = GPT(GPTConfig(block_size=T, vocab_size=11, n_layer=1, n_head=H, n_embd=C)).transformer.h[0]
    x = gd.tensor(normal(B, T, C, dtype=np.float32), requires_grad=True)
    y = block(x)
    assert node(y) == "feed_forward_branch"
    assert y._edge[0].inputs[0][0].name == "attention_branch"
    interrupt(block)
    assert node(block(x)) != "feed_forward_branch"
