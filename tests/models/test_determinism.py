"""The same seed and the same number of threads give the same bits, dropout on."""

import numpy as np
import pytest

import gdengine as gd
from gdengine import optim
from gdengine.functional import cross_entropy
from gdengine.models import GPT, MLP, GPTConfig


@pytest.fixture(params=[1, 2], ids=["1 thread", "2 threads"])
def threads(request):
    before = gd.get_num_threads()
    gd.set_num_threads(request.param)
    yield request.param
    gd.set_num_threads(before)


def train_gpt(seed):
    gd.manual_seed(seed)
    model = GPT(GPTConfig(vocab_size=31, block_size=32, n_layer=2, n_head=2, n_embd=32, dropout=0.2))
    opt = optim.AdamW(model, lr=optim.warmup_cosine(1e-2, 3, 20), weight_decay=0.1, clip_norm=1.0)
    draw = np.random.default_rng(0)
    losses = []
    for _ in range(12):
        ids = draw.integers(0, 31, (8, 33))
        loss = cross_entropy(model(ids[:, :-1]), ids[:, 1:])
        loss.backward()
        opt.step()
        losses.append(loss.numpy().tobytes())
    (flat,) = opt.flats
    vectors = [flat.theta, flat.grad, *flat.state.values()]
    return losses, [vector.tobytes() for vector in vectors], model.generate([[1, 2, 3]], 40).tolist()


def train_mlp(seed):
    gd.manual_seed(seed)
    model = MLP([300, 200, 7], "gelu")
    opt = optim.SGD(model, lr=0.1, momentum=0.9, nesterov=True)
    draw = np.random.default_rng(0)
    for _ in range(10):
        x = draw.normal(size=(150, 300)).astype(np.float32)
        cross_entropy(model(x), draw.integers(0, 7, 150)).backward()
        opt.step()
    return [vector.tobytes() for vector in (opt.flats[0].theta, *opt.flats[0].state.values())]


@pytest.mark.parametrize("train", [train_gpt, train_mlp])
def test_two_runs_are_equal_in_every_bit(train, threads):
    assert train(0) == train(0)
    assert train(0) != train(1)
