"""gdengine: gradient descent for people who live in NumPy and CuPy.

    import gdengine as gd
    from gdengine import nn, optim
    from gdengine.functional import cross_entropy

Tensors and their gradients are here; layers in `gdengine.nn`, whole models in `gdengine.models`, optimizers and
learning rate schedules in `gdengine.optim`, differentiable functions in `gdengine.functional`, data in
`gdengine.data`, the training loop in `gdengine.training`.
"""

from . import cuda, functional, kernels, models, nn, optim, random
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
from .functional import (
    cat,
    exp,
    expand,
    flatten,
    log,
    matmul,
    max,
    maximum,
    mean,
    min,
    minimum,
    permute,
    reshape,
    sigmoid,
    softmax,
    split,
    sqrt,
    squeeze,
    stack,
    sum,
    tanh,
    transpose,
    unsqueeze,
    where,
)
from .functional import power as pow
from .graph import graph
from .kernels.threads import get_num_threads, set_num_threads
from .optim.clipping import clip_grad_norm_, clip_grad_value_
from .precision import autocast, bfloat16
from .profiling import profile
from .random import manual_seed
from .recomputation import checkpoint
from .tape import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .tensor import Parameter, Tensor

__version__ = "0.1.0"

__all__ = [
    "Function",
    "Parameter",
    "Tensor",
    "arange",
    "autocast",
    "bfloat16",
    "cat",
    "checkpoint",
    "clip_grad_norm_",
    "clip_grad_value_",
    "cuda",
    "enable_grad",
    "exp",
    "expand",
    "flatten",
    "from_dlpack",
    "from_numpy",
    "full",
    "functional",
    "get_num_threads",
    "grad",
    "gradcheck",
    "graph",
    "is_grad_enabled",
    "kernels",
    "log",
    "manual_seed",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "models",
    "nn",
    "no_grad",
    "ones",
    "ones_like",
    "optim",
    "permute",
    "pow",
    "profile",
    "rand",
    "randint",
    "randn",
    "random",
    "randperm",
    "reshape",
    "set_grad_enabled",
    "set_num_threads",
    "sigmoid",
    "softmax",
    "split",
    "sqrt",
    "squeeze",
    "stack",
    "sum",
    "tanh",
    "tensor",
    "transpose",
    "unsqueeze",
    "where",
    "zeros",
    "zeros_like",
]
