"""Two-dimensional convolution: sums of n products are off by at most (n + 8)·u·Σ|terms|, in whatever order.

In bfloat16 the terms of dX are rounded to it before they are added: 2⁻⁸ of each.
"""

import numpy as np

from gdengine.kernels.conv2d import Geometry, cuda, reference

from . import BF16, FLOATS, U, assert_within, case, normal, wide

# (N, C, H, W), (O, C/groups, KH, KW), stride, (top, left), dilation, groups, (OH, OW)
CASES = (
    ((2, 3, 5, 7), (4, 3, 3, 3), Geometry((1, 1), (1, 1), (1, 1), 1, (5, 7))),
    ((3, 4, 8, 5), (6, 2, 2, 3), Geometry((2, 1), (0, 2), (1, 1), 2, (4, 7))),
    ((1, 6, 9, 9), (6, 2, 3, 3), Geometry((2, 3), (1, 1), (2, 2), 3, (4, 3))),
    ((1, 1, 1, 1), (1, 1, 1, 1), Geometry((1, 1), (0, 0), (1, 1), 1, (1, 1))),
    ((2, 2, 3, 3), (33, 2, 3, 3), Geometry((1, 1), (4, 3), (1, 1), 1, (9, 7))),
)


@case
def forward() -> None:
    for dtype in FLOATS:
        for i, (x_shape, w_shape, geometry) in enumerate(CASES):
            x, w, b = normal(*x_shape, dtype=dtype), normal(*w_shape, dtype=dtype, seed=1), normal(w_shape[0], seed=2)
            b = b.astype(dtype) if i % 2 else None
            exact = reference.forward(wide(x), wide(w), None if b is None else wide(b), geometry=geometry)
            size = reference.forward(np.abs(wide(x)), np.abs(wide(w)), geometry=geometry)
            size += 0 if b is None else np.abs(wide(b))[:, None, None]
            got = cuda.forward(x, w, b, geometry=geometry)
            assert_within(got, exact, (w[0].size + 8) * U * size, f"{dtype} {x_shape}")


@case
def backward_input() -> None:
    for dtype in FLOATS:
        for i, (x_shape, w_shape, geometry) in enumerate(CASES):
            w, old = normal(*w_shape, dtype=dtype, seed=1), normal(*x_shape, dtype=dtype, seed=3)
            dy = normal(x_shape[0], w_shape[0], *geometry.output, dtype=dtype, seed=2)
            add, exact = i % 2 == 0, wide(old)
            reference.backward_input(wide(dy), wide(w), x_shape, geometry=geometry, out=exact, accumulate=add)
            size = reference.backward_input(np.abs(wide(dy)), np.abs(wide(w)), x_shape, geometry=geometry)
            got = old.copy()
            cuda.backward_input(dy, w, x_shape, geometry=geometry, out=got, accumulate=add)
            bound = (w_shape[0] * w[0, 0].size + 8) * U * (size + add * np.abs(wide(old)))
            assert_within(got, exact, bound + (2.0**-8 * size if dtype == BF16 else 0), f"{dtype} {x_shape}")


@case
def backward_weight() -> None:
    for dtype in FLOATS:
        for i, (x_shape, w_shape, geometry) in enumerate(CASES):
            _check_weight(x_shape, w_shape, geometry, dtype, i % 2 == 0)


def _check_weight(x_shape: tuple, w_shape: tuple, geometry: Geometry, dtype: np.dtype, add: bool) -> None:
    x, dy = (
        normal(*shape, dtype=dtype, seed=seed)
        for seed, shape in ((0, x_shape), (2, (x_shape[0], w_shape[0], *geometry.output)))
    )
    old = [normal(*w_shape, seed=4), normal(w_shape[0], seed=5)]
    exact, got, size = [wide(a) for a in old], [a.copy() for a in old], [np.abs(wide(a)) * add for a in old]
    options = {"geometry": geometry, "accumulate": add, "accumulate_db": add}
    reference.backward_weight(wide(dy), wide(x), w_shape, out=exact[0], db=exact[1], **options)
    reference.backward_weight(
        *(np.abs(wide(dy)), np.abs(wide(x)), w_shape),
        out=size[0],
        db=size[1],
        geometry=geometry,
        accumulate=True,
        accumulate_db=True,
    )
    cuda.backward_weight(dy, x, w_shape, out=got[0], db=got[1], **options)
    k = dy[:, 0].size + 8
    for name, *values in zip(("dw", "db"), got, exact, (k * U * size[0], k * U * size[1]), strict=True):
        assert_within(*values, f"{dtype} {x_shape}: {name}")


@case
def few_images_at_a_time() -> None:
    """As many columns as two images have: the same results, and sums of dW that go on from part to part."""
    x_shape, w_shape, geometry = CASES[1]
    before = cuda.COLUMNS
    cuda.COLUMNS = 4 * 2 * geometry.output[0] * geometry.output[1] * 2 * 2 * 3
    try:
        _check_weight(x_shape, w_shape, geometry, np.dtype(np.float32), True)
        _check_weight(x_shape, w_shape, geometry, np.dtype(np.float32), False)
        forward()
    finally:
        cuda.COLUMNS = before


@case
def no_images() -> None:
    _, w_shape, geometry = CASES[0]
    dw, db = normal(*w_shape), normal(w_shape[0])
    x, dy = np.zeros((0, 3, 5, 7), np.float32), np.zeros((0, 4, 5, 7), np.float32)
    assert cuda.forward(x, dw, geometry=geometry).shape == dy.shape
    assert cuda.backward_input(dy, dw, x.shape, geometry=geometry).shape == x.shape
    cuda.backward_weight(dy, x, w_shape, geometry=geometry, out=dw, db=db)
    assert not dw.any()
    assert not db.any()
