"""A checkpoint of Janspiry's implementation converted to an sr3 model.

What its tensors do not tell, such as the magnification, is that of the published configuration of the same shape, or
is asked for. Every figure that was found or taken for granted is noted, so that it can be checked.
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sr3.build import build_gammas, build_network
from sr3.checkpoint import ModelInfo, write_model
from sr3.config import Config, DDPMConfig, ScheduleConfig, apply_settings
from sr3.diffusion.schedule import MAX_FIRST_GAMMA
from sr3.errors import CheckpointError, ConfigError
from sr3.exchange.foreign import ForeignNetwork, ForeignState, our_name, read_foreign

__all__ = ["TASKS", "Conversion", "Task", "convert"]


class Task(NamedTuple):
    """A configuration that the implementation publishes: its shape, and what tensors do not tell."""

    multipliers: tuple[int, ...]
    blocks: int
    attention: tuple[int, ...]
    condition: str
    scale: int
    groups: int
    dropout: float

    def has_shape_of(self, network: ForeignNetwork) -> bool:
        """Return whether a network has 64 channels and the levels of this task."""
        own = (64, self.multipliers, self.blocks, self.attention, self.condition)
        return own == (network.width, network.multipliers, network.blocks, network.attention, network.condition)


TASKS = {
    "16-128": Task((1, 2, 4, 8, 8), 2, (3,), "picture", scale=8, groups=32, dropout=0.2),
    "64-512": Task((1, 2, 4, 8, 16), 1, (), "picture", scale=8, groups=16, dropout=0.0),
    "faces-128": Task((1, 2, 4, 8, 8), 2, (3,), "none", scale=1, groups=32, dropout=0.2),
}
"""Its config/sr_sr3_16_128.json, sr_sr3_64_512.json and sample_sr3_128.json, the last a generator."""

_GENERATED_SIDE = 128
_STEPS = 100


@dataclass(frozen=True)
class Conversion:
    """What a model file was made of, and what was found or taken for granted, a line each."""

    info: ModelInfo
    parameters: int
    notes: tuple[str, ...]


def convert(
    source: Path,
    target: Path,
    *,
    task: str | None = None,
    scale: int | None = None,
    groups: int | None = None,
    settings: Sequence[str] = (),
) -> Conversion:
    """Read a checkpoint and write it as a model of ours, in float32.

    task: a name in TASKS; by itself that of the same shape. scale: magnification. groups: of its normalisation.
    settings: `a.b=value`, over all others. Raises CheckpointError for a file that is no such checkpoint, ConfigError
    for settings that do not fit it or are missing.
    """
    state = read_foreign(source)
    chosen, origin = _choose(state.network, source, task=task, scale=scale, groups=groups)
    schedule = _schedule(state.betas)
    config = apply_settings(_config(state.network, chosen, schedule, source), settings, where=str(source))
    weights = _fitting(state, config, source)
    info = ModelInfo(
        name=target.stem,
        image_channels=state.network.image_channels,
        step=_step(source),
        config=config,
        data=f"Converted from {source.name}, a checkpoint of another program; what it was trained on is not known.",
    )
    write_model(target, info, weights, dtype=torch.float32)
    if schedule.end > MAX_FIRST_GAMMA:
        text = f"trained only up to gamma {schedule.end:.3g}, while sampling starts at {MAX_FIRST_GAMMA:g} or below"
        warnings.warn(f"{source}: was {text}; expect noise", stacklevel=2)
    parameters = sum(weight.numel() for weight in weights.values())
    return Conversion(info, parameters, _notes(state.network, config, schedule, origin))


def _choose(
    network: ForeignNetwork, path: Path, *, task: str | None, scale: int | None, groups: int | None
) -> tuple[Task, str]:
    """Settle what tensors do not tell, and say where it comes from."""
    if task is not None and task not in TASKS:
        raise ConfigError(f"--task {task}: unknown; give one of {', '.join(TASKS)}")
    name = task or next((name for name, known in TASKS.items() if known.has_shape_of(network)), None)
    generates = network.condition == "none"
    if name is not None:
        chosen, origin = TASKS[name], f"of {name}, {'as asked' if task else 'which has this shape'}"
    elif generates or scale is not None:
        chosen, origin = Task((), 1, (), network.condition, scale or 1, 32, 0.0), "its defaults or as asked"
    else:
        raise ConfigError(f"{path}: has none of the published shapes; give its scale factor by --scale N")
    if chosen.condition != network.condition:
        sees = "no input to enlarge" if generates else "an input to enlarge"
        raise ConfigError(f"--task {task}: {path} has {sees}; leave --task out")
    return chosen._replace(scale=scale or chosen.scale, groups=groups or chosen.groups), origin


class _Schedule(NamedTuple):
    """Settings of a schedule, what is said of it, and the level at which it ends."""

    settings: dict[str, Any]
    note: str
    end: float


def _schedule(betas: Tensor) -> _Schedule:
    """Describe the betas of the file; those of no known kind are noted."""
    if len(betas) < 2 or not 0 < float(betas.min()) <= float(betas.max()) < 1:
        end = float(build_gammas(ScheduleConfig())[-1])
        return _Schedule({}, "schedule: no usable betas in the file; the implementation's usual ones are assumed", end)
    first, final = (float(f"{float(beta):.6g}") for beta in (betas[0], betas[-1]))
    linear = {"kind": "linear", "num_levels": len(betas), "beta_first": first, "beta_last": final}
    text, end = f"schedule: {len(betas)} levels, betas {first:g} to {final:g}", float((1 - betas).prod())
    if _same(betas, linear):
        return _Schedule(linear, f"{text}, linear", end)
    cosine = {"kind": "cosine", "num_levels": len(betas)}
    if _same(betas, cosine):
        return _Schedule(cosine, f"{text}, cosine", end)
    other = "of a kind that sr3 does not have; sampling does not need it, further training would use linear"
    return _Schedule(linear, f"{text}, {other}", end)


def _same(betas: Tensor, settings: Mapping[str, Any]) -> bool:
    gammas = build_gammas(ScheduleConfig.model_validate(settings))
    return torch.allclose((1 - betas).cumprod(0), gammas, rtol=1e-3, atol=1e-6)


def _config(network: ForeignNetwork, task: Task, schedule: _Schedule, path: Path) -> Config:
    """Put the settings together; sampling is the implementation's, in fewer steps."""
    generates = network.condition == "none"
    shape = network._asdict()
    del shape["image_channels"]
    tree: dict[str, Any] = {
        "network": {**shape, "family": "ddpm", "groups": task.groups, "dropout": task.dropout},
        "schedule": {**schedule.settings, "draw": "sqrt_gamma"},
        "objective": {"loss": "l1"},
        "data": {"scale": task.scale, "crop": _GENERATED_SIDE if generates else 0, "enlarged": "8-bit"},
        "sampling": {
            "sampler": "ancestral-posterior",
            "steps": _STEPS,
            "gamma_first": min(max(float(f"{schedule.end:.3g}"), 4.4e-5), MAX_FIRST_GAMMA),
            "correct": False,
        },
    }
    return Config.parse(tree, where=str(path))


def _fitting(state: ForeignState, config: Config, path: Path) -> dict[str, Tensor]:
    """Rename the tensors; CheckpointError when one is missing, too many or of another size."""
    with torch.device("meta"):
        expected = build_network(
            config.network, image_channels=state.network.image_channels, scale=config.data.scale
        ).state_dict()
    names = {our_name(key): key for key in state.weights}
    strange = [names[name] for name in names.keys() - expected.keys()]
    missing = expected.keys() - names.keys()
    if strange or missing:
        which = f"has {min(strange)}, which is not known" if strange else f"lacks what sr3 calls {min(missing)}"
        raise CheckpointError(f"{path}: {which}; the network was changed, and cannot be converted")
    weights = {name: state.weights[names[name]] for name in expected}
    for name, tensor in weights.items():
        if tensor.shape != expected[name].shape:
            raise CheckpointError(
                f"{path}: {names[name]} has shape {tuple(tensor.shape)}, not {tuple(expected[name].shape)}; "
                "the network was changed, and cannot be converted"
            )
    return weights


def _step(path: Path) -> int:
    """Read the step from a name such as I640000_E37_gen.pth; 0 when it does not say."""
    found = re.match(r"I(\d+)_E\d+", path.name)
    return int(found[1]) if found else 0


def _notes(network: ForeignNetwork, config: Config, schedule: _Schedule, origin: str) -> tuple[str, ...]:
    levels = ",".join(map(str, network.multipliers))
    attends = ", ".join(f"at level {level}" for level in network.attention) or "at the bottom only"
    groups = config.network.groups if isinstance(config.network, DDPMConfig) else "other"
    takes = "enlarges" if network.condition == "picture" else "generates"
    return (
        f"found: {takes} images of {network.image_channels} channels; width {network.width}, multipliers {levels}, "
        f"{network.blocks} block{'s' if network.blocks > 1 else ''} per level, attention {attends}",
        schedule.note,
        f"not in the file: scale {config.data.scale}, {groups} groups; {origin}",
        "weights: those of the last step, because the file holds no moving average",
    )
