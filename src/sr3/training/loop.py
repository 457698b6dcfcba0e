"""The training loop (SR3, arXiv:2104.07636, Algorithm 1), from top to bottom.

`train` is a generator: what happens is yielded, whoever reads it shows it, and stopping to read ends the run in
order, with its state saved. Everything random in a step follows from (seed, step).
"""

import copy
import math
import time
import warnings
from collections.abc import Generator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sr3.build import build_denoiser, build_gammas, build_grid, build_recipe, give_meaning
from sr3.checkpoint import ModelInfo, read_model, write_model
from sr3.config import Config
from sr3.data.dataset import PairDataset, check_headers
from sr3.data.loader import Batch, batches
from sr3.data.sources import Source, SubsetSource, fingerprint
from sr3.diffusion.denoiser import Denoiser, Given
from sr3.diffusion.noise import draw_noise, mix_seed
from sr3.diffusion.objective import denoising_loss, regression_loss
from sr3.diffusion.schedule import draw_gamma
from sr3.errors import DataError, TrainingError
from sr3.inference.device import computes_bfloat16
from sr3.inference.generator import PictureGenerator
from sr3.inference.upscaler import Upscaler
from sr3.networks.unet import UNet
from sr3.training.ema import ema_decay_at, update_ema
from sr3.training.optimizer import build_optimizer, learning_rate_at
from sr3.training.run_dir import RunDir
from sr3.training.state import TrainState, read_state, write_state
from sr3.training.validation import validate, validate_generator

__all__ = ["Event", "Saved", "Stepped", "Validated", "split", "tell", "train"]

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

    Closing the iterator saves. Raises TrainingError when the loss or the weights are not finite (the last state
    stays), DataError when images cannot be used, and GridError when the settings cannot sample.
    """
    training, began = config.training, time.monotonic()
    session = _open_session(config, source, run, device)
    seed = mix_seed(training.seed, _DATA_STREAM)
    feed = batches(session.learning, batch=training.batch, seed=seed, first_step=session.state.step)
    try:
        if session.owes_validation():
            yield Validated(session.state.step, session.validate())
        while session.state.step < training.steps and time.monotonic() - began < max_seconds:
            yield session.step(feed)
            step, ended = session.state.step, session.state.step == training.steps
            validates = ended or step % training.validate_every == 0
            if validates or step % training.save_every == 0:
                session.save()
                yield Saved(step)
            if validates:
                yield Validated(step, session.validate())
    except (GeneratorExit, DataError):  # the state is whole; after any other exception it may not be
        session.save()
        raise
    finally:
        feed.close()
    if session.saved < session.state.step:
        session.save()
        yield Saved(session.state.step)


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
    recipe = build_recipe(config.data, classes=config.network.classes)
    unkept = recipe._replace(cache_gib=0.0)
    return PairDataset(SubsetSource(source, kept), recipe), PairDataset(SubsetSource(source, held), unkept)


@dataclass
class _Session:
    """What one sitting of a run works with."""

    config: Config
    run: RunDir
    denoiser: Denoiser[UNet]
    state: TrainState
    gammas: Tensor
    learning: PairDataset
    held_out: PairDataset
    figures: dict[str, float]
    saved: int
    recent: list[Stepped] = field(default_factory=list[Stepped])

    def step(self, feed: Generator[Batch]) -> Stepped:
        """Take a step on the next batch and keep its figures for the log."""
        began, training = time.perf_counter(), self.config.training
        rate = learning_rate_at(self.state.step, self.config.optimizer, steps=training.steps)
        loss = _optimise(self.config, self.denoiser, self.state, self.gammas, next(feed), rate)
        self.recent.append(Stepped(self.state.step, loss, rate, training.batch / (time.perf_counter() - began)))
        done = self.recent[-1]
        if self.state.step % _LOG_EVERY == 0:
            self.log()
        return done

    def log(self) -> None:
        """Write the means of the steps since the last line."""
        if not self.recent:
            return
        count, last = len(self.recent), self.recent[-1]
        loss, speed = sum(s.loss for s in self.recent) / count, sum(s.images_per_second for s in self.recent) / count
        self.run.log({"step": last.step, "loss": loss, "learning_rate": last.learning_rate, "images_per_second": speed})
        self.recent.clear()

    def owes_validation(self) -> bool:
        """Tell whether the last sitting saved a step that was to be measured, and ended before it was."""
        step, training = self.state.step, self.config.training
        due = step > 0 and (step % training.validate_every == 0 or step == training.steps)
        return due and step not in self.run.validated_steps()

    def validate(self) -> dict[str, float]:
        """Measure the moving average on the held-out images and write the figures to log and model."""
        device = next(self.state.ema.parameters()).device
        dtype = torch.bfloat16 if self.config.training.precision == "bfloat16" else torch.float32
        denoiser = give_meaning(self.state.ema, self.config.denoiser)
        sheet = self.run.samples / f"{self.state.step:07d}.png"
        if self.config.network.condition == "none":
            generator = PictureGenerator(self.info(), denoiser, device, dtype)
            figures = validate_generator(generator, self.held_out, self.config, gammas=self.gammas, sheet=sheet)
        else:
            upscaler = Upscaler(self.info(), denoiser, device, dtype)
            figures = validate(upscaler, self.held_out, self.config.sampling, sheet=sheet)
        figures = {"step": float(self.state.step), **figures}
        self.run.log(figures)
        if self.config.training.keep == "last" or figures["psnr"] > self.figures.get("psnr", -math.inf):
            self.figures = figures
            self.write_model()
        return figures

    def info(self) -> ModelInfo:
        """Describe the model so far."""
        return ModelInfo(
            name=self.run.path.name,
            image_channels=self.learning.image_channels,
            step=self.state.step,
            config=self.config,
            results=self.figures,
            data=f"{len(self.learning)} images, {len(self.held_out)} more held out",
        )

    def save(self) -> None:
        """Write log, state and model, unless the weights have burst: then the last whole ones stay."""
        self.log()
        if self.saved == self.state.step:
            return
        if not all(bool(weight.half().isfinite().all()) for weight in self.state.ema.parameters()):
            raise TrainingError(
                f"step {self.state.step}: the weights are no longer finite; lower optimizer.learning_rate and resume "
                f"from the last state in {self.run.path}"
            )
        write_state(self.run.state, self.state)
        if self.config.training.keep == "last" or not self.figures:
            self.write_model()
        self.saved = self.state.step

    def write_model(self) -> None:
        """Write the moving average with its description, in half precision."""
        write_model(self.run.model, self.info(), self.state.ema.state_dict(), dtype=torch.float16)


def _open_session(config: Config, source: Source, run: RunDir, device: torch.device) -> _Session:
    """Split the images, build or read the state; refuses settings that could not be sampled from."""
    build_grid(config.sampling)
    if config.training.precision == "bfloat16" and not computes_bfloat16(device):
        warnings.warn(
            f"{device.type} here has no instructions for bfloat16 and imitates it slowly; "
            "use --set training.precision=float32",
            stacklevel=2,
        )
    check_headers(source, build_recipe(config.data, classes=config.network.classes))
    learning, held_out = split(source, config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        denoiser = build_denoiser(config, image_channels=learning.image_channels).to(device).train()
    ema = copy.deepcopy(denoiser.network).eval().requires_grad_(False)
    optimizer = build_optimizer(denoiser.network.parameters(), config.optimizer)
    state = TrainState(0, fingerprint(source), denoiser.network, ema, optimizer)
    figures: dict[str, float] = {}
    if run.state.is_file():
        read_state(run.state, state)
        if run.model.is_file():
            before = read_model(run.model).info
            figures = dict(before.results)
            kept = config.sampling.model_copy(update={"searched": before.config.sampling.searched})
            config = config.model_copy(update={"sampling": kept})
    gammas = build_gammas(config.schedule)
    return _Session(config, run, denoiser, state, gammas, learning, held_out, figures, saved=state.step)


def tell(config: Config, batch: Batch, chance: Tensor) -> Given | tuple[()]:
    """Say what the network is told beside the pictures; the class is hidden where chance, (b,) in [0, 1), falls low."""
    if not (config.network.classes or config.network.condition_level):
        return ()
    hidden = chance < config.data.hide_class
    return Given(batch.labels.masked_fill(hidden, config.network.classes), batch.levels)


def _optimise(
    config: Config, denoiser: Denoiser[UNet], state: TrainState, gammas: Tensor, batch: Batch, rate: float
) -> float:
    """Take one optimiser step (Algorithm 1, lines 2 to 5) at a learning rate and return its loss."""
    training, device = config.training, next(denoiser.parameters()).device
    y0, x = (part.to(device).contiguous(memory_format=torch.channels_last) for part in (batch.y0, batch.x))
    generator = torch.Generator().manual_seed(mix_seed(training.seed, _NOISE_STREAM, state.step))
    uniform = torch.rand(len(y0), 2, generator=generator, dtype=torch.float64)
    gamma = draw_gamma(gammas, uniform, space=config.schedule.draw)
    eps = draw_noise(y0.shape, generator).to(device)
    given = tell(config, batch, torch.rand(len(y0), generator=generator))
    autocast = torch.autocast(device.type, dtype=torch.bfloat16, enabled=training.precision == "bfloat16")
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), autocast:
        torch.manual_seed(mix_seed(training.seed, _DROPOUT_STREAM, state.step))
        match config.denoiser.objective:
            case "denoising":
                losses = denoising_loss(denoiser, y0, x, eps=eps, gamma=gamma, kind=config.denoiser.loss, given=given)
            case "regression":
                losses = regression_loss(denoiser, y0, x, kind=config.denoiser.loss, given=given)
        loss = losses.mean()
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingError(f"step {state.step}: the loss is {value}; lower optimizer.learning_rate and resume")
    loss.backward()
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), config.optimizer.clip)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    update_ema(state.ema.parameters(), state.network.parameters(), ema_decay_at(state.step, training.ema_decay))
    state.step += 1
    return value
