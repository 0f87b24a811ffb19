"""Images with labels: scikit-learn's handwritten digits, and MNIST's files."""

import gzip
import os
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .splits import stratified

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


class Images(NamedTuple):
    """Images float32 ``(n, C, H, W)``, from 0 to 1, and labels int64 ``(n,)``."""

    x: np.ndarray
    y: np.ndarray


def digits(held_out: float = 0.2, seed: int = 0) -> tuple[Images, Images]:
    """1,797 handwritten digits of 8×8 pixels, to train on and to test on (needs scikit-learn, which carries them).

    They are the test set of Alpaydin and Kaynak's Optical Recognition of Handwritten Digits (UCI, 1998), from 13
    writers. Of each digit the same share is held out: see `stratified`.

    Returns:
        The training images and the held-out ones, each ``(n, 1, 8, 8)`` with labels 0 … 9.

    Raises:
        ImportError: scikit-learn is not there.
        ValueError: held_out is not between 0 and 1.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ImportError("the digits come with scikit-learn: pip install 'gdengine[digits]'") from None
    data: Any = load_digits()
    x, y = (data.images[:, None] / 16).astype(np.float32), data.target.astype(np.int64)
    train, test = stratified(y, held_out, seed)
    return Images(x[train], y[train]), Images(x[test], y[test])


def mnist(folder: str | os.PathLike[str]) -> tuple[Images, Images]:
    """MNIST, or what else comes in its four files (Fashion-MNIST, KMNIST), from a folder of yours.

    They are ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and
    ``t10k-labels-idx1-ubyte``, each as it is or with ``.gz``.

    Returns:
        The training images and the test images, each ``(n, 1, H, W)``.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: a file is damaged, or images and labels do not belong together.
    """
    train, test = (_mnist_half(Path(folder), half) for half in ("train", "t10k"))
    return train, test


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """The array in an IDX file, MNIST's format, packed by gzip or not, in the machine's own byte order.

    The file has two zero bytes, a byte for the dtype, a byte for the number of axes, a big-endian 32-bit length for
    each axis, and then the numbers, big-endian, in C order (http://yann.lecun.com/exdb/mnist).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no IDX file, or not whole.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    raw = path.read_bytes()
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path} is packed by gzip, and cannot be unpacked: {error}; copy it once more") from None
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in _DTYPES:
        raise ValueError(
            f"{path} is no IDX file: it begins with {raw[:4]!r}, and an IDX file of bytes with {bytes((0, 0, 8))!r}"
        )
    dtype, axes = np.dtype(_DTYPES[raw[2]]), raw[3]
    start = 4 + 4 * axes
    shape = tuple(int(n) for n in np.frombuffer(raw[4:start], ">u4", min(axes, (len(raw) - 4) // 4)))
    expected = start + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if len(shape) < axes or len(raw) != expected:
        raise ValueError(
            f"{path} should have {expected:,} bytes for an array of {shape}, and has {len(raw):,}; copy it once more"
        )
    return np.frombuffer(raw, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def _mnist_half(folder: Path, half: str) -> Images:
    images, labels = (
        read_idx(_plain_or_packed(folder, f"{half}-{what}")) for what in ("images-idx3-ubyte", "labels-idx1-ubyte")
    )
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
        raise ValueError(
            f"{folder}: the {half} images have shape {images.shape}, their labels {labels.shape}; expected (n, height, "
            "width) and (n,)"
        )
    return Images(images[:, None].astype(np.float32) / 255, labels.astype(np.int64))


def _plain_or_packed(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise FileNotFoundError(f"there is neither {name} nor {name}.gz in {folder}; MNIST is four files, put there by you")
