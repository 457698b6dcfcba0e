"""The model inside the package and those beside it: whole, described, and better than enlarging."""

from pathlib import Path

import pytest
import torch

from sr3.checkpoint import RESTORATION_PREFIX, STRENGTH_PREFIX, read_model
from sr3.digest import digest_of_weights
from sr3.images.degrade import jpeg
from sr3.images.files import read_picture
from sr3.images.resize import downsample, upsample
from sr3.metrics.distortion import consistency, psnr, sharpness
from sr3.presets import preset
from sr3.sampling.plan import sampling_for
from sr3.sampling.upscaler import open_upscaler
from sr3.zoo import DEFAULT_MODEL, REFINING_MODEL, RESTORING_MODEL, packaged_models

pytestmark = pytest.mark.slow  # the packaged models, at work

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.png"))
BESIDE = sorted((ROOT / "weights").glob("*.safetensors"))
LARGEST = 18.5e6


def is_of_preset(path: Path) -> bool:
    """Whether a model has what its preset trains; how long, how fast, on which crops and by which feed may differ."""
    info, trained = read_model(path).info, preset(path.stem)
    data = info.config.data.model_copy(update={"crop": trained.data.crop, "feed": trained.data.feed})
    own = info.config.model_copy(
        update={
            "data": data,
            "optimizer": trained.optimizer,
            "training": trained.training,
            "sampling": info.config.sampling.model_copy(update={"searched": ()}),
        }
    )
    return own == trained and (info.name, info.image_channels) == (path.stem, 3)


@pytest.mark.slow
def test_the_packaged_model_is_what_its_preset_trains():
    path = packaged_models()["photos-x4"]
    info = read_model(path).info
    assert is_of_preset(path)
    assert info.config.training.start.startswith("photos-x4 ")
    assert 5_000 < info.step <= info.config.training.steps
    assert path.stat().st_size <= LARGEST
    assert path.with_suffix(".md").is_file()


@pytest.mark.slow
def test_the_default_model_answers_in_one_call_from_a_mean_and_is_a_student_of_the_other():
    assert set(packaged_models()) == {DEFAULT_MODEL, REFINING_MODEL, RESTORING_MODEL}
    path = packaged_models()[DEFAULT_MODEL]
    info, teacher = read_model(path).info, read_model(packaged_models()[REFINING_MODEL])
    assert (info.name, info.image_channels) == (DEFAULT_MODEL, 3)
    sampling, taught = info.config.sampling, info.config.distillation
    assert (sampling.sampler, sampling.steps, sampling.start) == ("distilled", 1, "mean")
    assert taught is not None
    assert taught.digest == digest_of_weights(teacher.weights)
    assert info.config.mean is not None
    assert info.config.mean.digest == digest_of_weights(read_model(ROOT / "weights" / "span-x4.safetensors").weights)
    assert path.stat().st_size <= LARGEST
    assert path.with_suffix(".md").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_default_is_as_near_as_bicubic_nearer_on_average_sharp_and_another_picture_by_every_seed(path):
    truth = read_picture(path).pixels[None]
    low_res = downsample(truth, 4).clamp(-1, 1)
    upscaler = open_upscaler(DEFAULT_MODEL, device="cpu", dtype="float32")
    sampling = upscaler.info.config.sampling
    one, other = (upscaler.upscale(low_res, sampling=sampling, seeds=[seed]) for seed in (0, 1))
    bicubic = upsample(low_res, 4).clamp(-1, 1)
    assert float(consistency(one, low_res)) <= 1e-5
    for sample in (one, other):  # where all is texture, one sample's texture costs what its lines gain
        assert float(psnr(sample, truth)) > float(psnr(bicubic, truth)) - 0.25
    assert float(psnr((one + other) / 2, truth)) > float(psnr(bicubic, truth)) + 0.5
    assert 0.75 < float(sharpness(one) / sharpness(truth)) < 1.2
    assert 1 < float((one - other).abs().mean()) * 127.5 < 20


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [packaged_models()["photos-x4"], ROOT / "weights" / "faces-16-128-small.safetensors"],
    ids=lambda path: path.stem,
)
def test_a_model_holds_searched_levels_for_few_steps_and_many(path):
    searched = read_model(path).info.config.sampling.searched
    assert {grid.steps for grid in searched} == {4, 8, 16, 50, 100}
    assert all(grid.score <= grid.before for grid in searched)


@pytest.mark.slow
@pytest.mark.parametrize("path", BESIDE, ids=lambda path: path.stem)
def test_a_model_beside_the_package_is_what_its_preset_trains_or_a_student(path):
    info = read_model(path).info
    if info.config.distillation is None:
        assert is_of_preset(path)
    assert info.name == path.stem
    continued = bool(info.config.training.start)  # then those before it count too
    assert path.stem == "span-x4" or continued or 0 < info.step <= info.config.training.steps  # SPAN's are not known
    assert path.stat().st_size <= LARGEST
    stem = path.stem.removesuffix("-regression")
    assert any(path.with_name(f"{name}.md").is_file() for name in (path.stem, stem))


@pytest.mark.slow
def test_the_model_for_files_that_are_not_clean_is_the_default_behind_a_small_network():
    path = packaged_models()[RESTORING_MODEL]
    file, default = read_model(path), read_model(packaged_models()[DEFAULT_MODEL])
    own = {name: value for name, value in file.weights.items() if name.startswith(RESTORATION_PREFIX)}
    measuring = {name for name in file.weights if name.startswith(STRENGTH_PREFIX)}
    assert file.info.name == RESTORING_MODEL
    assert file.info.config.model_copy(update={"restoration": None}) == default.info.config
    assert measuring
    assert file.weights.keys() - own.keys() - measuring == default.weights.keys()
    assert all(torch.equal(file.weights[name], value) for name, value in default.weights.items())
    plain = {name.removeprefix(RESTORATION_PREFIX): value for name, value in own.items()}
    assert file.info.config.restoration.digest == digest_of_weights(plain)
    assert path.stat().st_size <= 1.05 * LARGEST
    assert path.with_suffix(".md").is_file()


def as_jpeg(low_res, quality):
    """An image as its JPEG file has it, (1, 3, h, w) in [-1, 1]."""
    return (jpeg(((low_res[0] + 1) * 127.5).round(), quality) / 127.5 - 1)[None]


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_jpeg_is_cleaned_before_it_is_enlarged(path):
    truth = read_picture(path).pixels[None]
    clean = downsample(truth, 4).clamp(-1, 1)
    upscaler = open_upscaler(RESTORING_MODEL, device="cpu", dtype="float32")
    for quality in (60, 40):
        low_res = as_jpeg(clean, quality)
        cleaned = upscaler.cleaned(low_res).images
        assert float(psnr(cleaned, clean)) > float(psnr(low_res, clean))
        result = upscaler.upscale(low_res, sampling=upscaler.info.config.sampling, seeds=[0])
        assert float(consistency(result, cleaned)) <= 1e-5


@pytest.mark.slow
def test_a_clean_image_is_left_nearly_as_it_is_and_a_damaged_one_is_not():
    rows = [read_picture(path).pixels[:, :128, :128] for path in EXAMPLES]
    clean = torch.cat([torch.cat([row, row.flip(-1)], dim=-1) for row in rows], dim=-2)[None]
    upscaler = open_upscaler(RESTORING_MODEL, device="cpu", dtype="float32")
    rounded = ((downsample(clean, 2).clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1
    images = (rounded, as_jpeg(rounded, 85), as_jpeg(rounded, 50))
    measured = [float(upscaler.cleaned(image).strengths) for image in images]
    assert measured[0] < 0.3 < measured[1] < measured[2]
    noisy = rounded + 5 / 127.5 * torch.randn(rounded.shape, generator=torch.Generator().manual_seed(0))
    assert float(upscaler.cleaned(noisy).strengths) > measured[0] + 0.2


@pytest.mark.slow
def test_what_jpeg_leaves_around_a_line_does_not_become_a_pattern():
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    apart = (rows * 0.8 - columns * 0.6).abs()
    clean = torch.where(apart < 1, -0.8, 0.5).expand(1, 3, 64, 64)
    beside = ((apart > 4) & (apart < 8)).repeat_interleave(4, 0).repeat_interleave(4, 1)
    left = {}
    for name in (DEFAULT_MODEL, RESTORING_MODEL):
        upscaler = open_upscaler(name, device="cpu", dtype="float32")
        result = upscaler.upscale(as_jpeg(clean, 60), sampling=upscaler.info.config.sampling, seeds=[0])
        left[name] = float((result[..., beside] - 0.5).square().mean().sqrt()) * 127.5
    assert left[RESTORING_MODEL] < 0.6 * left[DEFAULT_MODEL]


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_few_steps_are_sharper_than_bicubic_and_keep_the_input(path):
    truth = read_picture(path).pixels[None]
    low_res = downsample(truth, 4).clamp(-1, 1)
    upscaler = open_upscaler("photos-x4", device="cpu", dtype="float32")
    result = upscaler.upscale(low_res, sampling=sampling_for(upscaler.info, steps=8), seeds=[0])
    bicubic = upsample(low_res, 4).clamp(-1, 1)
    assert float(consistency(result, low_res)) <= 1e-5
    assert float(psnr(result, truth)) > float(psnr(bicubic, truth)) - 1
    assert float(sharpness(result)) > 1.3 * float(sharpness(bicubic))
