"""gd.grad, gd.Function and gd.gradcheck."""

import copy

import numpy as np
import pytest

import gdengine as gd
from gdengine import functional as F
from gdengine import optim
from tests.helpers import leaf, normal

# ---- grad


def test_grad_of_leaves_and_of_what_was_computed():
    x, w = leaf(3), leaf(3, seed=1)
    y = x * w
    loss = (y * y).sum()
    dy, dx, dw, dloss = gd.grad(loss, [y, x, w, loss])
    np.testing.assert_allclose(dy, 2 * y.numpy(), rtol=1e-15)
    np.testing.assert_allclose(dx, 2 * y.numpy() * w.numpy(), rtol=1e-15)
    np.testing.assert_allclose(dw, 2 * y.numpy() * x.numpy(), rtol=1e-15)
    assert dloss.item() == 1
    assert x.grad is None
    assert w.grad is None
    assert not any(d.requires_grad for d in (dy, dx, dw, dloss))


def test_grad_of_one_tensor_is_a_tuple_of_one():
    x = leaf(3)
    (dx,) = gd.grad((x * 2).sum(), x)
    assert dx.tolist() == [2, 2, 2]


def test_grad_with_a_given_gradient():
    x = leaf(2, 3)
    dy = normal(2, 3, seed=1)
    (dx,) = gd.grad(x * 3, x, dy)
    np.testing.assert_allclose(dx, 3 * dy, rtol=1e-15)


def test_grad_leaves_gradients_that_are_there_alone():
    x = leaf(3)
    x.grad = np.ones(3)
    gd.grad((x * 2).sum(), x)
    assert x.grad.tolist() == [1, 1, 1]


def test_grad_leaves_the_flat_gradient_of_an_optimizer_alone():
    p = gd.Parameter(normal(3, dtype=np.float32))
    opt = optim.SGD([p], lr=1.0)
    (dp,) = gd.grad((p * 2).sum(), p)
    assert p.grad is None
    assert not opt.flats[0].grad.any()
    dp.fill_(7)
    p.sum().backward()
    assert p.grad.tolist() == [1, 1, 1]
    gd.grad((p * 2).sum(), p)
    assert p.grad.tolist() == [1, 1, 1]


def test_grad_with_respect_to_itself():
    x = leaf(3)
    dy = normal(3, seed=1)
    np.testing.assert_array_equal(gd.grad(x, x, dy)[0], dy)
    y = x * 2
    np.testing.assert_array_equal(gd.grad(y, y, dy)[0], dy)


def test_what_grad_returns_is_the_callers_own():
    """add hands one array to both; an input may be asked for twice; a given gradient is handed on."""
    x, y = leaf(3), leaf(3, seed=1)
    z = x + y
    dy = gd.ones(3, dtype=np.float64)
    parts = [*gd.grad(z, [x, y, z, x, z], dy, retain_graph=True), *gd.grad((z * z).sum(), [z, z, x, y])]
    arrays = [dy.numpy(), *[part.numpy() for part in parts]]
    for i, a in enumerate(arrays):
        for b in arrays[i + 1 :]:
            assert not np.shares_memory(a, b)
    for array in arrays:
        assert array.flags.writeable
        assert array.flags.c_contiguous
    parts[0].zero_()
    assert parts[1].tolist() == [1, 1, 1]


def test_an_input_that_was_not_used():
    x, w = leaf(3), leaf(3, seed=1)
    loss = (x * 2).sum()
    with pytest.raises(RuntimeError, match=r"inputs\[1\].*not used.*allow_unused=True"):
        gd.grad(loss, [x, w], retain_graph=True)
    dx, dw = gd.grad(loss, [x, w], allow_unused=True)
    assert dw is None
    assert dx.tolist() == [2, 2, 2]


def test_an_input_above_the_output_was_not_used():
    x = leaf(3)
    y = x * 2
    z = y.sum()
    assert gd.grad(y, [z], np.ones(3), allow_unused=True) == (None,)


def test_a_result_that_was_not_used_of_several():
    x = leaf(4)
    a, b = x.split(2)
    da, db = gd.grad((a * 2).sum(), [a, b], allow_unused=True)
    assert da.tolist() == [2, 2]
    assert db is None


def test_grad_does_not_walk_where_no_input_lies():
    called = []

    class Notice(gd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, dy):
            called.append(True)
            return dy * 2

    x, w = leaf(3), leaf(3, seed=1)
    y = Notice.apply(x)
    gd.grad((y * w).sum(), [y, w])
    assert not called


def test_grad_frees_the_tape_unless_told():
    x = leaf(3)
    loss = (x * x).sum()
    first = gd.grad(loss, x, retain_graph=True)[0]
    np.testing.assert_array_equal(gd.grad(loss, x)[0], first)
    with pytest.raises(RuntimeError, match="second time"):
        gd.grad(loss, x)


def test_grad_stops_at_its_inputs_even_where_the_tape_below_was_freed():
    x = leaf(3)
    y = F.exp(x)
    (y * y).sum().backward()
    (dy,) = gd.grad((y * 3).sum(), [y])
    assert dy.tolist() == [3, 3, 3]


def test_a_freed_part_that_may_lead_to_an_input_is_never_skipped_in_silence():
    x = leaf(3)
    y = F.exp(x)
    (y * y).sum().backward()
    with pytest.raises(RuntimeError, match="second time over 'exp'"):
        gd.grad((y * 3 + x * 2).sum(), [x])


def test_second_derivatives_are_refused():
    x = leaf(3)
    with pytest.raises(NotImplementedError, match="difference of two gradients"):
        gd.grad((x * x).sum(), x, create_graph=True)


def test_a_hessian_times_a_vector_as_the_message_says():
    x, v, h = normal(3), normal(3, seed=1), 1e-5

    def gradient(at):
        t = gd.tensor(at, requires_grad=True)
        return gd.grad((t * t * t).sum(), t)[0].numpy()

    difference = (gradient(x + h * v) - gradient(x - h * v)) / (2 * h)
    # x³ has no fifth derivative: only rounding is left, about eps·|3x²|/h
    np.testing.assert_allclose(difference, 6 * x * v, atol=1e-9)


# ---- Function


class Divide(gd.Function):
    """Quotient and remainder of a by the number b."""

    @staticmethod
    def forward(ctx, a, b, note=None):
        ctx.b, ctx.note = b, note
        quotient = np.floor_divide(a.numpy(), b)
        return quotient, a - quotient * b

    @staticmethod
    def backward(ctx, dq, dr):
        assert dq.shape == dr.shape
        return dr, None, None


class Exp(gd.Function):
    """eˣ, which saves its result."""

    @staticmethod
    def forward(ctx, x):
        y = F.exp(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, dy):
        (y,) = ctx.saved_tensors
        return dy * y


def make(forward, backward):
    return type("Made", (gd.Function,), {"forward": staticmethod(forward), "backward": staticmethod(backward)})


def test_the_docstrings_example():
    class Cube(gd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x * x

        @staticmethod
        def backward(ctx, dy):
            (x,) = ctx.saved_tensors
            return 3 * x * x * dy

    assert gd.gradcheck(Cube.apply, [normal(2, 3)])
    x = leaf(3)
    y = Cube.apply(x)
    assert "grad_fn=<Cube>" in repr(y)
    y.sum().backward()
    np.testing.assert_allclose(x.grad, 3 * x.numpy() ** 2, rtol=1e-15)


def test_several_results_arguments_that_are_no_tensors_and_missing_gradients():
    x = leaf(4)
    quotient, remainder = Divide.apply(x, 0.5, "a note")
    np.testing.assert_allclose(quotient.numpy() * 0.5 + remainder.numpy(), x.numpy(), rtol=1e-15)
    (remainder * 3).sum().backward(retain_graph=True)
    assert x.grad.tolist() == [3] * 4
    x.zero_grad()
    quotient.sum().backward()
    assert x.grad.tolist() == [0] * 4


def test_backward_in_numpy_alone():
    double = make(lambda ctx, x: np.asarray(x) * 2, lambda ctx, dy: np.asarray(dy) * 2)
    assert gd.gradcheck(double.apply, [normal(2, 3)])


def test_needs_input_grad_says_which_gradients_are_wanted():
    seen = []

    def forward(ctx, a, b, c):
        seen.append(ctx.needs_input_grad)
        return a + b

    function = make(forward, lambda ctx, dy: (dy, dy, None))
    x = leaf(3)
    function.apply(x, gd.ones(3, dtype=np.float64), 2).sum().backward()
    assert seen == [(True, False, False)]


def test_nothing_inside_is_recorded():
    modes = []

    def forward(ctx, x):
        modes.append(gd.is_grad_enabled())
        return x * 2

    def backward(ctx, dy):
        modes.append(gd.is_grad_enabled())
        return dy * 2

    make(forward, backward).apply(leaf(3)).sum().backward()
    assert modes == [False, False]


def test_without_gradients_it_is_a_plain_function():
    assert not Exp.apply(gd.ones(3)).requires_grad
    with gd.no_grad():
        assert not Exp.apply(leaf(3)).requires_grad


def test_a_result_that_was_saved_and_then_changed_is_noticed():
    y = Exp.apply(leaf(3))
    with gd.no_grad():
        y.zero_()
    with pytest.raises(RuntimeError, match="'Exp' needs an array"):
        y.sum().backward()


def test_an_argument_that_was_saved_and_then_changed_is_noticed():
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * 1

    x = leaf(3)
    y = make(forward, lambda ctx, dy: dy).apply(x)
    with gd.no_grad():
        x += 1
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()


@pytest.mark.parametrize(
    "forward",
    [
        lambda ctx, x: x,
        lambda ctx, x: x.numpy(),
        lambda ctx, x: x.detach(),
        lambda ctx, x: x.reshape(3),
        lambda ctx, x: x[...],
    ],
)
def test_a_result_that_is_the_argument_is_a_copy_with_a_place_of_its_own(forward):
    x = leaf(3)
    y = make(forward, lambda ctx, dy: dy * 5).apply(x)
    assert not np.shares_memory(x.numpy(), y.numpy())
    y.sum().backward()
    assert x.grad.tolist() == [5, 5, 5]


def test_an_integer_result_carries_no_gradient():
    def forward(ctx, x):
        return x * 2, np.argsort(x.numpy())

    y, order = make(forward, lambda ctx, dy, _: dy * 2).apply(leaf(3))
    assert y.requires_grad
    assert not order.requires_grad
    assert not make(lambda ctx, x: np.argsort(x.numpy()), lambda ctx, dy: None).apply(leaf(3)).requires_grad


def test_a_list_of_results_and_a_list_of_gradients_do_as_well():
    function = make(lambda ctx, a, b: [a + b, a * 1], lambda ctx, d, e: [d + e, d])
    x, y = leaf(3), leaf(3, seed=1)
    s, c = function.apply(x, y)
    (s + c).sum().backward()
    assert x.grad.tolist() == [2, 2, 2]
    assert y.grad.tolist() == [1, 1, 1]


def test_a_gradient_of_another_dtype_takes_on_the_arguments():
    x = leaf(3, dtype=np.float32)
    make(lambda ctx, x: x * 1, lambda ctx, dy: np.ones(3)).apply(x).sum().backward()
    assert x.grad.dtype == np.float32


@pytest.mark.parametrize(
    ("gradients", "message"),
    [
        (lambda dy: dy, "must return 2 gradients.*got 1"),
        (lambda dy: (dy, dy, dy), "must return 2 gradients.*got 3"),
        (lambda dy: (dy, dy[:2]), r"shape \(2,\) for argument 1 of shape \(3,\)"),
        (lambda dy: (dy.sum(), dy), r"shape \(\) for argument 0 of shape \(3,\)"),
    ],
)
def test_wrong_gradients_are_refused(gradients, message):
    function = make(lambda ctx, a, b: a + b, lambda ctx, dy: gradients(dy))
    with pytest.raises(RuntimeError, match="Made.backward.*" + message):
        function.apply(leaf(3), leaf(3, seed=1)).sum().backward()


def test_no_gradient_for_an_argument_is_none():
    x, y = leaf(3), leaf(3, seed=1)
    make(lambda ctx, a, b: a + b, lambda ctx, dy: (dy, None)).apply(x, y).sum().backward()
    assert y.grad is None
    assert x.grad.tolist() == [1, 1, 1]


def test_a_backward_may_differentiate_in_its_turn():
    """What checkpointing does: keep the input alone, and compute the inside anew."""

    def inside(x):
        return F.tanh(x * x) * x

    def forward(ctx, x):
        ctx.save_for_backward(x)
        return inside(x)

    def backward(ctx, dy):
        x = ctx.saved_tensors[0].detach().requires_grad_()
        with gd.enable_grad():
            y = inside(x)
        return gd.grad(y, x, dy)

    recomputed = make(forward, backward)
    assert gd.gradcheck(lambda x: recomputed.apply(recomputed.apply(x)), [normal(2, 3)])
    x, z = leaf(3), leaf(3)
    (recomputed.apply(x) * 2).sum().backward()
    (inside(z) * 2).sum().backward()
    np.testing.assert_array_equal(x.grad, z.grad)


def test_a_function_without_its_methods_says_so():
    class Empty(gd.Function):
        pass

    with pytest.raises(NotImplementedError, match="forward"):
        Empty.apply(leaf(3))
    with pytest.raises(NotImplementedError, match="backward"):
        make(lambda ctx, x: x * 1, gd.Function.backward).apply(leaf(3)).sum().backward()


# ---- gradcheck


def test_gradcheck_finds_a_wrong_gradient_and_names_the_element():
    def backward(ctx, da):
        wrong = da.numpy().copy()
        wrong[1, 2] *= 1.5
        return None, wrong

    wrong = make(lambda ctx, a, b: a.numpy().sum() * 0 + b, backward)
    with pytest.raises(AssertionError) as caught:
        gd.gradcheck(wrong.apply, [normal(2), normal(2, 3)])
    message = str(caught.value)
    assert "1 of 6 elements of the gradient of input 1 differ; most at (1, 2)" in message
    assert "off by" in message


def test_gradcheck_finds_a_missing_gradient():
    with pytest.raises(AssertionError, match="input 0 differ"):
        gd.gradcheck(lambda x: x.detach() * 2, [normal(3)])
    with pytest.raises(AssertionError, match="input 0 differ"):
        gd.gradcheck(lambda x: x * x.detach(), [normal(3)])


def test_gradcheck_finds_a_gradient_that_is_not_a_number():
    function = make(lambda ctx, x: x * 1, lambda ctx, dy: dy.numpy() * np.nan)
    with pytest.raises(AssertionError, match="nan"):
        gd.gradcheck(function.apply, [normal(3)])


def test_gradcheck_finds_a_slight_error():
    function = make(lambda ctx, x: x * 1, lambda ctx, dy: dy.numpy() * (1 + 1e-4))
    with pytest.raises(AssertionError):
        gd.gradcheck(function.apply, [normal(3)])


def test_gradcheck_takes_what_a_caller_has():
    x = leaf(2, 2, dtype=np.float32)
    assert gd.gradcheck(F.exp, x)
    assert gd.gradcheck(F.exp, [x])
    assert gd.gradcheck(F.exp, normal(2))
    assert gd.gradcheck(lambda x, n: x * n, [normal(2), np.array([1, 2])])
    assert gd.gradcheck(lambda x: (x * 2, x.argmax(), x.split(1)[0]), [normal(2)])
    assert gd.gradcheck(lambda x: gd.ones(2, dtype=np.float64), [normal(2)])
    assert x.grad is None
    assert x.dtype == np.float32


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_gradcheck_passes_right_gradients_of_any_size(scale):
    assert gd.gradcheck(lambda x: F.exp(F.tanh(x / scale)), [scale * normal(4)])


@pytest.mark.parametrize(
    ("fn", "inputs", "message"),
    [
        (F.exp, [np.array([1, 2])], "at least one input of a float dtype"),
        (lambda x: x.float(), [normal(2)], "narrower than float64"),
        (lambda x: x.argmax(), [normal(2)], "returned Tensor"),
        (lambda x: x.numpy(), [normal(2)], "returned ndarray"),
        (lambda x: None, [normal(2)], "returned NoneType"),
    ],
)
def test_gradcheck_refuses_what_it_cannot_check(fn, inputs, message):
    with pytest.raises(TypeError, match=message):
        gd.gradcheck(fn, inputs)


# ---- copies


def test_deepcopy_of_a_leaf_is_a_leaf_of_its_own():
    x = leaf(3)
    y = copy.deepcopy(x)
    assert y.requires_grad
    assert not np.shares_memory(x.numpy(), y.numpy())
    (y * 2).sum().backward()
    assert x.grad is None
    assert y.grad.tolist() == [2, 2, 2]


def test_deepcopy_keeps_what_a_parameter_is():
    for requires_grad in (True, False):
        p = gd.Parameter(normal(3, dtype=np.float32), requires_grad)
        p.name = "layer.weight"
        q = copy.deepcopy([p, p])
        assert q[0] is q[1]
        assert isinstance(q[0], gd.Parameter)
        assert (q[0].name, q[0].requires_grad) == ("layer.weight", requires_grad)
        np.testing.assert_array_equal(q[0], p)


def test_deepcopy_of_a_result_is_refused():
    with pytest.raises(RuntimeError, match="detach"):
        copy.deepcopy(leaf(3) * 2)
