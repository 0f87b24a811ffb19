import sys

import pytest


@pytest.fixture(autouse=True)
def _one_torch_thread():
    """PyTorch's threads and NumPy's or Numba's, taking turns on the same cores, wait for each other most of the time."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
