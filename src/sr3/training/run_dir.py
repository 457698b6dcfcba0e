"""The run directory: paths of settings, metrics, images and weights."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from sr3.atomic import remove_leftovers, whole_file
from sr3.config import FORMAT, Config, read_saved
from sr3.errors import TrainingError
from sr3.parsing import parse_json
from sr3.training.state import checkpoints

__all__ = ["RunDir", "open_run"]

_README = """A training run of sr3.

config.toml        every setting of the run
metrics.jsonl      one JSON object per line: mean loss and speed of every 100 steps, and validation metrics
samples/           validation images: input enlarged by bicubic, sample, truth; of a generator, samples
model.safetensors  the model (moving average of the weights): sr3 upscale IN -o OUT --model THIS_FOLDER, or sr3 generate
averages/          with training.ema_others: one model per moving average; model.safetensors is the best of them
RUN_NAME/, wandb/  with training.track: files of the tracker
checkpoints/       state for resuming, with checksums; to resume, run the same command again
"""


@dataclass(frozen=True)
class RunDir:
    """Paths in the folder of a run."""

    path: Path

    @property
    def config(self) -> Path:
        """Settings, in TOML."""
        return self.path / "config.toml"

    @property
    def metrics(self) -> Path:
        """Metrics, one JSON object per line."""
        return self.path / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        """Validation images."""
        return self.path / "samples"

    @property
    def model(self) -> Path:
        """The current model."""
        return self.path / "model.safetensors"

    @property
    def checkpoints(self) -> Path:
        """The latest checkpoints, each with its checksum."""
        return self.path / "checkpoints"

    @property
    def averages(self) -> Path:
        """Models of all moving averages, if there are several."""
        return self.path / "averages"

    @property
    def old_state(self) -> Path:
        """The single checkpoint of the first version."""
        return self.path / "state.safetensors"

    @property
    def has_begun(self) -> bool:
        """Whether there is a checkpoint to resume from."""
        return self.old_state.is_file() or bool(checkpoints(self.checkpoints))

    @property
    def settings(self) -> Config | None:
        """The latest settings of a run with a checkpoint; None for a run without one."""
        if not (self.config.is_file() and self.has_begun):
            return None
        return read_saved(self.config.read_text(encoding="utf-8", errors="replace"), where=str(self.config))

    def validated_steps(self) -> set[int]:
        """List the steps whose validation is in the log; lines truncated by a crash are ignored."""
        if not self.metrics.is_file():
            return set()
        steps: set[int] = set()
        for line in self.metrics.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError, KeyError, TypeError):
                values = parse_json(line)
                if "loss" not in values:
                    steps.add(int(values["step"]))
        return steps

    def log(self, metrics: Mapping[str, float]) -> None:
        """Append a line of metrics."""
        try:
            with self.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(dict(metrics)) + "\n")
        except OSError as error:
            raise TrainingError(
                f"{self.metrics}: cannot be written ({error.strerror}); free space and resume"
            ) from error


def open_run(path: Path, config: Config) -> RunDir:
    """Create the folder of a run, or open it again to resume.

    Raises TrainingError when the folder is not a run, or a run that these settings cannot resume. Number of steps,
    learning rates, and settings that only affect time or memory may change between sessions.
    """
    run = RunDir(path.resolve())
    if (settings := run.settings) is not None:
        before = _fixed_settings(settings)
        changed = [name for name, value in _fixed_settings(config).items() if before.get(name) != value]
        if changed:
            raise TrainingError(
                f"{path}: is a run with other values of {', '.join(changed)}; give another --out, or the same settings"
            )
    elif not run.config.is_file() and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise TrainingError(f"{path}: exists and is not a run of sr3; give another folder")
    try:
        run.samples.mkdir(parents=True, exist_ok=True)
        run.checkpoints.mkdir(exist_ok=True)
        for folder in (run.path, run.samples, run.checkpoints, run.averages):
            remove_leftovers(folder)
        (path / "README.txt").write_text(_README, encoding="utf-8")
        with whole_file(run.config) as temporary:
            temporary.write_bytes(
                tomli_w.dumps({"format": FORMAT, **config.model_dump(mode="json", exclude_none=True)}).encode()
            )
    except OSError as error:
        raise TrainingError(f"{path}: cannot be written ({error.strerror}); choose another folder") from error
    return run


def _fixed_settings(config: Config) -> dict[str, object]:
    """Flatten the settings that the weights, the data order and the held-out images of a run depend on."""
    tree = config.model_dump(mode="json", exclude_none=True)
    kept = {
        f"{part}.{name}": value
        for part in ("network", "schedule", "denoiser", "objective", "data")
        for name, value in tree.get(part, {}).items()
    }
    for harmless in ("network.checkpointing", "data.cache_gib", "data.max_unusable", "data.workers"):
        kept.pop(harmless, None)
    return kept | {
        f"training.{name}": tree["training"][name] for name in ("seed", "start", "batch", "validation_images")
    }
