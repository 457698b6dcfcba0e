"""Lengths of time as people write them."""

import pytest

from sr3.duration import format_duration, parse_duration
from sr3.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("25m", 1500), ("1.5h", 5400), ("2d", 172800), ("1h30m", 5400)]
)
def test_a_length_is_read_with_its_unit(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "25", "m", "25 m", "-5m", "5x", "1h30"])
def test_anything_else_is_refused_with_an_example(text):
    with pytest.raises(ConfigError, match="25m"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(45, "45 s"), (720, "12 min"), (11_100, "3 h 05 min"), (3599, "1 h 00 min"), (1_061_000, "12.3 days")],
)
def test_a_length_is_written_as_people_say_it(seconds, text):
    assert format_duration(seconds) == text
