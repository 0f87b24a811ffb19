"""The examples and the README's script run, and learn."""

import re
import runpy
import sys
from pathlib import Path

import pytest

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


def test_the_readme_script(capsys):
    script = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert script is not None
    assert len([line for line in script[1].splitlines() if line and not line.startswith(" " * 18)]) <= 20
    exec(compile(script[1].replace("500", "60"), "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("0 4.")


@pytest.mark.parametrize("words", ["pip install '.[plots]' && gdengine train", "pip install '.[test]' && pytest"])
def test_the_readme_says_the_two_commands(words):
    assert f"\n    {words}\n" in (ROOT / "README.md").read_text(encoding="utf-8")
