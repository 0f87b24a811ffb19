"""What a user can ask of a step besides its rule: groups, scales, noise, averages, further parameters, closures."""

import numpy as np
import pytest

import gdengine as gd
from gdengine import nn, optim
from gdengine import random as gd_random
from gdengine.functional import cross_entropy
from gdengine.models import GPT, GPTConfig
from tests.helpers import normal

RULES = {
    "sgd": lambda p, **kw: optim.SGD(p, lr=0.1, momentum=0.9, **kw),
    "adamw": lambda p, **kw: optim.AdamW(p, lr=0.01, **kw),
    "amsgrad": lambda p, **kw: optim.AdamW(p, lr=0.01, amsgrad=True, **kw),
}


def network(dtype=np.float32):
    gd.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).to(dtype)


def loss_of(model, seed=0, reduction="mean", targets=None, rows=slice(None)):
    x = normal(12, 4, seed=seed, dtype=next(model.parameters()).dtype)
    t = np.arange(12) % 3 if targets is None else targets
    return cross_entropy(model(x[rows]), t[rows], reduction=reduction)


def theta_of(opt):
    return b"".join(flat.theta.tobytes() for flat in opt.flats)


# ---- groups


def test_groups_spare_what_has_fewer_than_two_dimensions():
    model = GPT(GPTConfig(vocab_size=8, block_size=4, n_layer=1, n_head=1, n_embd=4))
    decayed, spared = optim.groups(model, weight_decay=0.1)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    assert all(p.ndim >= 2 for _, p in decayed["params"])
    assert all(name.endswith("bias") or "ln_" in name for name, _ in spared["params"])
    assert len(decayed["params"]) + len(spared["params"]) == len(list(model.parameters()))
    opt = optim.AdamW([decayed, spared], lr=1e-3)
    assert [group["weight_decay"] for group in opt.param_groups] == [0.1, 0.0]


def test_groups_by_a_predicate_and_without_empty_ones():
    model = network()
    (all_of_them,) = optim.groups(model, weight_decay=0.1, no_decay=lambda name, p: False)
    assert [name for name, _ in all_of_them["params"]] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    decayed, spared = optim.groups(model, weight_decay=0.1, no_decay=lambda name, p: name.startswith("2."))
    assert [name for name, _ in spared["params"]] == ["2.weight", "2.bias"]
    assert [name for name, _ in decayed["params"]] == ["0.weight", "0.bias"]


# ---- the gradient before the rule


@pytest.mark.parametrize("ignored", [(), (1, 2, 3, 7, 11)])
def test_micro_batches_weighted_by_their_targets_are_the_big_batch(ignored):
    """Summed losses and one scale. Tolerance: a dozen terms are summed in another order, in float64, about 1."""
    targets = np.where(np.isin(np.arange(12), ignored), -100, np.arange(12) % 3)
    ends = []
    for rows in ([slice(None)], [slice(0, 5), slice(5, 6), slice(6, 12)]):
        model = network(np.float64)
        opt = optim.SGD(model.parameters(), lr=0.5)
        for step in range(3):
            if len(rows) == 1:
                loss_of(model, step, targets=targets).backward()
                opt.step()
                continue
            for part in rows:
                loss_of(model, step, "sum", targets, part).backward()
            opt.step(grad_scale=1 / np.count_nonzero(targets != -100))
        ends.append((opt.flats[0].theta.copy(), opt.grad_norm))
    np.testing.assert_allclose(ends[1][0], ends[0][0], rtol=0, atol=1e-14)
    assert ends[1][1] == pytest.approx(ends[0][1], rel=1e-13)


@pytest.mark.parametrize("rule", RULES)
def test_clip_value_is_torchs(rule, recorded, both, same_as_torch):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    values, gradients = recorded(np.float64)
    params, torch_params = both(values)
    ours = RULES[rule](params.values(), clip_value=0.3, clip_norm=1.0)
    theirs = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
        "amsgrad": lambda p: torch.optim.AdamW(p, lr=0.01, amsgrad=True),
    }[rule](torch_params.values())

    def clip():
        torch.nn.utils.clip_grad_value_(torch_params.values(), 0.3)
        torch.nn.utils.clip_grad_norm_(torch_params.values(), 1.0)

    same_as_torch(ours, theirs, params, torch_params, gradients[:60], before_step=clip)


def test_clipping_by_value_by_hand():
    w, frozen = nn.Parameter(np.zeros(4)), nn.Parameter(np.zeros(2))
    w.grad, frozen.grad = [3.0, -0.5, -9.0, np.inf], [7.0, 7.0]
    frozen.requires_grad_(False)
    gd.clip_grad_value_([w, frozen], 1.0)
    assert w.grad.tolist() == [1.0, -0.5, -1.0, np.inf]
    assert frozen.grad.tolist() == [7.0, 7.0]
    for bad in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="clip_value must be a positive number"):
            gd.clip_grad_value_(w, bad)
        with pytest.raises(ValueError, match="clip_value must be a positive number"):
            optim.SGD([w], clip_value=bad)


def test_a_gradient_that_is_not_finite_is_not_clipped_away():
    w = nn.Parameter(np.zeros(3))
    opt = optim.SGD([w], lr=0.1, clip_value=1.0)
    w.grad = [1.0, -np.inf, 2.0]
    assert not opt.step()
    assert (opt.skipped, w.tolist()) == (1, [0.0, 0.0, 0.0])


def test_noise_has_the_spread_that_was_asked_for_and_goes_on_with_the_generator():
    """10,000 draws: the spread's own error is 1/√(2n) = 0.7 %, five of which are allowed; the mean's is 1 % of σ."""
    ends = []
    for _ in range(2):
        gd.manual_seed(3)
        w, b = nn.Parameter(np.zeros(10_001, np.float32)), nn.Parameter(np.zeros(7, np.float32))
        opt = optim.SGD([w, b], lr=1.0, noise=optim.GradientNoise(eta=0.3, gamma=0.55))
        for step in range(3):
            before = w.numpy().copy()
            w.grad = np.zeros(10_001, np.float32)
            opt.step()
            sigma = np.sqrt(0.3 / (1 + step) ** 0.55)
            moved = w.numpy() - before
            assert moved.std() == pytest.approx(sigma, rel=0.036)
            assert abs(moved.mean()) < 0.05 * sigma
        assert (b.numpy() == 0).all()  # it had no gradient
        assert (opt.flats[0].theta[10_001 : opt.flats[0].segments[0].stop] == 0).all()
        ends.append((theta_of(opt), gd_random.state_dict()))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("setting", [{"eta": -1}, {"gamma": float("inf")}, {"eta": float("nan")}])
def test_noise_out_of_range(setting):
    with pytest.raises(ValueError, match="must be a finite number from 0 up"):
        optim.GradientNoise(**setting)


def test_noise_and_scales_that_are_none():
    w = nn.Parameter(np.zeros(3))
    with pytest.raises(TypeError, match="noise is a function of the step"):
        optim.SGD([w], noise=0.1)
    opt = optim.SGD([w], noise=lambda t: -1.0)
    w.grad = np.ones(3)
    with pytest.raises(ValueError, match="the noise at step 0 is -1"):
        opt.step()
    opt.noise = None
    with pytest.raises(ValueError, match="grad_scale must be a finite number"):
        opt.step(grad_scale=float("inf"))
    assert opt.step()  # nothing was used up


# ---- closures


def test_a_closure_is_called_first_and_its_loss_returned():
    model = network()
    opt = optim.SGD(model.parameters(), lr=0.1)
    other = network()
    expected = loss_of(other)
    expected.backward()
    optim.SGD(other.parameters(), lr=0.1).step()

    def closure():
        opt.zero_grad()
        loss = loss_of(model)
        loss.backward()
        return loss

    with gd.no_grad():
        loss = opt.step(closure)
    assert loss.item() == expected.item()
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert p.numpy().tobytes() == q.numpy().tobytes()


# ---- further groups


@pytest.mark.parametrize("rule", RULES)
def test_a_group_added_half_way_is_torchs(rule, recorded, both, same_as_torch):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    values, gradients = recorded(np.float64)
    params, torch_params = both(values)
    first = {"matrix", "bias"}
    make = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
        "amsgrad": lambda p: torch.optim.AdamW(p, lr=0.01, amsgrad=True),
    }[rule]
    ours = RULES[rule]([params[name] for name in first])
    theirs = make([torch_params[name] for name in first])
    early = [{name: g for name, g in given.items() if name in first} for given in gradients[:20]]
    same_as_torch(ours, theirs, {n: params[n] for n in first}, torch_params, early)
    late = {"params": [params["cube"], params["scalar"]], "lr": 0.02, "weight_decay": 0.1}
    ours.add_param_group(late)
    theirs.add_param_group({**late, "params": [torch_params["cube"], torch_params["scalar"]]})
    same_as_torch(ours, theirs, params, torch_params, gradients[20:50])
    assert [group["lr"] for group in ours.param_groups][1] == 0.02
    assert len(ours.flats) == 1
    assert all(np.shares_memory(p.numpy(), ours.flats[0].theta) for p in params.values())


def test_a_group_that_does_not_fit_changes_nothing():
    model, w = network(), nn.Parameter(np.zeros(3, np.float32))
    opt = optim.SGD(model.parameters(), lr=0.1)
    flats, groups = list(opt.flats), list(opt.param_groups)
    held = nn.Parameter(np.zeros(2, np.float32))
    other = optim.SGD([held], lr=0.1)
    for group, error, says in (
        ({"params": [w], "lr": -1}, ValueError, "lr must be"),
        ({"params": [w], "beta": 1}, ValueError, "beta"),
        ({"params": [next(model.parameters())]}, ValueError, "was given twice"),
        ({"params": [held]}, ValueError, "in another optimizer"),
        ({"params": [("0.weight", w)]}, ValueError, "two parameters are named"),
        ([w], TypeError, "a group is a dict"),
    ):
        with pytest.raises(error, match=says):
            opt.add_param_group(group)
        assert (opt.flats, opt.param_groups) == (flats, groups)
    del other


def test_nameless_parameters_go_on_being_numbered():
    opt = optim.SGD([nn.Parameter(np.zeros(2)), nn.Parameter(np.zeros(2))], lr=0.1)
    opt.add_param_group({"params": nn.Parameter(np.zeros(2))})
    assert [group["names"] for group in opt.param_groups] == [["param.0", "param.1"], ["param.2"]]


# ---- freezing


@pytest.mark.parametrize("rule", RULES)
def test_freezing_half_way_and_thawing_is_torchs_grad_none(rule):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    ours = network(np.float64)
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)).double()
    theirs.load_state_dict({name: torch.tensor(value) for name, value in ours.state_dict().items()})
    opt = RULES[rule](ours.named_parameters(), weight_decay=0.1)
    other = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
        "amsgrad": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1, amsgrad=True),
    }[rule](theirs.parameters())
    for step in range(18):
        wanted = not 6 <= step < 12
        ours[0].requires_grad_(wanted)
        theirs[0].requires_grad_(wanted)
        loss_of(ours, step).backward()
        opt.step()
        x = torch.tensor(normal(12, 4, seed=step))
        other.zero_grad()
        torch.nn.functional.cross_entropy(theirs(x), torch.arange(12) % 3).backward()
        other.step()
        for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            # float64, values about 1: sums in another order, over 18 steps
            np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=0, atol=1e-13, err_msg=f"{name} {step}")


def test_frozen_between_backward_and_step():
    """The gradient that it has is used up all the same, and nothing of it moves."""
    model = network()
    opt = optim.AdamW(model.parameters(), lr=0.1)
    loss_of(model).backward()
    model[0].requires_grad_(False)
    before = model[0].weight.numpy().tobytes()
    assert opt.step()
    model[0].requires_grad_(True)
    assert model[0].weight.numpy().tobytes() == before
    with pytest.warns(UserWarning, match="found no gradient"):
        opt.step()


# ---- averages


@pytest.mark.parametrize("of", ["optimizer", "model"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_average_is_its_formula(of, dtype):
    model = network(dtype)
    opt = optim.SGD(model.parameters(), lr=0.5)
    ema = optim.EMA(opt if of == "optimizer" else model, 0.75)
    expected = {name: p.numpy().astype(np.float64) for name, p in model.named_parameters()}
    for step in range(8):
        loss_of(model, step).backward()
        opt.step()
        ema.update()
        for name, p in model.named_parameters():
            expected[name] = 0.75 * expected[name] + 0.25 * p.numpy()
    own = theta_of(opt)
    versions = [p._version.n for p in model.parameters()]
    with ema.applied():
        for name, p in model.named_parameters():
            # three roundings an update, of values below 1, of which a quarter is new
            np.testing.assert_allclose(p.numpy(), expected[name], rtol=0, atol=16 * np.finfo(dtype).eps)
        assert theta_of(opt) != own
    assert theta_of(opt) == own
    assert all(p._version.n > n for p, n in zip(model.parameters(), versions, strict=True))
    with pytest.raises(KeyError), ema.applied():
        raise KeyError
    assert theta_of(opt) == own


def test_an_average_follows_its_optimizer():
    model, late = network(), nn.Parameter(np.full(3, 2.0, np.float32))
    opt = optim.SGD(model.parameters(), lr=0.5)
    ema = optim.EMA(opt, decay=lambda n: min(0.9, (1 + n) / (10 + n)))
    loss_of(model).backward()
    opt.step()
    ema.update()
    before = {name: value.copy() for name, value in ema.state_dict()["average"].items()}
    opt.add_param_group({"params": [("late", late)]})
    after = ema.state_dict()
    assert after["updates"] == 1
    assert {**before, "late": late.numpy()}.keys() == after["average"].keys()
    for name, value in before.items():
        assert value.tobytes() == after["average"][name].tobytes()
    assert after["average"]["late"].tolist() == [2.0] * 3


def test_an_averages_state():
    model = network()
    ema = optim.EMA(model, 0.5)
    with gd.no_grad():
        model[0].weight += 1
    ema.update()
    other = optim.EMA(network(), 0.5)
    other.load_state_dict(ema.state_dict())
    for name, value in ema.state_dict()["average"].items():
        assert value.tobytes() == other.state_dict()["average"][name].tobytes()
    state = ema.state_dict()
    for wrong, says in (
        ({"updates": 1}, "needs average too"),
        ({**state, "average": {}}, "averages other parameters"),
        ({**state, "average": {**state["average"], "0.bias": np.zeros(3)}}, "has shape"),
    ):
        with pytest.raises(ValueError, match=says):
            other.load_state_dict(wrong)
    for decay in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="decay must be in"):
            optim.EMA(model, decay)
    with pytest.raises(ValueError, match="nothing to average"):
        optim.EMA([])


# ---- known problems, from where and how far Optax's tests go


def parabola(x):
    return (x * x).sum()


def rosenbrock(x):
    a, b = x[0], x[1]
    return (1.0 - a) ** 2 + 100.0 * (b - a * a) ** 2


@pytest.mark.parametrize(
    ("make", "steps"),
    [
        (lambda p: optim.SGD(p, lr=1e-3, momentum=0.9), 10_000),
        (lambda p: optim.Adam(p, lr=1e-1), 1_000),
        (lambda p: optim.AdamW(p, lr=1e-1, weight_decay=1e-4), 1_000),
        (lambda p: optim.Adam(p, lr=1e-1, amsgrad=True), 1_000),
    ],
    ids=["momentum", "adam", "adamw", "amsgrad"],
)
@pytest.mark.parametrize(
    ("problem", "start", "end"),
    [(parabola, [-1.0, 10.0, 1.0], [0.0, 0.0, 0.0]), (rosenbrock, [0.0, 0.0], [1.0, 1.0])],
    ids=["parabola", "rosenbrock"],
)
def test_reaches_the_minimum(make, steps, problem, start, end):
    if problem is rosenbrock:
        steps = min(3 * steps, 10_000)
    x = nn.Parameter(np.array(start))
    opt = make([x])
    for _ in range(steps):
        problem(x).backward()
        opt.step()
        if np.abs(x.numpy() - end).max() < 1e-2:
            return
    np.testing.assert_allclose(x.numpy(), end, atol=1e-2)
