"""The harness notices what it is there to notice: each kernel of samples/faults.cu has one fault."""

from pathlib import Path

import numpy as np
import pytest

from .emulator import SCHEDULES, KernelError, launch

pytestmark = pytest.mark.usefixtures("emulator")

SAMPLES = Path(__file__).parent / "samples"
FAULTS = SAMPLES / "faults.cu"


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_correct_kernel_passes_in_every_schedule(schedule):
    x = np.arange(128, dtype=np.float32)
    launch(FAULTS, "correct", (2,), (64,), [x], schedule=schedule)
    np.testing.assert_array_equal(x, np.arange(128).reshape(2, 64)[:, ::-1].reshape(-1))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_lost_barrier_shows_as_nan(schedule):
    x = np.arange(128, dtype=np.float32)
    launch(FAULTS, "lost_barrier", (2,), (64,), [x], schedule=schedule)
    assert np.isnan(x).any()


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        ("divergent_barrier", r"barrier divergence: thread 0 is at faults.cu:"),
        ("early_exit", r"faults.cu:\d+: a thread exits while 5 wait"),
        ("lane_left_behind", r"deadlock.*__shfl_xor_sync"),
        ("shuffle_from_outside", "reads lane 20, which is not in the mask 0000ffff"),
        ("before_the_start", "before or after the memory of argument"),
        ("past_shared", "shared variable tile was written 0 bytes past its end"),
        ("misaligned", "a misaligned access"),
    ],
)
def test_what_a_kernel_may_not_do_is_an_error(kernel, message):
    with pytest.raises(KernelError, match=message):
        launch(FAULTS, kernel, (1,), (64,), [np.zeros(64, np.float32)])


@pytest.mark.parametrize(("size", "message"), [(50, "after the memory"), (52, "out of bounds")])
def test_an_overrun_is_an_error_within_16_bytes_and_beyond(size, message):
    with pytest.raises(KernelError, match=message):
        launch(FAULTS, "past_the_end", (1,), (64,), [np.zeros(size, np.float32), np.int32(size)])


def test_shared_memory_is_nan_at_first_and_fresh_for_each_block():
    x = np.zeros(128, np.float32)
    launch(FAULTS, "uninitialised_shared", (2,), (64,), [x])
    assert np.isnan(x[0])
    assert not np.isnan(x[1:]).any()


def test_an_endless_loop_is_an_error():
    with pytest.raises(KernelError, match="endless"):
        launch(FAULTS, "endless", (1,), (1,), [np.zeros(2, np.float32)], seconds=0.2)


def test_a_division_by_zero_is_an_error():
    with pytest.raises(KernelError, match="division by zero"):
        launch(FAULTS, "division", (1,), (1,), [np.zeros(2, np.int32)])


def test_impossible_launches_are_errors():
    with pytest.raises(KernelError, match="1x1x1 blocks of 2048x1x1"):
        launch(FAULTS, "correct", (1,), (2048,), [np.zeros(64, np.float32)])


@pytest.mark.parametrize(
    ("number", "wrong", "message"),
    [
        (0, np.zeros(1, np.float64), "array of float32, got float64"),
        (1, np.zeros(1, np.int64), "array of int32, got int64"),
        (2, np.int64(1), "NumPy int32, got int64"),
        (3, 1.0, "NumPy float32, got float"),
        (4, np.int32(1), "NumPy int64, got int32"),
    ],
)
def test_every_argument_has_exactly_the_declared_type(number, wrong, message):
    arguments = [np.zeros(1, np.float32), np.zeros(1, np.int32), np.int32(1), np.float32(1), np.int64(1)]
    launch(FAULTS, "types", (1,), (1,), arguments)
    arguments[number] = wrong
    with pytest.raises(TypeError, match=f"argument {number} must be an? {message}"):
        launch(FAULTS, "types", (1,), (1,), arguments)


def test_views_of_one_array_stay_together():
    x = np.arange(192, dtype=np.float32)
    launch(FAULTS, "correct", (1,), (64,), [x[64:128]])
    np.testing.assert_array_equal(x, [*range(64), *range(127, 63, -1), *range(128, 192)])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_warp_collectives_do_what_the_programming_guide_says(schedule):
    x = np.random.default_rng(0).integers(0, 100, 32, np.int32)
    out = np.zeros(7 * 32, np.int32)
    launch(SAMPLES / "warps.cu", "collectives", (1,), (32,), [x, out], schedule=schedule)
    shuffled, xored, down, up, ballot, match, count = out.reshape(7, 32)
    lanes = np.arange(32)
    np.testing.assert_array_equal(shuffled, x[lanes // 8 * 8 + 3])
    np.testing.assert_array_equal(xored, x[lanes ^ 5])
    np.testing.assert_array_equal(down, x[np.where(lanes % 16 + 2 < 16, lanes + 2, lanes)])
    np.testing.assert_array_equal(up, x[np.where(lanes % 16 >= 2, lanes - 2, lanes)])
    bits = np.uint64(1) << lanes.astype(np.uint64)
    np.testing.assert_array_equal(ballot.view(np.uint32), np.full(32, bits[x % 2 == 1].sum(), np.uint32))
    np.testing.assert_array_equal(match.view(np.uint32), [bits[x % 3 == x[i] % 3].sum() for i in lanes])
    np.testing.assert_array_equal(count, np.full(32, (x % 2 == 1).sum()))
