"""The average of models: every weight is the mean, and only models of one network have one."""

import pytest
import torch

from pictures import write_random_model, write_refining_model, write_restoration
from sr3.checkpoint import read_model, write_model
from sr3.cli.app import run

HERE = ("sampling.steps=3",)


def other_weights(path, target, *, half=False):
    """The same model with other weights, as if it had been continued."""
    file = read_model(path)
    weights = {
        name: weight if name.startswith("mean.") else weight + 0.25 * torch.randn(weight.shape)
        for name, weight in file.weights.items()
    }
    info = file.info.model_copy(update={"step": file.info.step + 7, "results": {"psnr": 31.0}})
    write_model(target, info, weights, dtype=torch.float16 if half else torch.float32)
    return target


def averaged(*models, target):
    assert run(["average", *map(str, models), str(target)]) == 0
    return read_model(target)


def test_every_weight_is_the_mean(tmp_path, capsys):
    one = write_random_model(tmp_path / "one.safetensors", settings=HERE)
    more = [other_weights(one, tmp_path / f"{k}.safetensors") for k in range(2)]
    found = averaged(one, *more, target=tmp_path / "all.safetensors")
    files = [read_model(path) for path in (one, *more)]
    for name, weight in found.weights.items():
        expected = sum(file.weights[name].double() for file in files) / 3
        torch.testing.assert_close(weight.double(), expected, rtol=1e-6, atol=1e-8)
    assert (found.info.name, found.info.step, found.info.results) == ("all", files[1].info.step, {})
    assert found.info.config == files[0].info.config
    assert "average of 3 models" in capsys.readouterr().out


def test_a_mean_predictor_stays_as_it_is_and_half_precision_too(tmp_path):
    one = write_refining_model(tmp_path / "one.safetensors")
    halves = [other_weights(one, tmp_path / f"{k}.safetensors", half=True) for k in range(2)]
    found, given = averaged(*halves, target=tmp_path / "all.safetensors"), read_model(halves[0])
    means = [name for name in given.weights if name.startswith("mean.")]
    assert means
    assert all(torch.equal(found.weights[name], given.weights[name]) for name in means)
    assert all(torch.equal(weight, weight.half().float()) for weight in found.weights.values())


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (("network.width=16",), "network.width is 16, but 8 in"),
        (("data.scale=2",), "data.scale is 2, but 4 in"),
        (("denoiser.prediction=y0",), "denoiser.prediction is y0, but v in"),
    ],
)
def test_models_that_compute_other_things_are_refused(tmp_path, capsys, settings, complaint):
    one = write_random_model(tmp_path / "one.safetensors", settings=("network.width=8", "denoiser.prediction=v"))
    two = write_random_model(
        tmp_path / "two.safetensors", settings=("network.width=8", "denoiser.prediction=v", *settings)
    )
    target = tmp_path / "all.safetensors"
    assert run(["average", str(one), str(two), str(target)]) == 2
    errors = capsys.readouterr().err
    assert complaint in errors
    assert errors.count("\n") == 1
    assert not target.exists()


def test_a_regression_is_no_average_with_a_diffusion_model(tmp_path, capsys):
    plain = ("denoiser.prediction=y0",)
    regression = (*plain, 'objective={kind="regression"}', "sampling.sampler=regression", "sampling.steps=1")
    one = write_random_model(tmp_path / "one.safetensors", settings=plain)
    two = write_random_model(tmp_path / "two.safetensors", settings=regression)
    assert run(["average", str(one), str(two), str(tmp_path / "all.safetensors")]) == 2
    assert "objective.kind is regression, but denoising in" in capsys.readouterr().err


def test_a_model_with_a_mean_and_one_without_are_refused(tmp_path, capsys):
    one, two = write_refining_model(tmp_path / "one.safetensors"), write_random_model(tmp_path / "two.safetensors")
    assert run(["average", str(two), str(one), str(tmp_path / "all.safetensors")]) == 2
    assert "but" in capsys.readouterr().err


def test_of_another_kind_of_model_too(tmp_path, capsys):
    one, two = write_random_model(tmp_path / "one.safetensors"), write_restoration(tmp_path / "two.safetensors")
    assert run(["average", str(one), str(two), str(tmp_path / "all.safetensors")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_one_model_has_no_average_and_files_are_not_replaced_unasked(tmp_path, capsys):
    one = write_random_model(tmp_path / "one.safetensors")
    two = write_random_model(tmp_path / "two.safetensors")
    assert run(["average", str(one), str(two)]) == 2  # what was meant to be averaged would be replaced
    assert "give two or more, then OUT.safetensors" in capsys.readouterr().err
    (tmp_path / "all.safetensors").write_text("mine")
    assert run(["average", str(one), str(one), str(tmp_path / "all.safetensors")]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "all.safetensors").read_text() == "mine"
    assert run(["average", str(one), str(one), str(tmp_path / "all.safetensors"), "--overwrite"]) == 0
    assert run(["average", str(one), str(one), str(tmp_path / "all.pt")]) == 2
    assert "suffix .safetensors" in capsys.readouterr().err
