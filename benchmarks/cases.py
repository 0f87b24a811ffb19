"""What is timed: a task, its arguments, and what it cannot do without.

The bytes of a kernel are those of each input read once and each output written once; the operations are those of its
matrix products. Elementwise arithmetic is not counted: what has no product is bound by its bytes.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .agreement import LOSS_BOUND, LOSS_BOUND_BF16
from .workloads import GPT, Workload

SIZES = {"float32": 4, "tf32": 4, "bfloat16": 2}


@dataclass(frozen=True)
class Case:
    """One thing that contenders do.

    Attributes:
        name: as tables show it.
        task: what contenders build: ``"train"``, ``"update"``, ``"kernel"``, ….
        arguments: for the building; plain data.
        flops, bytes: what it takes at least; 0 where that is not known.
        loss_steps: losses are compared over so many first steps; 0: it trains nothing.
        tolerance: how far losses may lie apart, or samples of the results, in units of their root mean square; None
            where they are not compared.
        clock: ``"queued"``, ``"stream"`` or ``"told"``, see `timing`.
        only: the contenders that do it; None for all of the part.
        facts: what tables want to know of it.
    """

    name: str
    task: str
    arguments: Mapping[str, Any]
    flops: float = 0.0
    bytes: float = 0.0
    loss_steps: int = 0
    tolerance: float | None = None
    clock: str = "queued"
    only: tuple[str, ...] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stateful(self) -> bool:
        """Whether a call goes on from what the one before left."""
        return self.task in ("train", "update")

    @property
    def fresh(self) -> bool:
        """Whether each call is a process of its own, which nothing need be warmed up for."""
        return self.clock == "told"

    @property
    def short(self) -> str:
        """What can be chosen with ``--only``: of "W1: …" the W1; empty where there is no such name."""
        return self.name.split(":")[0] if ":" in self.name else ""


def train(name: str, workload: Workload, dtype: str, loss_steps: int = 8) -> Case:
    """A training step: forward, cross-entropy, backward, clipping, AdamW."""
    return Case(
        name,
        "train",
        {"workload": asdict(workload), "dtype": dtype},
        flops=workload.flops(),
        loss_steps=loss_steps,
        tolerance=LOSS_BOUND if dtype == "float32" else LOSS_BOUND_BF16,
        clock="stream",
        facts={"tokens": workload.tokens, "dtype": dtype},
    )


def update(workload: GPT, shadow: bool) -> Case:
    """Norm, clipping and AdamW over the parameters of a GPT: θ, g, m, v read, θ, m, v written, and g read once before,
    since the clip factor depends on all of it. With ``shadow``, θ is also written in bfloat16."""
    shapes = {name: list(shape) for name, shape in workload.shapes().items()}
    count = sum(math.prod(shape) for shape in shapes.values())
    return Case(
        f"{count / 1e6:.1f} million parameters",
        "update",
        {"shapes": shapes},
        bytes=(34.0 if shadow else 32.0) * count,
        tolerance=1e-3,  # a few float32 roundings a step, over some hundred steps
        facts={"parameters": count, "bytes_a_parameter": 34 if shadow else 32},
    )


def copy(size: int) -> Case:
    """The bandwidth that is to be had: as many bytes written as read."""
    return Case(f"copy {size / 2**20:.0f} MiB", "copy", {"size": size}, bytes=2.0 * size, facts={"ceiling": "copy"})


def scale(size: int) -> Case:
    """The bandwidth again, of what is written where it was read: a copy's target may have to be read before it is
    written, by a CPU that fetches whole cache lines."""
    name = f"scale {size / 2**20:.0f} MiB in place"
    return Case(name, "scale", {"size": size}, bytes=2.0 * size, facts={"ceiling": "copy"})


def matmul(dtype: str, size: int) -> Case:
    """The rate of matrix products that is to be had, by the vendor's library."""
    moved = 3.0 * size * size * SIZES[dtype]
    facts = {"ceiling": dtype}
    return Case(f"matmul {dtype} {size}", "matmul", {"dtype": dtype, "size": size}, 2.0 * size**3, moved, facts=facts)


def launch(kind: str, only: tuple[str, ...]) -> Case:
    """A hundred launches of a kernel with next to nothing to do: what each costs the CPU."""
    title = {"kernel": "a kernel is launched", "operation": "gelu of 256 elements is asked for"}[kind]
    return Case(title, "launch", {"kind": kind}, clock="stream", only=only, facts={"calls": 100})


def imported() -> Case:
    """A process of its own imports the library, and says how long that took."""
    return Case("import", "imported", {}, clock="told")


def first_step(cold: bool, settings: Mapping[str, Any], environment: Mapping[str, str]) -> Case:
    """A process of its own begins ``gdengine train``: from its start to the end of the first step."""
    title = f"first step of the default job, {'cold' if cold else 'warm'} cache"
    arguments = {"cold": cold, "settings": settings, "environment": environment}
    return Case(title, "first_step", arguments, clock="told", facts={"cold": cold})


def fresh_steps(name: str, workload: Workload) -> Case:
    """A process of its own takes three training steps: from its start to their end; and what memory that took."""
    arguments = {"workload": asdict(workload)}
    return Case(f"process of 3 steps, {name}", "fresh_steps", arguments, clock="told", facts={"peak of": name})


def kernel(
    operation: str,
    dtype: str = "float32",
    only: tuple[str, ...] | None = None,
    facts: Mapping[str, Any] | None = None,
    **sizes: int,
) -> Case:
    """A single kernel. Its results agree within the rounding of their dtype: float32 sums of some thousand terms in
    another order differ by some 1e-5 of their size, bfloat16 results by a rounding or two of 2⁻⁸, more where an
    intermediate result is rounded too; an element is up to five times the root mean square that is the unit."""
    flops, moved = COSTS[operation](SIZES[dtype], **sizes)
    return Case(
        f"{operation.replace('_', ' ')} {' × '.join(map(str, sizes.values()))}",
        "kernel",
        {"operation": operation, "dtype": dtype, **sizes},
        flops,
        moved,
        tolerance=None if operation == "dropout" else {"float32": 1e-3, "bfloat16": 6e-2}[dtype],
        only=only,
        facts={"operation": operation, "dtype": dtype, **sizes, **(facts or {})},
    )


def _linear(size: int, m: int, k: int, n: int) -> tuple[float, float]:
    return 2.0 * m * n * k, float(size * (m * k + n * k + n + m * n))


def _linear_input(size: int, m: int, k: int, n: int) -> tuple[float, float]:
    return 2.0 * m * n * k, float(size * (m * n + n * k + m * k))


def _linear_weight(size: int, m: int, k: int, n: int) -> tuple[float, float]:
    return 2.0 * m * n * k, float(size * (m * n + m * k) + 4 * n * k)  # the gradient is float32


def _rows(arrays: float) -> Any:
    """``arrays`` of m × n move, each once; what a row or a column has beside that is left out of the count."""
    return lambda size, m, n: (0.0, float(size * arrays * m * n))


def _attention(products: int, arrays: int) -> Any:
    """Causal: a query sees (t + 1)/2 keys on average; a product costs 2·d for each pair."""

    def cost(size: int, b: int, h: int, t: int, d: int) -> tuple[float, float]:
        return products * 2.0 * d * b * h * t * (t + 1) / 2, float(size * arrays * b * h * t * d)

    return cost


COSTS: dict[str, Any] = {
    "linear_forward": _linear,
    "linear_backward_input": _linear_input,
    "linear_backward_weight": _linear_weight,
    "layer_norm_forward": _rows(2),
    "layer_norm_backward": _rows(3),
    "gelu_forward": _rows(2),
    "gelu_backward": _rows(3),
    "dropout": _rows(2),
    "cross_entropy_forward": _rows(1),
    "cross_entropy_backward": _rows(2),
    "embedding_forward": lambda size, m, v, c: (0.0, float(size * 2 * m * c)),
    "embedding_backward": lambda size, m, v, c: (0.0, float(size * m * c + 4 * v * c)),
    # logits, dX and dW; hidden states, weights and their gradients
    "linear_cross_entropy": lambda size, m, c, v: (6.0 * m * c * v, float(size * (2 * m * c + v * c) + 4 * v * c)),
    "attention_forward": _attention(2, 4),  # Q·Kᵀ, P·V; q, k, v, o
    "attention_backward": _attention(5, 8),  # Q·Kᵀ again, dO·Vᵀ, dV, dQ, dK; q, k, v, o, dO, dq, dk, dv
}
