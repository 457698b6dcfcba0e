"""A job: an uploaded image, what is asked for, and how far it is."""

import secrets
import shlex
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from sr3.config import SamplingConfig
from sr3.upscaling.naming import Naming, Outputs
from sr3.upscaling.sizing import Sizing
from sr3.web.browser_view import webp
from sr3.web.event_log import EventLog
from sr3.web.model_list import Offered
from sr3.web.schema import InputView, JobSettings, JobView, OutputView, ResultView, State
from sr3.zoo import DEFAULT_MODEL, REFINING_MODEL

__all__ = ["Asked", "Job", "Preview", "command_of", "make_id"]


@dataclass(frozen=True)
class Asked:
    """What is asked for, checked against the model and the image."""

    settings: JobSettings
    offered: Offered
    sampling: SamplingConfig
    sizing: Sizing
    naming: Naming
    outputs: Outputs
    input: InputView
    output: OutputView
    command: str


class Preview:
    """The newest preview of a job; it is encoded when it is first asked for."""

    def __init__(self) -> None:
        """Start without one."""
        self._lock = threading.Lock()
        self._image: Image.Image | None = None
        self._encoded: bytes | None = None
        self.number = 0

    @property
    def image(self) -> Image.Image | None:
        """The newest preview."""
        return self._image

    def show(self, image: Image.Image | None) -> int:
        """Replace it, and return its number."""
        with self._lock:
            self._image, self._encoded = image, None
            self.number += 1
            return self.number

    def encoded(self) -> bytes | None:
        """Encode it as WebP; None when there is none."""
        with self._lock:
            if self._encoded is None and self._image is not None:
                self._encoded = webp(self._image)
            return self._encoded


@dataclass(eq=False)
class Job:
    """A job. Its files lie in folder: the upload at source, results beside target, and views for browsers.

    Only the worker that runs it changes it, and the service that starts and ends it.
    """

    session: str
    folder: Path
    source: Path
    target: Path
    asked: Asked
    id: str
    state: State = "waiting"
    error: str | None = None
    done: float = 0.0
    seconds_left: float | None = None
    warnings: list[str] = field(default_factory=list[str])
    results: list[ResultView] = field(default_factory=list[ResultView])
    pair: tuple[int, int] | None = None
    preview: Preview = field(default_factory=Preview)
    events: EventLog = field(default_factory=EventLog)
    stop: threading.Event = field(default_factory=threading.Event)
    is_forgotten: bool = False
    asked_for: float = field(default_factory=time.monotonic)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come."""
        return self.state in ("done", "failed", "stopped")

    def view(self, position: int = 0) -> JobView:
        """Describe it as it is now."""
        asked = self.asked
        resolved = asked.settings.model_dump(exclude_none=True)
        resolved |= {"model": asked.offered.info.name, "steps": asked.sampling.steps, "detail": asked.sampling.detail}
        return JobView(
            id=self.id,
            state=self.state,
            position=position,
            settings=resolved,
            input=asked.input,
            output=asked.output,
            command=asked.command,
            done=round(self.done, 4),
            seconds_left=self.seconds_left,
            error=self.error,
            warnings=list(self.warnings),
            results=list(self.results),
            pair=self.pair,
        )

    def publish(self, position: int = 0) -> None:
        """Tell the readers of the events how it is now."""
        self.events.add("state", self.view(position).model_dump(mode="json"))

    def end(self, state: State, error: str | None = None) -> None:
        """Note that nothing more will come, and tell the readers."""
        self.state, self.error, self.seconds_left = state, error, None
        self.done = 1.0 if state == "done" else self.done
        self.asked_for = time.monotonic()
        self.preview.show(None)
        self.publish()
        self.events.add("end", self.view().model_dump(mode="json"))


def make_id() -> str:
    """Make a name of a job that cannot be guessed."""
    return secrets.token_urlsafe(12)


def command_of(settings: JobSettings, offered: Offered, name: str, *, machine: tuple[str, ...]) -> str:
    """Write the command that repeats a job on a file of this name.

    machine: options of the server's own, such as --device.
    """
    words = ["sr3", "upscale", f"./{name}" if name.startswith("-") else name]
    refines = settings.steps is not None or settings.detail is not None
    if offered.info.name != (REFINING_MODEL if refines else DEFAULT_MODEL):
        words += ["--model", offered.option]
    for option in ("scale", "width", "height", "long_side", "megapixels", "fit", "steps", "detail"):
        value = getattr(settings, option)
        if value is not None:
            words += [f"--{option.replace('_', '-')}", f"{value}"]
    if settings.samples > 1:
        words += ["--uncertainty", "--samples", f"{settings.samples}"]
    defaults = JobSettings()
    for option in ("seed", "format", "quality"):
        if getattr(settings, option) != getattr(defaults, option):
            words += [f"--{option}", f"{getattr(settings, option)}"]
    return shlex.join([*words, *machine])
