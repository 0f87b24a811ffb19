"""What the tests of checkpoints need: a tree with something of everything in it, and when two are the same."""

import numpy as np

TREE = {
    "step": 3,
    "model": {"w.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "half": np.float16([1.5]), "i": np.array(7)},
    "optimizer": {"state": {"w.weight": {"step": 3, "exp_avg": np.zeros((0, 3))}}, "betas": [0.9, 0.95], "lr": 1 / 3},
    "random": {"seed": 2**32 - 1},
    "batches": None,
    "extra": {"text": 'é"\n', "flag": True, "empty": {}, "list": []},
}


def assert_same(one, two):
    assert type(one) is type(two)
    if isinstance(one, dict):
        assert list(one) == list(two)
        for key in one:
            assert_same(one[key], two[key])
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.shape) == (two.dtype, two.shape)
        np.testing.assert_array_equal(one, two)
    else:
        assert one == two
