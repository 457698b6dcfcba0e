"""The session of a subject: the next trial, and the handling of an answer. Does not depend on HTTP."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sr3.study.pictures import PictureSet, open_pictures
from sr3.study.settings import QUESTIONS, StudyConfig
from sr3.study.store import Answer, Place, Store, open_store
from sr3.study.trials import Condition, Trial, conditions, draw_trials

__all__ = ["Slot", "State", "Study", "open_study"]

Slot = Literal["first", "second", "middle"]


@dataclass(frozen=True)
class Pair:
    """The current pair as the page receives it: an opaque identifier, and the size on the page."""

    id: str
    width: int
    height: int
    middle: bool


@dataclass(frozen=True)
class State:
    """Progress of a subject, as the page receives it."""

    stage: Literal["consent", "trial", "done"]
    done: int
    total: int
    exposure: float
    question: str
    pair: Pair | None
    thanks: str = ""
    """Text at the end. It is not sent earlier, because it may contain a code for payment."""


@dataclass(frozen=True)
class Study:
    """Settings, images and answers of one study. A subject is identified by the token of its consent."""

    config: StudyConfig
    pictures: PictureSet
    store: Store

    def consent(self, subject: str, *, nonce: str) -> str:
        """Return the token of a known subject, identified by itself or by the nonce, or of a new subject."""
        if self.store.place(subject) is not None:
            return subject
        return self.store.enrol(conditions(self.config), self._draw, nonce=nonce)

    def state(self, subject: str) -> State:
        """Return the next step of a subject; unknown subjects are asked for consent."""
        place = self.store.place(subject)
        exposure = self.config.exposure
        if place is None:
            pairs = min(self.config.images_per_subject, len(self.pictures.images))
            return State("consent", 0, pairs + self.config.attention.checks, exposure, "", None)
        question = QUESTIONS[place.question]
        if place.token is None or place.trial is None:
            return State("done", place.done, place.total, exposure, question, None, self.config.page.thanks)
        pair = self._pair(place, place.token, place.trial)
        return State("trial", place.done, place.total, exposure, question, pair)

    def picture(self, subject: str, trial: str, slot: Slot) -> bytes | None:
        """Encode an image of the current pair as PNG; None for any other pair."""
        place = self.store.place(subject)
        if place is None or place.trial is None or place.token != trial:
            return None
        if slot == "middle":
            return self.pictures.middle(place.trial.image) if place.question == "better" else None
        truth, other = self.pictures.pair(place.trial.image, place.trial.method)
        return truth if (slot == "first") == place.trial.truth_first else other

    def view(self, subject: str, trial: str, *, nonce: str) -> bool:
        """Record that the current pair is about to be shown, with one nonce per showing; False for any other pair."""
        return self.store.view(subject, trial, nonce=nonce)

    def answer(self, subject: str, trial: str, answer: Answer) -> bool:
        """Store an answer; the first one to a pair counts. False for a pair of another subject or a later pair."""
        return self.store.answer(subject, trial, answer)

    def withdraw(self, subject: str) -> None:
        """Delete the answers of a subject."""
        self.store.withdraw(subject)

    def _draw(self, condition: Condition, subject: int) -> list[Trial]:
        return draw_trials(self.config, self.pictures.images, condition, subject)

    def _pair(self, place: Place, token: str, trial: Trial) -> Pair:
        size, zoom = self.pictures.sizes[trial.image], self.config.pictures.zoom
        return Pair(token, size.width * zoom, size.height * zoom, place.question == "better")


def open_study(config: StudyConfig) -> Study:
    """Check all images and open the database of answers.

    Raises StudyError when images do not match, or when they or the settings have changed since the first answer.
    """
    pictures = open_pictures(config)
    lasting = {**config.lasting(), "pictures": pictures.sha256}
    return Study(config, pictures, open_store(Path(config.database), lasting))
