"""The stand-in for CuPy: what gdengine asks of it, over NumPy, with CuPy's refusals.

NumPy's arrays are no operands; nothing becomes a NumPy array unless asked to by ``get``; reductions give arrays without
dimensions; NumPy's functions on these arrays are CuPy's of that name, where it has them. New memory is NaN. What has
to wait for the device (``get``, ``item``, ``bool``) is an error while a graph is captured.
"""

import types

import numpy as np

from . import cuda

PASSED_ON = (  # functions that NumPy and CuPy have in common, and gdengine uses
    *("abs", "absolute", "add", "all", "any", "argmax", "argsort", "ascontiguousarray", "bitwise_and", "bitwise_or"),
    *("broadcast_to", "concatenate", "count_nonzero", "cumsum", "divide", "equal", "exp", "expand_dims", "greater"),
    *("greater_equal", "invert", "isfinite", "isnan", "less", "less_equal", "log", "logical_not", "matmul", "max"),
    *("maximum", "mean", "min", "minimum", "multiply", "negative", "not_equal", "power", "reshape", "sign", "split"),
    *("sqrt", "squeeze", "stack", "subtract", "sum", "swapaxes", "take_along_axis", "tanh", "transpose", "true_divide"),
    *("unravel_index", "where", "zeros_like", "ones_like", "empty_like", "full_like", "sort", "copysign"),
    *(
        "argmin",
        "ceil",
        "cos",
        "cumprod",
        "expm1",
        "floor",
        "log1p",
        "logical_and",
        "logical_or",
        "rint",
        "roll",
        "sin",
    ),
    *("square", "tril", "triu"),
)
UNLIKE_ARRAYS = ("may_share_memory", "result_type", "shape", "ndim", "size")  # what these give is no array
METHODS = (
    *("all", "any", "argmax", "argmin", "argsort", "astype", "copy", "cumsum", "dot", "flatten", "max", "mean", "min"),
    *("nonzero", "prod", "ravel", "repeat", "reshape", "squeeze", "sum", "swapaxes", "take", "transpose", "view"),
)
OPERATORS = (
    *("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "floordiv", "mod", "pow", "rpow", "matmul"),
    *("neg", "abs", "invert", "and", "or", "xor", "eq", "ne", "lt", "le", "gt", "ge"),
)
IN_PLACE = ("iadd", "isub", "imul", "itruediv", "ipow")


class ndarray:
    """An array of the device. Its bytes lie in a block of a pool, seen through a NumPy array, ``_host``."""

    __module__ = "cupy"
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, shape, dtype=float):
        dtype = np.dtype(dtype)
        shape = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        self.data = cuda.state.allocator(size)
        self._host = self.data.mem.block.bytes[:size].view(dtype).reshape(shape)

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    size = property(lambda self: self._host.size)
    ndim = property(lambda self: self._host.ndim)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    strides = property(lambda self: self._host.strides)
    T = property(lambda self: _view(self, self._host.T))

    @property
    def flags(self):
        of = self._host.flags
        return types.SimpleNamespace(c_contiguous=of.c_contiguous, f_contiguous=of.f_contiguous)

    @property
    def device(self):
        return cuda.Device(self.data.device_id)

    @property
    def __cuda_array_interface__(self):
        interface = dict(self._host.__array_interface__)
        return {**interface, "version": 3, "stream": 1}

    # ---- to the host and back

    def get(self, stream=None, order="C", out=None, blocking=True):
        if blocking:
            cuda.wait("a copy to the host")
            if out is None:
                return self._host.copy()
            np.copyto(out, self._host)
            return out
        if cuda.state.captured is not None:
            raise cuda.CUDARuntimeError("cudaErrorStreamCaptureUnsupported: a copy to the host while capturing")
        values = self._host.copy()
        out.reshape(-1).view(np.uint8).fill(0xFF)
        cuda.state.arriving.append(lambda: np.copyto(out, values))
        return out

    def set(self, array, stream=None):
        if not isinstance(array, np.ndarray) or array.dtype != self.dtype or array.shape != self.shape:
            raise ValueError(f"set wants a NumPy array of {self.dtype}{self.shape}")
        cuda.state.leaving.append((array, array.reshape(-1).view(np.uint8).copy()))
        cuda.enqueue(lambda: np.copyto(self._host, array))

    def item(self):
        cuda.wait("a copy to the host")
        return self._host.item()

    def tolist(self):
        return self.get().tolist()

    def __deepcopy__(self, memo):
        return self.copy()

    def fill(self, value):
        host = self._host
        cuda.enqueue(lambda: host.fill(value))

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __bool__(self):
        return bool(self.item())

    def __int__(self):
        return int(self.item())

    def __float__(self):
        return float(self.item())

    def __index__(self):
        return self.item().__index__()

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __repr__(self):
        return f"stand-in:{self._host!r}"

    # ---- elements

    def __getitem__(self, index):
        _check_index(index)
        return _computed(lambda host, *_: host[_unwrapped(index)], self, *_arrays_in(index))

    def __setitem__(self, index, value):
        _check_index(index)
        host, index, value = self._host, _unwrapped(index), host_of(value)
        _check_device(self)

        def write():
            host[index] = value

        cuda.enqueue(write)

    # ---- NumPy's functions

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        if method != "__call__" or ufunc.__name__ not in PASSED_ON:
            return NotImplemented
        if out is not None:
            return _written(ufunc, out[0], *inputs, **kwargs)
        return _computed(ufunc, *inputs, **kwargs)

    def __array_function__(self, function, types, args, kwargs):
        own = globals().get(function.__name__)
        return NotImplemented if own is None else own(*args, **kwargs)


def _add_methods():
    def method(name):
        def call(self, *args, out=None, **kwargs):
            function = getattr(np.ndarray, name)
            return _computed(function, self, *args, **kwargs) if out is None else _written(function, out, self, *args)

        return call

    def in_place(name):
        function = getattr(np.ndarray, name)
        return lambda self, other: _written(lambda a, b, out: function(out, b), self, self, other)

    for name in METHODS:
        setattr(ndarray, name, method(name))
    for name in OPERATORS:
        setattr(ndarray, f"__{name}__", method(f"__{name}__"))
    for name in IN_PLACE:
        setattr(ndarray, f"__{name}__", in_place(f"__{name}__"))


_add_methods()


def host_of(value):
    """The NumPy array behind an array of the device; scalars as they are.

    Raises:
        TypeError: it is an array of the host, which CuPy does not take.
    """
    if isinstance(value, ndarray):
        _check_device(value)
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    return value


def _unwrapped(value):
    if isinstance(value, list | tuple):
        return type(value)([_unwrapped(part) for part in value])
    return host_of(value)


def _arrays_in(value):
    if isinstance(value, list | tuple):
        return [array for part in value for array in _arrays_in(part)]
    return [value] if isinstance(value, ndarray) else []


def _check_device(array):
    if array.data.device_id != cuda.state.device:
        raise ValueError(
            f"Array device must be same as the current device: array device = {array.data.device_id} while current = "
            f"{cuda.state.device}"
        )


def _check_index(index):
    for part in index if isinstance(index, tuple) else (index,):
        if isinstance(part, np.ndarray):
            raise TypeError(f"Unsupported type {type(part)}")


def _computed(function, *args, **kwargs):
    """What a function of arrays gives: views where NumPy's are views, else new arrays."""
    hosts = [_unwrapped(arg) for arg in args]
    named = {name: _unwrapped(value) for name, value in kwargs.items()}
    with np.errstate(all="ignore"):
        result = function(*hosts, **named)
    if isinstance(result, list | tuple):
        sources = _arrays_in(list(args))
        return type(result)(
            [_given(part, sources, lambda i=i: function(*hosts, **named)[i]) for i, part in enumerate(result)]
        )
    return _given(result, _arrays_in(list(args)), lambda: function(*hosts, **named))


def _given(result, sources, again):
    if not isinstance(result, np.ndarray | np.generic):
        return result  # NotImplemented, a dtype, a shape
    for source in sources:
        if isinstance(result, np.ndarray) and np.may_share_memory(result, source._host) and source.size:
            return _view(source, result)
    out = ndarray(np.shape(result), result.dtype)
    host = out._host

    def write():
        with np.errstate(all="ignore"):
            host[...] = again()

    if cuda.state.captured is not None:
        cuda.enqueue(write)
    else:
        host[...] = result
    return out


def _written(function, out, *args, **kwargs):
    """As `_computed`, into ``out``."""
    hosts, host = [_unwrapped(arg) for arg in args], host_of(out)

    def write():
        with np.errstate(all="ignore"):
            function(*hosts, out=host, **kwargs)

    cuda.enqueue(write)
    return out


def _view(source, host):
    out = ndarray.__new__(ndarray)
    out._host, out.data = host, cuda.MemoryPointer(source.data.mem, host.ctypes.data)
    return out


# ---- the module's functions


def array(source, dtype=None, copy=True, order="K"):
    """A copy on the current device: of an array, a list or a number."""
    if isinstance(source, ndarray):
        out, host = ndarray(source.shape, dtype or source.dtype), source._host  # from another device too
        to = out._host
        cuda.enqueue(lambda: np.copyto(to, host, casting="unsafe"))
        return out
    if cuda.state.captured is not None:
        raise cuda.CUDARuntimeError("cudaErrorStreamCaptureUnsupported: a copy from the host while capturing")
    values = np.array(source, dtype)
    out = ndarray(values.shape, values.dtype)
    out._host[...] = values
    return out


def asarray(source, dtype=None):
    same = isinstance(source, ndarray) and dtype in (None, source.dtype)
    return source if same else array(source, dtype)


def empty(shape, dtype=float, order="C"):
    return ndarray(shape, dtype)


def full(shape, fill_value, dtype=None, order="C"):
    out = ndarray(shape, np.asarray(fill_value).dtype if dtype is None else dtype)
    out.fill(fill_value)
    return out


def zeros(shape, dtype=float, order="C"):
    return full(shape, 0, dtype)


def ones(shape, dtype=float, order="C"):
    return full(shape, 1, dtype)


def arange(start, stop=None, step=1, dtype=None):
    values = np.arange(start, step=step, dtype=dtype) if stop is None else np.arange(start, stop, step, dtype)
    return _given(values, [], lambda: values)


def get_default_memory_pool():
    return cuda.state.default


def _passed_on(name):
    function = getattr(np, name)

    def call(*args, out=None, **kwargs):
        return _computed(function, *args, **kwargs) if out is None else _written(function, out, *args, **kwargs)

    return call


def _asked(name):
    function = getattr(np, name)
    return lambda *args: function(*[_unwrapped(arg) for arg in args])


for _name in PASSED_ON:
    globals()[_name] = _passed_on(_name)
for _name in UNLIKE_ARRAYS:
    globals()[_name] = _asked(_name)
