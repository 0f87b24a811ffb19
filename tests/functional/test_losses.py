"""Losses beside PyTorch's, what they refuse, and what the head's loss keeps out of memory."""

import tracemalloc

import numpy as np
import pytest

import gdengine as gd
from gdengine import functional as F
from gdengine import nn
from tests.functional.forms import same_as_torch
from tests.helpers import normal

torch = pytest.importorskip("torch", reason="compares with PyTorch")
T = torch.nn.functional

IDS = np.random.default_rng(1).integers(0, 17, 35)
TARGETS = np.where(np.arange(35) % 6 == 0, -100, IDS)
WEIGHTS = np.random.default_rng(2).uniform(0.1, 2, 17)
SHARES = np.exp(normal(35, 17)) / np.exp(normal(35, 17)).sum(axis=1, keepdims=True)
SIGNS = np.where(np.arange(35) % 3, 1, -1)
LABELS = np.random.default_rng(3).random((5, 7))


def tensor(a, like):
    a = torch.from_numpy(np.asarray(a))
    return a.to(like.dtype) if a.is_floating_point() else a


def pair(name, *constants, **options):
    """Our loss and PyTorch's of one name, with constants after the differentiated inputs."""
    arrays = {k: v for k, v in options.items() if isinstance(v, np.ndarray)}
    rest = {k: v for k, v in options.items() if k not in arrays}

    def ours(*xs):
        own = [c.astype(xs[0].dtype) if c.dtype.kind == "f" else c for c in constants]
        return getattr(F, name)(*xs, *own, **{k: v.astype(xs[0].dtype) for k, v in arrays.items()}, **rest)

    def theirs(*xs):
        named = {k: tensor(v, xs[0]) for k, v in arrays.items()}
        return getattr(T, name)(*xs, *[tensor(c, xs[0]) for c in constants], **named, **rest)

    return ours, theirs


def cosine_embedding_loss(a, b, reduction):
    """PyTorch's own adds 1e-12 to the squared lengths, which float64 sees; its cosine_similarity does not."""
    likeness = T.cosine_similarity(a, b)
    losses = torch.where(torch.from_numpy(SIGNS) == 1, 1 - likeness, torch.relu(likeness - 0.1))
    return losses if reduction == "none" else getattr(losses, reduction)()


Z = normal(35, 17, seed=4)
PAIR = (normal(5, 7), normal(5, 7, seed=1))
ROWS = (normal(35, 9), normal(35, 9, seed=1))
# (ours, theirs), inputs, the length of the longest sum
CASES = {
    **{
        f"cross_entropy, {label}, {r}": (pair("cross_entropy", targets, reduction=r, **options), (Z,), 52)
        for r in ("mean", "sum", "none")
        for label, targets, options in (
            ("weights", TARGETS, {"weight": WEIGHTS}),
            ("smoothing", TARGETS, {"label_smoothing": 0.1}),
            ("weights, smoothing", TARGETS, {"weight": WEIGHTS, "label_smoothing": 0.3}),
            ("by another number", IDS, {"weight": WEIGHTS, "label_smoothing": 0.3, "ignore_index": 3}),
        )
    },
    **{
        f"cross_entropy, probabilities, {r}": (
            pair("cross_entropy", reduction=r, weight=WEIGHTS, label_smoothing=0.1),
            (Z, SHARES),
            52,
        )
        for r in ("mean", "sum", "none")
    },
    "cross_entropy, large logits": (pair("cross_entropy", TARGETS, label_smoothing=0.1), (100 * Z,), 52),
    **{
        f"nll_loss, {r}": (pair("nll_loss", TARGETS, reduction=r, weight=WEIGHTS), (Z,), 52)
        for r in ("mean", "sum", "none")
    },
    **{
        f"{name}, {r}": (pair(name, reduction=r, **options), PAIR, 35)
        for r in ("mean", "sum", "none")
        for name, options in (
            ("mse_loss", {}),
            ("l1_loss", {}),
            ("huber_loss", {"delta": 0.6}),
            ("smooth_l1_loss", {"beta": 0.6}),
            ("kl_div", {"log_target": True}),
            ("binary_cross_entropy_with_logits", {"weight": WEIGHTS[:7], "pos_weight": WEIGHTS[7:14]}),
        )
    },
    "huber_loss": (pair("huber_loss"), (3 * PAIR[0], PAIR[1]), 35),
    "smooth_l1_loss, beta = 0": (pair("smooth_l1_loss", beta=0.0), PAIR, 35),
    "kl_div": (pair("kl_div", reduction="batchmean"), (Z, SHARES), 35 * 17),
    "bce of large": (pair("binary_cross_entropy_with_logits", LABELS), (200 * PAIR[0],), 35),
    "cosine_similarity": (pair("cosine_similarity"), ROWS, 9),
    "cosine_similarity, first": (pair("cosine_similarity", dim=0), ROWS, 35),
    "normalize": (pair("normalize"), ROWS[:1], 9),
    "normalize, p": (pair("normalize", p=3.0, dim=0), ROWS[:1], 35),
    **{
        f"cosine_embedding_loss, {r}": (
            (
                lambda a, b, r=r: F.cosine_embedding_loss(a, b, SIGNS, margin=0.1, reduction=r),
                lambda a, b, r=r: cosine_embedding_loss(a, b, r),
            ),
            ROWS,
            44,
        )
        for r in ("mean", "sum", "none")
    },
    **{
        f"triplet_margin_loss, {r}": (
            pair("triplet_margin_loss", reduction=r, swap=True, margin=0.9),
            (*ROWS, normal(35, 9, seed=2)),
            44,
        )
        for r in ("mean", "sum", "none")
    },
    **{
        f"linear_cross_entropy, {r}": (
            (
                lambda x, w, b, r=r: F.linear_cross_entropy(x, w, TARGETS, b, reduction=r),
                lambda x, w, b, r=r: T.cross_entropy(T.linear(x, w, b), torch.from_numpy(TARGETS), reduction=r),
            ),
            (normal(35, 9), normal(17, 9), normal(17)),
            52,
        )
        for r in ("mean", "sum", "none")
    },
    "info_nce, both ways": (
        (
            lambda q, k: F.info_nce(q, k, temperature=0.2, symmetric=True),
            lambda q, k: sum(
                T.cross_entropy(a @ b.T / 0.2, torch.arange(35)) / 2
                for a, b in ((T.normalize(q), T.normalize(k)), (T.normalize(k), T.normalize(q)))
            ),
        ),
        ROWS,
        5 * 80,  # a temperature of 0.2 makes five of each rounding
    ),
}


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss")  # kl_div's
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_same_as_torch(name, dtype):
    """See test_against_torch: 2·(n + 20) roundings of sums of n terms."""
    (ours, theirs), arrays, n = CASES[name]
    same_as_torch(ours, theirs, arrays, dtype, 2 * (n + 20))


def test_a_head_never_has_all_its_logits():
    """512 rows of 40,000 classes: logits of 82 MB, and their gradient as much again; a chunk of 384 rows is 61."""
    x, w = gd.randn(512, 8), gd.randn(40_000, 8)
    targets = np.arange(512) * 7
    peaks, losses, gradients = [], [], []
    for loss_of in (
        lambda x, w: F.linear_cross_entropy(x, w, targets),
        lambda x, w: F.cross_entropy(F.linear(x, w), targets),
    ):
        loss_of(x, w)  # compiled before it is measured
        leaves = [gd.tensor(t, requires_grad=True) for t in (x, w)]
        tracemalloc.start()
        loss = loss_of(*leaves)
        loss.backward()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        losses.append(loss.item())
        gradients.append([leaf.grad.numpy() for leaf in leaves])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    for ours, plain in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, plain, atol=40 * 2**-24 * np.abs(plain).max())
    logits = 4 * 512 * 40_000
    assert peaks[1] > 2 * logits
    assert peaks[0] < logits


def test_a_head_adds_to_bfloat16_gradients():
    x, w = (gd.tensor(normal(*shape, dtype=np.float32), requires_grad=True) for shape in ((6, 4), (5, 4)))
    with gd.autocast("bf16"):
        h = F.linear(x, w[:4])
        loss = F.linear_cross_entropy(h, w, np.arange(6) % 5)
    (loss + h.to(np.float32).sum()).backward()
    exact = F.linear(x.detach(), w.detach()[:4]).requires_grad_()
    (F.linear_cross_entropy(exact, w.detach(), np.arange(6) % 5) + exact.sum()).backward()
    expected = exact.grad.numpy() @ w.numpy()[:4]
    np.testing.assert_allclose(x.grad.numpy(), expected, atol=2**-6 * np.abs(expected).max())  # some roundings of 2⁻⁹


def test_a_heads_gradients_are_not_computed_where_nobody_wants_them(monkeypatch):
    x, w = normal(6, 4), gd.tensor(normal(5, 4), requires_grad=True)
    monkeypatch.setattr("gdengine.kernels.linear_cross_entropy.backward", None)
    with gd.no_grad():
        assert not F.linear_cross_entropy(x, w, np.arange(6) % 5).requires_grad
    F.linear_cross_entropy(x, w.detach(), np.arange(6) % 5)


def test_a_head_can_go_back_twice_and_adds_up():
    x, w = (gd.tensor(normal(6, 4), requires_grad=True), gd.tensor(normal(5, 4), requires_grad=True))
    loss = F.linear_cross_entropy(x, w, np.arange(6) % 5)
    loss.backward(retain_graph=True)
    once = w.grad.numpy().copy()
    (loss * 2).backward()
    np.testing.assert_allclose(w.grad.numpy(), 3 * once, rtol=1e-14)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: F.mse_loss(normal(3, 1), normal(3)), ValueError, r"one shape, got \(3, 1\) and \(3,\)"),
        (lambda: F.mse_loss(normal(3), normal(3), reduction="avg"), ValueError, "mse_loss knows the reductions"),
        (lambda: F.l1_loss(normal(0), normal(0)), ValueError, "mean loss over no elements"),
        (lambda: F.huber_loss(normal(3), normal(3), delta=0), ValueError, "delta above 0"),
        (lambda: F.cross_entropy(Z, TARGETS, weight=np.ones(3)), ValueError, r"a weight for each class, \(17,\)"),
        (lambda: F.cross_entropy(Z, TARGETS, label_smoothing=1.5), ValueError, r"in \[0, 1\]"),
        (lambda: F.cross_entropy(Z, np.full(35, -100), label_smoothing=0.1), ValueError, "over no targets"),
        (lambda: F.cross_entropy(Z, IDS + 1, weight=WEIGHTS), IndexError, "must lie in 0 … 16"),
        (lambda: F.nll_loss(Z, np.full(35, -100)), ValueError, "nll_loss: the mean loss over no targets"),
        (lambda: F.nll_loss(Z, IDS[:3]), ValueError, r"nll_loss of logits \(35, 17\)"),
        (lambda: F.linear_cross_entropy(Z, normal(4, 17), IDS), IndexError, "must lie in 0 … 3"),
        (lambda: F.linear_cross_entropy(Z, normal(4, 7), IDS), ValueError, "the last axis of x must be 7"),
        (lambda: F.linear_cross_entropy(Z, normal(4, 17), IDS[:3]), ValueError, r"wants targets \(35,\), got \(3,\)"),
        (lambda: F.info_nce(normal(3, 2), normal(2, 2)), ValueError, "at least as many keys"),
        (lambda: F.info_nce(normal(3, 2), normal(3, 2), temperature=0), ValueError, "temperature above 0"),
        (lambda: F.cosine_embedding_loss(normal(3, 2), normal(3, 2), 1), ValueError, "target"),
        (lambda: F.triplet_margin_loss(normal(3, 2), normal(3, 2), normal(2)), ValueError, "three of one shape"),
        (lambda: nn.MSELoss(reduction="avg"), ValueError, "MSELoss knows the reductions"),
    ],
)
def test_mistakes(call, error, words):
    with pytest.raises(error, match=words):
        call()


MODULES = {
    "CrossEntropyLoss": ({"label_smoothing": 0.1, "weight": WEIGHTS}, (Z,), (TARGETS,)),
    "NLLLoss": ({"weight": WEIGHTS, "reduction": "sum"}, (Z,), (TARGETS,)),
    "MSELoss": ({}, PAIR, ()),
    "L1Loss": ({"reduction": "none"}, PAIR, ()),
    "HuberLoss": ({"delta": 0.5}, PAIR, ()),
    "SmoothL1Loss": ({"beta": 0.5}, PAIR, ()),
    "BCEWithLogitsLoss": ({"pos_weight": WEIGHTS[:7]}, PAIR, ()),
    "KLDivLoss": ({"reduction": "batchmean"}, (Z, SHARES), ()),
    "CosineSimilarity": ({"dim": 0}, ROWS, ()),
    "CosineEmbeddingLoss": ({"margin": 0.2, "reduction": "sum"}, ROWS, (SIGNS,)),
    "TripletMarginLoss": ({"margin": 0.5}, (*ROWS, normal(35, 9, seed=2)), ()),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules_take_pytorchs_arguments(name):
    options, inputs, constants = MODULES[name]
    named = {k: torch.from_numpy(v.copy()) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    ours = getattr(nn, name)(**options)
    theirs = getattr(torch.nn, name)(**named)
    same_as_torch(
        lambda *xs: ours(*xs, *constants),
        lambda *xs: theirs(*xs, *[torch.from_numpy(c) for c in constants]),
        inputs,
        np.float64,
        2 * (35 * 17 + 20),
    )
    assert not list(ours.parameters())
