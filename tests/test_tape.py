"""The backward walk: what it adds up, what it keeps and frees, what it refuses."""

import gc
import itertools
import threading
import tracemalloc
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import gdengine as gd
from gdengine import functional as F
from gdengine import optim
from tests.helpers import leaf, normal

# ---- what backward adds up


def test_a_diamond():
    x = leaf(3)
    y = x * 2
    (y * y + y).sum().backward()
    np.testing.assert_allclose(x.grad, 8 * x.numpy() + 2, rtol=1e-15)


def test_a_value_used_many_times():
    x = gd.tensor([1.5, -2.0], requires_grad=True)
    total = x
    for _ in range(99):
        total = total + x
    total.sum().backward()
    assert x.grad.tolist() == [100, 100]


def test_both_operands_the_same():
    x = gd.tensor([3.0, -2.0], requires_grad=True)
    (x * x + x / x + (x - x) + F.maximum(x, x)).sum().backward()
    assert x.grad.tolist() == [7, -3]


def test_views_of_views_that_overlap():
    x = gd.zeros(6, requires_grad=True)
    y = x.reshape(2, 3)
    (y.T[1:].sum() + y[0].sum() * 10 + x[::2].sum() * 100).backward()
    assert x.grad.tolist() == [110, 11, 111, 0, 101, 1]


def test_a_given_gradient():
    x = leaf(2, 3)
    dy = normal(2, 3, seed=1)
    (x * 2).backward(dy)
    np.testing.assert_array_equal(x.grad, 2 * dy)


@pytest.mark.parametrize("form", [lambda dy: dy, gd.tensor, lambda dy: dy.tolist(), lambda dy: dy.astype(np.float32)])
def test_a_given_gradient_in_any_form(form):
    x = leaf(2, 3)
    dy = np.arange(6.0).reshape(2, 3)
    (x * 2).backward(form(dy))
    assert x.grad.dtype == np.float64
    np.testing.assert_array_equal(x.grad, 2 * dy)


def test_a_given_gradient_is_copied():
    x = leaf(3)
    dy = np.ones(3)
    x.backward(dy)
    (x + 0).backward(dy)
    dy[:] = 7
    assert x.grad.tolist() == [2, 2, 2]


def test_backward_from_a_leaf():
    x = gd.tensor(2.0, requires_grad=True)
    x.backward()
    x.backward()
    assert x.grad.item() == 2


def test_gradients_add_up_over_backwards_until_cleared():
    x = gd.tensor([1.0, 2.0], requires_grad=True)
    assert x.grad is None
    for n in (1, 2, 3):
        (3 * x).sum().backward()
        assert x.grad.tolist() == [3 * n, 3 * n]
    x.zero_grad()
    assert x.grad is None
    (3 * x).sum().backward()
    assert x.grad.tolist() == [3, 3]
    x.grad = None
    assert x.grad is None


def test_a_gradient_that_was_kept_is_not_overwritten_after_zero_grad():
    x = leaf(3)
    (2 * x).sum().backward()
    kept = x.grad
    x.zero_grad()
    (5 * x).sum().backward()
    assert kept.tolist() == [2, 2, 2]
    assert x.grad.tolist() == [5, 5, 5]


def test_grad_is_a_live_view():
    x = leaf(3)
    (2 * x).sum().backward()
    seen = x.grad
    (5 * x).sum().backward()
    assert seen.tolist() == [7, 7, 7]
    x.grad *= 0.5
    assert x.grad.tolist() == [3.5, 3.5, 3.5]


def test_an_assigned_gradient_is_copied_and_added_to():
    x = leaf(2)
    given = np.array([1.0, 2.0])
    x.grad = given
    given[:] = 9
    assert x.grad.tolist() == [1, 2]
    x.sum().backward()
    assert x.grad.tolist() == [2, 3]
    x.grad = [1, 1]
    assert x.grad.tolist() == [1, 1]
    assert x.grad.dtype == np.float64


def test_twice_over_a_retained_tape():
    x = leaf(3)
    y = F.exp(x)
    z = (y * y).sum()
    z.backward(retain_graph=True)
    first = x.grad.numpy().copy()
    z.backward(retain_graph=True)
    np.testing.assert_array_equal(x.grad, 2 * first)
    z.backward()
    np.testing.assert_array_equal(x.grad, 3 * first)
    with pytest.raises(RuntimeError, match="second time"):
        z.backward()


def test_a_freed_tape_is_refused_before_anything_is_written():
    x, w = leaf(3), leaf(3, seed=1)
    y = x * 2
    y.sum().backward()
    x.zero_grad()
    with pytest.raises(RuntimeError, match="second time over 'multiply'"):
        (w * 3 + y).sum().backward()
    assert x.grad is None
    assert w.grad is None


def test_two_losses_over_parts_that_do_not_meet():
    x = leaf(3)
    a, b = x * 2, x * 3
    a.sum().backward()
    b.sum().backward()
    assert x.grad.tolist() == [5, 5, 5]


def test_a_tensor_without_a_gradient_is_passed_by():
    x, constant = leaf(3), gd.ones(3)
    (x * constant).sum().backward()
    assert constant.grad is None
    assert not constant.requires_grad


def test_freezing_between_backwards():
    x, w = leaf(3), leaf(3, seed=1)
    w.requires_grad = False
    (x * w).sum().backward()
    assert w.grad is None
    np.testing.assert_array_equal(x.grad, w)
    w.requires_grad = True
    (x * w).sum().backward()
    np.testing.assert_array_equal(w.grad, x.detach())


def test_results_without_dimensions_all_the_way():
    """NumPy's scalars, which its arithmetic makes of arrays without dimensions, must not reach a kernel."""
    for function in (F.gelu, F.dropout, F.exp, F.relu, F.softmax, F.sigmoid, lambda x: x[...], lambda x: x.reshape(())):
        x = gd.tensor(0.5, requires_grad=True)
        F.exp(function(F.exp(x)) * 2).backward()
        assert x.grad.shape == ()


# ---- inputs=, and what is left alone


def test_inputs_alone_are_written():
    x, w = leaf(3), leaf(3, seed=1)
    (x * w).sum().backward(inputs=[w])
    assert x.grad is None
    np.testing.assert_array_equal(w.grad, x.detach())
    (x * w).sum().backward(inputs=[w, w])
    np.testing.assert_array_equal(w.grad, 2 * x.numpy())
    (x * w).sum().backward(inputs=x)
    np.testing.assert_array_equal(x.grad, w.detach())


def test_an_input_that_was_not_reached_keeps_its_gradient():
    x, w = leaf(3), leaf(3, seed=1)
    w.grad = np.ones(3)
    (x * 2).sum().backward(inputs=[x, w])
    assert w.grad.tolist() == [1, 1, 1]
    assert x.grad.tolist() == [2, 2, 2]


def test_inputs_prune_the_walk():
    x, w = leaf(3), leaf(3, seed=1)
    called = []

    class Notice(gd.Function):
        @staticmethod
        def forward(ctx, a):
            return a * 2

        @staticmethod
        def backward(ctx, dy):
            called.append(True)
            return dy * 2

    (Notice.apply(x) * w).sum().backward(inputs=[w])
    assert not called
    (Notice.apply(x) * w).sum().backward()
    assert called


# ---- aliasing: arrays that several branches share


SEEN = []


class KeepsAndDoubles(gd.Function):
    """Doubles x, and remembers the gradients that it was given in `SEEN`."""

    @staticmethod
    def forward(ctx, x):
        return x.numpy() * 2

    @staticmethod
    def backward(ctx, dy):
        SEEN.append(dy)
        return dy * 2


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_accumulation_does_not_touch_an_array_that_another_branch_reads(order):
    """add hands one array to both of its inputs; more is then added to each, in every order of branches."""
    x = leaf(3)
    a, b = x + 0, x + 0
    branches = [a + b, a * 3, b * 5]
    total = sum(branches[i] for i in order)
    da, db, dx = gd.grad(total.sum(), [a, b, x])
    assert da.tolist() == [4, 4, 4]
    assert db.tolist() == [6, 6, 6]
    assert dx.tolist() == [10, 10, 10]


def test_a_gradient_that_a_function_kept_stays_as_it_was():
    SEEN.clear()
    x = leaf(3)
    a = x * 1
    (KeepsAndDoubles.apply(a) + a * 3).sum().backward()
    assert x.grad.tolist() == [5, 5, 5]
    assert SEEN[0].tolist() == [1, 1, 1]


def test_a_gradient_handed_to_a_function_is_read_only():
    class Careless(gd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, dy):
            dy *= 2
            return dy

    x = leaf(3)
    a = x * 1
    with pytest.raises(ValueError, match="read-only"):
        (Careless.apply(a) + a).sum().backward()


def test_a_function_may_return_one_array_for_all_its_inputs():
    class Sum(gd.Function):
        @staticmethod
        def forward(ctx, a, b):
            return a + b

        @staticmethod
        def backward(ctx, dy):
            return dy, dy

    x = leaf(3)
    a, b = x * 2, x * 3
    (Sum.apply(a, b) + a * 10).sum().backward()
    assert x.grad.tolist() == [25, 25, 25]


def test_leaves_do_not_share_their_gradient_arrays():
    x, y = leaf(3), leaf(3, seed=1)
    (x + y).backward(np.ones(3))
    x.grad += 1
    assert y.grad.tolist() == [1, 1, 1]


# ---- errors on the way


class Raises(gd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, dy):
        raise ArithmeticError("on purpose")


def test_a_gradient_handed_on_is_not_added_to_where_somebody_else_reads_it():
    """A residual's gradient is that of the sum itself, and becomes the array that further ones are added to."""
    x, w = leaf(3, 4), leaf(4, 4, seed=1)
    before, dy = x * 2, normal(3, 4, seed=2)
    y = F.linear(F.tanh(before), w, residual=before)
    (given,) = gd.grad(y, [before], dy, retain_graph=True)
    at_y, at_before = gd.grad(y, [y, before], dy, retain_graph=True)
    np.testing.assert_array_equal(at_y, dy)
    np.testing.assert_array_equal(at_before, given)
    y.backward(dy)
    np.testing.assert_array_equal(x.grad, 2 * given.numpy())


def test_an_exception_leaves_no_half_written_gradients():
    x, w = leaf(3), leaf(3, seed=1)
    y = Raises.apply(x) + w * 2 + x
    with pytest.raises(ArithmeticError, match="on purpose"):
        (y * w).sum().backward()
    assert x.grad is None
    assert w.grad is None
    (x * w).sum().backward()
    np.testing.assert_array_equal(x.grad, w.detach())


def test_an_exception_leaves_leaves_alone_that_only_inputs_or_grad_would_write():
    x, w = leaf(3), leaf(3, seed=1)
    x.grad = w.grad = np.ones(3)
    for attempt in (lambda loss: loss.backward(inputs=[x, w]), lambda loss: gd.grad(loss, [x, w])):
        with pytest.raises(ArithmeticError):
            attempt((Raises.apply(x) * w).sum())
    assert x.grad.tolist() == w.grad.tolist() == [1, 1, 1]


# ---- what is recorded


def test_no_grad_and_enable_grad_nest():
    x = leaf(2)
    assert gd.is_grad_enabled()
    with gd.no_grad():
        assert not (x * 2).requires_grad
        with gd.enable_grad():
            assert (x * 2).requires_grad
            with gd.set_grad_enabled(False):
                assert not gd.is_grad_enabled()
            assert gd.is_grad_enabled()
        assert not gd.is_grad_enabled()
    assert gd.is_grad_enabled()


def test_the_mode_comes_back_after_an_exception():
    with pytest.raises(KeyError), gd.no_grad():
        raise KeyError
    assert gd.is_grad_enabled()


def test_decorators():
    @gd.no_grad()
    def evaluate(n):
        """Evaluates."""
        assert not gd.is_grad_enabled()
        return evaluate(n - 1) if n else learn()

    @gd.enable_grad()
    def learn():
        return gd.is_grad_enabled()

    assert evaluate(3) is True
    assert evaluate.__doc__ == "Evaluates."
    assert gd.is_grad_enabled()


def test_a_generator_cannot_be_decorated():
    with pytest.raises(TypeError, match=r"with gd.no_grad\(\)"):

        @gd.no_grad()
        def rows():
            yield 1


def test_one_no_grad_object_can_be_entered_again():
    quiet = gd.no_grad()
    with quiet, gd.enable_grad(), quiet:
        assert not gd.is_grad_enabled()
    assert gd.is_grad_enabled()


def test_threads_have_modes_of_their_own():
    seen = []
    with gd.no_grad():
        thread = threading.Thread(target=lambda: seen.append(gd.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_threads_in_one_decorated_function_do_not_mix_up_their_modes():
    """Both are inside at once and leave in the order in which they came."""
    entered, left = threading.Event(), threading.Event()
    modes = {}

    @gd.no_grad()
    def decorated(arrive, wait_for):
        arrive()
        assert wait_for.wait(10)

    def second():
        with gd.no_grad():
            decorated(entered.set, left)
            modes["second"] = gd.is_grad_enabled()

    thread = threading.Thread(target=second)
    decorated(thread.start, entered)
    modes["first"] = gd.is_grad_enabled()
    left.set()
    thread.join()
    assert modes == {"first": True, "second": False}


def test_threads_walk_tapes_of_their_own():
    def work(seed):
        x = leaf(50, seed=seed)
        y = x
        for _ in range(50):
            y = F.tanh(y * 1.1)
        y.sum().backward()
        return x.grad.numpy()

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(work, range(8)))
    for seed in range(8):
        np.testing.assert_array_equal(together[seed], work(seed))


def test_nothing_is_recorded_from_tensors_that_need_no_gradient():
    y = gd.ones(3) * 2
    assert y.is_leaf
    assert not y.requires_grad


def test_detach_shares_memory_and_stops_gradients():
    x = gd.tensor([1.0, 2.0], requires_grad=True)
    (x * x.detach()).sum().backward()
    assert x.grad.tolist() == [1, 2]
    assert np.shares_memory(x.numpy(), x.detach().numpy())


# ---- changes in place


CHANGES = {
    "x += 1": lambda x: x.__iadd__(1),
    "x[0] = 1": lambda x: x.__setitem__(0, 1),
    "x.copy_()": lambda x: x.copy_(gd.ones(3)),
    "x.fill_()": lambda x: x.fill_(0),
    "x.zero_()": lambda x: x.zero_(),
    "x.detach()": lambda x: x.detach().zero_(),
    "x.data": lambda x: x.data.__imul__(2),
    "x.data =": lambda x: setattr(x, "data", np.ones(3)),
    "a view": lambda x: x[1:].fill_(0),
    "a view of one element": lambda x: x[1].fill_(0),
    "a view of a view": lambda x: x.reshape(3, 1).T.split(1, 1)[2].zero_(),
    "Tensor(x)": lambda x: gd.Tensor(x).zero_(),
    "NumPy's out=": lambda x: np.add(x.detach(), 1, out=x.detach()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_what_the_tape_needs_is_noticed(change):
    x = leaf(3)
    y = (x * x).sum()
    with gd.no_grad():
        change(x)
    with pytest.raises(RuntimeError, match=r"'multiply' needs an array of shape \(3,\).* changed in place 1 time"):
        y.backward()
    assert x.grad is None


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_what_the_tape_does_not_need_is_allowed(change):
    x = leaf(3)
    y = (x + 2).sum()
    with gd.no_grad():
        change(x)
    y.backward()
    assert x.grad.tolist() == [1, 1, 1]


def test_a_change_of_a_result_that_its_backward_reads_is_noticed():
    x = leaf(3)
    for function in (F.exp, F.sqrt, F.tanh, F.sigmoid, F.relu, F.softmax, F.log_softmax, F.max, F.min):
        y = function(x.detach().requires_grad_() ** 2)
        with gd.no_grad():
            y += 1
        with pytest.raises(RuntimeError, match="changed in place"):
            y.sum().backward()


def test_a_change_of_a_constant_is_noticed():
    x, constant = leaf(3), gd.ones(3)
    y = (x * constant).sum()
    constant += 1
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_a_change_of_an_index_a_condition_or_targets_is_noticed():
    x = leaf(3, 4)
    for make, used in (
        (lambda i: x[i], gd.tensor([0, 2, 1])),
        (lambda i: x[:, i], gd.tensor([0, 2, 1])),
        (lambda i: F.embedding(i, x), gd.tensor([0, 2, 1])),
        (lambda i: F.cross_entropy(x, i), gd.tensor([0, 2, 1])),
        (lambda flags: F.where(flags, x, 0.0), gd.tensor([True, False, True, True])),
    ):
        y = make(used).sum()
        used.zero_()
        with pytest.raises(RuntimeError, match="changed in place"):
            y.backward()


def test_an_optimizers_step_between_forward_and_backward_is_noticed():
    w = gd.Parameter(np.ones(3, np.float32))
    opt = optim.SGD([w], lr=0.1)
    (w * w).sum().backward()
    y = (w * w).sum()
    opt.step()
    with pytest.raises(RuntimeError, match="an optimizer's step"):
        y.backward()


def test_a_change_after_backward_is_free():
    x = leaf(3)
    y = x * x
    y.sum().backward()
    with gd.no_grad():
        x -= 0.1 * x.grad
        y.zero_()
    (x * x).sum().backward()


def test_an_update_by_hand_under_no_grad():
    x = gd.tensor([1.0, 2.0], requires_grad=True)
    before = x
    (x * x).sum().backward()
    with gd.no_grad():
        x -= 0.25 * x.grad
    assert x is before
    assert x.requires_grad
    assert x.tolist() == [0.5, 1]


# ---- depth, memory


def test_a_tape_100_000_nodes_deep():
    x = gd.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y + 1
    y.backward()
    assert x.grad.item() == 1


class Identity(gd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * 1

    @staticmethod
    def backward(ctx, dy):
        return dy


@pytest.mark.parametrize(
    "link",
    [lambda y: y + 1, lambda y: y * y, lambda y: y.split(1)[0], Identity.apply],
    ids=["add", "multiply", "split", "Function"],
)
def test_a_deep_tape_can_be_dropped(link):
    """In a thread with a small stack, which a deallocation that called itself 20,000 times would overflow."""

    def build_and_drop():
        x = gd.tensor([0.5], requires_grad=True)
        y = x
        for _ in range(20_000):
            y = link(y)
        dropped.append(y.item())

    dropped = []
    before = threading.stack_size(512 * 1024)
    try:
        thread = threading.Thread(target=build_and_drop)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert len(dropped) == 1


def test_a_tape_that_is_dropped_leaves_no_cycle():
    gc.collect()
    gc.disable()
    try:
        x = leaf(10)
        y = F.exp(F.linear(x.reshape(2, 5), leaf(3, 5), leaf(3))).split(1)[1]
        array = weakref.ref(y._array)
        z = Identity.apply(y * y).sum()
        del y, z
        assert array() is None
    finally:
        gc.enable()


def test_memory_is_freed_as_the_walk_goes():
    n, links = 100_000, 30
    x = gd.tensor(np.full(n, 1e-3), requires_grad=True)
    tracemalloc.start()
    try:
        y = x
        for _ in range(links):
            y = F.exp(y) * 1e-3
        y = y.sum()
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        y.backward()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    array = 8 * n
    assert held > links * array
    assert peak < held + 5 * array  # a few gradients, while each node's arrays go when it has been visited
    assert after < 2 * array  # x.grad


def test_an_array_is_gone_when_the_walk_is_past_the_node_that_read_it():
    gone = []

    class Probe(gd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, dy):
            gone.append(late() is None and early() is not None)
            return dy

    x = leaf(1000)
    y = F.exp(x)
    early = weakref.ref(y._array)
    y = F.exp(Probe.apply(y))
    late = weakref.ref(y._array)
    y = y.sum()
    y.backward()
    assert gone == [True]


def owner(array):
    """The array whose memory a view is of."""
    return array if array.base is None else owner(array.base)


def kept(fn, *inputs):
    """Which of the arrays of ``inputs`` (through a node that keeps nothing), and of the result, the tape keeps."""
    tensors = [x.clone() for x in inputs]
    result = fn(*tensors)
    arrays = [weakref.ref(owner(x._array)) for x in (*tensors, result)]
    result = result.sum()
    tensors.clear()
    alive = [array() is not None for array in arrays]
    assert result.requires_grad
    return alive


def frozen(*shape):
    return gd.tensor(normal(*shape, seed=3))


ONE, TWO = lambda: [leaf(4, 4)], lambda: [leaf(4, 4), leaf(4, 4, seed=1)]
KEEPS = {
    "add": (F.add, TWO, [False, False, False]),
    "subtract": (F.subtract, TWO, [False, False, False]),
    "multiply": (F.multiply, TWO, [True, True, False]),
    "multiply by a constant": (F.multiply, lambda: [leaf(4), frozen(4)], [False, True, False]),
    "multiply by a number": (lambda x: x * 2, ONE, [False, False]),
    "divide": (F.divide, TWO, [True, True, False]),
    "divide by a constant": (F.divide, lambda: [leaf(4), frozen(4)], [False, True, False]),
    "square": (lambda x: x**2, ONE, [True, False]),
    "negative": (F.negative, ONE, [False, False]),
    "exp": (F.exp, ONE, [False, True]),
    "log": (lambda x: F.log(x), lambda: [gd.ones(4, requires_grad=True)], [True, False]),
    "tanh": (F.tanh, ONE, [False, True]),
    "sigmoid": (F.sigmoid, ONE, [False, True]),
    "relu": (F.relu, ONE, [False, True]),
    "gelu": (F.gelu, ONE, [True, False]),
    "softmax": (F.softmax, ONE, [False, True]),
    "dropout": (F.dropout, ONE, [False, False]),
    "where": (lambda x, y: F.where(np.eye(4, dtype=bool), x, y), TWO, [False, False, False]),
    "sum": (F.sum, ONE, [False, False]),
    "mean": (lambda x: x.mean(0), ONE, [False, False]),
    "max": (lambda x: x.max(0), ONE, [True, True]),
    "matmul": (F.matmul, TWO, [True, True, False]),
    "matmul by a constant": (F.matmul, lambda: [leaf(4, 4), frozen(4, 4)], [False, True, False]),
    "matmul of a constant": (F.matmul, lambda: [frozen(4, 4), leaf(4, 4)], [True, False, False]),
    "getitem": (lambda x: x[[0, 0, 1]], ONE, [False, False]),
    "cat": (lambda x, y: F.cat([x, y]), TWO, [False, False, False]),
    "reshape": (lambda x: x.reshape(-1) * 1, ONE, [False, False]),
    "linear": (F.linear, TWO, [True, True, False]),
    "linear with frozen weight": (F.linear, lambda: [leaf(4, 4), frozen(4, 4)], [False, True, False]),
    "linear of data": (F.linear, lambda: [frozen(4, 4), leaf(4, 4)], [True, False, False]),
    "linear with a residual": (
        lambda x, w, r: F.linear(x, w, residual=r),
        lambda: [leaf(4, 4), frozen(4, 4), leaf(4, 4, seed=1)],
        [False, True, False, False],
    ),
    "linear, relu": (
        lambda x, w: F.linear(x, w, activation="relu"),
        lambda: [leaf(4, 4), frozen(4, 4)],
        [False, True, True],
    ),
    "embedding": (lambda w: F.embedding([1, 1, 0], w), ONE, [False, False]),
    "cross_entropy": (lambda z: F.cross_entropy(z, [0, 1, 2, 3]), ONE, [True, False]),
    "layer_norm": (lambda x: F.layer_norm(x), ONE, [True, False]),
    "a Function that saves nothing": (KeepsAndDoubles.apply, ONE, [False, False]),
    "a Function that saves its argument": (Identity.apply, ONE, [True, False]),
}


@pytest.mark.parametrize("name", KEEPS)
def test_a_node_keeps_exactly_what_its_backward_reads(name):
    fn, inputs, expected = KEEPS[name]
    assert kept(fn, *inputs()) == expected


def test_nothing_is_kept_under_no_grad():
    x = leaf(3)
    with gd.no_grad():
        y = F.exp(x)
        array = weakref.ref(y._array)
        z = y * y
        del y
    assert array() is None
    assert z.is_leaf


def test_set_grad_enabled_as_a_statement_and_as_a_decorator():
    try:
        gd.set_grad_enabled(False)
        assert not gd.is_grad_enabled()
        with gd.set_grad_enabled(True):
            assert gd.is_grad_enabled()
        assert not gd.is_grad_enabled()
    finally:
        gd.set_grad_enabled(True)

    @gd.set_grad_enabled(False)
    def inside():
        return gd.is_grad_enabled()

    assert gd.is_grad_enabled()
    assert not inside()
    assert gd.is_grad_enabled()
