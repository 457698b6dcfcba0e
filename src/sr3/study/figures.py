"""Fool rates with confidence intervals, and the rules that exclude subjects and answers.

The fool rate is the share of pairs in which the output of the model was chosen over the photograph (SR3,
arXiv:2104.07636, section 4). This module reads no files.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from sr3.study.settings import Question, StudyConfig
from sr3.study.store import Answer, Record

__all__ = ["Figures", "Group", "Rate", "SubjectFigures", "figures", "wilson"]

_Z = 1.959963984540054
"""Standard deviations around the mean that contain 95 % of a normal distribution."""


class Rate(NamedTuple):
    """How often the output of a model was chosen, and the number of pairs."""

    fooled: int
    answers: int

    @property
    def share(self) -> float:
        """The fool rate, 0 to 1; NaN without answers."""
        return self.fooled / self.answers if self.answers else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % Wilson interval."""
        return wilson(self.fooled, self.answers)


class Group(NamedTuple):
    """The fool rate of one question and method, over all images or for one image."""

    question: Question
    method: str
    image: str
    rate: Rate
    subjects: int


@dataclass(frozen=True)
class SubjectFigures:
    """One subject. left_out: reason why the subject is excluded, empty if it is not."""

    number: int
    question: Question
    methods: tuple[str, ...]
    answered: int
    trials: int
    checks: int
    checks_failed: int
    left_out: str
    answers_left_out: int
    rate: Rate
    response: float
    """Median seconds to the choice, over the answers that count."""


@dataclass(frozen=True)
class Figures:
    """All results of a study. answers_left_out: excluded answers of the subjects that count, by reason."""

    methods: Sequence[Group]
    images: Sequence[Group]
    subjects: Sequence[SubjectFigures]
    answers_left_out: dict[str, int]
    exposure_median: float
    exposure_worst: float
    """Seconds: the exposure farthest from the setting, over the answers that count."""
    records: Sequence[Record]
    counted: Sequence[Record]


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Compute the 95 % score interval of a proportion (Wilson 1927, JASA 22:209); 0 to 1 without trials."""
    if trials == 0:
        return 0.0, 1.0
    share, z2 = successes / trials, _Z**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _Z / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == trials else centre + half)


def figures(config: StudyConfig, records: Sequence[Record]) -> Figures:
    """Compute fool rates from subjects that answered all their trials and passed their attention checks.

    Of their answers, those with an exposure outside the tolerance are excluded, and those to pairs that were shown more
    than once or never.
    """
    by_subject = _by_subject(records)
    reasons = {number: _exclusion_reason(config, trials) for number, trials in by_subject.items()}
    valid = [record for record in records if not reasons[record.subject] and record.trial.method is not None]
    faults = [_fault(config, record) for record in valid]
    counted = [record for record, fault in zip(valid, faults, strict=True) if not fault]
    own = _by_subject(counted)
    exposures = [record.answer.exposure for record in counted if record.answer]
    return Figures(
        methods=_groups(config, counted, by_image=False),
        images=_groups(config, counted, by_image=True),
        subjects=[_subject(trials, reasons[number], own.get(number, [])) for number, trials in by_subject.items()],
        answers_left_out={fault: faults.count(fault) for fault in sorted(set(faults) - {""})},
        exposure_median=median(exposures) if exposures else math.nan,
        exposure_worst=max(exposures, key=lambda seconds: abs(seconds - config.exposure), default=math.nan),
        records=records,
        counted=counted,
    )


def _by_subject(records: Iterable[Record]) -> dict[int, list[Record]]:
    groups: dict[int, list[Record]] = {}
    for record in records:
        groups.setdefault(record.subject, []).append(record)
    return groups


def _exclusion_reason(config: StudyConfig, trials: Sequence[Record]) -> str:
    if any(record.answer is None for record in trials):
        return "not finished"
    if _failed_checks(trials) > config.attention.failures_allowed:
        return "failed attention checks"
    return ""


def _failed_checks(trials: Sequence[Record]) -> int:
    return sum(record.trial.method is None and _fooled(record) for record in trials)


def _fooled(record: Record) -> bool:
    """Return whether the image beside the photograph was chosen."""
    return record.answer is not None and (record.answer.choice == "first") != record.trial.truth_first


def _fault(config: StudyConfig, record: Record) -> str:
    assert isinstance(record.answer, Answer)
    if record.views == 0:
        return "never shown"
    if record.views > 1:
        return "shown more than once"
    # Rounded to microseconds, so that 3.1 s are no more than 0.1 s from 3 s.
    if round(abs(record.answer.exposure - config.exposure), 6) > config.exposure_tolerance:
        return "shown too long or too briefly"
    return ""


def _groups(config: StudyConfig, counted: Sequence[Record], *, by_image: bool) -> list[Group]:
    groups: dict[tuple[Question, str, str], list[Record]] = {}
    if not by_image:
        groups = {(question, method, ""): [] for question in config.questions for method in config.methods}
    for record in counted:
        assert record.trial.method is not None
        key = (record.question, record.trial.method, record.trial.image if by_image else "")
        groups.setdefault(key, []).append(record)
    found = [Group(*key, _rate(of), len({record.subject for record in of})) for key, of in groups.items()]
    if not by_image:
        return found
    return sorted(found, key=lambda group: (group.question, group.method, -group.rate.share, group.image))


def _rate(records: Sequence[Record]) -> Rate:
    return Rate(sum(_fooled(record) for record in records), len(records))


def _subject(trials: Sequence[Record], reason: str, own: Sequence[Record]) -> SubjectFigures:
    """Summarise a subject from all its trials, and from those that count."""
    pairs = [record for record in trials if record.trial.method is not None]
    return SubjectFigures(
        number=trials[0].subject,
        question=trials[0].question,
        methods=tuple(sorted({record.trial.method for record in pairs if record.trial.method is not None})),
        answered=sum(record.answer is not None for record in trials),
        trials=len(trials),
        checks=len(trials) - len(pairs),
        checks_failed=_failed_checks(trials),
        left_out=reason,
        answers_left_out=0 if reason else len(pairs) - len(own),
        rate=_rate(own),
        response=median(record.answer.response for record in own if record.answer) if own else math.nan,
    )
