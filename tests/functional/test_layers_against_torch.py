"""Values and gradients of what layers are made of beside PyTorch's: see test_against_torch.py for cases and bounds."""

import numpy as np
import pytest

import gdengine as gd
from gdengine import functional as F
from tests.helpers import assert_close, normal

torch = pytest.importorskip("torch", reason="compares with PyTorch")
T = torch.nn.functional
MASK = np.random.default_rng(3).random((2, 1, 9, 11)) < 0.6
MASK[0, 0, 2] = False  # a query that may see nothing
STATISTICS = np.arange(6.0) / 3 - 1, np.arange(6.0) / 2 + 0.5


def both(name, *args, **options):
    """Our function and PyTorch's of one name, with the same further arguments."""
    ours, theirs = getattr(F, name), getattr(T, name)
    return lambda *x: ours(*x, *args, **options), lambda *x: theirs(*x, *args, **options)


def rotated(x, interleaved):
    """RoFormer's equation 34, in PyTorch."""
    time, width = x.shape[-2:]
    rate = 10_000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angle = torch.arange(time, dtype=torch.float64)[:, None] * rate
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = (x[..., ::2], x[..., 1::2]) if interleaved else x.chunk(2, dim=-1)
    turned = a * cos - b * sin, b * cos + a * sin
    return torch.stack(turned, -1).flatten(-2) if interleaved else torch.cat(turned, -1)


def sized(module):
    """(running mean, running variance) as ``module``'s tensors of x's dtype."""
    return lambda x: [module.tensor(s.astype(str(x.dtype).removeprefix("torch."))) for s in STATISTICS]


QKV = [(2, 6, 9, 5), (2, 6, 11, 5), (2, 6, 11, 5)]
CASES = {
    "conv2d": (*both("conv2d", stride=2, padding=(1, 2)), [(2, 3, 9, 11), (7, 3, 3, 3), (7,)], 60),
    "conv2d, groups": (*both("conv2d", groups=3, dilation=(2, 1)), [(2, 6, 9, 7), (9, 2, 3, 2)], 90),
    "conv2d, same": (*both("conv2d", padding="same", dilation=(2, 1)), [(3, 9, 7), (5, 3, 5, 3), (5,)], 75),
    "conv1d": (*both("conv1d", stride=2, padding=1, dilation=2), [(3, 4, 17), (5, 4, 3), (5,)], 24),
    "conv1d, same": (*both("conv1d", padding="same"), [(3, 4, 17), (5, 4, 5)], 51),
    "conv_transpose2d": (
        *both("conv_transpose2d", stride=(2, 3), padding=1, output_padding=(1, 0), groups=2, dilation=(1, 2)),
        *([(2, 4, 5, 4), (4, 3, 3, 3), (6,)], 300),
    ),
    "max_pool2d": (*both("max_pool2d", 3, 2, 1, ceil_mode=True), [(2, 3, 8, 9)], 4),
    "max_pool2d, dilated": (*both("max_pool2d", (2, 3), dilation=2), [(3, 8, 9)], 4),
    "max_pool1d": (*both("max_pool1d", 2), [(2, 3, 9)], 1),
    "avg_pool2d": (*both("avg_pool2d", 3, 2, 1, ceil_mode=True), [(2, 3, 8, 9)], 9),
    "avg_pool2d, not the padding": (*both("avg_pool2d", 3, 2, 1, count_include_pad=False), [(2, 3, 8, 9)], 9),
    "avg_pool1d": (*both("avg_pool1d", 3, 1, 1), [(2, 3, 9)], 3),
    **{
        f"adaptive_avg_pool2d to {size}": (*both("adaptive_avg_pool2d", size), [(2, 3, 8, 9)], 72)
        for size in (1, (3, 4), (None, 2), (16, 5))
    },
    **{
        f"interpolate, {mode}, {options}": (*both("interpolate", mode=mode, **options), [(2, 3, 8, 9)], 20)
        for mode in ("nearest", "nearest-exact", "bilinear", "bicubic", "area")
        for options in ({"size": (5, 13)}, {"scale_factor": 2}, {"scale_factor": (1.7, 0.6)})
    },
    "interpolate, corners": (*both("interpolate", (5, 13), mode="bilinear", align_corners=True), [(2, 3, 8, 9)], 20),
    "interpolate, linear": (*both("interpolate", 7, mode="linear"), [(2, 3, 9)], 20),
    "group_norm": (
        lambda x, w, b: F.group_norm(x, 2, w, b),
        lambda x, w, b: T.group_norm(x, 2, w, b),
        *([(3, 6, 5, 2), (6,), (6,)], 60),
    ),
    "instance_norm": (*both("instance_norm"), [(3, 4, 5, 7)], 35),
    "batch_norm, training": (
        lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
        lambda x, w, b: T.batch_norm(x, None, None, w, b, training=True),
        *([(3, 6, 5, 2), (6,), (6,)], 60),
    ),
    "batch_norm, evaluating": (
        lambda x, w, b: F.batch_norm(x, *sized(gd)(x), w, b),
        lambda x, w, b: T.batch_norm(x, *sized(torch)(x), w, b),
        *([(9, 6), (6,), (6,)], 18),
    ),
    "rms_norm": (F.rms_norm, lambda x, w: T.rms_norm(x, x.shape[-1:], w), [(5, 3, 65), (65,)], 65),
    "rotary, halves": (F.rotary_embedding, lambda x: rotated(x, False), [(2, 3, 17, 6)], 2),
    "rotary, neighbours": (
        lambda x: F.rotary_embedding(x, interleaved=True),
        lambda x: rotated(x, True),
        *([(2, 3, 17, 6)], 2),
    ),
    "attention, bool mask": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, MASK),
        lambda q, k, v: T.scaled_dot_product_attention(q, k, v, torch.from_numpy(MASK)),
        *(QKV, 16),
    ),
    "attention, added mask": (
        lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, m, scale=0.3),
        lambda q, k, v, m: T.scaled_dot_product_attention(q, k, v, m, scale=0.3),
        *([*QKV, (6, 1, 11)], 40),
    ),
    "attention, fewer heads": (
        *both("scaled_dot_product_attention", is_causal=True, enable_gqa=True),
        *([(2, 6, 9, 5), (2, 2, 9, 5), (2, 2, 9, 5)], 30),
    ),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_same_as_torch(name, dtype):
    ours, theirs, shapes, n = CASES[name]
    arrays = [normal(*shape, seed=i, dtype=dtype) for i, shape in enumerate(shapes)]
    xs = [gd.tensor(a, requires_grad=True) for a in arrays]
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, z = ours(*xs), theirs(*ts)
    assert_close(y.numpy(), z.detach().numpy(), 2 * (n + 20), "value")
    dy = normal(*z.shape, seed=7, dtype=dtype)
    y.backward(dy)
    z.backward(torch.from_numpy(dy))
    for i, (x, t) in enumerate(zip(xs, ts, strict=True)):
        assert_close(x.grad.numpy(), t.grad.numpy(), 2 * (n + 20), f"gradient {i}")


@pytest.mark.parametrize("momentum", [0.1, 1.0])
def test_running_statistics_follow_as_torch_has_them(momentum):
    ours = [gd.tensor(s) for s in STATISTICS]
    theirs = [torch.tensor(s) for s in STATISTICS]
    for seed in range(3):
        x = normal(3, 6, 5, seed=seed) * 2 + 1
        F.batch_norm(gd.tensor(x), *ours, training=True, momentum=momentum)
        T.batch_norm(torch.tensor(x), *theirs, training=True, momentum=momentum)
    for a, b in zip(ours, theirs, strict=True):
        assert_close(a.numpy(), b.numpy(), 40)


def test_a_window_of_nan_and_of_equals_is_as_torch_has_it():
    x = np.array([[[1.0, 1, 2, np.nan], [1, 1, np.nan, 3], [-np.inf, -np.inf, 5, 5], [-np.inf, -np.inf, 4, 5]]])
    t, ours = torch.tensor(x, requires_grad=True), gd.tensor(x, requires_grad=True)
    y, z = F.max_pool2d(ours, 2), T.max_pool2d(t, 2)
    y.sum().backward()
    z.sum().backward()
    np.testing.assert_array_equal(y.detach().numpy(), z.detach().numpy())
    np.testing.assert_array_equal(ours.grad.numpy(), t.grad.numpy())


def test_far_positions_keep_their_distance():
    """Scores depend on how far apart two positions are: float64's angles, rounded once, even a million on.

    16 terms of two products and two sums each, a rounding or two for each, of |q|·|k| at most.
    """
    q, k = (normal(1, 16, seed=i, dtype=np.float32) for i in range(2))
    scores = [
        float((F.rotary_embedding(q, [at + 3]).numpy() * F.rotary_embedding(k, [at]).numpy()).sum())
        for at in (0, 1_000_000)
    ]
    size = float(np.abs(q).max() * np.abs(k).max())
    assert scores[0] == pytest.approx(scores[1], abs=16 * 8 * 2**-24 * size)


X, W = normal(1, 4, 5, 5), normal(6, 2, 3, 3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.conv2d(X, W), ValueError, "2 channels in x"),
        (lambda: F.conv2d(X, W, groups=4), ValueError, "channels"),
        (lambda: F.conv2d(X, W, groups=2, stride=0), ValueError, "stride as a whole number from 1 up"),
        (lambda: F.conv2d(X, W, groups=2, stride=2, padding="same"), ValueError, "keeps the size"),
        (lambda: F.conv2d(X, W, groups=2, padding="full"), ValueError, "'valid' or 'same'"),
        (lambda: F.conv2d(X, W, groups=2, dilation=3), ValueError, "too small for its windows"),
        (lambda: F.conv2d(X, W, np.zeros(5), groups=2), ValueError, r"bias of shape \(6,\)"),
        (lambda: F.conv2d(X.astype(np.float32), W, groups=2), TypeError, "one dtype"),
        (lambda: F.conv_transpose2d(X, W), ValueError, "6 channels in x"),
        (lambda: F.conv_transpose2d(X, W[:4], output_padding=1), ValueError, "output_padding must be smaller"),
        (lambda: F.max_pool2d(X, 3, padding=2), ValueError, "at most half a window"),
        (lambda: F.avg_pool2d(X, 7), ValueError, "smaller than a window"),
        (lambda: F.interpolate(X), ValueError, "size or scale_factor"),
        (lambda: F.interpolate(X, 3, mode="trilinear"), ValueError, "it knows"),
        (lambda: F.interpolate(X, 3, align_corners=True), ValueError, "between places"),
        (lambda: F.group_norm(X, 3), ValueError, "not evenly"),
        (lambda: F.batch_norm(X), ValueError, "pass training=True"),
        (lambda: F.batch_norm(X[:, :, 0, 0], training=True), ValueError, "two or more values"),
        (lambda: F.rms_norm(X, np.zeros(4)), ValueError, r"weight of shape \(5,\)"),
        (lambda: F.rotary_embedding(X), ValueError, "an even width"),
        (lambda: F.rotary_embedding(X[..., :4], [1, 2]), ValueError, "wants 5 positions"),
        (lambda: F.scaled_dot_product_attention(X, X, X, np.zeros(3, bool)), ValueError, "mask broadcasts to"),
        (lambda: F.scaled_dot_product_attention(X, X, X, np.zeros(5, int)), TypeError, "bool"),
        (lambda: F.scaled_dot_product_attention(X, X[:, :3], X[:, :3], enable_gqa=True), ValueError, "a multiple"),
    ],
)
def test_what_does_not_fit_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
