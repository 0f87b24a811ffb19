"""Gradients are fresh or stale: training loops without zero_grad() behave as PyTorch's do with it.

Every loop is run by PyTorch with zero_grad() where it is needed there, and by us both with those calls and without.
"""

import numpy as np
import pytest

RULES = pytest.mark.parametrize(
    ("rule", "settings"),
    [
        ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
        ("Adam", {"lr": 0.02, "weight_decay": 0.01}),
        ("AdamW", {"lr": 0.02, "weight_decay": 0.1}),
    ],
    ids=["sgd", "adam", "adamw"],
)


def draw(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) / 2 for shape in shapes]


@RULES
def test_a_plain_loop(rule, settings, same_trajectory):
    w_, b_, x_, y_ = draw(0, (4, 3), (3,), (8, 4), (8, 3))

    def train(lib):
        w, b, x, y = lib.parameter(w_), lib.parameter(b_), lib.constant(x_), lib.constant(y_)
        opt = getattr(lib, rule)([w, b], **settings)
        for _ in range(40):
            lib.clear(opt)
            (((x @ w + b).tanh() - y) ** 2).mean().backward()
            opt.step()
            yield {"w": w, "b": b}

    same_trajectory(train)


@RULES
def test_a_gan(rule, settings, same_trajectory):
    """The generator's backward reaches the discriminator too, which must forget that before its own."""
    g1_, g2_, d1_, d2_ = draw(1, (2, 6), (6, 3), (3, 8), (8, 1))
    noise, real = draw(2, (30, 2, 16, 2), (30, 16, 3))

    def train(lib):
        g1, g2, d1, d2 = map(lib.parameter, (g1_, g2_, d1_, d2_))
        opt_g, opt_d = getattr(lib, rule)([g1, g2], **settings), getattr(lib, rule)([d1, d2], **settings)

        def fake(z):
            return (lib.constant(z) @ g1).tanh() @ g2

        def judge(x):
            return ((x @ d1).tanh() @ d2).sigmoid()

        for z, x in zip(noise, real, strict=True):
            lib.must_clear(opt_d)
            loss = -(judge(lib.constant(x)).log() + (1 - judge(fake(z[0]).detach())).log()).mean()
            loss.backward()
            opt_d.step()
            lib.clear(opt_g)
            (-judge(fake(z[1])).log().mean()).backward()
            opt_g.step()
            yield {"g1": g1, "g2": g2, "d1": d1, "d2": d2}

    same_trajectory(train)


@RULES
def test_a_gan_that_freezes_its_discriminator(rule, settings, same_trajectory):
    """Nothing reaches the frozen half, so nothing has to be cleared."""
    g_, d_, noise, real = draw(3, (2, 3), (3, 1), (30, 2, 8, 2), (30, 8, 3))

    def train(lib):
        g, d = lib.parameter(g_), lib.parameter(d_)
        opt_g, opt_d = getattr(lib, rule)([g], **settings), getattr(lib, rule)([d], **settings)
        for z, x in zip(noise, real, strict=True):
            lib.clear(opt_d)
            fake = (lib.constant(z[0]) @ g).detach()
            ((lib.constant(x) @ d - 1) ** 2 + (fake @ d) ** 2).mean().backward()
            opt_d.step()
            d.requires_grad_(False)
            lib.clear(opt_g)
            ((lib.constant(z[1]) @ g @ d - 1) ** 2).mean().backward()
            opt_g.step()
            d.requires_grad_(True)
            yield {"g": g, "d": d}

    same_trajectory(train)


@RULES
def test_frozen_half_way_and_released(rule, settings, same_trajectory):
    w1_, w2_, w3_, x_, y_ = draw(4, (3, 5), (5, 5), (5, 2), (8, 3), (8, 2))

    def train(lib):
        w1, w2, w3 = map(lib.parameter, (w1_, w2_, w3_))
        x, y = lib.constant(x_), lib.constant(y_)
        opt = getattr(lib, rule)([w1, w2, w3], **settings)
        for t in range(40):
            if t in (10, 30):
                w2.requires_grad_(False)
            if t in (20, 35):
                w2.requires_grad_(True)
            lib.clear(opt)
            ((((x @ w1).tanh() @ w2).tanh() @ w3 - y) ** 2).mean().backward()
            opt.step()
            yield {"w1": w1, "w2": w2, "w3": w3}

    same_trajectory(train)


@RULES
def test_frozen_between_backward_and_step(rule, settings, same_trajectory):
    """It sits that step out, and what it had collected is not added to the next: as with ``grad = None`` in PyTorch."""
    w_, v_, x_ = draw(5, (3, 4), (4,), (8, 3))

    def train(lib):
        w, v, x = lib.parameter(w_), lib.parameter(v_), lib.constant(x_)
        opt = getattr(lib, rule)([w, v], **settings)
        for t in range(30):
            lib.clear(opt)
            (((x @ w).tanh() @ v - 1) ** 2).mean().backward()
            if t % 3 == 1:
                w.requires_grad_(False)
                if lib.name == "torch":
                    w.grad = None
            opt.step()
            w.requires_grad_(True)
            yield {"w": w, "v": v}

    same_trajectory(train)


@RULES
def test_a_branch_that_is_not_reached(rule, settings, same_trajectory):
    common_, left_, right_, never_, x_ = draw(6, (3, 4), (4, 2), (4, 2), (5,), (8, 3))

    def train(lib):
        common, left, right, never = map(lib.parameter, (common_, left_, right_, never_))
        x = lib.constant(x_)
        opt = getattr(lib, rule)([common, left, never, right], **settings)
        for t in range(40):
            lib.clear(opt)
            h = (x @ common).tanh()
            ((h @ (left if t % 3 else right) - 1) ** 2).mean().backward()
            opt.step()
            yield {"common": common, "left": left, "right": right, "never": never}

    same_trajectory(train)


@RULES
def test_tied_weights(rule, settings, same_trajectory):
    w_, x_, y_ = draw(7, (5, 3), (8, 5), (8, 5))

    def train(lib):
        w, x, y = lib.parameter(w_), lib.constant(x_), lib.constant(y_)
        opt = getattr(lib, rule)([w], **settings)
        for _ in range(40):
            lib.clear(opt)
            (((x @ w).tanh() @ w.T - y) ** 2).mean().backward()
            opt.step()
            yield {"w": w}

    same_trajectory(train)


@RULES
def test_accumulation_over_micro_batches(rule, settings, same_trajectory):
    w_, b_, x_, y_ = draw(8, (4, 3), (3,), (30, 4, 5, 4), (30, 4, 5, 3))

    def train(lib):
        w, b = lib.parameter(w_), lib.parameter(b_)
        opt = getattr(lib, rule)([w, b], **settings)
        for xs, ys in zip(x_, y_, strict=True):
            lib.clear(opt)
            for x, y in zip(xs, ys, strict=True):
                loss = (((lib.constant(x) @ w + b).tanh() - lib.constant(y)) ** 2).mean() / 4
                loss.backward()
            opt.step()
            yield {"w": w, "b": b}

    same_trajectory(train)


@RULES
def test_several_losses_before_a_step(rule, settings, same_trajectory):
    """Over one graph (kept for the second) and over two; the second does not reach every parameter."""
    w_, v_, x_ = draw(9, (3, 3), (3,), (8, 3))

    def train(lib):
        w, v, x = lib.parameter(w_), lib.parameter(v_), lib.constant(x_)
        opt = getattr(lib, rule)([w, v], **settings)
        for _ in range(30):
            lib.clear(opt)
            h = (x @ w).tanh()
            ((h @ v - 1) ** 2).mean().backward(retain_graph=True)
            (h * h).mean().backward()
            (w * w).sum().backward()
            opt.step()
            yield {"w": w, "v": v}

    same_trajectory(train)


@RULES
def test_gradients_thrown_away_before_a_step(rule, settings, same_trajectory):
    w_, v_ = draw(10, (3, 3), (3,))

    def train(lib):
        w, v = lib.parameter(w_), lib.parameter(v_)
        opt = getattr(lib, rule)([w, v], **settings)
        for t in range(20):
            lib.clear(opt)
            ((w @ v).tanh() ** 3).sum().backward()
            if t % 2:
                lib.must_clear(opt)
            else:
                v.grad = None
            (w @ v).tanh().sum().backward() if t % 4 < 2 else (w**2).sum().backward()
            opt.step()
            yield {"w": w, "v": v}

    same_trajectory(train)


@RULES
def test_the_optimizer_made_between_two_backwards(rule, settings, same_trajectory):
    w_, v_ = draw(11, (3, 3), (3,))

    def train(lib):
        w, v = lib.parameter(w_), lib.parameter(v_)
        ((w @ v) ** 2).sum().backward()
        opt = getattr(lib, rule)([w, v], **settings)
        (w @ v).tanh().sum().backward()
        opt.step()
        yield {"w": w, "v": v}
        for _ in range(10):
            lib.clear(opt)
            ((w @ v) ** 2).sum().backward()
            opt.step()
            yield {"w": w, "v": v}

    same_trajectory(train)


@RULES
def test_an_optimizer_that_takes_anothers_place(rule, settings, same_trajectory):
    w_, v_ = draw(12, (3, 3), (3,))

    def train(lib):
        w, v = lib.parameter(w_), lib.parameter(v_)
        for _ in range(3):
            opt = getattr(lib, rule)([w, v], **settings)
            for _ in range(5):
                lib.clear(opt)
                ((w @ v - 1) ** 2).sum().backward()
                opt.step()
                yield {"w": w, "v": v}
            lib.clear(opt)
            del opt

    same_trajectory(train)


@RULES
def test_gradients_scaled_and_clipped_by_hand(rule, settings, same_trajectory):
    w_, v_, x_ = draw(13, (3, 3), (3,), (8, 3))

    def train(lib):
        w, v, x = lib.parameter(w_), lib.parameter(v_), lib.constant(x_)
        opt = getattr(lib, rule)([w, v], **settings)
        for t in range(30):
            lib.clear(opt)
            (((x @ w).tanh() @ v - 1) ** 2).sum().backward()
            w.grad *= 0.5
            v.grad = v.grad / (t + 1)
            opt.step()
            yield {"w": w, "v": v}

    same_trajectory(train)
