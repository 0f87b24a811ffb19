"""Whole models, made of `gdengine.nn` alone."""

from .convnet import ConvNet
from .gpt import GPT, GPTConfig
from .mlp import MLP

__all__ = ["GPT", "MLP", "ConvNet", "GPTConfig"]
