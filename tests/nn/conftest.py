import pytest

import gdengine as gd


@pytest.fixture(autouse=True)
def _seeded():
    gd.manual_seed(0)
