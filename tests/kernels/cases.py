"""What every fused kernel is checked on, and how far it may be from the float64 reference.

A `Check` belongs to one function of an operation. Its inputs are float32; the fused version computes on them, the
reference on the same numbers in float64, so that the difference is the fused version's own rounding. Bounds follow the
arithmetic: with U = 2⁻²⁴, one rounding changes a result by at most U of itself, and a sum of products of k terms, in
whatever order, by at most k·U·Σ|a·b| (to first order; `gamma` is the exact form; Higham 2002, section 3.1). Where a
bound has a small whole number beside U, it is the number of roundings on the way.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from gdengine.kernels.conv2d import Geometry
from gdengine.kernels.conv2d import reference as reference_conv2d
from gdengine.kernels.rotary import reference as reference_rotary

U = 2.0**-24
TINY = 2.0**-125  # what becomes 0 instead of a denormal number, or of e^−87.3

Arrays = dict[str, Any]


@dataclass(frozen=True)
class Check:
    """``inputs`` yields arguments by name; ``call(function, arguments)`` and ``bound(arguments, results)`` give arrays
    by name: the results, and the error allowed to each. In bounds, ``before_x`` is what x held before the call."""

    inputs: Callable[[], Iterator[Arrays]]
    call: Callable[[Any, Arrays], Arrays]
    bound: Callable[[Arrays, Arrays], Arrays]


CHECKS: dict[str, Check] = {}


def gamma(k: float) -> float:
    return k * U / (1 - k * U)


def numbers(*shape: int, seed: int = 0) -> Any:
    return np.asarray(np.random.default_rng([seed, *shape]).normal(size=shape), np.float32)


def copied(arguments: Arrays, dtype: Any = None) -> Arrays:
    """The same arguments in arrays of their own; float arrays in ``dtype`` where given."""

    def copy(value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        return value.astype(dtype or value.dtype) if value.dtype.kind == "f" else value.copy()

    return {name: copy(value) for name, value in arguments.items()}


def plain(*names: str) -> Callable[[Any, Arrays], Arrays]:
    """The call of a function whose arguments have its own names, and whose results are to have ``names``."""

    def call(function: Any, arguments: Arrays) -> Arrays:
        results = function(**arguments)
        return dict(zip(names, results if isinstance(results, tuple) else (results,), strict=True))

    return call


def in_place(*names: str) -> Callable[[Any, Arrays], Arrays]:
    """The call of a function that writes into its arguments ``names``."""

    def call(function: Any, arguments: Arrays) -> Arrays:
        function(**arguments)
        return {name: arguments[name] for name in names}

    return call


# linear ---------------------------------------------------------------------------------------------------------------

# (M, K, N): single rows and columns; primes; round the 16 rows of a cache line and the 512 of a block; empty; large
LINEAR = ((1, 1, 1), (1, 7, 130), (3, 1, 2), (2, 300, 1), (17, 31, 13), (15, 16, 17), (511, 5, 3), (513, 33, 65))
LINEAR += ((0, 4, 3), (4, 0, 3), (4, 3, 0), (0, 0, 0), (600, 48, 130), (40, 90, 700))
EPILOGUES = ((None, False, False), (None, True, False), (None, True, True), (None, False, True))
EPILOGUES += (("relu", True, False), ("gelu", True, False), ("gelu", False, False))


def linear_forward() -> Iterator[Arrays]:
    for m, k, n in LINEAR:
        for activation, bias, residual in EPILOGUES:
            b, r = numbers(n, seed=3) if bias else None, numbers(m, n, seed=4) if residual else None
            yield {"x": numbers(m, k), "w": numbers(n, k, seed=1), "b": b, "activation": activation, "residual": r}


def linear_forward_call(function: Any, a: Arrays) -> Arrays:
    y, saved = function(a["x"], a["w"], a["b"], activation=a["activation"], residual=a["residual"])
    assert (saved is None) == (a["activation"] is None)
    return {"y": y} if saved is None else {"y": y, "saved": saved}


def linear_forward_bound(a: Arrays, out: Arrays) -> Arrays:
    size = np.abs(a["x"]) @ np.abs(a["w"]).T
    for term in (a["b"], a["residual"]):
        size = size if term is None else size + np.abs(term)
    z = gamma(a["x"].shape[1] + 2) * size
    if a["activation"] == "gelu":  # its slope is at most 1.13
        return {"saved": z, "y": 1.13 * z + gelu_error(out["saved"] if "saved" in out else out["y"])}
    return {"saved": z, "y": z}


def products(rows: str, columns: str) -> Callable[[], Iterator[Arrays]]:
    """dY (M, N) with X (M, K) or W (N, K), into an array that is not given, is overwritten, or is added to."""

    def inputs() -> Iterator[Arrays]:
        for m, k, n in LINEAR:
            shapes = {"dy": (m, n), "x": (m, k), "w": (n, k)}
            result = (m, k) if columns == "w" else (n, k)
            for out, accumulate in outputs(numbers(*result, seed=5)):
                operands = {name: numbers(*shapes[name], seed=i) for i, name in enumerate((rows, columns))}
                yield {**operands, "out": out, "accumulate": accumulate}

    return inputs


def outputs(array: Any) -> tuple[tuple[Any, bool], ...]:
    """``out`` and ``accumulate``: without an array there is nothing to add to."""
    return (None, False), (None, True), (array, False), (array, True)


def into(function: Any, a: Arrays) -> Arrays:
    result = function(**a)
    assert a["out"] is None or result is a["out"]
    return {"result": result}


def held(a: Arrays) -> Any:
    return np.abs(a["before"]) if a["accumulate"] and a["out"] is not None else 0


CHECKS["linear.forward"] = Check(linear_forward, linear_forward_call, linear_forward_bound)


def linear_input() -> Iterator[Arrays]:
    for a in products("dy", "w")():
        yield {**a, "activation": None, "saved": None}
        shape = (a["dy"].shape[0], a["w"].shape[1])
        for activation in ("relu", "gelu"):
            yield {**a, "activation": activation, "saved": numbers(*shape, seed=6)}


def linear_input_bound(a: Arrays, _: Arrays) -> Arrays:
    size = np.abs(a["dy"]) @ np.abs(a["w"])
    error = gamma(a["dy"].shape[1] + 1) * (size + held(a))
    if a["activation"] == "gelu":  # its slope is at most 1.13
        return {"result": 1.13 * error + gelu_slope_error(size, a["saved"]) + U * (2 * size + held(a))}
    return {"result": error + U * held(a)}


def linear_weight() -> Iterator[Arrays]:
    for a in products("dy", "x")():
        for db, accumulate in ((None, False), *outputs(numbers(a["dy"].shape[1], seed=6))[2:]):
            yield {**a, "db": db, "accumulate_db": accumulate}


def linear_weight_call(function: Any, a: Arrays) -> Arrays:
    return {**into(function, a), **({} if a["db"] is None else {"db": a["db"]})}


def linear_weight_bound(a: Arrays, _: Arrays) -> Arrays:
    n, dy = a["dy"].shape[0], np.abs(a["dy"])
    before = np.abs(a["before_db"]) if a["accumulate_db"] else 0
    return {"result": gamma(n + 1) * (dy.T @ np.abs(a["x"]) + held(a)), "db": gamma(n + 1) * (dy.sum(axis=0) + before)}


CHECKS["linear.backward_input"] = Check(linear_input, into, linear_input_bound)
CHECKS["linear.backward_weight"] = Check(linear_weight, linear_weight_call, linear_weight_bound)


def linear_bias() -> Iterator[Arrays]:
    for m, n in ((1, 1), (1, 40), (7, 1), (63, 5), (64, 17), (65, 31), (129, 16), (0, 3), (3, 0), (700, 130)):
        for out, accumulate in outputs(numbers(n, seed=5)):
            yield {"dy": numbers(m, n), "out": out, "accumulate": accumulate}


CHECKS["linear.backward_bias"] = Check(
    linear_bias, into, lambda a, _: {"result": gamma(a["dy"].shape[0] + 1) * (np.abs(a["dy"]).sum(axis=0) + held(a))}
)


def linear_activation() -> Iterator[Arrays]:
    for shape in ((1, 1), (1, 5), (13, 7), (17, 33), (0, 4), (200, 301)):
        for activation in ("relu", "gelu"):
            yield {"dy": numbers(*shape), "saved": numbers(*shape, seed=1), "activation": activation}


CHECKS["linear.backward_activation"] = Check(
    linear_activation,
    plain("dz"),  # relu multiplies by 0 or 1, which is exact
    lambda a, _: {"dz": gelu_slope_error(a["dy"], a["saved"]) if a["activation"] == "gelu" else 0.0},
)


def linear_all() -> Iterator[Arrays]:
    """Every activation, every choice of results, each overwritten and added to; the largest shapes last."""
    for m, k, n in LINEAR:
        shapes = {"dx": (m, k), "dw": (n, k), "db": (n,)}
        for activation, below in ((None, None), ("relu", None), ("gelu", "relu"), (None, "gelu")):
            saved = None if activation is None else numbers(m, n, seed=6)
            below_saved = None if below is None else numbers(m, k, seed=7)
            for wanted in (("dx",), ("dw",), ("db",), ("dx", "dw", "db")):
                results = {name: numbers(*shape, seed=5) if name in wanted else None for name, shape in shapes.items()}
                for accumulate in ((False, False, False), (True, True, True), (False, True, False))[: len(wanted)]:
                    x, w = (None, None) if wanted == ("db",) else (numbers(m, k, seed=1), numbers(n, k, seed=2))
                    yield {
                        **{"dy": numbers(m, n), "x": x, "w": w},
                        **{"activation": activation, "saved": saved, "below": below, "below_saved": below_saved},
                        **{"accumulate": accumulate, **results},
                    }


def linear_all_call(function: Any, a: Arrays) -> Arrays:
    function(**a)
    return {name: a[name] for name in ("dx", "dw", "db") if a[name] is not None}


def linear_all_bound(a: Arrays, _: Arrays) -> Arrays:
    """dZ is off by the slope's error, which each product carries on."""
    (m, n), size = a["dy"].shape, 1.13 * np.abs(a["dy"])
    slope = gelu_slope_error(a["dy"], a["saved"]) if a["activation"] == "gelu" else np.zeros((m, n))
    before = [
        np.abs(a["before_" + name]) if added and a[name] is not None else 0.0
        for name, added in zip(("dx", "dw", "db"), a["accumulate"], strict=True)
    ]
    db = gamma(m + 2) * (size.sum(axis=0) + before[2]) + 2 * slope.sum(axis=0)
    if a["x"] is None:
        return {"db": db}
    x, w = np.abs(a["x"]), np.abs(a["w"])
    dx = gamma(n + 2) * (size @ w + before[0]) + 2 * slope @ w
    if a["below"] == "gelu":  # its slope is at most 1.13
        dx = 1.13 * dx + gelu_slope_error(size @ w, a["below_saved"]) + U * (2 * size @ w + before[0])
    return {
        "dx": dx + U * before[0],
        "dw": gamma(m + 2) * (size.T @ x + before[1]) + 2 * slope.T @ x,
        "db": db,
    }


CHECKS["linear.backward"] = Check(linear_all, linear_all_call, linear_all_bound)


# gelu -----------------------------------------------------------------------------------------------------------------


OF_TANH = 2.0**-51


def gelu_parts(x: Any) -> tuple[Any, Any, Any]:
    """|2u|, σ(2u) and (2u)', with u the argument of gelu's tanh."""
    root, cubic = math.sqrt(2 / math.pi), 0.044715
    v = 2 * root * (x + cubic * x**3)
    return np.abs(v), 0.5 * (1 + np.tanh(v / 2)), 2 * root * (1 + 3 * cubic * x * x)


def gelu_error(x: Any) -> Any:
    """|2u| carries 4 roundings (two of them its constants), which e^−|2u| turns into 4·|2u|; itself it adds 2.
    σ = 1 / (1 + e) or e / (1 + e), and its product with x, add 4. The reference loses digits too, in 1 + tanh."""
    v, sigma, _ = gelu_parts(x)
    return U * (4 * v + 6) * np.abs(x * sigma) + (TINY + OF_TANH) * np.abs(x)


def gelu_slope_error(dy: Any, x: Any) -> Any:
    """σ as above; x·e·s²·(2u)' with s = 1/(1 + e) has e once more (4·|2u| + 2), s twice (4 each) and 10 other steps."""
    v, sigma, slope = gelu_parts(x)
    size = np.abs(dy) * (sigma + np.abs(x) * sigma * (1 - sigma) * slope)
    return U * (4 * v + 21) * size + (TINY + OF_TANH) * np.abs(dy) * (1 + np.abs(x) * slope)


def gelu_inputs() -> Iterator[Arrays]:
    for shape in ((), (1,), (2, 1), (15,), (3, 5, 7), (17, 31), (0,), (4, 0), (40_001,)):
        yield {"x": np.asarray(numbers(*shape) * 4, np.float32)}
    yield {"x": np.linspace(-30, 30, 4_001, dtype=np.float32)}


CHECKS["gelu.forward"] = Check(gelu_inputs, plain("y"), lambda a, _: {"y": gelu_error(a["x"])})
CHECKS["gelu.backward"] = Check(
    lambda: ({"dy": numbers(*a["x"].shape, seed=8), **a} for a in gelu_inputs()),
    plain("dx"),
    lambda a, _: {"dx": gelu_slope_error(a["dy"], a["x"])},
)


# silu and swiglu ------------------------------------------------------------------------------------------------------


def sigma(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def silu_error(x: Any) -> Any:
    """e^−|x| adds 2 roundings, 1 + e, the quotient and the product with x one each; one is left over."""
    return 6 * U * np.abs(x) * sigma(x) + TINY * np.abs(x)


def silu_slope_error(x: Any) -> Any:
    """σ(x) and σ(−x) as above, σ·(1 + x·σ) three more: 14 roundings of terms of either sign."""
    return 14 * U * sigma(x) * (1 + np.abs(x) * sigma(-x)) + TINY * (1 + np.abs(x))


def gate_inputs() -> Iterator[Arrays]:
    for a in gelu_inputs():
        yield {"a": a["x"], "b": numbers(*a["x"].shape, seed=7)}


CHECKS["silu.forward"] = Check(gelu_inputs, plain("y"), lambda a, _: {"y": silu_error(a["x"])})
CHECKS["silu.backward"] = Check(
    lambda: ({"dy": numbers(*a["x"].shape, seed=8), **a} for a in gelu_inputs()),
    plain("dx"),
    lambda a, _: {"dx": np.abs(a["dy"]) * (silu_slope_error(a["x"]) + U)},
)
CHECKS["swiglu.forward"] = Check(
    gate_inputs,
    plain("y"),
    lambda a, _: {"y": np.abs(a["b"]) * (silu_error(a["a"]) + U * np.abs(a["a"]) * sigma(a["a"]))},
)
CHECKS["swiglu.backward"] = Check(
    lambda: ({"dy": numbers(*a["a"].shape, seed=8), **a} for a in gate_inputs()),
    plain("da", "db"),
    lambda a, _: {
        "da": np.abs(a["dy"] * a["b"]) * (silu_slope_error(a["a"]) + 2 * U * sigma(a["a"]) * (1 + np.abs(a["a"]))),
        "db": np.abs(a["dy"]) * (silu_error(a["a"]) + U * np.abs(a["a"]) * sigma(a["a"])),
    },
)


# layer_norm -----------------------------------------------------------------------------------------------------------

NORMS = ((1, 1), (1, 5), (7, 1), (5, 2), (13, 31), (17, 16), (63, 17), (65, 33), (129, 7), (0, 4), (300, 130))


def layer_norm_forward() -> Iterator[Arrays]:
    for m, n in NORMS:
        w, b = numbers(n, seed=1), numbers(n, seed=2)
        for weight, bias in ((w, b), (w, None), (None, b), (None, None)):
            yield {"x": numbers(m, n) * 3 + np.float32(1), "w": weight, "b": bias, "eps": 1e-5}


def layer_norm_forward_bound(a: Arrays, out: Arrays) -> Arrays:
    x, n = a["x"], a["x"].shape[1]
    w, b = 1.0 if a["w"] is None else np.abs(a["w"]), 0.0 if a["b"] is None else np.abs(a["b"])
    mean = gamma(n + 1) * np.abs(x).mean(axis=1)
    centred = np.abs(x - out["mean"][:, None])
    # An error d of the mean changes mean((x − mean)²) by d²: the term of first order is d times a sum that is 0.
    # x − mean is rounded once, squared and summed. eps is rounded, then the sum; the root, and 1 over it.
    variance = (centred**2).mean(axis=1)
    relative = ((gamma(n + 4) * variance + mean**2) / (variance + a["eps"]) + 2 * U) / 2 + 2 * U
    # (x − mean) · rstd · w + b: 5 roundings
    scale = (w * out["rstd"][:, None]) * (centred * (relative[:, None] + 5 * U) + mean[:, None])
    return {"mean": mean, "rstd": out["rstd"] * relative, "y": scale + 2 * U * b}


def layer_norm_backward() -> Iterator[Arrays]:
    every = ((True, True, True), (True, False, False), (False, True, True), (False, False, True))
    for m, n in NORMS:
        for wanted in every:
            for accumulate in ((False, False, False), (True, True, True)):
                shapes = {"dx": (m, n), "dw": (n,), "db": (n,)}
                out = {
                    k: numbers(*s, seed=6) if asked else None
                    for (k, s), asked in zip(shapes.items(), wanted, strict=True)
                }
                given = {"dy": numbers(m, n), "x": numbers(m, n, seed=1), "w": numbers(n, seed=2) if m % 2 else None}
                statistics = {"mean": numbers(m, seed=3), "rstd": np.abs(numbers(m, seed=4))}
                yield {**given, **statistics, **out, "accumulate": accumulate}


def layer_norm_backward_call(function: Any, a: Arrays) -> Arrays:
    function(**a)
    return {name: a[name] for name in ("dx", "dw", "db") if a[name] is not None}


def layer_norm_backward_bound(a: Arrays, _: Arrays) -> Arrays:
    m, n = a["dy"].shape
    dy, w, rstd = np.abs(a["dy"]), 1.0 if a["w"] is None else np.abs(a["w"]), a["rstd"][:, None]
    normed = np.abs(a["x"] - a["mean"][:, None]) * rstd
    d = dy * w
    before = {
        k: np.abs(a["before_" + k]) if a["accumulate"][0] and a[k] is not None else 0.0 for k in ("dx", "dw", "db")
    }
    # x̂ is rounded twice, dY·w once, the sums n times and divided; then 2 products, 2 differences, rstd, the addition.
    sums = d + d.mean(axis=1, keepdims=True) + normed * (d * normed).mean(axis=1, keepdims=True)
    return {
        "dx": gamma(n + 12) * (rstd * sums + before["dx"]),
        "dw": gamma(m + 4) * ((dy * normed).sum(axis=0) + before["dw"]),
        "db": gamma(m + 1) * (dy.sum(axis=0) + before["db"]),
    }


CHECKS["layer_norm.forward"] = Check(layer_norm_forward, plain("y", "mean", "rstd"), layer_norm_forward_bound)
CHECKS["layer_norm.backward"] = Check(layer_norm_backward, layer_norm_backward_call, layer_norm_backward_bound)


# rms_norm -------------------------------------------------------------------------------------------------------------


def rms_norm_forward() -> Iterator[Arrays]:
    for m, n in NORMS:
        for weight in (numbers(n, seed=1), None):
            yield {"x": numbers(m, n) * 3 + np.float32(1), "w": weight, "eps": 1e-5}


def rms_norm_forward_bound(a: Arrays, out: Arrays) -> Arrays:
    # n squares of one sign; the mean, eps, the root and 1 over it: 5; then two products
    relative = gamma(a["x"].shape[1] + 1) / 2 + 5 * U
    return {"rstd": relative * out["rstd"], "y": (relative + 3 * U) * np.abs(out["y"])}


def rms_norm_backward() -> Iterator[Arrays]:
    for m, n in NORMS:
        for wanted in ((True, True), (True, False), (False, True)):
            for accumulate in ((False, False), (True, True)):
                shapes = {"dx": (m, n), "dw": (n,)}
                out = {
                    k: numbers(*s, seed=6) if asked else None
                    for (k, s), asked in zip(shapes.items(), wanted, strict=True)
                }
                given = {"dy": numbers(m, n), "x": numbers(m, n, seed=1), "w": numbers(n, seed=2) if m % 2 else None}
                yield {**given, "rstd": np.abs(numbers(m, seed=4)), **out, "accumulate": accumulate}


def rms_norm_backward_call(function: Any, a: Arrays) -> Arrays:
    function(**a)
    return {name: a[name] for name in ("dx", "dw") if a[name] is not None}


def rms_norm_backward_bound(a: Arrays, _: Arrays) -> Arrays:
    m, n = a["dy"].shape
    dy, w, rstd = np.abs(a["dy"]), 1.0 if a["w"] is None else np.abs(a["w"]), a["rstd"][:, None]
    normed, d = np.abs(a["x"]) * rstd, dy * w
    before = {k: np.abs(a["before_" + k]) if a["accumulate"][0] and a[k] is not None else 0.0 for k in ("dx", "dw")}
    # x̂ and dY·w are rounded once, the sum n times and divided; then a product, a difference, rstd, the addition.
    sums = d + normed * (d * normed).mean(axis=1, keepdims=True)
    return {
        "dx": gamma(n + 9) * (rstd * sums + before["dx"]),
        "dw": gamma(m + 3) * ((dy * normed).sum(axis=0) + before["dw"]),
    }


CHECKS["rms_norm.forward"] = Check(rms_norm_forward, plain("y", "rstd"), rms_norm_forward_bound)
CHECKS["rms_norm.backward"] = Check(rms_norm_backward, rms_norm_backward_call, rms_norm_backward_bound)


# conv2d ---------------------------------------------------------------------------------------------------------------

# X, W, the geometry: windows beyond every edge, strides, dilation, groups; fewer images than threads, and more; large
CONVOLUTIONS = (
    ((1, 1, 1, 1), (1, 1, 1, 1), Geometry((1, 1), (0, 0), (1, 1), 1, (1, 1))),
    ((2, 3, 5, 7), (4, 3, 3, 3), Geometry((1, 1), (1, 1), (1, 1), 1, (5, 7))),
    ((3, 4, 8, 5), (6, 2, 2, 3), Geometry((2, 1), (0, 2), (1, 1), 2, (4, 7))),
    ((1, 6, 9, 9), (6, 2, 3, 3), Geometry((2, 3), (1, 1), (2, 2), 3, (4, 3))),
    ((2, 2, 3, 3), (5, 2, 3, 3), Geometry((1, 1), (4, 3), (1, 1), 1, (9, 7))),
    ((0, 2, 3, 3), (5, 2, 3, 3), Geometry((1, 1), (1, 1), (1, 1), 1, (3, 3))),
    ((1, 5, 16, 16), (16, 5, 3, 3), Geometry((1, 1), (1, 1), (1, 1), 1, (16, 16))),
    ((5, 9, 18, 18), (24, 9, 5, 3), Geometry((1, 1), (2, 1), (1, 1), 1, (18, 18))),
)


def convolutions(*given: str) -> Iterator[Arrays]:
    for x, w, geometry in CONVOLUTIONS:
        shapes = {"x": x, "w": w, "dy": (x[0], w[0], *geometry.output)}
        yield {**{name: numbers(*shapes[name], seed=i) for i, name in enumerate(given)}, "geometry": geometry}


def conv2d_bound(a: Arrays, _: Arrays) -> Arrays:
    size = reference_conv2d.forward(*(np.abs(a[name]) for name in "xw"), geometry=a["geometry"])
    size = size if a["b"] is None else size + np.abs(a["b"])[:, None, None]
    return {"y": gamma(a["w"][0].size + 1) * size}


CHECKS["conv2d.forward"] = Check(
    lambda: ({**a, "b": b} for a in convolutions("x", "w") for b in (None, numbers(len(a["w"]), seed=3))),
    plain("y"),
    conv2d_bound,
)


def conv2d_input() -> Iterator[Arrays]:
    for (shape, _, _), a in zip(CONVOLUTIONS, convolutions("dy", "w"), strict=True):
        for out, accumulate in outputs(numbers(*shape, seed=5)):
            yield {**a, "x_shape": shape, "out": out, "accumulate": accumulate}


def conv2d_input_bound(a: Arrays, _: Arrays) -> Arrays:
    size = reference_conv2d.backward_input(np.abs(a["dy"]), np.abs(a["w"]), a["x_shape"], geometry=a["geometry"])
    return {"result": gamma(len(a["w"]) * a["w"][0, 0].size + 1) * (size + held(a))}


def conv2d_weight() -> Iterator[Arrays]:
    for (_, shape, _), a in zip(CONVOLUTIONS, convolutions("dy", "x"), strict=True):
        for out, accumulate in outputs(numbers(*shape, seed=5)):
            for db, accumulate_db in ((None, False), *outputs(numbers(shape[0], seed=6))[2:]):
                given = {**a, "w_shape": shape, "out": out, "accumulate": accumulate}
                yield {**given, "db": db, "accumulate_db": accumulate_db}


def conv2d_weight_bound(a: Arrays, _: Arrays) -> Arrays:
    dy, x = np.abs(a["dy"]), np.abs(a["x"])
    size = reference_conv2d.backward_weight(dy, x, a["w_shape"], geometry=a["geometry"])
    before = np.abs(a["before_db"]) if a["accumulate_db"] else 0
    k = gamma(dy[:, :1].size + 2)
    return {"result": k * (size + held(a)), "db": k * (dy.sum(axis=(0, 2, 3)) + before)}


CHECKS["conv2d.backward_input"] = Check(conv2d_input, into, conv2d_input_bound)
CHECKS["conv2d.backward_weight"] = Check(conv2d_weight, linear_weight_call, conv2d_weight_bound)


# rotary ---------------------------------------------------------------------------------------------------------------


def rotary_inputs() -> Iterator[Arrays]:
    for shape, half in (
        ((1, 1, 2), 1),
        ((3, 5, 8), 4),
        ((2, 7, 11), 3),
        ((0, 2, 4), 2),
        ((2, 3, 5), 0),
        ((9, 130, 34), 16),
    ):
        angle = numbers(shape[1], half, seed=1)
        for interleaved in (False, True):
            for inverse in (False, True):
                arrays = {"x": numbers(*shape), "cos": np.cos(angle), "sin": np.sin(angle)}
                yield {**arrays, "interleaved": interleaved, "inverse": inverse}


def rotary_bound(a: Arrays, _: Arrays) -> Arrays:  # two products and a sum
    x, cos, sin = (np.abs(a[name]) for name in ("x", "cos", "sin"))
    signed, other = (
        reference_rotary.rotate(x, cos, sin, interleaved=a["interleaved"], inverse=inverse) for inverse in (False, True)
    )
    return {"y": 3 * U * np.maximum(signed, other)}


CHECKS["rotary.rotate"] = Check(rotary_inputs, plain("y"), rotary_bound)


# embedding ------------------------------------------------------------------------------------------------------------

EMBEDDINGS = ((1, 1, ()), (1, 3, (1,)), (5, 1, (2, 3)), (7, 16, (13,)), (11, 17, (3, 2, 5)), (4, 5, (0,)))
EMBEDDINGS += ((100, 65, (30, 30)),)
INDICES = (np.int64, np.int32, np.uint8, np.int16, np.uint64)


def ids(v: int, shape: tuple[int, ...], dtype: Any) -> Any:
    return np.asarray(np.random.default_rng(5).integers(0, v, size=shape)).astype(dtype)


CHECKS["embedding.forward"] = Check(
    lambda: ({"w": numbers(v, c), "ids": ids(v, s, dtype)} for v, c, s in EMBEDDINGS for dtype in INDICES),
    plain("y"),
    lambda a, out: {"y": 0.0},
)
CHECKS["embedding.backward"] = Check(
    lambda: (
        {"dy": numbers(*s, c), "ids": ids(v, s, dtype), "out": numbers(v, c, seed=1), "accumulate": accumulate}
        for v, c, s in EMBEDDINGS
        for dtype in INDICES
        for accumulate in (False, True)
    ),
    into,
    lambda a, _: {"result": embedding_error(a)},
)


def embedding_error(a: Arrays) -> Any:
    size, times = np.zeros_like(a["out"]), np.zeros(len(a["out"]))
    flat = a["ids"].reshape(-1)
    np.add.at(size, flat, np.abs(a["dy"]).reshape(flat.size, size.shape[1]))
    np.add.at(times, flat, 1)
    return U * (times[:, None] + 1) * (size + held(a))


# cross_entropy --------------------------------------------------------------------------------------------------------

LOSSES = ((1, 1), (1, 7), (5, 1), (13, 10), (17, 16), (16, 33), (31, 129), (0, 5), (200, 257))


def targets(m: int, v: int, dtype: Any = np.int64, ignored: int | None = -100) -> Any:
    chosen = np.random.default_rng([m, v]).integers(0, v, size=m).astype(dtype)
    if ignored is not None:
        chosen[::5] = ignored
    return chosen


def cross_entropy_forward() -> Iterator[Arrays]:
    for m, v in LOSSES:
        logits = numbers(m, v) * 3
        yield {"logits": logits, "targets": targets(m, v), "ignore_index": -100}
        yield {"logits": logits, "targets": targets(m, v, np.int32, 0), "ignore_index": 0}
        if v < 256:
            yield {"logits": logits, "targets": targets(m, v, np.uint8, None), "ignore_index": -100}


def cross_entropy_forward_bound(a: Arrays, out: Arrays) -> Arrays:
    z = a["logits"]
    centred = np.abs(z - z.max(axis=1, keepdims=True))
    p = np.exp(z - out["lse"][:, None])
    # Each e^(z − top) has the rounding of its argument and 1.01 of its own; the sum rounds V times; log at most twice.
    of_sum = U * ((p * centred).sum(axis=1) + 2) + gamma(z.shape[1]) + TINY * z.shape[1]
    log_sum = np.abs(out["lse"] - z.max(axis=1))
    lse = of_sum + U * (2 * log_sum + np.abs(out["lse"]))
    chosen = centred[np.arange(len(z)), np.where(a["targets"] == a["ignore_index"], 0, a["targets"]).astype(np.int64)]
    return {"lse": lse, "losses": of_sum + U * (2 * log_sum + chosen + np.abs(out["losses"]))}


def cross_entropy_backward() -> Iterator[Arrays]:
    for a in cross_entropy_forward():
        m, v = a["logits"].shape
        lse = np.log(np.exp(a["logits"].astype(np.float64)).sum(axis=1)).astype(np.float32)
        for out, accumulate in outputs(numbers(m, v, seed=7)):
            yield {**a, "dlosses": numbers(m, seed=2), "lse": lse, "out": out, "accumulate": accumulate}


def cross_entropy_backward_bound(a: Arrays, _: Arrays) -> Arrays:
    away = np.abs(a["logits"] - a["lse"][:, None])
    p = np.exp(a["logits"] - a["lse"][:, None])
    # the argument of exp is rounded, which counts by its size; exp has 1.01; −1, the product, the addition: 3
    size = np.abs(a["dlosses"])[:, None] * (p * (away + 2) + 3 * (p + 1))
    return {"result": U * (size + held(a)) + TINY}


CHECKS["cross_entropy.forward"] = Check(cross_entropy_forward, plain("losses", "lse"), cross_entropy_forward_bound)
CHECKS["cross_entropy.backward"] = Check(cross_entropy_backward, into, cross_entropy_backward_bound)


# linear_cross_entropy -------------------------------------------------------------------------------------------------

# (M, K, V, rows of a chunk)
HEADS = ((1, 1, 1, None), (5, 3, 7, 2), (13, 8, 10, 4), (17, 5, 33, 17), (31, 16, 29, 8), (0, 4, 5, None))
HEADS += ((300, 40, 700, 150),)


def head_forward() -> Iterator[Arrays]:
    for m, k, v, rows in HEADS:
        for b in (None, numbers(v, seed=2)):
            arrays = {"x": numbers(m, k), "w": numbers(v, k, seed=1), "b": b}
            yield {**arrays, "targets": targets(m, v), "ignore_index": -100, "rows": rows}
            yield {**arrays, "targets": targets(m, v, np.int32, 0), "ignore_index": 0, "rows": rows}


def head_logits(a: Arrays) -> tuple[Any, Any, Any]:
    """The logits, how far each may be off, and their log-sum-exp."""
    b = 0 if a["b"] is None else a["b"]
    z = a["x"] @ a["w"].T + b
    off = gamma(a["x"].shape[1] + 2) * (np.abs(a["x"]) @ np.abs(a["w"]).T + np.abs(b))
    return z, off, np.log(np.exp(z).sum(axis=1, keepdims=True))


def head_losses_bound(a: Arrays, losses: Any) -> Any:
    """That of cross_entropy, and what the logits are off: the chosen one's, and of the others the mean under p."""
    z, off, lse = head_logits(a)
    of_loss = cross_entropy_forward_bound({**a, "logits": z}, {"lse": lse[:, 0], "losses": losses})["losses"]
    return of_loss + 2 * off.max(axis=1, initial=0)


def head_backward() -> Iterator[Arrays]:
    every = ((True, True, True), (True, False, False), (False, True, False), (False, False, True))
    for a in head_forward():
        (m, k), v = a["x"].shape, len(a["w"])
        shapes = {"dx": (m, k), "dw": (v, k), "db": (v,)}
        for number, wanted in enumerate(every):
            out = {
                name: numbers(*shape, seed=6) if asked else None
                for (name, shape), asked in zip(shapes.items(), wanted, strict=True)
            }
            yield {**a, "dlosses": numbers(m, seed=3), **out, "accumulate": (number % 2 == 0,) * 3}


def head_backward_call(function: Any, a: Arrays) -> Arrays:
    losses = function(**a)
    return {"losses": losses, **{name: a[name] for name in ("dx", "dw", "db") if a[name] is not None}}


def head_backward_bound(a: Arrays, out: Arrays) -> Arrays:
    z, off, lse = head_logits(a)
    m, v = z.shape
    counted = (a["targets"] != a["ignore_index"])[:, None]
    p, d = counted * np.exp(z - lse), np.abs(a["dlosses"])[:, None] * counted
    size = d * (p + (np.arange(v) == a["targets"][:, None]))
    # e^(z − top), the sum of V of them, the division and two products, −1; and p moves by what the logits do, twice
    top = z.max(axis=1, keepdims=True, initial=-np.inf)
    of_dz = d * p * (2 * off.max(axis=1, keepdims=True, initial=0) + U * np.abs(z - top) + gamma(v + 6)) + 3 * U * size
    of_dz += TINY * d
    before = {
        n: np.abs(a["before_" + n]) if a["accumulate"][0] and a[n] is not None else 0.0 for n in ("dx", "dw", "db")
    }
    x, w = np.abs(a["x"]), np.abs(a["w"])
    return {
        "losses": head_losses_bound(a, out["losses"]),
        "dx": of_dz @ w + gamma(v + 1) * (size @ w + before["dx"]),
        "dw": of_dz.T @ x + gamma(m + 2) * (size.T @ x + before["dw"]),
        "db": of_dz.sum(axis=0) + gamma(m + 2) * (size.sum(axis=0) + before["db"]),
    }


CHECKS["linear_cross_entropy.forward"] = Check(
    head_forward, plain("losses"), lambda a, out: {"losses": head_losses_bound(a, out["losses"])}
)
CHECKS["linear_cross_entropy.backward"] = Check(head_backward, head_backward_call, head_backward_bound)


# attention ------------------------------------------------------------------------------------------------------------

# (B, H, T, S, D): round the 64 rows of a block; one query against many keys
ATTENTION = (
    (1, 1, 1, 1, 1),
    (2, 3, 7, 7, 5),
    (1, 2, 63, 63, 8),
    (1, 2, 64, 64, 3),
    (2, 1, 65, 65, 16),
    (1, 1, 129, 129, 4),
)
ATTENTION += (
    (2, 2, 1, 9, 8),
    (1, 3, 5, 70, 4),
    (1, 2, 70, 3, 4),
    (2, 1, 0, 5, 4),
    (0, 2, 3, 3, 4),
    (2, 3, 130, 130, 16),
)
DROPOUT = (0.3, (11, 22), 2**33 + 5)


def attention_inputs() -> Iterator[Arrays]:
    for b, h, t, s, d in ATTENTION:
        arrays = {"q": numbers(b, h, t, d), "k": numbers(b, h, s, d, seed=1), "v": numbers(b, h, s, d, seed=2)}
        for causal in (False, True) if t == s else (False,):
            for dropout, scale in ((None, None), (None, 0.3), (DROPOUT, None)):
                yield {**arrays, "causal": causal, "scale": scale, "dropout": dropout}


def settings(a: Arrays) -> Arrays:
    return {name: a[name] for name in ("causal", "scale", "dropout")}


def attention_forward_call(function: Any, a: Arrays) -> Arrays:
    return {"o": function(a["q"], a["k"], a["v"], **settings(a))[0]}


def attention_weights(a: Arrays) -> tuple[Any, Any, float]:
    """P, how far each of its rows may be off (relative), and by how much dropout multiplies."""
    scale = 1 / math.sqrt(a["q"].shape[3]) if a["scale"] is None else a["scale"]
    keys = a["k"].swapaxes(-1, -2)
    s = scale * (a["q"] @ keys)
    off = gamma(a["q"].shape[3] + 2) * abs(scale) * (np.abs(a["q"]) @ np.abs(keys))
    seen = np.tri(*s.shape[2:], dtype=bool) if a["causal"] else np.ones(s.shape[2:], bool)
    s = np.where(seen, s, -np.inf)
    top = s.max(axis=-1, keepdims=True)
    p = np.exp(s - top)
    p /= p.sum(axis=-1, keepdims=True)
    # e^(s − top): both arguments are off, their difference is rounded, exp adds 1.01; the sum, 1/sum, the product.
    away = np.where(seen, top - s, 0).max(axis=-1, keepdims=True)
    row = 2 * (2 * off.max(axis=-1, keepdims=True, initial=0) + U * (away + 2)) + gamma(s.shape[3] + 3)
    return p, row, 1.0 if a["dropout"] is None else 1 / (1 - a["dropout"][0])


def attention_forward_bound(a: Arrays, _: Arrays) -> Arrays:
    p, row, factor = attention_weights(a)
    return {"o": factor * (((row + gamma(p.shape[3] + 2)) * p) @ np.abs(a["v"])) + TINY}


def attention_backward_inputs() -> Iterator[Arrays]:
    for a in attention_inputs():
        outs = {"d" + name: numbers(*a[name].shape, seed=9) for name in "qkv"}
        for out in (outs, dict.fromkeys(outs)):
            yield {**a, "do": numbers(*a["q"].shape, seed=3), **out}


def attention_backward_call(function: Any, a: Arrays) -> Arrays:
    operation = a["operation"]
    _, saved = operation.forward(a["q"], a["k"], a["v"], **settings(a))
    out = None if a["dq"] is None else (a["dq"], a["dk"], a["dv"])
    grads = function(a["do"], a["q"], a["k"], a["v"], saved, **settings(a), out=out)
    assert out is None or all(grad is into for grad, into in zip(grads, out, strict=True))
    return dict(zip(("dq", "dk", "dv"), grads, strict=True))


def attention_backward_bound(a: Arrays, _: Arrays) -> Arrays:
    p, row, factor = attention_weights(a)
    time, keys, size = a["q"].shape[2], a["k"].shape[2], a["q"].shape[3]
    scale = 1 / math.sqrt(size) if a["scale"] is None else abs(a["scale"])
    q, k, v, do = (np.abs(a[name]) for name in ("q", "k", "v", "do"))
    dp = factor * (do @ v.swapaxes(-1, -2))  # |dP| at most
    off = gamma(size + 2) * dp
    along = (dp * p).sum(axis=-1, keepdims=True)
    off_along = ((off + dp * (row + gamma(keys + 1))) * p).sum(axis=-1, keepdims=True)
    ds = scale * p * (dp + along)
    off_ds = scale * p * ((row + 4 * U) * (dp + along) + off + off_along)
    transposed = [array.swapaxes(-1, -2) for array in (p, ds, off_ds)]
    return {
        "dq": off_ds @ k + gamma(keys) * (ds @ k) + TINY,
        "dk": transposed[2] @ q + gamma(time) * (transposed[1] @ q) + TINY,
        "dv": factor * (((row + gamma(time + 2)) * p).swapaxes(-1, -2) @ do) + TINY,
    }


CHECKS["attention.forward"] = Check(attention_inputs, attention_forward_call, attention_forward_bound)
CHECKS["attention.backward"] = Check(attention_backward_inputs, attention_backward_call, attention_backward_bound)


# dropout, philox ------------------------------------------------------------------------------------------------------

CHECKS["dropout.forward"] = Check(
    lambda: (
        {"x": numbers(*shape), "p": p, "key": (3, 2**32 - 1), "call": call}
        for shape in ((), (1,), (3, 5), (255,), (257,), (1025,), (0, 2), (201, 203))
        for p, call in ((0.0, 0), (0.1, 7), (0.5, 2**40 + 1), (0.999, 2**64 - 1))
    ),
    plain("y"),
    lambda a, out: {"y": 2 * U * np.abs(out["y"])},  # 1/(1 − p) is rounded, and the product
)
CHECKS["philox.bits"] = Check(
    lambda: (
        {"key": key, "call": call, "n": n, "start": start}
        for key, call in (((0, 0), 0), ((2**32 - 1, 5), 2**64 - 1))
        for start in (0, 1, 2, 3, 4, 255, 2**34 + 7)
        for n in (0, 1, 2, 3, 4, 5, 255, 256, 257, 30_001)
    ),
    plain("words"),
    lambda a, _: {"words": 0.0},
)


# adamw, sgd, global_norm ----------------------------------------------------------------------------------------------

VECTORS = (0, 1, 2, 15, 17, 127, 40_003)


def adamw_inputs() -> Iterator[Arrays]:
    for n in VECTORS:
        for step, decay, decoupled, scale in ((1, 0.0, True, 1.0), (3, 0.1, True, 0.25), (1000, 0.1, False, 1.0)):
            state = {"theta": numbers(n), "grad": numbers(n, seed=1), "m": numbers(n, seed=2)}
            numerics = {"lr": 1e-2, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": decay, "step": step}
            yield {**state, "v": numbers(n, seed=3) ** 2, **numerics, "grad_scale": scale, "decoupled": decoupled}


def amsgrad_inputs() -> Iterator[Arrays]:
    """A largest v that some elements' new v exceeds, and some does not."""
    for a in adamw_inputs():
        yield {**a, "v_max": np.float32(0.95) * a["v"] + numbers(len(a["v"]), seed=4) ** 2 * np.float32(0.1)}


def adamw_call(function: Any, a: Arrays) -> Arrays:
    function(**a)
    return {name: a[name] for name in ("theta", "m", "v", "v_max") if a.get(name) is not None}


def adamw_bound(a: Arrays, out: Arrays) -> Arrays:
    (beta1, beta2), theta = a["betas"], np.abs(a["before_theta"])
    g = np.abs(a["grad"]) * a["grad_scale"] + (0 if a["decoupled"] else a["weight_decay"] * theta)
    # g has 4 roundings, its constants among them; the constant, the product and the sum are 3 more
    m = U * (3 * beta1 * np.abs(a["before_m"]) + 7 * (1 - beta1) * g)
    v = U * (3 * beta2 * a["before_v"] + 12 * (1 - beta2) * g * g)
    rate, root = a["lr"] / (1 - beta1 ** a["step"]), 1 / math.sqrt(1 - beta2 ** a["step"])
    below = np.sqrt(out["v"]) * root + a["eps"]
    # the root halves the relative error of v; 8: root, its factor, eps, the sum, rate, product, quotient, difference
    relative = v / (2 * out["v"]) + 8 * U
    moved = rate * (m + np.abs(out["m"]) * relative) / below
    return {"m": m, "v": v, "theta": moved + U * (3 * theta + np.abs(out["theta"]))}


def amsgrad_bound(a: Arrays, out: Arrays) -> Arrays:
    """As without; the root is of the larger, which rounds nothing, and may be off by as much as v."""
    largest = adamw_bound(a, {**out, "v": out["v_max"]})
    return {**largest, "v_max": largest["v"]}


CHECKS["adamw.step"] = Check(
    lambda: itertools.chain(adamw_inputs(), amsgrad_inputs()),
    adamw_call,
    lambda a, out: adamw_bound(a, out) if a.get("v_max") is None else amsgrad_bound(a, out),
)


def sgd_inputs() -> Iterator[Arrays]:
    for n in VECTORS:
        for momentum, dampening, nesterov, first in (
            *((0.0, 0.0, False, False), (0.9, 0.0, False, True), (0.9, 0.1, False, False)),
            *((0.9, 0.0, True, True), (0.9, 0.0, True, False)),
        ):
            for decay, scale in ((0.0, 1.0), (0.1, 0.25)):
                state = {
                    "theta": numbers(n),
                    "grad": numbers(n, seed=1),
                    "buf": numbers(n, seed=2) if momentum else None,
                }
                rule = {"momentum": momentum, "dampening": dampening, "nesterov": nesterov, "first": first}
                for decoupled in (False, True)[: 1 + bool(decay)]:
                    settings = {"lr": 1e-2, "weight_decay": decay, "decoupled": decoupled, "grad_scale": scale}
                    yield {**copied(state), **rule, **settings}


def sgd_call(function: Any, a: Arrays) -> Arrays:
    function(**a)
    return {name: a[name] for name in ("theta", "buf") if a[name] is not None}


def sgd_bound(a: Arrays, out: Arrays) -> Arrays:
    theta = np.abs(a["before_theta"])
    g = np.abs(a["grad"]) * a["grad_scale"] + a["weight_decay"] * theta  # 4 roundings, its constants among them
    buf = 0 if a["buf"] is None or a["first"] else a["momentum"] * np.abs(a["before_buf"])
    kept = U * (3 * buf + 7 * g)
    step = a["lr"] * (8 * g + (4 * (buf + g) if a["momentum"] else 0))
    return {"buf": kept, "theta": a["lr"] * kept + U * (step + np.abs(out["theta"]) + theta)}


def lion_inputs() -> Iterator[Arrays]:
    """Momenta of 2 and gradients round ±40: the sign of their mean is the gradient's or, scaled, the momentum's."""
    for n in VECTORS:
        for decay, scale in ((0.0, 1.0), (0.1, -0.25)):
            grad = np.float32(40) * np.where(numbers(n, seed=1) > 0, np.float32(1), np.float32(-1))
            grad += np.sin(numbers(n, seed=3))
            m = np.float32(2) * np.where(numbers(n, seed=2) > 0, np.float32(1), np.float32(-1))
            state = {"theta": numbers(n), "grad": grad, "m": m}
            yield {**state, "lr": 1e-2, "betas": (0.9, 0.99), "weight_decay": decay, "grad_scale": scale}


CHECKS["lion.step"] = Check(
    lion_inputs,
    in_place("theta", "m"),
    lambda a, out: {
        "theta": U * (4 * np.abs(a["before_theta"]) + 3 * a["lr"]),
        "m": U * (3 * np.abs(a["before_m"]) + 7 * np.abs(a["grad"])),
    },
)
CHECKS["moving_average.update"] = Check(
    lambda: ({"average": numbers(n), "x": numbers(n, seed=1), "decay": d} for n in VECTORS for d in (0.0, 0.875, 1.0)),
    in_place("average"),
    # the share, the difference and the product, then the sum
    lambda a, out: {
        "average": U * (5 * (1 - a["decay"]) * (np.abs(a["before_average"]) + np.abs(a["x"])) + np.abs(out["average"]))
    },
)
CHECKS["sgd.step"] = Check(sgd_inputs, sgd_call, sgd_bound)


def rmsprop_inputs() -> Iterator[Arrays]:
    for n in VECTORS:
        for centered, momentum, decay in ((0, 0.0, 0.0), (0, 0.9, 0.1), (1, 0.0, 0.1), (1, 0.9, 0.0)):
            state = {"theta": numbers(n), "grad": numbers(n, seed=1), "v": np.abs(numbers(n, seed=2)) + np.float32(9)}
            state["buf"] = numbers(n, seed=3) if momentum else None
            state["mean"] = np.sin(numbers(n, seed=4)) if centered else None
            settings = {"lr": 1e-2, "keep": 0.9, "rest": 0.1, "eps": 1e-3, "start": 0.5, "momentum": momentum}
            yield {**state, **settings, "weight_decay": decay, "grad_scale": -0.5}


def rmsprop_call(function: Any, a: Arrays) -> Arrays:
    function(**a)
    return {name: a[name] for name in ("theta", "v", "buf", "mean") if a[name] is not None}


def rmsprop_bound(a: Arrays, out: Arrays) -> Arrays:
    """v stands far from 0 and from the mean's square, so that the root divides by 2 at least, and errs by few u."""
    theta = np.abs(a["before_theta"])
    g = np.abs(a["grad"]) * abs(a["grad_scale"]) + a["weight_decay"] * theta
    mean = 0 if a["mean"] is None else np.abs(a["before_mean"])
    buf = 0 if a["buf"] is None else a["momentum"] * np.abs(a["before_buf"])
    v = U * (3 * np.abs(a["before_v"]) + 12 * g * g + 1)
    u = U * (40 * g + 4 * buf)
    return {"v": v, "mean": U * (3 * mean + 7 * g), "buf": u, "theta": a["lr"] * 2 * u + U * 2 * theta}


CHECKS["rmsprop.step"] = Check(rmsprop_inputs, rmsprop_call, rmsprop_bound)


def moments_inputs() -> Iterator[Arrays]:
    for n in VECTORS:
        for decay, shrink, root_scale, eps in ((0.0, 1.0, 1.5, 1e-3), (0.1, 0.99, 0.0, 1.0)):
            state = {"theta": numbers(n), "grad": numbers(n, seed=1), "m": numbers(n, seed=2)}
            state["v"] = np.abs(numbers(n, seed=3)) + np.float32(1)
            settings = {"betas": (0.9, 0.99), "by_grad": 1e-3, "by_mean": 1e-2, "root_scale": root_scale, "eps": eps}
            yield {**state, **settings, "shrink": shrink, "weight_decay": decay, "grad_scale": -0.5}


def moments_bound(a: Arrays, out: Arrays) -> Arrays:
    """The root divides by 1 at least: numerators err by some 10 u, quotients by a few more."""
    theta = np.abs(a["before_theta"])
    g = np.abs(a["grad"]) * abs(a["grad_scale"]) + a["weight_decay"] * theta
    m = np.abs(a["before_m"]) + g
    step = a["by_grad"] * g + a["by_mean"] * m
    return {
        "m": U * (3 * np.abs(a["before_m"]) + 7 * g),
        "v": U * (3 * np.abs(a["before_v"]) + 12 * g * g),
        "theta": U * (20 * step + 4 * theta),
    }


CHECKS["moments.step"] = Check(moments_inputs, in_place("theta", "m", "v"), moments_bound)
CHECKS["global_norm.sum_of_squares"] = Check(
    lambda: ({"g": numbers(n)} for n in VECTORS),
    lambda function, a: {"sum": np.asarray(function(a["g"]))},
    lambda a, out: {"sum": len(a["g"]) * 2.0**-53 * out["sum"] * 2},  # float64 on both sides, in different orders
)


# attention_branch, feed_forward_branch --------------------------------------------------------------------------------

# A branch is the operations above one after the other, each of which has its bound; what is bounded here is the whole,
# in the norm: inputs are scaled so that every operation keeps the size of what it reads, each element of a result is
# then off by at most about the lengths of all sums on the way times U, of the largest element.

# (B, T, C, heads, hidden)
BRANCHES = ((1, 1, 4, 2, 5), (2, 7, 6, 1, 9), (3, 65, 8, 4, 3), (5, 130, 16, 2, 33), (6, 64, 48, 4, 100))
OF_BRANCH = ("x", "norm_w", "norm_b", "w1", "b1", "w2", "b2")
SMALLER = 0.5  # the slope of a branch's two products, so that what is added stays of x's size


def branch_inputs(attends: bool) -> Iterator[Arrays]:
    for b, t, c, h, n in BRANCHES:
        inner, wide = (c, 3 * c) if attends else (n, n)
        shapes = (b, t, c), (c,), (c,), (wide, c), (wide,), (c, inner), (c,)
        arrays = {k: numbers(*s, seed=i) for i, (k, s) in enumerate(zip(OF_BRANCH, shapes, strict=True))}
        arrays["norm_w"] = arrays["norm_w"] * np.float32(0.1) + np.float32(1)
        for name, fan in (("w1", c), ("w2", inner)):
            arrays[name] *= np.float32(SMALLER / math.sqrt(fan))
        options: tuple[Arrays, ...] = ({"activation": "gelu"}, {"activation": "relu"})
        if attends:
            options = ({"causal": True, "n_head": h}, {"causal": False, "n_head": h})
        for option in options:
            yield {**arrays, **option}
            yield {**arrays, **option, **dict.fromkeys(("norm_b", "b1", "b2"))}


def branch_parts(a: Arrays) -> tuple[Any, ...]:
    return a["x"], (a["norm_w"], a["norm_b"]), (a["w1"], a["b1"]), (a["w2"], a["b2"])


def branch_options(a: Arrays) -> Arrays:
    return {name: a[name] for name in ("causal", "n_head", "activation") if name in a}


def branch_forward_call(function: Any, a: Arrays) -> Arrays:
    return {"y": function(*branch_parts(a), **branch_options(a))[0]}


def branch_backward_inputs(attends: bool) -> Iterator[Arrays]:
    for number, a in enumerate(branch_inputs(attends)):
        dy = {"dy": numbers(*a["x"].shape, seed=8)}
        out = {"d" + name: None if a[name] is None else numbers(*a[name].shape, seed=9) for name in OF_BRANCH}
        yield {**a, **dy, **out, "accumulate": tuple(i % 2 == number % 2 for i in range(7))}


def branch_backward_call(function: Any, a: Arrays) -> Arrays:
    x, *parts = branch_parts(a)
    _, saved = a["operation"].forward(x, *parts, **branch_options(a))
    out = tuple(a["d" + name] for name in OF_BRANCH)
    function(a["dy"], x, saved, *parts, **branch_options(a), out=out, accumulate=a["accumulate"])
    return {"d" + name: a["d" + name] for name in OF_BRANCH if a["d" + name] is not None}


def branch_bound(a: Arrays, out: Arrays) -> Arrays:
    (b, t, c), n = a["x"].shape, len(a["w1"])
    sums = 3 * c + 2 * n + (2 * t if "causal" in a else 0) + (b * t if "dy" in a else 0)
    return {name: np.full(value.shape, gamma(2 * sums) * np.abs(value).max(initial=1)) for name, value in out.items()}


for name, attends in (("attention_branch", True), ("feed_forward_branch", False)):
    CHECKS[f"{name}.forward"] = Check(partial(branch_inputs, attends), branch_forward_call, branch_bound)
    CHECKS[f"{name}.backward"] = Check(partial(branch_backward_inputs, attends), branch_backward_call, branch_bound)


# mlp ------------------------------------------------------------------------------------------------------------------

# Rows, and the widths; bounded in the norm, as a branch is.
CHAINS = ((1, (3, 5)), (7, (4, 9, 3)), (64, (65, 130, 33, 10)), (130, (48, 64, 80, 96, 1)), (5, (40, 300, 7)))


def mlp_names(a: Arrays) -> list[str]:
    return [f"{kind}{i}" for i in range(1, 1 + a["depth"]) for kind in "wb"]


def mlp_inputs() -> Iterator[Arrays]:
    for m, widths in CHAINS:
        arrays: Arrays = {"depth": len(widths) - 1, "x": numbers(m, widths[0])}
        for i, (fan, n) in enumerate(itertools.pairwise(widths), 1):
            arrays[f"w{i}"] = numbers(n, fan, seed=2 * i) / np.float32(math.sqrt(fan))
            arrays[f"b{i}"] = numbers(n, seed=2 * i + 1)
        residual = {"residual": numbers(m, widths[-1], seed=20)}
        none = {name: None for name in mlp_names(arrays) if name.startswith("b")}
        yield {**arrays, "activation": "relu", "residual": None}
        yield {**arrays, **residual, "activation": "gelu"}
        yield {**arrays, **none, **residual, "activation": "relu"}


def mlp_layers(a: Arrays) -> tuple[Any, ...]:
    arrays = [a[name] for name in mlp_names(a)]
    return tuple(zip(arrays[::2], arrays[1::2], strict=True))


def mlp_forward_call(function: Any, a: Arrays) -> Arrays:
    return {"y": function(a["x"], mlp_layers(a), activation=a["activation"], residual=a["residual"])[0]}


def mlp_backward_inputs() -> Iterator[Arrays]:
    for number, a in enumerate(mlp_inputs()):
        del a["residual"]
        names = ("x", *mlp_names(a))
        out = {"d" + name: None if a[name] is None else numbers(*a[name].shape, seed=9) for name in names}
        dy = {"dy": numbers(len(a["x"]), len(a[f"w{a['depth']}"]), seed=8)}
        adds = {"accumulate": tuple(i % 2 == number % 2 for i in range(len(names)))}
        yield {**a, **out, **dy, **adds}
        for missing in (("dx",), ("dx", "dw1", "db1"), ("dw1",), (f"dw{a['depth']}", f"db{a['depth']}")):
            yield {**a, **out, **dy, **adds, **dict.fromkeys(missing)}


def mlp_backward_call(function: Any, a: Arrays) -> Arrays:
    layers, names = mlp_layers(a), ["d" + name for name in ("x", *mlp_names(a))]
    _, saved = a["operation"].forward(a["x"], layers, activation=a["activation"])
    out = tuple(a[name] for name in names)
    options = {"activation": a["activation"], "out": out, "accumulate": a["accumulate"]}
    function(a["dy"], a["x"], saved, layers, **options)
    return {name: a[name] for name in names if a[name] is not None}


def mlp_bound(a: Arrays, out: Arrays) -> Arrays:
    sums = sum(a[name].shape[0] + a[name].shape[1] for name in mlp_names(a)[::2]) + len(a["x"])
    return {name: np.full(value.shape, gamma(2 * sums) * np.abs(value).max(initial=1)) for name, value in out.items()}


CHECKS["mlp.forward"] = Check(mlp_inputs, mlp_forward_call, mlp_bound)
CHECKS["mlp.backward"] = Check(mlp_backward_inputs, mlp_backward_call, mlp_bound)
