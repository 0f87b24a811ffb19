"""What the README shows of a GPU."""

import re
from pathlib import Path

import numpy as np

import gdengine as gd
from gdengine import optim
from gdengine.functional import cross_entropy
from gdengine.models import GPT, GPTConfig

README = Path(__file__).parents[2] / "README.md"


def test_the_readmes_step(gpu):
    (script,) = re.findall(r"^```python gpu\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    gd.manual_seed(0)
    model = GPT(GPTConfig(block_size=16, vocab_size=19, n_layer=1, n_head=2, n_embd=16))
    names = {"gd": gd, "cross_entropy": cross_entropy, "model": model, "opt": optim.AdamW(model.parameters(), lr=1e-2)}
    exec(script, names)
    x = np.arange(24).reshape(2, 12) % 19
    losses = [names["step"](x, (3 * x + 1) % 19).item() for _ in range(6)]
    assert losses[-1] < losses[0] - 0.3
