"""The JSON of the HTTP API, in the terms of docs/reference/http-api.md."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from sr3.config.strict import Settings

__all__ = [
    "Detail",
    "EventKind",
    "InputView",
    "JobSettings",
    "JobView",
    "LimitsView",
    "ModelView",
    "OutputView",
    "ResultKind",
    "ResultView",
    "State",
]

State = Literal["waiting", "running", "done", "failed", "stopped"]
ResultKind = Literal["sample", "mean", "deviation"]
EventKind = Literal["state", "progress", "preview", "result", "end"]
_MOST = 2**63 - 1


class JobSettings(Settings):
    """What is asked for, with the names and meanings of the options of `sr3 upscale`."""

    model: str | None = Field(
        default=None,
        description="Name of a model; by default the server's first, or one that refines if steps or detail are given.",
    )
    scale: float | None = Field(default=None, description="Scale factor, such as 2, 1.5 or 8; the model's by default.")
    width: int | None = Field(default=None, description="Width of the result in pixels.")
    height: int | None = Field(default=None, description="Height of the result in pixels.")
    long_side: int | None = Field(default=None, description="Longer side of the result in pixels.")
    megapixels: float | None = Field(default=None, description="Size of the result in megapixels.")
    fit: str | None = Field(
        default=None, description="WIDTHxHEIGHT in pixels: the largest size that fits into this box."
    )
    steps: int | None = Field(default=None, description="Sampling steps.")
    detail: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None, description="From 0, smooth and close to the truth, to 1, a full sample."
    )
    seed: Annotated[int, Field(ge=-_MOST, le=_MOST)] = Field(default=0, description="Seed of the noise.")
    samples: Annotated[int, Field(ge=1)] = Field(
        default=1, description="Number of samples; two or more also give their mean and standard deviation."
    )
    format: str = Field(default="same", description="png, jpg, webp, tif, bmp, avif, heic, jxl, or same: the input's.")
    quality: Annotated[int, Field(ge=1, le=100)] = Field(default=95, description="Quality of lossy formats.")


class ModelView(BaseModel):
    """A model that the server offers."""

    name: str
    scale: int
    title: str
    description: str
    steps: int
    steps_choices: list[int] = Field(description="Numbers of steps to choose from; any other number is allowed too.")
    detail: float | None = Field(description="The default; null where the model has no such setting.")
    stochastic: bool = Field(description="Whether the result depends on the seed.")


class LimitsView(BaseModel):
    """Maxima of the server."""

    pixels: int = Field(description="Width times height of a result.")
    bytes: int = Field(description="Size of an uploaded file in bytes.")
    waiting: int = Field(description="Waiting jobs per session.")
    samples: int = Field(description="Samples per job.")
    formats: list[str] = Field(description="Formats of results.")


class InputView(BaseModel):
    """The uploaded image, upright."""

    name: str
    width: int
    height: int
    megapixels: float
    bits: int = Field(description="Bits per channel.")
    mode: str = Field(description="L, LA, RGB, RGBA or CMYK.")


class OutputView(BaseModel):
    """Size of the results in pixels."""

    width: int
    height: int


class ResultView(BaseModel):
    """A file of a job's results."""

    name: str
    kind: ResultKind
    sample: int | None = Field(description="Number of the sample, from 0; null for mean and deviation.")
    seed: int
    width: int
    height: int
    bytes: int
    url: str
    view_url: str


class JobView(BaseModel):
    """A job as it is now."""

    id: str
    state: State
    position: int = Field(description="Jobs that will start before this one; 0 if it is next or has started.")
    settings: dict[str, Any] = Field(description="The settings, with defaults filled in.")
    input: InputView
    output: OutputView
    command: str = Field(description="The sr3 command that repeats the job.")
    done: float = Field(description="Share of the work that is done, from 0 to 1.")
    seconds_left: float | None
    error: str | None = Field(description="The error in one line; null unless the job failed.")
    warnings: list[str]
    results: list[ResultView]
    pair: tuple[int, int] | None = Field(description="Numbers of the two samples that differ most.")


class Detail(BaseModel):
    """An error: what, where, what to do."""

    detail: str
