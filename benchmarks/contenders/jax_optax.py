"""JAX on the CPU: a whole step under one ``jax.jit``, Optax's AdamW and clipping in it, buffers donated."""

import os
from collections.abc import Mapping
from typing import Any

from .. import workloads
from ..timing import Call, HostClock
from . import fresh


def make(threads: int = 1) -> "Jax":
    """On so many threads."""
    return Jax(threads)


class Jax:
    """JAX and Optax as a contender.

    XLA has no setting for how many threads its CPU client uses; it counts the cores that the process may run on when it
    starts. So the process is confined to as many cores as there are to be threads, where the system can do that.
    """

    def __init__(self, threads: int):
        self.confined = hasattr(os, "sched_setaffinity")
        if self.confined:
            cores = sorted(os.sched_getaffinity(0))[:threads]
            os.sched_setaffinity(0, cores)
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
        import jax
        import optax

        self.jax, self.optax, self.threads = jax, optax, threads
        self.clock: Any = HostClock()

    def about(self) -> dict[str, Any]:
        import jaxlib

        how = "cores that the process is confined to" if self.confined else "not enforced: as many as there are cores"
        return {
            "version": self.jax.__version__,
            "jaxlib": jaxlib.__version__,
            "optax": self.optax.__version__,
            "threads": f"{len(os.sched_getaffinity(0)) if self.confined else os.cpu_count()} ({how})",
        }

    def memory(self) -> dict[str, Any]:
        return {}

    def release(self) -> None:
        self.jax.clear_caches()

    def train(self, workload: Mapping[str, Any], start: str, dtype: str) -> Call:
        """A training step: forward, cross-entropy, backward, clip, AdamW."""
        from . import jax_models

        jax, optax, load = self.jax, self.optax, workloads.made(workload)
        if dtype != "float32" or load.micro_batches > 1:
            raise NotImplementedError("JAX is compared in float32, without micro-batches")
        weights, batches = workloads.load(start)
        loss_of = jax_models.made(load)
        rule = optax.chain(
            optax.clip_by_global_norm(workloads.CLIP_NORM),
            optax.adamw(
                load.lr,
                b1=workloads.BETAS[0],
                b2=workloads.BETAS[1],
                eps=workloads.EPS,
                weight_decay=workloads.WEIGHT_DECAY,
            ),
        )

        def step(parameters: Any, state: Any, x: Any, y: Any) -> Any:
            loss, gradients = jax.value_and_grad(loss_of)(parameters, x, y)
            updates, state = rule.update(gradients, state, parameters)
            return optax.apply_updates(parameters, updates), state, loss

        compiled = jax.jit(step, donate_argnums=(0, 1))
        parameters = {name: jax.numpy.array(array) for name, array in weights.items()}
        held = (parameters, rule.init(parameters))
        there = [(jax.numpy.array(x[0]), jax.numpy.array(y[0])) for x, y in batches]

        def run(number: int) -> float:
            nonlocal held
            *held, loss = compiled(*held, *there[number % len(there)])
            jax.block_until_ready(held)
            return float(loss)

        return Call(run, read=float)

    def imported(self) -> Call:
        """``import jax``, in a process of its own."""
        return fresh.imported("jax")

    def fresh_steps(self, workload: Mapping[str, Any], start: str) -> Call:
        """Training steps in a process of its own."""
        return fresh.steps("jax_optax", {"threads": self.threads}, workload, start)
