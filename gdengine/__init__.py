"""gdengine: gradient descent for people who live in NumPy and CuPy.

    import gdengine as gd
    from gdengine import nn, optim
    from gdengine.functional import cross_entropy

Tensors and their gradients are here; layers in `gdengine.nn`, whole models in `gdengine.models`, optimizers and
learning rate schedules in `gdengine.optim`, differentiable functions in `gdengine.functional`, data in
`gdengine.data`, the training loop in `gdengine.training`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from . import cuda, functional, kernels, random
from .creation import (
    arange,
    from_dlpack,
    from_numpy,
    full,
    ones,
    ones_like,
    rand,
    randint,
    randn,
    randperm,
    tensor,
    zeros,
    zeros_like,
)
from .differentiation import Function, grad, gradcheck
from .functional import absolute as abs
from .functional import (
    all,
    any,
    argmax,
    argmin,
    argsort,
    cat,
    ceil,
    chunk,
    clamp,
    cos,
    cumprod,
    cumsum,
    diagonal,
    einsum,
    erf,
    exp,
    expand,
    expm1,
    flatten,
    flip,
    floor,
    gather,
    index_select,
    log,
    log1p,
    logsumexp,
    masked_fill,
    matmul,
    max,
    maximum,
    mean,
    min,
    minimum,
    norm,
    permute,
    prod,
    repeat_interleave,
    reshape,
    roll,
    round,
    rsqrt,
    scatter_add,
    sigmoid,
    sign,
    sin,
    softmax,
    sort,
    split,
    sqrt,
    square,
    squeeze,
    stack,
    std,
    sum,
    take_along_axis,
    tanh,
    tile,
    topk,
    transpose,
    tril,
    triu,
    unbind,
    unsqueeze,
    var,
    where,
)
from .functional import power as pow
from .graph import graph
from .kernels.threads import get_num_threads, set_num_threads
from .precision import autocast, bfloat16
from .random import manual_seed
from .recomputation import checkpoint
from .tape import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .tensor import Parameter, Tensor

if TYPE_CHECKING:
    from . import models, nn, optim
    from .optim.clipping import clip_grad_norm_, clip_grad_value_
    from .profiling import profile

__version__ = "0.1.0"

__all__ = [
    "Function",
    "Parameter",
    "Tensor",
    "abs",
    "all",
    "any",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "autocast",
    "bfloat16",
    "cat",
    "ceil",
    "checkpoint",
    "chunk",
    "clamp",
    "clip_grad_norm_",
    "clip_grad_value_",
    "cos",
    "cuda",
    "cumprod",
    "cumsum",
    "diagonal",
    "einsum",
    "enable_grad",
    "erf",
    "exp",
    "expand",
    "expm1",
    "flatten",
    "flip",
    "floor",
    "from_dlpack",
    "from_numpy",
    "full",
    "functional",
    "gather",
    "get_num_threads",
    "grad",
    "gradcheck",
    "graph",
    "index_select",
    "is_grad_enabled",
    "kernels",
    "log",
    "log1p",
    "logsumexp",
    "manual_seed",
    "masked_fill",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "models",
    "nn",
    "no_grad",
    "norm",
    "ones",
    "ones_like",
    "optim",
    "permute",
    "pow",
    "prod",
    "profile",
    "rand",
    "randint",
    "randn",
    "random",
    "randperm",
    "repeat_interleave",
    "reshape",
    "roll",
    "round",
    "rsqrt",
    "scatter_add",
    "set_grad_enabled",
    "set_num_threads",
    "sigmoid",
    "sign",
    "sin",
    "softmax",
    "sort",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "sum",
    "take_along_axis",
    "tanh",
    "tensor",
    "tile",
    "topk",
    "transpose",
    "tril",
    "triu",
    "unbind",
    "unsqueeze",
    "var",
    "where",
    "zeros",
    "zeros_like",
]

# What is imported when it is first asked for, and where it lies. These are half of the package's files.
_LATER = {
    "clip_grad_norm_": "optim.clipping",
    "clip_grad_value_": "optim.clipping",
    "models": "models",
    "nn": "nn",
    "optim": "optim",
    "profile": "profiling",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f".{_LATER[name]}", __name__)
    found = module if name == _LATER[name] else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
