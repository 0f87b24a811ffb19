"""The other schedules: their formulas, PyTorch's schedulers, and the values that PyTorch's and Optax's tests want."""

import json
import math
import re
import sys

import numpy as np
import pytest

from gdengine import nn, optim

STEPS = 60


def values(schedule, steps=STEPS):
    return [schedule(t) for t in range(steps)]


def torch_lrs(make, lr, steps=STEPS, losses=None):
    """The learning rates that a PyTorch scheduler gives at steps 0, 1, 2, …"""
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    opt = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = make(torch.optim.lr_scheduler, opt)
    out = []
    for t in range(steps):
        out.append(opt.param_groups[0]["lr"])
        opt.step()
        if t < steps - 1:
            scheduler.step(*(() if losses is None else (losses[t],)))
    return out


PAIRS = {
    "step": (optim.step(0.5, 7, 0.3), 0.5, lambda s, o: s.StepLR(o, 7, 0.3)),
    "multi_step": (optim.multi_step(0.5, [3, 11, 40], 0.2), 0.5, lambda s, o: s.MultiStepLR(o, [3, 11, 40], 0.2)),
    "exponential": (optim.exponential(0.5, 0.93), 0.5, lambda s, o: s.ExponentialLR(o, 0.93)),
    "polynomial": (optim.polynomial(0.5, 40, 1.7), 0.5, lambda s, o: s.PolynomialLR(o, 40, 1.7)),
    "restarts": (
        optim.cosine_restarts(0.5, 9, floor=0.01), 0.5, lambda s, o: s.CosineAnnealingWarmRestarts(o, 9, 1, 0.01)
    ),
    "longer_restarts": (
        optim.cosine_restarts(0.5, 4, 2, 0.01), 0.5, lambda s, o: s.CosineAnnealingWarmRestarts(o, 4, 2, 0.01)
    ),
    "one_cycle": (optim.one_cycle(0.5, 60), 0.5, lambda s, o: s.OneCycleLR(o, 0.5, total_steps=60)),
    "one_cycle_linear": (
        optim.one_cycle(0.5, 60, 0.41, 10, 50, "linear"), 0.5,
        lambda s, o: s.OneCycleLR(
            o, 0.5, total_steps=60, pct_start=0.41, div_factor=10, final_div_factor=50, anneal_strategy="linear"
        ),
    ),
    "three_phases": (
        optim.one_cycle(0.5, 60, 0.4, three_phase=True), 0.5,
        lambda s, o: s.OneCycleLR(o, 0.5, total_steps=60, pct_start=0.4, three_phase=True),
    ),
    "join": (
        optim.join([optim.constant(0.25), optim.exponential(0.5, 0.9)], [12]), 0.5,
        lambda s, o: s.SequentialLR(o, [s.ConstantLR(o, 0.5, 10**6), s.ExponentialLR(o, 0.9)], [12]),
    ),
    "epochs": (
        optim.in_epochs(optim.step(0.5, 2, 0.5), 5), 0.5,
        lambda s, o: s.LambdaLR(o, lambda t: 0.5 ** (t // 5 // 2)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_is_torchs(name):
    """PyTorch multiplies the last value by ratios, each of which rounds; near a cosine's end they magnify it."""
    schedule, lr, make = PAIRS[name]
    np.testing.assert_allclose(values(schedule), torch_lrs(make, lr), rtol=1e-11)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (optim.step(0.05, 3, 0.1), [0.05] * 3 + [0.005] * 3 + [0.0005] * 3 + [0.00005]),
        (optim.multi_step(0.05, [2, 5, 9]), [0.05] * 2 + [0.005] * 3 + [0.0005] * 4 + [0.00005]),
        (optim.exponential(0.05, 0.9), [0.05 * 0.9**t for t in range(10)]),
        (optim.polynomial(0.05, 5, 0.9), [0.05 * (1 - t / 5) ** 0.9 for t in range(5)] + [0.0] * 5),
        (optim.one_cycle(25, 10, final_div=2, anneal="linear"), [1, 13, 25, 21.5, 18, 14.5, 11, 7.5, 4, 0.5]),
        (
            optim.one_cycle(25, 10, 0.4, final_div=4, anneal="linear", three_phase=True),
            [1, 9, 17, 25, 17, 9, 1, 0.75, 0.5, 0.25],
        ),
        (
            optim.one_cycle(25, 10, final_div=2),
            [1, 13, 25, *(0.5 + 24.5 * (1 + math.cos(math.pi * k / 7)) / 2 for k in range(1, 8))],
        ),
        # Optax: polynomial_schedule(init 2, end 0.5, power 2, 4 steps), join_schedules, sgdr, exponential with an end
        (optim.polynomial(2.0, 4, 2, 0.5), [0.5 + 1.5 * (1 - t / 4) ** 2 for t in range(4)] + [0.5] * 6),
        (optim.exponential(1.0, 0.5, 0.1), [1, 0.5, 0.25, 0.125, 0.1, 0.1]),
        (
            optim.join([optim.linear(0, 1, 4), optim.constant(0.7), optim.linear(0.7, 0, 2)], [4, 6]),
            [0, 0.25, 0.5, 0.75, 0.7, 0.7, 0.7, 0.35, 0, 0],
        ),
        (optim.cosine_restarts(1.0, 2, 2, decay=0.5), [1, 0.5, 0.5, 0.25 * (1 + 0.5**0.5), 0.25]),
        (optim.warmup_stable_decay(1.0, 2, 3, 4, 0.2), [0.5, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2, 0.2]),
        (optim.warmup_stable_decay(1.0, 0, 0, 4, shape="sqrt"), [1, 0.5, 1 - 0.5**0.5, 1 - 0.75**0.5, 0, 0]),
        (optim.warmup_stable_decay(1.0, 1, 1, 2, shape="cosine"), [1, 1, 1, 0.5, 0]),
        (optim.in_epochs(optim.linear(1, 0, 2), 4, whole=False), [1, 0.875, 0.75, 0.625, 0.5]),
        (optim.in_tokens(optim.warmup(100, optim.constant(1.01)), 50), [0.0101, 0.5151, 1.01, 1.01]),
    ],
    ids=repr,
)
def test_known_values(schedule, expected):
    np.testing.assert_allclose(values(schedule, len(expected)), expected, rtol=1e-12, atol=1e-15)
    assert eval(repr(schedule), vars(optim) | {"InverseRootFall": optim.schedules.joined.InverseRootFall}) == schedule


def test_inverse_sqrt_is_the_transformers():
    schedule = optim.inverse_sqrt(peak=(512 * 40) ** -0.5, warmup=40)
    for t in range(STEPS):
        expected = 512**-0.5 * min((t + 1) ** -0.5, (t + 1) * 40**-1.5)
        assert schedule(t) == pytest.approx(expected, rel=1e-14)


def test_one_cycle_stays_at_its_end():
    schedule = optim.one_cycle(0.5, 20)
    assert schedule(19) == schedule(20) == schedule(10**6) == pytest.approx(0.5 / 25 / 1e4)
    assert optim.one_cycle(0.5, 1)(0) > 0
    assert optim.one_cycle(0.5, 10, pct_start=0.0)(0) <= 0.5


# ---- plateaus: PyTorch's own cases, and any losses

PLATEAUS = [
    ([10 - i * 0.0167 for i in range(20)], [0.5] * 20, {"threshold": 0.01, "patience": 5, "cooldown": 5}),
    (
        [10 - i * 0.0165 for i in range(22)], [0.5] * 6 + [0.05] * 7 + [0.005] * 7 + [0.0005] * 2,
        {"threshold": 0.1, "patience": 5},
    ),
    (
        [-0.8] * 2 + [-0.234] * 20, [0.5] * (2 + 6) + [0.05] * (5 + 6) + [0.005] * 4,
        {"mode": "max", "threshold_mode": "abs", "threshold": 0.0, "patience": 5, "cooldown": 5},
    ),
    ([1.5 * 1.025**i for i in range(20)], [0.5] * 20, {"mode": "max", "threshold_mode": "rel", "patience": 3}),
    ([0.7] * 20, None, {"patience": 2, "min_lr": 0.02}),
    ([5, 4, math.nan, math.nan, math.inf, 3, 3, 3, 2.9999, 2.9], None, {"patience": 1, "threshold_mode": "rel"}),
    ([math.inf, 3.0, 2.0, 2.0, 2.0, 2.0], None, {"patience": 1, "factor": 0.5}),
]  # fmt: skip


@pytest.mark.parametrize(("losses", "known", "settings"), PLATEAUS)
def test_plateaus_are_torchs(losses, known, settings):
    settings = {"threshold_mode": "abs", "mode": "min", "factor": 0.1, "min_lr": 0.0, **settings}
    schedule, ours = optim.reduce_on_plateau(0.5, **settings), []
    for loss in losses:
        falls = schedule.observe(loss)
        ours.append(schedule(0))
        assert falls == (len(ours) > 1 and ours[-1] < ours[-2]) or schedule(0) == settings["min_lr"]
    if known is not None:
        np.testing.assert_allclose(ours[: len(known)], known[: len(ours)], rtol=1e-12)
    theirs = torch_lrs(lambda s, o: s.ReduceLROnPlateau(o, **settings), 0.5, len(losses) + 1, losses)
    np.testing.assert_allclose(ours, theirs[1:], rtol=1e-12)


def test_a_plateau_over_another_schedule_resumes_in_an_optimizer():
    def make():
        w = nn.Parameter(np.ones(2))
        return w, optim.SGD([w], lr=optim.reduce_on_plateau(optim.linear(1.0, 0.5, 10), 0.5, patience=1))

    def go(w, opt, steps):
        trace = []
        for t in steps:
            w.grad = np.full(2, 0.1)
            opt.step()
            opt.param_groups[0]["lr"].observe([3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0][t])
            trace.append(opt.lr)
        return trace

    w, opt = make()
    whole = go(w, opt, range(9))
    assert whole[3] == pytest.approx(0.5 * optim.linear(1.0, 0.5, 10)(4))
    w, opt = make()
    first = go(w, opt, range(4))
    state = json.loads(json.dumps({k: v for k, v in opt.state_dict().items() if k == "schedules"}))
    again, resumed = make()
    resumed.load_state_dict({**opt.state_dict(), **state})
    with pytest.raises(ValueError, match="needs best, cooling too"):
        optim.reduce_on_plateau(1.0).load_state_dict({"scale": 1, "bad": 0})
    assert first + go(again, resumed, range(4, 9)) == whole


# ---- pictures


def test_plot(tmp_path):
    pytest.importorskip("matplotlib", reason="pictures are an extra")
    figure = optim.plot({"wsd": optim.warmup_stable_decay(1.0, 2, 3, 4), "lambda": lambda t: 1 / (t + 1)}, 12)
    (axes,) = figure.axes
    assert [line.get_label() for line in axes.lines] == ["wsd", "lambda"]
    assert list(axes.lines[1].get_ydata()) == [1 / (t + 1) for t in range(12)]
    optim.plot(optim.constant(0.1), 5, tmp_path / "lr.png")
    assert (tmp_path / "lr.png").read_bytes().startswith(b"\x89PNG")


def test_plot_without_matplotlib_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'gdengine\[plots\]'"):
        optim.plot(optim.constant(0.1), 5)


# ---- refused


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: optim.step(0.1, 0), ValueError, "every must be a whole number of steps"),
        (lambda: optim.multi_step(0.1, [5, 3]), ValueError, "milestones must rise"),
        (lambda: optim.multi_step(0.1, [0, 3]), ValueError, "each of milestones must be"),
        (lambda: optim.exponential(0.1, 1.5), ValueError, "gamma must be in"),
        (lambda: optim.polynomial(0.1, 0), ValueError, "total must be"),
        (lambda: optim.inverse_sqrt(0.1, 0), ValueError, "warmup must be"),
        (lambda: optim.cosine_restarts(0.1, 5, 0), ValueError, "t_mult must be"),
        (lambda: optim.one_cycle(0.1, 10, 1.5), ValueError, "pct_start must be a share"),
        (lambda: optim.one_cycle(0.1, 10, div=0), ValueError, "div must be a finite number above 0"),
        (lambda: optim.one_cycle(0.1, 10, anneal="sine"), ValueError, "anneal must be"),
        (lambda: optim.join([optim.constant(1)], [3]), ValueError, "1 schedules meet at 0 boundaries, got 1"),
        (lambda: optim.join([optim.constant(1), 0.1], [3]), TypeError, re.escape("write constant(0.1)")),
        (lambda: optim.warmup_stable_decay(1, 1, 1, 1, shape="square"), ValueError, "shape must be"),
        (lambda: optim.in_epochs(optim.constant(1), 0), ValueError, "steps_per_epoch must be"),
        (lambda: optim.in_tokens(optim.constant(1), 0), ValueError, "tokens_per_step must be"),
        (lambda: optim.reduce_on_plateau(1, factor=1.0), ValueError, "factor must be between 0 and 1"),
        (lambda: optim.reduce_on_plateau(1, patience=-1), ValueError, "patience must be"),
        (lambda: optim.reduce_on_plateau(1, mode="up"), ValueError, "mode 'min' or 'max'"),
        (lambda: optim.plot(optim.constant(1), 0), ValueError, "steps must be"),
    ],
)
def test_errors(make, error, says):
    with pytest.raises(error, match=says):
        make()
