"""Settings that earlier versions saved are read as what they meant."""

import json
from copy import deepcopy
from pathlib import Path

import pytest
import tomli_w
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from sr3.checkpoint import read_model
from sr3.config import FORMAT, Config, read_saved, read_toml, upgrade
from sr3.errors import ConfigError
from sr3.presets import preset
from sr3.training.run_dir import RunDir, open_run
from sr3.zoo import packaged_models

ROOT = Path(__file__).parents[1]
WEIGHTS = [*packaged_models().values(), *sorted((ROOT / "weights").glob("*.safetensors"))]

NETWORK_1 = {
    "width": 8, "multipliers": [1, 2], "blocks": 2, "attention": [], "head_width": 64, "groups": 2, "inner": 4,
    "features": 16, "dropout": 0.0, "stem": 1, "condition": "picture", "condition_level": False, "guide": 0,
    "classes": 0, "checkpointing": False,
}  # fmt: skip
"""A network as format 1 wrote it: all settings, whatever the family."""
OF_FAMILY = {
    "biggan": {"multipliers": (1, 2), "blocks": 2, "head_width": 64, "features": 16, "guide": 0},
    "ddpm": {"multipliers": (1, 2), "blocks": 2, "groups": 2, "features": 16},
    "fsrcnn": {"inner": 4, "layers": 2},
    "drcn": {"recursions": 2},
    "rcan": {"groups": 2, "blocks": 2, "attention_width": 4},
    "enet": {"blocks": 2},
    "span": {"blocks": 2},
}
RENAMED = {
    "hide_class": "class_dropout",
    "answers": "samples",
    "apart": "diversity",
    "begins": "start_step",
    "halvings": "downsamplings",
    "most_right": "max_accuracy",
}
"""Names of formats 1 and 2, and what they are called since."""
REGRESSION_1 = {
    "denoiser": {"prediction": "y0", "objective": "regression", "loss": "l1", "supervision": 0.0},
    "adversary": {"pixel": 0.5, "perceptual": 1.0, "features": "st-lpips"},
    "sampling": {"sampler": "regression", "steps": 1},
}


def migrated(tree):
    before = deepcopy(tree)
    config = Config.parse(upgrade(tree, found=1, where="here"), where="here")
    assert tree == before
    return config


def described(path):
    """What a model file says of itself, or a copy of what one said."""
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="utf-8"))
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["sr3"])


OLD = [
    path for path in (*WEIGHTS, ROOT / "tests/golden/photos-x4-fast-format-1.json") if described(path)["format"] == 1
]


def test_there_are_old_models_of_every_objective():
    assert {described(path)["config"]["denoiser"]["objective"] for path in OLD} == {
        *("denoising", "regression", "distillation")
    }


@pytest.mark.slow
@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_weights_of_format_1_are_read_with_every_setting_they_had(path):
    old = described(path)
    config = read_model(path).info.config if path.suffix != ".json" else migrated(old["config"])
    tree, new = old["config"], config.model_dump(mode="json", exclude_none=True)
    for section in ("schedule", "data", "optimizer", "training", "sampling"):
        assert {name: new[section][RENAMED.get(name, name)] for name in tree[section]} == tree[section]
    assert {name: new["network"][name] for name in new["network"] if name in tree["network"]}.items() <= (
        tree["network"].items()
    )
    assert config.objective.kind == tree["denoiser"]["objective"]
    assert config.objective.loss == tree["denoiser"]["loss"]
    for name, value in tree.get("distillation", {}).items():
        assert new["objective"][name] == value
    if config.adversary is not None:
        adversary = config.adversary.model_dump(mode="json")
        assert {name: adversary[RENAMED.get(name, name)] for name in tree["adversary"]} == tree["adversary"]


@pytest.mark.parametrize("family", OF_FAMILY)
def test_a_network_of_format_1_keeps_what_meant_something_to_its_family(family):
    learnt = {} if family in ("biggan", "ddpm") else REGRESSION_1
    network = migrated({"network": {"family": family, **NETWORK_1}, **learnt}).network
    found = dict(network)
    assert (found["family"], found["width"]) == (family, 8)
    assert {name: found[name] for name in OF_FAMILY[family]} == OF_FAMILY[family]


def test_a_short_tree_of_format_1_has_the_defaults_of_format_1():
    config = migrated({"network": {"family": "rcan"}, **REGRESSION_1})
    assert config.network.model_dump() == {
        "family": "rcan", "width": 128, "groups": 32, "blocks": 3, "attention_width": 12,
    }  # fmt: skip


def test_a_regression_of_format_1_keeps_its_loss_and_its_adversary():
    config = migrated(REGRESSION_1)
    assert (config.objective.kind, config.objective.loss) == ("regression", "l1")
    assert (config.adversary.pixel, config.adversary.perceptual) == (0.5, 1.0)


def test_a_student_of_format_1_keeps_teacher_steps_and_mean():
    taught = {"teacher": "t", "digest": "0" * 64, "steps": 2, "eta": 0.5, "grid": "cosine"}
    mean = {"name": "m", "digest": "1" * 64, "condition": "enlarged", "network": {**NETWORK_1, "family": "span"}}
    config = migrated(
        {
            "denoiser": {"prediction": "v", "objective": "distillation", "loss": "l2", "supervision": 0.0},
            "adversary": {"pixel": 0.0, "truth": 1.0},
            "distillation": taught,
            "mean": mean,
            "sampling": {"sampler": "distilled", "steps": 2, "eta": 0.5, "grid": "cosine"},
        }
    )
    assert (config.distillation.teacher, config.distillation.steps, config.distillation.eta) == ("t", 2, 0.5)
    assert config.adversary.truth == 1.0
    assert config.mean.network.model_dump() == {"family": "span", "width": 8, "blocks": 2}


def test_an_unknown_setting_of_format_1_is_still_refused():
    with pytest.raises(ConfigError, match=r"no setting network\.widht"):
        migrated({"network": {"family": "rcan", "widht": 8}, **REGRESSION_1})


@pytest.mark.parametrize("found", [0, FORMAT + 1, "1", None])
def test_another_format_is_refused(found):
    with pytest.raises(ConfigError, match=r"here: has format .*, this version reads 1 to 3; upgrade sr3"):
        upgrade({}, found=found, where="here")


def test_todays_settings_stay_as_they_are():
    tree = preset("rcan-x4").model_dump(mode="json", exclude_none=True)
    assert upgrade(tree, found=FORMAT, where="here") == tree


@pytest.mark.parametrize("found", [1, 2])
def test_settings_that_were_renamed_keep_their_values(found):
    values = {"answers": 2, "apart": 0.25, "begins": 7, "halvings": 4, "most_right": 0.9}
    weights = {"truth": 1.0, "pixel": 0.0, "adversarial": 0.1}
    tree = {"data": {"hide_class": 0.2}, "network": {"family": "biggan", "classes": 3}}
    taught = {"teacher": "t", "digest": "0" * 64, "steps": 1}
    adversary = {**values, **weights}
    if found == 1:
        tree |= {"adversary": adversary, "denoiser": {"objective": "distillation"}, "distillation": taught}
    else:
        tree |= {"objective": {"kind": "distillation", **taught, "adversary": adversary}}
    new = upgrade(tree, found=found, where="here")
    assert new["data"] == {"class_dropout": 0.2}
    assert new["objective"]["adversary"] == {**{RENAMED[name]: values[name] for name in values}, **weights}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[denoiser]\nobjective = "regression"', "denoiser.objective is now called objective.kind"),
        ('[denoiser]\nloss = "l1"', "denoiser.loss is now called objective.loss"),
        ("[adversary]\ntruth = 1.0", "adversary is now called objective.adversary"),
        ('[distillation]\nteacher = "t"', "distillation is now called objective"),
        ("[data]\nhide_class = 0.1", "data.hide_class is now called data.class_dropout"),
        (
            '[objective]\nkind = "regression"\n[objective.adversary]\nbegins = 3',
            "objective.adversary.begins is now called objective.adversary.start_step",
        ),
    ],
)
def test_old_names_in_a_settings_file_are_answered_with_the_new_one(text, complaint):
    with pytest.raises(ConfigError) as caught:
        read_toml(text, where="my.toml")
    assert str(caught.value).startswith(f"my.toml: {complaint}")
    assert "\n" not in str(caught.value)


OLD_RUN = {
    **{name: value for name, value in REGRESSION_1.items() if name != "adversary"},
    "network": {**NETWORK_1, "family": "span"},
    "data": {"crop": 32},
    "adversary": {"pixel": 1.0},
}


def test_a_run_of_format_1_is_opened_again_and_then_is_of_todays(tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.toml").write_text(tomli_w.dumps(OLD_RUN))
    save_file({"a": torch.zeros(1)}, run / "checkpoints" / "00000001.safetensors")
    settings = RunDir(run).settings
    assert settings == migrated(OLD_RUN)
    open_run(run, settings)
    text = (run / "config.toml").read_text()
    assert text.startswith(f"format = {FORMAT}\n")
    assert read_saved(text, where="run") == read_toml(text, where="run") == settings
