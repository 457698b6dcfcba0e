"""The map of numbers with its legend."""

import numpy as np
import pytest
import torch

from sr3.images.colours import COLOURS, map_picture

# Simulation of the three kinds of dichromacy at full severity: Machado, Oliveira and Fernandes 2009, table 1.
SIGHT = {
    "common": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("sight", SIGHT)
def test_more_is_lighter_in_every_kind_of_sight(sight):
    colours = np.array(COLOURS) / 255
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(SIGHT[sight]).T, 0, 1)
    lightness = 116 * np.cbrt(seen @ [0.2126, 0.7152, 0.0722]) - 16
    assert (np.diff(lightness) > 3).all()


def test_values_are_drawn_pixel_for_pixel_and_the_scale_ends_at_a_round_number():
    values = torch.zeros(40, 400)
    values[:, 200:] = 20.0
    image = map_picture(values, title="t", unit="u")
    assert image.width == 400
    assert image.height > 40
    assert image.getpixel((0, 0)) == COLOURS[0]
    assert image.getpixel((399, 39)) == COLOURS[-1]


def test_the_scale_reaches_what_is_there_and_not_much_more():
    for largest in (0.0, 0.13, 1.0, 1.7, 3.9, 7.2, 19.0, 63.0, 99.0):
        image = map_picture(torch.full((8, 360), largest), title="t", unit="u")
        colour = np.array(image.getpixel((3, 3)))
        place = np.abs(np.array(COLOURS) - colour).sum(1).argmin() / (len(COLOURS) - 1)
        assert place == 0 if largest == 0 else place >= 0.4


def test_a_small_map_has_a_legend_that_can_be_read():
    image = map_picture(torch.rand(5, 5), title="Standard deviation of 8 samples", unit="levels of 255")
    assert image.width >= 360
    legend = np.asarray(image)[5:]
    assert (legend == 0).all(axis=2).sum() > 100  # letters
