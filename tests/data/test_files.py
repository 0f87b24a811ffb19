import pytest

from gdengine.data import find_files, read_corpus, read_documents, split_files, stdlib_files


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b/x.txt", "b-c.txt", "a.md", "b/y.md", "Z.txt", ".git/no.txt", "__pycache__/no.txt", "b/.no.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"in {name}\n")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "blank.txt").write_text(" \n")
    return tmp_path


def names(files):
    return [file.name for file in files]


def test_a_folder_in_its_order(folder):
    assert names(find_files(folder)) == ["Z.txt", "a.md", "b/x.txt", "b/y.md", "b-c.txt", "blank.txt"]


def test_patterns_and_several(folder):
    assert names(find_files("**/*.md")) == ["a.md", "b/y.md"]
    assert names(find_files(["b/*.txt", "a.md", folder / "b"])) == ["b/x.txt", "a.md", "x.txt", "y.md"]


def test_documents_of_a_folder(folder):
    documents = read_documents(".")
    assert [d.name for d in documents] == ["Z.txt", "a.md", "b/x.txt", "b/y.md", "b-c.txt"]
    assert read_corpus("**/*.md") == "in a.md\n\n\n\nin b/y.md\n"


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "none was given"),
        ("none", "no file, folder or pattern 'none'"),
        ("*.rst", r"fits the pattern \*\.rst"),
        ("nothing", "the folder nothing holds no text"),
    ],
)
def test_nothing_found_says_what_to_do(folder, inputs, message):
    (folder / "nothing").mkdir()
    with pytest.raises(FileNotFoundError, match=message):
        find_files(inputs)


def test_a_file_that_is_no_text_says_how_to_leave_it_out(folder):
    (folder / "image.png").write_bytes(b"\x89PNG")
    with pytest.raises(ValueError, match=r"image\.png is not UTF-8 text: byte 0x89 at offset 0.*\*\.txt"):
        read_documents(".")


def test_the_standard_library():
    files = names(stdlib_files())
    assert len(files) > 300
    assert {"argparse.py", "json/decoder.py"} <= set(files)
    folders = {part for name in files for part in name.split("/")[:-1]}
    assert not folders & {"test", "tests", "site-packages", "pydoc_data", "__pycache__"}
    assert files == names(stdlib_files())


def test_whole_files_are_kept_back():
    given, sizes = [f"{i}.txt" for i in range(200)], [100 + 7 * i for i in range(200)]
    kept = split_files(given, sizes, 0.1)
    assert sum(s for s, k in zip(sizes, kept, strict=True) if k) == pytest.approx(0.1 * sum(sizes), rel=0.05)
    assert dict(zip(given[::-1], split_files(given[::-1], sizes[::-1], 0.1), strict=True)) == dict(
        zip(given, kept, strict=True)
    )
    assert sum(split_files(["a", "b"], [1, 10**6], 0.01)) == 1
    with pytest.raises(ValueError, match="two files or more"):
        split_files(["a"], [1])
    with pytest.raises(ValueError, match="between 0 and 1"):
        split_files(["a", "b"], [1, 1], 1.0)
