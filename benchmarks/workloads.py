"""The models that are trained: sizes, initial weights, batches, and the operations that a step cannot do without."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

BETAS, EPS, WEIGHT_DECAY, CLIP_NORM = (0.9, 0.95), 1e-8, 0.1, 1.0
BATCHES = 4  # different ones, gone through again and again


@dataclass(frozen=True)
class GPT:
    """A GPT-2, with nanoGPT's names and initialisation, the head tied to the embedding.

    A step takes ``micro_batches`` of ``batch_size`` sequences one after the other, whose gradients add up.
    """

    n_layer: int
    n_head: int
    n_embd: int
    block_size: int
    batch_size: int
    vocab_size: int = 128
    lr: float = 1e-3
    micro_batches: int = 1

    @property
    def tokens(self) -> int:
        """Tokens in a step."""
        return self.micro_batches * self.batch_size * self.block_size

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The parameters, in nanoGPT's order."""
        c = self.n_embd
        found: dict[str, tuple[int, ...]] = {
            "transformer.wte.weight": (self.vocab_size, c),
            "transformer.wpe.weight": (self.block_size, c),
        }
        layers = {"attn.c_attn": (3 * c, c), "attn.c_proj": (c, c), "mlp.c_fc": (4 * c, c), "mlp.c_proj": (c, 4 * c)}
        for number in range(self.n_layer):
            block = f"transformer.h.{number}."
            for norm, of in (("ln_1", ("attn.c_attn", "attn.c_proj")), ("ln_2", ("mlp.c_fc", "mlp.c_proj"))):
                found |= {f"{block}{norm}.weight": (c,), f"{block}{norm}.bias": (c,)}
                for name in of:
                    found |= {f"{block}{name}.weight": layers[name], f"{block}{name}.bias": layers[name][:1]}
        return found | {"transformer.ln_f.weight": (c,), "transformer.ln_f.bias": (c,)}

    def weights(self, seed: int = 7) -> dict[str, np.ndarray]:
        """Normal with standard deviation 0.02, what writes into the residual stream with 0.02/√(2·n_layer)."""
        random = np.random.default_rng(seed)
        found = {}
        for name, shape in self.shapes().items():
            if len(shape) == 2:
                std = 0.02 / math.sqrt(2 * self.n_layer) if name.endswith("c_proj.weight") else 0.02
                found[name] = random.standard_normal(shape, np.float32) * np.float32(std)
            else:
                found[name] = np.full(shape, "ln_" in name and name.endswith("weight"), np.float32)
        return found

    def batches(self, seed: int = 8) -> tuple[np.ndarray, np.ndarray]:
        """Token ids and those that follow, int64 ``(BATCHES, micro-batches, B, T)`` each."""
        shape = (BATCHES, self.micro_batches, self.batch_size, self.block_size + 1)
        ids = np.random.default_rng(seed).integers(0, self.vocab_size, shape)
        return np.ascontiguousarray(ids[..., :-1]), np.ascontiguousarray(ids[..., 1:])

    def flops(self) -> float:
        """Of the matrix products of a step: 6 for each weight of a linear layer and each token; for attention 12·C for
        each pair of a token and one that it sees, of which there are (T + 1)/2 a token."""
        linear = sum(rows * columns for rows, columns in self.matrices())
        seen = (self.block_size + 1) / 2
        return self.tokens * (6 * linear + 12 * self.n_layer * self.n_embd * seen)

    def matrices(self) -> list[tuple[int, int]]:
        """The shapes of all that tokens are multiplied with: the position embeddings are not among them."""
        return [s for name, s in self.shapes().items() if len(s) == 2 and name != "transformer.wpe.weight"]


@dataclass(frozen=True)
class MLP:
    """Linear layers with ReLU between them, on random rows and labels; the parameters' names are torch's and ours."""

    sizes: tuple[int, ...]
    batch_size: int
    lr: float = 1e-3
    micro_batches: int = 1

    @property
    def tokens(self) -> int:
        """Rows in a step."""
        return self.micro_batches * self.batch_size

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The parameters, layer after layer."""
        found: dict[str, tuple[int, ...]] = {}
        for number, (width, out) in enumerate(pairwise(self.sizes)):
            found |= {f"layers.{number}.weight": (out, width), f"layers.{number}.bias": (out,)}
        return found

    def weights(self, seed: int = 7) -> dict[str, np.ndarray]:
        """Normal with standard deviation √(2/in) (He et al. 2015), biases 0."""
        random = np.random.default_rng(seed)
        found = {}
        for name, shape in self.shapes().items():
            std = math.sqrt(2 / shape[-1]) if len(shape) == 2 else 0.0
            found[name] = random.standard_normal(shape, np.float32) * np.float32(std)
        return found

    def batches(self, seed: int = 8) -> tuple[np.ndarray, np.ndarray]:
        """Rows, float32 ``(BATCHES, micro-batches, B, in)``, and labels, int64 ``(BATCHES, micro-batches, B)``."""
        random, shape = np.random.default_rng(seed), (BATCHES, self.micro_batches, self.batch_size)
        rows = random.standard_normal((*shape, self.sizes[0]), np.float32)
        return rows, random.integers(0, self.sizes[-1], shape)

    def flops(self) -> float:
        """Of the matrix products of a step: 6 for each weight and row, but nobody asks for the input's gradient."""
        products = sum(a * b for a, b in pairwise(self.sizes))
        return self.tokens * (6.0 * products - 2.0 * self.sizes[0] * self.sizes[1])


Workload = GPT | MLP


def made(arguments: Mapping[str, Any]) -> Workload:
    """The workload of which ``arguments`` are the fields, as JSON has them."""
    if "sizes" in arguments:
        return MLP(**{**arguments, "sizes": tuple(arguments["sizes"])})
    return GPT(**arguments)


CPU: dict[str, Workload] = {  # what stands before the colon can be chosen with --only
    "W1: GPT 4 layers × 128, batch 12 × 64": GPT(n_layer=4, n_head=4, n_embd=128, block_size=64, batch_size=12),
    "W2: GPT 6 layers × 384, batch 4 × 256": GPT(n_layer=6, n_head=6, n_embd=384, block_size=256, batch_size=4),
    "W3: MLP 64-256-256-10, batch 64": MLP((64, 256, 256, 10), batch_size=64),
}
GPT2 = GPT(n_layer=12, n_head=12, n_embd=768, block_size=1024, batch_size=16, vocab_size=50304, lr=3e-4)
GPU = {
    "GPT-2 124M, 16 × 1024 tokens": GPT2,
    # 64 rows at once would not leave room for the other contenders' on 80 GB
    "GPT-2 124M, 4 × 16 × 1024 tokens": replace(GPT2, micro_batches=4),
}


def save(workload: Workload, path: Path) -> None:
    """Write weights and batches, made once for all contenders."""
    x, y = workload.batches()
    np.savez(path, **workload.weights(), **{"batches/x": x, "batches/y": y})


def load(path: str | Path) -> tuple[dict[str, np.ndarray], list[tuple[np.ndarray, np.ndarray]]]:
    """What `save` wrote: the weights, and the batches one by one, each ``(micro-batches, B, …)``."""
    with np.load(path) as arrays:
        weights = {name: arrays[name] for name in arrays.files if not name.startswith("batches/")}
        return weights, list(zip(arrays["batches/x"], arrays["batches/y"], strict=True))
