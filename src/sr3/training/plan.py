"""A training as it is asked for: settings, data and a folder, made ready for the loop.

`sr3 train` and `sr3.train` share it. It knows neither signals nor what is shown.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from sr3.config import Config, apply_settings, read_toml
from sr3.data.opening import open_supply
from sr3.data.sources import Source
from sr3.data.streams import Stream
from sr3.duration import parse_duration
from sr3.errors import ConfigError
from sr3.presets import preset
from sr3.ranks import read_ranks
from sr3.runtime.device import choose_device
from sr3.runtime.threads import choose_threads
from sr3.training import loop
from sr3.training.events import Event
from sr3.training.loop import Limits
from sr3.training.mean import read_mean, refine_mean
from sr3.training.run_dir import RunDir, open_run
from sr3.training.source_model import SourceModels, read_source_model, with_source_model
from sr3.training.step import split_batch

__all__ = ["Plan", "Training", "check_pairs", "code_of", "make_plan", "open_training", "train", "with_pairs"]


@dataclass(frozen=True)
class Plan:
    """Everything that a training needs but a device and its limits. out: the folder of the run."""

    config: Config
    supply: Source | Stream
    out: Path
    source_models: SourceModels = field(default_factory=SourceModels)


def make_plan(
    settings: str | Path | Config,
    data: str,
    out: Path,
    *,
    changes: Sequence[str] = (),
    low_res: Path | None = None,
    start: str | None = None,
    mean: str | None = None,
) -> Plan:
    """Read settings, models and data; writes nothing.

    settings: a preset, a TOML file, or the settings themselves. changes: `section.name=value`. The rest is as for
    `train`. Raises ConfigError, DataError or CheckpointError when they do not exist or do not belong together.
    """
    config, refined = settings if isinstance(settings, Config) else _read_settings(str(settings)), None
    if mean is not None:
        refined = read_mean(mean)
        config = refine_mean(config, refined) if config.mean is None else config
    config = apply_settings(config, with_pairs(changes, low_res))
    if config.restoration is not None:
        raise ConfigError(
            "restoration: a restoration network is not trained with the model; train it alone, then use sr3 join"
        )
    code_of(config, changes)
    check_pairs(config, low_res)
    source_model = read_source_model(start) if start is not None else None
    config = with_source_model(config, source_model, RunDir(out.resolve()))
    supply = open_supply(data, low_res=low_res, stream=config.data.stream, scale=config.data.scale)
    return Plan(config, supply, out, SourceModels(source_model, refined))


def open_training(plan: Plan, *, device: torch.device, limits: Limits) -> tuple[RunDir, Generator[Event]]:
    """Create the folder of a run or open it again; returns it and the training, which begins when it is iterated.

    Of several processes the first alone writes the folder. Raises TrainingError when the batch cannot be shared evenly,
    ConfigError when the folder holds a run of other settings.
    """
    config, (rank, processes, _, _) = plan.config, read_ranks()
    split_batch(config.training.batch, rank=0, count=processes, accumulate=config.training.accumulate)
    run = open_run(plan.out, config) if rank == 0 else RunDir(plan.out.resolve())
    return run, loop.train(config, plan.supply, run, device=device, limits=limits, source_models=plan.source_models)


@dataclass(frozen=True)
class Training:
    """A training run created by `train`. Iterating it starts or resumes the training."""

    plan: Plan
    device: torch.device
    max_seconds: float

    def __iter__(self) -> Iterator[Event]:
        """Train and yield what happens, in order; leaving the loop saves."""
        _, events = open_training(self.plan, device=self.device, limits=Limits(self.max_seconds))
        return events

    def run(self) -> Path:
        """Train to the last step or until max_time is over; returns the run folder, which `sr3.load` takes."""
        for _ in self:
            pass
        return self.plan.out


def train(
    settings: str | Path | Config,
    data: str | Path,
    out: str | Path,
    *,
    changes: Sequence[str] = (),
    low_res: str | Path | None = None,
    start: str | None = None,
    mean: str | None = None,
    max_time: str | None = None,
    device: str = "auto",
) -> Training:
    """Train a model on images, as `sr3 train` does; iterate over the result, or call its method `run`.

    settings: the name of a preset, a TOML file, or a `Config`. data: a folder, shards, or another value of `--data`.
    out: the run folder; an existing run is resumed. changes: settings to change, such as `"training.steps=2000"`.
    low_res: a folder of low-resolution versions. start: a model whose weights the run starts from. mean: a regression
    model (mean predictor) whose output the model refines. max_time: such as `"8h"`, after which the run is saved and
    stops. device: `"auto"`, `"cpu"`, `"cuda"` or `"mps"`.

    The result yields `Stepped`, `Validated`, `Saved` and `Noted` of `sr3.training.events`. The call reads settings and
    data and raises ConfigError, DataError or CheckpointError where they cannot be used; training raises TrainingError.
    """
    seconds = float("inf") if max_time is None else parse_duration(max_time)
    choose_threads()
    small = None if low_res is None else Path(low_res)
    plan = make_plan(settings, str(data), Path(out), changes=changes, low_res=small, start=start, mean=mean)
    return Training(plan, choose_device(device), seconds)


def with_pairs(changes: Sequence[str] | None, low_res: Path | None) -> list[str]:
    """Prepend the setting that --low-res implies to the changes of the user."""
    return [*(["data.degradation=paired"] if low_res else []), *(changes or [])]


def code_of(config: Config, changes: Sequence[str] | None) -> str:
    """Name the file whose code the settings run, or nothing; ConfigError where the changes do not ask for it."""
    path = config.adversary.runs_code_of if config.adversary is not None else ""
    asked = any(one.partition("=")[0].strip() == "objective.adversary.features" for one in changes or [])
    if path and not asked:
        raise ConfigError(
            f"objective.adversary.features = {path}: is a TorchScript file, which runs code, so it is not accepted "
            f"from a settings file; if you trust it, give --set objective.adversary.features={path}"
        )
    return path


def check_pairs(config: Config, low_res: Path | None) -> None:
    """Raise ConfigError when --low-res contradicts the degradation in the settings."""
    if low_res and config.data.degradation != "paired":
        raise ConfigError("--low-res gives the low-resolution images: remove data.degradation, or set it to paired")


def _read_settings(name: str) -> Config:
    if not name.endswith(".toml"):
        return preset(name)
    try:
        return read_toml(Path(name).read_text(encoding="utf-8"), where=name)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{name}: cannot be read as a settings file ({error}); give a preset or a TOML file"
        ) from error
