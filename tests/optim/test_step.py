"""What a step does besides the rule: skipping, counting, gradients as live views, learning rates of groups."""

import re

import numpy as np
import pytest

import gdengine as gd
from gdengine import nn, optim


def two(dtype=np.float32):
    rng = np.random.default_rng(0)
    return nn.Parameter(rng.normal(size=(3, 2)).astype(dtype)), nn.Parameter(rng.normal(size=4).astype(dtype))


def give(value, *tensors):
    for tensor in tensors:
        tensor.grad = np.full(tensor.shape, value, tensor.dtype)


def everything(opt):
    return [vector.tobytes() for flat in opt.flats for vector in (flat.theta, *flat.state.values())]


RULES = pytest.mark.parametrize(
    "make",
    [
        lambda p, **more: optim.SGD(p, momentum=0.9, weight_decay=0.1, **more),
        lambda p, **more: optim.Adam(p, weight_decay=0.1, **more),
        lambda p, **more: optim.AdamW(p, **more),
    ],
    ids=["sgd", "adam", "adamw"],
)


@RULES
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_skipped_step_changes_nothing_but_the_count(make, bad):
    w, b = two()
    model = nn.Module()
    model.w, model.b = w, b
    opt = make(model, lr=optim.linear(0.1, 0.0, 10), clip_norm=1.0)
    give(1.0, w, b)
    assert opt.step()
    assert (opt.bad_parameter, opt.skipped, opt.t, opt.lr) == (None, 0, 1, pytest.approx(0.09))
    before, steps = everything(opt), [s.steps for s in opt.flats[0].segments]
    give(1.0, w, b)
    with gd.no_grad():
        b.grad[2] = bad
    assert not opt.step()
    assert everything(opt) == before
    assert [s.steps for s in opt.flats[0].segments] == steps
    assert (opt.bad_parameter, opt.skipped, opt.t, opt.lr) == ("b", 1, 1, pytest.approx(0.09))
    assert not np.isfinite(opt.grad_norm)
    give(1.0, w, b)
    assert opt.step()
    assert (opt.bad_parameter, opt.skipped, opt.t, opt.lr) == (None, 1, 2, pytest.approx(0.08))
    assert opt.grad_norm == pytest.approx(np.sqrt(10), rel=1e-12)


@RULES
@pytest.mark.parametrize("loss", [np.inf, gd.Tensor(np.float32(np.nan)), [1.0, gd.Tensor(-np.inf)], (np.nan, 2.0)])
def test_a_loss_that_is_not_finite_is_enough_to_skip(make, loss):
    w, b = two()
    opt = make([("w", w), ("b", b)], lr=0.1, clip_norm=1.0)
    give(1.0, w, b)
    assert opt.step(loss=[1.0, gd.Tensor(2.0)])
    before = everything(opt)
    give(1.0, w, b)
    assert not opt.step(loss=loss)
    assert everything(opt) == before
    assert (opt.bad_parameter, opt.skipped, opt.t) == (None, 1, 1)
    assert opt.grad_norm == pytest.approx(np.sqrt(10), rel=1e-12)


def test_the_first_bad_parameter_is_named():
    w, b = two()
    opt = optim.SGD([("late", b), ("early", w)], lr=0.1)
    give(np.nan, w)
    give(1.0, b)
    opt.step()
    assert opt.bad_parameter == "early"
    give(np.inf, w, b)
    opt.step()
    assert opt.bad_parameter == "late"


def test_a_bad_gradient_of_a_frozen_parameter_does_not_count():
    w, b = two()
    opt = optim.SGD([w, b], lr=0.1)
    give(np.nan, w)
    give(1.0, b)
    w.requires_grad_(False)
    assert opt.step()


def test_a_skipped_step_uses_the_gradients_up():
    w, b = two()
    opt = optim.SGD([w, b], lr=1.0)
    (w * np.nan).sum().backward()
    assert not opt.step()
    before = w.numpy().copy()
    (w * 2).sum().backward()  # overwrites what was skipped
    assert opt.step()
    np.testing.assert_array_equal(w.numpy(), before - 2)


def test_squares_that_overflow_float64_are_no_reason_to_skip():
    w, b = two(np.float64)
    opt = optim.SGD([w, b], lr=1.0, clip_norm=1.0)
    before = w.numpy().copy()
    give(1e200, w, b)
    assert opt.step()
    assert opt.grad_norm == pytest.approx(np.sqrt(10) * 1e200, rel=1e-14)
    np.testing.assert_allclose(w.numpy(), before - 1 / np.sqrt(10), rtol=1e-14)
    give(1e154, w, b)  # each square is finite, their sum is not
    assert opt.step()
    assert opt.grad_norm == pytest.approx(np.sqrt(10) * 1e154, rel=1e-14)


def test_float32_gradients_at_the_limit_of_their_range():
    w, b = two()
    opt = optim.SGD([w, b], lr=1.0, clip_norm=1.0)
    give(3e38, w, b)
    assert opt.step()
    assert opt.grad_norm == pytest.approx(np.sqrt(10) * 3e38, rel=1e-6)
    assert np.isfinite(w.numpy()).all()


def test_a_step_without_a_gradient_moves_nothing_and_warns():
    w, b = two()
    opt = optim.AdamW([w, b], lr=0.1)
    before = everything(opt)
    with pytest.warns(UserWarning, match=re.escape("call loss.backward() before it")):
        assert not opt.step()
    (w.sum() + b.sum()).backward()
    opt.step()
    after = everything(opt)
    assert after != before
    with pytest.warns(UserWarning, match="no gradient"):  # PyTorch would use the same gradient again
        opt.step()
    assert everything(opt) == after
    assert (opt.t, opt.skipped) == (1, 0)


def test_the_gradient_is_a_live_view_until_the_next_backward():
    w, b = two()
    assert w.grad is None
    opt = optim.SGD([w, b], lr=0.1)
    assert w.grad is None
    (w * 3).sum().backward()
    held = w.grad
    assert b.grad is None
    (w * 3).sum().backward()
    np.testing.assert_array_equal(held.numpy(), np.full((3, 2), 6))
    opt.step()
    np.testing.assert_array_equal(w.grad.numpy(), np.full((3, 2), 6))
    (w * 5).sum().backward()
    np.testing.assert_array_equal(held.numpy(), np.full((3, 2), 5))
    assert np.shares_memory(held.numpy(), w.grad.numpy())
    opt.zero_grad()
    assert w.grad is None


def test_a_stale_gradient_that_is_changed_by_hand_counts_again():
    w, _ = two()
    opt = optim.SGD([w], lr=1.0)
    give(1.0, w)
    opt.step()
    before = w.numpy().copy()
    w.grad = w.grad * 3
    assert opt.step()
    np.testing.assert_array_equal(w.numpy(), before - 3)


def test_gd_grad_and_backward_of_chosen_inputs_leave_other_gradients_alone():
    w, b = two()
    opt = optim.SGD([w, b], lr=1.0)
    give(1.0, w)
    before = b.numpy().copy()
    gd.grad((w.sum() * b.sum()), [w, b])
    (w.sum() * 0 + b.sum() * 2).backward(inputs=[b])
    np.testing.assert_array_equal(w.grad.numpy(), np.ones((3, 2)))
    opt.step()
    np.testing.assert_array_equal(b.numpy(), before - 2)


def test_a_backward_that_fails_leaves_no_half_gradient():
    w, b = two()
    opt = optim.SGD([w, b], lr=1.0)

    class Fails(gd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, dy):
            raise RuntimeError("on purpose")

    before = everything(opt)
    loss = Fails.apply(w * 1.0).sum() + b.sum()
    with pytest.raises(RuntimeError, match="on purpose"):
        loss.backward()
    with pytest.warns(UserWarning, match="no gradient"):
        opt.step()
    assert everything(opt) == before


def test_the_tape_notices_a_step_between_forward_and_backward():
    w, b = two()
    opt = optim.SGD([w, b], lr=1.0)
    loss = (w * w).sum()
    give(1.0, w)
    opt.step()
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_lr_is_that_of_the_groups_without_their_own():
    w, b = two()
    opt = optim.SGD([{"params": [w], "lr": 0.5}, {"params": [b]}], lr=0.1)
    assert opt.lr == 0.1
    opt.lr = 0.2
    assert [opt.lr_of(group) for group in opt.param_groups] == [0.5, 0.2]
    assert opt.lr == 0.2
    opt.lr = optim.linear(0.4, 0.0, 4)
    assert opt.lr == 0.4
    before = w.numpy().copy(), b.numpy().copy()
    for _ in range(2):
        give(1.0, w, b)
        opt.step()
    assert opt.lr == pytest.approx(0.2)
    np.testing.assert_allclose(w.numpy(), before[0] - 1.0, rtol=1e-6)
    np.testing.assert_allclose(b.numpy(), before[1] - 0.7, rtol=1e-6)


def test_a_group_whose_own_lr_equals_the_default_keeps_it():
    w, b = two()
    opt = optim.SGD([{"params": [w], "lr": 0.1}, {"params": [b]}], lr=0.1)
    opt.lr = 0.3
    assert [group["lr"] for group in opt.param_groups] == [0.1, 0.3]


def test_lr_set_by_a_group_as_in_pytorch():
    w, b = two()
    opt = optim.SGD([w, b], lr=0.1)
    for group in opt.param_groups:
        group["lr"] = 0.4
    assert opt.lr == 0.4
    opt.lr = 0.3
    assert opt.lr == opt.param_groups[0]["lr"] == 0.3


def test_lr_can_be_set_after_a_load():
    w, b = two()
    opt = optim.SGD([w, b], lr=0.1)
    opt.load_state_dict(opt.state_dict())
    opt.lr = 0.7
    assert opt.lr == opt.param_groups[0]["lr"] == 0.7


def test_lr_when_every_group_has_its_own():
    w, b = two()
    opt = optim.SGD([{"params": [w], "lr": 0.5}, {"params": [b], "lr": 0.4}], lr=0.1)
    assert opt.lr == 0.5
    with pytest.raises(ValueError, match=re.escape("opt.param_groups[i]['lr']")):
        opt.lr = 0.2
    assert [group["lr"] for group in opt.param_groups] == [0.5, 0.4]


@pytest.mark.parametrize("value", [-0.1, float("nan"), "fast", None])
def test_lr_refuses_nonsense(value):
    w, b = two()
    opt = optim.SGD([w, b], lr=0.1)
    with pytest.raises(ValueError, match="lr must be a number"):
        opt.lr = value
    assert opt.lr == 0.1


@pytest.mark.parametrize("value", [-1.0, float("inf"), float("nan")])
def test_a_schedule_that_gives_nonsense_stops_the_step_before_anything_changes(value):
    w, b = two()
    opt = optim.AdamW([w, b], lr=lambda t: value if t == 1 else 0.1)
    give(1.0, w, b)
    opt.step()
    before = everything(opt)
    give(1.0, w, b)
    with pytest.raises(ValueError, match="the learning rate at step 1 is"):
        opt.step()
    assert everything(opt) == before
    assert opt.t == 1
    opt.lr = 0.1
    assert opt.step()  # the gradient is still there


def test_zero_grad_takes_pytorchs_argument():
    w, b = two()
    opt = optim.SGD([w, b], lr=0.1)
    give(1.0, w, b)
    opt.zero_grad(set_to_none=True)
    assert w.grad is None
    assert b.grad is None
    give(1.0, w)
    with pytest.raises(ValueError, match="set_to_none=False is not offered"):
        opt.zero_grad(set_to_none=False)
    assert w.grad is not None
