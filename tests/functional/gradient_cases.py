"""Cases of the everyday functions for `test_gradients`: function → label → (callable, its inputs…)."""

import numpy as np

import gdengine as gd
from gdengine import functional as F
from tests.functional.forms import WIDE, reduction, unary
from tests.helpers import apart, normal

NO_GRADIENT = {"all", "any", "argmin", "argsort", "one_hot", "sign"}

POSITIVE = np.abs(apart(2, 3, seed=5)) + 0.3
MASK = np.array([[True, False, True], [False, True, True]])
PICKS = np.array([[2, 0, 2], [1, 1, 0]])  # with an element twice
ZEROS = np.array([[0.5, 0.0, -1.5, 2.0], [0.0, 0.0, 1.0, 3.0], [1.0, -2.0, 0.5, 0.3]])  # one, two, and no zero in a row
TARGETS = np.array([2, 0, -100, 1])
WEIGHTS = np.array([0.5, 2.0, 1.5])
SIGNS = np.array([1, -1, 1, -1])
SHARES = np.array([[0.2, 0.5, 0.3], [0.7, 0.1, 0.2]])


def both(fn, *shape):
    """Cases of a loss of two tensors, for each reduction."""
    a, b = normal(*shape), normal(*shape, seed=1)
    return {r: (lambda x, t, r=r: fn(x, t, reduction=r), a, b) for r in ("mean", "sum", "none")}


CASES = {
    "binary_cross_entropy_with_logits": {
        **both(F.binary_cross_entropy_with_logits, 2, 3),
        "weights": (
            lambda x, t: F.binary_cross_entropy_with_logits(x, t, weight=WEIGHTS, pos_weight=WEIGHTS[::-1]),
            *(normal(2, 3), normal(2, 3, seed=1)),
        ),
        "labels": (lambda x: F.binary_cross_entropy_with_logits(x, np.array([0, 1, 1])), normal(3)),
    },
    "ceil": unary(F.ceil),
    "chunk": {"three": (lambda x: F.chunk(x, 3, 1), apart(2, 5)), "one unused": (lambda x: x.chunk(2)[1], apart(3, 2))},
    "clamp": {
        **unary(lambda x: F.clamp(x, -0.2, 0.3)),
        "min": (lambda x: F.clamp(x, min=0.05), apart(2, 3)),
        "max, NumPy's name": (lambda x: F.clip(x, max=0.05), apart(2, 3)),
        "tensors": (F.clamp, apart(2, 3), apart(3, seed=1) - 0.21, apart(2, 1, seed=2) + 0.17),
        "min above max": (F.clamp, apart(2, 3), apart(3, seed=1) + 9, apart(2, 1, seed=2)),
    },
    "clip": unary(lambda x: F.clip(x, -0.2, 0.3)),
    "cos": unary(F.cos),
    "cosine_embedding_loss": {
        r: (lambda a, b, r=r: F.cosine_embedding_loss(a, b, SIGNS, margin=0.1, reduction=r), normal(4, 3), normal(4, 3))
        for r in ("mean", "sum", "none")
    },
    "cosine_similarity": {
        "rows": (F.cosine_similarity, normal(3, 4), normal(3, 4, seed=1)),
        "broadcast": (lambda a, b: F.cosine_similarity(a, b, -1), normal(3, 1, 4), normal(2, 4, seed=1)),
    },
    "cumprod": {
        "zeros": (lambda x: F.cumprod(x, 1), ZEROS),
        "first axis": (lambda x: F.cumprod(x, 0), ZEROS),
        "all": (F.cumprod, ZEROS),
        "0-d": (F.cumprod, apart(1)[0]),
        "no elements": (lambda x: F.cumprod(x, 1), apart(2, 0)),
    },
    "cumsum": {
        "axis": (lambda x: F.cumsum(x, 1), WIDE),
        "all": (F.cumsum, WIDE),
        "NumPy's name": (lambda x: F.cumsum(x, axis=-1), WIDE),
        "0-d": (F.cumsum, apart(1)[0]),
        "no elements": (lambda x: F.cumsum(x, 0), apart(2, 0)),
    },
    "diagonal": {
        "main": (F.diagonal, apart(3, 3)),
        "above": (lambda x: F.diagonal(x, 1, 0, 2), WIDE),
        "below": (lambda x: F.diagonal(x, -1, -2, -1), WIDE),
        "beyond": (lambda x: F.diagonal(x, 7), apart(2, 3)),
    },
    "einsum": {
        "matrices": (lambda a, b: F.einsum("ij,jk->ik", a, b), normal(2, 3), normal(3, 4)),
        "batch, turned": (lambda a, b: F.einsum("bij,bkj->kbi", a, b), normal(2, 3, 4), normal(2, 2, 4)),
        "attention": (lambda a, b: F.einsum("bthd,bshd->bhts", a, b), normal(2, 2, 1, 3), normal(2, 3, 1, 3)),
        "dots": (lambda a, b: F.einsum("...ij,...jk->...ik", a, b), normal(3, 1, 2, 2), normal(2, 2, 3)),
        "dots in the middle": (lambda a, b: F.einsum("i...j,j->...i", a, b), normal(2, 3, 2), normal(2)),
        "implicit": (lambda a, b: F.einsum("ba,cb", a, b), normal(2, 3), normal(4, 2)),
        "implicit with dots": (lambda a: F.einsum("...ba", a), normal(2, 3, 2)),
        "trace": (lambda a: F.einsum("ii", a), normal(3, 3)),
        "diagonal": (lambda a, b: F.einsum("bii,bi->ib", a, b), normal(2, 3, 3), normal(2, 3)),
        "three of a letter": (lambda a: F.einsum("iii->i", a), normal(2, 2, 2)),
        "outer": (lambda a, b: F.einsum("i,j->ji", a, b), normal(2), normal(3)),
        "elementwise": (lambda a, b: F.einsum("ij,ij->ij", a, b), normal(2, 3), normal(2, 3, seed=1)),
        "three": (lambda a, b, c: F.einsum("ij,jk,kl->il", a, b, c), normal(2, 3), normal(3, 2), normal(2, 2)),
        "in one and summed": (lambda a, b: F.einsum("ij,k->k", a, b), normal(2, 3), normal(2)),
        "size 1 broadcasts": (lambda a, b: F.einsum("ij,jk->ik", a, b), normal(2, 1), normal(3, 4)),
        "scalars": (lambda a, b: F.einsum(",i->i", a, b), normal(1)[0], normal(3)),
        "one tensor twice": (lambda a: F.einsum("ij,kj->ik", a, a), normal(2, 3)),
        "no inner size": (lambda a, b: F.einsum("ij,jk", a, b), normal(2, 0), normal(0, 3)),
    },
    "elu": unary(lambda x: F.elu(x, 0.7)),
    "erf": unary(F.erf),
    "expm1": unary(F.expm1),
    "flip": {
        "all": (F.flip, WIDE),
        "one": (lambda x: F.flip(x, -1), WIDE),
        "two": (lambda x: x.flip(0, 2), WIDE),
        "0-d": (F.flip, apart(1)[0]),
    },
    "floor": unary(F.floor),
    "gather": {
        "rows": (lambda x: F.gather(x, 1, PICKS), apart(2, 3)),
        "columns, fewer": (lambda x: F.gather(x, 0, PICKS[:, :2]), apart(3, 4)),
        "more than there are": (lambda x: F.gather(x, -1, np.tile(PICKS, 3)), apart(2, 3)),
        "as a tensor": (lambda x: x.gather(1, gd.tensor(PICKS)), apart(4, 3)),
    },
    "glu": {"last": (F.glu, normal(2, 4)), "first": (lambda x: F.glu(x, 0), normal(4, 3))},
    "hardswish": unary(F.hardswish, 5 * apart(2, 3)),
    "huber_loss": both(lambda x, t, **o: F.huber_loss(x, t, delta=0.7, **o), 2, 3),
    "index_select": {
        "repeated": (lambda x: F.index_select(x, 1, [2, 0, 2]), apart(2, 3)),
        "none": (lambda x: F.index_select(x, 0, np.zeros(0, int)), apart(2, 3)),
    },
    "info_nce": {
        "one way": (lambda q, k: F.info_nce(q, k, temperature=0.5), normal(3, 4), normal(3, 4, seed=1)),
        "both ways": (lambda q, k: F.info_nce(q, k, symmetric=True), normal(3, 4), normal(3, 4, seed=1)),
        "more keys": (lambda q, k: F.info_nce(q, k, reduction="none"), normal(2, 4), normal(3, 4, seed=1)),
        "temperature": (
            lambda q, k, t: F.info_nce(q, k, temperature=t, normalized=True),
            *(normal(3, 2), normal(3, 2, seed=1), np.array(0.8)),
        ),
    },
    "kl_div": {
        **{
            r: (lambda x, t, r=r: F.kl_div(x, t, reduction=r), normal(2, 3), SHARES)
            for r in ("mean", "sum", "none", "batchmean")
        },
        "log target": (lambda x, t: F.kl_div(x, t, log_target=True), normal(2, 3), normal(2, 3, seed=1)),
    },
    "l1_loss": both(F.l1_loss, 2, 3),
    "leaky_relu": unary(lambda x: F.leaky_relu(x, 0.2)),
    "linear_cross_entropy": {
        **{
            r: (
                lambda x, w, b, r=r: F.linear_cross_entropy(x, w, TARGETS, b, reduction=r) * 1.5,
                *(normal(4, 2), normal(3, 2), normal(3)),
            )
            for r in ("mean", "sum", "none")
        },
        "no bias, batch and time": (
            lambda x, w: F.linear_cross_entropy(x, w, PICKS),
            *(normal(2, 3, 2), normal(3, 2)),
        ),
        "frozen weight": (lambda x: F.linear_cross_entropy(x, normal(3, 2, dtype=x.dtype), TARGETS), normal(4, 2)),
        "the bias alone": (
            lambda b: F.linear_cross_entropy(normal(4, 2, dtype=b.dtype), normal(3, 2, dtype=b.dtype), TARGETS, b),
            normal(3),
        ),
        "used besides": (lambda x, w: F.linear_cross_entropy(x, w, TARGETS) + w.sum() * 2, normal(4, 2), normal(3, 2)),
        "one": (lambda x, w: F.linear_cross_entropy(x, w, 1), normal(2), normal(3, 2)),
    },
    "log1p": unary(F.log1p, POSITIVE),
    "logsigmoid": unary(F.logsigmoid),
    "logsumexp": {
        "all": (F.logsumexp, WIDE),
        "axis": (lambda x: F.logsumexp(x, 1), WIDE),
        "axes, kept": (lambda x: F.logsumexp(x, (0, -1), keepdim=True), WIDE),
        "NumPy's names": (lambda x: F.logsumexp(x, axis=2, keepdims=True), WIDE),
        "0-d": (F.logsumexp, apart(1)[0]),
    },
    "masked_fill": {
        "number": (lambda x: F.masked_fill(x, MASK, -1.5), apart(2, 3)),
        "tensor": (lambda x, v: F.masked_fill(x, MASK[:1], v), apart(2, 3), apart(1)[0]),
    },
    "mish": unary(F.mish),
    "mse_loss": both(F.mse_loss, 2, 3),
    "nll_loss": {
        **{r: (lambda x, r=r: F.nll_loss(x, TARGETS, reduction=r), normal(4, 3)) for r in ("mean", "sum", "none")},
        "weights": (lambda x: F.nll_loss(x, TARGETS, weight=WEIGHTS), normal(4, 3)),
    },
    "norm": {
        f"{p}: {label}": (lambda x, p=p, a=a: F.norm(x, p, **a), WIDE)
        for p in (1, 2, 3, 1.5, np.inf)
        for label, a in {
            "all": {},
            "axis": {"dim": 1},
            "axes, kept": {"dim": (0, 2), "keepdim": True},
            "NumPy's": {"axis": -1, "keepdims": True},
        }.items()
    },
    "normalize": {
        "rows": (F.normalize, normal(3, 4)),
        "p, axis": (lambda x: F.normalize(x, 1, 0), apart(3, 2)),
    },
    "pad": {
        "constant": (lambda x: F.pad(x, (1, 2), value=1.5), WIDE),
        "constant, two axes": (lambda x: F.pad(x, (0, 1, 2, 0)), WIDE),
        "cut off": (lambda x: F.pad(x, (-1, 2)), WIDE),
        "nothing": (lambda x: F.pad(x, ()), WIDE),
        "reflect": (lambda x: F.pad(x, (3, 2, 1, 2), "reflect"), WIDE),
        "replicate": (lambda x: F.pad(x, (3, 2, 0, 4), "replicate"), WIDE),
        "circular": (lambda x: F.pad(x, (3, 4, 1, 0), "circular"), WIDE),
        "reflect, cut off": (lambda x: F.pad(x, (-1, 2), "reflect"), WIDE),
        "replicate, cut off": (lambda x: F.pad(x, (2, -3), "replicate"), WIDE),
    },
    "prod": {
        **reduction(F.prod),
        "zeros": (lambda x: F.prod(x, 1), ZEROS),
        "zeros, all": (F.prod, ZEROS[:1]),
        "zeros, columns": (lambda x: F.prod(x, 0, keepdim=True), ZEROS),
        "of nothing": (lambda x: F.prod(x, 1), apart(2, 0)),
    },
    "relu6": unary(F.relu6, 10 * apart(2, 3) + 0.3),
    "repeat": {
        "each axis": (lambda x: F.repeat(x, 2, 3), apart(2, 2)),
        "new axes": (lambda x: x.repeat(2, 1, 2), apart(2, 2)),
        "0-d": (lambda x: F.repeat(x, 3), apart(1)[0]),
        "no times": (lambda x: F.repeat(x, 0, 2), apart(2, 2)),
    },
    "repeat_interleave": {
        "all": (lambda x: F.repeat_interleave(x, 2), apart(2, 3)),
        "axis": (lambda x: F.repeat_interleave(x, 3, 1), WIDE),
        "a number each": (lambda x: F.repeat_interleave(x, [2, 0, 1], 1), WIDE),
    },
    "roll": {
        "all": (lambda x: F.roll(x, 5), WIDE),
        "axis": (lambda x: F.roll(x, -1, 1), WIDE),
        "axes": (lambda x: F.roll(x, (1, 2), (0, -1)), WIDE),
    },
    "round": {**unary(F.round), "decimals": (lambda x: F.round(x, 1), apart(2, 3))},
    "rsqrt": unary(F.rsqrt, POSITIVE),
    "scatter_add": {
        "repeated": (lambda x, s: F.scatter_add(x, 1, PICKS, s), apart(2, 3), apart(2, 3, seed=1)),
        "fewer than src": (lambda x, s: x.scatter_add(0, PICKS[:, :2], s), apart(3, 3), apart(2, 4, seed=1)),
    },
    "silu": unary(F.silu),
    "sin": unary(F.sin),
    "smooth_l1_loss": {
        **both(lambda x, t, **o: F.smooth_l1_loss(x, t, beta=0.7, **o), 2, 3),
        "beta = 0": (lambda x: F.smooth_l1_loss(x, np.zeros((2, 3), x.dtype), beta=0), apart(2, 3)),
    },
    "softplus": {**unary(F.softplus), "beta, threshold": (lambda x: F.softplus(x, 2.0, 0.9), 3 * apart(2, 3))},
    "sort": {
        "last": (F.sort, WIDE),
        "descending": (lambda x: F.sort(x, 1, descending=True), WIDE),
        "0-d": (F.sort, apart(1)[0]),
    },
    "square": unary(F.square),
    "std": {
        **reduction(
            lambda x, *a, **o: F.std(x, *a, correction=0, **o) if x.size else x.sum(1),
        )
    },
    "swiglu": {
        "matrix": (F.swiglu, normal(2, 3), normal(2, 3, seed=1)),
        "one tensor as both": (lambda x: F.swiglu(x, x), normal(4)),
        "0-d": (F.swiglu, normal(1)[0], normal(1, seed=1)[0]),
        "constant gate": (lambda x: F.swiglu(normal(3, dtype=x.dtype), x), normal(3, seed=1)),
        "no elements": (F.swiglu, normal(0, 3), normal(0, 3)),
    },
    "take_along_axis": {
        "rows": (lambda x: F.take_along_axis(x, PICKS, 1), apart(2, 3)),
        "negative": (lambda x: F.take_along_axis(x, PICKS - 3, -1), apart(2, 3)),
        "broadcast": (lambda x: F.take_along_axis(x, PICKS[:1, :, None], 1), WIDE),
        "x broadcast": (lambda x: F.take_along_axis(x, PICKS, 1), apart(1, 3)),
        "flat": (lambda x: F.take_along_axis(x, np.array([5, 0, 5]), None), apart(2, 3)),
    },
    "tile": {
        "as repeat": (lambda x: F.tile(x, 2, 3), apart(2, 2)),
        "fewer": (lambda x: F.tile(x, (2,)), WIDE),
    },
    "topk": {
        "largest": (lambda x: F.topk(x, 2), WIDE),
        "smallest": (lambda x: F.topk(x, 2, 1, largest=False), WIDE),
        "none": (lambda x: F.topk(x, 0), WIDE),
    },
    "tril": {"main": (F.tril, apart(3, 3)), "above": (lambda x: F.tril(x, 1), WIDE)},
    "triplet_margin_loss": {
        **{
            r: (
                lambda a, p, n, r=r: F.triplet_margin_loss(a, p, n, reduction=r),
                *(normal(3, 4), normal(3, 4, seed=1), normal(3, 4, seed=2)),
            )
            for r in ("mean", "sum", "none")
        },
        "swap, p": (
            lambda a, p, n: F.triplet_margin_loss(a, p, n, p=3, swap=True, margin=2.0),
            *(normal(3, 4), normal(3, 4, seed=1), normal(3, 4, seed=2)),
        ),
    },
    "triu": {"main": (F.triu, apart(3, 3)), "below": (lambda x: F.triu(x, -1), WIDE)},
    "unbind": {"first": (F.unbind, apart(2, 3)), "last, one used": (lambda x: F.unbind(x, -1)[1], apart(2, 3))},
    "var": {
        **reduction(lambda x, *a, **o: F.var(x, *a, correction=0, **o) if x.size else x.sum(1)),
        "corrected": (lambda x: F.var(x, 1), WIDE),
        "half": (lambda x: F.var(x, correction=0.5), WIDE),
    },
}
# The slope of a standard deviation is not one where nothing spreads.
for _label in ("0-d", "no axes"):
    del CASES["std"][_label]
CASES["std"]["corrected"] = (lambda x: F.std(x, 1), WIDE)

# More of what `test_gradients` has already.
MORE = {
    "cross_entropy": {
        **{
            f"weights, smoothing, {r}": (
                lambda z, r=r: F.cross_entropy(z, TARGETS, weight=WEIGHTS, label_smoothing=0.2, reduction=r),
                normal(4, 3),
            )
            for r in ("mean", "sum", "none")
        },
        "weights": (lambda z: F.cross_entropy(z, TARGETS, weight=WEIGHTS), normal(4, 3)),
        "smoothing": (lambda z: F.cross_entropy(z, TARGETS, label_smoothing=0.2), normal(4, 3)),
        "probabilities": (F.cross_entropy, normal(2, 3), SHARES),
        "probabilities, weights, smoothing": (
            lambda z, q: F.cross_entropy(z, q, weight=WEIGHTS, label_smoothing=0.2, reduction="sum"),
            *(normal(2, 3), SHARES),
        ),
    },
    "gelu": unary(lambda x: F.gelu(x, approximate="none")),
}
