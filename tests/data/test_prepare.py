import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gdengine.data import ByteTokenizer, TokenFile, prepare, python_docs, read_text, split_files
from gdengine.data.corpora import SEPARATOR

module = sys.modules["gdengine.data.prepare"]
ROOT = Path(__file__).resolve().parent.parent.parent


def lines(first, n):
    return "".join(f"Line {i}: {i * i} is the square of {i}.\n" for i in range(first, first + n))


@pytest.fixture
def folder(tmp_path):
    """Twelve files in two folders, one hidden, one empty."""
    top = tmp_path / "texts"
    for i in range(12):
        file = top / "ab"[i % 2] / f"{i}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes((b"\xef\xbb\xbf" if i == 3 else b"") + lines(100 * i, 20 + i).replace("\n", "\r\n").encode())
    (top / ".hidden").write_text("no")
    (top / "empty").write_text("")
    return top


def test_many_files_are_kept_back_whole(folder, tmp_path):
    file = prepare([folder], tmp_path / "out", held_out=0.2)
    order = [f"{letter}/{i}.txt" for letter in "ab" for i in sorted(range("ab".index(letter), 12, 2), key=str)]
    texts = [read_text(folder / name) for name in order]
    kept = split_files(order, [(folder / name).stat().st_size for name in order], 0.2)
    assert 0 < sum(kept) < 6
    expected = ["".join(t + SEPARATOR for t, k in zip(texts, kept, strict=True) if k is side) for side in (False, True)]
    assert [ByteTokenizer().decode(part) for part in (file.train, file.kept)] == expected
    file.verify()
    assert sorted(os.listdir(tmp_path)) == ["out", "texts"]


def test_the_file_may_be_written_among_the_texts(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PIECE", 200)
    monkeypatch.setattr(module, "_EVERY", 0.0)
    out, told = folder / "a" / "out", []

    def stop(what, done, total):
        if done > 2000:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        prepare([folder], out, progress=stop)
    prepare([folder], out, say=told.append)
    assert told[0].startswith("going on after")
    written = out.read_bytes()
    out.unlink()
    assert prepare([folder], tmp_path / "elsewhere").path.read_bytes() == written


def test_byte_pairs_see_the_end_of_each_document(folder, tmp_path):
    pytest.importorskip("tokenizers", reason="byte pairs need the library")
    file = prepare([str(folder / "a" / "*.txt"), folder / "b"], tmp_path / "out", tokenizer="bpe:300", held_out=0.2)
    tokenizer = file.tokenizer()
    assert (file.tokens == tokenizer.end_of_text).sum() == 12
    assert tokenizer.vocab_size == 300


def test_a_single_file_is_cut_at_line_ends(tmp_path):
    path = tmp_path / "a.txt"
    text = lines(0, 2000)
    path.write_text(text)
    file = prepare([path], tmp_path / "out", held_out=0.1)
    train, kept = (ByteTokenizer().decode(part) for part in (file.train, file.kept))
    assert len(kept) == pytest.approx(0.1 * len(text), rel=0.05)
    assert sorted((train + kept).replace("\n", " \n").split("\n")) == sorted(text.replace("\n", " \n").split("\n"))
    whole = prepare([path], tmp_path / "whole", held_out=0)
    assert whole.held_out == 0
    assert ByteTokenizer().decode(whole.tokens) == text


@pytest.mark.parametrize("text", ["é" * 3000, "a\r\n" * 999, "\n" * 2000, "日本\n" * 500])
def test_no_character_is_cut_in_half(tmp_path, text):
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode())
    file = prepare([path], tmp_path / "out", tokenizer="char")
    tokenizer = file.tokenizer()
    expected = text.replace("\r\n", "\n")
    assert sorted(tokenizer.decode(file.tokens)) == sorted(expected)


@pytest.mark.parametrize("spec", ["byte", "char", "bpe:400"])
def test_pieces_leave_no_trace(tmp_path, monkeypatch, spec):
    if spec.startswith("bpe"):
        pytest.importorskip("tokenizers", reason="byte pairs need the library")
    prepare(["python_docs"], tmp_path / "one", tokenizer=spec)
    monkeypatch.setattr(module, "_PIECE", 5000)
    monkeypatch.setattr(module, "_EVERY", 0.0)
    prepare(["python_docs"], tmp_path / "two", tokenizer=spec)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    text = prepare(["python_docs"], tmp_path / "three", tokenizer=spec, held_out=0)
    assert text.tokenizer().decode(text.tokens) == python_docs()


SLOWLY = """
import sys, time
from gdengine.data import prepare
module = sys.modules["gdengine.data.prepare"]
module._PIECE, module._EVERY = 2000, 0.0
def progress(what, done, total):
    time.sleep(0.002)
    print(what, done, total, flush=True)
prepare(sys.argv[1:2], sys.argv[2], tokenizer=sys.argv[3], progress=progress)
"""


def test_killed_and_run_again_it_ends_with_the_same_bytes(tmp_path):
    spec = "char"
    source = tmp_path / "a.txt"
    source.write_text(python_docs())
    prepare([source], tmp_path / "whole", tokenizer=spec)
    out, partial = tmp_path / "out", tmp_path / "out.partial"
    for kill_at in (60, 50, 40):
        process = subprocess.Popen(
            [sys.executable, "-c", SLOWLY, str(source), str(out), spec], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        seen, deadline = 0, time.monotonic() + 60
        while seen < kill_at:
            seen += process.stdout.readline().startswith("writing tokens")
            assert process.poll() is None
            assert time.monotonic() < deadline
        process.kill()
        process.wait()
        process.stdout.close()
        assert partial.exists()
        assert not out.exists()
    with partial.open("r+b") as file:
        file.seek(0, 2)
        file.write(b"what was written and not noted")
    told = []
    prepare([source], out, tokenizer=spec, say=told.append)
    assert len(told) == 1
    assert int(told[0].split()[3].replace(",", "")) > 100_000
    assert out.read_bytes() == (tmp_path / "whole").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "out", "whole"]


@pytest.mark.parametrize("change", ["file", "argument", "shorter", "notes"])
def test_what_has_changed_begins_anew(tmp_path, monkeypatch, change):
    monkeypatch.setattr(module, "_PIECE", 500)
    monkeypatch.setattr(module, "_EVERY", 0.0)
    source = tmp_path / "a.txt"
    source.write_text(lines(0, 300))

    def stop(what, done, total):
        if done > 5000:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        prepare([source], tmp_path / "out", progress=stop)
    told, arguments = [], {}
    if change == "file":
        source.write_text(lines(1, 300))
    elif change == "argument":
        arguments = {"held_out": 0.2}
    elif change == "shorter":
        os.truncate(tmp_path / "out.partial", 1000)
    else:
        (tmp_path / "out.partial.json").write_text('{"job":')
    file = prepare([source], tmp_path / "out", say=told.append, **arguments)
    assert [line.split(": ")[-1] for line in told] == ([] if change == "notes" else ["beginning anew"])
    file.verify()
    assert len(file.tokens) == len(source.read_text())


def test_what_cannot_be_prepared_is_refused(tmp_path):
    (tmp_path / "latin.txt").write_bytes(b"x" * 5000 + "café".encode("latin-1"))
    (tmp_path / "tiny.txt").write_text("a")
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ValueError, match=r"byte 0xe9 at offset 5003.*iconv"):
        prepare([tmp_path / "latin.txt"], tmp_path / "new", held_out=0)
    with pytest.raises(ValueError, match="1 bytes are too few"):
        prepare([tmp_path / "tiny.txt"], tmp_path / "new")
    (tmp_path / "short.txt").write_text("日本" * 35, encoding="utf-8")
    with pytest.raises(ValueError, match="too short to keep some of it back"):
        prepare([tmp_path / "short.txt"], tmp_path / "new")
    with pytest.raises(ValueError, match="gives 1 tokens"):
        prepare([tmp_path / "tiny.txt"], tmp_path / "new", held_out=0)
    with pytest.raises(ValueError, match="a tokenizer is char, byte"):
        prepare([tmp_path / "tiny.txt"], tmp_path / "new", tokenizer="words")
    with pytest.raises(ValueError, match="the only input"):
        prepare(["stdlib", "python_docs"], tmp_path / "new")
    with pytest.raises(FileNotFoundError, match="no file, folder or pattern"):
        prepare([tmp_path / "none"], tmp_path / "new")
    with pytest.raises(FileExistsError, match="--force"):
        prepare([tmp_path / "latin.txt"], tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"
    assert isinstance(prepare(["python_docs"], tmp_path / "out", force=True), TokenFile)


def test_it_reads_no_more_than_it_must(tmp_path, monkeypatch):
    """A line of ten pieces is read as one; and none before or after it is."""
    monkeypatch.setattr(module, "_PIECE", 100)
    path = tmp_path / "a.txt"
    path.write_text(lines(0, 20) + "x" * 1000 + "\n" + lines(0, 20))
    sizes = [len(text) for text, _ in module._texts(module.Part(path, 0, path.stat().st_size, False, False), 0)]
    assert sum(sizes) == path.stat().st_size
    assert sorted(sizes)[-2] < 200
    assert np.max(sizes) < 1200
