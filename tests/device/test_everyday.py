"""The everyday functions on a GPU, forward and backward, against the same on the CPU: see test_functions for bounds."""

import numpy as np
import pytest

import gdengine as gd
from gdengine import functional as F
from tests.helpers import normal

PICKS = np.array([[3, 1, 1, 0], [2, 2, 0, 3]])
CLASSES = np.array([3, 1, -100, 4])
WEIGHTS = np.linspace(0.5, 2, 6).astype(np.float32)


def floats(*shape, seed=0):
    return normal(*shape, seed=seed).astype(np.float32)


X, Y, M = floats(2, 4, 6), floats(2, 4, 6, seed=1), floats(4, 6, seed=2)
CASES = {
    "curves": (lambda x: F.sin(x) + F.cos(x) + F.erf(x) + F.log1p(x * x) + F.expm1(x) + F.rsqrt(x * x + 1), (X,)),
    "steps": (
        lambda x, y: F.floor(x) + F.ceil(x) + F.round(x, 1) + F.clamp(x, -0.5, y) * F.sign(y) + x.square(),
        (X, Y),
    ),
    "spread": (lambda x: F.var(x, 1) + F.std(x, 1, correction=0) + F.logsumexp(x, 1) + F.norm(x, 2, 1), (X,)),
    "norms": (lambda x: x.norm(1, 0) + x.norm(3, 0) + x.norm(np.inf, 0), (X,)),
    "products": (lambda x: x.cumsum(1) + x.cumprod(1) + x.prod(1, keepdim=True), (X,)),
    "questions": (
        lambda x: x * (x > 0).any(1, keepdim=True) * (x < 9).all() + x[..., 0].argmin(1)[:, None, None],
        (X,),
    ),
    "einsum": (lambda x, m: F.einsum("bij,kj->bki", x, m) + F.einsum("bii->b", x[..., :4])[:, None, None], (X, M)),
    "gathered": (
        lambda x, m: (
            m.gather(0, PICKS) + F.take_along_axis(m[:2], PICKS[:, :1] - 1, 1) + m.index_select(1, [5, 5, 0, 1])[:2]
        ),
        (X, M),
    ),
    "scattered": (lambda x, m: m.scatter_add(1, PICKS, x[0]) + m.masked_fill(m > 0, 2.0), (X, M)),
    "one_hot": (lambda x: x[..., 0] @ F.one_hot(gd.tensor(CLASSES[[0, 1, 3, 3]]).to(x.device), 5).to(np.float32), (X,)),
    "ordered": (lambda x: x.sort(1, descending=True).values + x.sort(2)[0] + x.topk(1, 1)[0] + x.argsort(0), (X,)),
    "repeated": (
        lambda x: x.repeat(1, 2, 1) + x.tile(2, 1) + x.repeat_interleave(2, 1) + x.flip(0).repeat(1, 2, 1),
        (X,),
    ),
    "turned": (lambda x: x.roll(2, 1) + x.roll(1) + x.tril() + x.triu(1) + x.diagonal(1, 1, 2).sum(), (X,)),
    "padded": (
        lambda x: (
            F.pad(x, (2, 1))
            + F.pad(x, (1, 2), "reflect")
            + F.pad(x, (2, 1), "replicate")
            + F.pad(x, (3, 0), "circular")
        ),
        (X,),
    ),
    "pieces": (lambda x: x.chunk(2, 2)[1] + x.unbind(2)[0][..., None], (X,)),
    "activations": (
        lambda x: F.leaky_relu(x) + F.elu(x) + F.silu(x) + F.mish(x) + F.softplus(x) + F.logsigmoid(x) + F.relu6(x),
        (X,),
    ),
    "gates": (lambda x, y: F.hardswish(x) + F.gelu(x, "none") + F.swiglu(x, y) + F.glu(x, 1).sum(), (X, Y)),
    "differences": (
        lambda x, y: F.mse_loss(x, y) + F.l1_loss(x, y) + F.huber_loss(x, y) + F.smooth_l1_loss(x, y, beta=0.5),
        (X, Y),
    ),
    "chances": (
        lambda x, y: F.binary_cross_entropy_with_logits(x, F.sigmoid(y), pos_weight=2.0) + F.kl_div(x, F.softmax(y)),
        (X, Y),
    ),
    "cross_entropy": (
        lambda m: F.cross_entropy(m, CLASSES, weight=WEIGHTS, label_smoothing=0.1) + F.nll_loss(m, CLASSES),
        (M,),
    ),
    "soft": (lambda x, y: F.cross_entropy(x, F.softmax(y), label_smoothing=0.1), (X, Y)),
    "head": (
        lambda x, m: F.linear_cross_entropy(x, m, PICKS) + F.linear_cross_entropy(x, m, PICKS, reduction="none").sum(),
        (X, M),
    ),
    "likeness": (
        lambda m: F.info_nce(m, m.flip(0), symmetric=True) + F.triplet_margin_loss(m, m.roll(1, 0), m.roll(2, 0)),
        (M,),
    ),
}


def results(name, device):
    function, arrays = CASES[name]
    tensors = [gd.tensor(array, device=device, requires_grad=True) for array in arrays]
    out = function(*tensors)
    weights = gd.tensor(np.cos(np.arange(out.size, dtype=np.float32)).reshape(out.shape)).to(device)
    (out * weights).sum().backward()
    return {"out": out, **{f"gradient {i}": x.grad for i, x in enumerate(tensors) if x.grad is not None}}


@pytest.mark.parametrize("name", CASES)
def test_the_same_as_on_the_cpu(gpu, name):
    here, there = results(name, "cpu"), results(name, "cuda")
    assert here.keys() == there.keys()
    for part, expected in here.items():
        got = there[part]
        assert got.device == "cuda:0", part
        assert got.dtype == expected.dtype, part
        size = float(np.abs(expected.numpy()).max())
        np.testing.assert_allclose(
            got.cpu().detach().numpy(), expected.detach().numpy(), atol=1e-5 * size, err_msg=part
        )


def test_kernels_of_their_own(gpu):
    results("gates", "cuda")
    results("activations", "cuda")
    for kernel in ("swiglu_forward_f32", "swiglu_backward_f32", "silu_forward_f32", "silu_backward_f32"):
        assert gpu.launched(kernel)


@pytest.mark.parametrize("function", [F.silu, lambda x: F.swiglu(x, x * 2)])
def test_bfloat16(gpu, function):
    for device in ("cpu", "cuda"):
        x = gd.tensor(X, device=device, requires_grad=True)
        y = function(x.to(gd.bfloat16))
        assert y.dtype == gd.bfloat16
        y.sum().backward()
        exact = gd.tensor(X, dtype=np.float64, requires_grad=True)
        function(exact).sum().backward()
        # rounded to 8 bits at each of a few functions, four times over
        np.testing.assert_allclose(
            x.grad.cpu().numpy(), exact.grad.numpy(), atol=2**-6 * np.abs(exact.grad.numpy()).max()
        )


def test_a_head_in_bfloat16_is_the_same_as_on_the_cpu(gpu):
    found = []
    for device in ("cpu", "cuda"):
        x, m = (gd.tensor(a, device=device, requires_grad=True) for a in (X, M))
        with gd.autocast("bf16"):
            loss = F.linear_cross_entropy(x, m, PICKS)
        assert loss.dtype == np.float32
        loss.backward()
        found.append([t.cpu().detach().numpy() for t in (loss, x.grad, m.grad)])
    for here, there in zip(*found, strict=True):
        np.testing.assert_allclose(there, here, atol=2**-6 * np.abs(here).max())
