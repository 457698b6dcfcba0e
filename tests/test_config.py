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


U_NETS = [
    name
    for name in PRESETS
    if preset(name).network.condition == "picture" and not preset(name).network.answers_in_one_call
]


@pytest.mark.parametrize(
    ("name", "settings", "complaint"),
    [
        ("tiny-x4", ["sampling.sampler=regression"], "regression model predicts in 1 step, not 8"),
        ("tiny-x4", ["sampling.sampler=regression", "sampling.steps=1"], "objective is denoising cannot be sampled by"),
        ("tiny-x4-regression", ["sampling.sampler=ddim"], "objective is regression cannot be sampled by ddim"),
        ("tiny-x4-regression", ["denoiser.prediction=v"], "regression model predicts y0"),
        ("tiny-x4", ["data.scale=1"], "at data.scale 1 the degradation bicubic leaves the input unchanged"),
        (
            "faces-64-small",
            ["data.scale=2"],
            "unconditional generation has no scale: with network.condition none set data.scale",
        ),
        (
            "tiny-x4",
            ["data.scale=1", "data.degradation=noise", "sampling.correct=true"],
            "would restore the degraded input: set sampling.correct to false",
        ),
        ("tiny-x4", ["network.condition_channels=1"], "set data.degradation to paired"),
        (
            "tiny-x4",
            ["network.condition_channels=1", "data.degradation=paired"],
            "allows no residual, correction or mean",
        ),
        ("faces-64-small", ["data.crop=0"], "needs a fixed size: set data.crop to the side of the images"),
        ("faces-64-small", ["denoiser.target=residual"], "with network.condition none set denoiser.target to image"),
        ("faces-64-small", ["training.keep=best-psnr"], "no ground truth for PSNR"),
        ("tiny-x4", ["data.condition_gamma=0.5"], "set network.condition_level to true"),
        ("tiny-x4", ["sampling.condition_gamma=0.5"], "set network.condition_level to true"),
        ("faces-64-small", ["data.class_dropout=0.5"], "need a class-conditional model"),
        ("tiny-x4", ["network.classes=3"], "classes are for network.condition none"),
        ("faces-64-small", ["data.blur=1"], "has no input to degrade: set data.blur to 0"),
        (
            "tiny-x4",
            ["network.condition_level=true", "data.condition_gamma=0.5", "sampling.condition_gamma=0.2"],
            "is noisier than data.condition_gamma 0.5",
        ),
        (
            "tiny-x4-regression",
            ["network.family=rcan", "network.multipliers=[1]"],
            "no setting network.multipliers with network.family rcan, which has family, width, groups, blocks",
        ),
        ("rcan-x4", ["network.dropout=0.1"], "no setting network.dropout with network.family rcan"),
        (
            "rcan-x4",
            ["objective.kind=denoising", "sampling.sampler=ddim"],
            "family rcan predicts in one call: set objective.kind",
        ),
        ("enet-x4", ["data.blur=1"], "receives the input before upsampling"),
        ("fsrcnn-x4", ["data.enlarged=8-bit"], "receives the input before upsampling"),
        ("rcan-x4", ["objective.supervision=0.5"], "is for network.family drcn"),
        (
            "tiny-x4",
            ["objective.adversary.adversarial=1"],
            "no section adversary with objective.kind denoising",
        ),
        ("drcn-x4", ["objective.adversary.adversarial=1"], "cannot be combined with objective.supervision"),
        ("enet-x4", ["objective.adversary.adversarial=1", "data.crop=48"], "set data.crop to a multiple of 32"),
        ("enet-x4", ["objective.adversary.texture=1"], "name a network in objective.adversary.features"),
        ("enet-x4", ["objective.adversary.pixel=0"], "all others are 0; leave objective.adversary.pixel at 1"),
        (
            "imagenet-64-small",
            ["data.class_dropout=0", "sampling.guidance=1"],
            "trained with data.class_dropout above 0",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(name, settings, complaint):
    with pytest.raises(ConfigError, match=complaint):
        apply_settings(preset(name), settings)


@pytest.mark.parametrize("name", U_NETS)
def test_the_regression_to_a_preset_has_its_network_and_the_papers_rate(name):
    config, base = preset(name + "-regression"), preset(name)
    assert (config.network, config.data, config.training.steps) == (base.network, base.data, base.training.steps)
    assert (config.objective.loss, config.sampling.steps, config.training.keep) == ("l2", 1, "best-psnr")
    paper = base.optimizer.learning_rate == 1e-4
    assert config.optimizer.learning_rate == (1e-5 if paper else base.optimizer.learning_rate)
    assert apply_settings(config, []) == config


def test_a_generator_has_no_regression():
    with pytest.raises(ConfigError, match="faces-64 generates images without an input"):
        preset("faces-64-regression")


def test_a_network_of_one_call_has_no_regression_beside_it():
    with pytest.raises(ConfigError, match="rcan-x4 is a regression already"):
        preset("rcan-x4-regression")


def test_a_searched_grid_has_a_level_more_than_steps():
    grid = {"sampler": "ddim", "eta": 0.0, "steps": 2, "gammas": [0.001, 1.0], "metric": "m", "score": 1, "before": 2}
    with pytest.raises(ConfigError, match="2 steps need 3 levels, got 2"):
        Config.parse({"sampling": {"searched": [grid]}}, where="here")
