"""The models in plain jax.numpy, as functions of their parameters, which bear the same names as ours."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

Parameters = Mapping[str, Any]
Loss = Callable[[Parameters, Any, Any], Any]


def linear(p: Parameters, name: str, x: Any) -> Any:
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def layer_norm(p: Parameters, name: str, x: Any) -> Any:
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * p[f"{name}.weight"] + p[f"{name}.bias"]


def attention(p: Parameters, name: str, x: Any, heads: int) -> Any:
    batch, time, width = x.shape
    qkv = linear(p, f"{name}.c_attn", x).reshape(batch, time, 3, heads, width // heads)
    q, k, v = (qkv[:, :, i].swapaxes(1, 2) for i in range(3))
    scores = q @ k.swapaxes(2, 3) / math.sqrt(width // heads)
    scores = jnp.where(jnp.tril(jnp.ones((time, time), bool)), scores, -jnp.inf)
    y = jax.nn.softmax(scores) @ v
    return linear(p, f"{name}.c_proj", y.swapaxes(1, 2).reshape(batch, time, width))


def cross_entropy(logits: Any, targets: Any) -> Any:
    chosen = jnp.take_along_axis(logits, targets[..., None], -1)[..., 0]
    return (jax.nn.logsumexp(logits, -1) - chosen).mean()


def gpt(load: Any) -> Loss:
    """The loss of a `benchmarks.workloads.GPT`."""

    def loss(p: Parameters, ids: Any, targets: Any) -> Any:
        x = p["transformer.wte.weight"][ids] + p["transformer.wpe.weight"][: ids.shape[1]]
        for number in range(load.n_layer):
            block = f"transformer.h.{number}"
            x = x + attention(p, f"{block}.attn", layer_norm(p, f"{block}.ln_1", x), load.n_head)
            h = linear(p, f"{block}.mlp.c_fc", layer_norm(p, f"{block}.ln_2", x))
            x = x + linear(p, f"{block}.mlp.c_proj", jax.nn.gelu(h, approximate=True))
        return cross_entropy(layer_norm(p, "transformer.ln_f", x) @ p["transformer.wte.weight"].T, targets)

    return loss


def mlp(load: Any) -> Loss:
    """The loss of a `benchmarks.workloads.MLP`."""

    def loss(p: Parameters, x: Any, labels: Any) -> Any:
        last = len(load.sizes) - 2
        for number in range(last):
            x = jax.nn.relu(linear(p, f"layers.{number}", x))
        return cross_entropy(linear(p, f"layers.{last}", x), labels)

    return loss


def made(load: Any) -> Loss:
    """The loss of a workload."""
    return mlp(load) if hasattr(load, "sizes") else gpt(load)
