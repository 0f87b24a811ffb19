import itertools
import json
import re
import sys

import numpy as np
import pytest

from gdengine.data import BPETokenizer, ByteTokenizer, CharTokenizer, pieces, python_docs, tokenizer_from_json
from gdengine.data.tokenizers import bpe, fingerprint, smallest_dtype
from gdengine.data.tokenizers.spec import tokenizer_for

ODD = "  héllo\n\n\nwörld – naïve 🎉\t\u3000\n x<|endoftext|>\n\x1c\n it's 12  years,\n\ta\u2028\nb \n"
needs_library = pytest.mark.skipif(
    not __import__("importlib").util.find_spec("tokenizers"), reason="byte pairs need the library tokenizers"
)


@pytest.fixture(scope="module")
def learned():
    pytest.importorskip("tokenizers", reason="byte pairs need the library")
    return BPETokenizer.train(python_docs()[:100_000], 600)


def every_tokenizer():
    yield CharTokenizer.from_text(ODD)
    yield ByteTokenizer()
    yield BPETokenizer.train(python_docs()[:20_000], 400)


@needs_library
def test_all_keep_the_protocol():
    for tokenizer in every_tokenizer():
        tokens = tokenizer.encode(ODD)
        assert tokens.dtype == smallest_dtype(tokenizer.vocab_size)
        assert tokens.max() < tokenizer.vocab_size
        assert tokenizer.decode(tokens) == ODD
        assert tokenizer.lengths()[tokens].sum() == len(ODD.encode())
        assert tokenizer.decode([tokenizer.start]) == "\n"
        assert tokenizer.encode("").shape == (0,)
        assert tokenizer.decode([]) == ""
        again = tokenizer_from_json(json.loads(json.dumps(tokenizer.to_json())))
        assert type(again) is type(tokenizer)
        assert again.encode(ODD).tolist() == tokens.tolist()
        assert fingerprint(again.to_json()) == fingerprint(tokenizer.to_json())
        with pytest.raises(ValueError, match=f"token {tokenizer.vocab_size} at index 1 is outside"):
            tokenizer.decode([0, tokenizer.vocab_size])


@pytest.mark.parametrize("data", [{}, {"kind": "word"}, {"kind": "bpe"}, {"kind": "bpe", "tokenizer": "{}"}])
def test_json_of_something_else_is_refused(data):
    with pytest.raises(ValueError, match=r"'kind'"):
        tokenizer_from_json(data)


def test_bytes_that_are_no_utf8_are_shown_as_such():
    assert ByteTokenizer().decode([0xC3]) == "�"


def test_half_a_surrogate_pair_has_no_bytes(learned):
    for tokenizer in (ByteTokenizer(), learned):
        with pytest.raises(ValueError, match=r"'\\ud800' at index 1"):
            tokenizer.encode("a\ud800")
        with pytest.raises(TypeError, match="encode takes text, got bytes"):
            tokenizer.encode(b"a")


# ---- byte pairs


def test_the_same_text_gives_the_same_tokenizer(learned):
    assert BPETokenizer.train(python_docs()[:100_000], 600).to_json() == learned.to_json()
    assert learned.vocab_size == 600
    assert learned.end_of_text == 0


def gpt2_words(text):
    """GPT-2's pattern, for ASCII."""
    return re.findall(r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+", text)


def joined(word, ranks):
    """The pieces of a word: the pair that was learned first is joined, everywhere, until none is left."""
    parts = list(word)
    while True:
        pairs = set(itertools.pairwise(parts)) & ranks.keys()
        if not pairs:
            return parts
        best, result = min(pairs, key=ranks.__getitem__), []
        while parts:
            take = 2 if tuple(parts[:2]) == best else 1
            result.append("".join(parts[:take]))
            parts = parts[take:]
        parts = result


def test_it_joins_as_the_algorithm_says(learned):
    model = learned.to_json()["tokenizer"]["model"]
    ranks = {tuple(pair): rank for rank, pair in enumerate(model["merges"])}
    text = "".join(c for c in python_docs()[200_000:203_000] if c.isascii()) + "  it's 12\n\n \n\tx"
    letters = dict(zip(" \n\t", "ĠĊĉ", strict=True))
    expected = [
        model["vocab"][part]
        for word in gpt2_words(text)
        for part in joined("".join(letters.get(c, c) for c in word), ranks)
    ]
    assert learned.encode(text).tolist() == expected


def test_a_text_is_cut_without_a_trace(learned, monkeypatch):
    text = ODD + python_docs()[:20_000] + ODD
    whole = learned.encode(text)
    for size in (1, 7, 100):
        monkeypatch.setattr(bpe, "_PIECE", size)
        assert "".join(pieces.pieces(text, size)) == text
        assert learned.encode(text).tolist() == whole.tolist()


def test_bytes_are_cut_where_text_is():
    raw = "a\r\nb \nc\u3000\nd\u00a0\ne\u2028\nf。\ng\rh".encode()
    cuts = {pieces.cut_bytes(raw, at) for at in range(len(raw))} - {None}
    assert [raw[at - 1 : at + 2] for at in sorted(cuts)] == [b"a\r\n", b"\x82\ng", b"g\rh"]


def test_files_come_back(learned, tmp_path):
    learned.save(tmp_path / "tokenizer.json")
    assert BPETokenizer.load(tmp_path / "tokenizer.json").to_json() == learned.to_json()
    model = learned.to_json()["tokenizer"]["model"]
    merges = "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in model["merges"])
    for names in (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")):
        folder = tmp_path / names[0]
        folder.mkdir()
        (folder / names[0]).write_text(json.dumps(model["vocab"]), encoding="utf-8")
        (folder / names[1]).write_text(merges, encoding="utf-8")
        gpt2 = BPETokenizer.gpt2(folder)
        assert gpt2.encode(ODD).tolist() == learned.encode(ODD).tolist()
        assert gpt2.end_of_text == learned.end_of_text
        assert gpt2.lengths().tolist() == learned.lengths().tolist()


def test_what_is_no_tokenizer_says_so(learned, tmp_path):
    (tmp_path / "no.json").write_text("{}")
    with pytest.raises(ValueError, match=r"no\.json: this is no tokenizer\.json"):
        BPETokenizer.load(tmp_path / "no.json")
    with pytest.raises(FileNotFoundError, match=r"BPETokenizer\.train"):
        BPETokenizer.load(tmp_path / "none.json")
    with pytest.raises(FileNotFoundError, match=r"neither vocab\.json nor encoder\.json"):
        BPETokenizer.gpt2(tmp_path)
    (tmp_path / "vocab.json").write_text('{"a": 0}')
    (tmp_path / "merges.txt").write_text("b c\n")
    with pytest.raises(ValueError, match="no vocabulary of byte pairs"):
        BPETokenizer.gpt2(tmp_path)
    (tmp_path / "merges.txt").write_text("")
    with pytest.raises(ValueError, match="255 of the 256 bytes have no token"):
        BPETokenizer.gpt2(tmp_path)
    with pytest.raises(ValueError, match="257 or more"):
        BPETokenizer.train("text", 256)


def test_another_kind_is_refused(learned):
    document = learned.to_json()["tokenizer"]
    for change in (
        {"normalizer": {"type": "Lowercase"}},
        {"pre_tokenizer": {**document["pre_tokenizer"], "add_prefix_space": True}},
        {"pre_tokenizer": {"type": "Whitespace"}},
    ):
        with pytest.raises(ValueError, match=f"the tokenizer's {next(iter(change))} is"):
            tokenizer_from_json({"kind": "bpe", "tokenizer": {**document, **change}})


def test_without_the_library_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ImportError, match=r"pip install 'gdengine\[bpe\]'"):
        BPETokenizer.train("text", 300)


# ---- by what one types


def test_a_tokenizer_by_its_name(learned, tmp_path):
    learned.save(tmp_path / "t.json")

    def make(spec):
        return tokenizer_for(spec, lambda: ["abab", "ab"], lambda: ["cd"], 300)

    assert make("char").alphabet == "\ncd"
    assert make("byte").vocab_size == 256
    assert make("bpe").decode([make("bpe").vocab_size - 1]) == "ab"
    assert make("bpe:257").vocab_size == 257
    assert make(f"bpe:{tmp_path / 't.json'}").vocab_size == 600
    with pytest.raises(ValueError, match="a tokenizer is char, byte"):
        make("word")


@pytest.mark.parametrize(("size", "name"), [(1, "uint8"), (256, "uint8"), (257, "uint16"), (65_537, "uint32")])
def test_the_smallest_dtype(size, name):
    assert smallest_dtype(size) == np.dtype(name)


@pytest.mark.parametrize("size", [0, 2**32 + 1])
def test_a_vocabulary_has_a_size(size):
    with pytest.raises(ValueError, match="from 1 to"):
        smallest_dtype(size)
