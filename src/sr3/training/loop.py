"""The training loop (SR3, arXiv:2104.07636, Algorithm 1), from top to bottom.

`train` is a generator: what happens is yielded, whoever reads it shows it, and stopping to read ends the run in
order, with its state saved. Everything random in a step follows from (seed, step).
"""

import copy
import math
import time
from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import Tensor

from sr3.build import build_denoiser, build_gammas, build_recipe
from sr3.checkpoint import ModelInfo, read_model, write_model
from sr3.config import Config
from sr3.data.dataset import PairDataset
from sr3.data.loader import Batch, batches
from sr3.data.sources import Source, SubsetSource
from sr3.diffusion.denoiser import Denoiser
from sr3.diffusion.noise import draw_noise, mix_seed
from sr3.diffusion.objective import denoising_loss
from sr3.diffusion.schedule import draw_gamma
from sr3.errors import DataError, TrainingError
from sr3.inference.upscaler import Upscaler
from sr3.networks.unet import UNet
from sr3.training.ema import ema_decay_at, update_ema
from sr3.training.optimizer import build_optimizer, learning_rate_at
from sr3.training.run_dir import RunDir
from sr3.training.state import TrainState, read_state, write_state
from sr3.training.validation import validate

__all__ = ["Event", "Saved", "Stepped", "Validated", "train"]

_NOISE_STREAM, _DATA_STREAM, _DROPOUT_STREAM = 1, 2, 3
_LOG_EVERY = 100


@dataclass(frozen=True)
class Stepped:
    """One optimiser step has been taken."""

    step: int
    loss: float
    learning_rate: float
    images_per_second: float


@dataclass(frozen=True)
class Validated:
    """The model so far has been measured on held-out images."""

    step: int
    figures: dict[str, float]


@dataclass(frozen=True)
class Saved:
    """The run can be resumed from here."""

    step: int


Event = Stepped | Validated | Saved


def train(config: Config, source: Source, run: RunDir, *, device: torch.device, max_seconds: float) -> Generator[Event]:
    """Train until config.training.steps, or for max_seconds of this sitting; resumes what the run holds.

    Closing the iterator saves. Raises TrainingError when the loss is not finite (the last state stays), and
    DataError when images cannot be used.
    """
    training, began = config.training, time.monotonic()
    learning, held_out = split(source, config)
    denoiser = _fresh_denoiser(config, learning.image_channels, device)
    state = _fresh_state(config, denoiser)
    if run.state.is_file():
        read_state(run.state, state)
    gammas = build_gammas(config.schedule)
    figures = dict(read_model(run.model).info.results) if state.step and run.model.is_file() else {}
    saved, recent = state.step, list[Stepped]()
    feed = batches(learning, batch=training.batch, seed=mix_seed(training.seed, _DATA_STREAM), first_step=state.step)
    try:
        while state.step < training.steps and time.monotonic() - began < max_seconds:
            started = time.perf_counter()
            loss = _step(config, denoiser, state, gammas, next(feed))
            rate = learning_rate_at(state.step - 1, config.optimizer, steps=training.steps)
            recent.append(Stepped(state.step, loss, rate, training.batch / (time.perf_counter() - started)))
            yield recent[-1]
            if state.step % _LOG_EVERY == 0 or state.step == training.steps:
                _log(run, recent)
            if state.step % training.validate_every == 0 or state.step == training.steps:
                figures = _validate(config, state, held_out, run)
                yield Validated(state.step, figures)
            if state.step % training.save_every == 0:
                _save(config, state, run, figures)
                saved = state.step
                yield Saved(saved)
    except (GeneratorExit, DataError):  # the state is whole; after any other exception it may not be
        if state.step > saved:
            _save(config, state, run, figures)
        raise
    finally:
        feed.close()
    if state.step > saved:
        _save(config, state, run, figures)
        yield Saved(state.step)


def split(source: Source, config: Config) -> tuple[PairDataset, PairDataset]:
    """Part a source into training images and held-out images, evenly spread over it."""
    count = config.training.validation_images
    if len(source) < 2 * count:
        raise DataError(
            f"{len(source)} images are too few to hold out {count} for validation; "
            "add images or lower training.validation_images"
        )
    held = [round((k + 0.5) * len(source) / count) for k in range(count)]
    kept = sorted(set(range(len(source))).difference(held))
    recipe = build_recipe(config.data)
    return PairDataset(SubsetSource(source, kept), recipe), PairDataset(SubsetSource(source, held), recipe)


def _fresh_denoiser(config: Config, image_channels: int, device: torch.device) -> Denoiser[UNet]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        denoiser = build_denoiser(config, image_channels=image_channels)
    return denoiser.to(device).train()


def _fresh_state(config: Config, denoiser: Denoiser[UNet]) -> TrainState:
    ema = copy.deepcopy(denoiser.network).eval().requires_grad_(False)
    optimizer = build_optimizer(denoiser.network.parameters(), config.optimizer)
    return TrainState(0, denoiser.network, ema, optimizer)


def _step(config: Config, denoiser: Denoiser[UNet], state: TrainState, gammas: Tensor, batch: Batch) -> float:
    """Take one optimiser step (Algorithm 1, lines 2 to 5) and return its loss."""
    training, device = config.training, next(denoiser.parameters()).device
    y0, x = (part.to(device).contiguous(memory_format=torch.channels_last) for part in batch)
    generator = torch.Generator().manual_seed(mix_seed(training.seed, _NOISE_STREAM, state.step))
    uniform = torch.rand(len(y0), 2, generator=generator, dtype=torch.float64)
    gamma = draw_gamma(gammas, uniform, space=config.schedule.draw)
    eps = draw_noise(y0.shape, generator).to(device)
    autocast = torch.autocast(device.type, dtype=torch.bfloat16, enabled=training.precision == "bfloat16")
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), autocast:
        torch.manual_seed(mix_seed(training.seed, _DROPOUT_STREAM, state.step))
        loss = denoising_loss(denoiser, y0, x, eps=eps, gamma=gamma, kind=config.denoiser.loss).mean()
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingError(f"step {state.step}: the loss is {value}; lower optimizer.learning_rate and resume")
    loss.backward()
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), config.optimizer.clip)
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate_at(state.step, config.optimizer, steps=training.steps)
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    update_ema(state.ema.parameters(), state.network.parameters(), ema_decay_at(state.step, training.ema_decay))
    state.step += 1
    return value


def _log(run: RunDir, recent: list[Stepped]) -> None:
    """Write the means of the steps since the last line."""
    loss, speed = (sum(getattr(step, name) for step in recent) / len(recent) for name in ("loss", "images_per_second"))
    rate = recent[-1].learning_rate
    run.log({"step": recent[-1].step, "loss": loss, "learning_rate": rate, "images_per_second": speed})
    recent.clear()


def _model_info(config: Config, state: TrainState, run: RunDir, figures: dict[str, float]) -> ModelInfo:
    channels = state.network.shape.image_channels
    return ModelInfo(name=run.path.name, image_channels=channels, step=state.step, config=config, results=figures)


def _validate(config: Config, state: TrainState, held_out: PairDataset, run: RunDir) -> dict[str, float]:
    device = next(state.ema.parameters()).device
    dtype = torch.bfloat16 if config.training.precision == "bfloat16" else torch.float32
    denoiser = Denoiser(
        state.ema,
        prediction=config.denoiser.prediction,
        target=config.denoiser.target,
        target_scale=config.denoiser.target_scale,
    )
    upscaler = Upscaler(_model_info(config, state, run, {}), denoiser, device, dtype)
    sheet = run.samples / f"{state.step:07d}.png"
    figures = validate(upscaler, held_out, config.sampling, sheet=sheet)
    figures = {"step": state.step, **figures}
    run.log(figures)
    return figures


def _save(config: Config, state: TrainState, run: RunDir, figures: dict[str, float]) -> None:
    """Write state and model, unless the weights have burst: then the last whole ones stay."""
    if not all(bool(weight.half().isfinite().all()) for weight in state.ema.parameters()):
        raise TrainingError(
            f"step {state.step}: the weights are no longer finite; lower optimizer.learning_rate and resume from the "
            f"last state in {run.path}"
        )
    write_state(run.state, state)
    info = _model_info(config, state, run, figures)
    write_model(run.model, info, state.ema.state_dict(), dtype=torch.float16)
