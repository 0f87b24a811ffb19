"""Where tensors, modules and optimizers live, and how they get elsewhere."""

import numpy as np
import pytest

import gdengine as gd
from gdengine import cuda, nn, optim
from gdengine.device import resolve
from tests.helpers import normal


def affine(device="cpu"):
    gd.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2)).to(device)


def loss_of(model):
    return (model(gd.tensor(normal(5, 4).astype(np.float32)).to(next(model.parameters()).device)) ** 2).mean()


@pytest.mark.parametrize("name", ["gpu:0", "cpu:0", "cuda:", "cuda:x", "tpu", "", None, 0])
def test_what_is_no_device(gpu, name):
    with pytest.raises((ValueError, RuntimeError), match="device"):
        resolve(name)


def test_devices_have_numbers(gpu):
    assert resolve("cuda") == "cuda:0"
    assert cuda.device_count() >= 1
    with pytest.raises(RuntimeError, match="numbered from 0"):
        resolve(f"cuda:{cuda.device_count()}")


def test_a_tensor_goes_there_and_back(gpu):
    x = gd.tensor(normal(3, 4).astype(np.float32), requires_grad=True)
    y = x.to("cuda")
    assert (x.device, y.device) == ("cpu", "cuda:0")
    assert y.to("cuda:0") is y
    (y * 2).sum().backward()
    assert x.grad.device == "cpu"
    assert (x.grad.numpy() == 2).all()
    assert (y.cpu().numpy() == x.detach().numpy()).all()
    with pytest.raises(TypeError, match=r"x\.cpu\(\)\.numpy\(\)"):
        y.numpy()


def test_tensors_of_two_devices_do_not_mix(gpu):
    x = gd.ones(2, 2)
    for call in (lambda: x + x.cuda(), lambda: x @ x.cuda(), lambda: gd.functional.linear(x.cuda(), x)):
        with pytest.raises(RuntimeError, match=r"one device.*x\.to\('cuda:0'\)"):
            call()


def test_numpy_arrays_may_go_into_what_is_there(gpu):
    x = gd.zeros(2, 3, device="cuda")
    x[0] = np.ones(3, np.float32)
    x += np.ones((2, 3), np.float32)
    x.copy_(x.cpu().numpy() + 1)
    assert x.tolist() == [[3.0] * 3, [2.0] * 3]
    assert (x > 2).tolist() == [[True] * 3, [False] * 3]


def test_new_tensors_on_a_device(gpu):
    for made in (
        gd.zeros(2, device="cuda"),
        gd.ones(2, device="cuda"),
        gd.full((2,), 3, device="cuda"),
        gd.arange(2, device="cuda"),
        gd.tensor([1.0, 2.0], device="cuda"),
        gd.randperm(2, device="cuda"),
        gd.randint(0, 4, (2,), device="cuda"),
        gd.zeros_like(gd.ones(2, device="cuda")),
    ):
        assert made.device == "cuda:0"
        assert made.shape == (2,)
    gd.manual_seed(1)
    there = gd.randn(3, device="cuda").cpu().numpy()
    gd.manual_seed(1)
    assert (there == gd.randn(3).numpy()).all()
    original = gd.ones(2, device="cuda")
    copy = gd.tensor(original)
    original += 1
    assert copy.tolist() == [1.0, 1.0]


def test_a_second_device(gpu):
    if cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    x = gd.ones(2, 3, device="cuda").to("cuda:1")
    assert x.device == "cuda:1"
    with cuda.device(1):
        model = affine("cuda")
        assert {parameter.device for parameter in model.parameters()} == {"cuda:1"}
        assert (x + x).tolist() == [[2.0] * 3] * 2
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        loss_of(model).backward()
        optimizer.step()
        assert optimizer.t == 1
    assert x.to("cuda:0").cpu().tolist() == [[1.0] * 3] * 2
    model.to("cuda:0")
    assert optimizer.flats[0].device == "cuda:0"
    with pytest.raises(RuntimeError, match="one device"):
        gd.functional.linear(x, gd.ones(2, 3, device="cuda:0"))


def test_theta_g_and_state_move_together(gpu):
    model = affine()
    optimizer = optim.AdamW(model.parameters(), lr=0.1)
    loss_of(model).backward()
    optimizer.step()
    loss_of(model).backward()  # a fresh gradient goes along
    twin = affine()
    other = optim.AdamW(twin.parameters(), lr=0.1)
    loss_of(twin).backward()
    other.step()
    loss_of(twin).backward()
    model.to("cuda")
    flat = optimizer.flats[0]
    places = {vector.device.id for vector in (flat.theta, flat.grad, *flat.state.values())}
    assert (flat.device, places) == ("cuda:0", {0})
    for _ in range(2):
        optimizer.step()
        other.step()
        loss_of(model).backward()
        loss_of(twin).backward()
    model.cpu()
    for (name, here), (_, there) in zip(model.named_parameters(), twin.named_parameters(), strict=True):
        np.testing.assert_allclose(here.detach().numpy(), there.detach().numpy(), rtol=1e-5, atol=1e-6, err_msg=name)
    assert optimizer.t == other.t == 3


def test_a_float64_optimizer_stays_on_the_cpu(gpu):
    model = affine().to(np.float64)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(TypeError, match="trains float32"):
        model.to("cuda")
    assert {parameter.device for parameter in model.parameters()} == {"cpu"}
    del optimizer


def test_state_is_loaded_from_any_device(gpu):
    here, there = affine(), affine("cuda")
    with gd.no_grad():
        for parameter in here.parameters():
            parameter += 1
    there.load_state_dict(here.state_dict())
    here2 = affine()
    here2.load_state_dict(there.state_dict())
    for a, b in zip(here.parameters(), here2.parameters(), strict=True):
        assert (a.detach().numpy() == b.detach().numpy()).all()


def test_what_moves_gives_up_no_address(gpu):
    x = gd.ones(3, device="cuda")
    interface = x.__cuda_array_interface__
    assert interface["shape"] == (3,)
    assert not hasattr(gd.ones(3), "__cuda_array_interface__")
    assert not hasattr(x, "__array_interface__")


def test_memory_has_figures(gpu):
    x = gd.zeros(1 << 18, device="cuda")
    memory = cuda.memory()
    assert memory.held >= memory.used >= x.nbytes
    assert memory.total > memory.free > 0
    assert "MiB" in str(memory)
    cuda.empty_cache()
    cuda.synchronize()


def test_out_of_memory_says_what_helps(gpu):
    gd.ones(1, device="cuda")
    with pytest.raises(cuda.OutOfMemoryError, match=r"asked for; .* in use, .* held, .* free\. What usually helps"):
        gd.zeros(1 << 42, device="cuda")


def test_a_stream_of_ones_own(gpu):
    with cuda.Stream() as stream:
        x = gd.ones(4, device="cuda") * 2
        stream.synchronize()
    assert x.tolist() == [2.0] * 4


def test_ids_out_of_range_are_not_waited_for(gpu):
    weight = gd.ones(3, 2, device="cuda")
    ids = gd.tensor([0, 7]).to("cuda")
    assert np.isnan(gd.functional.embedding(ids, weight).cpu().numpy()).tolist() == [[False] * 2, [True] * 2]
    losses = gd.functional.cross_entropy(gd.ones(2, 3, device="cuda"), ids, reduction="none")
    assert np.isnan(losses.cpu().numpy()).tolist() == [False, True]
    with pytest.raises(IndexError):
        gd.functional.embedding(np.array([0, 7]), weight)


def test_a_function_of_ones_own(gpu):
    class Cube(gd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x * x, x * 1

        @staticmethod
        def backward(ctx, dy, dz):
            (x,) = ctx.saved_tensors
            return 3 * x * x * dy + dz

    x = gd.tensor([1.0, 2.0], device="cuda", requires_grad=True)
    Cube.apply(x)[0].sum().backward()
    assert x.grad.tolist() == [3.0, 12.0]


def test_without_cuda_everything_says_why(monkeypatch):
    monkeypatch.setattr(cuda, "why_not", lambda: "there is none")
    assert not cuda.is_available()
    assert cuda.device_count() == 0
    with pytest.raises(RuntimeError, match=r"'cuda' cannot be used: there is none\. Use 'cpu'"):
        gd.ones(2).to("cuda")
    with pytest.raises(RuntimeError, match="CUDA cannot be used: there is none"):
        cuda.memory()
