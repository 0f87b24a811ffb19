"""The GPT of train_gpt.py on Tensor alone: no Module, no optimizer, every formula in sight.

python examples/gpt_on_tensors.py [STEPS]
"""

import math
import sys

import numpy as np

import gdengine as gd
from gdengine.data import CharTokenizer, Windows, python_docs

LAYERS, HEADS, WIDTH, TIME, BATCH = 4, 4, 128, 64, 12


def parameters(vocab):
    """Weights (out, in) and what else is trained, by name: normal with deviation 0.02, residual outputs smaller."""
    shapes = {"wte": (vocab, WIDTH), "wpe": (TIME, WIDTH), "ln_f.scale": (WIDTH,), "ln_f.shift": (WIDTH,)}
    for i in range(LAYERS):
        for name, out, inner in (("qkv", 3, 1), ("proj", 1, 1), ("fc", 4, 1), ("back", 1, 4)):
            shapes[f"{i}.{name}.w"], shapes[f"{i}.{name}.b"] = (out * WIDTH, inner * WIDTH), (out * WIDTH,)
        for name in ("ln_1", "ln_2"):
            shapes[f"{i}.{name}.scale"], shapes[f"{i}.{name}.shift"] = (WIDTH,), (WIDTH,)
    result = {}
    for name, shape in shapes.items():
        deviation = 0.02 / math.sqrt(2 * LAYERS) if name.endswith(("proj.w", "back.w")) else 0.02
        start = {"scale": gd.ones(shape), "shift": gd.zeros(shape), "b": gd.zeros(shape)}.get(name.split(".")[-1])
        result[name] = (gd.randn(shape) * deviation if start is None else start).requires_grad_()
    return result


def norm(x, scale, shift):
    centred = x - x.mean(dim=-1, keepdim=True)
    return centred / ((centred * centred).mean(dim=-1, keepdim=True) + 1e-5).sqrt() * scale + shift


def gelu(x):
    return 0.5 * x * (1 + (math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)).tanh())


def attention(qkv):
    q, k, v = (part.reshape(*part.shape[:2], HEADS, -1).transpose(1, 2) for part in qkv.split(WIDTH, dim=2))
    scores = q @ k.mT / math.sqrt(WIDTH // HEADS)
    future = ~np.tri(qkv.shape[1], dtype=bool)
    weights = gd.exp(gd.where(future, -1e9, scores - scores.max(dim=-1, keepdim=True).detach()))
    mixed = weights / weights.sum(dim=-1, keepdim=True) @ v
    return mixed.transpose(1, 2).reshape(*qkv.shape[:2], WIDTH)


def model(p, ids):
    def linear(x, name):
        return x @ p[f"{name}.w"].T + p[f"{name}.b"]

    x = p["wte"][ids] + p["wpe"][: ids.shape[1]]
    for i in range(LAYERS):
        x = x + linear(attention(linear(norm(x, p[f"{i}.ln_1.scale"], p[f"{i}.ln_1.shift"]), f"{i}.qkv")), f"{i}.proj")
        x = x + linear(gelu(linear(norm(x, p[f"{i}.ln_2.scale"], p[f"{i}.ln_2.shift"]), f"{i}.fc")), f"{i}.back")
    return norm(x, p["ln_f.scale"], p["ln_f.shift"]) @ p["wte"].T


def cross_entropy(logits, targets):
    shifted = logits - logits.max(dim=-1, keepdim=True).detach()
    chosen = shifted[np.arange(targets.shape[0])[:, None], np.arange(targets.shape[1]), targets]
    return (gd.log(gd.exp(shifted).sum(dim=-1)) - chosen).mean()


def adam(p, state, t, lr=1e-3, beta1=0.9, beta2=0.95, eps=1e-8):
    """θ ← θ − lr · m̂ / (√v̂ + ε), written out for arrays."""
    with gd.no_grad():
        for name, x in p.items():
            g = x.grad.numpy()
            m, v = state.setdefault(name, (np.zeros_like(g), np.zeros_like(g)))
            m += (1 - beta1) * (g - m)
            v += (1 - beta2) * (g * g - v)
            x -= lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
            x.zero_grad()


def main(steps):
    gd.manual_seed(0)
    text = python_docs()
    tokenizer = CharTokenizer.from_text(text)
    p, state = parameters(tokenizer.vocab_size), {}
    loader = Windows(tokenizer.encode(text), TIME, BATCH, seed=0)
    for t, (x, y) in zip(range(1, steps + 1), loader, strict=False):
        loss = cross_entropy(model(p, x), y)
        loss.backward()
        adam(p, state, t)
        if t % 20 == 1 or t == steps:
            print(f"step {t:4d}  loss {loss.item():.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
