"""GPT-2 (Radford et al. 2019), with nanoGPT's names and initialisation."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import functional as F
from .. import nn
from ..device import namespace, to_host
from ..functional.embedding import check_indices
from ..random import default_generator
from ..recomputation import checkpoint
from ..tape import no_grad
from ..tensor import Tensor, to_array

Cache = list[tuple[Tensor, Tensor] | None]  # each block's keys and values (B, H, S, D) so far


@dataclass
class GPTConfig:
    """Sizes of a `GPT`; the defaults are GPT-2's small one, its vocabulary padded to a multiple of 64.

    Attributes:
        block_size: the longest sequence, T.
        vocab_size: how many tokens there are, V.
        n_layer, n_head, n_embd: blocks, heads a block, width C (a multiple of n_head).
        dropout: after the embeddings, in the attention and after each branch.
        bias: whether linear layers and layer norms have one.
        checkpoint: which activations are not kept but computed anew in the backward (`gdengine.checkpoint`): each
            block's (``"block"``, or 1: the least memory up to some hundred blocks), those of every k blocks together
            (an integer k), or none (None).
    """

    block_size: int = 1024
    vocab_size: int = 50304
    n_layer: int = 12
    n_head: int = 12
    n_embd: int = 768
    dropout: float = 0.0
    bias: bool = True
    checkpoint: str | int | None = None

    def __post_init__(self) -> None:
        for name in ("block_size", "vocab_size", "n_layer", "n_head", "n_embd"):
            if getattr(self, name) < 1:
                raise ValueError(f"GPTConfig.{name} must be at least 1, got {getattr(self, name)}")
        if self.n_embd % self.n_head:
            raise ValueError(f"n_embd must be a multiple of n_head, got n_embd={self.n_embd}, n_head={self.n_head}")
        k = self.checkpoint
        if not (k in (None, "block") or (isinstance(k, int) and not isinstance(k, bool) and k >= 1)):
            raise ValueError(f"GPTConfig.checkpoint is None, 'block', or a number of blocks from 1 up, got {k!r}")


class CausalSelfAttention(nn.Module):
    """Each position looks at itself and those before it."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)
        self.resid_dropout = nn.Dropout(config.dropout)
        self.n_head = config.n_head
        self.dropout = config.dropout

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """The attention over x, added to ``residual`` (in the pass of the last product, where nothing is dropped)."""
        p = self.dropout if self.training else 0.0
        y = F.qkv_attention(self.c_attn(x), self.n_head, dropout_p=p)
        if self.training and self.resid_dropout.p > 0:
            return _sum(residual, self.resid_dropout(self.c_proj(y)))
        return self.c_proj(y, residual=residual)

    def extend(self, x: Tensor, past: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The attention of further positions, given the keys and values of those before; and all keys and values."""
        batch, time, width = x.shape
        q, k, v = (
            part.reshape(batch, time, self.n_head, width // self.n_head).transpose(1, 2)
            for part in self.c_attn(x).split(width, dim=2)
        )
        if past is not None:
            k, v = F.cat([past[0], k], dim=2), F.cat([past[1], v], dim=2)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=past is None)
        return self.c_proj(y.transpose(1, 2).reshape(batch, time, width)), (k, v)


class MLP(nn.Module):
    """Four times wider, GELU, and back."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """As `CausalSelfAttention.forward`."""
        parameters = self.c_fc.weight, self.c_fc.bias, self.c_proj.weight, self.c_proj.bias
        if self.training and self.dropout.p > 0:
            return _sum(residual, self.dropout(F.feed_forward(x, *parameters)))
        return F.feed_forward(x, *parameters, residual=residual)


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.attn = CausalSelfAttention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.mlp = MLP(config)

    def forward(self, x: Tensor) -> Tensor:
        if self._is_interrupted():
            x = self.attn(self.ln_1(x), x)
            return self.mlp(self.ln_2(x), x)
        (norm, qkv, proj), n_head = (self.ln_1, self.attn.c_attn, self.attn.c_proj), self.attn.n_head
        weights = norm.weight, norm.bias, qkv.weight, qkv.bias, proj.weight, proj.bias
        x = F.attention_branch(x, *weights, n_head=n_head, eps=norm.eps)
        norm, fc, proj = self.ln_2, self.mlp.c_fc, self.mlp.c_proj
        weights = norm.weight, norm.bias, fc.weight, fc.bias, proj.weight, proj.bias
        return F.feed_forward_branch(x, *weights, eps=norm.eps)

    def _is_interrupted(self) -> bool:
        """Whether something has to happen within a branch: weights to be dropped, a hook, a module of another kind."""
        if self.training and (self.attn.dropout > 0 or self.attn.resid_dropout.p > 0 or self.mlp.dropout.p > 0):
            return True
        attn, mlp = self.attn, self.mlp
        parts = self.ln_1, attn, self.ln_2, mlp, attn.c_attn, attn.c_proj, mlp.c_fc, mlp.c_proj
        return any(
            type(part) is not kind or part._hooks is not None for part, kind in zip(parts, _OF_BLOCK, strict=True)
        )

    def extend(self, x: Tensor, past: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        y, present = self.attn.extend(self.ln_1(x), past)
        x = x + y
        return self.mlp(self.ln_2(x), x), present


_OF_BLOCK = nn.LayerNorm, CausalSelfAttention, nn.LayerNorm, MLP, nn.Linear, nn.Linear, nn.Linear, nn.Linear


class Transformer(nn.Module):
    """Embeddings, blocks, and the last norm."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.block_size, config.n_embd)
        self.drop = nn.Dropout(config.dropout)
        self.h = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, bias=config.bias)


class GPT(nn.Module):
    """A decoder-only transformer: token ids ``(B, T)``, T ≤ block_size, to logits ``(B, T, vocab_size)``.

    The head's weight is the token embedding's (tied). Weights start normal with standard deviation 0.02, those that
    write into the residual stream with 0.02/√(2·n_layer), biases at 0.
    """

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.config = config
        self.transformer = Transformer(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.lm_head.weight = self.transformer.wte.weight
        self._initialise()

    def _initialise(self) -> None:
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif name.endswith("c_proj.weight"):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * self.config.n_layer))
            elif parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, idx: Any) -> Tensor:
        return self.lm_head(self._last_hidden(idx))

    def loss(self, idx: Any, targets: Any, *, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
        """`cross_entropy` of ``self(idx)`` and ``targets`` ``(B, T)``, without ever holding all logits.

        The head is most of a small model's memory: 16,384 tokens of GPT-2's vocabulary have 3.3 GB of float32 logits.
        See `gdengine.functional.linear_cross_entropy`; its sums end in other bits than the two calls' would.
        """
        x, head = self._last_hidden(idx), self.lm_head.weight
        return F.linear_cross_entropy(x, head, targets, ignore_index=ignore_index, reduction=reduction)

    def _last_hidden(self, idx: Any) -> Tensor:
        ids = self._ids(idx)
        x = self.transformer.drop(self.transformer.wte(ids) + self.transformer.wpe(_positions(0, ids)))
        return self.transformer.ln_f(self._blocks(x))

    def _blocks(self, x: Tensor) -> Tensor:
        every, blocks = self.config.checkpoint, self.transformer.h
        if every is None:
            return _run(blocks, x)
        size = 1 if every == "block" else int(every)
        for first in range(0, len(blocks), size):
            x = checkpoint(_run, list(blocks)[first : first + size], x)
        return x

    def num_params(self, non_embedding: bool = False) -> int:
        """How many numbers are trained; without the position embeddings, as nanoGPT counts, if ``non_embedding``."""
        total = sum(parameter.size for parameter in self.parameters())
        return total - self.transformer.wpe.weight.size if non_embedding else total

    def generate(self, idx: Any, max_new_tokens: int, *, temperature: float = 1.0, top_k: int | None = None) -> Any:
        """Continue each sequence by ``max_new_tokens`` tokens, drawn with the default generator.

        Keys and values of earlier positions are kept, so that a token costs one position's work; once a sequence
        outgrows block_size, the window slides and is computed whole.

        Args:
            idx: token ids ``(B, T)``, T ≥ 1.
            temperature: logits are divided by it; 0 takes the likeliest token.
            top_k: draw among the k likeliest tokens only.

        Returns:
            int64 ``(B, T + max_new_tokens)``.

        Raises:
            TypeError: idx are not integers.
            ValueError: an empty prompt, a negative temperature or max_new_tokens, or top_k below 1.
            IndexError: an id is out of the vocabulary.
        """
        ids = to_host(to_array(idx))
        if ids.ndim != 2 or not ids.size:
            raise ValueError(f"generate wants token ids of shape (batch, time), each at least 1, got {ids.shape}")
        check_indices("generate", "idx", ids, self.config.vocab_size)
        if max_new_tokens < 0 or not temperature >= 0 or (top_k is not None and top_k < 1):
            raise ValueError(
                "generate wants max_new_tokens and temperature at least 0 and top_k at least 1, "
                f"got {max_new_tokens}, {temperature}, {top_k}"
            )
        with self.evaluating(), no_grad():
            return self._continue(ids.astype(np.int64), max_new_tokens, temperature, top_k)

    def _continue(self, ids: Any, count: int, temperature: float, top_k: int | None) -> Any:
        """`generate`, once all is checked."""
        cache: Cache = [None] * self.config.n_layer
        fresh = ids[:, -self.config.block_size :]
        for _ in range(count):
            fresh = _draw(self._extend(fresh, cache), temperature, top_k)
            ids = np.concatenate([ids, fresh], axis=1)
            past = cache[0]
            if past is not None and past[0].shape[2] == self.config.block_size:  # full: slide the window
                cache = [None] * self.config.n_layer
                fresh = ids[:, -self.config.block_size :]
        return ids

    def _extend(self, ids: Any, cache: Cache) -> Any:
        """The last position's logits ``(B, V)``, after adding ``ids`` to what the cache holds."""
        past = cache[0]
        start = 0 if past is None else past[0].shape[2]
        x = self.transformer.wte(ids) + self.transformer.wpe(_positions(start, ids))
        for number, block in enumerate(self.transformer.h):
            x, cache[number] = block.extend(x, cache[number])
        return to_host(self.lm_head(self.transformer.ln_f(x[:, -1]))._array)

    def _ids(self, idx: Any) -> Any:
        ids = to_array(idx)
        if ids.ndim != 2 or not ids.size:
            raise ValueError(
                f"GPT wants token ids of shape (batch, time), each at least 1, got {ids.shape}"
                + (": add an axis with ids[None]" if ids.ndim == 1 else "")
            )
        if ids.shape[1] > self.config.block_size:
            raise ValueError(
                f"a sequence of {ids.shape[1]} tokens is longer than block_size={self.config.block_size}: "
                "crop it, ids[:, -block_size:], or build the model with a larger block_size"
            )
        return ids


def _run(blocks: Iterable[nn.Module], x: Tensor) -> Tensor:
    for block in blocks:
        x = block(x)
    return x


def _sum(residual: Tensor | None, branch: Tensor) -> Tensor:
    return branch if residual is None else residual + branch


def _positions(start: int, ids: Any) -> Any:
    """The places of ``ids`` (B, T), which follow ``start`` others, where ids are."""
    return namespace(ids).arange(start, start + ids.shape[1])


def _draw(logits: Any, temperature: float, top_k: int | None) -> Any:
    """A token for each row of logits ``(B, V)``: int64 ``(B, 1)``."""
    if np.isnan(logits).any():
        raise ValueError(
            "the logits are not numbers (NaN): the model's weights hold NaN, as after a training that diverged"
        )
    if temperature == 0:
        return logits.argmax(axis=1)[:, None]
    z = logits.astype(np.float64) / temperature
    if top_k is not None and top_k < z.shape[1]:
        z = np.where(z < np.sort(z, axis=1)[:, [-top_k]], -np.inf, z)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    edges = p.cumsum(axis=1)
    u = default_generator.uniform((len(z), 1)) * edges[:, -1:]
    return (u >= edges).sum(axis=1, keepdims=True)
