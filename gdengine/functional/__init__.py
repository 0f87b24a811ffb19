"""Differentiable functions, a family a file; each forward stands beside its backward."""

from collections.abc import Callable

from ..tensor import Tensor
from .activations import gelu, log_softmax, relu, softmax
from .attention import qkv_attention, scaled_dot_product_attention
from .channel_norms import batch_norm, group_norm, instance_norm
from .convolution import conv1d, conv2d, conv_transpose2d
from .dropout import dropout
from .elementwise import (
    absolute,
    add,
    cast,
    clone,
    divide,
    exp,
    log,
    maximum,
    minimum,
    multiply,
    negative,
    power,
    sigmoid,
    sqrt,
    subtract,
    tanh,
    where,
)
from .embedding import embedding
from .indexing import getitem
from .linear import feed_forward, linear
from .losses import cross_entropy
from .matmul import matmul
from .normalization import layer_norm, rms_norm
from .pooling import avg_pool1d, avg_pool2d, max_pool1d, max_pool2d
from .reductions import argmax, max, mean, min, sum
from .resampling import adaptive_avg_pool2d, interpolate
from .rotary import rotary_embedding, rotary_tables
from .shaping import cat, expand, flatten, permute, reshape, split, squeeze, stack, transpose, unsqueeze

# NumPy's functions that `np.exp(tensor)` and the like are answered with.
UFUNCS: dict[str, Callable[..., Tensor]] = {
    "absolute": absolute,
    "add": add,
    "divide": divide,
    "exp": exp,
    "log": log,
    "matmul": matmul,
    "maximum": maximum,
    "minimum": minimum,
    "multiply": multiply,
    "negative": negative,
    "power": power,
    "sqrt": sqrt,
    "subtract": subtract,
    "tanh": tanh,
}

# NumPy's functions of whole arrays, with NumPy's arguments.
ARRAY_FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "amax": lambda x, axis=None, keepdims=False: max(x, axis=axis, keepdims=keepdims),
    "amin": lambda x, axis=None, keepdims=False: min(x, axis=axis, keepdims=keepdims),
    "argmax": lambda x, axis=None, keepdims=False: argmax(x, axis, keepdims),
    "concatenate": lambda tensors, axis=0: cat(tensors, axis),
    "max": lambda x, axis=None, keepdims=False: max(x, axis=axis, keepdims=keepdims),
    "mean": lambda x, axis=None, keepdims=False: mean(x, axis=axis, keepdims=keepdims),
    "min": lambda x, axis=None, keepdims=False: min(x, axis=axis, keepdims=keepdims),
    "reshape": lambda x, shape: reshape(x, shape),
    "stack": lambda tensors, axis=0: stack(tensors, axis),
    "sum": lambda x, axis=None, keepdims=False: sum(x, axis=axis, keepdims=keepdims),
    "transpose": lambda x, axes=None: transpose(x) if axes is None else permute(x, axes),
    "where": lambda condition, a, b: where(condition, a, b),
}

__all__ = [
    "absolute",
    "adaptive_avg_pool2d",
    "add",
    "argmax",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "cast",
    "cat",
    "clone",
    "conv1d",
    "conv2d",
    "conv_transpose2d",
    "cross_entropy",
    "divide",
    "dropout",
    "embedding",
    "exp",
    "expand",
    "feed_forward",
    "flatten",
    "gelu",
    "getitem",
    "group_norm",
    "instance_norm",
    "interpolate",
    "layer_norm",
    "linear",
    "log",
    "log_softmax",
    "matmul",
    "max",
    "max_pool1d",
    "max_pool2d",
    "maximum",
    "mean",
    "min",
    "minimum",
    "multiply",
    "negative",
    "permute",
    "power",
    "qkv_attention",
    "relu",
    "reshape",
    "rms_norm",
    "rotary_embedding",
    "rotary_tables",
    "scaled_dot_product_attention",
    "sigmoid",
    "softmax",
    "split",
    "sqrt",
    "squeeze",
    "stack",
    "subtract",
    "sum",
    "tanh",
    "transpose",
    "unsqueeze",
    "where",
]
