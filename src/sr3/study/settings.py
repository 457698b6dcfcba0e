"""Settings of a study, read from study.toml.

Defaults are the paper's (SR3, arXiv:2104.07636, section 4, human evaluation). "Open in the paper" marks settings that
the paper does not specify.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError, model_validator

from sr3.config.strict import NonNegative, Positive, Settings
from sr3.config.tree import first_error
from sr3.errors import ConfigError
from sr3.parsing import parse_toml

__all__ = ["QUESTIONS", "AttentionConfig", "PageConfig", "PicturesConfig", "Question", "StudyConfig", "read_study"]

Question = Literal["better", "camera"]

QUESTIONS: dict[Question, str] = {
    "better": "Which of the two images is a better high quality version of the low resolution image in the middle?",
    "camera": "Which image would you guess is from a camera?",
}
"""The questions to subjects, in the paper's words: its tasks 1 and 2."""

_Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
_CONSENT = """\
You will see pairs of pictures, each pair for a few seconds. Then the pictures disappear, and you choose one of the \
two. There is no time limit for your choice, and you can take a break before each choice.

We store your choices, how long the pictures were on your screen, how long you took to choose and how large the \
pictures were shown. We store neither your name nor your address.

Taking part is voluntary. You can stop at any time and have your answers deleted.\
"""
_THANKS = "That was the last pair. Your answers are saved. You can close this page."


class PicturesConfig(Settings):
    """Folders of the images, and how they are displayed. Paths are relative to the folder of study.toml."""

    truth: Path
    """Folder of the photographs."""
    inputs: Path | None = None
    """Folder of the low-resolution images; required by the question `better`."""
    low_res: Literal["smooth", "pixels"] = "smooth"
    """How the low-resolution image is enlarged on the page: bicubic, or nearest neighbour. Open in the paper."""
    zoom: Annotated[int, Field(ge=1, le=8)] = 1
    """CSS pixels per image pixel. Open in the paper."""


class AttentionConfig(Settings):
    """Attention checks, which have an obvious answer, and the number of failures allowed. Open in the paper."""

    checks: NonNegative = 5
    """Checks per subject: a photograph beside a pixelated version of it."""
    failures_allowed: NonNegative = 0
    """A subject that fails more checks is excluded from the report."""


class PageConfig(Settings):
    """Texts of the page besides the question."""

    title: _Text = "A study of pictures"
    """Heading of the page and title of its window."""
    contact: _Text
    """Who is responsible for the study, and how to reach them."""
    consent: _Text = _CONSENT
    """Consent form; an empty line starts a paragraph."""
    thanks: _Text = _THANKS
    """Text at the end, perhaps with a code for payment."""


class StudyConfig(Settings):
    """All settings of a study."""

    pictures: PicturesConfig
    methods: Annotated[dict[_Text, Path], Field(min_length=1)]
    """Folder of the outputs of each method."""
    page: PageConfig
    attention: AttentionConfig = AttentionConfig()
    questions: Annotated[tuple[Question, ...], Field(min_length=1)] = ("better", "camera")
    """Questions of the study. Each subject is asked one of them."""
    design: Literal["one-method", "mixed"] = "one-method"
    """What a subject compares with photographs: one method, as in the paper, or all methods, mixed."""
    images_per_subject: Positive = 50
    """Pairs per subject, without attention checks."""
    exposure: Annotated[float, Field(ge=0.05, le=60)] = 3.0
    """Seconds that a pair is shown."""
    exposure_tolerance: Annotated[float, Field(gt=0)] = 0.1
    """Seconds by which a measured exposure may differ from `exposure`; other answers are excluded from the report."""
    seed: int = 0
    """Seed of the images, their order and their sides, for every subject."""
    database: Annotated[Path, Field(validate_default=False)] = Path("answers.sqlite")
    """SQLite file of the answers."""

    @model_validator(mode="after")
    def _parts_agree(self) -> "StudyConfig":
        if len(set(self.questions)) < len(self.questions):
            raise ValueError("questions lists a question twice; remove one")
        if "better" in self.questions and self.pictures.inputs is None:
            raise ValueError("the question better shows a low-resolution image: give its folder in pictures.inputs")
        if self.attention.failures_allowed >= max(1, self.attention.checks):
            raise ValueError("attention.failures_allowed must be below attention.checks, or no subject can fail")
        return self

    def lasting(self) -> dict[str, Any]:
        """List the settings that answers depend on; they cannot change once there are answers."""
        tree = self.model_dump(mode="json", include={"questions", "design", "images_per_subject", "exposure", "seed"})
        shown = {"low_res": self.pictures.low_res, "zoom": self.pictures.zoom}
        return {**tree, **shown, "methods": sorted(self.methods), "attention.checks": self.attention.checks}


def read_study(path: Path) -> StudyConfig:
    """Read study.toml; ConfigError names the file, the setting and the reason."""
    try:
        tree = parse_toml(path.read_text(encoding="utf-8"))
        config = StudyConfig.model_validate_json(json.dumps(tree, default=str), strict=True)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give the file of a study") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not text in UTF-8; give the file of a study") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: {first_error(error)}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    return _from_folder(config, path.parent)


def _from_folder(config: StudyConfig, folder: Path) -> StudyConfig:
    """Resolve relative paths from a folder."""
    inputs = config.pictures.inputs
    pictures = config.pictures.model_copy(
        update={"truth": folder / config.pictures.truth, "inputs": None if inputs is None else folder / inputs}
    )
    methods = {name: folder / path for name, path in config.methods.items()}
    update = {"pictures": pictures, "methods": methods, "database": folder / config.database}
    return config.model_copy(update=update)
