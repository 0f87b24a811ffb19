"""gd.checkpoint: the plain way's gradients to the bit, in less memory."""

import tracemalloc

import numpy as np
import pytest

import gdengine as gd
from gdengine import nn, optim
from gdengine import random as gd_random
from gdengine.functional import cross_entropy, dropout
from gdengine.models import GPT, GPTConfig
from tests.helpers import leaf, normal


def tower(depth=4, p=0.2):
    gd.manual_seed(1)
    return [nn.Sequential(nn.Linear(6, 12), nn.GELU(), nn.Dropout(p), nn.Linear(12, 6)) for _ in range(depth)]


def bits_of(layers, x, call, seed=5):
    """Result, gradients and the generator's place after a forward and a backward."""
    gd.manual_seed(seed)
    for p in (p for layer in layers for p in layer.parameters()):
        p.zero_grad()
    x.zero_grad()
    y = x * 2
    for layer in layers:
        y = call(layer, y)
    (y * y).sum().backward()
    grads = [p.grad.numpy().tobytes() for layer in layers for p in layer.parameters()]
    return y.detach().numpy().tobytes(), x.grad.numpy().tobytes(), grads, gd_random.state_dict()


def test_the_same_bits_with_dropout_inside():
    layers, x = tower(), leaf(5, 6, dtype=np.float32)
    plain = bits_of(layers, x, lambda layer, y: layer(y))
    assert bits_of(layers, x, gd.checkpoint) == plain


def test_nested():
    layers, x = tower(6), leaf(5, 6, dtype=np.float32)

    def half(y):
        for layer in layers[:3]:
            y = gd.checkpoint(layer, y)
        return y

    def whole(y):
        y = gd.checkpoint(half, y)
        return gd.checkpoint(lambda z: layers[5](gd.checkpoint(layers[4], layers[3](z))), y)

    plain = bits_of(layers, x, lambda layer, y: layer(y))
    steps = {id(layers[0]): lambda y: gd.checkpoint(whole, y)}
    assert bits_of(layers, x, lambda layer, y: steps.get(id(layer), lambda z: z)(y)) == plain


def test_residuals_are_added_in_the_plain_order():
    """x has a gradient from outside and several from inside: their sum must not be bracketed otherwise."""
    layers, x = tower(3), leaf(5, 6, dtype=np.float32)

    def branch(layer):
        return lambda y: layer(y) + y * 0.1 + y.tanh()

    plain = bits_of(layers, x, lambda layer, y: y + branch(layer)(y))
    assert bits_of(layers, x, lambda layer, y: y + gd.checkpoint(branch(layer), y)) == plain


def test_several_results_of_which_some_are_used():
    x = leaf(3, 4)

    def fn(x, scale, *, shift):
        return x * scale, "plain", (x + shift).tanh(), gd.tensor([1, 2])

    for used in ((0,), (2,), (0, 2)):
        gradients = []
        for call in (lambda f, *a, **k: f(*a, **k), gd.checkpoint):
            x.zero_grad()
            results = call(fn, x, 3.0, shift=0.5)
            assert results[1] == "plain"
            assert not results[3].requires_grad
            sum((results[i] ** 2).sum() for i in used).backward()
            gradients.append(x.grad.numpy())
        assert gradients[0].tobytes() == gradients[1].tobytes()


def test_only_parameters_inside_require_a_gradient():
    layer = nn.Linear(3, 2)
    x = gd.tensor(normal(4, 3, dtype=np.float32))
    layer(x).sum().backward()
    expected = layer.weight.grad.numpy().copy()
    layer.zero_grad()
    gd.checkpoint(layer, x).sum().backward()
    assert layer.weight.grad.numpy().tobytes() == expected.tobytes()


def test_tensors_that_the_function_merely_sees():
    """A result from outside that the function closes over is walked once, with all its gradient."""
    gradients = []
    for call in (lambda f, *a: f(*a), gd.checkpoint):
        w, x = leaf(4, seed=1), leaf(4, seed=2)
        outside = w.exp()
        y = call(lambda z, outside=outside, w=w: z * outside + w * outside, x)
        (y * outside).sum().backward()
        gradients.append((w.grad.numpy().tobytes(), x.grad.numpy().tobytes()))
    assert gradients[0] == gradients[1]


def test_the_function_that_returns_its_argument():
    x = leaf(3)
    (gd.checkpoint(lambda z: z, x) * 2).sum().backward()
    assert (x.grad.numpy() == 2).all()


def test_grad_and_inputs_leave_the_rest_alone():
    layer, x = nn.Linear(3, 3), leaf(2, 3, dtype=np.float32)
    expected = [g.numpy() for g in gd.grad(layer(x).tanh().sum(), [x, layer.weight])]
    y = gd.checkpoint(lambda z: layer(z).tanh(), x).sum()
    got = gd.grad(y, [x, layer.weight], retain_graph=True)
    for a, b in zip(got, expected, strict=True):
        assert a.numpy().tobytes() == b.tobytes()
    assert layer.weight.grad is None
    y.backward(inputs=[layer.bias], retain_graph=True)
    assert x.grad is None
    assert layer.weight.grad is None
    assert layer.bias.grad is not None
    (only_x,) = gd.grad(y, x)
    assert only_x.numpy().tobytes() == expected[0].tobytes()
    with pytest.raises(RuntimeError, match="backward a second time"):
        y.backward()


def test_gradcheck():
    w = normal(3, 3, seed=4)
    assert gd.gradcheck(lambda x, v: gd.checkpoint(lambda a, b: (a @ b).tanh() * a, x, v), [normal(2, 3), w])


def test_no_grad_is_a_plain_call():
    calls = []
    with gd.no_grad():
        y = gd.checkpoint(lambda x: calls.append(1) or x * 2, leaf(2))
    assert not y.requires_grad
    assert len(calls) == 1
    assert gd.checkpoint(lambda x: x * 2, gd.tensor([1.0])).requires_grad is False


def test_gradients_go_straight_into_g():
    layers, x = tower(2), gd.tensor(normal(5, 6, dtype=np.float32))
    opt = optim.SGD(nn.ModuleList(layers).parameters(), lr=0.1)
    y = gd.checkpoint(layers[1], gd.checkpoint(layers[0], x)).sum()
    y.backward()
    for p in opt.param_groups[0]["params"]:
        assert np.shares_memory(p.grad.numpy(), opt.flats[0].grad)
    assert opt.step()


def test_bf16_is_bf16_again():
    seen = []

    def fn(x, layer):
        y = layer(x)
        seen.append(y.dtype.name)
        return y.float()

    layer, x = nn.Linear(4, 4), leaf(3, 4, dtype=np.float32)
    with gd.autocast("bf16"):
        y = gd.checkpoint(fn, x, layer).sum()
    y.backward()
    assert seen == ["bfloat16", "bfloat16"]


def test_what_is_not_the_same_the_second_time_is_refused():
    x, times = leaf(4), []

    def draws_more(z):
        times.append(1)
        for _ in times:
            z = dropout(z, 0.5)
        return z

    with pytest.raises(RuntimeError, match=r"2 random calls.* after 1 in the forward"):
        gd.checkpoint(draws_more, x).sum().backward()
    others = iter([leaf(4, seed=1), leaf(4, seed=2)])
    with pytest.raises(RuntimeError, match="used other tensors than in the forward"):
        gd.checkpoint(lambda z: z * next(others), x).sum().backward()
    assert x.grad is None
    layer = nn.Linear(4, 4, dtype=np.float64)
    y = gd.checkpoint(layer, x[None]).sum()
    with gd.no_grad():
        layer.weight += 1
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_an_error_on_the_way_leaves_no_half_gradient():
    class Breaks(gd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, dy):
            raise ZeroDivisionError

    layer, x = nn.Linear(4, 4), leaf(2, 4, dtype=np.float32)
    with pytest.raises(ZeroDivisionError):
        gd.checkpoint(layer, Breaks.apply(x)).sum().backward()
    assert layer.weight.grad is None


@pytest.mark.parametrize("every", ["block", 1, 2, 3])
def test_gpt(every):
    ids = np.arange(24).reshape(2, 12) % 17
    ends = []
    for choice in (None, every):
        gd.manual_seed(0)
        config = GPTConfig(vocab_size=17, block_size=12, n_layer=5, n_head=2, n_embd=8, dropout=0.1, checkpoint=choice)
        model = GPT(config)
        opt = optim.AdamW(model.parameters(), lr=1e-2)
        for _ in range(3):
            cross_entropy(model(ids), (ids + 1) % 17).backward()
            opt.step()
        ends.append((opt.flats[0].theta.tobytes(), gd_random.state_dict()))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("choice", [0, -1, "all", 1.5, True])
def test_gpt_refuses_other_choices(choice):
    with pytest.raises(ValueError, match=r"GPTConfig\.checkpoint"):
        GPTConfig(checkpoint=choice)


def test_less_is_kept():
    """Between forward and backward, NumPy's arrays alone: ten blocks' inputs in the place of all their activations."""
    sizes = []
    ids = np.zeros((4, 64), np.int64)
    for choice in (None, "block"):
        model = GPT(GPTConfig(vocab_size=16, block_size=64, n_layer=10, n_head=2, n_embd=32, checkpoint=choice))
        cross_entropy(model(ids), ids).backward()
        tracemalloc.start()
        loss = cross_entropy(model(ids), ids)
        sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        loss.backward()
    assert sizes[1] < sizes[0] / 4


@pytest.mark.parametrize("momentum", [0.1, None])
def test_running_statistics_take_each_batch_once(momentum):
    x = normal(8, 3, dtype=np.float32)

    def state_after(call):
        norm = nn.BatchNorm1d(3, momentum=momentum)
        for scale in (1, 2):
            call(norm, gd.tensor(x * scale, requires_grad=True)).sum().backward()
        return [array.tolist() for array in norm.state_dict().values()]

    plain = state_after(lambda norm, y: norm(y))
    assert state_after(gd.checkpoint) == plain
    assert state_after(lambda norm, y: gd.checkpoint(lambda z: gd.checkpoint(norm, z), y)) == plain


def test_after_an_error_in_the_second_run_statistics_are_taken_again():
    norm, calls = nn.BatchNorm1d(3), []

    def failing(x):
        calls.append(0)
        if len(calls) == 2:
            raise OSError("once")
        return norm(x)

    y = gd.checkpoint(failing, leaf(4, 3, dtype=np.float32))
    with pytest.raises(OSError, match="once"):
        y.sum().backward()
    norm(normal(4, 3, dtype=np.float32))
    assert norm.num_batches_tracked.item() == 2
