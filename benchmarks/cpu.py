"""What is compared on the CPU: training steps, updates, growth, matrix products, single kernels, starting; float32."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from . import cases, growth, workloads
from .machine import available_cores
from .parts import Part, Who
from .rounds import Plan

OURS = "gdengine"
NOISE = 0.2  # of a core: the system counts in hundredths of a second, and something always runs
SHAPES = ((2304, 768), (768, 768), (3072, 768), (768, 3072))  # (N, K) of GPT-2's layers
OPERATIONS = ("linear_forward", "linear_backward_input", "linear_backward_weight")
FLOORS = ("ceilings",)  # where the rate of products and the bandwidth are measured
TINY: dict[str, workloads.Workload] = {
    "GPT 1 layer × 16": workloads.GPT(n_layer=1, n_head=2, n_embd=16, block_size=8, batch_size=2),
    "MLP 8-16-4": workloads.MLP((8, 16, 4), batch_size=4),
}


def contenders(threads: int) -> dict[str, Who]:
    """By name."""
    return {
        who.name: who
        for who in (
            Who(OURS, "ours", {"threads": threads}, ours=True),
            Who("PyTorch", "pytorch", {"threads": threads}),
            Who("PyTorch compiled", "pytorch", {"threads": threads, "compiled": True}),
            Who("JAX", "jax_optax", {"threads": threads}),
            Who("NumPy", "plain_numpy"),
        )
    }


def parts(threads: int) -> list[Part]:
    """In the order in which they are run."""
    whos = contenders(threads)

    def among(*names: str) -> list[Who]:
        return [whos[name] for name in names]

    two, spare = among(OURS, "PyTorch"), available_cores() - threads + NOISE
    plan = Plan(rounds=9, turn_s=0.15, spare=spare)
    models = [load for load in workloads.CPU.values() if isinstance(load, workloads.GPT)]
    return [
        # all floors hang on these: time enough for both, and no waiting for quiet
        Part(
            "ceilings",
            "Ceilings",
            among("PyTorch", "NumPy"),
            ceilings(2**29, 2048),
            60,
            Plan(rounds=5, turn_s=0.15),
        ),
        Part(
            "step",
            "Training steps",
            among(OURS, "PyTorch", "PyTorch compiled", "JAX"),
            steps(workloads.CPU),
            220,
            Plan(rounds=9, turn_s=0.6, spare=spare),
            FLOORS,
        ),
        Part("update", "Updates: norm, clipping, AdamW", two, updates([*models, workloads.GPT2]), 60, plan, FLOORS),
        Part("growth", "Growth", among(OURS), growth.steps(growth.AXES), 80, replace(plan, rounds=7), FLOORS),
        Part("linear", "Matrix products, M = 256", two, products(256, SHAPES), 90, plan, FLOORS),
        Part("kernels", "Single kernels", two, kernels(), 75, plan, FLOORS),
        # last: a start that compiles takes what it takes, and nobody else's time
        Part(
            "start",
            "Processes of their own",
            among(OURS, "PyTorch", "JAX"),
            starts(workloads.CPU),
            150,
            Plan(rounds=3, least=2, turn_s=0.0, spare=spare),
        ),
    ]


def small_parts(threads: int) -> list[Part]:
    """The same parts on next to nothing: whether all of it works. PyTorch compiled, which compiles for half a minute,
    is left out."""
    small = {
        "ceilings": ceilings(2**16, 64),
        "step": steps(TINY),
        "update": updates([load for load in TINY.values() if isinstance(load, workloads.GPT)]),
        # a cold cache of the kernels takes its quarter of a minute at any size: here nothing is compiled
        "start": starts(TINY, {"n_layer": 1, "n_embd": 16, "batch_size": 2}, {"GDENGINE_KERNELS": "reference"}),
        "growth": growth.steps(growth.TINY),
        "linear": products(8, ((16, 24),)),
        "kernels": kernels(rows=8, width=24, wide=32, heads=(1, 2, 8, 8)),
    }
    plan = Plan(rounds=1, turn_s=0.0, settle_s=0.0)
    return [
        replace(
            part,
            cases=small[part.name],
            plan=plan,
            contenders=[who for who in part.contenders if who.name != "PyTorch compiled"],
        )
        for part in parts(threads)
    ]


def ceilings(copied: int, square: int) -> list[cases.Case]:
    """The bandwidth for what no cache holds, and the rate of matrix products."""
    return [cases.copy(copied), cases.scale(copied), cases.matmul("float32", square)]


def steps(loads: Mapping[str, workloads.Workload]) -> list[cases.Case]:
    """A training step of each."""
    return [cases.train(name, load, "float32") for name, load in loads.items()]


def updates(loads: Sequence[workloads.GPT]) -> list[cases.Case]:
    """An update of each one's parameters."""
    return [cases.update(load, shadow=False) for load in loads]


def starts(
    loads: Mapping[str, workloads.Workload],
    settings: Mapping[str, int] | None = None,
    environment: Mapping[str, str] | None = None,
) -> list[cases.Case]:
    """Importing, coming to the default job's first step, and the memory of the GPTs."""
    return [
        cases.imported(),
        *(replace(cases.first_step(cold, settings or {}, environment or {}), only=(OURS,)) for cold in (False, True)),
        *(cases.fresh_steps(name, load) for name, load in loads.items() if isinstance(load, workloads.GPT)),
    ]


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
