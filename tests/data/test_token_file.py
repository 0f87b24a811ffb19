import struct
import zlib

import numpy as np
import pytest

from gdengine.data import ByteTokenizer, TokenFile, TokenFileError, TokenWriter, Windows

TOKENS = np.arange(1000) % 251


@pytest.fixture
def path(tmp_path):
    TokenFile.write(tmp_path / "a.tokens", TOKENS, tokenizer=ByteTokenizer(), held_out=100)
    return tmp_path / "a.tokens"


@pytest.mark.parametrize(("vocab_size", "dtype"), [(256, "uint8"), (257, "uint16"), (65_537, "uint32")])
def test_tokens_come_back(tmp_path, vocab_size, dtype):
    tokens = np.array([0, 1, vocab_size - 1] * 5)
    file = TokenFile.write(tmp_path / "a", tokens, vocab_size=vocab_size, held_out=4)
    assert file.tokens.dtype == dtype
    assert file.tokens.tolist() == tokens.tolist()
    assert file.train.tolist() == tokens[:-4].tolist()
    assert file.kept.tolist() == tokens[-4:].tolist()
    assert file.vocab_size == vocab_size
    file.verify()
    with pytest.raises(TokenFileError, match="written without its tokenizer"):
        file.tokenizer()


def test_it_is_mapped_and_not_read(path):
    file = TokenFile.open(path)
    assert isinstance(file.train.base, np.memmap) or isinstance(file.tokens.base, np.memmap)
    assert not file.tokens.flags.writeable
    assert isinstance(file.tokenizer(), ByteTokenizer)
    one, two = Windows(file.train, 8, 4, seed=3), Windows(TOKENS[:900], 8, 4, seed=3)
    assert np.shares_memory(one.tokens, file.tokens)
    for _ in range(50):
        np.testing.assert_array_equal(next(one), next(two))


def test_the_format_is_as_described(path):
    raw = path.read_bytes()
    magic, version, size, count, held_out, vocab, crc, length, json_crc, own = struct.unpack("<8sIIQQQIIII", raw[:56])
    assert (magic, version, size, count, held_out, vocab) == (b"\x89GDTOK\r\n", 1, 1, 1000, 100, 256)
    assert raw[56 : 56 + length] == b'{"kind": "byte"}'
    assert (zlib.crc32(raw[56 : 56 + length]), zlib.crc32(raw[:52])) == (json_crc, own)
    assert len(raw) == 128 + 1000
    assert zlib.crc32(raw[128:]) == crc


def test_rows_are_written_one_after_another(tmp_path, path):
    TokenFile.write(
        tmp_path / "b", (TOKENS[i : i + 7] for i in range(0, 1000, 7)), tokenizer=ByteTokenizer(), held_out=100
    )
    assert (tmp_path / "b").read_bytes() == path.read_bytes()


def test_no_tokens_are_a_file_too(tmp_path):
    file = TokenFile.write(tmp_path / "a", [], vocab_size=3)
    assert file.tokens.shape == (0,)
    file.verify()


@pytest.mark.parametrize("length", [0, 4, 40, 60, 100, 1127])
def test_a_file_that_is_cut_off_is_refused(path, length):
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(TokenFileError, match=r"cut off|no token file|damaged"):
        TokenFile.open(path)


def test_a_file_that_is_too_long_is_refused(path):
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(TokenFileError, match=r"should have 1,128 bytes \(1,000 tokens of 1\), and has 1,129"):
        TokenFile.open(path)


def test_any_changed_byte_is_found(path):
    good = path.read_bytes()
    for at in [*range(72), *range(128, 1128, 97)]:
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :])
        with pytest.raises(TokenFileError):
            TokenFile.open(path).verify()


def test_a_later_format_says_what_to_do(path):
    raw = bytearray(path.read_bytes())
    raw[8] = 2
    path.write_bytes(raw)
    with pytest.raises(TokenFileError, match="format 2, and this gdengine reads up to 1: update"):
        TokenFile.open(path)


def test_a_text_is_no_token_file(tmp_path):
    (tmp_path / "a.txt").write_text("some text")
    assert not TokenFile.is_one(tmp_path / "a.txt")
    assert not TokenFile.is_one(tmp_path)
    with pytest.raises(TokenFileError, match=r"begins with b'some tex'.*gdengine data prepare"):
        TokenFile.open(tmp_path / "a.txt")
    with pytest.raises(FileNotFoundError, match="gdengine data prepare"):
        TokenFile.open(tmp_path / "none")


@pytest.mark.parametrize(
    ("tokens", "arguments", "message"),
    [
        (TOKENS, {}, "needs its tokenizer, or else vocab_size"),
        (TOKENS, {"vocab_size": 250}, "token 250 is 250, and must lie in 0 … 249"),
        (TOKENS - 1, {"vocab_size": 300}, "token 0 is -1"),
        (TOKENS / 2, {"vocab_size": 300}, "rows of integers"),
        (TOKENS[None], {"vocab_size": 300}, "rows of integers"),
        (TOKENS, {"vocab_size": 300, "held_out": 1001}, "held_out must lie in 0 … 1000"),
        (TOKENS, {"tokenizer": ByteTokenizer(), "vocab_size": 300}, "the tokenizer's 256; leave it out"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, tokens, arguments, message):
    with pytest.raises(ValueError, match=message):
        TokenFile.write(tmp_path / "a", tokens, **arguments)
    assert not (tmp_path / "a").exists()


def test_a_writer_goes_on(tmp_path, path):
    target = tmp_path / "b"
    with TokenWriter(target, tokenizer=ByteTokenizer()) as writer:
        writer.append(TOKENS[:300])
        state = writer.count, writer.crc32
        writer.append(TOKENS[:50])
    with TokenWriter(target, tokenizer=ByteTokenizer(), resume=state) as writer:
        writer.append(TOKENS[300:])
        writer.finish(100)
    assert target.read_bytes() == path.read_bytes()
    with pytest.raises(ValueError, match="nothing to go on with"):
        TokenWriter(target, tokenizer=ByteTokenizer(), resume=state)
