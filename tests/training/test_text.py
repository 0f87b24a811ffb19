import math

import numpy as np
import pytest

from gdengine.data import ByteTokenizer, TokenFile
from gdengine.training.settings import Settings
from gdengine.training.text import read


def test_the_standard_library_is_split_by_file():
    text = read(Settings(corpus="stdlib", eval_windows=50))
    assert text.identity["characters"] > 3_000_000
    assert len(text.train) == pytest.approx(0.9 * text.identity["characters"], rel=0.02)
    assert 25 < len(text.held_out) <= 50
    assert text.baselines["bigram"] < text.baselines["unigram"]
    shown = text.tokenizer.decode(text.held_out[0])
    assert shown not in text.tokenizer.decode(text.train)


def test_bits_per_byte_are_the_loss_of_a_byte():
    text = read(Settings(tokenizer="byte"))
    assert text.bits_per_byte(math.log(256)) == pytest.approx(8)
    characters = read(Settings())
    targets = characters.tokenizer.decode(characters.held_out[:, 1:].ravel())
    assert characters.bits_per_byte(math.log(2)) == pytest.approx(len(targets) / len(targets.encode()))


def test_a_token_file_that_holds_nothing_out_is_split(tmp_path):
    tokens = np.random.default_rng(0).integers(0, 256, 5000)
    TokenFile.write(tmp_path / "a", tokens, tokenizer=ByteTokenizer())
    text = read(Settings(corpus=str(tmp_path / "a"), block_size=16))
    assert len(text.train) == pytest.approx(4500, abs=20)
    TokenFile.write(tmp_path / "b", tokens, tokenizer=ByteTokenizer(), held_out=1000)
    text = read(Settings(corpus=str(tmp_path / "b"), block_size=16))
    assert text.train.tolist() == tokens[:4000].tolist()
    assert text.held_out[0].tolist() == tokens[4000:4017].tolist()
    TokenFile.write(tmp_path / "c", tokens, vocab_size=256)
    with pytest.raises(ValueError, match="written without its tokenizer"):
        read(Settings(corpus=str(tmp_path / "c")))
