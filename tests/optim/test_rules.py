"""Every rule against its docstring's equation, written out here; and what its settings may be."""

import numpy as np
import pytest

from gdengine import nn, optim

STEPS = 50


def sgd(theta, g, state, t, *, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False):
    g = g + weight_decay * theta
    if momentum == 0:
        return theta - lr * g
    b = g if t == 1 else momentum * state["b"] + (1 - dampening) * g
    state["b"] = b
    return theta - lr * (g + momentum * b if nesterov else b)


def sgdw(theta, g, state, t, *, lr, weight_decay, decoupled_weight_decay, **settings):
    return sgd(theta * 1, g, state, t, lr=lr, **settings) - lr * weight_decay * theta


def climbing_adam(theta, g, state, t, *, maximize, **settings):
    return adam(theta, -g, state, t, **settings)


def lion(theta, g, state, t, *, lr, betas=(0.9, 0.99), weight_decay=0.0):
    m = state.get("m", np.zeros_like(theta))
    state["m"] = betas[1] * m + (1 - betas[1]) * g
    return theta - lr * (np.sign(betas[0] * m + (1 - betas[0]) * g) + weight_decay * theta)


def amsgrad(theta, g, state, t, *, lr, amsgrad, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    state["m"] = betas[0] * state.get("m", 0) + (1 - betas[0]) * g
    state["v"] = betas[1] * state.get("v", 0) + (1 - betas[1]) * g**2
    state["most"] = np.maximum(state.get("most", 0), state["v"])
    step = state["m"] / (1 - betas[0] ** t) / (np.sqrt(state["most"] / (1 - betas[1] ** t)) + eps)
    return theta * (1 - lr * weight_decay) - lr * step


def adam(theta, g, state, t, *, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    return _adam(theta, g + weight_decay * theta, state, t, lr, betas, eps)


def adamw(theta, g, state, t, *, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    return _adam(theta * (1 - lr * weight_decay), g, state, t, lr, betas, eps)


def _adam(theta, g, state, t, lr, betas, eps):
    m = state["m"] = betas[0] * state.get("m", 0) + (1 - betas[0]) * g
    v = state["v"] = betas[1] * state.get("v", 0) + (1 - betas[1]) * g**2
    return theta - lr / (1 - betas[0] ** t) * m / (np.sqrt(v) / np.sqrt(1 - betas[1] ** t) + eps)


def rmsprop(theta, g, state, t, *, lr, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False):
    g = g + weight_decay * theta
    v = state["v"] = alpha * state.get("v", 0) + (1 - alpha) * g**2
    a = state["a"] = alpha * state.get("a", 0) + (1 - alpha) * g
    b = state["b"] = momentum * state.get("b", 0) + g / (np.sqrt(v - a**2 * centered) + eps)
    return theta - lr * b


def adagrad(theta, g, state, t, *, lr, lr_decay=0.0, weight_decay=0.0, initial_accumulator_value=0.0, eps=1e-10):
    g = g + weight_decay * theta
    v = state["v"] = state.get("v", initial_accumulator_value) + g**2
    return theta - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(v) + eps)


def nadam(theta, g, state, t, *, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, momentum_decay=4e-3, **settings):
    theta, g, m, v = _means(theta, g, state, lr, betas, weight_decay, **settings)
    mu = [betas[0] * (1 - 0.96 ** (i * momentum_decay) / 2) for i in range(1, t + 2)]
    step = (1 - mu[-2]) / (1 - np.prod(mu[:-1])) * g + mu[-1] / (1 - np.prod(mu)) * m
    return theta - lr * step / (np.sqrt(v / (1 - betas[1] ** t)) + eps)


def radam(theta, g, state, t, *, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, **settings):
    theta, g, m, v = _means(theta, g, state, lr, betas, weight_decay, **settings)
    most, rest = 2 / (1 - betas[1]) - 1, 1 - betas[1] ** t
    rho = most - 2 * t * betas[1] ** t / rest
    step = m / (1 - betas[0] ** t)
    if rho > 5:
        r = np.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
        step = step * r * np.sqrt(rest) / (np.sqrt(v) + eps)
    return theta - lr * step


def _means(theta, g, state, lr, betas, weight_decay, decoupled_weight_decay=False):
    if decoupled_weight_decay:
        theta = theta * (1 - lr * weight_decay)
    else:
        g = g + weight_decay * theta
    m = state["m"] = betas[0] * state.get("m", 0) + (1 - betas[0]) * g
    v = state["v"] = betas[1] * state.get("v", 0) + (1 - betas[1]) * g**2
    return theta, g, m, v


CASES = [
    pytest.param(optim.SGD, sgd, {"lr": 0.1}, id="sgd"),
    pytest.param(optim.SGD, sgd, {"lr": 0.1, "weight_decay": 0.2}, id="sgd-decay"),
    pytest.param(optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9, "dampening": 0.2}, id="sgd-dampening"),
    pytest.param(optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9, "nesterov": True}, id="sgd-nesterov"),
    pytest.param(optim.SGD, sgdw, {"lr": 0.1, "weight_decay": 0.2, "decoupled_weight_decay": True}, id="sgdw"),
    pytest.param(optim.Adam, adam, {"lr": 0.1}, id="adam"),
    pytest.param(optim.Adam, climbing_adam, {"lr": 0.1, "weight_decay": 0.2, "maximize": True}, id="adam-maximize"),
    pytest.param(optim.Lion, lion, {"lr": 0.1}, id="lion"),
    pytest.param(optim.Lion, lion, {"lr": 0.1, "weight_decay": 0.2, "betas": (0.5, 0.7)}, id="lion-decay"),
    pytest.param(optim.AdamW, amsgrad, {"lr": 0.1, "amsgrad": True, "betas": (0.5, 0.7)}, id="amsgrad"),
    pytest.param(optim.Adam, adam, {"lr": 0.1, "weight_decay": 0.2, "betas": (0.5, 0.7), "eps": 0.1}, id="adam-decay"),
    pytest.param(optim.AdamW, adamw, {"lr": 0.1}, id="adamw"),
    pytest.param(optim.AdamW, adamw, {"lr": 0.1, "weight_decay": 0.2, "eps": 0.1}, id="adamw-decay"),
    pytest.param(optim.RMSprop, rmsprop, {"lr": 0.05}, id="rmsprop"),
    pytest.param(optim.RMSprop, rmsprop, {"lr": 0.05, "momentum": 0.5, "weight_decay": 0.2}, id="rmsprop-momentum"),
    pytest.param(optim.RMSprop, rmsprop, {"lr": 0.05, "centered": True, "eps": 0.1}, id="rmsprop-centered"),
    pytest.param(optim.Adagrad, adagrad, {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.2}, id="adagrad"),
    pytest.param(optim.Adagrad, adagrad, {"lr": 0.1, "initial_accumulator_value": 0.3}, id="adagrad-start"),
    pytest.param(optim.NAdam, nadam, {"lr": 0.05, "weight_decay": 0.2, "momentum_decay": 0.1}, id="nadam"),
    pytest.param(optim.NAdam, nadam, {"lr": 0.05, "weight_decay": 0.2, "decoupled_weight_decay": True}, id="nadamw"),
    pytest.param(optim.RAdam, radam, {"lr": 0.05, "weight_decay": 0.2, "betas": (0.9, 0.95)}, id="radam"),
    pytest.param(optim.RAdam, radam, {"lr": 0.05, "weight_decay": 0.2, "decoupled_weight_decay": True}, id="radamw"),
]


@pytest.mark.parametrize("clip_norm", [None, 0.5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rule", "equation", "settings"), CASES)
def test_the_equation(rule, equation, settings, dtype, clip_norm):
    """Against the equation in float64, from the same (rounded) start and gradients.

    Tolerance: some 4 units in the last place a step, of either sign, add up like a random walk: 4·√50 ≈ 28.
    """
    rng = np.random.default_rng(0)
    w = nn.Parameter(rng.normal(size=(5, 7)).astype(dtype))
    opt = rule([w], **settings, clip_norm=clip_norm)
    theta, state = w.numpy().astype(np.float64), {}
    for t in range(1, STEPS + 1):
        g = rng.normal(size=w.shape).astype(dtype)
        w.grad = g
        assert opt.step()
        g = g.astype(np.float64)
        norm = np.sqrt((g * g).sum())
        assert opt.grad_norm == pytest.approx(norm, rel=1e-12)  # 35 squares summed in float64, in whatever order
        scale = 1.0 if clip_norm is None else min(1.0, clip_norm / (norm + 1e-6))
        theta = equation(theta, scale * g, state, t, **settings)
    assert w.dtype == dtype
    np.testing.assert_allclose(w.numpy(), theta, rtol=0, atol=28 * np.finfo(dtype).eps * np.abs(theta).max())


@pytest.mark.parametrize(("rule", "equation", "settings"), CASES)
def test_a_step_of_no_learning_rate_moves_only_the_state(rule, equation, settings):
    w = nn.Parameter(np.ones(3, np.float32))
    opt = rule([w], **{**settings, "lr": 0.0})
    w.grad = np.ones(3, np.float32)
    assert opt.step()
    assert (w.numpy() == 1).all()
    assert opt.t == 1


def test_a_scalar_and_a_single_element():
    w, s = nn.Parameter(np.asarray(2.0)), nn.Parameter(np.asarray([3.0]))
    opt = optim.SGD([w, s], lr=0.5)
    w.grad, s.grad = np.asarray(1.0), np.asarray([2.0])
    opt.step()
    assert (w.item(), s.item()) == (1.5, 2.0)
    assert w.shape == ()


@pytest.mark.parametrize(
    ("rule", "settings", "says"),
    [
        (optim.SGD, {"lr": -0.1}, "lr must be a number from 0 up"),
        (optim.SGD, {"lr": float("nan")}, "lr must be a number from 0 up"),
        (optim.SGD, {"lr": float("inf")}, "lr must be a number from 0 up"),
        (optim.SGD, {"lr": "0.1"}, "lr must be a number from 0 up"),
        (optim.SGD, {"momentum": -0.1}, "momentum must be in"),
        (optim.SGD, {"momentum": 1.0}, "momentum must be in"),
        (optim.SGD, {"momentum": 0.9, "dampening": -1}, "dampening must be at least 0"),
        (optim.SGD, {"weight_decay": -1e-4}, "weight_decay must be at least 0"),
        (optim.SGD, {"weight_decay": float("nan")}, "weight_decay must be at least 0"),
        (optim.SGD, {"nesterov": True}, "nesterov=True needs momentum"),
        (optim.SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "dampening 0"),
        (optim.Adam, {"betas": (0.9, 1.0)}, "second of betas must be in"),
        (optim.Adam, {"betas": (-0.1, 0.9)}, "first of betas must be in"),
        (optim.Adam, {"betas": (0.9,)}, "betas must be a pair"),
        (optim.Adam, {"eps": -1e-8}, "eps must be above 0"),
        (optim.Adam, {"eps": 0.0}, "eps must be above 0"),
        (optim.AdamW, {"weight_decay": -0.1}, "weight_decay must be at least 0"),
        (optim.Lion, {"weight_decay": -0.1}, "weight_decay must be at least 0"),
        (optim.RMSprop, {"alpha": 1.0}, "alpha must be in"),
        (optim.RMSprop, {"eps": 0.0}, "eps must be above 0"),
        (optim.RMSprop, {"momentum": -0.1}, "momentum must be in"),
        (optim.Adagrad, {"lr_decay": -0.1}, "lr_decay must be at least 0"),
        (optim.Adagrad, {"initial_accumulator_value": -1}, "initial_accumulator_value must be at least 0"),
        (optim.NAdam, {"momentum_decay": -0.1}, "momentum_decay must be at least 0"),
        (optim.RAdam, {"betas": (0.9, 1.0)}, "second of betas must be in"),
        (optim.Lion, {"betas": (0.9, 1.0)}, "second of betas must be in"),
    ],
)
def test_settings_out_of_range(rule, settings, says):
    w = nn.Parameter(np.ones(3, np.float32))
    with pytest.raises(ValueError, match=says):
        rule([w], **settings)
    with pytest.raises(ValueError, match=says):
        rule([{"params": [w], **settings}])
    assert rule([w]).t == 0  # the refused ones have taken nothing


@pytest.mark.parametrize("clip_norm", [0.0, -1.0, float("nan")])
def test_clip_norm_out_of_range(clip_norm):
    w = nn.Parameter(np.ones(3, np.float32))
    with pytest.raises(ValueError, match="clip_norm must be a positive number or None"):
        optim.SGD([w], clip_norm=clip_norm)


@pytest.mark.parametrize("lr", [0.1, 1, np.float64(0.1), np.float32(0.1), 0])
def test_any_real_number_is_a_learning_rate(lr):
    w = nn.Parameter(np.ones(1, np.float32))
    opt = optim.SGD([w], lr=lr)
    assert opt.lr == float(lr)


def test_the_settings_that_print():
    w, b = nn.Parameter(np.ones(3, np.float32)), nn.Parameter(np.ones(2, np.float32))
    opt = optim.SGD([{"params": w}, {"params": b, "lr": optim.constant(0.2)}], lr=0.1, momentum=0.9, clip_norm=1.0)
    assert repr(opt) == (
        "SGD(clip_norm=1.0\n"
        "  group 0: 1 parameters, lr=0.1, momentum=0.9, dampening=0.0, weight_decay=0.0, nesterov=False, "
        "decoupled_weight_decay=False, maximize=False\n"
        "  group 1: 1 parameters, lr=Constant(lr=0.2), momentum=0.9, dampening=0.0, weight_decay=0.0, nesterov=False, "
        "decoupled_weight_decay=False, maximize=False\n"
        ")"
    )


def test_rmsprop_may_be_told_of_momentum_and_centre_half_way():
    """What is switched on starts from zeros, as if it had been there and nothing had happened."""
    w = nn.Parameter(np.ones(3))
    opt = optim.RMSprop([w], lr=0.1, alpha=0.5, eps=0.5)
    assert set(opt.flats[0].state) == {"square_avg"}
    w.grad = np.full(3, 2.0)
    opt.step()
    np.testing.assert_allclose(w.numpy(), first := 1 - 0.1 * 2 / (np.sqrt(2) + 0.5), rtol=1e-15)
    opt.param_groups[0].update(momentum=0.5, centered=True)
    w.grad = np.full(3, 2.0)
    opt.step()
    np.testing.assert_allclose(w.numpy(), first - 0.1 * 2 / (np.sqrt(3 - 1) + 0.5), rtol=1e-15)
    assert set(opt.state_dict()["state"]["param.0"]) == {"step", "square_avg", "momentum_buffer", "grad_avg"}


def test_where_rounding_leaves_less_than_no_spread_a_centred_step_is_finite():
    w = nn.Parameter(np.ones(1, np.float32))
    opt = optim.RMSprop([w], lr=1e-3, alpha=0.9, centered=True)
    for _ in range(400):  # one and the same gradient: v and the mean's square meet
        w.grad = np.full(1, 0.1, np.float32)
        assert opt.step()
    assert np.isfinite(w.numpy()).all()
