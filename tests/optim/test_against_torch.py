"""Every rule follows PyTorch's over 200 steps of recorded gradients."""

import numpy as np
import pytest

import gdengine as gd
from gdengine import optim

torch = pytest.importorskip("torch", reason="compares with PyTorch")


@pytest.fixture(autouse=True)
def _numbers_of_torchs_in_float64():
    """NAdam's product of all momenta is a tensor of the default dtype there; here it is computed in float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


SGD = {
    "plain": {},
    "decay": {"weight_decay": 0.1},
    "momentum": {"momentum": 0.9},
    "dampening": {"momentum": 0.9, "dampening": 0.3},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "nesterov-decay": {"momentum": 0.7, "nesterov": True, "weight_decay": 0.05},
    "dampening-decay": {"momentum": 0.5, "dampening": 0.5, "weight_decay": 0.05},
    "maximize": {"momentum": 0.5, "weight_decay": 0.05, "maximize": True},
}
ADAM = {
    "default": {},
    "decay": {"weight_decay": 0.1},
    "betas": {"betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.01},
    "no-memory": {"betas": (0.0, 0.0), "eps": 1e-3},
    "amsgrad": {"amsgrad": True, "betas": (0.9, 0.5), "weight_decay": 0.1},
    "maximize": {"maximize": True, "weight_decay": 0.1},
}
OTHERS = {
    "RMSprop": {
        "default": {},
        "momentum": {"momentum": 0.9, "weight_decay": 0.1},
        "centered": {"centered": True, "alpha": 0.9, "eps": 1e-3, "maximize": True},
        "all": {"centered": True, "alpha": 0.5, "momentum": 0.5, "eps": 0.1},
    },
    "Adagrad": {"default": {}, "all": {"lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.1}},
    "NAdam": {"default": {}, "decay": {"weight_decay": 0.1, "decoupled_weight_decay": True, "momentum_decay": 0.1}},
    "RAdam": {"default": {}, "decay": {"weight_decay": 0.1, "decoupled_weight_decay": True, "betas": (0.8, 0.95)}},
}
RULES = [
    *(
        pytest.param(rule, {"lr": 0.02, **settings}, id=f"{rule.lower()}-{name}")
        for rule, variants in OTHERS.items()
        for name, settings in variants.items()
    ),
    *(pytest.param("SGD", {"lr": 0.05, **settings}, id=f"sgd-{name}") for name, settings in SGD.items()),
    *(pytest.param("Adam", {"lr": 0.02, **settings}, id=f"adam-{name}") for name, settings in ADAM.items()),
    *(pytest.param("AdamW", {"lr": 0.02, **settings}, id=f"adamw-{name}") for name, settings in ADAM.items()),
]
ONE_OF_EACH = [
    pytest.param("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}, id="sgd"),
    pytest.param("Adam", {"lr": 0.02, "weight_decay": 0.1}, id="adam"),
    pytest.param("AdamW", {"lr": 0.02, "weight_decay": 0.1}, id="adamw"),
    pytest.param("RMSprop", {"lr": 0.02, "momentum": 0.9, "centered": True, "eps": 0.1}, id="rmsprop"),
    pytest.param("Adagrad", {"lr": 0.02, "lr_decay": 0.1}, id="adagrad"),
    pytest.param("NAdam", {"lr": 0.02, "weight_decay": 0.1}, id="nadam"),
    pytest.param("RAdam", {"lr": 0.02, "weight_decay": 0.1}, id="radam"),
]
DTYPES = pytest.mark.parametrize("dtype", [np.float64, np.float32])


@DTYPES
@pytest.mark.parametrize(("rule", "settings"), RULES)
def test_200_steps(rule, settings, dtype, recorded, both, same_as_torch):
    values, gradients = recorded(dtype)
    params, torch_params = both(values)
    ours = getattr(optim, rule)(params.values(), **settings)
    theirs = getattr(torch.optim, rule)(torch_params.values(), **settings)
    same_as_torch(ours, theirs, params, torch_params, gradients)
    assert ours.t == len(gradients)
    assert all(p.dtype == dtype for p in params.values())


@DTYPES
@pytest.mark.parametrize("rule", ["SGD", "Adam", "AdamW"])
def test_groups_with_settings_of_their_own(rule, dtype, recorded, both, same_as_torch):
    values, gradients = recorded(dtype)
    params, torch_params = both(values)
    own = (
        {"lr": 0.1, "weight_decay": 0.2, "momentum": 0.5, "nesterov": True}
        if rule == "SGD"
        else {"lr": 0.1, "weight_decay": 0.2, "betas": (0.5, 0.9), "eps": 1e-4}
    )

    def groups(p):
        return [{"params": [p["matrix"], p["scalar"]]}, {"params": [p["bias"], p["cube"]], **own}]

    ours = getattr(optim, rule)(groups(params), lr=0.03)
    theirs = getattr(torch.optim, rule)(groups(torch_params), lr=0.03)
    same_as_torch(ours, theirs, params, torch_params, gradients)


@DTYPES
@pytest.mark.parametrize(("rule", "settings"), ONE_OF_EACH)
def test_parameters_that_sit_steps_out(rule, settings, dtype, recorded, both, same_as_torch):
    """No gradient, no update, no decay, no momentum, no count: so Adam's bias correction differs among parameters."""
    values, gradients = recorded(dtype)
    rng = np.random.default_rng(3)
    late = "cube"  # comes in only after twenty steps
    for t, given in enumerate(gradients):
        out = [name for name in given if rng.random() < 0.3 or (name == late and t < 20)]
        given.update(dict.fromkeys(out[: len(given) - 1]))
    params, torch_params = both(values)
    ours = getattr(optim, rule)(params.values(), **settings)
    theirs = getattr(torch.optim, rule)(torch_params.values(), **settings)
    same_as_torch(ours, theirs, params, torch_params, gradients)
    state = ours.state_dict()["state"]
    counts = [sum(given[name] is not None for given in gradients) for name in params]
    assert [entry["step"] for entry in state.values()] == counts
    assert len(set(counts)) > 1


@DTYPES
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("rule", "settings"), ONE_OF_EACH)
def test_whole_steps_skipped_for_a_gradient_that_is_not_finite(
    rule, settings, bad, dtype, recorded, both, same_as_torch
):
    values, gradients = recorded(dtype)
    skips = {0, 5, 6, 199}
    for t in skips:
        gradients[t]["cube"].flat[t % 24] = bad
    params, torch_params = both(values)
    ours = getattr(optim, rule)(params.values(), **settings)
    theirs = getattr(torch.optim, rule)(torch_params.values(), **settings)
    same_as_torch(ours, theirs, params, torch_params, gradients, skips=skips)
    assert (ours.skipped, ours.t) == (4, 196)
    assert ours.bad_parameter == "param.2"


@DTYPES
@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
@pytest.mark.parametrize(("rule", "settings"), ONE_OF_EACH)
def test_clip_norm_is_torchs_clip_grad_norm(rule, settings, scale, dtype, recorded, both, same_as_torch):
    values, gradients = recorded(dtype, scale)
    params, torch_params = both(values)
    ours = getattr(optim, rule)(params.values(), **settings, clip_norm=0.5)
    theirs = getattr(torch.optim, rule)(torch_params.values(), **settings)
    norms = []

    def clip():
        norms.append(torch.nn.utils.clip_grad_norm_(torch_params.values(), 0.5).item())
        # PyTorch adds float32 squares in float32: 71 of them, each rounded once more in the sum
        assert ours.grad_norm == pytest.approx(norms[-1], rel=71 * float(np.finfo(dtype).eps))

    same_as_torch(ours, theirs, params, torch_params, gradients, before_step=clip)
    assert any(norm > 0.5 for norm in norms) == (scale > 0.01)


@pytest.mark.parametrize(("rule", "settings"), ONE_OF_EACH)
def test_a_schedule_is_torchs_lambda_lr(rule, settings, recorded, both, same_as_torch):
    values, gradients = recorded(np.float64)
    skips = {3, 4, 50}
    for t in skips:
        gradients[t]["bias"][2] = np.nan
    params, torch_params = both(values)
    schedule = optim.warmup_cosine(peak=0.05, warmup=10, total=150, floor=0.005)

    def groups(p):
        return [{"params": [p["matrix"], p["bias"]]}, {"params": [p["cube"], p["scalar"]], "lr": 0.01}]

    ours = getattr(optim, rule)(groups(params), **{**settings, "lr": schedule})
    theirs = getattr(torch.optim, rule)(groups(torch_params), **{**settings, "lr": 1.0})
    scheduler = torch.optim.lr_scheduler.LambdaLR(theirs, [schedule, lambda t: 1.0])
    theirs.register_step_post_hook(lambda *_: scheduler.step())
    same_as_torch(ours, theirs, params, torch_params, gradients, skips=skips)
    assert ours.lr == scheduler.get_last_lr()[0]
    assert ours.lr_of(ours.param_groups[1]) == 0.01


def test_settings_changed_between_steps(recorded, both, same_as_torch):
    values, gradients = recorded(np.float64)
    params, torch_params = both(values)
    ours, theirs = optim.AdamW(params.values(), lr=0.02), torch.optim.AdamW(torch_params.values(), lr=0.02)
    for first, settings in ((0, {}), (50, {"lr": 0.005}), (100, {"weight_decay": 0.3}), (150, {"betas": (0.5, 0.8)})):
        ours.param_groups[0].update(settings)
        theirs.param_groups[0].update(settings)
        same_as_torch(ours, theirs, params, torch_params, gradients[first : first + 50])


def test_momentum_switched_on_half_way(recorded, both, same_as_torch):
    values, gradients = recorded(np.float64)
    params, torch_params = both(values)
    ours, theirs = optim.SGD(params.values(), lr=0.02), torch.optim.SGD(torch_params.values(), lr=0.02)
    same_as_torch(ours, theirs, params, torch_params, gradients[:50])
    ours.param_groups[0]["momentum"] = theirs.param_groups[0]["momentum"] = 0.9
    same_as_torch(ours, theirs, params, torch_params, gradients[50:])


def test_a_training_run_of_a_network(both):
    """Not recorded gradients but the model's own, in float64: the loss goes the same way down for 200 steps."""
    rng = np.random.default_rng(0)
    values = {"w1": rng.normal(size=(6, 16)) / 2, "b1": np.zeros(16), "w2": rng.normal(size=(16, 1)) / 4}
    x = rng.normal(size=(32, 6))
    y = np.sin(x[:, :1] * 2) + x[:, 1:2]
    params, torch_params = both(values)
    losses = []
    for p, data, opt in (
        (params, (gd.Tensor(x), gd.Tensor(y)), optim.AdamW(params.values(), lr=0.02)),
        (torch_params, (torch.from_numpy(x), torch.from_numpy(y)), torch.optim.AdamW(torch_params.values(), lr=0.02)),
    ):
        trace = []
        for _ in range(200):
            opt.zero_grad()
            loss = (((data[0] @ p["w1"] + p["b1"]).tanh() @ p["w2"] - data[1]) ** 2).mean()
            loss.backward()
            opt.step()
            trace.append(loss.item())
        losses.append(trace)
    assert losses[0][-1] < losses[0][0] / 20
    np.testing.assert_allclose(losses[0], losses[1], rtol=0, atol=1e-11)
