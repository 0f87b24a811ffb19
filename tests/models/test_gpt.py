"""The GPT: names, size, how it starts, and what it refuses."""

import math
import re

import numpy as np
import pytest

import gdengine as gd
from gdengine import optim
from gdengine.functional import cross_entropy
from gdengine.models import GPT, GPTConfig

SMALL = {"block_size": 8, "vocab_size": 11, "n_layer": 2, "n_head": 2, "n_embd": 6}


def expected_names(n_layer, bias=True):
    """nanoGPT's, the head being the token embedding."""
    block = ["ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"]
    modules = [f"h.{i}.{part}" for i in range(n_layer) for part in block] + ["ln_f"]
    kinds = ["weight", "bias"] if bias else ["weight"]
    return [
        "transformer.wte.weight",
        "transformer.wpe.weight",
        *(f"transformer.{module}.{kind}" for module in modules for kind in kinds),
    ]


def count(config):
    """How many numbers the GPT of a config has: embeddings, and for each block 12·C² weights and 13·C vectors."""
    c, bias = config.n_embd, int(config.bias)
    norm = c + bias * c
    attention = 3 * c * c + bias * 3 * c + c * c + bias * c
    mlp = 4 * c * c + bias * 4 * c + 4 * c * c + bias * c
    return (config.vocab_size + config.block_size) * c + config.n_layer * (2 * norm + attention + mlp) + norm


@pytest.mark.parametrize("bias", [True, False])
def test_the_names_are_nanogpts(bias):
    model = GPT(GPTConfig(**SMALL, bias=bias))
    names = [name for name, _ in model.named_parameters()]
    assert names == expected_names(2, bias)
    assert list(model.state_dict()) == names
    assert names[2:6] == (
        [f"transformer.h.0.{n}" for n in ("ln_1.weight", "ln_1.bias", "attn.c_attn.weight", "attn.c_attn.bias")]
        if bias
        else [
            f"transformer.h.0.{n}" for n in ("ln_1.weight", "attn.c_attn.weight", "attn.c_proj.weight", "ln_2.weight")
        ]
    )


def test_the_shapes():
    shapes = {name: p.shape for name, p in GPT(GPTConfig(**SMALL)).named_parameters()}
    assert shapes["transformer.wte.weight"] == (11, 6)
    assert shapes["transformer.wpe.weight"] == (8, 6)
    assert shapes["transformer.h.1.attn.c_attn.weight"] == (18, 6)
    assert shapes["transformer.h.1.attn.c_proj.weight"] == (6, 6)
    assert shapes["transformer.h.1.mlp.c_fc.weight"] == (24, 6)
    assert shapes["transformer.h.1.mlp.c_proj.weight"] == (6, 24)
    assert shapes["transformer.ln_f.bias"] == (6,)


def test_the_head_is_the_token_embedding():
    model = GPT(GPTConfig(**SMALL))
    assert model.lm_head.weight is model.transformer.wte.weight
    state = {name: np.array(value) for name, value in model.state_dict().items()}
    state["lm_head.weight"] = state.pop("transformer.wte.weight") + 1  # as a nanoGPT checkpoint also names it
    model.load_state_dict(state)
    np.testing.assert_array_equal(model.transformer.wte.weight.numpy(), state["lm_head.weight"])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", [(8, 11, 2, 2, 6), (5, 7, 1, 1, 4), (16, 3, 3, 4, 8)])
def test_the_number_of_parameters(sizes, bias):
    config = GPTConfig(*sizes, bias=bias)
    model = GPT(config)
    assert model.num_params() == count(config) == sum(p.size for p in model.parameters())
    assert model.num_params(non_embedding=True) == count(config) - config.block_size * config.n_embd


def test_gpt2_small_has_124_million():
    assert count(GPTConfig(vocab_size=50257)) == 124_439_808
    defaults = GPTConfig()
    assert (defaults.block_size, defaults.n_layer, defaults.n_head, defaults.n_embd) == (1024, 12, 12, 768)
    assert defaults.vocab_size % 64 == 0
    assert defaults.vocab_size >= 50257
    assert (defaults.bias, defaults.dropout) == (True, 0.0)


def test_how_the_weights_start():
    """Standard deviations 0.02, and 0.02/√(2·n_layer) into the residual stream.

    Of n draws the standard deviation is off by σ/√(2n), the mean by σ/√n: five times that is less than one seed in a
    million.
    """
    gd.manual_seed(0)
    model = GPT(GPTConfig(block_size=64, vocab_size=100, n_layer=3, n_head=4, n_embd=64))
    for name, p in model.named_parameters():
        x = p.numpy().astype(np.float64)
        if name.endswith(".bias"):
            assert not x.any(), name
        elif ".ln_" in name:
            assert (x == 1).all(), name
        else:
            std = 0.02 / math.sqrt(6) if name.endswith("c_proj.weight") else 0.02
            assert abs(x.std() - std) < 5 * std / math.sqrt(2 * x.size), name
            assert abs(x.mean()) < 5 * std / math.sqrt(x.size), name


def test_one_seed_one_model():
    models = []
    for seed in (0, 0, 1):
        gd.manual_seed(seed)
        models.append(GPT(GPTConfig(**SMALL)).state_dict())
    for name, value in models[0].items():
        assert value.tobytes() == models[1][name].tobytes()
    assert (models[0]["transformer.wte.weight"] != models[2]["transformer.wte.weight"]).all()


def test_an_untrained_gpt_guesses_evenly():
    """Logits start near 0: each is a sum of 64 products of a normalised activation with a weight of spread 0.02, so it
    has a spread of 0.16, and the loss is ln V plus about half its square."""
    gd.manual_seed(0)
    model = GPT(GPTConfig(block_size=32, vocab_size=50, n_layer=2, n_head=4, n_embd=64))
    ids = np.random.default_rng(0).integers(0, 50, (8, 33))
    loss = cross_entropy(model(ids[:, :-1]), ids[:, 1:]).item()
    assert loss == pytest.approx(math.log(50), abs=0.05)


def test_a_position_sees_only_those_before_it():
    model = GPT(GPTConfig(**SMALL)).double()
    ids = np.random.default_rng(0).integers(0, 11, (3, 8))
    full = model(ids).numpy()
    for t in range(1, 8):
        changed = ids.copy()
        changed[:, t:] = (changed[:, t:] + 1) % 11
        other = model(changed).numpy()
        np.testing.assert_allclose(other[:, :t], full[:, :t], atol=1e-14)
        assert (np.abs(other[:, t:] - full[:, t:]).max(axis=2) > 1e-6).all()


def test_shorter_sequences_and_tensors():
    model = GPT(GPTConfig(**SMALL)).double()
    ids = np.random.default_rng(0).integers(0, 11, (2, 8))
    full = model(ids).numpy()
    np.testing.assert_allclose(model(ids[:, :3]).numpy(), full[:, :3], atol=1e-14)
    np.testing.assert_array_equal(model(gd.tensor(ids)).numpy(), full)
    np.testing.assert_array_equal(model(ids.astype(np.uint8)).numpy(), full)
    np.testing.assert_array_equal(model(ids.tolist()).numpy(), full)


def test_dropout_is_drawn_anew_and_repeats_with_the_seed():
    model = GPT(GPTConfig(**SMALL, dropout=0.3))
    ids = np.zeros((2, 8), np.int64)
    gd.manual_seed(5)
    first, second = model(ids).numpy(), model(ids).numpy()
    assert (first != second).any()
    gd.manual_seed(5)
    assert model(ids).numpy().tobytes() == first.tobytes()
    model.eval()
    np.testing.assert_array_equal(model(ids).numpy(), model(ids).numpy())


def test_dropout_stands_where_nanogpt_has_it():
    """After the embeddings, and in every block on the attention's weights and after each of the two branches."""
    model = GPT(GPTConfig(**SMALL, dropout=0.3))
    ids = np.zeros((2, 8), np.int64)
    before = gd.random.state_dict()["call"]
    model(ids)
    assert gd.random.state_dict()["call"] - before == 1 + 3 * 2
    model.eval()(ids)
    assert gd.random.state_dict()["call"] - before == 1 + 3 * 2


def test_the_gradient_is_that_of_the_masks_drawn():
    """Along a random direction in θ, with the same masks at both ends, in float64.

    The difference quotient is off by about h²·f''' from truncation and 1e-16/h from rounding: 1e-9 at h = 1e-5.
    """
    model = GPT(GPTConfig(**SMALL, dropout=0.3)).double()
    opt = optim.SGD(model, lr=1.0)
    (flat,) = opt.flats
    ids = np.random.default_rng(0).integers(0, 11, (4, 9))

    def loss():
        gd.manual_seed(7)
        return cross_entropy(model(ids[:, :-1]), ids[:, 1:])

    loss().backward()
    start = flat.theta.copy()
    for seed in range(5):
        direction = np.random.default_rng(seed).normal(size=flat.size) / np.sqrt(flat.size)
        ends = []
        for h in (1e-5, -1e-5):
            flat.theta[:] = start + h * direction
            ends.append(loss().item())
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(flat.grad @ direction, abs=2e-9)
    flat.theta[:] = start


@pytest.mark.parametrize(
    ("ids", "error", "says"),
    [
        ([0, 1], ValueError, re.escape("(batch, time), each at least 1, got (2,): add an axis with ids[None]")),
        (np.zeros((3, 0), int), ValueError, re.escape("each at least 1, got (3, 0)")),
        (np.zeros((0, 3), int), ValueError, re.escape("each at least 1, got (0, 3)")),
        (np.zeros((1, 9), int), ValueError, "a sequence of 9 tokens is longer than block_size=8"),
        ([[11]], IndexError, "11"),
        ([[-1]], IndexError, "-1"),
        ([[0.5]], TypeError, "integer"),
    ],
)
def test_ids_that_do_not_fit(ids, error, says):
    with pytest.raises(error, match=says):
        GPT(GPTConfig(**SMALL))(ids)


@pytest.mark.parametrize("name", ["block_size", "vocab_size", "n_layer", "n_head", "n_embd"])
def test_sizes_are_positive(name):
    with pytest.raises(ValueError, match=f"GPTConfig.{name} must be at least 1, got 0"):
        GPTConfig(**{**SMALL, name: 0})


def test_heads_divide_the_width():
    with pytest.raises(ValueError, match="n_embd must be a multiple of n_head, got n_embd=6, n_head=4"):
        GPTConfig(**{**SMALL, "n_head": 4})


def test_dropout_is_checked():
    with pytest.raises(ValueError, match="0 <= p < 1"):
        GPT(GPTConfig(**SMALL, dropout=1.0))


def test_its_loss_is_the_cross_entropy_of_its_logits():
    """To the roundings of a head's sums: 16 products and 19 exponentials of float32."""
    gd.manual_seed(0)
    model = GPT(GPTConfig(block_size=8, vocab_size=19, n_layer=1, n_head=2, n_embd=16))
    x = np.arange(16).reshape(2, 8)
    y = np.where(x % 5 == 0, -100, (3 * x + 1) % 19)
    plain = cross_entropy(model(x), y)
    plain.backward()
    expected = {name: p.grad.numpy().copy() for name, p in model.named_parameters()}
    model.zero_grad()
    loss = model.loss(x, y)
    loss.backward()
    np.testing.assert_allclose(loss.item(), plain.item(), rtol=1e-6)
    for name, p in model.named_parameters():
        np.testing.assert_allclose(p.grad.numpy(), expected[name], rtol=1e-4, atol=1e-7)
