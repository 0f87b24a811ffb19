"""The models in PyTorch, as its users write them: fused attention, parameters under the same names as ours."""

from itertools import pairwise
from typing import Any

from torch import nn
from torch.nn import functional as F


class Attention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)

    def forward(self, x: Any) -> Any:
        batch, time, width = x.shape
        q, k, v = (
            part.view(batch, time, self.heads, width // self.heads).transpose(1, 2)
            for part in self.c_attn(x).split(width, dim=2)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).reshape(batch, time, width))


class FeedForward(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Any) -> Any:
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(width), Attention(width, heads)
        self.ln_2, self.mlp = nn.LayerNorm(width), FeedForward(width)

    def forward(self, x: Any) -> Any:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    """``load`` is a `benchmarks.workloads.GPT`. Called with tokens and those that follow, it returns the loss."""

    def __init__(self, load: Any):
        super().__init__()
        width = load.n_embd
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(load.vocab_size, width),
                "wpe": nn.Embedding(load.block_size, width),
                "h": nn.ModuleList(Block(width, load.n_head) for _ in range(load.n_layer)),
                "ln_f": nn.LayerNorm(width),
            }
        )

    def forward(self, ids: Any, targets: Any) -> Any:
        parts = self.transformer
        x = parts["wte"](ids) + parts["wpe"].weight[: ids.shape[1]]
        for block in parts["h"]:
            x = block(x)
        logits = F.linear(parts["ln_f"](x), parts["wte"].weight)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))


class MLP(nn.Module):
    """``load`` is a `benchmarks.workloads.MLP`. Called with rows and labels, it returns the loss."""

    def __init__(self, load: Any):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(load.sizes))

    def forward(self, x: Any, labels: Any) -> Any:
        *hidden, last = self.layers
        for layer in hidden:
            x = F.relu(layer(x))
        return F.cross_entropy(last(x), labels)


def made(load: Any) -> nn.Module:
    """The model of a workload."""
    return MLP(load) if hasattr(load, "sizes") else GPT(load)
