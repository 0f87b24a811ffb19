import pytest

from gdengine.kernels import dispatch, threads


@pytest.fixture
def fused():
    """Skips the test where this process does not use the fused kernels, and says why."""
    if reason := dispatch.why_reference():
        pytest.skip(f"the fused kernels are not in use: {reason}")


@pytest.fixture
def set_num_threads():
    """`gdengine.kernels.threads.set_num_threads`, undone afterwards."""
    before = threads.get_num_threads()
    yield threads.set_num_threads
    threads.set_num_threads(before)
