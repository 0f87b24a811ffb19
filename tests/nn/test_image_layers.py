"""Layers of images, normalisation and attention: names, starts, values and gradients are PyTorch's; they learn."""

import copy
import math

import numpy as np
import pytest

import gdengine as gd
from gdengine import functional as F
from gdengine import nn, optim
from gdengine.models import ConvNet
from tests.helpers import assert_close, normal

LAYERS = {
    "Conv1d": (lambda n: n.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 9)),
    "Conv2d": (lambda n: n.Conv2d(3, 5, (3, 1), padding="same", bias=False), (2, 3, 6, 5)),
    "ConvTranspose2d": (lambda n: n.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2), (2, 4, 3, 4)),
    "BatchNorm1d": (lambda n: n.BatchNorm1d(4, momentum=0.3), (5, 4)),
    "BatchNorm1d of sequences": (lambda n: n.BatchNorm1d(4, affine=False), (3, 4, 5)),
    "BatchNorm2d": (lambda n: n.BatchNorm2d(4, momentum=None), (3, 4, 2, 3)),
    "BatchNorm2d, untracked": (lambda n: n.BatchNorm2d(4, track_running_stats=False), (3, 4, 2, 3)),
    "GroupNorm": (lambda n: n.GroupNorm(2, 4), (3, 4, 5)),
    "RMSNorm": (lambda n: n.RMSNorm(6), (3, 5, 6)),
    "MaxPool2d": (lambda n: n.MaxPool2d(3, 2, 1), (2, 3, 6, 7)),
    "MaxPool1d": (lambda n: n.MaxPool1d(2), (2, 3, 7)),
    "AvgPool2d": (lambda n: n.AvgPool2d(2, ceil_mode=True), (2, 3, 5, 7)),
    "AvgPool1d": (lambda n: n.AvgPool1d(3, 1), (2, 3, 7)),
    "AdaptiveAvgPool2d": (lambda n: n.AdaptiveAvgPool2d((2, 3)), (2, 3, 5, 7)),
    "Upsample": (lambda n: n.Upsample(scale_factor=2, mode="bilinear"), (2, 3, 3, 4)),
    "Identity": (lambda n: n.Identity(), (2, 3)),
}


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="compares with PyTorch")


def alike(torch, make):
    """Our layer and PyTorch's, in float64, with the same random values in both; their states have the same names."""
    ours, theirs = make(nn).double(), make(torch.nn).double()
    state = theirs.state_dict()
    assert {name: a.shape for name, a in ours.state_dict().items()} == {k: tuple(t.shape) for k, t in state.items()}
    values = {k: normal(*t.shape, seed=i) for i, (k, t) in enumerate(state.items()) if t.dtype == torch.float64}
    values = {k: np.abs(v) + 0.5 if k == "running_var" else v for k, v in values.items()}
    ours.load_state_dict(values, strict=False)
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in values.items()}, strict=False)
    return ours, theirs


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_values_gradients_and_state_are_pytorchs(torch, name, training):
    """Float64; sums of some 60 terms about 1."""
    make, shape = LAYERS[name]
    ours, theirs = alike(torch, make)
    ours.train(training)
    theirs.train(training)
    for seed in range(2):
        x = gd.tensor(normal(*shape, seed=seed), requires_grad=True)
        t = torch.from_numpy(normal(*shape, seed=seed)).requires_grad_()
        y, z = ours(x), theirs(t)
        assert_close(y.numpy(), z.detach().numpy(), 200)
    dy = normal(*y.shape, seed=5)
    y.backward(dy)
    z.backward(torch.from_numpy(dy))
    assert_close(x.grad.numpy(), t.grad.numpy(), 200)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert_close(p.grad.numpy(), q.grad.numpy(), 200)
    for (key, a), b in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        if key == "num_batches_tracked":
            assert int(a) == int(b)
        else:
            assert_close(a.numpy(), b.numpy(), 200, key)


@pytest.mark.parametrize("name", ["Conv1d", "Conv2d", "ConvTranspose2d"])
def test_filters_start_as_pytorchs_do(torch, name):
    """Uniform in ±1/√fan_in; of so many draws the largest comes within 1 % of the bound, whoever draws."""
    gd.manual_seed(0)
    torch.manual_seed(0)
    makes = {"Conv1d": (32, 500, 5), "Conv2d": (16, 300, 3), "ConvTranspose2d": (300, 16, 3)}
    ours, theirs = getattr(nn, name)(*makes[name]), getattr(torch.nn, name)(*makes[name])
    p, q = ours.weight.numpy(), theirs.weight.detach().numpy()
    assert np.abs(p).max() == pytest.approx(np.abs(q).max(), rel=0.01)
    assert p.std() == pytest.approx(q.std(), rel=10 / math.sqrt(p.size))
    assert np.abs(ours.bias.numpy()).max() <= np.abs(p).max() * 1.01


def attentions(torch, bias=True):
    ours, theirs = (
        nn.MultiHeadAttention(8, 2, bias=bias).double(),
        torch.nn.MultiheadAttention(8, 2, bias=bias).double(),
    )
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    ours.load_state_dict({k: t.numpy() for k, t in state.items()})
    return ours, theirs


BLOCKED = np.triu(np.ones((5, 5), bool), 2)
PADDED = np.array([[False] * 5, [False, False, False, True, True]])
CALLS = {
    "of itself": {},
    "attn_mask": {"attn_mask": BLOCKED},
    "added attn_mask": {"attn_mask": normal(5, 5, seed=9)},
    "attn_mask of each head": {"attn_mask": normal(4, 5, 5, seed=9)},
    "key_padding_mask": {"key_padding_mask": PADDED},
    "both": {"attn_mask": BLOCKED, "key_padding_mask": PADDED},
}


@pytest.mark.parametrize("name", CALLS)
def test_attention_is_pytorchs(torch, name):
    ours, theirs = attentions(torch, bias=name != "both")
    x = gd.tensor(normal(2, 5, 8), requires_grad=True)
    t = torch.from_numpy(normal(2, 5, 8)).requires_grad_()
    y = ours(x, **CALLS[name])
    given = {k: torch.from_numpy(v) for k, v in CALLS[name].items()}
    across = t.transpose(0, 1)
    z = theirs(across, across, across, need_weights=False, **given)[0].transpose(0, 1)
    assert_close(y.numpy(), z.detach().numpy(), 100)
    dy = normal(2, 5, 8, seed=4)
    y.backward(dy)
    z.backward(torch.from_numpy(dy))
    assert_close(x.grad.numpy(), t.grad.numpy(), 200)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert_close(p.grad.numpy(), q.grad.numpy(), 200)


def test_attention_over_other_keys_and_causally(torch):
    ours, theirs = attentions(torch)
    q, k, v = normal(2, 3, 8), normal(2, 5, 8, seed=1), normal(2, 5, 8, seed=2)
    z = theirs(*(torch.from_numpy(a).transpose(0, 1) for a in (q, k, v)))[0].transpose(0, 1)
    assert_close(ours(q, k, v).numpy(), z.detach().numpy(), 100)
    assert_close(ours(k, is_causal=True).numpy(), ours(k, attn_mask=np.triu(np.ones((5, 5), bool), 1)).numpy(), 100)
    with pytest.raises(ValueError, match=r"\(batch, time, 8\)"):
        ours(q[0])
    with pytest.raises(ValueError, match="attn_mask wants the shape"):
        ours(q, attn_mask=np.ones((2, 2), bool))
    with pytest.raises(ValueError, match="a multiple of num_heads"):
        nn.MultiHeadAttention(8, 3)


def test_what_must_not_be_saved_is_moved_alone():
    module = nn.Module()
    module.register_buffer("table", np.ones(2, np.float32), persistent=False)
    module.register_buffer("kept", np.ones(2, np.float32))
    assert list(module.state_dict()) == ["kept"]
    assert module.load_state_dict({"kept": np.zeros(2, np.float32)}) == ([], [])
    assert module.double().table.dtype == np.float64
    twin = copy.deepcopy(module)
    assert list(twin.state_dict()) == ["kept"]
    module.register_buffer("table", np.ones(2, np.float32))
    assert list(module.state_dict()) == ["table", "kept"]


def train(model, x, loss, steps):
    opt = optim.AdamW(model.parameters(), lr=3e-3)
    values = []
    for _ in range(steps):
        value = loss(model(x))
        value.backward()
        opt.step()
        values.append(float(value))
    return values


def test_a_conv_net_learns_and_evaluates():
    gd.manual_seed(1)
    x, y = normal(24, 1, 8, 8, dtype=np.float32), np.arange(24) % 3
    x[np.arange(24), 0, y] += 1
    model = ConvNet(1, 3, widths=(8, 16))
    losses = train(model, gd.tensor(x), lambda z: F.cross_entropy(z, y), 25)
    assert losses[-1] < 0.2 * losses[0]
    with model.evaluating(), gd.no_grad():
        assert (model(x).numpy().argmax(1) == y).mean() > 0.9
    assert int(model.state_dict()["stages.0.1.num_batches_tracked"]) == 25


class UNet(nn.Module):
    """Down, through, up again by a transposed convolution and by interpolation, with the way across."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 8, 3, padding=1)
        self.down = nn.Sequential(nn.Conv2d(8, 16, 4, 2, 1, bias=False), nn.GroupNorm(4, 16), nn.ReLU())
        self.bottom = nn.Sequential(
            nn.AvgPool2d(2), nn.Conv2d(16, 16, 3, padding="same"), nn.ReLU(), nn.Upsample(scale_factor=2)
        )
        self.up = nn.ConvTranspose2d(32, 8, 4, 2, 1)
        self.last = nn.Conv2d(16, 2, 1)

    def forward(self, x):
        a = F.relu(self.first(x))
        b = self.down(a)
        c = self.up(gd.cat([b, self.bottom(b)], dim=1))
        return self.last(gd.cat([a, F.relu(c)], dim=1))


def test_a_generator_of_images_learns():
    gd.manual_seed(1)
    x = normal(4, 2, 8, 8, dtype=np.float32)
    wanted = gd.tensor(x[:, ::-1].copy() * 0.5)
    losses = train(UNet(), gd.tensor(x), lambda z: ((z - wanted) * (z - wanted)).mean(), 60)
    assert losses[-1] < 0.1 * losses[0]
