import numpy as np
import pytest

from gdengine.kernels import philox
from gdengine.kernels.philox import reference

# Counter, key and result from Random123's kat_vectors (philox 4x32, 10 rounds), words in order of significance.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
@pytest.mark.parametrize("bits", [philox.bits, reference.bits], ids=["chosen", "reference"])
def test_known_answers(bits, counter, key, expected):
    block, call = counter[0] + (counter[1] << 32), counter[2] + (counter[3] << 32)
    assert tuple(bits(key, call, 4, start=4 * block)) == expected


def test_any_stretch_is_part_of_the_whole():
    whole = philox.bits((1, 2), 3, 3000)
    for start, n in ((0, 1), (1, 5), (2, 1030), (255, 700), (2999, 1)):
        assert np.array_equal(philox.bits((1, 2), 3, n, start=start), whole[start : start + n])


def test_uniform_and_normal():
    n = 100_000
    u, z = philox.uniform((1, 2), 3, n), philox.normal((1, 2), 3, n)
    assert u.dtype == np.float32
    assert u.min() >= 0
    assert u.max() < 1
    # Means and variances of n numbers lie within 5 standard errors (a miss has a chance of 6e-7; the draw is fixed).
    assert abs(u.mean() - 1 / 2) < 5 * np.sqrt(1 / 12 / n)
    assert abs(z.mean()) < 5 / np.sqrt(n)
    assert abs(z.var() - 1) < 5 * np.sqrt(2 / n)
