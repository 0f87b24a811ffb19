import gzip
import sys

import numpy as np
import pytest

from gdengine.data import digits, mnist, read_idx, stratified


def idx(array):
    code = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}[array.dtype.str[1:]]
    big = array.astype(array.dtype.newbyteorder(">"))
    return bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">u4").tobytes() + big.tobytes()


def test_digits_are_split_evenly():
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    train, test = digits()
    assert train.x.shape == (1438, 1, 8, 8)
    assert test.x.shape == (359, 1, 8, 8)
    assert train.x.dtype == np.float32
    assert train.y.dtype == np.int64
    assert (train.x.min(), train.x.max()) == (0, 1)
    share = np.bincount(test.y) / (np.bincount(test.y) + np.bincount(train.y))
    assert np.abs(share - 0.2).max() < 0.5 / 170  # rounded to whole images of 174 or more
    again, other = digits()[1], digits(seed=1)[1]
    np.testing.assert_array_equal(again.x, test.x)
    assert not np.array_equal(other.x, test.x)


def test_without_scikit_learn_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'gdengine\[digits\]'"):
        digits()


def test_a_stratified_split():
    labels = np.array([5] * 10 + [2] * 4 + [9] * 30)
    train, test = stratified(labels, 0.3, seed=7)
    assert sorted([*train, *test]) == list(range(44))
    assert [(labels[test] == c).sum() for c in (5, 2, 9)] == [3, 1, 9]
    for arguments, message in (
        (([0, 0, 1], 0.5), "class 1 has 1 examples"),
        (([[0, 0]], 0.5), "labels are a row"),
        (([0, 0], 1.0), "between 0 and 1"),
    ):
        with pytest.raises(ValueError, match=message):
            stratified(*arguments)


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_files(tmp_path, dtype, pack):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    (tmp_path / "a").write_bytes(pack(idx(array)))
    result = read_idx(tmp_path / "a")
    assert result.dtype == array.dtype
    np.testing.assert_array_equal(result, array)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw[:-1], "should have 40 bytes for an array of .2, 3, 4., and has 39"),
        (lambda raw: raw[:10], "should have"),
        (lambda raw: raw[:3], "no IDX file"),
        (lambda raw: b"\0\0\x07" + raw[3:], "no IDX file"),
        (lambda raw: b"text", "no IDX file"),
        (lambda raw: gzip.compress(raw)[:-9], "cannot be unpacked"),
    ],
)
def test_a_damaged_idx_file_is_refused(tmp_path, change, message):
    (tmp_path / "a").write_bytes(change(idx(np.zeros((2, 3, 4), np.uint8))))
    with pytest.raises(ValueError, match=message):
        read_idx(tmp_path / "a")


def test_mnist_is_four_files(tmp_path):
    for half, n in (("train", 6), ("t10k", 2)):
        images, labels = np.full((n, 4, 5), 51, np.uint8), np.arange(n, dtype=np.uint8)
        (tmp_path / f"{half}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (tmp_path / f"{half}-labels-idx1-ubyte").write_bytes(idx(labels))
    train, test = mnist(tmp_path)
    assert train.x.shape == (6, 1, 4, 5)
    assert test.y.tolist() == [0, 1]
    np.testing.assert_array_equal(train.x, np.float32(0.2))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(3, np.uint8)))
    with pytest.raises(ValueError, match="t10k images have shape"):
        mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="neither t10k-labels-idx1-ubyte nor"):
        mnist(tmp_path)
