"""Captured graphs: the same bits as eager calls, safe beside eager work, and an error where they could not follow."""

import itertools

import numpy as np
import pytest

import gdengine as gd
from gdengine import nn, optim
from gdengine.functional import cross_entropy

BATCHES = [(np.arange(12).reshape(3, 4) + i) % 7 for i in range(8)]


class Run:
    """A model with dropout and an optimizer on the GPU, and its training step, captured or not."""

    def __init__(self, dtype="fp32", clip_norm=0.5, captured=True, **options):
        gd.manual_seed(0)
        self.model = nn.Sequential(
            *(nn.Embedding(7, 8), nn.LayerNorm(8), nn.Linear(8, 16), nn.GELU(), nn.Dropout(0.3), nn.Linear(16, 7))
        ).to("cuda")
        schedule = optim.warmup_cosine(peak=1e-2, warmup=2, total=10)
        self.optimizer = optim.AdamW(self.model.named_parameters(), lr=schedule, clip_norm=clip_norm)
        self.dtype = dtype
        self.step = gd.graph(self.compute, **options) if captured else self.compute

    def compute(self, x, y):
        with gd.autocast(self.dtype):
            loss = cross_entropy(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return loss

    def losses(self, batches):
        return [self.step(x, (3 * x + 1) % 7).item() for x in batches]

    def end(self):
        bits = {name: value.get().tobytes() for name, value in self.model.state_dict().items()}
        state = {name: value.get().tobytes() for name, value in self.optimizer.flats[0].state.items()}
        return bits, state, self.optimizer.t, self.optimizer.lr, self.optimizer.grad_norm, gd.random.state_dict()


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_the_same_bits_as_eager_calls(gpu, dtype):
    eager, captured = Run(dtype, captured=False), None
    losses = eager.losses(BATCHES)
    end = eager.end()
    captured = Run(dtype)
    assert captured.losses(BATCHES) == losses
    assert captured.end() == end


def test_eager_work_between_replays(gpu):
    """Arrays are made, kept and let go of between replays, and none is the graph's."""
    eager = Run(captured=False)
    losses = eager.losses(BATCHES)
    end = eager.end()
    run, kept, seen = Run(), [], []
    for x in BATCHES:
        seen.append(run.step(x, (3 * x + 1) % 7))
        with gd.no_grad():
            run.model.eval()
            kept = [*kept[-2:], run.model(x) * 2, gd.ones(64, device="cuda")]
            run.model.train()
        assert (kept[-1].cpu().numpy() == 1).all()
    assert [loss.item() for loss in seen] == losses  # results of earlier calls keep their values
    assert run.end() == end


def test_eager_steps_between_replays(gpu):
    """Also with random numbers that start over: a replay draws those that an eager call would."""
    eager, run = Run(captured=False), Run()
    for number, x in enumerate(BATCHES):
        call = 100 if number == 2 else 7 * number
        gd.random.load_state_dict({"seed": 0, "rank": 0, "call": call})
        one = eager.compute(x, x).item()
        gd.random.load_state_dict({"seed": 0, "rank": 0, "call": call})
        other = (run.compute if number in (4, 6) else run.step)(x, x).item()
        assert one == other
    assert run.end() == eager.end()
    gd.manual_seed(1)
    with pytest.raises(RuntimeError, match="recorded with the seed 0"):
        run.losses(BATCHES[:1])


def test_weights_that_are_loaded_between_replays_are_trained_on(gpu):
    ends = []
    for captured in (False, True):
        run = Run("bf16", captured=captured)
        run.losses(BATCHES[:4])
        with gd.no_grad():
            for parameter in run.model.parameters():
                parameter *= 0.5
        ends.append((run.losses(BATCHES[4:]), run.end()))
    assert ends[0] == ends[1]


def test_a_skipped_step_in_a_replay(gpu):
    ends = []
    for captured in (False, True):
        run = Run(captured=captured)
        run.losses(BATCHES[:4])
        weight = run.model[5].weight
        with gd.no_grad():
            before = weight.cpu().numpy()
            weight[0, 0] = float("inf")
        run.losses(BATCHES[4:5])
        assert run.optimizer.skipped == 1
        assert run.optimizer.bad_parameter == "0.weight"
        with gd.no_grad():
            weight.copy_(before)
        ends.append((run.losses(BATCHES[5:]), run.end()))
    assert ends[0] == ends[1]
    assert ends[0][1][2] == 7


def test_a_loss_that_alone_is_not_finite_in_a_replay(gpu):
    ends = []
    for captured in (False, True):
        run = Run(captured=False)
        add = gd.Tensor(np.zeros((), np.float32)).to("cuda")

        def step(x, y, run=run, add=add):
            loss = cross_entropy(run.model(x), y) + add
            loss.backward()
            run.optimizer.step(loss=loss)
            return loss

        step = gd.graph(step) if captured else step
        for number, (x, y) in enumerate(itertools.pairwise(BATCHES)):
            with gd.no_grad():
                add[...] = float("inf") if number == 4 else 0.0
            step(x, y)
            assert (run.optimizer.skipped, run.optimizer.bad_parameter) == (int(number >= 4), None)
            assert np.isfinite(run.optimizer.grad_norm)
        ends.append(run.end())
    assert ends[0] == ends[1]


def test_accumulating_in_a_graph_of_its_own(gpu):
    def train(wrap):
        run = Run(captured=False)

        def add(x):
            loss = cross_entropy(run.model(x), x) / 2
            loss.backward()
            return loss

        first, second = wrap(add), wrap(add)
        for x, y in zip(BATCHES[::2], BATCHES[1::2], strict=True):
            first(x)
            second(y)
            run.optimizer.step()
        return run.end()

    assert train(lambda f: f) == train(lambda f: gd.graph(f, warmup=1))


def test_a_gradient_that_was_used_at_another_time_is_an_error(gpu):
    run = Run(captured=False)
    add = gd.graph(lambda x: cross_entropy(run.model(x), x).backward(), warmup=1)
    for x in BATCHES[:3]:
        add(x)
        run.optimizer.step()
    add(BATCHES[3])
    with pytest.raises(RuntimeError, match="has not yet been used now"):
        add(BATCHES[4])
    run.optimizer.zero_grad()
    add(BATCHES[4])


def test_gradients_without_an_optimizer(gpu):
    w = gd.ones(4, device="cuda", requires_grad=True)

    def gradient(x):
        w.zero_grad()
        (w * w * x).sum().backward()

    replayed = gd.graph(gradient, warmup=1)
    for i in range(4):
        replayed(np.full(4, i, np.float32))
        assert w.grad.tolist() == [2.0 * i] * 4


def test_results_of_all_kinds(gpu):
    scale = gd.graph(lambda x, k: {"k": k, "y": (x * k, [x + k])}, warmup=1)
    for i in range(3):
        x = gd.full((2,), i, device="cuda")
        out = scale(x, 3)
        assert (out["k"], out["y"][0].tolist(), out["y"][1][0].tolist()) == (3, [3.0 * i] * 2, [3.0 + i] * 2)
        assert not out["y"][0].requires_grad


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (
            (np.ones((2, 4), np.float32), 1),
            r"was an array float32\[3, 4\].* is an array float32\[2, 4\]",
        ),
        ((np.ones((3, 4), np.float64), 1), "float64"),
        ((np.ones((3, 4), np.float32), 2), "argument 1 of the graph was 1.* and is 2"),
        ((np.ones((3, 4), np.float32),), "called with 2 arguments before, now 1"),
    ],
)
def test_other_arguments_are_refused(gpu, args, words):
    f = gd.graph(lambda x, k: x * k)
    f(np.ones((3, 4), np.float32), 1)
    with pytest.raises(ValueError, match=words):
        f(*args)
    f(np.ones((3, 4), np.float32), 1)


def test_what_has_to_wait_cannot_be_captured(gpu):
    for waiting in (
        lambda x: x.sum().item(),
        lambda x: x.cpu(),
        lambda x: x * np.ones(3, np.float32),
        lambda x: gd.ones(3).to("cuda"),
    ):
        f = gd.graph(waiting, warmup=1)
        x = gd.ones(3, device="cuda")
        f(x)
        with pytest.raises(RuntimeError, match="cannot be part of a captured graph"):
            f(x)
        assert (x * 2).tolist() == [2.0] * 3  # the stream is in order again


def test_what_changed_since_is_an_error(gpu):
    run = Run()
    run.losses(BATCHES[:3])
    run.model[1].weight.requires_grad = False
    with pytest.raises(RuntimeError, match="other parameters require a gradient"):
        run.losses(BATCHES[3:4])
    run.model[1].weight.requires_grad = True
    run.optimizer.clip_norm = None
    with pytest.raises(RuntimeError, match="clip_norm"):
        run.losses(BATCHES[3:4])
    run.optimizer.clip_norm = 0.5
    run.losses(BATCHES[3:4])
    run.model.cpu()
    run.model.to("cuda")
    with pytest.raises(RuntimeError, match="other memory since the graph was recorded"):
        run.losses(BATCHES[4:5])


def test_lr_and_settings_of_rows_may_change(gpu):
    ends = []
    for captured in (False, True):
        run = Run(captured=captured)
        run.losses(BATCHES[:4])
        run.optimizer.lr = 0.05
        run.optimizer.param_groups[0]["weight_decay"] = 0.3
        ends.append((run.losses(BATCHES[4:]), run.end()))
    assert ends[0] == ends[1]


def test_a_tensor_that_requires_a_gradient_is_no_argument(gpu):
    with pytest.raises(ValueError, match=r"pass x\.detach\(\)"):
        gd.graph(lambda x: x * 2)(gd.ones(2, device="cuda", requires_grad=True))


def test_where_there_is_no_gpu_it_is_a_plain_call(monkeypatch):
    monkeypatch.setattr(gd.cuda, "why_not", lambda: "there is none")

    @gd.graph(warmup=1)
    def double(x):
        return x * 2

    assert [double(gd.full((1,), i)).item() for i in range(4)] == [0, 2, 4, 6]
    with pytest.raises(ValueError, match="warmup of at least 1"):
        gd.graph(double, warmup=0)
    with pytest.raises(RuntimeError, match="there is none"):
        gd.graph(double, device="cuda")
