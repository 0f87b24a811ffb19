"""On a GPU: activations computed anew, also in captured graphs; averages, scales, further groups, hooks."""

import numpy as np
import pytest

import gdengine as gd
from gdengine import nn, optim
from gdengine.functional import cross_entropy

BATCHES = [(np.arange(12).reshape(3, 4) + i) % 7 for i in range(5)]


def tower(device, dropout=0.3):
    gd.manual_seed(0)
    layers = (nn.Embedding(7, 8), nn.Linear(8, 16), nn.GELU(), nn.Dropout(dropout), nn.Linear(16, 7))
    return nn.Sequential(*layers).to(device)


def trained(anew, captured):
    """The bits of a model's parameters after some steps, and the losses."""
    model = tower("cuda")
    opt = optim.AdamW(model.named_parameters(), lr=1e-2, clip_value=0.1)

    def step(x, y):
        h = model[0](x)
        h = gd.checkpoint(model[1:4], h) if anew else model[1:4](h)
        loss = cross_entropy(model[4](h), y)
        loss.backward()
        opt.step()
        return loss

    call = gd.graph(step) if captured else step
    losses = [call(x, (3 * x + 1) % 7).item() for x in BATCHES]
    return losses, opt.flats[0].theta.get().tobytes(), gd.random.state_dict()


def test_activations_computed_anew(gpu):
    plain = trained(anew=False, captured=False)
    assert trained(anew=True, captured=False) == plain
    assert trained(anew=True, captured=True) == plain


def test_averages(gpu):
    model = tower("cpu")
    opt = optim.SGD(model.named_parameters(), lr=0.1)
    ema = optim.EMA(opt, 0.5)
    for number, x in enumerate(BATCHES):
        if number == 2:
            model.to("cuda")
        cross_entropy(model(x), x).backward()
        opt.step()
        before = {name: np.array(gd.device.to_host(value)) for name, value in ema.state_dict()["average"].items()}
        ema.update()
    theta = {name: p.detach().cpu().numpy() for name, p in model.named_parameters()}
    with ema.applied():
        for name, p in model.named_parameters():
            # four roundings of values below 1
            expected = 0.5 * before[name] + 0.5 * theta[name]
            np.testing.assert_allclose(p.detach().cpu().numpy(), expected, rtol=0, atol=4 * 2.0**-23)
    for name, p in model.named_parameters():
        assert p.detach().cpu().numpy().tobytes() == theta[name].tobytes()
    assert gpu.launched("moving_average")


def test_scales_and_what_a_capture_refuses(gpu):
    ends = []
    for device in ("cpu", "cuda"):
        model = tower(device, dropout=0.0)
        opt = optim.SGD(model.named_parameters(), lr=0.1)
        for x in BATCHES[:2]:
            cross_entropy(model(x), x, reduction="sum").backward()
        opt.step(grad_scale=1 / 24)
        ends.append({name: p.detach().cpu().numpy() for name, p in model.named_parameters()})
    for name, expected in ends[0].items():
        np.testing.assert_allclose(ends[1][name], expected, rtol=0, atol=1e-6)

    def step(x):
        cross_entropy(model(x), x).backward()
        opt.step(grad_scale=0.5)

    captured = gd.graph(step)
    for x in BATCHES[:2]:
        captured(x)
    with pytest.raises(RuntimeError, match="which a captured graph cannot follow"):
        captured(BATCHES[2])


def test_a_group_added_half_way(gpu):
    ends = []
    for device in ("cpu", "cuda"):
        model = tower(device, dropout=0.0)
        opt = optim.AdamW(model[:2].named_parameters("a"), lr=1e-2, amsgrad=True)
        for number, x in enumerate(BATCHES):
            if number == 2:
                opt.add_param_group({"params": model[4].named_parameters("b"), "lr": 2e-2})
            model.zero_grad()
            cross_entropy(model(x), x).backward()
            opt.step()
        ends.append({name: p.detach().cpu().numpy() for name, p in model.named_parameters()})
        assert opt.t == 5
    for name, expected in ends[0].items():
        np.testing.assert_allclose(ends[1][name], expected, rtol=0, atol=2e-5)
    with pytest.raises(ValueError, match="on cpu, the optimizer on cuda"):
        opt.add_param_group({"params": nn.Parameter(np.zeros(2, np.float32))})
    with pytest.raises(TypeError, match="on a GPU trains float32"):
        opt.add_param_group({"params": gd.tensor(np.zeros(2), device="cuda", requires_grad=True)})


def test_hooks(gpu):
    model, seen = tower("cuda", dropout=0.0), []
    model[1].register_full_backward_hook(lambda m, gi, go: seen.append((gi[0].shape, go[0].device)))
    model[1].weight.register_hook(lambda g: g * 2)
    cross_entropy(model(BATCHES[0]), BATCHES[0]).backward()
    assert seen == [((3, 4, 8), "cuda:0")]
    doubled = model[1].weight.grad.cpu().numpy()
    other = tower("cuda", dropout=0.0)
    cross_entropy(other(BATCHES[0]), BATCHES[0]).backward()
    assert (doubled == 2 * other[1].weight.grad.cpu().numpy()).all()
