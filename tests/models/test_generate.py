"""generate: the cache changes nothing, drawing is what it says, and the model is left as it was."""

import numpy as np
import pytest

import gdengine as gd
from gdengine import nn
from gdengine.models import GPT, GPTConfig

VOCABULARY, BLOCK = 13, 8


@pytest.fixture
def model():
    """In float64, and with weights large enough to make distributions that are far from even."""
    gd.manual_seed(0)
    config = GPTConfig(block_size=BLOCK, vocab_size=VOCABULARY, n_layer=2, n_head=2, n_embd=12, dropout=0.5)
    gpt = GPT(config).double()
    for p in gpt.parameters():
        if p.ndim == 2:
            nn.init.normal_(p, std=0.4)
    return gpt


def prompt(batch=3, time=4):
    return np.random.default_rng(1).integers(0, VOCABULARY, (batch, time))


def last_logits(model, ids):
    """Of a full forward over the last block_size tokens, without dropout."""
    modes = [(module, module.training) for module in model.modules()]
    with gd.no_grad():
        logits = model.eval()(ids[:, -BLOCK:]).numpy()[:, -1]
    for module, training in modes:
        module.training = training
    return logits


@pytest.mark.parametrize("time", [1, 4, BLOCK - 1, BLOCK, BLOCK + 5])
def test_temperature_0_takes_the_likeliest_of_a_full_forward(model, time):
    """At every position, also where the window slides."""
    start = prompt(time=time)
    out = model.generate(start, 12, temperature=0)
    assert out.shape == (3, time + 12)
    assert out.dtype == np.int64
    np.testing.assert_array_equal(out[:, :time], start)
    for t in range(time, time + 12):
        np.testing.assert_array_equal(out[:, t], last_logits(model, out[:, :t]).argmax(axis=1))


@pytest.mark.parametrize("time", [1, 3, BLOCK, BLOCK + 2])
def test_the_cache_gives_the_logits_of_a_full_forward(model, time, monkeypatch):
    """Tolerance: the same float64 sums of some 12 terms in another order."""
    seen = []
    extend = model._extend
    monkeypatch.setattr(model, "_extend", lambda ids, cache: seen.append(extend(ids, cache)) or seen[-1])
    out = model.generate(prompt(time=time), 12)
    assert len(seen) == 12
    for number, logits in enumerate(seen):
        expected = last_logits(model, out[:, : time + number])
        np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-13 * max(1, np.abs(expected).max()))


def test_only_the_new_position_is_computed(model, monkeypatch):
    widths = []
    extend = model._extend
    monkeypatch.setattr(model, "_extend", lambda ids, cache: widths.append(ids.shape[1]) or extend(ids, cache))
    model.generate(prompt(time=4), 7)
    assert widths == [4, 1, 1, 1, 1, 8, 8]


def test_drawn_tokens_have_the_models_probabilities(model):
    """A thousand sequences of one prompt: each frequency within five standard deviations, √(p(1 − p)/n)."""
    n, start = 1000, prompt(batch=1)
    for temperature, top_k in ((1.0, None), (0.5, None), (2.0, 4)):
        z = last_logits(model, start)[0] / temperature
        if top_k is not None:
            z[np.argsort(z)[:-top_k]] = -np.inf
        p = np.exp(z - z.max())
        p /= p.sum()
        drawn = model.generate(np.repeat(start, n, axis=0), 1, temperature=temperature, top_k=top_k)[:, -1]
        frequency = np.bincount(drawn, minlength=VOCABULARY) / n
        assert (np.abs(frequency - p) <= 5 * np.sqrt(p * (1 - p) / n)).all()
        assert not frequency[p == 0].any()


def test_top_k_of_one_is_the_likeliest(model):
    np.testing.assert_array_equal(model.generate(prompt(), 10, top_k=1), model.generate(prompt(), 10, temperature=0))


def test_top_k_beyond_the_vocabulary_is_no_limit(model):
    out = []
    for top_k in (None, VOCABULARY, 10 * VOCABULARY):
        gd.manual_seed(3)
        out.append(model.generate(prompt(), 10, top_k=top_k))
    np.testing.assert_array_equal(out[0], out[1])
    np.testing.assert_array_equal(out[0], out[2])


def test_a_high_temperature_evens_out_and_a_low_one_decides(model):
    hot = model.generate(np.zeros((500, 1), int), 1, temperature=1e6)[:, -1]
    assert len(np.unique(hot)) == VOCABULARY
    np.testing.assert_array_equal(
        model.generate(prompt(), 5, temperature=1e-4), model.generate(prompt(), 5, temperature=0)
    )


def test_the_seed_decides(model):
    gd.manual_seed(9)
    first, second = model.generate(prompt(), 10), model.generate(prompt(), 10)
    gd.manual_seed(9)
    np.testing.assert_array_equal(model.generate(prompt(), 10), first)
    assert (first != second).any()


def test_rows_of_a_batch_do_not_see_each_other(model):
    ids = prompt(batch=4, time=5)
    out = model.generate(ids, 10, temperature=0)
    for row, expected in zip(ids, out, strict=True):
        np.testing.assert_array_equal(model.generate(row[None], 10, temperature=0)[0], expected)


def test_tensors_lists_and_nothing_to_add(model):
    ids = prompt()
    expected = model.generate(ids, 5, temperature=0)
    np.testing.assert_array_equal(model.generate(gd.tensor(ids), 5, temperature=0), expected)
    np.testing.assert_array_equal(model.generate(ids.tolist(), 5, temperature=0), expected)
    np.testing.assert_array_equal(model.generate(ids.astype(np.uint8), 5, temperature=0), expected)
    np.testing.assert_array_equal(model.generate(ids, 0), ids)


def test_the_model_is_left_as_it_was(model):
    model.train()
    model.transformer.h[0].eval()
    modes = [module.training for module in model.modules()]
    gradients = [p.grad for p in model.parameters()]
    before = model.state_dict()["transformer.wte.weight"].copy()
    first = model.generate(prompt(), 5, temperature=0)
    assert [module.training for module in model.modules()] == modes
    assert [p.grad for p in model.parameters()] == gradients
    assert gd.is_grad_enabled()
    np.testing.assert_array_equal(model.state_dict()["transformer.wte.weight"], before)
    np.testing.assert_array_equal(model.eval().generate(prompt(), 5, temperature=0), first)  # no dropout in either mode
    assert not any(module.training for module in model.modules())


def test_the_mode_is_restored_after_an_error_too(model, monkeypatch):
    def stop(ids, cache):
        raise KeyboardInterrupt

    monkeypatch.setattr(model, "_extend", stop)
    model.train()
    with pytest.raises(KeyboardInterrupt):
        model.generate(prompt(), 5)
    assert all(module.training for module in model.modules())
    assert gd.is_grad_enabled()


def test_float32_generates_too(model):
    out = model.float().generate(prompt(), 12)
    assert out.shape == (3, 16)
    assert ((out >= 0) & (out < VOCABULARY)).all()


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (([0, 1], 5), ValueError, "token ids of shape .batch, time."),
        (([[]], 5), ValueError, "each at least 1"),
        ((np.zeros((2, 0), int), 5), ValueError, "each at least 1"),
        ((np.zeros((0, 2), int), 5), ValueError, "each at least 1"),
        (([[0.5]], 5), TypeError, "wants integer idx"),
        (([[VOCABULARY]], 5), IndexError, "idx.* is 13, but idx must lie in 0 … 12"),
        (([[-1] + [0] * BLOCK], 5), IndexError, "is -1"),
        (([[0]], -1), ValueError, "max_new_tokens"),
        (([[0]], 5, {"temperature": -0.1}), ValueError, "temperature"),
        (([[0]], 5, {"temperature": float("nan")}), ValueError, "temperature"),
        (([[0]], 5, {"top_k": 0}), ValueError, "top_k at least 1"),
    ],
)
def test_errors(model, arguments, error, says):
    *arguments, options = (*arguments, {}) if len(arguments) == 2 else arguments
    model.train()
    with pytest.raises(error, match=says):
        model.generate(*arguments, **options)
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("temperature", [0, 1])
def test_a_model_that_has_diverged_does_not_write(temperature):
    model = GPT(GPTConfig(block_size=4, vocab_size=5, n_layer=1, n_head=1, n_embd=4))
    with gd.no_grad():
        model.transformer.ln_f.weight.fill_(np.nan)
    with pytest.raises(ValueError, match="the logits are not numbers"):
        model.generate(np.zeros((1, 1), int), 3, temperature=temperature)
