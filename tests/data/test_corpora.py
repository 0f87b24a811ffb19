import sys

import pytest

from gdengine.data import python_docs, read_corpus, read_text


def test_python_docs_is_text_in_a_fixed_order():
    text = python_docs()
    assert len(text) > 300_000
    assert text == python_docs()
    assert text.startswith('The "assert" statement')


def test_python_docs_repeats_no_long_paragraph():
    paragraphs = [" ".join(p.split()) for p in python_docs().split("\n\n")]
    long = [p for p in paragraphs if len(p) >= 40]
    assert len(long) == len(set(long))


def test_python_without_its_documentation_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(FileNotFoundError, match="--corpus FILE"):
        python_docs()


def test_read_text_normalises_line_ends_and_drops_the_mark(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthr\xc3\xa9e\n")
    assert read_text(path) == "one\ntwo\nthrée\n"


def test_a_corpus_is_a_name_or_a_path(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("some text")
    assert read_corpus(str(path)) == "some text"
    assert read_corpus("python_docs") == python_docs()


def test_a_corpus_that_is_not_there_lists_the_names(tmp_path):
    with pytest.raises(FileNotFoundError, match="python_docs"):
        read_corpus(str(tmp_path / "missing.txt"))


def test_read_text_says_what_is_wrong(tmp_path):
    latin, empty = tmp_path / "latin.txt", tmp_path / "empty.txt"
    latin.write_bytes("café".encode("latin-1"))
    empty.write_text(" \n")
    with pytest.raises(ValueError, match=r"not UTF-8 text: byte 0xe9 at offset 3"):
        read_text(latin)
    with pytest.raises(ValueError, match="is empty"):
        read_text(empty)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_text(tmp_path / "missing.txt")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        read_text(tmp_path)
