import sys

import numpy as np
import pytest

from gdengine.training import plots

HISTORY = [
    {"step": 0, "val_loss": 4.6},
    *({"step": step, "loss": 4.6 - step / 100, "lr": step / 1e5} for step in range(1, 100)),
    {"step": 100, "loss": None, "lr": 1e-3, "val_loss": 3.5},
    {"step": 100, "val_loss": 3.5, "final": True},
]


def test_smoothing_is_the_mean_of_the_neighbours():
    values = np.array([1.0, 2.0, 6.0, np.nan, 4.0])
    np.testing.assert_allclose(plots.smoothed(values, 1), [1.0, 3.0, 4.0, 5.0, 4.0], rtol=1e-15)
    np.testing.assert_array_equal(plots.smoothed(values[:3], 0), values[:3])
    assert plots.smoothed(np.array([np.nan]), 3).tolist() == pytest.approx([np.nan], nan_ok=True)
    assert plots.smoothed(np.array([]), 3).shape == (0,)


@pytest.mark.parametrize("history", [HISTORY, HISTORY[:1], HISTORY[1:5], []])
def test_any_history_can_be_drawn(tmp_path, history):
    pytest.importorskip("matplotlib", reason="pictures are an extra")
    plots.draw_loss(history, tmp_path / "loss.png", baselines={"unigram": 3.3, "bigram": 2.6}, title="A title")
    plots.draw_lr(history, tmp_path / "lr.png")
    for name in ("loss.png", "lr.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert not plots.can_draw()
    with pytest.raises(ImportError, match=r"pip install 'gdengine\[plots\]'"):
        plots.draw_lr(HISTORY, tmp_path / "lr.png")
