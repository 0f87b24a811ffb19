"""The wrappers of tensor cores, cp.async, TMA and mbarriers, at work in small products (samples/).

The bound: operands are exact in the product's type, sums are float32, so an element of a K-long product is off by at
most K · u · Σ|a·b| (Higham 2002, section 3.1).
"""

from pathlib import Path

import numpy as np

from gdengine.kernels import runtime

from . import BF16, U, case, normal, wide

SAMPLES = Path(__file__).resolve().parents[1] / "samples" / "beside.py"
MMA = runtime.Source(str(SAMPLES), "tensor_cores.cu")
HOPPER = runtime.Source(str(SAMPLES), "hopper.cu")


def _check_product(c: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    a, b = wide(a), wide(b)
    assert (np.abs(c - a @ b) <= a.shape[1] * U * (np.abs(a) @ np.abs(b))).all()


def _tf32(*shape: int) -> np.ndarray:
    """Rounded to the 10 bits of mantissa that tf32 keeps."""
    bits = normal(*shape).view(np.uint32) + np.uint32(0x1000)
    return (bits & np.uint32(0xFFFFE000)).view(np.float32)


@case
def pipelined_bf16_product() -> None:
    for m, n, k in ((200, 136, 80), (8, 8, 1)):
        a, b = normal(k, m, dtype=BF16), normal(k, n, dtype=BF16, seed=1)
        c = np.full((m, n), np.nan, np.float32)
        runtime.launch(
            MMA["product_mma"],
            grid=(-(-n // 64), -(-m // 64)),
            block=(128,),
            arguments=(a, b, c, m, n, k),
            shared_bytes=2 * 2 * 32 * 72 * 2,
        )
        _check_product(c, a.T, b)


@case
def tf32_product_of_one_warp() -> None:
    a, b = _tf32(16, 8), _tf32(8, 8)
    d = np.full((16, 8), np.nan, np.float32)
    runtime.launch(MMA["product_tf32"], grid=(1,), block=(32,), arguments=(a, b, d))
    _check_product(d, np.hstack((a, np.ones((16, 1)))), np.vstack((b, np.ones((1, 8)))))


@case
def ldmatrix_of_two_matrices() -> None:
    x = np.arange(128, dtype=np.uint16).reshape(8, 16)
    out = np.zeros(128, np.uint32)
    runtime.launch(MMA["transpose_x2"], grid=(1,), block=(32,), arguments=(x.view(np.uint64).reshape(-1), out))
    transposed, straight = out.view(np.uint16).reshape(2, 2, 8, 8)
    for matrix in range(2):
        np.testing.assert_array_equal(transposed[matrix], x[:, 8 * matrix : 8 * matrix + 8].T)
        np.testing.assert_array_equal(straight[matrix], x[:, 8 * matrix : 8 * matrix + 8])


@case
def warp_specialised_wgmma_product() -> None:
    m, n, k = 200, 136, 240
    a, b = normal(k, m, dtype=BF16), normal(k, n, dtype=BF16, seed=1)
    tensor_map = runtime.device().tensor_map
    for width in (64, 128, 256):
        c = np.full((m, n), np.nan, np.float32)
        maps = (tensor_map(a, 64, 64, True), tensor_map(b, 64, 64, True), tensor_map(c, width, 64, False))
        runtime.launch(
            HOPPER[f"product_wgmma{width}"],
            grid=(-(-n // width), -(-m // 64)),
            block=(256,),
            arguments=(*maps, k),
            shared_bytes=3 * 8192 * (1 + width // 64) + 64 * width * 4 + 48,
        )
        _check_product(c, a.T, b)


@case
def tf32_wgmma_product() -> None:
    a, b = _tf32(64, 32), _tf32(128, 32)
    c = np.full((64, 128), np.nan, np.float32)
    tensor_map = runtime.device().tensor_map
    runtime.launch(
        HOPPER["product_wgmma_tf32"],
        grid=(1,),
        block=(128,),
        arguments=(tensor_map(a, 32, 64, True), tensor_map(b, 32, 128, True), c),
        shared_bytes=3 * 8192,
    )
    _check_product(c, a, b.T)
