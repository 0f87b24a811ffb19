"""Images, changed at random without changing what they show.

An augmentation takes images ``(B, C, H, W)`` and random words, uint32 ``(B, 4)``, a row for each image; so what becomes
of an image depends on its words alone, and not on its batch. `gdengine.data.Batches` draws the words. A function of
one's own does as well.
"""

import numpy as np


class RandomCrop:
    """A part of the image, ``size`` high and wide, from a place drawn at random.

    Args:
        size: height and width of the result.
        padding: so many zeros are put round the image first.

    Raises:
        ValueError: a number is out of its range.
    """

    def __init__(self, size: int | tuple[int, int], padding: int = 0):
        self.size = (size, size) if isinstance(size, int) else size
        self.padding = padding
        if min(self.size) < 1 or padding < 0:
            raise ValueError(f"RandomCrop wants a size of 1 or more and a padding of 0 or more, got {size}, {padding}")

    def __call__(self, images: np.ndarray, words: np.ndarray) -> np.ndarray:
        return _cropped(images, words, self.size, self.padding)


class RandomShift:
    """The image moved by up to ``pixels`` up or down, and left or right; zeros come in at the edge.

    Raises:
        ValueError: pixels is below 0.
    """

    def __init__(self, pixels: int):
        if pixels < 0:
            raise ValueError(f"RandomShift wants pixels of 0 or more, got {pixels}")
        self.pixels = pixels

    def __call__(self, images: np.ndarray, words: np.ndarray) -> np.ndarray:
        return _cropped(images, words, images.shape[2:], self.pixels)


class RandomFlip:
    """The image, or its mirror image, left for right, with probability ``p``.

    Raises:
        ValueError: p is not from 0 to 1.
    """

    def __init__(self, p: float = 0.5):
        if not 0 <= p <= 1:
            raise ValueError(f"RandomFlip wants a probability from 0 to 1, got {p}")
        self.p = p

    def __call__(self, images: np.ndarray, words: np.ndarray) -> np.ndarray:
        flipped = words[:, 0] < self.p * 2.0**32
        return np.where(flipped[:, None, None, None], images[..., ::-1], images)


def _cropped(images: np.ndarray, words: np.ndarray, size: tuple[int, ...], padding: int) -> np.ndarray:
    if images.ndim != 4:
        raise ValueError(f"images have the shape (batch, channel, height, width), got {images.shape}; write x[:, None]")
    around = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    padded = np.pad(images, around)
    (height, width), (rows, columns) = padded.shape[2:], size
    if rows > height or columns > width:
        raise ValueError(f"no part of {rows}×{columns} fits in an image of {height}×{width}, its padding included")
    top, left = _below(words[:, 0], height - rows + 1), _below(words[:, 1], width - columns + 1)
    i = (top[:, None] + np.arange(rows))[:, None, :, None]
    j = (left[:, None] + np.arange(columns))[:, None, None, :]
    batch, channel = np.arange(len(images))[:, None, None, None], np.arange(images.shape[1])[None, :, None, None]
    return padded[batch, channel, i, j]


def _below(words: np.ndarray, limit: int) -> np.ndarray:
    """Whole numbers in [0, limit), every one equally likely to within limit/2³²."""
    return (words.astype(np.uint64) * np.uint64(limit) >> np.uint64(32)).astype(np.int64)
