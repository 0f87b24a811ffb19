"""Tensor: an array, its gradient, its place on the tape."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from . import tape
from .device import assign, beside, check_same, device_of, is_device, is_on_cuda, moved, namespace, resolve, to_host
from .tape import EMPTY, FRESH, Edge, Leaf, Node, Version, Walk

Scalar = bool | int | float
_SCALARS = (np.generic, bool, int, float)


class Tensor:
    """An n-dimensional array that differentiation knows.

    Built over ``data`` without a copy where data is an array already (`gdengine.tensor` copies). Lists and Python
    floats become float32. Arithmetic broadcasts as NumPy's; between tensors of different dtypes the wider wins, but
    an integer never widens a float, and neither does a scalar, NumPy's own scalars included: ``x * np.sqrt(2.0)``
    stays float32.

    Every method that computes has its function, with the formula, in `gdengine.functional`.

    Args:
        data: an array, a Tensor, a number, or nested lists of numbers.
        dtype: the dtype to have; data's own, or float32 for lists and numbers that are not all integers.
        requires_grad: whether to collect a gradient in ``.grad``.

    Raises:
        TypeError: data is not numeric; or requires_grad with an integer dtype.
    """

    __slots__ = ("__weakref__", "_array", "_edge", "_leaf", "_lent", "_version")

    _array: Any
    _edge: Edge | None
    _leaf: Leaf | None
    _lent: list[Any] | None
    _version: Version

    def __init__(self, data: Any, *, dtype: Any = None, requires_grad: bool = False):
        self._array = to_array(data, dtype)
        self._edge = None
        self._leaf = None
        self._lent = None
        same = isinstance(data, Tensor) and data._array is self._array
        self._version = data._version if same else Version()
        if requires_grad:
            self.requires_grad = True

    # ---- what it is

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape

    @property
    def dtype(self) -> Any:
        return self._array.dtype

    @property
    def ndim(self) -> int:
        return self._array.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._array.size

    def numel(self) -> int:
        return self._array.size

    def dim(self) -> int:
        return self._array.ndim

    @property
    def nbytes(self) -> int:
        return self._array.nbytes

    @property
    def device(self) -> str:
        """Where it lives: ``"cpu"``, ``"cuda:0"``, …"""
        return device_of(self._array)

    @property
    def data(self) -> "Tensor":
        """The same values outside the tape, as `detach`; assigning overwrites them, as `copy_` under `no_grad`."""
        return self.detach()

    @data.setter
    def data(self, value: Any) -> None:
        array = to_array(value)
        if array.shape != self.shape:
            raise ValueError(f"x.data keeps its shape: it is {self.shape}, the values assigned have {array.shape}")
        if array is not self._array:  # it is after x.data -= …
            self.detach().copy_(array)

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded function made it."""
        return self._edge is None or isinstance(self._edge[0], Leaf)

    # ---- its gradient

    @property
    def requires_grad(self) -> bool:
        return self._edge is not None

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if not self.is_leaf:
            if not wanted:
                raise RuntimeError(
                    f"requires_grad of a result of {self._edge[0].name!r} cannot be switched off: "  # type: ignore
                    "write y = x.detach(), or compute it under gd.no_grad()"
                )
        elif not wanted:
            self._edge = None
        elif self._edge is None:
            if not is_floating(self._array.dtype):
                raise TypeError(
                    f"only floating tensors can require gradients, this one is {self.dtype}: "
                    "write x.to(np.float32), or drop requires_grad for indices and labels"
                )
            if self._leaf is None:
                self._leaf = Leaf(self._array)
            self._edge = (self._leaf, 0)

    def requires_grad_(self, requires_grad: bool = True) -> "Tensor":
        self.requires_grad = requires_grad
        return self

    @property
    def grad(self) -> "Tensor | None":
        """The gradient that backward collected: a live view, None before the first backward and after `zero_grad`."""
        leaf = self._leaf
        return None if leaf is None or leaf.state == EMPTY else wrap(leaf.grad)

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is None:
            self.zero_grad()
            return
        if self._leaf is None:
            raise RuntimeError("only a leaf that requires a gradient has one to set: call requires_grad_() first")
        array = to_array(value)
        if array.shape != self.shape:
            raise ValueError(
                f"the gradient of a tensor of shape {self.shape} cannot have shape {array.shape}: "
                "reshape or broadcast it first"
            )
        if array is not self._leaf.grad or self._leaf.state != FRESH:
            self._leaf.assign(beside(array, self._array))

    def zero_grad(self) -> None:
        """Forget the gradient: the next backward starts from nothing."""
        if self._leaf is not None:
            self._leaf.clear()

    def register_hook(self, hook: "Callable[[Tensor], Tensor | None]") -> Any:
        """Call ``hook`` with this tensor's gradient once a backward has completed it; what it returns takes its place.

        For a leaf that is what this backward adds to ``.grad``, from all paths. The gradient is not to be written to.

        Returns:
            A handle, whose ``remove()`` ends it.

        Raises:
            RuntimeError: the tensor requires no gradient; in the backward, where the hook returned another shape.
        """
        if self._edge is None:
            raise RuntimeError("a tensor that requires no gradient gets none for a hook: call requires_grad_() first")
        shape = self.shape

        def call(gradient: Any) -> Any:
            with tape.no_grad():
                changed = hook(wrap(_unwritable(gradient)))
            if changed is None:
                return None
            array = beside(to_array(changed), gradient)
            if array.shape != shape:
                raise RuntimeError(f"a hook of a tensor of shape {shape} returned a gradient of shape {array.shape}")
            return array.astype(gradient.dtype, copy=False)

        return tape.add_hook(self._edge, call)

    def backward(
        self, gradient: Any = None, *, retain_graph: bool = False, inputs: "Tensor | Iterable[Tensor] | None" = None
    ) -> None:
        """Add d(self)/d(leaf), times ``gradient``, to the ``.grad`` of every leaf below; of ``inputs`` alone if given.

        Gradients that an optimizer has already used are overwritten instead of added to. The tape is freed on the way,
        unless ``retain_graph``. Second derivatives are not recorded.

        Args:
            gradient: the gradient of the final value with respect to this tensor, of its shape; 1 for a scalar.

        Raises:
            RuntimeError: this tensor is not on the tape, or not a scalar and no gradient given; the tape was freed; an
                array that the backward needs was changed in place. Nothing has been written then.
        """
        root = (self._edge_for_backward(), self._seed(gradient))
        if inputs is None:
            Walk([root]).run(retain=retain_graph)
            return
        wanted = [inputs] if isinstance(inputs, Tensor) else list(inputs)
        if not wanted:
            raise ValueError("backward(inputs=[]) has nothing to compute: leave inputs out for every leaf")
        for number, tensor in enumerate(wanted):
            if not isinstance(tensor, Tensor):
                raise TypeError(f"inputs[{number}] is a {type(tensor).__name__}: only tensors have gradients")
            if tensor._leaf is None or not tensor.requires_grad:
                raise ValueError(
                    f"inputs[{number}] (shape {tensor.shape}) is no leaf that requires a gradient: "
                    "use gd.grad(loss, inputs) for the gradient of an intermediate value"
                )
        edges = dict.fromkeys([tensor._edge for tensor in wanted if tensor._edge is not None])
        walk = Walk([root], targets=edges).run(retain=retain_graph)
        for edge in edges:
            value = walk.gradient(edge)
            if value is not None:
                array, accumulate = edge[0].destination()
                np.add(array, value, out=array) if accumulate else assign(array, value)

    def _edge_for_backward(self) -> Edge:
        if self._edge is None:
            raise RuntimeError(
                "backward from a tensor that is on no tape: nothing that it was computed from requires a gradient, or "
                "it was computed under gd.no_grad() or detached. Check requires_grad of the parameters."
            )
        return self._edge

    def _seed(self, gradient: Any) -> Any:
        if gradient is None:
            if self.size != 1:
                raise RuntimeError(
                    f"backward from a tensor of shape {self.shape} needs a scalar: write loss.mean().backward(), "
                    "or pass the gradient: y.backward(gradient) with gradient of y's shape"
                )
            return namespace(self._array).ones(self.shape, self.dtype)
        array = beside(to_array(gradient), self._array)
        if array.shape != self.shape:
            raise ValueError(
                f"backward over a tensor of shape {self.shape} got a gradient of shape {array.shape}: they must agree"
            )
        return array.astype(self.dtype)  # a copy: the walk may hand it on to be kept

    def detach(self) -> "Tensor":
        """The same memory, outside the tape."""
        out = wrap(self._array)
        out._version = self._version
        return out

    def contiguous(self) -> "Tensor":
        """The same values in C order: itself where they are, else a copy; gradients pass through."""
        return self if self._array.flags.c_contiguous else self.clone()

    def clone(self) -> "Tensor":
        """A copy; gradients pass through."""
        return F.clone(self)

    def _move_into(self, flat: Any, array: Any, grad: Any) -> None:
        """Live in a `Flat` from now on: data and gradient are copied there, and become these views of it."""
        array[...] = self._array
        leaf = self._leaf
        assert leaf is not None
        if leaf.state != EMPTY:
            grad[...] = leaf.grad
        self._settle(flat, array, grad)

    def _become(self, array: Any) -> None:
        """Hold other data from now on (another dtype, another device); a gradient goes with it."""
        self._hold(array)
        self._version.n += 1
        leaf = self._leaf
        if leaf is not None:
            leaf.flat = leaf.shadow = None
            leaf.dtype, leaf.empty = array.dtype, namespace(array).empty
            if leaf.grad is not None:
                leaf.grad = moved(leaf.grad, device_of(array)).astype(array.dtype, copy=False)

    def _settle(self, flat: Any, array: Any, grad: Any) -> None:
        """Hold these views of a `Flat` that has moved to another device, with its values."""
        self._hold(array)
        leaf = self._leaf
        assert leaf is not None
        leaf.grad, leaf.flat, leaf.shadow, leaf.empty = grad, flat, None, namespace(array).empty

    def _hold(self, array: Any) -> None:
        """Have another array. Who was given the old one's address keeps this tensor alive, which keeps that array."""
        if self._lent is not None:
            self._lent.append(self._array)
        if is_on_cuda(self._array):
            _Moves.number += 1
        self._array = array

    # ---- its values, elsewhere

    def numpy(self) -> Any:
        """The values as a NumPy array over the same memory; read-only where the tensor requires a gradient.

        (What changes a parameter behind the tape's back cannot be noticed; change ``x.detach().numpy()`` if you must.)

        Raises:
            TypeError: the tensor is on a GPU: ``x.cpu().numpy()`` copies it from there.
        """
        if is_on_cuda(self._array):
            raise TypeError(f"a tensor on {self.device} has no NumPy array: write x.cpu().numpy(), which copies it")
        if self._edge is None:
            return self._array
        view = self._array.view()
        view.flags.writeable = False
        return view

    def item(self) -> Scalar:
        """The value of a tensor of one element, as a Python number."""
        if self.size != 1:
            raise ValueError(f"item() wants a tensor of one element, this one has shape {self.shape}: use tolist()")
        return to_host(self._array).item()

    def tolist(self) -> Any:
        return to_host(self._array).tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    @property
    def __array_interface__(self) -> Any:
        if is_on_cuda(self._array):
            raise AttributeError(f"a tensor on {self.device} has no __array_interface__")
        if self._lent is None:
            self._lent = []  # see `_hold`
        return self.numpy().__array_interface__

    @property
    def __cuda_array_interface__(self) -> Any:
        """For whatever computes on a GPU's memory: CuPy, a ``numba.cuda`` kernel, PyTorch."""
        if not is_on_cuda(self._array):
            raise AttributeError("a tensor on the CPU has no __cuda_array_interface__")
        if self._lent is None:
            self._lent = []  # see `_hold`
        return self._array.__cuda_array_interface__

    def __dlpack__(self, **kwargs: Any) -> Any:
        if self._edge is not None:
            raise BufferError("a tensor that requires a gradient does not leave by DLPack: export x.detach()")
        return self._array.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """NumPy's functions on tensors: the differentiable one where there is one, so that no gradient is lost.

        Others give NumPy arrays, and of a tensor that requires a gradient only what has none: comparisons, isfinite.
        """
        function = F.UFUNCS.get(ufunc.__name__) if method == "__call__" and not kwargs else None
        if function is not None:
            return function(*inputs)
        outs = kwargs.pop("out", ())
        if outs:
            kwargs["out"] = tuple([value_of(out) for out in outs])
        changed = [out for out in outs if isinstance(out, Tensor)]
        on_tape = any(isinstance(x, Tensor) and x.requires_grad for x in (*inputs, *changed))
        if on_tape and (method != "__call__" or outs or not _is_predicate(ufunc)):
            raise TypeError(
                f"np.{ufunc.__name__} would lose the gradient of its argument: use gdengine.functional, "
                "or x.detach() where no gradient is wanted"
            )
        result = getattr(ufunc, method)(*[x._array if isinstance(x, Tensor) else x for x in inputs], **kwargs)
        for out in changed:
            out._version.n += 1
        return changed[0] if changed and len(outs) == 1 else result

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """NumPy's functions of whole arrays: the differentiable one where there is one, as with `__array_ufunc__`."""
        ours = F.ARRAY_FUNCTIONS.get(function.__name__)
        if ours is not None and _accepts(ours, args, kwargs):
            return ours(*args, **kwargs)
        if any(x.requires_grad for x in _tensors_in((*args, *kwargs.values()))):
            raise TypeError(
                f"np.{function.__name__} with these arguments would lose the gradient: use gdengine.functional, "
                "or x.detach() where no gradient is wanted"
            )
        return function(*_as_arrays(args), **{name: _as_arrays(value) for name, value in kwargs.items()})

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.size != 1 or is_floating(self.dtype):
            raise TypeError(
                f"only an integer tensor of one element is an index, not {self.dtype} of shape {self.shape}"
            )
        return int(self._array.item())

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(f"the truth of a tensor of shape {self.shape} is ambiguous: use .any() or .all()")
        return bool(self._array.item())

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a tensor without dimensions has no length")
        return self.shape[0]

    def __iter__(self) -> "Iterator[Tensor]":
        if not self.shape:
            raise TypeError("a tensor without dimensions cannot be iterated over")
        return (self[i] for i in range(self.shape[0]))

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __repr__(self) -> str:
        values = np.array2string(to_host(self._array), separator=", ", prefix="tensor(", threshold=1000)
        notes = "" if self.dtype in (np.float32, np.int64, np.bool_) else f", dtype={self.dtype}"
        if is_on_cuda(self._array):
            notes += f", device='{self.device}'"
        if self._edge is not None:
            source = self._edge[0]
            notes += ", requires_grad=True" if isinstance(source, Leaf) else f", grad_fn=<{source.name}>"
        return f"tensor({values}{notes})"

    def __deepcopy__(self, memo: dict[int, Any]) -> "Tensor":
        if not self.is_leaf:
            raise RuntimeError("only leaves can be deep-copied: write x.detach() first")
        out = type(self).__new__(type(self))
        Tensor.__init__(out, self._array.copy())
        if self._leaf is not None:  # kept by a frozen parameter too
            out._leaf = Leaf(self._array)
            out._leaf.name = self._leaf.name
        out.requires_grad = self.requires_grad
        memo[id(self)] = out
        return out

    # ---- another dtype or device

    def to(self, target: Any) -> "Tensor":
        """On another device (``"cpu"``, ``"cuda"``, ``"cuda:1"``) or in another dtype; gradients pass through.

        The tensor itself where it is so already. A copy to a GPU does not wait for it; one from there does.

        Raises:
            ValueError, RuntimeError: there is no such device, or it cannot be used; says why.
        """
        if not is_device(target):
            return F.cast(self, target)
        there, here = resolve(target), self.device
        if there == here:
            return self
        return record("to", moved(self._array, there), (self,), lambda dy: (moved(dy, here),))

    def float(self) -> "Tensor":
        return F.cast(self, np.float32)

    def double(self) -> "Tensor":
        return F.cast(self, np.float64)

    def long(self) -> "Tensor":
        return F.cast(self, np.int64)

    def cpu(self) -> "Tensor":
        return self.to("cpu")

    def cuda(self) -> "Tensor":
        return self.to("cuda")

    # ---- in place

    def copy_(self, source: Any) -> "Tensor":
        """Overwrite the values with ``source``, broadcast."""
        return self._change(assign, source)

    def fill_(self, value: Scalar) -> "Tensor":
        return self._change(assign, value)

    def zero_(self) -> "Tensor":
        return self._change(assign, False)

    def __setitem__(self, index: Any, value: Any) -> None:
        def set_items(array: Any, source: Any) -> None:
            array[array_index(index, array)] = beside(source, array)

        self._change(set_items, value)

    def __iadd__(self, other: Any) -> "Tensor":
        return self._update(F.add, np.add, other)

    def __isub__(self, other: Any) -> "Tensor":
        return self._update(F.subtract, np.subtract, other)

    def __imul__(self, other: Any) -> "Tensor":
        return self._update(F.multiply, np.multiply, other)

    def __itruediv__(self, other: Any) -> "Tensor":
        return self._update(F.divide, np.true_divide, other)

    def _update(self, function: Callable[..., "Tensor"], ufunc: Any, other: Any) -> "Tensor":
        """``x += y``: where it must be recorded, a new tensor that takes over the name x; else in place.

        So ``loss += penalty`` does what it says, and ``p -= lr * p.grad`` under ``no_grad()`` too; a leaf that requires
        a gradient is not replaced behind its owner's back.
        """
        on_tape = self._edge is not None or (isinstance(other, Tensor) and other.requires_grad)
        if tape.mode.enabled and on_tape and not (self._edge is not None and self.is_leaf):
            return function(self, other)
        return self._change(lambda a, x: ufunc(a, beside(x, a), out=a, casting="same_kind"), other)

    def _change(self, function: Callable[[Any, Any], Any], source: Any) -> "Tensor":
        """Change the array in place, which the tape does not record: refused where a gradient would go wrong by it."""
        if tape.mode.enabled and (self._edge is not None or (isinstance(source, Tensor) and source.requires_grad)):
            raise RuntimeError(
                "a change in place is not recorded, so no gradient would pass through it: write y = x + …, "
                "gd.where(…) in place of x[…] = y, or do it under gd.no_grad() if no gradient should pass"
            )
        function(self._array, value_of(source))
        self._version.n += 1
        return self

    # ---- arithmetic: everything below is a call of the function of that name

    def __add__(self, other: Any) -> "Tensor":
        return F.add(self, other)

    def __radd__(self, other: Any) -> "Tensor":
        return F.add(other, self)

    def __sub__(self, other: Any) -> "Tensor":
        return F.subtract(self, other)

    def __rsub__(self, other: Any) -> "Tensor":
        return F.subtract(other, self)

    def __mul__(self, other: Any) -> "Tensor":
        return F.multiply(self, other)

    def __rmul__(self, other: Any) -> "Tensor":
        return F.multiply(other, self)

    def __truediv__(self, other: Any) -> "Tensor":
        return F.divide(self, other)

    def __rtruediv__(self, other: Any) -> "Tensor":
        return F.divide(other, self)

    def __pow__(self, other: Any) -> "Tensor":
        return F.power(self, other)

    def __rpow__(self, other: Any) -> "Tensor":
        return F.power(other, self)

    def __matmul__(self, other: Any) -> "Tensor":
        return F.matmul(self, other)

    def __rmatmul__(self, other: Any) -> "Tensor":
        return F.matmul(other, self)

    def __neg__(self) -> "Tensor":
        return F.negative(self)

    def __pos__(self) -> "Tensor":
        return self

    def __abs__(self) -> "Tensor":
        return F.absolute(self)

    def __getitem__(self, index: Any) -> "Tensor":
        return F.getitem(self, index)

    def __eq__(self, other: Any) -> "Tensor":  # type: ignore[override]
        return compare(np.equal, self, other)

    def __ne__(self, other: Any) -> "Tensor":  # type: ignore[override]
        return compare(np.not_equal, self, other)

    def __lt__(self, other: Any) -> "Tensor":
        return compare(np.less, self, other)

    def __le__(self, other: Any) -> "Tensor":
        return compare(np.less_equal, self, other)

    def __gt__(self, other: Any) -> "Tensor":
        return compare(np.greater, self, other)

    def __ge__(self, other: Any) -> "Tensor":
        return compare(np.greater_equal, self, other)

    def __and__(self, other: Any) -> "Tensor":
        return compare(np.bitwise_and, self, other)

    def __or__(self, other: Any) -> "Tensor":
        return compare(np.bitwise_or, self, other)

    def __xor__(self, other: Any) -> "Tensor":
        return compare(np.bitwise_xor, self, other)

    def __invert__(self) -> "Tensor":
        return wrap(~self._array)

    def any(self, dim: Any = None, keepdim: bool = False, **numpy_names: Any) -> "Tensor":
        return F.any(self, dim, keepdim, **_given(numpy_names))

    def all(self, dim: Any = None, keepdim: bool = False, **numpy_names: Any) -> "Tensor":
        return F.all(self, dim, keepdim, **_given(numpy_names))

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    __hash__ = object.__hash__

    def exp(self) -> "Tensor":
        return F.exp(self)

    def log(self) -> "Tensor":
        return F.log(self)

    def sqrt(self) -> "Tensor":
        return F.sqrt(self)

    def tanh(self) -> "Tensor":
        return F.tanh(self)

    def sigmoid(self) -> "Tensor":
        return F.sigmoid(self)

    def relu(self) -> "Tensor":
        return F.relu(self)

    def abs(self) -> "Tensor":
        return F.absolute(self)

    def pow(self, exponent: Any) -> "Tensor":
        return F.power(self, exponent)

    def sin(self) -> "Tensor":
        return F.sin(self)

    def cos(self) -> "Tensor":
        return F.cos(self)

    def erf(self) -> "Tensor":
        return F.erf(self)

    def log1p(self) -> "Tensor":
        return F.log1p(self)

    def expm1(self) -> "Tensor":
        return F.expm1(self)

    def rsqrt(self) -> "Tensor":
        return F.rsqrt(self)

    def square(self) -> "Tensor":
        return F.square(self)

    def sign(self) -> "Tensor":
        return F.sign(self)

    def floor(self) -> "Tensor":
        return F.floor(self)

    def ceil(self) -> "Tensor":
        return F.ceil(self)

    def round(self, decimals: int = 0) -> "Tensor":
        return F.round(self, decimals)

    def clamp(self, min: Any = None, max: Any = None) -> "Tensor":
        return F.clamp(self, min, max)

    def clip(self, min: Any = None, max: Any = None) -> "Tensor":
        return F.clamp(self, min, max)

    def sum(self, dim: Any = None, keepdim: bool = False, **numpy_names: Any) -> "Tensor":
        return F.sum(self, dim, keepdim, **_given(numpy_names))

    def mean(self, dim: Any = None, keepdim: bool = False, **numpy_names: Any) -> "Tensor":
        return F.mean(self, dim, keepdim, **_given(numpy_names))

    def max(self, dim: Any = None, keepdim: bool = False, **numpy_names: Any) -> "Tensor":
        return F.max(self, dim, keepdim, **_given(numpy_names))

    def min(self, dim: Any = None, keepdim: bool = False, **numpy_names: Any) -> "Tensor":
        return F.min(self, dim, keepdim, **_given(numpy_names))

    def argmax(self, dim: int | None = None, **numpy_names: Any) -> "Tensor":
        return F.argmax(self, dim, **_given(numpy_names))

    def argmin(self, dim: int | None = None, **numpy_names: Any) -> "Tensor":
        return F.argmin(self, dim, **_given(numpy_names))

    def var(self, dim: Any = None, **options: Any) -> "Tensor":
        return F.var(self, dim, **options)

    def std(self, dim: Any = None, **options: Any) -> "Tensor":
        return F.std(self, dim, **options)

    def prod(self, dim: Any = None, keepdim: bool = False, **numpy_names: Any) -> "Tensor":
        return F.prod(self, dim, keepdim, **_given(numpy_names))

    def cumsum(self, dim: int | None = None, **numpy_names: Any) -> "Tensor":
        return F.cumsum(self, dim, **_given(numpy_names))

    def cumprod(self, dim: int | None = None, **numpy_names: Any) -> "Tensor":
        return F.cumprod(self, dim, **_given(numpy_names))

    def logsumexp(self, dim: Any = None, keepdim: bool = False, **numpy_names: Any) -> "Tensor":
        return F.logsumexp(self, dim, keepdim, **_given(numpy_names))

    def norm(self, p: Any = 2, dim: Any = None, keepdim: bool = False, **numpy_names: Any) -> "Tensor":
        return F.norm(self, p, dim, keepdim, **_given(numpy_names))

    def sort(self, dim: int = -1, descending: bool = False) -> "tuple[Tensor, Tensor]":
        return F.sort(self, dim, descending)

    def argsort(self, dim: int = -1, descending: bool = False) -> "Tensor":
        return F.argsort(self, dim, descending)

    def topk(self, k: int, dim: int = -1, largest: bool = True) -> "tuple[Tensor, Tensor]":
        return F.topk(self, k, dim, largest)

    def gather(self, dim: int, index: Any) -> "Tensor":
        return F.gather(self, dim, index)

    def scatter_add(self, dim: int, index: Any, src: Any) -> "Tensor":
        return F.scatter_add(self, dim, index, src)

    def index_select(self, dim: int, index: Any) -> "Tensor":
        return F.index_select(self, dim, index)

    def masked_fill(self, mask: Any, value: Any) -> "Tensor":
        return F.masked_fill(self, mask, value)

    def softmax(self, dim: int = -1) -> "Tensor":
        return F.softmax(self, dim)

    def log_softmax(self, dim: int = -1) -> "Tensor":
        return F.log_softmax(self, dim)

    def matmul(self, other: Any) -> "Tensor":
        return F.matmul(self, other)

    def reshape(self, *shape: Any) -> "Tensor":
        return F.reshape(self, *shape)

    def view(self, *shape: Any) -> "Tensor":
        """As `reshape`."""
        return F.reshape(self, *shape)

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> "Tensor":
        return F.flatten(self, start_dim, end_dim)

    def transpose(self, *dims: Any) -> "Tensor":
        return F.transpose(self, *dims)

    def permute(self, *dims: Any) -> "Tensor":
        return F.permute(self, *dims)

    def squeeze(self, dim: int | tuple[int, ...] | list[int] | None = None) -> "Tensor":
        return F.squeeze(self, dim)

    def unsqueeze(self, dim: int) -> "Tensor":
        return F.unsqueeze(self, dim)

    def expand(self, *shape: Any) -> "Tensor":
        return F.expand(self, *shape)

    def split(self, size: int | list[int], dim: int = 0) -> "tuple[Tensor, ...]":
        return F.split(self, size, dim)

    def chunk(self, chunks: int, dim: int = 0) -> "tuple[Tensor, ...]":
        return F.chunk(self, chunks, dim)

    def unbind(self, dim: int = 0) -> "tuple[Tensor, ...]":
        return F.unbind(self, dim)

    def repeat(self, *sizes: Any) -> "Tensor":
        return F.repeat(self, *sizes)

    def repeat_interleave(self, repeats: Any, dim: int | None = None) -> "Tensor":
        return F.repeat_interleave(self, repeats, dim)

    def tile(self, *sizes: Any) -> "Tensor":
        return F.tile(self, *sizes)

    def flip(self, *dims: Any) -> "Tensor":
        return F.flip(self, dims[0] if len(dims) == 1 else dims or None)

    def roll(self, shifts: Any, dims: Any = None) -> "Tensor":
        return F.roll(self, shifts, dims)

    def tril(self, diagonal: int = 0) -> "Tensor":
        return F.tril(self, diagonal)

    def triu(self, diagonal: int = 0) -> "Tensor":
        return F.triu(self, diagonal)

    def diagonal(self, offset: int = 0, dim1: int = 0, dim2: int = 1) -> "Tensor":
        return F.diagonal(self, offset, dim1, dim2)

    @property
    def T(self) -> "Tensor":
        return F.permute(self, *reversed(range(self.ndim)))

    @property
    def mT(self) -> "Tensor":
        """The last two axes exchanged."""
        return F.transpose(self, -2, -1)


class Parameter(Tensor):
    """A tensor that a `Module` trains. Knows its qualified name once its module has been asked for its parameters."""

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True):
        super().__init__(data)
        self.requires_grad = True  # it has a leaf, frozen or not: freezing must not lose its place in θ
        self.requires_grad = requires_grad

    @property
    def name(self) -> str | None:
        assert self._leaf is not None
        return self._leaf.name

    @name.setter
    def name(self, name: str | None) -> None:
        assert self._leaf is not None
        self._leaf.name = name

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class _Moves:
    number = 0


def moves_on_gpu() -> int:
    """How often a tensor on a GPU was given other memory: what a graph recorded over the old one cannot be replayed."""
    return _Moves.number


# ---- what functions are made with


def wrap(array: Any) -> Tensor:
    """A tensor over ``array``, outside the tape."""
    out = Tensor.__new__(Tensor)
    out._array = array if type(array) is np.ndarray or not isinstance(array, _SCALARS) else np.asarray(array)
    out._edge = None
    out._leaf = None
    out._lent = None
    out._version = Version()
    return out


def as_tensor(x: Any) -> Tensor:
    """``x`` itself if it is a tensor, else one over its values."""
    return x if isinstance(x, Tensor) else wrap(to_array(x))


def record(
    name: str,
    array: Any,
    inputs: tuple[Tensor | None, ...],
    backward: Callable[..., Any],
    *,
    keeps: tuple[Tensor, ...] = (),
    keeps_output: bool = False,
    view_of: Tensor | None = None,
    direct: bool = False,
) -> Tensor:
    """The result of a differentiable function, on the tape if any input is and gradients are enabled.

    Args:
        name: what error messages and profiles call it.
        array: the result.
        inputs: the tensors that a gradient may flow to, in the order of what ``backward`` returns; None for one not
            given.
        backward: see `gdengine.tape.Node`.
        keeps: the inputs whose arrays the backward reads: changing one in place in between is an error.
        keeps_output: the backward reads the result's array.
        view_of: the input whose memory the result may share.
        direct: ``backward(dy, into)`` writes the gradients itself.
    """
    out, mode = wrap(array), tape.mode
    if mode.watch is not None:
        mode.watch(f"result of {name}", out._array)
    if view_of is not None:
        out._version = view_of._version
    if mode.enabled:
        edges = tuple([None if x is None else x._edge for x in inputs])
        if any(edges):
            if keeps_output:
                keeps = (*keeps, out)
            kept = tuple([(x._version, x._version.n, x._array.shape) for x in keeps])
            out._edge = (Node(name, edges, backward, kept, direct, 1), 0)
    if mode.profile is not None:
        mode.profile.forward(name, inputs, (out,), view_of is not None)
    return out


def record_many(
    name: str,
    arrays: Iterable[Any],
    inputs: tuple[Tensor | None, ...],
    backward: Callable[..., Any],
    *,
    keeps: tuple[Tensor, ...] = (),
    view_of: Tensor | None = None,
    direct: bool = False,
) -> tuple[Tensor, ...]:
    """As `record`, for several results: the backward's dy is a tuple, None for a result that no gradient reached."""
    outs = tuple([wrap(array) for array in arrays])
    if tape.mode.watch is not None:
        for out in outs:
            tape.mode.watch(f"result of {name}", out._array)
    if view_of is not None:
        for out in outs:
            out._version = view_of._version
    if tape.mode.enabled:
        edges = tuple([None if x is None else x._edge for x in inputs])
        if any(edges):
            kept = tuple([(x._version, x._version.n, x._array.shape) for x in keeps])
            node = Node(name, edges, backward, kept, direct, len(outs))
            for i, out in enumerate(outs):
                if is_floating(out.dtype):
                    out._edge = (node, i)
    if tape.mode.profile is not None:
        tape.mode.profile.forward(name, inputs, outs, view_of is not None)
    return outs


def plainly_alike(*tensors: Tensor | None) -> bool:
    """Whether all (None aside) hold NumPy arrays of the first one's dtype: then no check of devices and dtypes fails.

    So it nearly always is, and is asked first, since those checks find out what to say as well.
    """
    dtype = None
    for x in tensors:
        if x is not None:
            array = x._array
            dtype = array.dtype if dtype is None else dtype
            if type(array) is not np.ndarray or array.dtype is not dtype:
                return False
    return True


def value_of(x: Any) -> Any:
    """The array of a tensor; a Python number for any scalar, so that it takes on the other operand's dtype."""
    if isinstance(x, Tensor):
        return x._array
    if isinstance(x, np.generic):
        return x.item()
    return x


def to_array(data: Any, dtype: Any = None) -> Any:
    """``data`` as an array: itself where it is one, float32 where it is Python's floats."""
    if isinstance(data, Tensor):
        data = data._array
    if dtype is None and type(data) is np.ndarray and data.dtype.kind in "biuf":
        return data
    array = data if is_on_cuda(data) else np.asarray(data)
    target = array.dtype if dtype is None else np.dtype(dtype)
    for kind in (array.dtype, target):
        if kind.kind not in "biu" and not is_floating(kind):
            raise TypeError(f"a tensor holds real numbers, not {kind} (from a {type(data).__name__})")
    if dtype is None and array.dtype == np.float64 and not hasattr(data, "dtype"):
        target = np.dtype(np.float32)
    return array.astype(target, copy=False)


def array_index(index: Any, array: Any) -> Any:
    """An index into ``array`` with its tensors replaced by arrays, which lie where ``array`` does."""
    if isinstance(index, tuple):
        return tuple([array_index(part, array) for part in index])
    if isinstance(index, Tensor):
        check_same("indexing", x=array, index=index._array)
        return index._array
    if isinstance(index, list) and is_on_cuda(array):
        index = np.asarray(index)
    return beside(index, array)


def tensors_of(*values: Any) -> "tuple[Tensor, ...]":
    """Those that are tensors: what a node keeps of indices and conditions, to notice a change of them in place."""
    return tuple([value for value in values if isinstance(value, Tensor)])


def is_floating(dtype: Any) -> bool:
    """Whether a gradient makes sense: a float dtype, bfloat16 (which NumPy calls a void type) among them."""
    return dtype.kind == "f" or (dtype.kind == "V" and dtype.name == "bfloat16")  # a name takes NumPy 2 µs


def _accepts(function: Callable[..., Any], args: Any, kwargs: Any) -> bool:
    """Whether a function can be called with these arguments."""
    import inspect  # with all of its own imports, for the wording of an error

    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def _tensors_in(values: Iterable[Any]) -> Iterator[Tensor]:
    """The tensors among an argument list, and in its lists and tuples."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors_in(value)


def _as_arrays(value: Any) -> Any:
    """A value with arrays in place of tensors, in lists and tuples too."""
    if isinstance(value, list | tuple):
        return type(value)([_as_arrays(part) for part in value])
    return value._array if isinstance(value, Tensor) else value


def compare(ufunc: Any, a: Any, b: Any) -> Tensor:
    """An elementwise comparison: a bool tensor, which no gradient passes."""
    p, q = value_of(a), value_of(b)
    return wrap(ufunc(beside(p, q), beside(q, p)))


def _unwritable(array: Any) -> Any:
    """A view that cannot be written to, as far as the array's library knows such."""
    view = array.view()
    if isinstance(view, np.ndarray):
        view.flags.writeable = False
    return view


def _is_predicate(ufunc: Any) -> bool:
    """Whether a NumPy function of floats gives bools, through which no gradient passes."""
    return "f->?" in ufunc.types or "ff->?" in ufunc.types


def _given(names: dict[str, Any]) -> dict[str, Any]:
    """Keywords without the dtype=None and out=None of a call such as np.sum(tensor)."""
    return {name: value for name, value in names.items() if value is not None or name not in ("dtype", "out")}


def check_set_to_none(set_to_none: bool) -> None:
    """Raise unless gradients are to be forgotten: there is no zeroing in place."""
    if not set_to_none:
        raise ValueError(
            "set_to_none=False is not offered: gradients are forgotten, never zeroed in place. For a gradient of zeros "
            "assign it: p.grad = np.zeros(p.shape, p.dtype)"
        )


from . import functional as F  # noqa: E402  operators on a Tensor are calls of functions, which are made of Tensors
