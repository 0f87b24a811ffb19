"""The examples, the README's scripts, and what docstrings show: all of it runs, and the examples learn.

The rule: a block of a page that is marked as Python is a script, and runs. (Those that want a GPU are marked ``python
gpu`` and run in tests/device/test_pages.py, those that go wrong ``python wrong``, in test_mistakes.py.) What stands
after ``>>>`` in a docstring is a doctest, and gives what is written under it. An indented block without ``>>>`` is a
sketch, and does not run.
"""

import doctest
import importlib
import re
import runpy
import sys
from pathlib import Path

import pytest

import gdengine

ROOT = Path(__file__).resolve().parent.parent


def losses(output: str) -> list[float]:
    return [float(found) for found in re.findall(r"loss (\d+\.\d+)", output)]


def test_train_gpt(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train_gpt.py", "30"])
    runpy.run_path(str(ROOT / "examples" / "train_gpt.py"), run_name="__main__")
    output = capsys.readouterr().out
    assert losses(output)[0] > 4.3  # ln of about a hundred characters
    assert losses(output)[-1] < 3.3
    assert "The " in output


def test_gpt_on_tensors(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpt_on_tensors.py", "6"])
    runpy.run_path(str(ROOT / "examples" / "gpt_on_tensors.py"), run_name="__main__")
    first, last = losses(capsys.readouterr().out)
    assert first > 4.3
    assert last < 4.3


def run_example(name, monkeypatch, capsys, *arguments):
    """What an example prints."""
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")
    return capsys.readouterr().out


def accuracy(output: str) -> float:
    return float(re.search(r"test accuracy (\d\.\d+)", output)[1])


def test_digits_mlp(monkeypatch, capsys):
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    assert accuracy(run_example("digits_mlp.py", monkeypatch, capsys)) >= 0.97


@pytest.mark.slow
def test_digits_convnet(monkeypatch, capsys):
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    assert accuracy(run_example("digits_convnet.py", monkeypatch, capsys)) >= 0.985


@pytest.mark.slow
def test_stdlib_bpe(monkeypatch, capsys):
    pytest.importorskip("tokenizers", reason="byte pairs need the library")
    output = run_example("stdlib_bpe.py", monkeypatch, capsys, 100)
    held_out = {name: float(bits) for name, bits in re.findall(r"held out: (\w+) (\d+\.\d+) bits per byte", output)}
    assert held_out["bigram"] < held_out["unigram"] < 4
    assert held_out["model"] < held_out["unigram"] - 0.1  # after 100 steps; after 3,000 it is below the bigram


def test_the_two_gpts_are_one_model():
    """The layers and the formulas written out give the same logits from the same weights."""
    import numpy as np

    from gdengine.models import GPT, GPTConfig

    written = runpy.run_path(str(ROOT / "examples" / "gpt_on_tensors.py"))
    p = written["parameters"](11)
    model = GPT(GPTConfig(vocab_size=11, block_size=64, n_layer=4, n_head=4, n_embd=128))
    state = {"transformer.wte.weight": p["wte"], "transformer.wpe.weight": p["wpe"]}
    norms = {"transformer.ln_f": "ln_f"}
    for i in range(4):
        block = f"transformer.h.{i}"
        norms |= {f"{block}.ln_1": f"{i}.ln_1", f"{block}.ln_2": f"{i}.ln_2"}
        names = {"attn.c_attn": "qkv", "attn.c_proj": "proj", "mlp.c_fc": "fc", "mlp.c_proj": "back"}
        for ours, theirs in names.items():
            state[f"{block}.{ours}.weight"], state[f"{block}.{ours}.bias"] = p[f"{i}.{theirs}.w"], p[f"{i}.{theirs}.b"]
    for ours, theirs in norms.items():
        state[f"{ours}.weight"], state[f"{ours}.bias"] = p[f"{theirs}.scale"], p[f"{theirs}.shift"]
    model.load_state_dict(state)
    ids = np.random.default_rng(0).integers(0, 11, (2, 9))
    # logits of about 0.3 after some hundred float32 roundings of 6e-8
    np.testing.assert_allclose(model(ids).numpy(), written["model"](p, ids).numpy(), atol=5e-6)


def scripts(page: Path) -> list[str]:
    """The blocks of a page that are marked as Python."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


PAGES = sorted(
    page for page in ROOT.rglob("*.md") if not any(part.startswith(".") for part in page.relative_to(ROOT).parts)
)
SCRIPTS = [
    pytest.param(script, id=f"{page.relative_to(ROOT)}:{number}")
    for page in PAGES
    for number, script in enumerate(scripts(page))
]


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_in_pages_run(script, tmp_path, monkeypatch, capsys):
    """At a small size: what is done 500 times or more is done 60 times."""
    monkeypatch.chdir(tmp_path)
    small = re.sub(r"\b(?:500|[1-9]\d?_?000)\b", "60", script)
    exec(compile(small, "the page's script", "exec"), {"__name__": "__main__"})
    if script == scripts(ROOT / "README.md")[0]:
        assert capsys.readouterr().out.startswith("0 4.")  # ln of about a hundred characters


def test_the_readme_script_has_twenty_lines():
    script = scripts(ROOT / "README.md")[0]
    assert len([line for line in script.splitlines() if line and not line.startswith(" " * 18)]) <= 20


def documented() -> list[str]:
    """The modules whose docstrings have examples."""
    package = ROOT / "gdengine"
    paths = [*package.rglob("*.py"), *(ROOT / "kernels").rglob("*.py")]
    found = [path for path in paths if re.search(r"^ *>>> ", path.read_text(encoding="utf-8"), re.MULTILINE)]
    names = [("gdengine" if ROOT / "kernels" in path.parents else "", path.relative_to(ROOT)) for path in found]
    words = [".".join([top, *path.with_suffix("").parts]).strip(".").removesuffix(".__init__") for top, path in names]
    return sorted(set(words))


@pytest.mark.parametrize("name", documented())
def test_docstrings_show_what_happens(name):
    result = doctest.testmod(importlib.import_module(name), extraglobs={"gd": gdengine}, raise_on_error=False)
    assert result.failed == 0
    assert result.attempted > 0


@pytest.mark.parametrize("words", ["pip install '.[plots]' && gdengine train", "pip install '.[test]' && pytest"])
def test_the_readme_says_the_two_commands(words):
    assert f"\n    {words}\n" in (ROOT / "README.md").read_text(encoding="utf-8")
