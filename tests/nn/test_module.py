"""Module: what counts as a member, under which name, and what is done to all of them at once."""

import copy

import numpy as np
import pytest

import gdengine as gd
from gdengine import nn, optim
from gdengine.functional import relu
from tests.helpers import normal


class Block(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.scale = nn.Parameter(np.ones(width, np.float32))
        self.proj = nn.Linear(width, width, bias=False)
        self.register_buffer("count", np.zeros((), np.int64))

    def forward(self, x):
        return self.proj(relu(self.norm(x))) * self.scale


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(6, 4)
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 6, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids):
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(self.drop(x))


NAMES = [
    "embed.weight",
    *(f"blocks.{i}.{name}" for i in (0, 1) for name in ("scale", "norm.weight", "norm.bias", "proj.weight")),
]


# ---- names


def test_parameters_have_qualified_names_and_tied_ones_are_listed_once():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert [p.name for p in net.parameters()] == NAMES
    every = [name for name, _ in net.named_parameters(remove_duplicate=False)]
    assert every == [*NAMES, "head.weight"]
    assert net.embed.weight.name == "embed.weight"
    assert [name for name, _ in net.blocks[1].named_parameters(prefix="x")] == [
        "x.scale",
        "x.norm.weight",
        "x.norm.bias",
        "x.proj.weight",
    ]


def test_modules_and_children():
    net = Net()
    assert [name for name, _ in net.named_children()] == ["embed", "blocks", "drop", "head"]
    assert list(net.children()) == [net.embed, net.blocks, net.drop, net.head]
    names = [name for name, _ in net.named_modules()]
    below = [f"blocks.{i}{part}" for i in (0, 1) for part in ("", ".norm", ".proj")]
    assert names == ["", "embed", "blocks", *below, "drop", "head"]
    assert len(list(net.modules())) == len(names)
    net.again = net.embed  # one module under two names is one
    assert [name for name, _ in net.named_modules()] == names
    assert [name for name, _ in net.named_parameters()] == NAMES


def test_the_names_are_pytorchs():
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    ours = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 3, bias=False)), nn.LayerNorm(3))
    t = torch.nn
    theirs = t.Sequential(t.Linear(2, 3), t.Sequential(t.ReLU(), t.Linear(3, 3, bias=False)), t.LayerNorm(3))
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    assert [name for name, _ in ours.named_modules()] == [name for name, _ in theirs.named_modules()]
    assert list(ours.state_dict()) == list(theirs.state_dict())


# ---- attributes


def test_members_are_attributes():
    block = Block()
    assert isinstance(block.scale, nn.Parameter)
    assert isinstance(block.proj, nn.Linear)
    assert isinstance(block.count, gd.Tensor)
    assert block.proj.bias is None
    block.width = 4
    assert block.width == 4
    with pytest.raises(AttributeError, match="Block has no attribute 'nothing'"):
        _ = block.nothing


def test_a_parameter_replaced_keeps_its_place():
    layer = nn.Linear(3, 2)
    layer.weight = nn.Parameter(np.zeros((2, 3), np.float32))
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    assert not layer.weight.numpy().any()


def test_a_module_replaced_keeps_its_place():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    setattr(model, "0", nn.Linear(3, 2))
    assert [type(m).__name__ for m in model] == ["Linear", "ReLU", "Linear"]
    assert model(gd.zeros(5, 3)).shape == (5, 1)


def test_a_name_may_change_its_kind():
    block = Block()
    block.scale = nn.Linear(4, 4)
    assert "scale.weight" in dict(block.named_parameters())
    assert "scale" not in dict(block.named_parameters())
    block.proj = nn.Parameter(np.zeros(3))
    assert "proj" in dict(block.named_parameters())
    block.count = nn.Parameter(np.zeros(3))
    assert list(block.named_buffers()) == []


def test_members_can_be_none_and_come_back():
    layer = nn.Linear(3, 2)
    layer.bias = None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    assert layer.bias is None
    layer.bias = nn.Parameter(np.zeros(2, np.float32))
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    net = Net()
    net.drop = None
    assert "drop" not in dict(net.named_children())
    net.train()


def test_members_can_be_deleted():
    block = Block()
    block.width = 4
    for name in ("scale", "proj", "count", "width"):
        delattr(block, name)
        with pytest.raises(AttributeError):
            getattr(block, name)
        with pytest.raises(AttributeError):
            delattr(block, name)
    assert [name for name, _ in block.named_parameters()] == ["norm.weight", "norm.bias"]


def test_members_are_attributes_of_which_python_knows_by_itself(monkeypatch):
    net = Net()
    twin, read = copy.deepcopy(net), []
    monkeypatch.setattr(nn.Module, "__getattr__", lambda self, name: read.append(name))
    for module in (*net.modules(), *twin.modules()):
        for name, member in (*module._parameters.items(), *module._buffers.items(), *module._modules.items()):
            assert getattr(module, name) is member
    assert read == []


def test_a_member_never_hides_what_the_class_has():
    held = nn.ModuleDict({"keys": nn.Linear(2, 2), "pop": nn.ReLU(), "plain": nn.ReLU()})
    assert list(held.keys()) == ["keys", "pop", "plain"]
    assert held.pop("pop") is not None
    assert isinstance(held["keys"], nn.Linear)
    plain = held.plain
    assert held.pop("plain") is plain
    with pytest.raises(AttributeError, match="plain"):
        _ = held.plain
    with pytest.raises(KeyError):
        del held["plain"]


def test_what_others_put_in_a_family_is_found():
    net = Net()
    net._modules["late"] = nn.ReLU()
    assert net.late is net._modules["late"]


@pytest.mark.parametrize("value", [np.zeros((2, 3)), 3.0, "weight", gd.zeros(2, 3), nn.ReLU])
def test_a_parameter_takes_only_another(value):
    layer = nn.Linear(3, 2)
    weight = layer.weight
    with pytest.raises(TypeError, match=r"'weight' of Linear is a registered parameter or module.*copy_\(\)"):
        layer.weight = value
    assert layer.weight is weight


def test_a_module_takes_only_another():
    net = Net()
    with pytest.raises(TypeError, match="'head' of Net is a registered parameter or module"):
        net.head = lambda x: x


def test_a_buffer_takes_a_tensor():
    block = Block()
    block.count = gd.tensor(3)
    assert block.state_dict()["count"] == 3
    with pytest.raises(TypeError, match="'count' of Block is a registered buffer"):
        block.count = 4


@pytest.mark.parametrize("value", [gd.zeros(3), np.zeros(3), nn.ReLU()])
def test_register_parameter_takes_only_parameters(value):
    with pytest.raises(TypeError, match=r"must be a Parameter or None, got a .*nn\.Parameter\(x\)"):
        nn.Module().register_parameter("w", value)


@pytest.mark.parametrize("name", ["", "a.b"])
def test_a_members_name_has_no_dot(name):
    model = nn.Module()
    for register, value in (
        (model.add_module, nn.ReLU()),
        (model.register_parameter, nn.Parameter(np.zeros(1))),
        (model.register_buffer, np.zeros(1)),
    ):
        with pytest.raises(ValueError, match="name must not be empty or have a dot"):
            register(name, value)
    assert list(model.modules()) == [model]


def test_a_constructor_that_forgot_its_base():
    class Forgetful(nn.Module):
        def __init__(self, make):
            make(self)

    for make in (
        lambda self: setattr(self, "layer", nn.Linear(1, 1)),
        lambda self: setattr(self, "weight", nn.Parameter(np.zeros(1))),
        lambda self: setattr(self, "width", 3),
        lambda self: self.register_buffer("mask", np.zeros(1)),
        lambda self: self.add_module("0", nn.ReLU()),
        lambda self: self.train(),
    ):
        with pytest.raises(AttributeError, match=r"Forgetful.__init__ must call super\(\).__init__\(\)"):
            Forgetful(make)


def test_a_module_without_forward():
    with pytest.raises(NotImplementedError, match=r"Net2 defines no forward\(self, ...\)"):
        type("Net2", (nn.Module,), {})()(1)


def test_lists_and_dicts_of_modules_do_not_count():
    """As in PyTorch: ModuleList is for that. Here it is said."""
    model = nn.Module()
    with pytest.warns(UserWarning, match=r"self.layers = nn.ModuleList"):
        model.layers = [nn.Linear(1, 1)]
    with pytest.warns(UserWarning, match=r"self.weights = nn.ParameterList"):
        model.weights = {"a": nn.Parameter(np.zeros(1, np.float32))}
    assert list(model.parameters()) == []


# ---- buffers


def test_buffers_are_state_but_not_trained():
    block = Block()
    block.register_buffer("mask", np.tri(3, dtype=bool))
    block.register_buffer("nothing", None)
    assert [name for name, _ in block.named_buffers()] == ["count", "mask"]
    assert block.nothing is None
    assert "mask" in block.state_dict()
    assert "mask" not in dict(block.named_parameters())
    opt = optim.SGD(block, lr=0.1)
    assert "mask" not in opt.param_groups[0]["names"]
    state = {name: np.array(value) for name, value in block.state_dict().items()}
    state["mask"][:] = False
    state["count"][...] = 7
    block.load_state_dict(state)
    assert not block.mask.numpy().any()
    assert block.count.item() == 7


# ---- modes and flags


def test_train_and_eval_reach_everything_below():
    net = Net()
    assert all(m.training for m in net.modules())
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    net.blocks[0].train()
    assert net.blocks[0].norm.training
    assert not net.blocks[1].norm.training
    net.train()
    assert all(m.training for m in net.modules())
    net.train(False)
    assert not net.drop.training


def test_dropout_drops_only_while_training():
    net = Net()
    ids = np.arange(6)
    net.eval()
    np.testing.assert_array_equal(net(ids).numpy(), net(ids).numpy())
    net.train()
    assert (net(ids).numpy() != net(ids).numpy()).any()


def test_requires_grad_freezes_and_releases():
    net = Net()
    assert net.requires_grad_(False) is net
    assert not any(p.requires_grad for p in net.parameters())
    assert not net(np.arange(6)).requires_grad
    net.blocks.requires_grad_()
    net.eval()(np.arange(6)).sum().backward()
    assert net.embed.weight.grad is None
    assert net.blocks[0].scale.grad is not None


def test_zero_grad_forgets():
    net = Net()
    net(np.arange(6)).sum().backward()
    assert net.head.weight.grad is not None
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    net.zero_grad(set_to_none=True)
    with pytest.raises(ValueError, match="set_to_none=False is not offered"):
        net.zero_grad(set_to_none=False)


def test_apply_calls_children_first():
    seen = []
    net = Net()
    assert net.apply(seen.append) is net
    assert seen[-1] is net
    assert [type(m).__name__ for m in seen[:4]] == ["Embedding", "LayerNorm", "Linear", "Block"]


# ---- another dtype or device


def test_to_another_dtype_and_back():
    net = Net()
    before = {name: value.copy() for name, value in net.state_dict().items()}
    net.eval()(np.arange(6)).sum().backward()
    gradient = net.head.weight.grad.numpy().copy()
    assert net.double() is net
    assert all(p.dtype == np.float64 for p in net.parameters())
    assert net.blocks[0].count.dtype == np.int64  # not a float: left alone
    assert net.head.weight is net.embed.weight
    np.testing.assert_array_equal(net.head.weight.grad.numpy(), gradient)
    assert net.head.weight.grad.dtype == np.float64
    out = net(np.arange(6))
    assert out.dtype == np.float64
    out.sum().backward()
    np.testing.assert_allclose(net.head.weight.grad.numpy(), 2 * gradient, rtol=1e-4, atol=1e-5)
    net.float()
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert net.to("float64").head.weight.dtype == np.float64
    assert net.to("cpu") is net


def test_another_dtype_is_refused_while_an_optimizer_holds_a_parameter():
    net = Net()
    opt = optim.SGD(net.blocks.parameters(), lr=0.1)
    with pytest.raises(RuntimeError, match=r"in an optimizer.*convert the module first, then make the optimizer"):
        net.double()
    assert all(p.dtype == np.float32 for p in net.parameters())
    net.float()  # no change of dtype: nothing to refuse
    del opt
    net.double()
    assert all(p.dtype == np.float64 for p in net.parameters())
    net.requires_grad_(True)
    opt = optim.SGD(net, lr=0.1)
    net(np.arange(6)).sum().backward()
    assert opt.step()
    assert opt.flats[0].dtype == np.float64


@pytest.mark.parametrize("dtype", [np.int64, "bool"])
def test_a_module_is_floating(dtype):
    with pytest.raises(TypeError, match="converts to a float dtype"):
        Net().to(dtype)


def test_a_device_that_is_not_there():
    if gd.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(RuntimeError, match="device 'cuda' cannot be used"):
        Net().to("cuda")


# ---- copies


def test_a_deep_copy_is_independent_and_keeps_ties():
    net = Net()
    net.blocks[0].requires_grad_(False)
    opt = optim.SGD(net, lr=1.0)
    net(np.arange(6)).sum().backward()
    twin = copy.deepcopy(net)
    assert twin.head.weight is twin.embed.weight
    assert twin.head.weight is not net.head.weight
    assert [name for name, _ in twin.named_parameters()] == NAMES
    assert [p.requires_grad for p in twin.parameters()] == [p.requires_grad for p in net.parameters()]
    assert twin.embed.weight.grad is None
    before = {name: value.copy() for name, value in net.state_dict().items()}
    opt.step()
    for name, value in twin.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    other = optim.SGD(twin.requires_grad_(True), lr=1.0)  # the copy is in no optimizer
    moved = net.embed.weight.numpy().copy()
    twin(np.arange(6)).sum().backward()
    other.step()
    np.testing.assert_array_equal(net.embed.weight.numpy(), moved)


def test_a_moving_average_of_weights():
    net = nn.Linear(3, 2)
    mean = copy.deepcopy(net).requires_grad_(False)
    opt = optim.SGD(net, lr=0.1)
    expected = {name: value.copy() for name, value in net.state_dict().items()}
    for step in range(5):
        net(normal(4, 3, seed=step, dtype=np.float32)).sum().backward()
        opt.step()
        with gd.no_grad():
            for kept, p in zip(mean.parameters(), net.parameters(), strict=True):
                kept *= 0.9
                kept += p * 0.1
        for name, value in net.state_dict().items():
            expected[name] = expected[name] * np.float32(0.9) + value * np.float32(0.1)
    for name, value in mean.state_dict().items():
        np.testing.assert_array_equal(value, expected[name])


# ---- to read


def test_repr():
    assert repr(nn.Sequential(nn.Linear(2, 3), nn.GELU(), nn.Sequential())) == (
        "Sequential(\n  (0): Linear(in_features=2, out_features=3, bias=True)\n"
        "  (1): GELU(approximate='tanh')\n  (2): Sequential()\n)"
    )


def test_repr_of_a_nested_model():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = Block()
            self.drop = nn.Dropout(0.1)

        def extra_repr(self):
            return "kind=odd"

    assert repr(Odd()) == (
        "Odd(\n"
        "  kind=odd\n"
        "  (block): Block(\n"
        "    (norm): LayerNorm(4, eps=1e-05, weight=True, bias=True)\n"
        "    (proj): Linear(in_features=4, out_features=4, bias=False)\n"
        "  )\n"
        "  (drop): Dropout(p=0.1)\n"
        ")"
    )


def test_evaluating_gives_every_module_its_own_mode_back():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    model[1].eval()
    with model.evaluating():
        assert not any(module.training for module in model.modules())
    assert model.training
    assert model[0].training
    assert not model[1].training
