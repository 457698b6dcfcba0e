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
metrics.jsonl      one JSON object a line: mean loss and speed of every 100 steps, and validation figures
samples/           validation pictures: input enlarged by bicubic, sample, truth; of a generator, samples
model.safetensors  the model (moving average of the weights): sr3 upscale IN -o OUT --model THIS_FOLDER, or sr3 generate
averages/          with training.ema_others: a model of every moving average; model.safetensors is the best of them
RUN_NAME/, wandb/  with training.track: what a tracker keeps
checkpoints/       what resuming needs, with checksums: run the same command again
"""


@dataclass(frozen=True)
class RunDir:
    """Paths inside the folder of a run."""

    path: Path

    @property
    def config(self) -> Path:
        """Settings, TOML."""
        return self.path / "config.toml"

    @property
    def metrics(self) -> Path:
        """Figures, a JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        """Validation pictures."""
        return self.path / "samples"

    @property
    def model(self) -> Path:
        """The model so far."""
        return self.path / "model.safetensors"

    @property
    def checkpoints(self) -> Path:
        """What resuming needs: the last states, each with its checksum."""
        return self.path / "checkpoints"

    @property
    def averages(self) -> Path:
        """Models of all moving averages, where there are several."""
        return self.path / "averages"

    @property
    def old_state(self) -> Path:
        """Where the first version kept its one state."""
        return self.path / "state.safetensors"

    @property
    def has_begun(self) -> bool:
        """Whether there is a state to go on from."""
        return self.old_state.is_file() or bool(checkpoints(self.checkpoints))

    @property
    def settings(self) -> Config | None:
        """Settings of a run that has begun, as they were last; None for another."""
        if not (self.config.is_file() and self.has_begun):
            return None
        return read_saved(self.config.read_text(encoding="utf-8", errors="replace"), where=str(self.config))

    def validated_steps(self) -> set[int]:
        """List the steps whose validation is in the log; a line cut short by a crash does not count."""
        if not self.metrics.is_file():
            return set()
        steps: set[int] = set()
        for line in self.metrics.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError, KeyError, TypeError):
                figures = parse_json(line)
                if "loss" not in figures:
                    steps.add(int(figures["step"]))
        return steps

    def log(self, figures: Mapping[str, float]) -> None:
        """Append a line of figures."""
        try:
            with self.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(dict(figures)) + "\n")
        except OSError as error:
            raise TrainingError(
                f"{self.metrics}: cannot be written ({error.strerror}); free space and resume"
            ) from error


def open_run(path: Path, config: Config) -> RunDir:
    """Create the folder of a run, or open it again with the same network, data and process.

    Raises TrainingError when the folder holds something else, or a run whose weights these settings cannot go on
    from; lengths, rates and what only costs time or memory may change between sittings.
    """
    run = RunDir(path.resolve())
    if (settings := run.settings) is not None:
        before = _must_stay(settings)
        changed = [name for name, value in _must_stay(config).items() if before.get(name) != value]
        if changed:
            raise TrainingError(
                f"{path}: holds a run with another {', '.join(changed)}; give another --out, or the same settings"
            )
    elif not run.config.is_file() and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise TrainingError(f"{path}: exists and is not a run of sr3; give a new folder")
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


def _must_stay(config: Config) -> dict[str, object]:
    """Flatten the settings that a run's weights, data order and held-out images depend on."""
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
