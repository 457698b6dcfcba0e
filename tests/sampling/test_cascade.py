"""Generators, chains of models, and their images as files."""

import pytest
import torch
from PIL import Image

from pictures import GENERATOR, write_random_model
from sr3.config import apply_settings
from sr3.diffusion.noise import mix_seed
from sr3.errors import CheckpointError, ConfigError, ImageError
from sr3.sampling.cascade import open_cascade
from sr3.sampling.upscaler import open_upscaler
from sr3.upscaling.generation import Made, Order, Refining, Skipped, generate_files

pytestmark = pytest.mark.slow

CLASSES = (*GENERATOR, "network.classes=3", "data.class_dropout=0.1")


@pytest.fixture
def faces(tmp_path):
    return str(write_random_model(tmp_path / "faces.safetensors", settings=GENERATOR))


@pytest.fixture
def classy(tmp_path):
    return str(write_random_model(tmp_path / "classy.safetensors", settings=CLASSES))


@pytest.fixture
def larger(tmp_path):
    return str(write_random_model(tmp_path / "larger.safetensors"))


def cascade(*models, steps=(), guidance=None):
    return open_cascade(models, steps=steps or [2] * len(models), guidance=guidance, device="cpu", dtype="float32")


def final(chain, labels, seeds):
    *_, drawn = chain.samples(labels, seeds=seeds)
    return drawn.image


def test_a_generator_makes_different_pictures_of_its_size(faces):
    images = final(cascade(faces), [0, 0], [1, 2])
    assert images.shape == (2, 3, 16, 16)
    assert float(images.abs().max()) <= 1
    assert float((images[0] - images[1]).abs().mean()) > 0.01


def test_a_picture_alone_is_as_in_a_batch(faces, larger):
    chain = cascade(faces, larger)
    together = final(chain, [0, 0, 0], [4, 5, 6])
    torch.testing.assert_close(final(chain, [0], [5])[0], together[1], atol=1e-4, rtol=0)


def test_each_stage_enlarges_the_last_with_its_own_steps_and_noise(faces, larger):
    chain = cascade(faces, larger, steps=[3, 2])
    assert chain.sides == (16, 64)
    drawn = list(chain.samples([0], seeds=[9]))
    assert [(step.done, step.total, step.stage) for step in drawn] == [
        (1, 5, 0), (2, 5, 0), (3, 5, 0), (4, 5, 1), (5, 5, 1),
    ]  # fmt: skip
    upscaler = open_upscaler(larger, device="cpu", dtype="float32")
    alone = upscaler.upscale(drawn[2].image, sampling=chain.sampling[1], seeds=[mix_seed(9, 1)])
    assert torch.equal(alone, drawn[-1].image)


def test_classes_differ_and_there_is_none_beyond_them(classy):
    chain = cascade(classy)
    first, second, free = (final(chain, [label], [0]) for label in (0, 1, 3))
    assert not torch.equal(first, second)
    assert not torch.equal(first, free)
    with pytest.raises(ConfigError, match="class 4: classy has the classes 0 to 2"):
        final(chain, [4], [0])


def test_guidance_goes_away_from_no_class(classy):
    plain, zero, guided, more = (final(cascade(classy, guidance=w), [1], [0]) for w in (None, 0.0, 1.0, 3.0))
    assert torch.equal(plain, zero)
    assert not torch.equal(plain, guided)
    free = final(cascade(classy), [3], [0])
    assert float((more - free).abs().mean()) > float((plain - free).abs().mean())


def test_guided_predictions_stay_in_the_range_of_pictures(classy):
    chain = cascade(classy, guidance=5.0)
    for step in chain.samples([1], seeds=[0]):
        assert float(step.image.abs().max()) <= 1
    generator, sampling = chain.generator, chain.sampling[0]
    seen = []
    inner = generator.denoiser.clipped

    def watched(denoise, x):
        clipped = inner(denoise, x)

        def look(z, gamma):
            seen.append(clipped(z, gamma).y0.abs().max())
            return clipped(z, gamma)

        return look

    object.__setattr__(generator.denoiser, "clipped", watched)
    generator.generate([1], sampling=sampling, seeds=[0])
    assert max(seen) <= 1 + 1e-6
    assert len(seen) == sampling.steps


def test_no_class_is_only_for_models_that_learnt_without(tmp_path):
    settings = (*GENERATOR, "network.classes=3")
    model = str(write_random_model(tmp_path / "strict.safetensors", settings=settings))
    with pytest.raises(ConfigError, match="class 3: strict has the classes 0 to 2"):
        final(cascade(model), [3], [0])


def test_a_model_without_classes_takes_none(faces):
    with pytest.raises(ConfigError, match="class 1: faces has no classes"):
        final(cascade(faces), [1], [0])
    with pytest.raises(ConfigError, match=r"need a class-conditional model"):
        cascade(faces, guidance=2.0)


def test_models_in_the_wrong_place_are_refused(faces, larger, tmp_path):
    with pytest.raises(CheckpointError, match="larger: enlarges images; give a generator as the first model"):
        cascade(larger, faces)
    with pytest.raises(CheckpointError, match="faces: generates images without an input"):
        cascade(faces, faces)
    grey = str(write_random_model(tmp_path / "grey.safetensors", image_channels=1))
    with pytest.raises(ConfigError, match="grey: takes images of 1 channels, but faces makes 3"):
        cascade(faces, grey)
    with pytest.raises(ConfigError, match="1 models, but 2 numbers of steps"):
        cascade(faces, steps=[2, 3])


def test_files_are_the_same_whatever_the_batch_and_stopped_work_goes_on(faces, tmp_path):
    chain = cascade(faces)
    for name, batch in (("one", 1), ("three", 3)):
        events = list(generate_files(chain, Order(tmp_path / name, 4, seed=7, batch=batch)))
        assert [event.path.name for event in events if isinstance(event, Made)] == [f"0000{k}.png" for k in range(4)]
        done = [event.done for event in events if isinstance(event, Refining)]
        assert done == sorted(done)
        assert done[-1] == 4
    for k in range(4):
        with (
            Image.open(tmp_path / "one" / f"0000{k}.png") as one,
            Image.open(tmp_path / "three" / f"0000{k}.png") as three,
        ):
            assert one.size == (16, 16)
            differences = [abs(a - b) for a, b in zip(one.tobytes(), three.tobytes(), strict=True)]
            assert max(differences) <= 1
    (tmp_path / "one" / "00002.png").unlink()
    events = list(generate_files(chain, Order(tmp_path / "one", 4, seed=7)))
    assert [event.path.name for event in events if isinstance(event, Made)] == ["00002.png"]
    assert [event.path.name for event in events if isinstance(event, Skipped)] == [
        "00000.png",
        "00001.png",
        "00003.png",
    ]


def test_classes_come_in_turn_unless_one_is_asked_for(classy, tmp_path, monkeypatch):
    chain, seen = cascade(classy), []

    def sampled(_, labels, **__):
        seen.extend(labels)
        return iter([])

    monkeypatch.setattr(type(chain), "samples", sampled)
    for label in (None, 2):
        with pytest.raises(AssertionError):
            list(generate_files(chain, Order(tmp_path / "out", 5, label=label)))
    assert seen == [0, 1, 2, 0, 1, 2, 2, 2, 2, 2]


def test_a_folder_that_cannot_be_is_refused(faces, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ImageError, match="cannot be created as a folder"):
        list(generate_files(cascade(faces), Order(tmp_path / "file", 1)))


def test_an_upscaler_told_of_noise_samples_with_it(tmp_path):
    settings = ["network.condition_level=true", "data.condition_gamma=0.5"]
    model = str(write_random_model(tmp_path / "told.safetensors", settings=settings))
    upscaler = open_upscaler(model, device="cpu", dtype="float32")
    low_res = torch.rand(1, 3, 8, 8) * 2 - 1

    def draw(level):
        sampling = apply_settings(
            upscaler.info.config, [f"sampling.condition_gamma={level}", "sampling.steps=2"]
        ).sampling
        return upscaler.upscale(low_res, sampling=sampling.model_copy(update={"correct": False}), seeds=[0])

    assert torch.equal(draw(1.0), draw(1.0))
    assert not torch.allclose(draw(1.0), draw(0.6), atol=0.01)
