"""Whole models, made of `gdengine.nn` alone."""

from .gpt import GPT, GPTConfig
from .mlp import MLP

__all__ = ["GPT", "MLP", "GPTConfig"]
