"""Every differentiable function on a GPU, forward and backward, against the same on the CPU.

Both compute in float32, in another order: a sum of n terms is off by at most n·u·Σ|terms| in either, and what is
summed here has at most 64 terms of size about 1, so that 1e-5 of the largest value leaves room.
"""

import contextlib

import numpy as np
import pytest

import gdengine as gd
from gdengine import functional as F
from tests.helpers import normal

IDS = np.array([[3, 1, 4, 1], [5, 2, 2, 0]])


def floats(*shape, seed=0):
    return normal(*shape, seed=seed).astype(np.float32)


X, Y, W, B = floats(2, 4, 16), floats(2, 4, 16, seed=1), floats(8, 16, seed=2), floats(8, seed=3)
IMAGES = floats(2, 4, 5, 6, seed=6)
CASES = {
    "arithmetic": (lambda x, y: (x + y) * x - y / (x * x + 1), (X, Y)),
    "broadcasting": (lambda x, y: (x + y[:, :, :1]) * y[0], (X, Y)),
    "scalars": (lambda x: 2 - 3 * x / 4 + (x * x + 1) ** -0.5, (X,)),
    "powers": (lambda x, y: abs(x) ** (y * 0.5) + 2**y, (X, Y)),
    "curves": (lambda x: F.exp(x) + F.tanh(x) + F.sigmoid(x) + F.sqrt(x * x + 1) + F.log(x * x + 1), (X,)),
    "choices": (lambda x, y: F.maximum(x, y) - F.minimum(x, 0.5 * y) + F.where(x > 0, x, y) + abs(x), (X, Y)),
    "activations": (lambda x: F.relu(x) + F.gelu(x) + F.softmax(x) + F.log_softmax(x, 1), (X,)),
    "sums": (lambda x: x.sum(1) + x.mean(dim=(0, 1)) + x.max(dim=1) - x.min(), (X,)),
    "shapes": (lambda x: x.reshape(8, 16).T.split(4, dim=0)[1].unsqueeze(0).expand(2, 4, 8).permute(2, 0, 1), (X,)),
    "joined": (lambda x, y: gd.cat([x, gd.stack([y, x])[0]], dim=1).flatten(1).squeeze(), (X, Y)),
    "items": (lambda x: x[:, 1:3] + x[:, [0, 0]] + x[np.array([1, 0])][:, 2:] + x[..., None, 3][:, :2], (X,)),
    "masked": (lambda x: x[gd.tensor(X > 0).to(x.device)], (X,)),
    "matmul": (lambda x, w: x @ w.T + x[0, 0] @ w.T + (x @ w[0])[..., None] + (x.mT @ x)[:, :4, :8], (X, W)),
    "linear": (
        lambda x, w, b: F.linear(x, w, b, residual=F.linear(x, w)) + F.linear(x, w, b, activation="gelu"),
        (X, W, B),
    ),
    "feed_forward": (lambda x, w, b: F.feed_forward(x, w, b, w.T * 1, None, residual=x), (X, W, B)),
    "mlp": (lambda x, w, b: F.mlp(x, [(w, b), (w.T * 1, None), (w * 2, b)], activation="gelu"), (X, W, B)),
    "linear_relu": (lambda x, w, b: F.linear(x, w, b, activation="relu"), (X, W, B)),
    "embedding": (lambda w: F.embedding(IDS, w), (W,)),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, w, b), (X, floats(16, seed=4), floats(16, seed=5))),
    "cross_entropy": (
        lambda x: F.cross_entropy(x, IDS) + F.cross_entropy(x, IDS, reduction="sum", ignore_index=2),
        (X,),
    ),
    "dropout": (lambda x: F.dropout(x, 0.4), (X,)),
    "rms_norm": (lambda x, w: F.rms_norm(x, w), (X, floats(16, seed=4))),
    "group_norm": (lambda x, w, b: F.group_norm(x, 2, w, b), (X, floats(4, seed=4), floats(4, seed=5))),
    "batch_norm": (
        lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
        (X, floats(4, seed=4), floats(4, seed=5)),
    ),
    "conv2d": (
        lambda x, w, b: F.conv2d(x, w, b, stride=(2, 1), padding=1, groups=2),
        (IMAGES, floats(6, 2, 3, 3, seed=1), floats(6, seed=2)),
    ),
    "conv1d": (lambda x, w: F.conv1d(x, w, padding="same"), (X, floats(3, 4, 4, seed=1))),
    "conv_transpose2d": (
        lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2, padding=1),
        (IMAGES, floats(4, 3, 3, 3, seed=1), floats(3, seed=2)),
    ),
    "pools": (
        lambda x: (
            F.max_pool2d(x, 3, 2, 1) + F.avg_pool2d(x, 3, 2, 1, count_include_pad=False) + F.adaptive_avg_pool2d(x, 3)
        ),
        (IMAGES,),
    ),
    "interpolate": (
        lambda x: F.interpolate(x, scale_factor=2) + F.interpolate(x, (10, 12), mode="bilinear"),
        (IMAGES,),
    ),
    "rotary": (lambda x: F.rotary_embedding(x) + F.rotary_embedding(x, [3, 1, 0, 2], interleaved=True), (X,)),
    "masked attention": (
        lambda q, m: F.scaled_dot_product_attention(q, q[:, :1], q[:, :1], m, 0.2, enable_gqa=True),
        (floats(2, 2, 4, 8), floats(4, 4, seed=1)),
    ),
    "bool mask": (
        lambda q: F.scaled_dot_product_attention(q, q, q, np.eye(4, dtype=bool) | (np.arange(4) < 2)),
        (floats(2, 2, 4, 8),),
    ),
    "cast": (lambda x: x.to(np.float16).to(np.float32), (X,)),
}


def results(name, device, dtype=None):
    function, arrays = CASES[name]
    gd.manual_seed(5)
    tensors = [gd.tensor(array, device=device, requires_grad=True) for array in arrays]
    with gd.autocast(dtype) if dtype else contextlib.nullcontext():
        out = function(*tensors)
    weights = gd.tensor(np.cos(np.arange(out.size, dtype=np.float32)).reshape(out.shape)).to(device)
    (out.to(np.float32) * weights).sum().backward()
    return {"out": out, **{f"gradient {i}": x.grad for i, x in enumerate(tensors)}}


@pytest.mark.parametrize("name", CASES)
def test_the_same_as_on_the_cpu(gpu, name):
    here, there = results(name, "cpu"), results(name, "cuda")
    for part, expected in here.items():
        got = there[part]
        assert got.device == "cuda:0", part
        assert got.dtype == expected.dtype, part
        size = float(np.abs(expected.numpy()).max())
        np.testing.assert_allclose(
            got.cpu().detach().numpy(), expected.detach().numpy(), atol=1e-5 * size, err_msg=part
        )


@pytest.mark.parametrize(
    "name", ["linear", "linear_relu", "embedding", "layer_norm", "cross_entropy", "rms_norm", "conv2d", "rotary"]
)
def test_bfloat16_is_the_same_as_on_the_cpu(gpu, name):
    """Results are rounded to 8 bits at each of a few functions: 2⁻⁸ of the largest value for each, four times over."""
    here, there = results(name, "cpu", "bf16"), results(name, "cuda", "bf16")
    for part, expected in here.items():
        got, exact = there[part].cpu().detach().to(np.float32).numpy(), expected.detach().to(np.float32).numpy()
        assert there[part].dtype == expected.dtype, part
        np.testing.assert_allclose(got, exact, atol=2**-6 * np.abs(exact).max(), err_msg=part)


@pytest.mark.parametrize("name", ["linear", "embedding", "layer_norm", "cross_entropy", "matmul", "items", "conv2d"])
def test_the_same_bits_every_time(gpu, name):
    first, second = results(name, "cuda"), results(name, "cuda")
    for part, once in first.items():
        assert once.cpu().detach().numpy().tobytes() == second[part].cpu().detach().numpy().tobytes(), part


def test_a_batch_of_matrices_is_multiplied_by_cublas_which_no_graph_captures(gpu):
    x = gd.tensor(X, device="cuda")
    multiply = gd.graph(lambda a: a @ a.mT, warmup=1)
    np.testing.assert_allclose(multiply(x).cpu().numpy(), X @ X.swapaxes(1, 2), rtol=1e-5, atol=1e-5)
    with pytest.raises(RuntimeError, match="cuBLAS, which a graph cannot capture"):
        multiply(x)
