"""A subject's session: what it sees next, and how an answer is handled. Knows no HTTP."""

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
    """What the page may know of the pair at hand: an identifier that says nothing, and the size on the page."""

    id: str
    width: int
    height: int
    middle: bool


@dataclass(frozen=True)
class State:
    """Where a subject is, in what the page may know."""

    stage: Literal["consent", "trial", "done"]
    done: int
    total: int
    exposure: float
    question: str
    pair: Pair | None
    thanks: str = ""
    """What is said at the end, and not before: it may hold a code for the payment."""


@dataclass(frozen=True)
class Study:
    """Settings, pictures and answers of one study. A subject is known by the token it got for its consent."""

    config: StudyConfig
    pictures: PictureSet
    store: Store

    def consent(self, subject: str, *, nonce: str) -> str:
        """Return the token of a subject that is known already, by itself or by the nonce, or of a new one."""
        if self.store.place(subject) is not None:
            return subject
        return self.store.enrol(conditions(self.config), self._draw, nonce=nonce)

    def state(self, subject: str) -> State:
        """Say what a subject sees next; whoever is not known is asked for consent."""
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
        """Give a picture of the pair at hand as PNG; None for any other pair."""
        place = self.store.place(subject)
        if place is None or place.trial is None or place.token != trial:
            return None
        if slot == "middle":
            return self.pictures.middle(place.trial.image) if place.question == "better" else None
        truth, other = self.pictures.pair(place.trial.image, place.trial.method)
        return truth if (slot == "first") == place.trial.truth_first else other

    def view(self, subject: str, trial: str, *, nonce: str) -> bool:
        """Note that the pair at hand is about to be seen, a nonce a showing; False for any other."""
        return self.store.view(subject, trial, nonce=nonce)

    def answer(self, subject: str, trial: str, answer: Answer) -> bool:
        """Keep an answer; the first to a pair counts. False for a pair that is not the subject's or not yet at hand."""
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
    """Check all pictures and open the file of answers.

    Raises StudyError when pictures do not match, or when they or the settings have changed since the first answer.
    """
    pictures = open_pictures(config)
    lasting = {**config.lasting(), "pictures": pictures.sha256}
    return Study(config, pictures, open_store(Path(config.database), lasting))
