"""Gradients as values, functions of one's own, and the check of both against finite differences."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from .device import device_of, is_on_cuda, namespace, to_host
from .tape import Walk, no_grad
from .tensor import Tensor, as_tensor, is_floating, record, record_many, wrap


def grad(
    outputs: Tensor,
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    *,
    retain_graph: bool = False,
    allow_unused: bool = False,
    create_graph: bool = False,
) -> tuple[Tensor | None, ...]:
    """d(outputs)/d(input) for each input, as new tensors. No ``.grad`` is touched.

    Args:
        outputs: a scalar, or any tensor when ``grad_outputs`` gives the gradient of the final value with respect to it.
        inputs: tensors on the tape, leaves or not.
        allow_unused: give None for an input that outputs does not depend on, instead of raising.
        create_graph: must be False: second derivatives are not recorded.

    Raises:
        RuntimeError: an input does not require a gradient, or outputs does not depend on it.
        TypeError: outputs or an input is not a tensor.
        NotImplementedError: create_graph was asked for.
    """
    if create_graph:
        raise NotImplementedError(
            "second derivatives are not recorded. For a Hessian times v, take the difference of two gradients: "
            "(grad at x + h·v − grad at x − h·v) / 2h"
        )
    if not isinstance(outputs, Tensor):
        raise TypeError(
            f"grad wants one tensor as outputs, got a {type(outputs).__name__}: add several up, a.sum() + b.sum()"
        )
    wanted = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    for number, tensor in enumerate(wanted):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"inputs[{number}] must be a tensor, got a {type(tensor).__name__}")
        if not tensor.requires_grad:
            raise RuntimeError(
                f"inputs[{number}] (shape {tensor.shape}) does not require a gradient: call requires_grad_() on it "
                "before outputs is computed"
            )
    root = (outputs._edge_for_backward(), outputs._seed(grad_outputs))
    walk = Walk([root], targets=[tensor._edge for tensor in wanted if tensor._edge is not None])
    walk.run(retain=retain_graph)
    results = [None if tensor._edge is None else walk.gradient(tensor._edge) for tensor in wanted]
    for number, value in enumerate(results):
        if value is None and not allow_unused:
            raise RuntimeError(
                f"inputs[{number}] (shape {wanted[number].shape}) was not used to compute outputs: "
                "pass allow_unused=True to get None for it"
            )
    return tuple([None if value is None else wrap(value) for value in results])


class Context:
    """What a `Function`'s forward leaves for its backward. Any attribute may be set on it."""

    def __init__(self, needs_input_grad: tuple[bool, ...]):
        self.needs_input_grad = needs_input_grad
        self.saved_tensors: tuple[Tensor, ...] = ()

    def save_for_backward(self, *tensors: Tensor) -> None:
        """Keep tensors: a change in place before the backward is then noticed."""
        self.saved_tensors = tensors


class Function:
    """A differentiable function of one's own: write ``forward`` and ``backward``, call ``apply``.

    Both run with nothing recorded, and may use tensors or NumPy alike.

        class Cube(gd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * x * x

            @staticmethod
            def backward(ctx, dy):
                (x,) = ctx.saved_tensors
                return 3 * x * x * dy

        y = Cube.apply(x)

    ``forward(ctx, *args)`` returns a tensor or array, or a tuple of them. ``backward(ctx, *dys)`` gets a gradient
    for each result (zeros where none came; read-only, since others may read it too) and returns one for each argument
    of forward, None for those that have none.
    """

    @staticmethod
    def forward(ctx: Context, *args: Any) -> Any:
        raise NotImplementedError("a Function needs a static method forward(ctx, *args)")

    @staticmethod
    def backward(ctx: Context, *dys: Any) -> Any:
        raise NotImplementedError("a Function needs a static method backward(ctx, *dys)")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Call it."""
        ctx = Context(tuple([isinstance(arg, Tensor) and arg.requires_grad for arg in args]))
        with no_grad():
            result = cls.forward(ctx, *args)
        several = isinstance(result, tuple | list)
        parts = [_own(as_tensor(part), args) for part in (result if several else (result,))]
        inputs = tuple([arg if isinstance(arg, Tensor) else None for arg in args])
        arrays = [part._array for part in parts]
        results = [(array.shape, array.dtype) for array in arrays]
        zeros = namespace(arrays[0]).zeros
        wanted = [(arg.shape, arg.dtype) if arg is not None and arg.requires_grad else None for arg in inputs]

        def backward(dys: Any) -> tuple[Any, ...]:
            dys = dys if len(results) > 1 else (dys,)
            full = [wrap(zeros(*at) if dy is None else _read_only(dy)) for dy, at in zip(dys, results, strict=True)]
            with no_grad():
                gradients = cls.backward(ctx, *full)
            return _checked(cls.__name__, gradients, wanted)

        keeps = tuple([x for x in ctx.saved_tensors if isinstance(x, Tensor)])
        if len(parts) == 1:
            outs: tuple[Tensor, ...] = (record(cls.__name__, arrays[0], inputs, backward, keeps=keeps),)
        else:
            outs = record_many(cls.__name__, arrays, inputs, backward, keeps=keeps)
        for out, part in zip(outs, parts, strict=True):
            out._version = part._version  # a result that was saved too is noticed when changed
            out._edge = out._edge if is_floating(out.dtype) else None
        return outs if several else outs[0]


def _own(part: Tensor, args: tuple[Any, ...]) -> Tensor:
    """A result; a copy when it may share memory with an argument, which must keep its own place on the tape."""
    shared = any(isinstance(arg, Tensor) and _may_share_memory(arg._array, part._array) for arg in args)
    return wrap(part._array.copy()) if shared else part


def _may_share_memory(a: Any, b: Any) -> bool:
    return device_of(a) == device_of(b) and bool(np.may_share_memory(a, b))


def _read_only(dy: Any) -> Any:
    """A view for a user's hands: the array may be on its way to another function's backward as well.

    (CuPy cannot forbid to write.)
    """
    if is_on_cuda(dy):
        return dy.view()
    view = np.asarray(dy).view()
    view.flags.writeable = False
    return view


def _checked(name: str, gradients: Any, wanted: list[tuple[tuple[int, ...], Any] | None]) -> tuple[Any, ...]:
    given = gradients if isinstance(gradients, tuple | list) else (gradients,)
    if len(given) != len(wanted):
        raise RuntimeError(
            f"{name}.backward must return {len(wanted)} gradients, one for each argument of forward (None where there "
            f"is none); got {len(given)}"
        )
    arrays: list[Any] = []
    for number, (gradient, at) in enumerate(zip(given, wanted, strict=True)):
        if gradient is None or at is None:
            arrays.append(None)
            continue
        shape, dtype = at
        array = as_tensor(gradient)._array
        if array.shape != shape:
            raise RuntimeError(
                f"{name}.backward returned a gradient of shape {array.shape} for argument {number} of shape {shape}: "
                "sum over the axes along which forward repeated it"
            )
        arrays.append(array.astype(dtype, copy=False))
    return tuple(arrays)


def gradcheck(
    fn: Callable[..., Any],
    inputs: Iterable[Any],
    *,
    eps: float = 1e-6,
    rtol: float = 1e-5,
    atol: float = 1e-7,
) -> bool:
    """Compare the gradients of ``fn`` with central differences in float64: True, or an error that says what differs.

    The result of fn (a tensor, or several) is reduced to a number f by fixed random weights, and for each element x of
    each float input the backward's df/dx is compared with (f(x + h) − f(x − h)) / 2h, h = eps · max(1, |x|).

    The difference quotient is off by h²·f'''/6 from truncation and by about 2⁻⁵³·|f|/h ≈ 1e-10·|f| from rounding,
    which is what the default tolerances leave room for. Functions with a kink are to be checked away from it.

    Args:
        fn: takes tensors, returns a tensor or a tuple of tensors. It must be deterministic: seed inside it.
        inputs: arrays or tensors; those of a float dtype are converted to float64 and differentiated, on the CPU.

    Raises:
        AssertionError: a gradient differs; the message names the input, the element and by how much.
        TypeError: no input is floating; or fn gives no tensor of a float dtype, or one narrower than float64.
    """
    given = [inputs] if isinstance(inputs, Tensor | np.ndarray) else inputs
    arrays = [np.array(to_host(as_tensor(x)._array)) for x in given]
    arrays = [array.astype(np.float64) if is_floating(array.dtype) else array for array in arrays]
    checked = [i for i, array in enumerate(arrays) if is_floating(array.dtype)]
    if not checked:
        raise TypeError("gradcheck needs at least one input of a float dtype")
    weights: list[Any] = []

    def value(*tensors: Tensor) -> Tensor:
        result = fn(*tensors)
        several = result if isinstance(result, tuple | list) else (result,)
        parts = [part for part in several if isinstance(part, Tensor) and is_floating(part.dtype)]
        if not parts:
            kinds = ", ".join(type(part).__name__ for part in several)
            raise TypeError(f"gradcheck wants fn to return a tensor of a float dtype, or several; it returned {kinds}")
        if any(part.dtype != np.float64 for part in parts):
            raise TypeError("fn gave a result narrower than float64: gradcheck cannot tell its rounding from an error")
        if not weights:
            draw = np.random.default_rng(0)
            weights.extend(draw.uniform(0.5, 1.5, part.shape) * draw.choice([-1, 1], part.shape) for part in parts)
        total: Any = 0.0
        for part, weight in zip(parts, weights, strict=True):
            total = total + (part * weight).sum()
        return total

    tensors = [Tensor(array, requires_grad=i in checked) for i, array in enumerate(arrays)]
    wanted = [tensors[i] for i in checked]
    result = value(*tensors)
    analytic = grad(result, wanted, allow_unused=True) if result.requires_grad else [None] * len(wanted)
    for i, gradient in zip(checked, analytic, strict=True):
        computed = np.zeros(arrays[i].shape) if gradient is None else gradient._array
        _compare(i, computed, _differences(value, arrays, i, eps), rtol, atol)
    return True


def _differences(value: Callable[..., Tensor], arrays: list[Any], i: int, eps: float) -> Any:
    """Central differences of ``value`` with respect to each element of arrays[i]."""
    out = np.empty(arrays[i].shape)
    with no_grad():
        for at in np.ndindex(out.shape):
            h = eps * max(1.0, abs(arrays[i][at]))
            ends = []
            for x in (arrays[i][at] + h, arrays[i][at] - h):
                moved = [array.copy() if k == i else array for k, array in enumerate(arrays)]
                moved[i][at] = x
                ends.append((value(*[wrap(array) for array in moved]).item(), x))
            out[at] = (ends[0][0] - ends[1][0]) / (ends[0][1] - ends[1][1])
    return out


def _compare(i: int, given: Any, expected: Any, rtol: float, atol: float) -> None:
    wrong = ~(np.abs(given - expected) <= atol + rtol * np.abs(expected))  # so that NaN is wrong too
    if not wrong.any():
        return
    at = tuple(int(k) for k in np.unravel_index(np.argmax(np.where(wrong, np.abs(given - expected), -1)), given.shape))
    raise AssertionError(
        f"gradcheck: {int(wrong.sum())} of {given.size} elements of the gradient of input {i} differ; most at {at}: "
        f"backward gives {given[at]:.9g}, central differences {expected[at]:.9g}, off by "
        f"{abs(given[at] - expected[at]):.3g}"
    )
