"""Fool rates: Wilson's interval against others' figures, and which answers count."""

import math
from pathlib import Path

import pytest
from scipy.stats import binomtest

from sr3.study.figures import Rate, figures, wilson
from sr3.study.settings import AttentionConfig, PageConfig, PicturesConfig, StudyConfig
from sr3.study.store import Answer, Record
from sr3.study.trials import Trial

RIGHT = Answer("first", 3.0, 0.0167, 0.5, "row", 256.0, 1.0)  # the camera is first in all trials here
FOOLED = RIGHT._replace(choice="second")


def study(**attention) -> StudyConfig:
    return StudyConfig(
        pictures=PicturesConfig(truth=Path("t")),
        methods={"sr3": Path("s"), "regression": Path("r")},
        questions=("camera",),
        page=PageConfig(contact="Ada"),
        attention=AttentionConfig(**attention),
    )


def session(subject, answers, *, checks=(RIGHT,) * 5, method="sr3", views=1) -> list[Record]:
    """The records of a subject: its answers to pairs img0, img1, ..., then to checks."""
    trials = [(Trial(f"img{k}", method, True), answer) for k, answer in enumerate(answers)]
    trials += [(Trial(f"other{k}", None, True), answer) for k, answer in enumerate(checks)]
    return [
        Record(subject, "camera", place, *(trial, views, answer, "")) for place, (trial, answer) in enumerate(trials)
    ]


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # By hand, z = 1.959964, z2 = 3.841459:
        # 8 of 10: (0.8 + 0.1920729) / 1.3841459 = 0.7167401;
        # 1.959964 * sqrt(0.016 + 0.0096036) / 1.3841459 = 0.2265777
        (8, 10, 0.4901625, 0.9433178),
        # 1200 of 2500, near the paper's faces: (0.48 + 0.00076829) / 1.00153658 = 0.48003068;
        # 1.959964 * sqrt(0.00009984 + 0.00000015366) / 1.00153658 = 0.01956890
        (1200, 2500, 0.4604618, 0.4995996),
        # none of 4: z2 / (4 + z2) = 3.841459 / 7.841459
        (0, 4, 0.0, 0.4898909),
        (4, 4, 0.5101091, 1.0),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilsons_interval_is_the_one_computed_by_hand(successes, trials, low, high):
    assert wilson(successes, trials) == pytest.approx((low, high), abs=2e-7)


def test_wilsons_interval_is_scipys():
    for trials in (1, 2, 7, 50, 2500):
        for successes in {0, 1, trials // 3, trials // 2, trials}:
            theirs = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
            assert wilson(successes, trials) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_the_fool_rate_is_the_share_of_pairs_in_which_the_model_was_chosen():
    records = session(1, [RIGHT, FOOLED, FOOLED]) + session(2, [RIGHT, RIGHT, FOOLED])
    sr3, regression = figures(study(), records).methods
    assert (sr3.method, sr3.rate, sr3.subjects) == ("sr3", Rate(3, 6), 2)
    assert sr3.rate.share == 0.5
    assert (regression.method, regression.rate) == ("regression", Rate(0, 0))
    assert math.isnan(regression.rate.share)


def test_images_are_counted_over_subjects_and_come_most_fooling_first():
    records = session(1, [RIGHT, FOOLED, FOOLED]) + session(2, [RIGHT, RIGHT, FOOLED])
    images = [(group.image, group.rate) for group in figures(study(), records).images]
    assert images == [("img2", Rate(2, 2)), ("img1", Rate(1, 2)), ("img0", Rate(0, 2))]


@pytest.mark.parametrize(("missed", "allowed", "counts"), [(0, 0, True), (1, 0, False), (1, 1, True), (2, 1, False)])
def test_a_subject_that_misses_more_checks_than_allowed_is_left_out(missed, allowed, counts):
    checks = (FOOLED,) * missed + (RIGHT,) * (5 - missed)
    found = figures(study(failures_allowed=allowed), session(1, [FOOLED], checks=checks))
    assert found.subjects[0].checks_failed == missed
    assert found.subjects[0].left_out == ("" if counts else "failed attention checks")
    assert found.methods[0].rate == (Rate(1, 1) if counts else Rate(0, 0))


def test_the_side_is_taken_into_account():
    record = session(1, [RIGHT])[0]
    turned = record._replace(trial=record.trial._replace(truth_first=False))
    assert figures(study(checks=0), [turned]).methods[0].rate == Rate(1, 1)


def test_who_has_not_finished_does_not_count_yet():
    found = figures(study(), session(1, [FOOLED, None]))
    assert (found.subjects[0].left_out, found.subjects[0].answered) == ("not finished", 6)
    assert found.methods[0].rate == Rate(0, 0)


def test_answers_to_pairs_seen_too_long_too_briefly_twice_or_never_are_left_out():
    answers = [RIGHT, *(RIGHT._replace(exposure=seconds) for seconds in (2.95, 3.09, 3.2, 0.4))]
    others = session(2, [RIGHT, FOOLED], views=2) + session(3, [RIGHT], views=0)
    found = figures(study(), session(1, answers) + others)
    assert found.methods[0].rate == Rate(0, 3)
    assert found.answers_left_out == {"never shown": 1, "shown more than once": 2, "shown too long or too briefly": 2}
    assert [subject.answers_left_out for subject in found.subjects] == [2, 2, 1]
    assert (found.exposure_median, found.exposure_worst) == (3.0, 3.09)


@pytest.mark.parametrize(("seconds", "counted"), [(3.1, 1), (2.9, 1), (3.1001, 0), (2.8999, 0)])
def test_an_answer_at_exactly_the_tolerance_counts(seconds, counted):
    found = figures(study(), session(1, [RIGHT._replace(exposure=seconds)]))
    assert found.methods[0].rate == Rate(0, counted)
