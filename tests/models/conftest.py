import sys

import pytest

import gdengine as gd


@pytest.fixture(autouse=True)
def _seeded():
    gd.manual_seed(0)


@pytest.fixture(autouse=True)
def _one_torch_thread():
    """Thread pools that take turns on the same cores, PyTorch's and ours, wait for each other most of the time."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
