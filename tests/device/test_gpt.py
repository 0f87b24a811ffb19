"""The GPT on a GPU beside the same one on the CPU: losses, generation, and a graph of the whole step."""

import numpy as np
import pytest

import gdengine as gd
from gdengine import optim
from gdengine.device import to_host
from gdengine.functional import cross_entropy
from gdengine.models import GPT, GPTConfig

CONFIG = GPTConfig(block_size=16, vocab_size=19, n_layer=2, n_head=2, n_embd=16, dropout=0.1)
BATCHES = [(np.arange(24).reshape(2, 12) * (i + 2)) % 19 for i in range(5)]


def head(model, x, y):
    return cross_entropy(model(x), y)


def train(device, dtype, captured=False, loss_of=head):
    gd.manual_seed(0)
    model = GPT(CONFIG).to(device)
    optimizer = optim.AdamW(model.parameters(), lr=1e-2, clip_norm=1.0, weight_decay=0.1)

    def step(x, y):
        with gd.autocast(dtype):
            loss = loss_of(model, x, y)
        loss.backward()
        optimizer.step()
        return loss

    if captured:
        step = gd.graph(step)
    losses = [step(x, (3 * x + 1) % 19).item() for x in BATCHES]
    return losses, {name: to_host(value).tobytes() for name, value in model.state_dict().items()}


@pytest.fixture(scope="module")
def eager():
    """What `train` gives for ``(gpu, dtype)``, eagerly: several tests want the same, and an emulator takes seconds."""
    known = {}

    def trained(gpu, dtype):
        place = (type(gpu.device), dtype)
        if place not in known:
            known[place] = train("cuda", dtype)
        return known[place]

    return trained


@pytest.mark.parametrize("loss_of", [head, GPT.loss], ids=["cross_entropy", "model.loss"])
def test_its_losses_are_the_cpus(gpu, eager, loss_of):
    """float32: some hundred roundings of 6e-8 a step, which five steps do not amplify yet."""
    here, _ = train("cpu", "fp32", loss_of=loss_of)
    there, _ = eager(gpu, "fp32") if loss_of is head else train("cuda", "fp32", loss_of=loss_of)
    np.testing.assert_allclose(there, here, rtol=1e-5)


def test_its_losses_in_bfloat16_are_the_cpus(gpu, eager):
    """Activations are rounded to 8 bits, P and dS too: 2⁻⁸ of single terms, of which a loss has many."""
    here, _ = train("cpu", "bf16")
    there, _ = eager(gpu, "bf16")
    np.testing.assert_allclose(there, here, rtol=2**-9)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_graph_of_the_whole_step_has_the_same_bits(gpu, eager, dtype):
    losses, weights = eager(gpu, dtype)
    again, others = train("cuda", dtype, captured=True)
    assert losses == again
    assert [name for name in weights if weights[name] != others[name]] == []


def test_the_same_bits_over_two_runs(gpu, eager):
    assert train("cuda", "bf16") == eager(gpu, "bf16")


def test_it_writes_there_what_it_writes_here(gpu):
    gd.manual_seed(0)
    model = GPT(CONFIG)
    prompt = np.array([[1, 2, 3]])
    gd.manual_seed(1)
    here = model.generate(prompt, 20, temperature=0.8)
    model.to("cuda")
    gd.manual_seed(1)
    there = model.generate(gd.tensor(prompt, device="cuda"), 20, temperature=0.8)
    assert isinstance(there, np.ndarray)
    assert (here == there).all()


def test_ids_may_be_on_either_device(gpu):
    gd.manual_seed(0)
    model = GPT(CONFIG).to("cuda").eval()
    ids = BATCHES[0]
    one, other = model(ids), model(gd.tensor(ids, device="cuda"))
    assert (one.cpu().detach().numpy() == other.cpu().detach().numpy()).all()
    with pytest.raises(IndexError, match="ids must lie in 0 … 18"):
        model(ids + 18)
