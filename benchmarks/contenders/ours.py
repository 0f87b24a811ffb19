"""gdengine: on the CPU; on a GPU; and, for tests, its CUDA kernels on the emulator with NumPy arrays."""

import contextlib
import importlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .. import workloads
from ..timing import Call, DeviceClock, HostClock
from . import arrays, fresh, our_kernels

DEVICES = ("cpu", "cuda", "emulated")
LAUNCHES = 100


def make(
    device: str = "cpu", threads: int = 1, generation: str | None = None, graph: bool = False, flat: bool = False
) -> "Ours":
    """``generation`` forces one of the linear kernels; ``graph`` captures training steps; ``flat`` updates by the
    kernels alone, without the optimizer round them."""
    if device not in DEVICES:
        raise ValueError(f"device must be one of {', '.join(DEVICES)}, got {device!r}")
    return Ours(device, threads, generation, graph, flat)


class Ours:
    """gdengine as a contender."""

    def __init__(self, device: str, threads: int, generation: str | None, graph: bool, flat: bool):
        import gdengine

        self.gd = gdengine
        self.device, self.generation, self.graph, self.flat = device, generation, graph, flat
        gdengine.set_num_threads(threads)
        self.clock: Any = HostClock()
        if device == "cuda":
            if not gdengine.cuda.is_available():
                raise ImportError(gdengine.cuda.why_not())
            from .devices import CupyDevice

            self.clock = DeviceClock(CupyDevice())

    def about(self) -> dict[str, Any]:
        from gdengine.training.report import environment

        found: dict[str, Any] = {name: value for name, value in environment() if name != "gdengine"}
        found["version"] = self.gd.__version__
        if self.device == "cuda":
            found |= self.clock.device.about()
        return found

    def memory(self) -> dict[str, Any]:
        return self.clock.device.memory() if self.device == "cuda" else {}

    def release(self) -> None:
        if self.device == "cuda":
            self.clock.device.release()

    # ---- the tasks

    def train(self, workload: Mapping[str, Any], start: str, dtype: str) -> Call:
        """A training step: forward, cross-entropy, backward, clip, AdamW."""
        gd, load = self.gd, workloads.made(workload)
        weights, batches = workloads.load(start)
        model = self._model(load)
        model.load_state_dict(weights)
        on_gpu = self.device == "cuda"
        if on_gpu:
            model.to("cuda")
            batches = [tuple(gd.tensor(array).to("cuda") for array in batch) for batch in batches]  # type: ignore[misc]
        opt = self._optimizer(model.parameters(), load.lr)

        def step(x: Any, y: Any) -> Any:
            total: Any = None
            for i in range(load.micro_batches):
                with gd.autocast("bf16") if dtype == "bfloat16" else contextlib.nullcontext():
                    loss = self._loss(model, x[i], y[i])
                    if load.micro_batches > 1:
                        loss = loss * (1 / load.micro_batches)
                loss.backward()
                total = loss.detach() if total is None else total + loss.detach()
            opt.step()
            return total

        if self.graph:
            step = gd.graph(step)

        def run(number: int) -> Any:
            loss = step(*batches[number % len(batches)])
            # reading the loss would wait for the GPU; a graph's result is overwritten by the next replay: so a copy
            return loss.detach().clone() if on_gpu else loss.item()

        return Call(run, read=lambda loss: loss.item() if on_gpu else loss)

    def update(self, shapes: Mapping[str, list[int]]) -> Call:
        """Norm, clip, AdamW; on a GPU with a bfloat16 shadow."""
        if self.flat:
            return self._update_flat(shapes)
        there = self._arrays()
        named = [(name, self.gd.Parameter(there.normal("theta", shape, 0.02))) for name, shape in shapes.items()]
        gradients = [there.normal("gradient", shape, our_kernels.GRADIENT) for shape in shapes.values()]
        opt = self._optimizer(named, our_kernels.LR)
        if self.device == "cuda":
            from gdengine.precision import shadow

            for _, parameter in named:
                shadow(parameter)

        def prepare(number: int) -> None:
            for (_, parameter), gradient in zip(named, gradients, strict=True):
                parameter.grad = gradient

        return Call(
            lambda number: opt.step(),
            prepare=prepare,
            results=lambda: [there.to_host(parameter._array) for _, parameter in named[:8]],
        )

    def kernel(self, operation: str, dtype: str, **sizes: Any) -> Call:
        """One of `our_kernels.OPERATIONS`."""
        there = self._arrays(dtype)
        with self._generation():
            run, outputs = our_kernels.OPERATIONS[operation](self._implementation, there, **sizes)

        def forced(number: int) -> Any:
            with self._generation():
                return run()

        def results() -> list[Any]:
            with self._generation():
                return [there.to_host(array) for array in outputs()]

        return Call(forced if self.generation else (lambda number: run()), results=results)

    def launch(self, kind: str) -> Call:
        """A row of small kernels: by ``runtime.launch``, or as an operation, result array and checks included."""
        from gdengine.kernels import runtime

        there, gelu = self._arrays(), self._implementation("gelu")
        x, y = there.normal("x", (256,)), there.zeros((256,))
        kernel = gelu.SOURCE["gelu_forward_f32"]

        def run(number: int) -> None:
            for _ in range(LAUNCHES):
                if kind == "kernel":
                    runtime.launch(kernel, grid=(1,), block=(256,), arguments=(x, y, x.size))
                else:
                    gelu.forward(x)

        return Call(run)

    def imported(self) -> Call:
        """``import gdengine``, in a process of its own."""
        return fresh.imported("gdengine")

    def first_step(self, cold: bool, settings: Mapping[str, Any], environment: Mapping[str, str]) -> Call:
        """The default job up to its first step, in a process of its own."""
        return fresh.first_step(cold, settings, environment)

    def fresh_steps(self, workload: Mapping[str, Any], start: str) -> Call:
        """Training steps in a process of its own."""
        return fresh.steps("ours", {"threads": self.gd.get_num_threads()}, workload, start)

    # ---- inside

    @staticmethod
    def _model(load: workloads.Workload) -> Any:
        from gdengine.models import GPT, MLP, GPTConfig

        if isinstance(load, workloads.MLP):
            return MLP(load.sizes)
        sizes = ("block_size", "vocab_size", "n_layer", "n_head", "n_embd")
        return GPT(GPTConfig(**{name: getattr(load, name) for name in sizes}))

    def _arrays(self, dtype: str = "float32") -> Any:
        return (arrays.Cupy if self.device == "cuda" else arrays.Host)(dtype)

    def _optimizer(self, parameters: Any, lr: float) -> Any:
        from gdengine import optim

        return optim.AdamW(
            parameters,
            lr=lr,
            betas=workloads.BETAS,
            eps=workloads.EPS,
            weight_decay=workloads.WEIGHT_DECAY,
            clip_norm=workloads.CLIP_NORM,
        )

    @staticmethod
    def _loss(model: Any, x: Any, y: Any) -> Any:
        from gdengine.functional import cross_entropy

        return model.loss(x, y) if hasattr(model, "loss") else cross_entropy(model(x), y)

    def _implementation(self, operation: str) -> Any:
        """The module of the operation's functions: its contract on the CPU, its launchers for CUDA."""
        name = f"gdengine.kernels.{operation}" + ("" if self.device == "cpu" else ".cuda")
        return importlib.import_module(name)

    @contextlib.contextmanager
    def _generation(self) -> Iterator[None]:
        if self.generation is None:
            yield
        else:
            with self._implementation("linear").forced(self.generation):
                yield

    def _update_flat(self, shapes: Mapping[str, Sequence[int]]) -> Call:
        """On flat vectors laid out as an optimizer does, by the kernels that its step launches."""
        from gdengine.kernels.common.chunks import whole

        measure, adamw = self._implementation("global_norm").measure, self._implementation("adamw")
        there, at, places = self._arrays(), 0, []
        sizes = [-(-math.prod(shape) // 32) * 32 for shape in shapes.values()]
        theta, grad, m, v = (there.zeros((sum(sizes),)) for _ in range(4))
        for shape, padded in zip(shapes.values(), sizes, strict=True):
            own = math.prod(shape)
            theta[at : at + own] = there.normal("theta", shape, 0.02).reshape(-1)
            grad[at : at + own] = there.normal("gradient", shape, our_kernels.GRADIENT).reshape(-1)
            places.append((at, own, tuple(shape)))
            at += padded
        shadow, row = there.zeros((at,), "bfloat16"), there.zeros((1, 10))
        chunks = whole(at)
        settings = {"betas": workloads.BETAS, "eps": workloads.EPS, "weight_decay": workloads.WEIGHT_DECAY}

        def prepare(number: int) -> None:
            numbers = adamw.coefficients(lr=our_kernels.LR, step=number + 1, **settings)
            row[...] = there.exactly([numbers])

        def run(number: int) -> None:
            _, clip, ok = measure([(grad, chunks)], workloads.CLIP_NORM)
            adamw.step_flat(theta, grad, m, v, chunks=chunks, coefficients=row, clip=clip, ok=ok, shadow=shadow)

        def results() -> list[Any]:
            return [there.to_host(theta[at : at + own].reshape(shape)) for at, own, shape in places[:8]]

        return Call(run, prepare=prepare, results=results)
