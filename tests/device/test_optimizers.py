"""The optimizer's step on a GPU: where the CPU's step goes, without waiting."""

import numpy as np
import pytest

import gdengine as gd
from gdengine import nn, optim
from gdengine.functional import cross_entropy
from tests.helpers import normal

X = np.arange(12).reshape(3, 4) % 7
RULES = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.1, weight_decay=0.1, clip_norm=0.5),
    "nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: optim.Adam(p, lr=1e-2, weight_decay=0.1),
    "amsgrad": lambda p: optim.AdamW(p, lr=1e-2, amsgrad=True, betas=(0.9, 0.5), clip_value=0.01),
    "lion": lambda p: optim.Lion(p, lr=1e-3, weight_decay=0.1, clip_norm=0.5),
    "rmsprop": lambda p: optim.RMSprop(p, lr=1e-3, momentum=0.5, centered=True, eps=1e-2, clip_norm=0.5),
    "adagrad": lambda p: optim.Adagrad(p, lr=1e-2, lr_decay=0.1, initial_accumulator_value=0.1),
    "nadam": lambda p: optim.NAdam(p, lr=1e-2, weight_decay=0.1, eps=1e-4),
    "radam": lambda p: optim.RAdam(p, lr=1e-2, weight_decay=0.1, betas=(0.9, 0.5), eps=1e-4),
    "sgdw": lambda p: optim.SGD(p, lr=0.1, weight_decay=0.1, momentum=0.5, decoupled_weight_decay=True),
    "climbing": lambda p: optim.Adam(p, lr=1e-2, maximize=True, noise=optim.GradientNoise(0.01)),
    "adamw": lambda p: optim.AdamW(p, lr=optim.warmup_cosine(peak=1e-2, warmup=2, total=8), clip_norm=0.5),
}


def tower(device):
    gd.manual_seed(0)
    return nn.Sequential(nn.Embedding(7, 8), nn.LayerNorm(8), nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 7)).to(device)


def loss_of(model):
    return cross_entropy(model(X), (3 * X + 1) % 7)


def values(model):
    return {name: parameter.detach().cpu().numpy() for name, parameter in model.named_parameters()}


def assert_close(here, there, rtol=2e-5):
    for name, expected in here.items():
        size = np.abs(expected).max()
        np.testing.assert_allclose(there[name], expected, rtol=rtol, atol=rtol * size, err_msg=name)


@pytest.mark.parametrize("rule", RULES)
def test_six_steps_go_where_the_cpus_go(gpu, rule):
    """Both round each step's few operations differently: some 10 u a step of the largest value, over six steps."""
    ends = []
    for device in ("cpu", "cuda"):
        model = tower(device)
        optimizer = RULES[rule](model.parameters())
        norms = []
        for _ in range(6):
            loss_of(model).backward()
            optimizer.step()
            norms.append(optimizer.grad_norm)
        ends.append((values(model), norms, optimizer.t, optimizer.lr))
    assert_close(ends[0][0], ends[1][0])
    np.testing.assert_allclose(ends[1][1], ends[0][1], rtol=2e-5)
    assert ends[0][2:] == ends[1][2:]


def test_groups_and_parameters_that_sit_out(gpu):
    ends = []
    for device in ("cpu", "cuda"):
        model = tower(device)
        layers = list(model.children())
        groups = [
            {"params": layers[0], "lr": 0.02, "weight_decay": 0.0},
            {"params": [*layers[1].named_parameters("norm"), *layers[2].named_parameters("in")], "betas": (0.5, 0.9)},
            {"params": layers[4].named_parameters("out")},
        ]
        optimizer = optim.AdamW(groups, lr=1e-2)
        for step in range(5):
            layers[2].weight.requires_grad = step > 1  # joins late: a step count of its own
            loss_of(model).backward()
            optimizer.step()
        ends.append((values(model), {name: held["step"] for name, held in optimizer.state_dict()["state"].items()}))
    assert_close(ends[0][0], ends[1][0])
    assert ends[0][1] == ends[1][1]
    assert sorted(set(ends[0][1].values())) == [3, 5]


def test_a_step_that_is_not_finite_changes_no_bit(gpu):
    model = tower("cuda")
    optimizer = optim.AdamW(model.named_parameters(), lr=optim.warmup_cosine(peak=1e-2, warmup=2, total=8))
    loss_of(model).backward()
    optimizer.step()
    before = values(model), {name: flat.get() for name, flat in optimizer.flats[0].state.items()}, optimizer.lr
    loss_of(model).backward()
    model[2].bias.grad[3] = float("inf")
    assert optimizer.step()  # enqueued
    assert (optimizer.skipped, optimizer.bad_parameter, optimizer.t) == (1, "2.bias", 1)
    assert optimizer.grad_norm == float("inf")
    after = values(model), {name: flat.get() for name, flat in optimizer.flats[0].state.items()}, optimizer.lr
    for old, new in zip(before[:2], after[:2], strict=True):
        assert {name: value.tobytes() for name, value in old.items()} == {n: v.tobytes() for n, v in new.items()}
    assert before[2] == after[2]
    loss_of(model).backward()
    optimizer.step()
    assert (optimizer.skipped, optimizer.bad_parameter, optimizer.t) == (1, None, 2)


def test_a_step_waits_for_nothing(gpu, monkeypatch):
    model = tower("cuda")
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)
    if gpu.device is None:
        pytest.skip("the stand-in's waits are watched")
    loss = loss_of(model)
    waits = []
    monkeypatch.setattr(gpu.cupy.cuda, "wait", waits.append)
    loss.backward()
    optimizer.step()
    assert waits == []
    monkeypatch.undo()
    assert optimizer.grad_norm > 0


def test_state_goes_on_from_any_device(gpu):
    here = tower("cpu")
    first = RULES["adamw"](here.named_parameters())
    for _ in range(3):
        loss_of(here).backward()
        first.step()
    there = tower("cuda")
    there.load_state_dict(here.state_dict())
    second = RULES["adamw"](there.named_parameters())
    second.load_state_dict(first.state_dict())
    for _ in range(2):
        loss_of(here).backward()
        first.step()
        loss_of(there).backward()
        second.step()
    assert_close(values(here), values(there))
    third = RULES["adamw"](tower("cpu").named_parameters())
    third.load_state_dict(second.state_dict())
    assert third.t == second.t == 5


def test_clipping_by_hand(gpu):
    model = tower("cuda")
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    loss_of(model).backward()
    norm = float(gd.clip_grad_norm_(model.parameters(), 0.1))
    assert norm > 0.1
    optimizer.step()
    assert optimizer.grad_norm == pytest.approx(0.1, rel=1e-4)


def test_no_gradient_no_step(gpu):
    optimizer = optim.SGD(tower("cuda").parameters(), lr=0.1)
    with pytest.warns(UserWarning, match="found no gradient"):
        assert not optimizer.step()


def test_leaves_of_ones_own(gpu):
    x = gd.tensor(normal(3).astype(np.float32), device="cuda", requires_grad=True)
    optimizer = optim.SGD([x], lr=0.5)
    (x * x).sum().backward()
    before = x.detach().cpu().numpy()
    optimizer.step()
    assert np.abs(x.detach().cpu().numpy()).max() <= 1e-7 * np.abs(before).max()  # x − 0.5·2x
