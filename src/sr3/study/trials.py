"""The trials of a subject: pairs, order and sides, all determined by (seed, subject)."""

import random
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from sr3.study.settings import Question, StudyConfig

__all__ = ["Condition", "Trial", "conditions", "draw_trials"]

T = TypeVar("T")


class Condition(NamedTuple):
    """What all trials of a subject have in common; method is None if methods are mixed."""

    question: Question
    method: str | None


class Trial(NamedTuple):
    """One pair: a photograph, and the output of a method of the same name; method None: attention check."""

    image: str
    method: str | None
    truth_first: bool


def conditions(config: StudyConfig) -> list[Condition]:
    """List the conditions to which subjects are assigned."""
    methods: list[str | None] = [None] if config.design == "mixed" else list(config.methods)
    return [Condition(question, method) for question in config.questions for method in methods]


def draw_trials(config: StudyConfig, images: Sequence[str], condition: Condition, subject: int) -> list[Trial]:
    """Draw the trials of a subject in their order.

    Images are drawn without repetition; attention checks use other images as long as there are any. The photograph is
    first in half of the pairs, and in half of the checks. The checks are spread over equal stretches of the session.
    """
    source = random.Random(f"{config.seed} {subject}")
    order = source.sample(images, len(images))
    count = min(config.images_per_subject, len(images))
    methods = list(config.methods) if condition.method is None else [condition.method]
    turns = _balanced(source, methods, count)
    sides = _balanced(source, [True, False], count)
    trials = [Trial(*parts) for parts in zip(order, turns, sides, strict=False)]
    for stretch, (image, side) in enumerate(_checks(source, config.attention.checks, order[count:] + order[:count])):
        first = stretch * count // config.attention.checks
        last = (stretch + 1) * count // config.attention.checks
        trials.insert(stretch + source.randint(first, last), Trial(image, None, side))
    return trials


def _checks(source: random.Random, count: int, images: Sequence[str]) -> list[tuple[str, bool]]:
    sides = _balanced(source, [True, False], count)
    return [(images[index % len(images)], side) for index, side in enumerate(sides)]


def _balanced(source: random.Random, values: Sequence[T], count: int) -> list[T]:
    """Shuffle a list with equally frequent values; if that is impossible, those with one more are drawn at random."""
    order = source.sample(values, len(values))
    turns = [order[index % len(order)] for index in range(count)]
    source.shuffle(turns)
    return turns
