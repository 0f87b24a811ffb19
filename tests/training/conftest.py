import numpy as np
import pytest

import gdengine as gd
from gdengine import optim
from gdengine.data import Windows, batched
from gdengine.functional import cross_entropy
from gdengine.models import GPT, GPTConfig
from gdengine.training import Trainer

BLOCK, VOCABULARY = 8, 11


@pytest.fixture(autouse=True)
def _same_threads_after():
    before = gd.get_num_threads()
    yield
    gd.set_num_threads(before)


@pytest.fixture
def make_trainer():
    """A function that makes a Trainer of a tiny GPT with dropout, on numbers that follow each other."""

    def make(**options):
        gd.manual_seed(options.pop("seed", 0))
        tokens = np.cumsum(np.arange(400) % 3 + 1) % VOCABULARY
        config = GPTConfig(vocab_size=VOCABULARY, block_size=BLOCK, n_layer=1, n_head=2, n_embd=8, dropout=0.2)
        model = GPT(config)
        optimizer = optim.AdamW(
            model.named_parameters(), lr=optim.warmup_cosine(peak=1e-2, warmup=3, total=40), clip_norm=1.0
        )
        held_out = tokens[-6 * BLOCK - 1 :]
        rows = held_out[np.arange(6)[:, None] * BLOCK + np.arange(BLOCK + 1)]
        options = {
            "validation": batched(rows, 4),
            "batches": Windows(tokens[: -len(held_out)], BLOCK, 4, seed=1),
            "progress": False,
            **options,
        }
        return Trainer(model, optimizer, cross_entropy, options.pop("batches"), **options)

    return make
