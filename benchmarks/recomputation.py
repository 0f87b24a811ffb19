"""Memory against depth with and without activations computed anew: ``python -m benchmarks.recomputation``.

A GPT is trained for a step, forward, backward and AdamW, of which the second is looked at. Memory is what NumPy asks
for (tracemalloc sees all of it), above what stood before the forward: activations, temporaries, and the gradients of
activations; parameters, g and the optimizer's state were there already. "Held" is what stands between forward and
backward. Time is the least of three further steps.
"""

import math
import time
import tracemalloc
from collections.abc import Sequence

import click
import numpy as np

import gdengine as gd
from gdengine import optim
from gdengine.functional import cross_entropy
from gdengine.models import GPT, GPTConfig

MIB = 2**20


def measure(depth: int, checkpoint: str | int | None, width: int, batch: int, time_steps: int) -> tuple[float, ...]:
    """MiB at the peak of a step, MiB held between forward and backward, and a step's seconds."""
    gd.manual_seed(0)
    sizes = {"vocab_size": 256, "block_size": time_steps, "n_layer": depth, "n_head": width // 32, "n_embd": width}
    model = GPT(GPTConfig(**sizes, checkpoint=checkpoint))
    optimizer = optim.AdamW(model.parameters(), lr=1e-3)
    ids = np.arange(batch * time_steps).reshape(batch, time_steps) * 7 % 256

    def step() -> None:
        cross_entropy(model(ids), ids).backward()
        optimizer.step()

    step()
    tracemalloc.start()
    loss = cross_entropy(model(ids), ids)
    held = tracemalloc.get_traced_memory()[0]
    loss.backward()
    optimizer.step()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return peak / MIB, held / MIB, min(seconds)


def table(depths: Sequence[int], width: int, batch: int, time_steps: int) -> str:
    """The rows, as Markdown."""
    lines = [
        "| blocks | nothing anew: peak | held | step | every block: peak | held | step "
        "| every √n blocks: peak | held | step |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for depth in depths:
        cells = [f"{depth}"]
        for choice in (None, "block", max(1, round(math.sqrt(depth)))):
            peak, held, seconds = measure(depth, choice, width, batch, time_steps)
            cells += [f"{peak:.1f} MiB", f"{held:.1f} MiB", f"{seconds * 1e3:.0f} ms"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


@click.command()
@click.option("--depths", default="4,9,16,25,36", show_default=True, help="numbers of blocks")
@click.option("--width", default=128, show_default=True)
@click.option("--batch", default=8, show_default=True)
@click.option("--time-steps", default=128, show_default=True)
def main(depths: str, width: int, batch: int, time_steps: int) -> None:
    """Print memory and time of a training step by depth."""
    click.echo(table([int(depth) for depth in depths.split(",")], width, batch, time_steps))


if __name__ == "__main__":
    main()
