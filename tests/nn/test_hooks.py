"""Hooks of modules and of tensors."""

import numpy as np
import pytest

import gdengine as gd
from gdengine import nn, optim
from tests.helpers import leaf, normal


def layer():
    gd.manual_seed(0)
    return nn.Linear(3, 2, dtype=np.float64)


def test_before_and_after_each_call_in_order():
    module, calls = layer(), []
    x = gd.tensor(normal(4, 3))
    plain = module(x).numpy()
    first = module.register_forward_pre_hook(lambda m, args: calls.append(("before", m is module, args[0] is x)))
    module.register_forward_hook(lambda m, args, y: calls.append(("after", y.shape)))
    module.register_forward_hook(lambda m, args, y: calls.append(("first", args[0] is x)), prepend=True)
    assert module(x).numpy().tobytes() == plain.tobytes()
    assert calls == [("before", True, True), ("first", True), ("after", (4, 2))]
    first.remove()
    first.remove()
    module(x)
    assert [call[0] for call in calls[3:]] == ["first", "after"]


def test_arguments_and_results_are_replaced():
    module, x = layer(), gd.tensor(normal(4, 3))
    plain = module(x).numpy()
    with (
        module.register_forward_pre_hook(lambda m, args: args[0] * 2),
        module.register_forward_hook(lambda m, args, y: y * 10),
    ):
        changed = module(x).numpy()
    np.testing.assert_allclose(changed, 10 * (2 * (plain - module.bias.numpy()) + module.bias.numpy()), rtol=1e-13)
    assert module(x).numpy().tobytes() == plain.tobytes()

    def with_residual(m, args, kwargs):
        return args, {**kwargs, "residual": gd.tensor(np.ones((4, 2)))}

    module.register_forward_pre_hook(with_residual, with_kwargs=True)
    module.register_forward_hook(lambda m, a, kwargs, y: y if "residual" in kwargs else None, with_kwargs=True)
    np.testing.assert_allclose(module(x).numpy(), plain + 1, rtol=1e-13)


def test_what_is_no_function():
    with pytest.raises(TypeError, match="a hook is a function, got a int"):
        layer().register_forward_hook(3)


def test_backward_hooks_are_torchs():
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    ours, seen = nn.Sequential(layer(), nn.Tanh()), []
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Tanh()).double()
    theirs.load_state_dict({name: torch.tensor(value) for name, value in ours.state_dict().items()})
    x = leaf(4, 3)
    xt = torch.tensor(x.detach().numpy(), requires_grad=True)
    for model in (ours, theirs):
        for number in (0, 1):
            model[number].register_full_backward_hook(
                lambda m, gi, go: seen.append([None if g is None else np.array(g.tolist()) for g in (*gi, *go)])
            )
        model[1].register_full_backward_hook(lambda m, gi, go: (gi[0] * 3,))
    (ours(x) ** 2).sum().backward()
    (theirs(xt) ** 2).sum().backward()
    assert len(seen) == 4
    for mine, other in zip(seen[:2], seen[2:], strict=True):
        for a, b in zip(mine, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)
    np.testing.assert_allclose(x.grad.numpy(), xt.grad.numpy(), rtol=1e-12)
    np.testing.assert_allclose(ours[0].weight.grad.numpy(), theirs[0].weight.grad.numpy(), rtol=1e-12)


def test_a_backward_hook_of_what_has_no_gradient_to_pass_on():
    module, seen = nn.Embedding(5, 3), []
    handle = module.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go[0].shape)))
    module(np.array([1, 2])).sum().backward()
    assert seen == [((None,), (2, 3))]
    handle.remove()
    module(np.array([1, 2])).sum().backward()
    assert len(seen) == 1


def test_a_backward_hook_that_returns_too_many():
    module = layer()
    module.register_full_backward_hook(lambda m, gi, go: (gi[0], gi[0]))
    with pytest.raises(RuntimeError, match="returned 2 gradients for 1 arguments"):
        module(leaf(4, 3)).sum().backward()


# ---- tensors


def test_a_hook_sees_the_whole_gradient_of_a_result():
    x, seen = leaf(3), []
    y = x * 2
    late = y.exp()  # recorded before the hook is there
    handle = y.register_hook(lambda g: seen.append(g.numpy().copy()))
    (late + y).sum().backward(retain_graph=True)
    np.testing.assert_allclose(seen, [1 + np.exp(2 * x.detach().numpy())], rtol=1e-14)
    handle.remove()
    (late + y).sum().backward()
    assert len(seen) == 1


@pytest.mark.parametrize("in_optimizer", [False, True])
def test_a_hook_of_a_leaf_changes_what_is_added(in_optimizer):
    x, seen = leaf(3), []
    opt = optim.SGD([x], lr=1.0) if in_optimizer else None
    handle = x.register_hook(lambda g: seen.append(g.tolist()) or g * 10)
    x.register_hook(lambda g: g + 1)
    for _ in range(2):
        (x * 2 + x * 3).sum().backward()
    assert seen == [[5.0] * 3] * 2
    assert x.grad.tolist() == [102.0] * 3
    assert gd.grad((x * 2).sum(), x)[0].tolist() == [21.0] * 3
    handle.remove()
    x.zero_grad()
    (x * 2).sum().backward()
    assert x.grad.tolist() == [3.0] * 3
    del opt


def test_a_hook_of_an_intermediate_target():
    x = leaf(3)
    y = x * 2
    y.register_hook(lambda g: g * 5)
    assert [g.tolist() for g in gd.grad((y * 3).sum(), [y, x])] == [[15.0] * 3, [30.0] * 3]
    a, b = gd.tensor(np.ones(4), requires_grad=True).split(2)
    b.register_hook(lambda g: g * 7)
    assert gd.grad((a * 2 + b).sum(), [a, b])[1].tolist() == [7.0, 7.0]


def test_hooks_of_linear_layers_weights():
    module, x = layer(), gd.tensor(normal(4, 3))
    module(x).sum().backward()
    expected = module.weight.grad.numpy().copy()
    module.zero_grad()
    module.weight.register_hook(lambda g: -g)
    module(x).sum().backward()
    assert (module.weight.grad.numpy() == -expected).all()
    module.zero_grad()
    gd.checkpoint(module, x).sum().backward()
    assert (module.weight.grad.numpy() == -expected).all()


def test_hooks_that_cannot_be():
    with pytest.raises(RuntimeError, match="requires no gradient"):
        gd.tensor([1.0]).register_hook(lambda g: g)
    x = leaf(3)
    x.register_hook(lambda g: g.sum())
    with pytest.raises(RuntimeError, match="a hook of a tensor of shape"):
        (x * 2).sum().backward()
    assert x.grad is None
    y = leaf(3) * 2
    y.register_hook(lambda g: g.numpy().fill(0))
    with pytest.raises(ValueError, match="read-only"):
        y.sum().backward()
