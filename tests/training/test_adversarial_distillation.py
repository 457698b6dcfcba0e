"""Students that learn from photographs: the energy score, heads on frozen features, and runs that refine a mean."""

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pictures import Pictures, smooth, write_random_model
from sr3.build import build_denoiser
from sr3.checkpoint import MEAN_PREFIX, ModelInfo, read_model, write_model
from sr3.cli.app import run
from sr3.config import AdversaryConfig, Config, apply_settings
from sr3.data.loader import Batch
from sr3.diffusion.process import diffuse
from sr3.errors import CheckpointError, ConfigError
from sr3.metrics.stlpips import root_distance
from sr3.networks.projected import Heads
from sr3.networks.span import SPAN
from sr3.objectives.adversary import Adversary, energy_loss
from sr3.objectives.projected_gan import ProjectedDiscriminator, View
from sr3.presets import preset
from sr3.sampling.upscaler import open_upscaler
from sr3.training.events import Stepped
from sr3.training.loop import train
from sr3.training.mean import read_mean, refine_mean, with_mean
from sr3.training.run_dir import open_run
from sr3.training.source_model import SourceModel, SourceModels
from sr3.training.state import last_whole
from sr3.training.teacher import read_teacher, student_config

SOURCE = Pictures(*(smooth(96, 96, seed=k) for k in range(6)))
CPU = torch.device("cpu")


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def absolute(one, other):
    return (one - other).abs().mean(dim=(1, 2, 3))


@pytest.fixture(scope="module")
def teacher_file(tmp_path_factory):
    return write_random_model(tmp_path_factory.mktemp("teacher") / "teacher.safetensors")


@pytest.fixture(scope="module")
def mean_file(tmp_path_factory):
    """A SPAN of random weights, small and near to the enlarged input."""
    config = apply_settings(preset("span-x4-small"), ["network.width=8", "network.blocks=2"])
    torch.manual_seed(0)
    weights = build_denoiser(config, image_channels=3).network.state_dict()
    path = tmp_path_factory.mktemp("mean") / "mean.safetensors"
    info = ModelInfo(name="mean", image_channels=3, step=0, config=config)
    write_model(path, info, weights, dtype=torch.float32)
    return path


# The energy score


def test_the_energy_score_is_the_mean_distance_less_half_that_between_answers():
    first, second, truth = (draw(2, 3, 8, 8, seed=k) for k in range(3))
    a, b, y = (image.double().numpy() for image in (first, second, truth))
    expected = [
        (np.abs(a[k] - y[k]).mean() + np.abs(b[k] - y[k]).mean()) / 2 - 0.5 * 0.6 * np.abs(a[k] - b[k]).mean()
        for k in range(2)
    ]
    np.testing.assert_allclose(energy_loss(absolute, (first, second), truth, 0.6), expected, rtol=1e-5)


@pytest.mark.slow
def test_with_all_of_the_distance_taken_off_the_truths_own_spread_is_best_and_without_it_none_is():
    """Answers N(0, s^2) to truths N(0, 1): the whole score is least at s = 1, without the second term at s = 0."""
    truth, first, second = (draw(1, 1, 1000, 1000, seed=k) for k in range(3))

    def best(apart):
        spreads = [0.0, 0.5, 0.8, 1.0, 1.25, 2.0]
        scores = [float(energy_loss(absolute, (s * first, s * second), truth, apart)) for s in spreads]
        return spreads[int(np.argmin(scores))]

    assert best(1.0) == 1.0
    assert best(0.0) == 0.0


def test_the_learned_distance_is_the_root_at_each_place_of_what_lpips_sums_there():
    found, wanted = [draw(2, 4, 3, 5), draw(2, 6, 2, 2, seed=1)], [draw(2, 4, 3, 5, seed=2), draw(2, 6, 2, 2, seed=3)]
    heads = [draw(1, 4, 1, 1, seed=4).abs(), draw(1, 6, 1, 1, seed=5).abs()]
    expected = np.zeros(2)
    for a, b, head in zip(found, wanted, heads, strict=True):
        one, other = (m.double().numpy() / np.linalg.norm(m.double().numpy(), axis=1, keepdims=True) for m in (a, b))
        sums = ((one - other) ** 2 * head.double().numpy()).sum(axis=1)
        expected += np.sqrt(sums + 1e-5).mean(axis=(1, 2))
    np.testing.assert_allclose(root_distance(found, wanted, heads), expected, rtol=1e-5)


def test_the_truth_and_what_is_learned_are_weighed_and_features_of_all_answers_are_seen():
    config = AdversaryConfig().model_copy(
        update={"truth": 2.0, "learned": 3.0, "samples": 2, "diversity": 0.5, "features": "st-lpips"}
    )
    heads = [torch.ones(1, 3, 1, 1)]
    adversary = Adversary(config, lambda image: [image], None, heads)
    first, second, truth = (draw(2, 3, 8, 8, seed=k) for k in range(3))

    def learned(one, other):
        return root_distance([one], [other], heads)

    pixels = energy_loss(absolute, (first, second), truth, 0.5)
    features = energy_loss(learned, (first, second), truth, 0.5)
    torch.testing.assert_close(adversary.losses(torch.cat([first, second]), truth), 2 * pixels + 3 * features)


# Heads on frozen features


def discriminator():
    torch.manual_seed(0)
    frozen = nn.Conv2d(3, 5, 3, padding=1).requires_grad_(False)
    heads = Heads([5])
    return ProjectedDiscriminator(
        heads, [View(lambda image: [frozen(image)], 1.0, 4)], torch.optim.Adam(heads.parameters(), 1e-3), 1e-3
    )


@pytest.mark.slow
def test_losses_of_heads_are_the_hinge_and_its_opposite():
    one, answer, truth = discriminator(), draw(2, 3, 8, 8), draw(2, 3, 8, 8, seed=1)
    one.network.eval()  # spectral norms as they are
    with torch.no_grad():
        real, fake = (one.network(one.views[0].of(image))[0].double().numpy() for image in (truth, answer))
        torch.testing.assert_close(one.generator_loss(answer).double(), torch.from_numpy(-fake.mean(axis=(1, 2))))
    expected = np.maximum(0, 1 - real).mean() + np.maximum(0, 1 + fake).mean()
    bias = one.network.heads[0].last.bias
    one.accumulate(answer, truth, parts=1)
    # Of the last offset the loss falls by 1 where a truth is below 1, and rises by 1 where an answer is above -1.
    assert float(bias.grad) == pytest.approx((fake > -1).mean() - (real < 1).mean(), abs=1e-6)
    assert expected > 0


@pytest.mark.slow
def test_the_model_is_blamed_without_moving_the_heads_and_they_learn_without_moving_the_model():
    one, answer = discriminator(), draw(2, 3, 8, 8).requires_grad_(True)
    one.generator_loss(answer).sum().backward()
    assert answer.grad is not None
    assert all(parameter.grad is None for parameter in one.network.parameters())
    answer.grad = None
    one.accumulate(answer, draw(2, 3, 8, 8, seed=1), parts=1)
    assert answer.grad is None
    assert all(parameter.grad is not None for parameter in one.network.parameters())


@pytest.mark.usefixtures("unchecked")
@pytest.mark.slow
def test_heads_learn_to_tell():
    one, answer, truth = discriminator(), draw(4, 3, 16, 16) * 0.3, draw(4, 3, 16, 16, seed=1)
    before = float(one.generator_loss(answer).mean())
    for _ in range(200):
        one.accumulate(answer, truth, parts=1)
        one.step(0.0, clip=10.0)
    with torch.no_grad():
        real = one.network(one.views[0].of(truth))[0].mean()
        fake = one.network(one.views[0].of(answer))[0].mean()
    assert float(one.generator_loss(answer).mean()) > before
    assert float(real - fake) > 0.5


def test_a_larger_view_enlarges_and_keeps_the_finest_maps():
    seen = []

    def maps(image):
        seen.append(tuple(image.shape[-2:]))
        return [image, image, image]

    assert len(View(maps, 1.75, 2).of(draw(1, 3, 16, 24))) == 2
    assert seen == [(28, 42)]


# Refining a mean


@pytest.mark.slow
def test_a_batch_with_a_mean_is_cut_to_what_lies_inside_the_margin(mean_file):
    config = refine_mean(preset("tiny-x4"), read_mean(str(mean_file)))
    assert config.data.crop == 32 + 64
    denoiser = build_denoiser(config, image_channels=3)
    mean = denoiser.mean
    assert isinstance(mean, SPAN)
    y0, low_res = draw(2, 3, 96, 96).clamp(-1, 1), draw(2, 3, 24, 24, seed=1).clamp(-1, 1)
    batch = Batch(y0, y0 + 1, torch.zeros(2), torch.ones(2, dtype=torch.float64), low_res)
    cut, found = with_mean(denoiser, config, batch)
    assert found is not None
    assert torch.equal(cut.y0, y0[..., 32:64, 32:64])
    whole = mean.mean(low_res)
    assert torch.equal(cut.x, whole.picture[..., 32:64, 32:64])
    assert torch.equal(found.features, whole.features[..., 8:16, 8:16])
    shown = apply_settings(config, ["mean.condition=enlarged"])
    assert torch.equal(with_mean(denoiser, shown, batch)[0].x, (y0 + 1)[..., 32:64, 32:64])
    assert not any(parameter.requires_grad for parameter in mean.parameters())


LENGTH = ("training.batch=2", "training.validation_images=2", "training.validate_every=100", "optimizer.warmup=1")


def student(teacher: SourceModel, mean: SourceModel, *settings: str, steps: int = 4) -> Config:
    truth = (
        "objective.adversary.pixel=0",
        "objective.adversary.truth=1",
        "objective.adversary.samples=2",
        "objective.adversary.diversity=0.5",
    )
    changes = [*LENGTH, f"training.steps={steps}", *truth, *settings]
    return student_config(teacher, steps=1, changes=changes, mean=mean)


def losses_of(path, config, teacher, mean):
    events = train(
        config, SOURCE, open_run(path, config), device=CPU, source_models=SourceModels(mean=mean, teacher=teacher)
    )
    return [event.loss for event in events if isinstance(event, Stepped)]


@pytest.mark.training
def test_a_student_of_the_truth_begins_at_the_noised_mean_and_its_first_loss_is_the_formula(
    tmp_path, teacher_file, mean_file, monkeypatch
):
    teacher, mean = read_teacher(str(teacher_file)), read_mean(str(mean_file))
    config = student(teacher, mean, steps=1)
    assert config.sampling.start == "mean"
    assert config.sampling.gamma_first == 0.5
    seen = {}
    import sr3.training.step as module

    def watched(denoiser, config, batch):
        cut, found = with_mean(denoiser, config, batch)
        seen.update(batch=cut, mean=found)
        return cut, found

    drawn = module.draw_for

    def drawing(*arguments, **more):
        seen["draw"] = drawn(*arguments, **more)
        return seen["draw"]

    monkeypatch.setattr(module, "with_mean", watched)
    monkeypatch.setattr(module, "draw_for", drawing)
    (loss,) = losses_of(tmp_path / "run", config, teacher, mean)
    network = open_upscaler(str(teacher_file), dtype="float32").denoiser  # without a guide, which begins as nothing
    y0, x, draw_ = seen["batch"].y0, seen["batch"].x, seen["draw"]
    gamma = torch.full((2,), 0.5, dtype=torch.float64)

    def answer(noise):
        z = diffuse(network.encode(seen["mean"].picture, x), noise, gamma)
        return network.decode(network.predict(z, x, gamma).y0, x)

    assert not torch.equal(draw_.eps, draw_.other)
    expected = energy_loss(absolute, (answer(draw_.eps), answer(draw_.other)), y0, 0.5).mean()
    assert loss == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.training
def test_a_student_that_refines_a_mean_resumes_exactly_and_carries_the_mean(tmp_path, teacher_file, mean_file):
    teacher, mean = read_teacher(str(teacher_file)), read_mean(str(mean_file))
    config = student(teacher, mean)
    losses_of(tmp_path / "whole", config, teacher, mean)
    run_dir = open_run(tmp_path / "parts", config)
    with closing(
        train(config, SOURCE, run_dir, device=CPU, source_models=SourceModels(mean=mean, teacher=teacher))
    ) as events:
        for event in events:
            if isinstance(event, Stepped) and event.step == 2:
                break
    losses_of(tmp_path / "parts", config, teacher, mean)
    whole, parts = (last_whole(tmp_path / name / "checkpoints").read_bytes() for name in ("whole", "parts"))
    assert whole == parts
    kept = read_model(tmp_path / "whole" / "model.safetensors").weights
    for name, weight in mean.file.weights.items():
        assert torch.equal(kept[f"{MEAN_PREFIX}{name}"], weight.half().float())
    assert not torch.equal(kept["guide.weight"], torch.zeros_like(kept["guide.weight"]))


@pytest.mark.training
def test_a_run_of_a_mean_asks_for_it_by_its_digest(tmp_path, teacher_file, mean_file):
    teacher, mean = read_teacher(str(teacher_file)), read_mean(str(mean_file))
    config = student(teacher, mean)
    with pytest.raises(ConfigError, match=r"none was given.*--mean"):
        losses_of(tmp_path / "a", config, teacher, None)
    with pytest.raises(ConfigError, match="has other weights"):
        losses_of(tmp_path / "b", config, teacher, replace(mean, digest="1" * 64))


@pytest.mark.slow
def test_only_span_is_a_mean(teacher_file):
    with pytest.raises(CheckpointError, match="a mean predictor has family span"):
        read_mean(str(teacher_file))


@pytest.mark.training
def test_sr3_on_the_residual_of_a_mean_trains_and_upscales(tmp_path, mean_file):
    """The whole way by the command line: train on a mean, resume, use the model."""
    from PIL import Image

    data = tmp_path / "data"
    data.mkdir()
    for k in range(6):
        Image.fromarray(smooth(112, 112, seed=k)).save(data / f"{k}.png")
    sets = [f"--set={setting}" for setting in (*LENGTH, "training.steps=2")]
    command = ["train", "tiny-x4", "--mean", str(mean_file), "--data", str(data), "--out", str(tmp_path / "run"), *sets]
    assert run(command) == 0
    info = read_model(tmp_path / "run" / "model.safetensors").info
    assert info.config.mean is not None
    assert (info.config.mean.name, info.config.network.guide) == ("mean", 8)
    Image.fromarray(smooth(10, 12)).save(tmp_path / "small.png")
    assert (
        run(
            [
                "upscale",
                str(tmp_path / "small.png"),
                "-o",
                str(tmp_path),
                "--model",
                str(tmp_path / "run"),
                "--name",
                "large",
            ]
        )
        == 0
    )
    with Image.open(tmp_path / "large.png") as large:
        assert large.size == (48, 40)
