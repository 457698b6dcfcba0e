"""The way from noise to an image, as a strip and as an animation."""

import io

from PIL import Image

from sr3.images.strip import Frame, animation, spread, strip


def frames(count, size=(120, 80)):
    return [Frame(Image.new("RGB", size, (10 * k, 0, 0)), f"{k} noise") for k in range(count)]


def test_a_strip_begins_with_the_first_frame_and_ends_with_the_last():
    for count in (1, 2, 6, 17):
        sheet = strip(frames(count))
        panels = min(count, 6)
        assert sheet.width == panels * 124 - 4
        assert sheet.getpixel((0, 0)) == (0, 0, 0)
        assert sheet.getpixel((sheet.width - 1, 0)) == (10 * (count - 1), 0, 0)
        assert sheet.height > 80  # captions


def test_places_are_chosen_evenly_with_the_first_and_the_last():
    assert spread(3, 6) == [0, 1, 2]
    assert spread(1, 6) == [0]
    assert spread(11, 6) == [0, 2, 4, 6, 8, 10]
    chosen = spread(2001, 100)
    assert (len(set(chosen)), chosen[0], chosen[-1]) == (100, 0, 2000)


def test_an_animation_holds_every_frame_and_rests_on_the_last():
    with Image.open(io.BytesIO(animation(frames(5)))) as image:
        assert image.n_frames == 5
        durations = []
        for k in range(5):
            image.seek(k)
            image.load()
            durations.append(image.info["duration"])
    assert durations[-1] > 5 * durations[0]
