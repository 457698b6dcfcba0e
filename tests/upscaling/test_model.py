"""The package as a library: the same kind out as in, by any number of threads, until it is told to stop."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

import sr3
from pictures import smooth, write_random_model
from sr3.cli.app import run
from sr3.errors import Cancelled, ConfigError, ImageError
from sr3.runtime import free_memory
from sr3.sampling.upscaler import Upscaler
from sr3.upscaling import memory

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return str(write_random_model(tmp_path_factory.mktemp("model") / "tiny.safetensors"))


@pytest.fixture(scope="module")
def model(path):
    return sr3.load(path, device="cpu", dtype="float32")


def photo(height=6, width=10, seed=0):
    return smooth(height, width, seed=seed)


def test_a_model_says_what_it_is(model):
    assert (model.name, model.scale, model.channels) == ("tiny", 4, 3)


def test_what_comes_out_is_of_the_kind_that_went_in(model):
    colour = photo()
    for picture, shape in (
        (colour, (24, 40, 3)),
        (colour[..., 0], (24, 40)),
        (colour.astype(np.uint16) * 257, (24, 40, 3)),
        (colour / 255, (24, 40, 3)),
    ):
        large = model.upscale(picture, steps=2)
        assert (type(large), large.shape, large.dtype) == (np.ndarray, shape, picture.dtype)
    tensor = torch.rand(2, 3, 6, 10) * 2 - 1
    assert model.upscale(tensor, steps=2).shape == (2, 3, 24, 40)
    assert model.upscale(tensor[0].double(), steps=2).dtype == torch.float64
    for mode in ("RGB", "L", "RGBA", "LA"):
        large = model.upscale(Image.fromarray(colour).convert(mode), steps=2)
        assert (large.mode, large.size) == (mode, (40, 24))


def test_all_kinds_are_the_same_picture(model):
    colour = photo()
    as_bytes = model.upscale(colour, steps=3, seed=4)
    assert np.array_equal(np.asarray(model.upscale(Image.fromarray(colour), steps=3, seed=4)), as_bytes)
    as_tensor = model.upscale(torch.from_numpy(colour).permute(2, 0, 1).float() / 127.5 - 1, steps=3, seed=4)
    assert np.array_equal(((as_tensor + 1) * 127.5).round().byte().permute(1, 2, 0).numpy(), as_bytes)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_arrays_and_tensors_take_alpha_as_pillow_images_do(model, mode):
    image = Image.fromarray(photo())
    image.putalpha(Image.fromarray(photo(seed=1)[..., 0] // 128 * 255))
    array = np.asarray(image.convert(mode))
    assert set(array[..., -1].flat) == {0, 255}
    expected = np.asarray(model.upscale(image.convert(mode), steps=2, seed=4))
    assert np.array_equal(model.upscale(array, steps=2, seed=4), expected)
    halves = model.upscale(array.astype(np.float32) / 255, steps=2, seed=4)
    assert np.array_equal((halves * 255).round(), expected)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1) / 127.5 - 1
    pair = model.upscale(torch.stack([tensor, tensor]), steps=2, seed=4)
    for found in (model.upscale(tensor, steps=2, seed=4), pair[1]):
        assert np.array_equal(((found + 1) * 127.5).round().byte().permute(1, 2, 0).numpy(), expected)
    *_, last = model.refine(array, steps=2, seed=4)
    assert np.array_equal(last.image, expected)


def test_what_is_hidden_by_alpha_does_not_change_what_is_seen(model):
    array = np.concatenate([photo(), np.full((6, 10, 1), 255, np.uint8)], axis=2)
    array[:3, :, 3] = 0
    other = array.copy()
    other[:3, :, :3] = 255 - other[:3, :, :3]
    assert np.array_equal(model.upscale(array, steps=2), model.upscale(other, steps=2))


@pytest.mark.parametrize("channels", [1, 4])
def test_to_models_of_other_channels_four_are_bands(tmp_path, channels):
    model = sr3.load(
        str(write_random_model(tmp_path / "bands.safetensors", image_channels=channels)), device="cpu", dtype="float32"
    )
    array = np.concatenate([photo(), np.zeros((6, 10, 1), np.uint8)], axis=2)  # as alpha it would hide all
    other = array.copy()
    other[..., :3] = 255 - other[..., :3]
    assert model.upscale(array, steps=2).shape == (24, 40, 4)
    assert not np.array_equal(model.upscale(array, steps=2)[..., :3], model.upscale(other, steps=2)[..., :3])


def test_the_result_is_that_of_the_command_with_the_same_seed(model, path, tmp_path):
    picture = Image.fromarray(photo())
    picture.save(tmp_path / "in.png")
    options = [
        "--model",
        path,
        "--steps",
        "3",
        "--seed",
        "7",
        "--samples",
        "2",
        "--device",
        "cpu",
        "--dtype",
        "float32",
    ]
    assert run(["upscale", str(tmp_path / "in.png"), "-o", str(tmp_path / "out"), *options]) == 0
    for number, large in enumerate(model.upscale(picture, steps=3, seed=7, samples=2), start=1):
        with Image.open(tmp_path / "out" / f"in-{number}.png") as written:
            assert np.array_equal(np.asarray(large), np.asarray(written))


def test_windows_are_those_of_the_command(path, monkeypatch, tmp_path):
    tiles, previews = [], Upscaler.previews

    def seen(self, low_res, **options):
        tiles.append(self.tile)
        return previews(self, low_res, **options)

    monkeypatch.setattr(Upscaler, "previews", seen)
    monkeypatch.setattr(memory, "_SMALL_RESULT", 24 * 40 - 1)  # of a larger one windows are smaller
    Image.fromarray(photo()).save(tmp_path / "in.png")
    options = ["--model", path, "--steps", "1", "--sampler", "ddim", "--device", "cpu", "--dtype", "float32"]
    assert run(["upscale", str(tmp_path / "in.png"), "-o", str(tmp_path / "out.png"), *options]) == 0
    sr3.load(path, device="cpu", dtype="float32").upscale(photo(), steps=1, sampler="ddim")
    sr3.load(path, device="cpu", dtype="float32", tile=192).upscale(photo(), steps=1, sampler="ddim")
    assert tiles == [512, 512, 192]


def test_a_batch_that_the_memory_does_not_hold_is_refused(model, monkeypatch):
    batch = torch.zeros(2, 3, 6, 10)
    monkeypatch.setattr(free_memory, "free_memory", lambda: 2 * 24 * 40 * memory.BYTES_PER_PIXEL - 1)
    model.upscale(batch[:1], steps=1)
    with pytest.raises(ImageError, match="a result of 40x24 needs about"):
        model.upscale(batch, steps=1)


def test_samples_differ_and_the_first_is_the_one_that_is_drawn_alone(model):
    first, second, third = model.upscale(photo(), steps=2, samples=3)
    assert np.array_equal(first, model.upscale(photo(), steps=2))
    assert not np.array_equal(first, second)
    assert not np.array_equal(second, third)
    assert len(model.upscale(photo(), steps=2, samples=1)) == 1


def test_a_picture_alone_is_the_same_as_in_a_batch(model):
    batch = torch.rand(2, 3, 6, 10) * 2 - 1
    together = model.upscale(batch, steps=2)
    assert torch.equal(together[1], model.upscale(batch[1], steps=2))


def test_a_grey_model_takes_colour_by_its_channels(tmp_path):
    grey = sr3.load(
        str(write_random_model(tmp_path / "g.safetensors", image_channels=1)), device="cpu", dtype="float32"
    )
    batch = torch.rand(2, 3, 6, 10) * 2 - 1
    together = grey.upscale(batch, steps=2)
    assert together.shape == (2, 3, 24, 40)
    assert torch.equal(together[1, 2:], grey.upscale(batch[1, 2:], steps=2))


def test_previews_lead_to_the_result(model):
    previews = list(model.refine(photo(), steps=4, seed=3))
    assert [(preview.step, preview.steps, preview.is_last) for preview in previews] == [
        (1, 4, False),
        (2, 4, False),
        (3, 4, False),
        (4, 4, True),
    ]
    assert {preview.image.shape for preview in previews} == {(24, 40, 3)}
    assert np.array_equal(previews[-1].image, model.upscale(photo(), steps=4, seed=3))
    assert not np.array_equal(previews[0].image, previews[-1].image)


def test_concurrent_calls_give_what_calls_one_after_the_other_give(model):
    work = [(photo(6 + number, 10, seed=number), number) for number in range(4)]

    def draw(item):
        return model.upscale(item[0], steps=2, seed=item[1])

    alone = [draw(item) for item in work]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(draw, work))
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))


def test_one_lazily_opened_file_can_be_given_to_several_threads(model, tmp_path):
    Image.fromarray(photo(24, 24)).save(tmp_path / "a.png")
    image = Image.open(tmp_path / "a.png")
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: np.asarray(model.upscale(image, steps=1)), range(4)))
    assert all(np.array_equal(results[0], result) for result in results)


def test_an_event_set_by_another_thread_ends_the_work_after_the_step_under_way(model):
    stop, steps = threading.Event(), []

    def stop_after_two():
        for preview in model.refine(photo(), steps=500, stop=stop):
            steps.append(preview.step)
            if preview.step == 2:
                setter = threading.Thread(target=stop.set)
                setter.start()
                setter.join()

    with pytest.raises(Cancelled, match="after step 2 of 500"):
        stop_after_two()
    assert steps == [1, 2]


def test_an_event_that_is_set_already_ends_the_work_before_it_begins(model):
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled, match="after step 0 of 3"):
        model.upscale(photo(), steps=3, samples=2, stop=stop)


def test_an_event_after_the_last_step_takes_nothing_away(model):
    stop = threading.Event()
    seen = []
    for preview in model.refine(photo(), steps=2, stop=stop):
        seen.append(preview)
        if preview.is_last:
            stop.set()
    assert len(seen) == 2


def test_leaving_the_loop_ends_the_work(model):
    calls = []
    network = model.upscaler.denoiser.network
    hook = network.register_forward_hook(lambda *_: calls.append(1))
    previews = model.refine(photo(), steps=6)
    next(previews), next(previews)
    previews.close()
    hook.remove()
    assert len(calls) == 2
    assert list(previews) == []
    assert torch.is_grad_enabled()


def test_what_is_wrong_is_said_at_once(model):
    with pytest.raises(ImageError, match="5 channels, but tiny takes 3"):
        model.refine(np.zeros((4, 4, 5), np.uint8))
    with pytest.raises(ImageError, match="is not an image"):
        model.upscale("photo.png")
    with pytest.raises(ImageError, match="at most 32768 pixels per side"):
        model.upscale(np.zeros((1, 9000), np.uint8))
    with pytest.raises(ConfigError, match=r"sampling\.steps = 0"):
        model.refine(photo(), steps=0)
    with pytest.raises(ConfigError, match="samples = 0"):
        model.upscale(photo(), samples=0)
    with pytest.raises(ConfigError, match="sample = -1"):
        model.refine(photo(), sample=-1)


def test_a_later_sample_can_be_refined_by_itself(model):
    *_, last = model.refine(photo(), steps=2, seed=4, sample=2)
    assert np.array_equal(last.image, model.upscale(photo(), steps=2, seed=4, samples=3)[2])
