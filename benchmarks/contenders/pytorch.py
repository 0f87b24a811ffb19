"""PyTorch, eager or compiled, on the CPU or on a GPU."""

import contextlib
from collections.abc import Mapping
from typing import Any

from .. import workloads
from ..timing import Call, DeviceClock, HostClock
from . import arrays, fresh
from .our_kernels import GRADIENT, LR

LAUNCHES = 100


def make(device: str = "cpu", threads: int = 1, compiled: bool = False) -> "PyTorch":
    """``compiled`` puts what is differentiated through ``torch.compile``."""
    return PyTorch(device, threads, compiled)


class PyTorch:
    """PyTorch as a contender."""

    def __init__(self, device: str, threads: int, compiled: bool):
        import torch

        self.torch, self.device, self.compiled = torch, device, compiled
        self.clock: Any = HostClock()
        torch.set_num_threads(threads)
        if device == "cuda":
            if not torch.cuda.is_available():
                raise ImportError(f"PyTorch {torch.__version__} finds no GPU that it can use")
            from .devices import TorchDevice

            self.clock = DeviceClock(TorchDevice())
            # Off is PyTorch's own default; what is to run in tf32 says so.
            torch.backends.cuda.matmul.allow_tf32 = False

    def about(self) -> dict[str, Any]:
        found: dict[str, Any] = {"version": self.torch.__version__, "threads": self.torch.get_num_threads()}
        return found | (self.clock.device.about() if self.device == "cuda" else {})

    def memory(self) -> dict[str, Any]:
        return self.clock.device.memory() if self.device == "cuda" else {}

    def release(self) -> None:
        if self.device == "cuda":
            self.clock.device.release()

    # ---- the tasks

    def train(self, workload: Mapping[str, Any], start: str, dtype: str) -> Call:
        """A training step: forward, cross-entropy, backward, clip, fused AdamW."""
        from . import torch_models

        torch, load = self.torch, workloads.made(workload)
        weights, batches = workloads.load(start)
        model = torch_models.made(load)
        model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        model.to(self.device)
        there = [tuple(torch.from_numpy(array).to(self.device) for array in batch) for batch in batches]
        parameters = list(model.parameters())
        opt = self._optimizer(parameters, load.lr)
        loss_of = torch.compile(model) if self.compiled else model
        share = 1 / load.micro_batches

        def mixed() -> Any:
            if dtype == "float32":
                return contextlib.nullcontext()
            return torch.autocast(self.device, dtype=torch.bfloat16)

        def run(number: int) -> Any:
            x, y = there[number % len(there)]
            total: Any = 0.0
            opt.zero_grad(set_to_none=True)
            for i in range(load.micro_batches):
                with mixed():
                    loss = loss_of(x[i], y[i])
                (loss * share if share < 1 else loss).backward()
                total = total + loss.detach() * share
            torch.nn.utils.clip_grad_norm_(parameters, workloads.CLIP_NORM)
            opt.step()
            return total if self.device == "cuda" else total.item()

        return Call(run, read=float)

    def update(self, shapes: Mapping[str, list[int]]) -> Call:
        """clip_grad_norm_, fused AdamW and zero_grad, on as many parameters as a model has.

        The gradients' memory is kept over zero_grad, so that giving it back to the system is not in the time."""
        torch, there = self.torch, arrays.Torch(self.device)
        parameters = [torch.nn.Parameter(there.normal("theta", shape, 0.02)) for shape in shapes.values()]
        gradients = [there.normal("gradient", shape, GRADIENT) for shape in shapes.values()]
        opt = self._optimizer(parameters, LR)
        places = [gradient.clone() for gradient in gradients]

        def prepare(number: int) -> None:
            for parameter, place, gradient in zip(parameters, places, gradients, strict=True):
                parameter.grad = place.copy_(gradient)

        def run(number: int) -> None:
            torch.nn.utils.clip_grad_norm_(parameters, workloads.CLIP_NORM)
            opt.step()
            opt.zero_grad()

        return Call(run, prepare=prepare, results=lambda: [there.to_host(p) for p in parameters[:8]])

    def kernel(self, operation: str, dtype: str, **sizes: Any) -> Call:
        """An operation of `torch_kernels`: one product, a forward without a tape, or a backward by autograd."""
        from . import torch_kernels

        there = arrays.Torch(self.device, dtype)
        if operation in torch_kernels.PRODUCTS:
            run = torch_kernels.PRODUCTS[operation](there, **sizes)
            return Call(lambda number: run(), results=lambda: [there.to_host(run())])
        name, _, direction = operation.rpartition("_")
        if direction not in ("forward", "backward"):
            name, direction = operation, "both" if operation == "linear_cross_entropy" else "forward"
        function, inputs, make_dy = torch_kernels.DIFFERENTIABLE[name](there, **sizes)
        call = getattr(self, f"_{direction}")(self._compile(function), inputs, make_dy)
        return Call(lambda number: call(), results=lambda: [there.to_host(array) for array in call()])

    def copy(self, size: int) -> Call:
        """Half of the bytes read, half written."""
        torch = self.torch
        source = torch.full((size // 4,), 1.5, device=self.device)
        target = torch.empty_like(source)
        return Call(lambda number: target.copy_(source))

    def scale(self, size: int) -> Call:
        """Read and written where it is."""
        x = self.torch.full((size // 4,), 1.5, device=self.device)
        return Call(lambda number: x.mul_(1.0))

    def matmul(self, dtype: str, size: int) -> Call:
        """A square product of random numbers by cuBLAS, or what the CPU's wheel brings."""
        torch = self.torch
        there = arrays.Torch(self.device, "float32" if dtype == "tf32" else dtype)
        a, b = there.normal("a", (size, size)), there.normal("b", (size, size))
        out = torch.empty_like(a)

        def run(number: int) -> None:
            torch.backends.cuda.matmul.allow_tf32 = dtype == "tf32"
            torch.mm(a, b, out=out)
            torch.backends.cuda.matmul.allow_tf32 = False

        return Call(run)

    def imported(self) -> Call:
        """``import torch``, in a process of its own."""
        return fresh.imported("torch")

    def fresh_steps(self, workload: Mapping[str, Any], start: str) -> Call:
        """Training steps in a process of its own."""
        return fresh.steps("pytorch", {"threads": self.torch.get_num_threads()}, workload, start)

    def launch(self, kind: str) -> Call:
        """A row of small operations."""
        if kind != "operation":
            raise NotImplementedError("PyTorch launches no bare kernels from Python")
        torch = self.torch
        x = arrays.Torch(self.device).normal("x", (256,))

        def run(number: int) -> None:
            with torch.no_grad():
                for _ in range(LAUNCHES):
                    torch.nn.functional.gelu(x, approximate="tanh")

        return Call(run)

    # ---- inside

    def _optimizer(self, parameters: Any, lr: float) -> Any:
        return self.torch.optim.AdamW(
            parameters,
            lr=lr,
            betas=workloads.BETAS,
            eps=workloads.EPS,
            weight_decay=workloads.WEIGHT_DECAY,
            fused=True,
        )

    def _compile(self, function: Any) -> Any:
        if not self.compiled:
            return function
        import torch._functorch.config as config

        config.donated_buffer = False  # the same backward is called again and again, its buffers must stay
        return self.torch.compile(function, dynamic=False)

    def _forward(self, function: Any, inputs: Any, make_dy: Any) -> Any:
        def call() -> list[Any]:
            with self.torch.no_grad():
                return [function(*inputs)]

        return call

    def _backward(self, function: Any, inputs: Any, make_dy: Any) -> Any:
        y, dy = function(*inputs), make_dy()
        wanted = [tensor for tensor in inputs if tensor.requires_grad]
        return lambda: list(self.torch.autograd.grad(y, wanted, dy, retain_graph=True))

    def _both(self, function: Any, inputs: Any, make_dy: Any) -> Any:
        wanted, dy = [tensor for tensor in inputs if tensor.requires_grad], make_dy()
        return lambda: list(self.torch.autograd.grad(function(*inputs), wanted, dy))
