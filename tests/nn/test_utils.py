"""Vectors of parameters, the summary, the further containers, and tied weights."""

import numpy as np
import pytest

import gdengine as gd
from gdengine import nn, optim
from gdengine import random as gd_random
from gdengine.models import GPT, GPTConfig


def network():
    gd.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2))


@pytest.mark.parametrize("in_optimizer", [False, True])
def test_parameters_to_vector_and_back(in_optimizer):
    model = network()
    opt = optim.SGD(model.parameters(), lr=0.1) if in_optimizer else None
    vector = nn.utils.parameters_to_vector(model.parameters())
    assert vector.tolist() == [x for p in model.parameters() for x in p.numpy().reshape(-1).tolist()]
    (vector * 2).sum().backward()
    assert all((p.grad.numpy() == 2).all() for p in model.parameters())
    versions = [p._version.n for p in model.parameters()]
    nn.utils.vector_to_parameters(vector.detach() + 1, model.parameters())
    again = nn.utils.parameters_to_vector(model.parameters())
    np.testing.assert_array_equal(again.detach().numpy(), vector.detach().numpy() + 1)
    assert [p._version.n for p in model.parameters()] == [n + 1 for n in versions]
    for wrong in (vector[1:].detach(), np.zeros(30, np.float32)):
        with pytest.raises(ValueError, match="the parameters hold 26 numbers"):
            nn.utils.vector_to_parameters(wrong, model.parameters())
    with pytest.raises(ValueError, match="got no parameters"):
        nn.utils.parameters_to_vector([])
    assert opt is None or np.shares_memory(next(model.parameters()).numpy(), opt.flats[0].theta)


def test_the_names_of_clipping():
    assert nn.utils.clip_grad_norm_ is gd.clip_grad_norm_
    assert nn.utils.clip_grad_value_ is gd.clip_grad_value_


def test_summary_of_a_network():
    model, state = network(), gd_random.state_dict()
    model[0].weight.requires_grad_(False)
    table = nn.summary(model, np.zeros((5, 3), np.float32))
    assert [(row.name, row.kind, row.output, row.parameters, row.multiply_adds) for row in table.layers] == [
        ("", "Sequential", (5, 2), 0, 0),
        ("0", "Linear", (5, 4), 16, 5 * 4 * 3),
        ("1", "Dropout", (5, 4), 0, 0),
        ("2", "Linear", (5, 2), 10, 5 * 2 * 4),
    ]
    assert (table.parameters, table.trainable, table.multiply_adds) == (26, 14, 100)
    assert "  0 Linear   (5, 4)          16             60" in str(table).splitlines()
    assert str(table).endswith("26 parameters, 14 of them trained; 100 multiply-adds")
    assert model.training
    assert model[1].training
    assert gd_random.state_dict() == state
    model(np.zeros((1, 3), np.float32))  # the hooks are gone
    assert not any(module._hooks.after for module in model.modules())


def test_summary_counts_tied_weights_once():
    model = GPT(GPTConfig(vocab_size=16, block_size=8, n_layer=2, n_head=2, n_embd=4))
    table = nn.summary(model, np.zeros((1, 8), np.int64))
    assert table.parameters == model.num_params() == sum(row.parameters for row in table.layers)
    rows = {row.name: row for row in table.layers}
    assert (rows["transformer.wte"].parameters, rows["lm_head"].parameters) == (64, 0)
    assert rows["lm_head"].multiply_adds == 8 * 16 * 4


# ---- tied weights


def test_tied_weights_are_one_parameter_in_every_way():
    model = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 3), nn.Linear(3, 5, bias=False))
    model[2].weight = model[0].weight
    names = [name for name, _ in model.named_parameters()]
    assert names == ["0.weight", "1.weight", "1.bias"]
    opt = optim.AdamW(optim.groups(model, weight_decay=0.1), lr=0.1)
    x = np.array([0, 3, 3])
    model(x).sum().backward()
    both = model[0].weight.grad.numpy().copy()
    opt.zero_grad()
    hidden = model[1](model[0](x)).detach()
    model[2](hidden).sum().backward()
    head = model[2].weight.grad.numpy().copy()
    opt.zero_grad()
    h = model[1](model[0](x))
    (h @ model[2].weight.detach().T).sum().backward()
    # two gradients of the same sums, about 1, in float32
    np.testing.assert_allclose(both, head + model[0].weight.grad.numpy(), atol=16 * 2.0**-23)
    opt.step()
    assert model[2].weight is model[0].weight
    assert np.shares_memory(model[2].weight.numpy(), opt.flats[0].theta)
    assert nn.utils.parameters_to_vector(model.parameters()).size == 15 + 9 + 3
    ema = optim.EMA(model, 0.5)
    assert list(ema.state_dict()["average"]) == names


# ---- containers


@pytest.mark.parametrize("make", [lambda ms: nn.Sequential(*ms), nn.ModuleList], ids=["Sequential", "ModuleList"])
def test_lists_change(make):
    a, b, c, d = (nn.Linear(2, 2) for _ in range(4))
    modules = make([a, b])
    modules.insert(1, c)
    assert list(modules) == [a, c, b]
    modules[0] = d
    modules[-1] = a
    assert list(modules) == [d, c, a]
    assert modules.extend([b]) is modules
    del modules[1]
    assert list(modules) == [d, a, b]
    assert modules.pop() is b
    assert modules.pop(0) is d
    assert [name for name, _ in modules.named_parameters()] == ["0.weight", "0.bias"]
    modules.extend([b, c, d])
    del modules[1:3]
    assert list(modules) == [a, d]
    for change in (lambda: modules.insert(0, 3), lambda: modules.extend([b, 3])):
        with pytest.raises(TypeError, match="must be a Module, got a int"):
            change()
    with pytest.raises(IndexError):
        modules[5] = b
    assert list(modules) == [a, d]


def test_module_dict():
    a, b = nn.Linear(2, 3), nn.Linear(2, 1)
    heads = nn.ModuleDict({"a": a})
    heads["b"] = b
    assert (len(heads), list(heads), "a" in heads, "c" in heads) == (2, ["a", "b"], True, False)
    assert heads["b"] is b
    assert dict(heads.items()) == dict(zip(heads.keys(), heads.values(), strict=True)) == {"a": a, "b": b}
    assert [name for name, _ in heads.named_parameters()] == ["a.weight", "a.bias", "b.weight", "b.bias"]
    heads.update([("a", b)])
    assert heads.pop("a") is b
    del heads["b"]
    assert not heads
    with pytest.raises(TypeError, match="'x' must be a Module"):
        heads["x"] = 3
    with pytest.raises(KeyError):
        heads["x"]


def test_parameter_list():
    parameters = nn.ParameterList([nn.Parameter(np.zeros(2)), np.ones(3), gd.tensor([5.0])])
    assert [name for name, _ in parameters.named_parameters()] == ["0", "1", "2"]
    assert [p.shape for p in parameters] == [(2,), (3,), (1,)]
    parameters[-1] = np.zeros(7)
    assert parameters.append(nn.Parameter(np.zeros(1)))[3].shape == (1,)
    assert [p.shape for p in parameters[1:3]] == [(3,), (7,)]
    assert len(parameters) == 4


def test_by_qualified_name():
    model = GPT(GPTConfig(vocab_size=16, block_size=8, n_layer=2, n_head=2, n_embd=4))
    assert model.get_submodule("") is model
    assert model.get_submodule("transformer.h.1") is model.transformer.h[1]
    assert model.get_parameter("transformer.h.1.ln_1.bias") is model.transformer.h[1].ln_1.bias
    with pytest.raises(AttributeError, match="has no module '2'"):
        model.get_submodule("transformer.h.2")
    with pytest.raises(AttributeError, match=r"has no parameter 'transformer\.x'"):
        model.get_parameter("transformer.x")
