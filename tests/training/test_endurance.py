"""Long runs, by hand: pytest -m endurance. What was seen stands in docs/endurance.md."""

import os
import resource

import numpy as np
import pytest


def open_files():
    return len(os.listdir("/proc/self/fd"))


def resident():
    """Bytes of this process in memory now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@pytest.mark.endurance
def test_ten_thousand_steps_leak_nothing(make_trainer, tmp_path):
    seen = []

    def look(trainer, record):
        if trainer.step % 500 == 0:
            seen.append((trainer.step, resident(), open_files()))

    make_trainer(run=tmp_path / "run", eval_every=100, checkpoint_every=50, callbacks=[look]).fit(10_000)
    steps, memory, files = (np.array(column) for column in zip(*seen, strict=True))
    slope = np.polyfit(steps[4:], memory[4:], 1)[0]
    print(f"\nmemory at step 500: {memory[0] / 1e6:.1f} MB, at step 10,000: {memory[-1] / 1e6:.1f} MB")
    print(f"slope from step 2,500 on: {slope:.1f} bytes a step; open files: {files.min()} to {files.max()}")
    assert files.max() - files.min() <= 3  # a checkpoint may be being written
    assert slope < 100  # no array is that small: the smallest here has 32 bytes and an object of 112 round it
