"""What an optimizer can be given, what it calls the parameters, and what it refuses."""

import re

import numpy as np
import pytest

import gdengine as gd
from gdengine import nn, optim


def leaf(*shape, dtype=np.float32):
    return gd.zeros(*shape, dtype=dtype, requires_grad=True)


def names(opt):
    return [group["names"] for group in opt.param_groups]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.base = nn.Linear(3, 4)
        self.head = nn.Linear(4, 2, bias=False)


ALL = ["base.weight", "base.bias", "head.weight"]


@pytest.mark.parametrize(
    "given",
    [
        lambda net: net,
        lambda net: net.parameters(),
        lambda net: list(net.parameters()),
        lambda net: tuple(net.parameters()),
        lambda net: net.named_parameters(),
        lambda net: list(net.named_parameters()),
        lambda net: dict(net.named_parameters()).items(),
        lambda net: (p for p in net.parameters()),
        lambda net: [{"params": net}],
        lambda net: [{"params": net.parameters()}],
        lambda net: [{"params": net.named_parameters()}],
        lambda net: ({"params": list(net.parameters())} for _ in range(1)),
    ],
)
def test_a_module_and_what_it_yields(given):
    net = Net()
    opt = optim.SGD(given(net), lr=0.1)
    assert names(opt) == [ALL]
    assert [p is q for p, q in zip(opt.param_groups[0]["params"], net.parameters(), strict=True)] == [True] * 3


def test_groups_with_their_own_settings():
    net = Net()
    groups = [{"params": net.base.named_parameters("base"), "lr": 0.5}, {"params": net.head.weight, "momentum": 0.9}]
    assert net.head.weight.name is None  # nobody has asked its module for names so far
    opt = optim.SGD(groups, lr=0.1, weight_decay=0.01)
    assert names(opt) == [["base.weight", "base.bias"], ["param.0"]]
    own = [{k: v for k, v in group.items() if k not in ("params", "names")} for group in opt.param_groups]
    common = {"dampening": 0.0, "weight_decay": 0.01, "nesterov": False}
    common |= {"decoupled_weight_decay": False, "maximize": False}
    assert own == [{"lr": 0.5, "momentum": 0.0, **common}, {"lr": 0.1, "momentum": 0.9, **common}]
    assert groups[1] == {"params": net.head.weight, "momentum": 0.9}  # what was passed in is not written to


def test_a_group_may_be_empty_if_another_is_not():
    net = Net()
    opt = optim.AdamW([{"params": []}, {"params": net}], lr=0.1)
    assert names(opt) == [[], ALL]
    net.head.weight.grad = np.ones((2, 4))
    assert opt.step()


def test_decayed_and_not_decayed_as_nanogpt_splits_them():
    net = Net()
    matrices = [p for p in net.parameters() if p.ndim >= 2]
    vectors = [p for p in net.parameters() if p.ndim < 2]
    opt = optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}], lr=0.1)
    assert names(opt) == [["base.weight", "head.weight"], ["base.bias"]]


def test_leaves_without_a_module_are_numbered():
    a, b, c = leaf(2), nn.Parameter(np.zeros(3)), leaf(1)
    assert names(optim.SGD([a, b, c], lr=0.1)) == [["param.0", "param.1", "param.2"]]
    assert (a.dtype, b.dtype) == (np.float32, np.float64)


def test_names_given_by_hand():
    a, b = leaf(2), leaf(3)
    assert names(optim.SGD([("gain", a), b], lr=0.1)) == [["gain", "param.0"]]


def test_a_frozen_parameter_may_join_and_be_released():
    net = Net()
    net.base.requires_grad_(False)
    opt = optim.SGD(net, lr=1.0)
    before = net.base.bias.numpy().copy()
    x = gd.ones(5, 3)
    net.head(net.base(x)).sum().backward()
    opt.step()
    assert net.base.bias.grad is None
    np.testing.assert_array_equal(net.base.bias.numpy(), before)
    net.base.requires_grad_(True)
    net.head(net.base(x)).sum().backward()
    opt.step()
    assert (net.base.bias.numpy() != before).all()


def test_a_name_is_kept_from_the_optimizer_on():
    net = Net()
    opt = optim.SGD(net, lr=0.1)
    outer = nn.Sequential(net)
    assert [name for name, _ in outer.named_parameters()] == [f"0.{name}" for name in ALL]
    assert [p.name for p in net.parameters()] == ALL
    assert list(opt.flats[0].segments[0].tensor.name) == list("base.weight")


def test_tied_weights_are_one_parameter():
    net = Net()
    net.again = net.head
    net.third = nn.Linear(4, 2, bias=False)
    net.third.weight = net.head.weight
    assert names(optim.SGD(net, lr=0.1)) == [ALL]


# ---- refused, before anything is changed


@pytest.mark.parametrize(
    "nothing",
    [[], (), iter(()), nn.Module(), nn.ReLU(), [{"params": []}], [{"params": []}, {"params": iter(())}]],
    ids=["list", "tuple", "iterator", "module", "relu", "group", "groups"],
)
def test_no_parameters(nothing):
    with pytest.raises(ValueError, match="needs parameters, and got none"):
        optim.SGD(nothing, lr=0.1)


def test_a_generator_that_is_used_up():
    net = Net()
    params = net.parameters()
    optim.SGD(params, lr=0.1)
    with pytest.raises(ValueError, match="a generator is used up once"):
        optim.SGD(params, lr=0.1)


def test_one_parameter_twice():
    a = leaf(2)
    with pytest.raises(ValueError, match=re.escape("parameter param.1 was given twice (as param.0 too)")):
        optim.SGD([a, a], lr=0.1)
    with pytest.raises(ValueError, match="given twice"):
        optim.SGD([{"params": [a]}, {"params": [a]}], lr=0.1)
    assert a._leaf.flat is None


def test_a_parameter_in_two_optimizers():
    net = Net()
    values = {name: p.numpy().copy() for name, p in net.named_parameters()}
    first = optim.SGD(net.head, lr=0.1)
    with pytest.raises(ValueError, match=r"is in another optimizer already.*del opt"):
        optim.SGD(net, lr=0.1)
    assert net.base.weight._leaf.flat is None
    assert net.head.weight._leaf.flat is first.flats[0]
    for name, p in net.named_parameters():
        np.testing.assert_array_equal(p.numpy(), values[name])
    del first
    optim.SGD(net, lr=0.1)


def test_two_parameters_of_one_name():
    a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    with pytest.raises(ValueError, match="two parameters are named 'weight'") as error:
        optim.SGD([*a.parameters(), *b.parameters()], lr=0.1)
    with pytest.raises(ValueError, match="two parameters are named 'weight'"):
        optim.SGD([{"params": a.parameters()}, {"params": b.parameters()}], lr=0.1)
    cure = re.search(r"\[\*a\.named_parameters.*?\]", str(error.value)).group()
    opt = optim.SGD(eval(cure, {"a": a, "b": b}), lr=0.1)
    assert names(opt) == [["a.weight", "a.bias", "b.weight", "b.bias"]]


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        (lambda: leaf(2), TypeError, re.escape("put the one into a list, [x]")),
        (lambda: [leaf(2) * 2], TypeError, re.escape("is a result and no leaf, so it cannot train")),
        (lambda: [gd.arange(3)], TypeError, "is int64, but only floats can train"),
        (lambda: [gd.zeros(3)], TypeError, re.escape("call requires_grad_() on it")),
        (lambda: [np.zeros(3)], TypeError, "an optimizer trains tensors, got a ndarray"),
        (lambda: {"w": leaf(2)}, TypeError, "an optimizer trains tensors, got a str"),
        (lambda: [nn.Linear(2, 2)], TypeError, "an optimizer trains tensors, got a Linear"),
        (lambda: [{"lr": 0.1}], TypeError, "group 0 must be a dict with 'params'"),
        (lambda: [{"params": [leaf(1)]}, leaf(2)], TypeError, "group 1 must be a dict with 'params'"),
        (lambda: [leaf(2), {"params": [leaf(1)]}], TypeError, "an optimizer trains tensors, got a dict"),
        (
            lambda: [{"params": [leaf(2)], "learning_rate": 1}],
            ValueError,
            "setting.s. learning_rate, which SGD does not",
        ),
        (lambda: [{"params": [leaf(2)], "betas": (0.9, 0.9)}], ValueError, "it knows lr, momentum, dampening"),
    ],
)
def test_what_cannot_be_trained(given, error, says):
    with pytest.raises(error, match=says):
        optim.SGD(given(), lr=0.1)


def test_a_refusal_late_in_the_list_leaves_the_earlier_ones_alone():
    a = leaf(4)
    array = a.detach().numpy()
    with pytest.raises(TypeError):
        optim.SGD([a, gd.arange(3)], lr=0.1)
    assert a._leaf.flat is None
    assert a.detach().numpy() is array


def test_a_keyword_that_the_rule_does_not_know():
    with pytest.raises(TypeError, match="nesterov"):
        optim.Adam([leaf(2)], lr=0.1, nesterov=True)
