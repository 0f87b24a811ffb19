"""state_dict and load_state_dict: by name, bit-exact, checked whole before anything changes."""

import copy
import json
import re

import numpy as np
import pytest

import gdengine as gd
from gdengine import nn, optim
from gdengine.functional import relu


class Net(nn.Module):
    def __init__(self, width=5):
        super().__init__()
        self.first = nn.Linear(3, width)
        self.unused = nn.Linear(2, 2)
        self.last = nn.Linear(width, 2)

    def forward(self, x):
        return self.last(relu(self.first(x)))


RULES = {
    "sgd": lambda p, lr: optim.SGD(p, lr=lr),
    "momentum": lambda p, lr: optim.SGD(p, lr=lr, momentum=0.9, dampening=0.1, weight_decay=0.01),
    "adam": lambda p, lr: optim.Adam(p, lr=lr, weight_decay=0.01),
    "adamw": lambda p, lr: optim.AdamW(p, lr=lr, clip_norm=0.5),
    "rmsprop": lambda p, lr: optim.RMSprop(p, lr=lr, momentum=0.9, centered=True),
    "adagrad": lambda p, lr: optim.Adagrad(p, lr=lr, lr_decay=0.1, initial_accumulator_value=0.1),
    "nadam": lambda p, lr: optim.NAdam(p, lr=lr),
    "radam": lambda p, lr: optim.RAdam(p, lr=lr, betas=(0.9, 0.9)),
}


def train(net, opt, steps, first=0):
    for step in range(first, first + steps):
        rng = np.random.default_rng(step)
        x, y = rng.normal(size=(8, 3)).astype(np.float32), rng.normal(size=(8, 2)).astype(np.float32)
        ((net(x) - y) ** 2).mean().backward()
        opt.step()


def bits(net, opt):
    return exact([*net.state_dict().values(), opt.state_dict()])


def exact(tree):
    """A tree whose equality is that of every bit: arrays as dtype, shape and bytes."""
    if isinstance(tree, dict):
        return {key: exact(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [exact(value) for value in tree]
    return (tree.dtype, tree.shape, tree.tobytes()) if isinstance(tree, np.ndarray) else tree


def groups_of(net):
    return [{"params": net.first.named_parameters("first")}, {"params": net.last.named_parameters("last"), "lr": 0.02}]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("split", [lambda net: net, groups_of], ids=["one group", "two groups"])
def test_a_freshly_built_model_goes_on_with_the_same_bits(rule, split):
    gd.manual_seed(0)
    make = RULES[rule]
    net = Net()
    opt = make(split(net), optim.warmup_cosine(0.1, 5, 30))
    train(net, opt, 10)
    weights, state = copy.deepcopy((net.state_dict(), opt.state_dict()))
    train(net, opt, 10, first=10)

    other = Net()
    resumed = make(split(other), optim.warmup_cosine(0.1, 5, 30))
    train(other, resumed, 3, first=100)  # whatever it did before is forgotten
    other.load_state_dict(weights)
    resumed.load_state_dict(state)
    assert resumed.lr == optim.warmup_cosine(0.1, 5, 30)(10)
    train(other, resumed, 10, first=10)
    assert bits(other, resumed) == bits(net, opt)


@pytest.mark.parametrize("rule", RULES)
def test_loading_into_an_untouched_optimizer_equals_saving(rule):
    net = Net()
    opt = RULES[rule](net, 0.1)
    train(net, opt, 3)
    state = copy.deepcopy(opt.state_dict())
    other = RULES[rule](Net(), 0.5)
    other.load_state_dict(state)
    assert exact(other.state_dict()) == exact(state)
    assert other.lr == 0.1


def test_what_the_state_holds():
    net = Net()
    opt = optim.AdamW(net, lr=0.1, betas=(0.8, 0.9))
    assert opt.state_dict()["state"] == {}
    train(net, opt, 2)
    net.last.bias.grad = np.full(2, np.nan)
    opt.step()
    state = opt.state_dict()
    assert (state["t"], state["skipped"], state["schedules"]) == (2, 1, [None])
    assert state["param_groups"] == [
        {
            "lr": 0.1,
            "betas": (0.8, 0.9),
            "eps": 1e-8,
            "weight_decay": 0.01,
            "amsgrad": False,
            "maximize": False,
            "params": [name for name, _ in net.named_parameters()],
        }
    ]
    used = ["first.weight", "first.bias", "last.weight", "last.bias"]
    assert list(state["state"]) == used  # an entry only for what has been updated
    for name, p in net.named_parameters():
        if name in used:
            entry = state["state"][name]
            assert list(entry) == ["step", "exp_avg", "exp_avg_sq"]
            assert entry["step"] == 2
            assert entry["exp_avg"].shape == p.shape
    assert np.shares_memory(state["state"]["last.bias"]["exp_avg"], opt.flats[0].state["exp_avg"])  # live


def test_all_but_the_arrays_is_json():
    net = Net()
    opt = optim.SGD(net, lr=optim.constant(0.1), momentum=0.9)
    train(net, opt, 2)
    state = opt.state_dict()
    for entry in state["state"].values():
        entry["momentum_buffer"] = entry["momentum_buffer"].tolist()
    back = json.loads(json.dumps(state))
    other = optim.SGD(Net(), lr=optim.constant(0.1), momentum=0.9)
    other.load_state_dict(back)
    np.testing.assert_array_equal(other.flats[0].state["momentum_buffer"], opt.flats[0].state["momentum_buffer"])


def test_saved_settings_replace_the_given_ones():
    net = Net()
    state = optim.AdamW(groups_of(net), lr=0.3, weight_decay=0.2).state_dict()
    opt = optim.AdamW(groups_of(Net()), lr=0.1)
    opt.load_state_dict(state)
    assert [(group["lr"], group["weight_decay"]) for group in opt.param_groups] == [(0.3, 0.2), (0.02, 0.2)]


def test_a_learning_rate_that_was_a_function_stays_the_new_ones_own():
    schedule = optim.linear(0.1, 0.0, 10)
    state = optim.SGD(Net(), lr=schedule).state_dict()
    assert state["param_groups"][0]["lr"] is None
    opt = optim.SGD(Net(), lr=optim.linear(0.5, 0.0, 10))
    opt.load_state_dict(state)
    assert opt.lr == 0.5


class Plateau:
    """A schedule with a state."""

    def __init__(self):
        self.lr = 0.1

    def __call__(self, t):
        return self.lr

    def state_dict(self):
        return {"lr": self.lr}

    def load_state_dict(self, state):
        self.lr = state["lr"]


def test_the_state_of_a_schedule_is_saved_with_it():
    schedule = Plateau()
    opt = optim.SGD(groups_of(Net()), lr=schedule)
    schedule.lr = 0.05
    state = opt.state_dict()
    assert state["schedules"] == [{"lr": 0.05}, None]
    other = optim.SGD(groups_of(Net()), lr=Plateau())
    other.load_state_dict(state)
    assert (other.lr, other.lr_of(other.param_groups[1])) == (0.05, 0.02)


def test_a_schedule_that_refuses_its_state_leaves_the_others_as_they_were():
    def made():
        first, second = ({"params": [gd.tensor([1.0], requires_grad=True)], "lr": Plateau()} for _ in range(2))
        return optim.SGD([first, second], lr=0.1)

    opt, state = made(), made().state_dict()
    state["schedules"] = [{"lr": 0.05}, {}]
    before = opt.state_dict()["schedules"]
    with pytest.raises(KeyError, match="lr"):
        opt.load_state_dict(state)
    assert opt.state_dict()["schedules"] == before


def test_momentum_is_restored_into_an_optimizer_made_without_it():
    net, other = Net(), Net()
    opt = RULES["momentum"](net, 0.1)
    train(net, opt, 5)
    plain = optim.SGD(other, lr=0.1)
    other.load_state_dict(copy.deepcopy(net.state_dict()))
    plain.load_state_dict(copy.deepcopy(opt.state_dict()))
    for each in ((net, opt), (other, plain)):
        train(*each, 5, first=5)
    assert bits(net, opt) == bits(other, plain)


def test_a_state_without_momentum_into_an_optimizer_made_with_it():
    net, other = Net(), Net()
    opt = optim.SGD(net, lr=0.1)
    train(net, opt, 5)
    heavy = RULES["momentum"](other, 0.1)
    train(other, heavy, 3)
    other.load_state_dict(copy.deepcopy(net.state_dict()))
    heavy.load_state_dict(copy.deepcopy(opt.state_dict()))
    for each in ((net, opt), (other, heavy)):
        train(*each, 5, first=5)
    for p, q in zip(net.parameters(), other.parameters(), strict=True):
        assert p.numpy().tobytes() == q.numpy().tobytes()


def test_tied_weights_have_one_state():
    net = Net()
    net.twin = net.last
    opt = optim.Adam(net, lr=0.1)
    train(net, opt, 1)
    assert [name for name in opt.state_dict()["state"] if "twin" in name] == []


# ---- refused, with everything as it was


def changed(saved, **parts):
    return {**saved, **parts}


def without(mapping, key):
    return {k: v for k, v in mapping.items() if k != key}


def with_group(saved, **settings):
    return changed(saved, param_groups=[{**saved["param_groups"][0], **settings}])


def with_entry(saved, name, entry):
    return changed(saved, state={**saved["state"], name: entry})


NAMES = [name for name, _ in Net().named_parameters()]
REFUSED = {
    "no t": (lambda s: without(s, "t"), "an optimizer's state needs t too"),
    "nothing": (lambda s: {}, "needs t, skipped, state, param_groups, schedules too"),
    "no groups": (lambda s: changed(s, param_groups=[]), "has 0 parameter groups, this optimizer 1"),
    "two groups": (lambda s: changed(s, param_groups=s["param_groups"] * 2), "has 2 parameter groups, this"),
    "no schedules": (lambda s: changed(s, schedules=[]), "0 schedules for 1 parameter groups"),
    "missing parameter": (
        lambda s: with_group(s, params=NAMES[1:]),
        r"missing \['first.weight'\], not known here \[\]",
    ),
    "other parameter": (lambda s: with_group(s, params=["x", *NAMES]), r"missing \[\], not known here \['x'\]"),
    "other order": (lambda s: with_group(s, params=NAMES[::-1]), "the same in another order"),
    "unknown setting": (lambda s: with_group(s, momentum=0.9), "momentum, which Adam does not know"),
    "setting out of range": (lambda s: with_group(s, eps=-1.0), "eps must be above 0"),
    "unknown entry": (
        lambda s: with_entry(s, "elsewhere", s["state"]["last.bias"]),
        "an entry for 'elsewhere', which this optimizer does not train",
    ),
    "no vector": (
        lambda s: with_entry(s, "last.bias", without(s["state"]["last.bias"], "exp_avg_sq")),
        re.escape("the state of 'last.bias' is not Adam's: missing ['exp_avg_sq']"),
    ),
    "no step": (
        lambda s: with_entry(s, "last.bias", without(s["state"]["last.bias"], "step")),
        re.escape("missing ['step']"),
    ),
    "strange vector": (
        lambda s: with_entry(s, "last.bias", {**s["state"]["last.bias"], "momentum_buffer": np.zeros(2)}),
        re.escape("not known here ['momentum_buffer']"),
    ),
    "other shape": (
        lambda s: with_entry(s, "last.bias", {**s["state"]["last.bias"], "exp_avg": np.zeros(3)}),
        re.escape("'exp_avg' of 'last.bias' has shape (3,), expected (2,)"),
    ),
    "broadcastable shape": (
        lambda s: with_entry(s, "last.bias", {**s["state"]["last.bias"], "exp_avg": np.zeros(1)}),
        re.escape("has shape (1,), expected (2,)"),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_state_that_does_not_fit_changes_nothing(case):
    spoil, says = REFUSED[case]
    net, saved_net = Net(), Net()
    opt, saved = optim.Adam(net, lr=0.1), optim.Adam(saved_net, lr=0.3)
    train(saved_net, saved, 5)
    train(net, opt, 2)
    before = bits(net, opt)
    with pytest.raises(ValueError, match=says):
        opt.load_state_dict(spoil(saved.state_dict()))
    assert bits(net, opt) == before


def test_another_rules_state():
    net, other = Net(), Net()
    adam, sgd = optim.Adam(net, lr=0.1), optim.SGD(other, lr=0.1, momentum=0.9)
    train(net, adam, 1)
    train(other, sgd, 1)
    for opt, state in ((adam, sgd.state_dict()), (sgd, adam.state_dict())):
        before = exact(opt.state_dict())
        with pytest.raises(ValueError, match=r"which (Adam|SGD) does not know"):
            opt.load_state_dict(state)
        assert exact(opt.state_dict()) == before


def test_another_models_state():
    net, wide = Net(), Net(width=6)
    opt, saved = optim.Adam(net, lr=0.1), optim.Adam(wide, lr=0.1)
    train(wide, saved, 1)
    with pytest.raises(ValueError, match=re.escape("'first.weight' has shape (6, 3), expected (5, 3)")):
        opt.load_state_dict(saved.state_dict())


def test_a_model_is_loaded_after_its_optimizer_was_made():
    net, other = Net(), Net()
    opt = optim.SGD(net, lr=0.1)
    theta = opt.flats[0].theta
    net.load_state_dict(other.state_dict())
    for p, q in zip(net.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())
        assert np.shares_memory(p.numpy(), theta)
