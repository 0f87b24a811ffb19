"""What is compared on the CPU: training steps, matrix products, updates and single kernels, in float32."""

from collections.abc import Sequence

from . import cases, workloads
from .machine import available_cores
from .parts import Part, Who
from .rounds import Plan

OURS = "gdengine"
NOISE = 0.2  # of a core: the system counts in hundredths of a second, and something always runs
SHAPES = ((2304, 768), (768, 768), (3072, 768), (768, 3072))  # (N, K) of GPT-2's layers
OPERATIONS = ("linear_forward", "linear_backward_input", "linear_backward_weight")


def contenders(threads: int) -> dict[str, Who]:
    """By name."""
    return {
        who.name: who
        for who in (
            Who(OURS, "ours", {"threads": threads}, ours=True),
            Who("PyTorch", "pytorch", {"threads": threads}),
            Who("PyTorch compiled", "pytorch", {"threads": threads, "compiled": True}),
        )
    }


def parts(threads: int) -> list[Part]:
    """In the order in which they are run."""
    whos = contenders(threads)
    every, two = list(whos.values()), [whos[OURS], whos["PyTorch"]]
    spare = available_cores() - threads + NOISE
    plan = Plan(rounds=9, turn_s=0.15, spare=spare)
    return [
        Part("step", "Training steps", every, steps(workloads.CPU), 180, Plan(rounds=9, turn_s=0.3, spare=spare)),
        Part("update", "Updates: norm, clipping, AdamW", two, updates(workloads.CPU), 40, plan),
        Part("linear", "Matrix products, M = 256", two, products(256, SHAPES), 100, plan),
        Part("kernels", "Single kernels", two, kernels(), 90, plan),
    ]


def small_parts(threads: int) -> list[Part]:
    """Every task once, on next to nothing: whether all of it works."""
    whos = list(contenders(threads).values())[:2]
    plan = Plan(rounds=1, turn_s=0.0, settle_s=0.0)
    tiny = {"GPT 1 layer × 16": workloads.GPT(n_layer=1, n_head=2, n_embd=16, block_size=8, batch_size=2)}
    return [
        Part("step", "Training steps", whos, steps(tiny), 1, plan),
        Part("update", "Updates: norm, clipping, AdamW", whos, updates(tiny), 1, plan),
        Part("linear", "Matrix products, M = 8", whos, products(8, ((16, 24),)), 1, plan),
        Part("kernels", "Single kernels", whos, kernels(rows=8, width=24, wide=32, heads=(1, 2, 8, 8)), 1, plan),
    ]


def steps(loads: dict[str, workloads.GPT]) -> list[cases.Case]:
    """A training step of each."""
    return [cases.train(name, load, "float32") for name, load in loads.items()]


def updates(loads: dict[str, workloads.GPT]) -> list[cases.Case]:
    """An update of each one's parameters."""
    return [cases.update(load, shadow=False) for load in loads.values()]


def products(m: int, shapes: Sequence[tuple[int, int]]) -> list[cases.Case]:
    """Forward, dX and dW for each (N, K)."""
    return [cases.kernel(operation, m=m, k=k, n=n) for n, k in shapes for operation in OPERATIONS]


def kernels(
    rows: int = 1024, width: int = 384, wide: int = 4096, heads: tuple[int, int, int, int] = (8, 6, 128, 64)
) -> list[cases.Case]:
    """The other kernels, forward and backward."""
    b, h, t, d = heads
    return [
        cases.kernel("attention_forward", b=b, h=h, t=t, d=d),
        cases.kernel("attention_backward", b=b, h=h, t=t, d=d),
        cases.kernel("layer_norm_forward", m=rows, n=width),
        cases.kernel("layer_norm_backward", m=rows, n=width),
        cases.kernel("gelu_forward", m=rows, n=4 * width),
        cases.kernel("gelu_backward", m=rows, n=4 * width),
        cases.kernel("cross_entropy_forward", m=rows, n=wide),
        cases.kernel("cross_entropy_backward", m=rows, n=wide),
        cases.kernel("embedding_forward", m=rows, v=128, c=width),
        cases.kernel("embedding_backward", m=rows, v=128, c=width),
    ]
