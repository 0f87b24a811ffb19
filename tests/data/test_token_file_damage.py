"""Token files that are damaged: refused, or they hold what they held."""

import numpy as np
import pytest
from hypothesis import given

from gdengine.data import ByteTokenizer, TokenFile, TokenFileError
from tests.damage import CHANGES, LONG, QUICK, changed

TOKENS = np.arange(40) % 251


@pytest.fixture
def small(tmp_path):
    """A small token file, and its bytes."""
    path = tmp_path / "small.tokens"
    TokenFile.write(path, TOKENS, tokenizer=ByteTokenizer(), held_out=7)
    return path, path.read_bytes()


def same_or_refused(path, data):
    """Whether the bytes were refused; if not, they hold what was written."""
    path.unlink(missing_ok=True)  # a file that is mapped keeps its bytes
    path.write_bytes(data)
    try:
        file = TokenFile.open(path)
        file.verify()
    except TokenFileError as error:
        told = str(error)
    else:
        return _assert_same(file)
    assert str(path) in told
    return True


def _assert_same(file):
    assert file.tokens.tolist() == TOKENS.tolist()
    assert (len(file.kept), file.vocab_size) == (7, 256)
    assert isinstance(file.tokenizer(), ByteTokenizer)
    return False


def test_every_bit_flipped(small):
    """Only the zeros that fill up the header's block say nothing."""
    path, whole = small
    filling = slice(56 + len(b'{"kind": "byte"}'), 128)
    for place in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            assert same_or_refused(path, bytes(damaged)) or filling.start <= place < filling.stop


def test_every_length_it_can_be_cut_to(small):
    path, whole = small
    assert all(same_or_refused(path, whole[:length]) for length in range(len(whole)))
    assert same_or_refused(path, whole + b"\0")


@QUICK
@given(CHANGES)
def test_any_changes(small, changes):
    path, whole = small
    same_or_refused(path, changed(whole, changes))


@pytest.mark.endurance
@LONG
@given(CHANGES)
def test_twenty_thousand_changed_token_files(small, changes):
    path, whole = small
    same_or_refused(path, changed(whole, changes))
