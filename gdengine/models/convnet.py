"""A small convolutional classifier of images."""

from collections.abc import Sequence
from typing import Any

from .. import nn
from ..tensor import Tensor, as_tensor


class ConvNet(nn.Module):
    """Stages of 3 × 3 convolution, batch normalisation and ReLU, each halving the image; then the mean, and a head.

    ``ConvNet(1, 10)`` maps ``(N, 1, H, W)`` to logits ``(N, 10)``, for any H and W from 2^len(widths) up.

    Args:
        in_channels: 1 for grey images, 3 for coloured ones.
        n_classes: the logits.
        widths: the channels of each stage; every stage has two convolutions.
    """

    def __init__(self, in_channels: int, n_classes: int, widths: Sequence[int] = (32, 64)):
        super().__init__()
        if not widths:
            raise ValueError("a ConvNet has at least one stage: widths=(32, 64)")
        stages, width = [], in_channels
        for out in widths:
            stages.append(nn.Sequential(*_block(width, out), *_block(out, out), nn.MaxPool2d(2)))
            width = out
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(width, n_classes)

    def forward(self, x: Any) -> Tensor:
        x = self.stages(as_tensor(x))
        return self.head(x.mean((2, 3)))


def _block(n_in: int, n_out: int) -> tuple[nn.Module, ...]:
    """(No bias: the normalisation would take it away again.)"""
    return nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()
