"""An exponential moving average on the GPU: the launch of moving_average.cu."""

from .. import runtime
from ..common.device_arrays import check_flat

SOURCE = runtime.Source(__file__, "moving_average.cu")


def update(average, x, *, decay):
    check_flat(average, x=x)
    if average.size == 0:
        return
    runtime.launch(
        SOURCE["moving_average_f32"],
        grid=(runtime.blocks(-(-average.size // 4), 256, 8),),
        block=(256,),
        arguments=(average, x, average.size, 1 - decay),
    )
