"""Cases for test_gradients.py of the functions that layers of images, normalisation and positions are made of."""

import numpy as np

import gdengine as gd
from gdengine import functional as F
from tests.helpers import apart, normal

NO_GRADIENT = {"rotary_tables"}
SEEN = np.array([[True, False, True, True], [False, False, False, False], [False, True, True, False]])
IMAGE = apart(2, 2, 4, 5)


def with_seed(fn):
    """``fn`` with the same random numbers at every call."""

    def seeded(*tensors):
        gd.manual_seed(3)
        return fn(*tensors)

    return seeded


def running(x):
    """Statistics to evaluate with, of x's dtype."""
    return gd.tensor(normal(3, dtype=x.dtype)), gd.tensor(np.abs(normal(3, seed=1, dtype=x.dtype)) + 0.5)


def heads(t=3, s=4, h=2):
    return [normal(2, n, m, 2, seed=i) for i, (n, m) in enumerate(((2, t), (h, s), (h, s)))]


CASES = {
    "adaptive_avg_pool2d": {
        "mean": (lambda x: F.adaptive_avg_pool2d(x, 1), IMAGE),
        "overlapping": (lambda x: F.adaptive_avg_pool2d(x, (3, 2)), IMAGE),
        "larger, one size kept": (lambda x: F.adaptive_avg_pool2d(x, (6, None)), IMAGE[0]),
    },
    "avg_pool1d": {"padded": (lambda x: F.avg_pool1d(x, 3, 1, 1), normal(2, 2, 5))},
    "avg_pool2d": {
        "plain": (lambda x: F.avg_pool2d(x, 2), IMAGE),
        "ceil, padding not counted": (
            lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False),
            IMAGE,
        ),
        "divisor": (lambda x: F.avg_pool2d(x, (1, 2), divisor_override=3), IMAGE[0]),
    },
    "batch_norm": {
        "training": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), normal(4, 3, 2), normal(3), normal(3)),
        "training, plain": (lambda x: F.batch_norm(x, training=True, eps=0.1), normal(5, 3)),
        "evaluating": (lambda x, w, b: F.batch_norm(x, *running(x), w, b), normal(2, 3, 2), normal(3), normal(3)),
        "frozen": (lambda b: F.batch_norm(normal(2, 3, dtype=b.dtype), *running(b), bias=b), normal(3)),
    },
    "conv1d": {
        "strided": (lambda *a: F.conv1d(*a, stride=2, padding=1), normal(2, 2, 7), normal(3, 2, 3), normal(3)),
        "same, no batch": (lambda *a: F.conv1d(*a, padding="same"), normal(2, 5), normal(3, 2, 2)),
    },
    "conv2d": {
        "plain": (F.conv2d, normal(2, 2, 4, 3), normal(3, 2, 2, 3), normal(3)),
        "strided, padded, dilated, grouped": (
            lambda *a: F.conv2d(*a, stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2),
            *(normal(1, 4, 4, 5), normal(2, 2, 3, 2), normal(2)),
        ),
        "same, no batch": (lambda *a: F.conv2d(*a, padding="same"), normal(1, 3, 4), normal(2, 1, 2, 3)),
        "frozen weight": (lambda x: F.conv2d(x, normal(2, 1, 2, 2, dtype=x.dtype)), normal(2, 1, 3, 3)),
        "weight alone": (lambda w: F.conv2d(normal(2, 1, 3, 3, dtype=w.dtype), w), normal(2, 1, 2, 2)),
        "bias alone": (
            lambda b: F.conv2d(*(normal(*s, dtype=b.dtype) for s in ((2, 1, 3, 3), (2, 1, 2, 2))), b),
            normal(2),
        ),
        "image and filter are one": (lambda x: F.conv2d(x, x, padding=1), normal(2, 2, 3, 3)),
        "no images": (F.conv2d, normal(0, 1, 3, 3), normal(2, 1, 2, 2), normal(2)),
    },
    "conv_transpose2d": {
        "plain": (F.conv_transpose2d, normal(2, 2, 3, 2), normal(2, 3, 2, 3), normal(3)),
        "strided, padded, grouped": (
            lambda *a: F.conv_transpose2d(*a, stride=(2, 3), padding=1, output_padding=(1, 0), groups=2),
            *(normal(1, 4, 3, 2), normal(4, 1, 3, 3), normal(2)),
        ),
        "frozen": (
            lambda b: F.conv_transpose2d(normal(1, 2, 2, dtype=b.dtype), np.ones((1, 2, 2, 2), b.dtype), b),
            normal(2),
        ),
    },
    "group_norm": {
        "affine": (lambda x, w, b: F.group_norm(x, 2, w, b), normal(2, 4, 3), normal(4, seed=1), normal(4, seed=2)),
        "plain": (lambda x: F.group_norm(x, 3, eps=0.1), normal(2, 3, 2, 2)),
        "bias alone": (lambda b: F.group_norm(normal(2, 4, dtype=b.dtype), 1, None, b), normal(4)),
    },
    "instance_norm": {"affine": (F.instance_norm, normal(2, 3, 4), normal(3, seed=1), normal(3, seed=2))},
    "interpolate": {
        "nearest": (lambda x: F.interpolate(x, scale_factor=2), IMAGE),
        "nearest-exact": (lambda x: F.interpolate(x, (3, 7), mode="nearest-exact"), IMAGE),
        "bilinear": (lambda x: F.interpolate(x, scale_factor=(1.6, 0.5), mode="bilinear"), IMAGE),
        "bilinear, corners": (lambda x: F.interpolate(x, (7, 1), mode="bilinear", align_corners=True), IMAGE),
        "bicubic": (lambda x: F.interpolate(x, (6, 4), mode="bicubic"), IMAGE),
        "linear": (lambda x: F.interpolate(x, 7, mode="linear"), IMAGE[0]),
        "area": (lambda x: F.interpolate(x, 3, mode="area"), IMAGE),
    },
    "max_pool1d": {"strided": (lambda x: F.max_pool1d(x, 3, 2), apart(2, 2, 7))},
    "max_pool2d": {
        "plain": (lambda x: F.max_pool2d(x, 2), IMAGE),
        "padded, overlapping, ceil": (lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True), IMAGE),
        "dilated, no batch": (lambda x: F.max_pool2d(x, 2, 1, dilation=2), IMAGE[0]),
    },
    "rms_norm": {
        "plain": (lambda x: F.rms_norm(x, eps=0.1), normal(3, 4)),
        "weight": (F.rms_norm, normal(2, 3, 4), normal(4, seed=1)),
        "frozen": (lambda w: F.rms_norm(normal(3, 4, dtype=w.dtype), w), normal(4)),
        "one tensor as both": (lambda x: F.rms_norm(x, x), normal(4)),
        "no rows": (F.rms_norm, normal(0, 4), normal(4)),
    },
    "rotary_embedding": {
        "halves": (F.rotary_embedding, normal(2, 3, 4)),
        "neighbours": (lambda x: F.rotary_embedding(x, interleaved=True), normal(2, 2, 3, 4)),
        "positions": (lambda x: F.rotary_embedding(x, [5, 0, 2], base=10.0), normal(3, 2)),
        "a part": (lambda x: F.rotary_embedding(x, tables=F.rotary_tables(3, 2)), normal(2, 3, 5)),
        "no batch": (F.rotary_embedding, normal(0, 3, 4)),
    },
}

# More cases of a function that test_gradients.py has some of.
ATTENTION = {
    "bool mask": (lambda q, k, v: F.scaled_dot_product_attention(q, k, v, SEEN), *heads()),
    "added mask": (F.scaled_dot_product_attention, *heads(), normal(2, 1, 4, seed=5)),
    "mask, causal, dropout": (
        with_seed(
            lambda q, k, v: F.scaled_dot_product_attention(q, k, v, SEEN[:, :3] | np.eye(3, dtype=bool), 0.3, True)
        ),
        *heads(s=3),
    ),
    "fewer heads": (lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True), *heads(h=1)),
    "fewer heads, masked": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, SEEN, enable_gqa=True),
        *heads(h=1),
    ),
}
