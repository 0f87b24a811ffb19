import json

import numpy as np
import pytest

from gdengine.data import CharTokenizer


def test_text_comes_back():
    text = "héllo\nwörld – naïve 🎉\t"
    tokenizer = CharTokenizer.from_text(text)
    tokens = tokenizer.encode(text)
    assert tokens.dtype == np.uint8
    assert tokens.shape == (len(text),)
    assert tokenizer.decode(tokens) == text


def test_tokens_number_the_alphabet():
    tokenizer = CharTokenizer("cab")
    assert tokenizer.vocab_size == 3
    assert tokenizer.encode("abc").tolist() == [1, 2, 0]
    assert tokenizer.decode([0, 1, 2]) == "cab"


def test_from_text_sorts_by_code_point():
    assert CharTokenizer.from_text("banana").alphabet == "abn"


def test_empty_text_is_no_tokens():
    tokenizer = CharTokenizer("ab")
    assert tokenizer.encode("").shape == (0,)
    assert tokenizer.decode([]) == ""


def test_lone_surrogates_survive():
    text = "a\ud800b"
    tokenizer = CharTokenizer.from_text(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_json_describes_the_same_tokenizer():
    tokenizer = CharTokenizer('"\\é\n🎉')
    again = CharTokenizer.from_json(json.loads(json.dumps(tokenizer.to_json())))
    assert again.alphabet == tokenizer.alphabet


@pytest.mark.parametrize("data", [{}, {"kind": "bpe", "alphabet": "ab"}, {"kind": "char", "alphabet": ["a"]}])
def test_json_of_something_else_is_refused(data):
    with pytest.raises(ValueError, match="expected"):
        CharTokenizer.from_json(data)


def test_an_unknown_character_is_named_with_its_place():
    with pytest.raises(ValueError) as error:
        CharTokenizer("ab\n").encode("ab\nbxay")
    message = str(error.value)
    assert "'x' (U+0078), 'y' (U+0079)" in message
    assert "index 4 (line 2, column 2)" in message


def test_many_unknown_characters_are_counted():
    with pytest.raises(ValueError, match="and 3 more"):
        CharTokenizer("a").encode("bcdefghi")


@pytest.mark.parametrize(("tokens", "message"), [([0, 3], "token 3 at index 1"), ([-1], "token -1 at index 0")])
def test_a_token_outside_the_alphabet_is_named(tokens, message):
    with pytest.raises(ValueError, match=message):
        CharTokenizer("abc").decode(tokens)


@pytest.mark.parametrize("tokens", [[[0, 1]], [0.5], np.zeros((1, 2), np.int64)])
def test_only_a_row_of_integers_is_decoded(tokens):
    with pytest.raises(ValueError, match="row of integers"):
        CharTokenizer("abc").decode(tokens)


def test_an_alphabet_needs_characters_each_once():
    with pytest.raises(ValueError, match="stands twice"):
        CharTokenizer("aba")
    with pytest.raises(ValueError, match="at least one character"):
        CharTokenizer("")
