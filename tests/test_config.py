"""Settings are strict, and what is wrong with them is said in one line."""

import json

import pytest

from sr3.config import Config, apply_settings, read_toml
from sr3.errors import ConfigError
from sr3.presets import PRESETS, preset


def test_defaults_are_the_papers_where_it_gives_them():
    config = Config()
    assert config.schedule.num_levels == 2000
    assert (config.training.steps, config.training.batch) == (1_000_000, 256)
    assert (config.optimizer.learning_rate, config.optimizer.warmup) == (1e-4, 10_000)
    assert (config.denoiser.prediction, config.denoiser.target) == ("eps", "image")
    assert config.sampling.sampler == "ancestral"
    assert config.sampling.steps == 100
    assert config.network.stem == 1


def test_a_misspelt_setting_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"there is no setting network\.widht"):
        read_toml("[network]\nwidht = 64", where="my.toml")


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("network.width=6", "network.width = 6"),
        ("network.stem=3", "network.stem = 3"),
        ("network.attention=[5]", "attention names level 5"),
        ("data.crop=63", "crop 63 is not a multiple of scale 4"),
        ("training.steps=0", "training.steps = 0"),
        ("denoiser.prediction=noise", 'denoiser.prediction = "noise"'),
        ("training.steps=many", 'training.steps = "many"'),
        ("optimizer.nothing.here=1", "there is no section nothing"),
        ("training", "write it as section.name=value"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(setting, complaint):
    with pytest.raises(ConfigError) as caught:
        apply_settings(Config(), [setting])
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_set_changes_only_what_it_names():
    changed = apply_settings(Config(), ["network.multipliers=[1,2]", "denoiser.target=residual"])
    assert changed.network.multipliers == (1, 2)
    assert changed.denoiser.target == "residual"
    before, after = Config().model_dump(), changed.model_dump()
    before["network"]["multipliers"], before["denoiser"]["target"] = (1, 2), "residual"
    assert before == after


def test_broken_toml_is_one_line_with_the_files_name():
    with pytest.raises(ConfigError, match=r"my\.toml: not valid TOML") as caught:
        read_toml("[network", where="my.toml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_the_way_through_json(name):
    config = preset(name)
    assert Config.parse(json.loads(config.model_dump_json()), where="test") == config


def test_an_unknown_preset_is_answered_with_the_list():
    with pytest.raises(ConfigError, match="photos-x4"):
        preset("photo-x4")
