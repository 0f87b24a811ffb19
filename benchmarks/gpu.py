"""What is compared on a GPU, the most important first. Products and activations are bfloat16, as in training.

Sizes are those of GPT-2 124M at 16 × 1024 tokens. Not yet run on a GPU.
"""

from collections.abc import Sequence
from dataclasses import replace

from . import cases, workloads
from .parts import Part, Who
from .rounds import Plan

GENERATIONS = ("wgmma", "mma", "simt")  # of the linear layer's kernels
TOKENS = 16384
# (N, K), and how many such layers a step of GPT-2 124M goes through
SMALL = ((2304, 768, 12), (768, 768, 12), (3072, 768, 12), (768, 3072, 12), (50304, 768, 1))
XL = ((4800, 1600), (1600, 1600), (6400, 1600), (1600, 6400))
OPERATIONS = ("linear_backward_input", "linear_backward_weight", "linear_forward")
CEILING = 8192  # of square products


def contenders(threads: int) -> dict[str, Who]:
    """By name."""
    cuda = {"device": "cuda", "threads": threads}
    linear = [Who(f"gdengine {name}", "ours", {**cuda, "generation": name}, ours=True) for name in GENERATIONS]
    return {
        who.name: who
        for who in (
            Who("gdengine", "ours", cuda, ours=True),
            Who("gdengine graph", "ours", {**cuda, "graph": True}, ours=True),
            Who("gdengine kernels", "ours", {**cuda, "flat": True}, ours=True),
            *linear,
            Who("PyTorch", "pytorch", cuda),
            Who("PyTorch compiled", "pytorch", {**cuda, "compiled": True}),
            Who("CuPy", "plain_cupy"),
        )
    }


def parts(threads: int) -> list[Part]:
    """In the order in which they are run."""
    whos = contenders(threads)

    def among(*names: str) -> list[Who]:
        return [whos[name] for name in names]

    generations = [f"gdengine {name}" for name in GENERATIONS]
    return [
        Part(
            "step",
            "Training steps, bfloat16",
            among("gdengine", "gdengine graph", "PyTorch compiled"),
            steps(workloads.GPU),
            150,
            Plan(rounds=9, least=5, turn_s=0.5),
        ),
        Part(
            "update",
            "Updates: norm, clipping, AdamW, bfloat16 shadow",
            among("gdengine", "gdengine kernels", "PyTorch", "CuPy"),
            updates(workloads.GPT2, 2**30),
            25,
            Plan(rounds=9, turn_s=0.1),
        ),
        Part(
            "linear",
            "Matrix products, bfloat16",
            among(*generations, "PyTorch"),
            products(TOKENS, SMALL, XL, CEILING),
            125,
            Plan(rounds=5, turn_s=0.06, settle_s=0.01),
        ),
        Part(
            "ceilings",
            "Ceilings",
            among("PyTorch", "CuPy"),
            ceilings(2**30, CEILING),
            20,
            Plan(rounds=5, turn_s=0.1, settle_s=0.01),
        ),
        Part(
            "kernels",
            "Single kernels, bfloat16",
            among("gdengine", "PyTorch", "PyTorch compiled"),
            kernels(TOKENS, 768, 50304, (16, 12, 1024, 64)),
            90,
            Plan(rounds=5, turn_s=0.05, settle_s=0.01),
        ),
        Part(
            "launch",
            "Launches",
            among("gdengine", "CuPy", "PyTorch"),
            launches(),
            10,
            Plan(rounds=9, turn_s=0.05, settle_s=0.01),
        ),
    ]


def small_parts(threads: int) -> list[Part]:
    """The same parts and contenders on next to nothing: whether all of it works, within a minute or two."""
    tiny = workloads.GPT(n_layer=2, n_head=2, n_embd=64, block_size=64, batch_size=2)
    loads = {"GPT 2 layers × 64": tiny, "the same, in 2 parts": replace(tiny, micro_batches=2)}
    small = {
        "step": steps(loads),
        "update": updates(tiny, 2**20),
        "linear": products(256, ((192, 64, 1),), (), 256),
        "ceilings": ceilings(2**20, 256),
        "kernels": kernels(256, 64, 512, (2, 2, 64, 64)),
        "launch": launches(),
    }
    plan = Plan(rounds=1, turn_s=0.0, settle_s=0.0)
    return [replace(part, cases=small[part.name], plan=plan) for part in parts(threads)]


def steps(loads: dict[str, workloads.GPT]) -> list[cases.Case]:
    """A training step of each."""
    return [cases.train(name, load, "bfloat16") for name, load in loads.items()]


def updates(load: workloads.GPT, copied: int) -> list[cases.Case]:
    """The update of a model's parameters, and in the same minute what a copy reaches."""
    copy = replace(cases.copy(copied), only=("PyTorch", "CuPy"))
    return [copy, replace(cases.update(load, shadow=True), only=("gdengine", "gdengine kernels", "PyTorch"))]


def products(
    m: int, small: Sequence[tuple[int, int, int]], large: Sequence[tuple[int, int]], square: int
) -> list[cases.Case]:
    """dX, dW and forward: of GPT-2 124M's layers, of a square, of GPT-2 XL's layers."""

    def of(m: int, n: int, k: int, model: str, count: int) -> list[cases.Case]:
        facts = {"model": model, "count": count}
        return [cases.kernel(name, "bfloat16", facts=facts, m=m, k=k, n=n) for name in OPERATIONS]

    return [
        *(case for n, k, count in small for case in of(m, n, k, "GPT-2 124M", count)),
        *of(square, square, square, "square", 1),
        *(case for n, k in large for case in of(m, n, k, "GPT-2 XL", 48)),
    ]


def ceilings(copied: int, square: int) -> list[cases.Case]:
    """The bandwidth of a copy, and the rates of matrix products by cuBLAS."""
    kinds = ("bfloat16", "tf32", "float32")
    return [cases.copy(copied), *(cases.matmul(kind, square) for kind in kinds)]


def kernels(rows: int, width: int, vocabulary: int, heads: tuple[int, int, int, int]) -> list[cases.Case]:
    """All but the linear layer's. PyTorch's attention is one kernel, compiled or not."""
    b, h, t, d = heads
    eager = ("gdengine", "PyTorch")
    return [
        cases.kernel("attention_forward", "bfloat16", eager, b=b, h=h, t=t, d=d),
        cases.kernel("attention_backward", "bfloat16", eager, b=b, h=h, t=t, d=d),
        cases.kernel("linear_cross_entropy", "bfloat16", m=rows, c=width, v=vocabulary),
        cases.kernel("layer_norm_forward", "bfloat16", m=rows, n=width),
        cases.kernel("layer_norm_backward", "bfloat16", m=rows, n=width),
        cases.kernel("gelu_forward", "bfloat16", m=rows, n=4 * width),
        cases.kernel("gelu_backward", "bfloat16", m=rows, n=4 * width),
        cases.kernel("cross_entropy_forward", "bfloat16", m=rows, n=vocabulary),
        cases.kernel("cross_entropy_backward", "bfloat16", m=rows, n=vocabulary),
        cases.kernel("embedding_forward", "bfloat16", eager, m=rows, v=vocabulary, c=width),
        cases.kernel("embedding_backward", "bfloat16", eager, m=rows, v=vocabulary, c=width),
        cases.kernel("dropout", "bfloat16", m=rows, n=width),
    ]


def launches() -> list[cases.Case]:
    """What Python pays for a launch."""
    return [
        cases.launch("kernel", ("gdengine", "CuPy")),
        cases.launch("operation", ("gdengine", "PyTorch")),
    ]
