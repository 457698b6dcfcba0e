"""What a subject is shown: random, balanced, and the same again from the same seed."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sr3.study.settings import AttentionConfig, PageConfig, PicturesConfig, StudyConfig
from sr3.study.trials import Condition, conditions, draw_trials

IMAGES = [f"img{k:03}" for k in range(100)]


def study(**settings) -> StudyConfig:
    return StudyConfig(
        pictures=PicturesConfig(truth=Path("t"), inputs=Path("i")),
        methods={"a": Path("a"), "b": Path("b"), "c": Path("c")},
        page=PageConfig(contact="Ada"),
        **settings,
    )


def test_each_question_and_method_is_a_condition_of_its_own():
    assert len(conditions(study())) == 6
    assert conditions(study(design="mixed")) == [("better", None), ("camera", None)]


def test_the_draw_follows_from_seed_and_subject():
    one = Condition("camera", "a")
    assert draw_trials(study(seed=1), IMAGES, one, 7) == draw_trials(study(seed=1), IMAGES, one, 7)
    assert draw_trials(study(seed=1), IMAGES, one, 7) != draw_trials(study(seed=2), IMAGES, one, 7)
    assert draw_trials(study(seed=1), IMAGES, one, 7) != draw_trials(study(seed=1), IMAGES, one, 8)


def test_a_subject_sees_fifty_of_a_hundred_images_once_each_and_other_ones_in_checks():
    trials = draw_trials(study(), IMAGES, Condition("better", "b"), 1)
    assert Counter(trial.method for trial in trials) == {"b": 50, None: 5}
    assert len({trial.image for trial in trials}) == 55


@pytest.mark.slow
@given(st.integers(0, 500), st.integers(1, 12), st.integers(0, 12), st.integers(1, 15), st.booleans())
def test_sides_and_methods_are_balanced_for_every_subject(subject, wanted, checks, images, mixed):
    config = study(
        design="mixed" if mixed else "one-method",
        images_per_subject=wanted,
        attention=AttentionConfig(checks=checks),
    )
    trials = draw_trials(config, IMAGES[:images], Condition("camera", None if mixed else "b"), subject)
    pairs = [trial for trial in trials if trial.method is not None]
    assert len(pairs) == min(wanted, images) == len({trial.image for trial in pairs})
    assert len(trials) - len(pairs) == checks
    for kind in (pairs, [trial for trial in trials if trial.method is None]):
        assert abs(2 * sum(trial.truth_first for trial in kind) - len(kind)) <= 1
    turns = Counter(trial.method for trial in pairs)
    expected = config.methods if mixed else ["b"]
    assert max(turns.values()) - min(turns.get(method, 0) for method in expected) <= 1


def test_checks_are_spread_over_the_session():
    for subject in range(50):
        trials = draw_trials(study(), IMAGES, Condition("camera", "a"), subject)
        places = [place for place, trial in enumerate(trials) if trial.method is None]
        for stretch, place in enumerate(places):
            assert stretch * 10 <= place - stretch <= (stretch + 1) * 10


@pytest.mark.slow
@pytest.mark.parametrize("image", ["img000", "img050", "img099"])
def test_over_subjects_an_image_is_seen_half_the_time_and_half_of_that_on_the_first_side(image):
    sides = [
        trial.truth_first
        for subject in range(2000)
        for trial in draw_trials(study(), IMAGES, Condition("camera", "a"), subject)
        if trial.image == image and trial.method == "a"
    ]
    assert abs(len(sides) - 1000) < 5 * 500**0.5  # five standard deviations of a binomial
    assert abs(sum(sides) - len(sides) / 2) < 5 * (len(sides) / 4) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["truth_first", "method"])
def test_what_comes_next_cannot_be_told_from_what_was_there(kind):
    same, neighbours = 0, 0
    config = study(design="mixed", attention=AttentionConfig(checks=0))
    for subject in range(200):
        trials = draw_trials(config, IMAGES, Condition("camera", None), subject)
        values = [getattr(trial, kind) for trial in trials]
        same += sum(a == b for a, b in pairwise(values))
        neighbours += len(values) - 1
    # Of 50 shuffled values with k kinds, 25 and 25 or 17, 17 and 16, two neighbours agree with this probability.
    counts = [25, 25] if kind == "truth_first" else [17, 17, 16]
    expected = sum(count * (count - 1) for count in counts) / (50 * 49)
    assert abs(same / neighbours - expected) < 5 * (0.25 / neighbours) ** 0.5
