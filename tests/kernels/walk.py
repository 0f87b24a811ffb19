"""The operations with a fused version, found by walking the folders, and how to call any of their functions."""

import importlib
import inspect
from pathlib import Path

import numpy as np

import gdengine.kernels
from tests.kernels.cases import CHECKS

ROOT = Path(gdengine.kernels.__file__).parent
OPERATIONS = sorted(path.parent.name for path in ROOT.glob("*/cpu.py"))

# The arguments that functions write into.
WRITTEN = {"out", "dx", "dw", "db", "dq", "dk", "dv", "theta", "m", "v_max", "buf", "average"}
WRITTEN |= {"dnorm_w", "dnorm_b", *(f"d{kind}{i}" for kind in "wb" for i in range(1, 5))}

# Backwards that begin with what their own forward saved.
FROM_THEIR_FORWARD = tuple(
    f"{name}.backward" for name in ("attention", "attention_branch", "feed_forward_branch", "mlp")
)
WRITTEN_BY = {"adamw.step": {"v"}, "moments.step": {"v"}, "rmsprop.step": {"v", "mean"}}


def module(operation, kind=""):
    return importlib.import_module(f"gdengine.kernels.{operation}{kind and '.' + kind}")


def functions(of):
    """The public functions that a module itself defines, by name."""
    defined = inspect.getmembers(of, inspect.isfunction)
    return {name: f for name, f in defined if not name.startswith("_") and f.__module__ == of.__name__}


def contract(operation):
    """The names of an operation's functions that every implementation has."""
    return sorted(functions(module(operation)).keys() & functions(module(operation, "reference")).keys())


FUNCTIONS = [f"{operation}.{name}" for operation in OPERATIONS for name in contract(operation)]
CHECKED = [name for name in FUNCTIONS if name in CHECKS]


def call(name, kind, arguments):
    """The results by name of ``"operation.function"`` of one implementation, ``"cpu"`` or ``"reference"``."""
    operation, function = name.split(".")
    implementation = module(operation, kind)
    if name in FROM_THEIR_FORWARD:
        arguments = {**arguments, "operation": implementation}
    return CHECKS[name].call(getattr(implementation, function), arguments)


def floats(case):
    """The names of a case's float arrays."""
    return [k for k, v in case.items() if isinstance(v, np.ndarray) and v.dtype.kind == "f"]


def is_written(name, argument):
    return argument in WRITTEN or argument in WRITTEN_BY.get(name, ())


def small_cases(name, at_most=8):
    """Some cases of a function, none of them empty or large."""
    cases = [c for c in CHECKS[name].inputs() if all(0 < c[k].size < 3000 for k in floats(c))]
    return cases[:: max(1, len(cases) // at_most)]


def describe(case):
    return {k: v.shape if isinstance(v, np.ndarray) else v for k, v in case.items()}
