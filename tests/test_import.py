"""What `import gdengine` brings along, and that it works where Numba is not there. Each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import gdengine

ROOT = Path(gdengine.__file__).parent.parent
LATER = [
    "click",
    "cupy",
    "matplotlib",
    "numba",
    "safetensors",
    "scipy",
    "sklearn",
    "tokenizers",
    "tqdm",
    "tomli_w",
    "torch",
]
# of the standard library and our own: nothing that `import gdengine` alone needs
QUICK = [
    "hashlib",
    "json",
    "secrets",
    "tempfile",
    "gdengine.models",
    "gdengine.nn",
    "gdengine.optim",
    "gdengine.profiling",
]


def run(code, **environment):
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_import_brings_nothing_heavy():
    # beside what NumPy and site-packages' .pth files import
    loaded = run("import sys, numpy; before = {*sys.modules}; import gdengine; print(*sys.modules.keys() - before)")
    assert "gdengine.functional" in loaded
    assert not {*LATER, *QUICK} & set(loaded)


def test_what_is_imported_later_is_there_all_the_same():
    code = """
import gdengine as gd
assert not hasattr(gd, "n")
assert {"nn", "optim", "models", "profile", "clip_grad_norm_", "Tensor"} <= set(dir(gd))
assert gd.nn.Linear is gd.nn.linear.Linear
from gdengine import *
assert optim.AdamW and models.GPT and nn is gd.nn and profile is gd.profiling.profile
print(*sorted(set(gd.__all__) - set(vars(gd))))
"""
    assert run(code) == []


STEP = """
import sys
sys.modules["numba"] = None
import numpy as np
import gdengine as gd
from gdengine import nn, optim
from gdengine.functional import cross_entropy
from gdengine.kernels import dispatch
gd.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.LayerNorm(8), nn.Dropout(0.1), nn.Linear(8, 3))
opt = optim.AdamW(model.parameters(), lr=0.1, clip_norm=1.0)
x, y = gd.randn(16, 4), gd.randint(0, 3, (16,))
losses = []
for _ in range(5):
    loss = cross_entropy(model(x), y)
    loss.backward()
    opt.step()
    losses.append(loss.item())
assert dispatch.choice() == "reference", dispatch.choice()
assert "numba" in dispatch.why_reference().lower()
assert losses[-1] < losses[0], losses
print(*losses)
"""


def test_training_works_where_numba_is_not_there():
    losses = run(STEP, GDENGINE_KERNELS="fused")
    assert len(losses) == 5


def test_an_unknown_choice_of_kernels_is_refused():
    code = """
import gdengine as gd
from gdengine.functional import gelu
try:
    gelu(gd.ones(2))
except ValueError as error:
    print(error)
"""
    assert "GDENGINE_KERNELS" in run(code, GDENGINE_KERNELS="fast")


def test_names_that_are_promised_are_there():
    assert sorted(gdengine.__all__) == gdengine.__all__
    for name in gdengine.__all__:
        assert getattr(gdengine, name) is not None
    for name in gdengine.functional.__all__:
        assert callable(getattr(gdengine.functional, name))
