"""Every schedule against its formula, and against PyTorch's scheduler where there is an equal."""

import math
import re

import numpy as np
import pytest

from gdengine import nn, optim

STEPS = 60


def torch_lrs(make, lr, steps=STEPS):
    """The learning rates that a PyTorch scheduler gives at steps 0, 1, 2, …"""
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    opt = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = make(torch.optim.lr_scheduler, opt)
    out = []
    for _ in range(steps):
        out.append(opt.param_groups[0]["lr"])
        opt.step()
        scheduler.step()
    return out


# ---- formulas


def test_constant():
    assert [optim.constant(0.3)(t) for t in (0, 1, 10**9)] == [0.3] * 3


def test_linear():
    schedule = optim.linear(1.0, 0.2, total=40)
    for t in range(STEPS):
        assert schedule(t) == pytest.approx(1.0 + (0.2 - 1.0) * min(t, 40) / 40, rel=1e-15)
    assert (schedule(0), schedule(40), schedule(10**6)) == (1.0, 0.2, 0.2)


def test_cosine():
    schedule = optim.cosine(2.0, total=40, floor=0.5)
    for t in range(STEPS):
        expected = 0.5 + 1.5 * 0.5 * (1 + math.cos(math.pi * min(t / 40, 1)))
        assert schedule(t) == pytest.approx(expected, rel=1e-15)
    assert (schedule(0), schedule(20), schedule(40), schedule(10**6)) == (2.0, pytest.approx(1.25), 0.5, 0.5)


@pytest.mark.parametrize(
    "after", [optim.constant(0.3), optim.linear(0.3, 0.0, 20), optim.cosine(0.3, 20, 0.01), lambda t: 0.3 / (t + 1)]
)
@pytest.mark.parametrize("steps", [0, 1, 7])
def test_warmup_goes_before_any_schedule(after, steps):
    schedule = optim.warmup(steps, after)
    for t in range(STEPS):
        expected = after(0) * (t + 1) / steps if t < steps else after(t - steps)
        assert schedule(t) == pytest.approx(expected, rel=1e-15)
    assert schedule(0) > 0


def test_warmup_of_a_warmup():
    schedule = optim.warmup(2, optim.warmup(4, optim.constant(0.8)))
    assert [round(schedule(t), 12) for t in range(8)] == [0.1, 0.2, 0.2, 0.4, 0.6, 0.8, 0.8, 0.8]


def test_warmup_cosine_and_warmup_linear_end_at_total():
    for make, decay in ((optim.warmup_cosine, optim.cosine), (optim.warmup_linear, None)):
        schedule = make(peak=0.4, warmup=10, total=50, floor=0.1)
        after = decay(0.4, 40, 0.1) if decay else optim.linear(0.4, 0.1, 40)
        assert schedule == optim.warmup(10, after)
        assert schedule(9) == schedule(10) == 0.4
        assert schedule(49) > schedule(50) == pytest.approx(0.1, rel=1e-15)


def test_a_schedule_prints_and_compares_by_value():
    schedule = optim.warmup_cosine(peak=1e-3, warmup=100, total=2000)
    assert repr(schedule) == "Warmup(steps=100, after=Cosine(peak=0.001, total=1900, floor=0.0))"
    assert schedule == optim.warmup_cosine(peak=1e-3, warmup=100, total=2000)
    assert schedule != optim.warmup_cosine(peak=1e-3, warmup=101, total=2000)
    assert eval(repr(schedule), vars(optim)) == schedule


# ---- PyTorch's


def test_linear_is_linear_lr():
    expected = torch_lrs(lambda s, opt: s.LinearLR(opt, start_factor=1.0, end_factor=0.25, total_iters=40), 0.8)
    # PyTorch multiplies the last value by a ratio at every step: each rounds twice
    np.testing.assert_allclose([optim.linear(0.8, 0.2, 40)(t) for t in range(STEPS)], expected, rtol=2e-16 * 2 * STEPS)


def test_cosine_is_cosine_annealing_lr():
    expected = torch_lrs(lambda s, opt: s.CosineAnnealingLR(opt, T_max=STEPS, eta_min=0.01), 0.8)
    # PyTorch's recursion divides by 1 + cos, which is small near the end and magnifies what was rounded before
    np.testing.assert_allclose([optim.cosine(0.8, STEPS, 0.01)(t) for t in range(STEPS)], expected, rtol=1e-11)


def test_warmup_cosine_is_sequential_lr():
    def make(s, opt):
        rise = s.LinearLR(opt, start_factor=1 / 10, end_factor=1.0, total_iters=9)
        return s.SequentialLR(opt, [rise, s.CosineAnnealingLR(opt, T_max=40, eta_min=0.1)], milestones=[10])

    expected = torch_lrs(make, 0.8, steps=50)
    schedule = optim.warmup_cosine(peak=0.8, warmup=10, total=50, floor=0.1)
    np.testing.assert_allclose([schedule(t) for t in range(50)], expected, rtol=1e-11)


def test_any_schedule_is_lambda_lr():
    schedule = optim.warmup_linear(peak=0.8, warmup=10, total=50)
    expected = torch_lrs(lambda s, opt: s.LambdaLR(opt, schedule), 1.0)
    assert [schedule(t) for t in range(STEPS)] == expected


# ---- in an optimizer


def test_every_group_follows_its_own():
    w, b, c = (nn.Parameter(np.zeros(1)) for _ in range(3))
    fast, slow = optim.linear(1.0, 0.0, 10), optim.warmup(4, optim.constant(0.4))
    opt = optim.SGD([{"params": w}, {"params": b, "lr": slow}, {"params": c, "lr": 0.05}], lr=fast)
    moved = []
    for t in range(12):
        assert opt.lr == fast(t)
        assert [opt.lr_of(group) for group in opt.param_groups] == [fast(t), slow(t), 0.05]
        before = [p.item() for p in (w, b, c)]
        for p in (w, b, c):
            p.grad = [1.0]
        opt.step()
        moved.append([x - p.item() for x, p in zip(before, (w, b, c), strict=True)])
    np.testing.assert_allclose(moved, [[fast(t), slow(t), 0.05] for t in range(12)], atol=1e-14)


def test_a_skipped_step_does_not_advance_the_schedule():
    w = nn.Parameter(np.zeros(1))
    opt = optim.SGD([w], lr=optim.linear(1.0, 0.0, 10))
    for t, gradient in enumerate([1.0, np.nan, np.nan, 1.0]):
        w.grad = [gradient]
        opt.step()
        assert opt.lr == pytest.approx([0.9, 0.9, 0.9, 0.8][t])


# ---- refused


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: optim.constant(-0.1), ValueError, "lr must be a finite learning rate from 0 up"),
        (lambda: optim.constant(math.nan), ValueError, "lr must be a finite learning rate"),
        (lambda: optim.constant(math.inf), ValueError, "lr must be a finite learning rate"),
        (lambda: optim.linear(-1, 0, 10), ValueError, "start must be"),
        (lambda: optim.linear(1, -1, 10), ValueError, "stop must be"),
        (lambda: optim.linear(1, 0, 0), ValueError, "total must be a whole number of steps, at least 1"),
        (lambda: optim.linear(1, 0, 2.5), ValueError, "total must be a whole number"),
        (lambda: optim.cosine(-1, 10), ValueError, "peak must be"),
        (lambda: optim.cosine(1, 10, floor=-1), ValueError, "floor must be"),
        (lambda: optim.cosine(1, -10), ValueError, "total must be"),
        (lambda: optim.warmup(-1, optim.constant(1)), ValueError, "steps must be a whole number of steps, at least 0"),
        (lambda: optim.warmup(1.5, optim.constant(1)), ValueError, "steps must be"),
        (lambda: optim.warmup(10, 0.1), TypeError, re.escape("write warmup(steps, constant(lr))")),
        (lambda: optim.warmup_cosine(1, warmup=10, total=10), ValueError, "must exceed warmup=10, got 10"),
        (lambda: optim.warmup_linear(1, warmup=10, total=5), ValueError, "total counts the warm-up's steps too"),
        (lambda: optim.warmup_cosine(1, warmup=-1, total=5), ValueError, "warmup must be"),
    ],
)
def test_errors(make, error, says):
    with pytest.raises(error, match=says):
        make()
