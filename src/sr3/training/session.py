"""One session of a run: its objects, and its methods to step, save, validate and log."""

import math
from collections import deque
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field, replace
from threading import Event as Flag
from time import perf_counter

import torch
from torch import Tensor

from sr3.build import build_network, give_meaning
from sr3.checkpoint import ModelInfo, write_model
from sr3.config import Config
from sr3.data.loader import Batch, batches
from sr3.data.resident import ResidentPairs
from sr3.data.supply import Pairs
from sr3.errors import TrainingError
from sr3.runtime.device import training_dtype
from sr3.sampling.filling import other_networks
from sr3.sampling.generator import PictureGenerator
from sr3.sampling.upscaler import Upscaler
from sr3.training.ema import update_all
from sr3.training.events import Stepped, Stops
from sr3.training.images import Images, count_workers
from sr3.training.optimizer import learning_rate_at
from sr3.training.processes import Processes
from sr3.training.run_dir import RunDir
from sr3.training.speed import Speed, memory_held
from sr3.training.state import TrainState, gather, whole, write_state
from sr3.training.step import Learner, take_step
from sr3.training.validation import validate, validate_generator

__all__ = ["Session"]

_LOG_EVERY = 100
_WINDOW = 100
"""Steps over which the displayed loss is averaged."""


@dataclass
class Session:
    """The objects of a session. Only the first process writes; every process must call the same methods."""

    config: Config
    run: RunDir
    learner: Learner
    state: TrainState
    images: Images
    learning: Pairs | ResidentPairs
    metrics: dict[str, float]
    saved: int
    speed: Speed
    recent: list[Stepped] = field(default_factory=list[Stepped])
    window: deque[Stepped] = field(default_factory=lambda: deque(maxlen=_WINDOW))

    @property
    def processes(self) -> Processes:
        """This process within the distributed group."""
        return self.learner.processes

    def feed(self, stop: Flag) -> Generator[list[Batch]]:
        """Yield the batches from the current step on; a single process ends them when the stop flag is set."""
        if isinstance(self.learning, ResidentPairs):
            return self.learning.batches(
                batch=self.config.training.batch,
                parts=self.learner.parts,
                seed=self.images.seed,
                first_step=self.state.step,
            )
        return batches(
            self.learning,
            batch=self.config.training.batch,
            parts=self.learner.parts,
            seed=self.images.seed,
            first_step=self.state.step,
            workers=count_workers(self.config, self.processes.device),
            stop=stop if self.processes.count == 1 else None,
        )

    def step(self, batch: list[Batch], *, asked: float, stops: Stops) -> Stepped:
        """Take a step on a batch and record its metrics for the log.

        asked: `perf_counter` when the batch was requested, so that the time of the step includes waiting for it.
        stops: checked between parts of the batch; raises Stopped when it returns true.
        """
        training = self.config.training
        rate = learning_rate_at(self.state.step, self.config.optimizer, steps=training.steps)
        try:
            metrics = take_step(self.learner, batch, step=self.state.step, rate=rate, stops=stops)
        except Exception as error:
            if training.compile and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                detail = " ".join(str(error).split())[:200]
                raise TrainingError(f"torch.compile failed ({detail}); set training.compile to false") from error
            raise
        update_all(self.state.averages, dict(self.state.network.named_parameters()), self.state.step)
        self.state.step += 1
        speed = training.batch / (perf_counter() - asked)
        done = Stepped(self.state.step, metrics.loss, rate, speed, metrics.bands)
        self.window.append(done)
        done = replace(
            done, smooth=_smooth(self.window), share_of_peak=self.speed.share(speed), memory=memory_held(self.processes)
        )
        self.recent.append(done)
        if self.state.step % _LOG_EVERY == 0:
            self.log()
        return done

    def log(self) -> None:
        """Log the means of the steps since the last line."""
        if not self.recent:
            return
        count, last = len(self.recent), self.recent[-1]
        loss = sum(s.loss for s in self.recent) / count
        speed = count / sum(1 / s.images_per_second for s in self.recent)
        metrics = {"step": last.step, "loss": loss, "learning_rate": last.learning_rate, "images_per_second": speed}
        bands = {f"loss_band_{band}": value for band, value in enumerate(last.smooth[1:]) if not math.isnan(value)}
        left_out = self.processes.total(torch.tensor(float(len(self.images.unusable))))
        more = {"share_of_peak": self.speed.share(speed), "memory": last.memory, "left_out": int(left_out)}
        self._write_log({**metrics, **bands, **more})
        self.recent.clear()

    def _write_log(self, metrics: dict[str, float]) -> None:
        if self.processes.is_first:
            self.run.log(metrics)
        values = {name: value for name, value in metrics.items() if name != "step"}
        self.processes.accelerator.log(values, step=int(metrics["step"]))

    def needs_validation(self) -> bool:
        """Return whether the last session ended before it validated the step that it saved."""
        step, training = self.state.step, self.config.training
        due = step > 0 and (step % training.validate_every == 0 or step == training.steps)
        return self.processes.any(self.processes.is_first and due and step not in self.run.validated_steps())

    def validate(self, stops: Stops) -> dict[str, float]:
        """Evaluate the moving average on the held-out images and write the metrics to the log and the model.

        stops: checked between network calls of a single process; raises Stopped when it returns true. The resumed run
        then validates.
        """
        stops = stops if self.processes.count == 1 else lambda: False
        candidates = self._averages(all_of_them=self.state.step == self.config.training.steps)
        metrics, measured = {"step": float(self.state.step)}, dict[float, dict[str, float]]()
        if self.processes.is_first:
            try:
                measured = {decay: self._measured(decay, weights, stops) for decay, weights in candidates.items()}
            except OSError as error:
                raise TrainingError(
                    f"{self.run.path}: cannot be written ({error.strerror}); free space and resume"
                ) from error
            decay, metrics = min(measured.items(), key=lambda found: selection_loss(found[1]))
            if self.config.training.keep == "last" or metrics["psnr"] > self.metrics.get("psnr", -math.inf):
                self.metrics = metrics
                self._write_model(candidates[decay])
        for values in measured.values():  # the log is last, so a logged validation is complete
            self._write_log(values)
        self.processes.wait()
        return metrics

    def _measured(self, decay: float, weights: dict[str, Tensor], stops: Stops) -> dict[str, float]:
        """Evaluate an average; if there are several, write each one as a model."""
        metrics = {"step": float(self.state.step), **self._measure(weights, stops)}
        if self.config.training.ema_others:
            metrics["ema_decay"] = decay
            info = self.info().model_copy(update={"results": metrics})
            self.run.averages.mkdir(exist_ok=True)
            path = self.run.averages / f"{decay!r}.safetensors"
            write_model(path, info, self._with_others(weights), dtype=torch.float16)
        return metrics

    def _measure(self, weights: dict[str, Tensor], stops: Stops) -> dict[str, float]:
        device = self.processes.device
        network = build_network(
            self.config.network, image_channels=self.learning.image_channels, scale=self.config.data.scale
        )
        network.load_state_dict(weights)
        network = network.to(device).eval().requires_grad_(False)
        denoiser = give_meaning(network, self.config.denoiser)
        own = self.learner.denoiser
        denoiser.mean, denoiser.restoration, denoiser.strength = own.mean, own.restoration, own.strength
        half = training_dtype(self.config.training.precision, device) == torch.bfloat16
        dtype = torch.bfloat16 if half else torch.float32
        sheet = self.run.samples / f"{self.state.step:07d}.png"
        if self.config.network.condition == "none":
            generator = PictureGenerator(self.info(), denoiser, device, dtype)
            gammas = self.learner.gammas
            return validate_generator(
                generator, self.images.held_out, self.config, gammas=gammas, sheet=sheet, stops=stops
            )
        upscaler = Upscaler(self.info(), denoiser, device, dtype)
        samples = 2 if self.config.training.ema_others or self.config.distillation else 1
        return validate(upscaler, self.images.held_out, self.config.sampling, sheet=sheet, samples=samples, stops=stops)

    def info(self) -> ModelInfo:
        """Describe the current model."""
        return ModelInfo(
            name=self.run.path.name,
            image_channels=self.learning.image_channels,
            step=self.state.step,
            config=self.config,
            results=self.metrics,
            data=f"{self.images.described}, {len(self.images.held_out)} images held out",
        )

    def save(self) -> None:
        """Write log, checkpoint and model; TrainingError, and no change, when the weights are not finite."""
        self.log()
        if self.saved == self.state.step:
            return
        [weights] = self._averages(all_of_them=False).values()
        if not all(bool(weight.half().isfinite().all()) for weight in weights.values()):
            raise TrainingError(
                f"step {self.state.step}: the weights are not finite; lower optimizer.learning_rate and resume "
                f"from the last checkpoint in {self.run.checkpoints}"
            )
        self.state.cursors = self.processes.join(self.learning.cursors(self.state.step))
        written = gather(self.state, keep=self.processes.is_first)
        if self.processes.is_first:
            write_state(self.run.checkpoints, written, keep=self.config.training.keep_checkpoints)
            if self.config.training.keep == "last" or not self.metrics:
                self._write_model(weights)
        self.processes.wait()
        self.saved = self.state.step

    def _averages(self, *, all_of_them: bool) -> dict[float, dict[str, Tensor]]:
        """Gather the averages from all processes, by decay; all of them, or the first one only."""
        chosen = list(self.state.averages.items())[: None if all_of_them else 1]
        return {decay: {name: whole(tensor) for name, tensor in average.items()} for decay, average in chosen}

    def _write_model(self, weights: dict[str, Tensor]) -> None:
        """Write the moving average and its description in half precision."""
        write_model(self.run.model, self.info(), self._with_others(weights), dtype=torch.float16)

    def _with_others(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Add the weights of the mean and of the restoration network, if there are any, to those of the network."""
        found = dict(weights)
        for prefix, network in other_networks(self.learner.denoiser).items():
            found |= {f"{prefix}{name}": tensor for name, tensor in network.state_dict().items()}
        return found


def selection_loss(metrics: dict[str, float]) -> float:
    """Rank averages by held-out metrics, lower is better: gradient energy score, else PSNR, else held-out loss."""
    if "gradient_energy" in metrics:
        return metrics["gradient_energy"]
    return -metrics["psnr"] if "psnr" in metrics else metrics["held_out_loss"]


def _smooth(window: Iterable[Stepped]) -> tuple[float, ...]:
    """Average the loss of several steps, over all images and per band."""
    totals = [sum(part) for part in zip(*((total for total, _ in step.bands) for step in window), strict=True)]
    counts = [sum(part) for part in zip(*((count for _, count in step.bands) for step in window), strict=True)]
    bands = (total / count if count else math.nan for total, count in zip(totals, counts, strict=True))
    return (sum(totals) / sum(counts), *bands)
