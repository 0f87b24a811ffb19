import math
import tomllib
from dataclasses import fields, replace

import numpy as np
import pytest

from gdengine.training.settings import OTHER_NAMES, SECTIONS, Settings, SettingsError, read_toml


def test_a_toml_file_holds_every_setting(tmp_path):
    settings = Settings(
        corpus='a "b"\\c é.txt', n_layer=3, n_embd=96, lr=3e-4, eps=1e-10, bias=False, prompt='It\n"is"', seed=2**32 - 1
    )
    path = tmp_path / "settings.toml"
    path.write_text(settings.to_toml(), encoding="utf-8")
    assert Settings.from_toml(path) == settings
    assert read_toml(path).keys() == {field.name for field in fields(Settings)}
    assert list(tomllib.loads(path.read_text(encoding="utf-8"))) == list(SECTIONS)


def test_the_file_says_how_to_use_it():
    assert Settings(run="mine").to_toml().startswith("# gdengine train --config THIS_FILE --run ANOTHER_FOLDER\n")


def test_every_setting_says_what_it_is():
    for item in fields(Settings):
        assert item.metadata["help"]
        assert f"{item.name} = " in Settings().to_toml()


def test_what_a_file_leaves_out_has_its_default(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text("[training]\nsteps = 7\n[optimizer]\nlr = 1\n")
    assert Settings.from_toml(path) == Settings(steps=7, lr=1.0)
    path.write_text("")
    assert Settings.from_toml(path) == Settings()


def test_numbers_take_their_type():
    settings = Settings(lr=1, dropout=np.float64(0.5))
    assert type(settings.lr) is type(settings.dropout) is float


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": "many"}, "steps must be a whole number, got 'many'"),
        ({"steps": 1.5}, "steps must be a whole number"),
        ({"steps": True}, "steps must be a whole number"),
        ({"lr": "1e-3"}, "lr must be a number, got '1e-3'"),
        ({"lr": True}, "lr must be a number"),
        ({"bias": 1}, "bias must be true or false"),
        ({"corpus": None}, "corpus must be text"),
        ({"steps": 0}, "steps must be 1 or more, got 0"),
        ({"lr": 0.0}, "lr must be above 0"),
        ({"lr": -1e-3}, "lr must be above 0"),
        ({"lr": math.nan}, "lr must be above 0"),
        ({"lr": math.inf}, "lr must be above 0"),
        ({"lr": 10**400}, "lr must be above 0"),
        ({"weight_decay": math.inf}, "weight_decay must be 0 or more"),
        ({"dropout": 1.0}, "dropout must be 0 or more, and below 1"),
        ({"held_out": 1.0}, "held_out must be between 0 and 1"),
        ({"seed": 2**32}, "seed must be from 0"),
        ({"seed": -1}, "seed must be from 0"),
        ({"schedule": "cosin"}, "schedule must be one of constant, linear, cosine"),
        ({"n_embd": 130}, "n_embd must be a multiple of n_head"),
        ({"n_layers": 3}, "there is no setting 'n_layers'; did you mean n_layer"),
        ({"learning_rate": 3}, "there is no setting 'learning_rate'; did you mean lr"),
        ({"learning_rate": 3}, "there is no setting 'learning_rate'"),
        ({"xyzzy": 3}, "there is no setting 'xyzzy'; there are corpus, held_out"),
    ],
)
def test_a_wrong_value_is_refused(values, message):
    with pytest.raises(SettingsError) as error:
        Settings.from_dict(values)
    assert message in str(error.value)


def test_a_changed_copy_is_checked_too():
    with pytest.raises(SettingsError, match="batch_size"):
        replace(Settings(), batch_size=0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[optimiser]\nlr = 1", r"no section \[optimiser\]; did you mean optimizer"),
        ("[optimizer]\nlrr = 1", r"no setting 'lrr' in \[optimizer\]; did you mean lr"),
        ("[model]\nlr = 1", r"lr stands in \[model\] and belongs in \[optimizer\]"),
        ("lr = 1", r"lr belongs in a section; write \[optimizer\]"),
        ("training = 3", r"training is a section; write \[training\]"),
        ("stepz = 3", r"no section \[stepz\]"),
        ("[training", "is not a TOML file"),
        ("[training]\nsteps = ", "is not a TOML file"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, text, message):
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=message) as error:
        read_toml(path)
    assert "a.toml" in str(error.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="No such file"):
        read_toml(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"[data]\ncorpus = 'caf\xe9'")
    with pytest.raises(SettingsError, match="not a TOML file"):
        read_toml(tmp_path / "latin.toml")


def test_names_from_elsewhere_lead_to_settings_that_there_are():
    names = Settings().to_dict()
    assert set(OTHER_NAMES.values()) <= names.keys()
    assert not OTHER_NAMES.keys() & names.keys()
