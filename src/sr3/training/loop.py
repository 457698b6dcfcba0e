"""The training loop (SR3, arXiv:2104.07636, Algorithm 1).

`train` is a generator that yields events; the caller displays them. It saves the state and ends when the time limit is
reached, when the stop flag is set, or when the generator is closed. Everything random in a step is a function of
(seed, step), so an interrupted and resumed run ends with the same weights as an uninterrupted one.
"""

import os
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from threading import Event as Flag

import torch

from sr3.config import Config
from sr3.data.sources import Source
from sr3.data.streams import Stream
from sr3.errors import DataError, TrainingError
from sr3.training.advice import after_validation, before_training
from sr3.training.events import Event, Noted, Saved, Stopped, Validated
from sr3.training.processes import open_processes
from sr3.training.run_dir import RunDir
from sr3.training.session import Session
from sr3.training.source_model import SourceModels
from sr3.training.start import open_session

__all__ = ["Limits", "train"]


@dataclass(frozen=True)
class Limits:
    """When a session ends: after a time, or when the flag is set in any process."""

    max_seconds: float = float("inf")
    stop: Flag = field(default_factory=Flag)


def train(
    config: Config,
    supply: Source | Stream,
    run: RunDir,
    *,
    device: torch.device,
    limits: Limits | None = None,
    source_models: SourceModels | None = None,
) -> Generator[Event]:
    """Train until config.training.steps or the limits; resumes from the checkpoint of the run, if there is one.

    With one process, closing the generator saves the state; several processes must be stopped by the flag. Raises
    TrainingError when the loss or the weights are not finite (the last checkpoint stays), DataError when images cannot
    be used, CheckpointError when no checkpoint of the run is intact, and GridError when the settings cannot sample.
    """
    limits, training, began = limits or Limits(), config.training, time.monotonic()
    if training.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS raises without it
        torch.use_deterministic_algorithms(True)
    processes = open_processes(device, track=training.track, folder=run.path)
    session = open_session(config, supply, run, processes, source_models or SourceModels())
    feed = session.feed(limits.stop)
    try:
        if processes.is_first:
            yield from (Noted(session.state.step, text) for text in before_training(config))
        skipped = list(_skipped_images(session))  # the same in all processes
        yield from skipped if processes.is_first else ()
        if session.needs_validation():
            yield from _validated(session, limits)
        while session.state.step < training.steps:
            if processes.any(limits.stop.is_set() or time.monotonic() - began >= limits.max_seconds):
                break
            asked = time.perf_counter()
            batch = next(feed, None)
            if batch is None:
                break
            try:
                yield session.step(batch, asked=asked, stops=limits.stop.is_set)
            except Stopped:
                break
            yield from _skipped_images(session)
            step, ended = session.state.step, session.state.step == training.steps
            validates = ended or step % training.validate_every == 0
            if validates or step % training.save_every == 0:
                session.save()
                yield Saved(step)
            if validates:
                yield from _validated(session, limits)
        if session.saved < session.state.step:
            session.save()
            yield Saved(session.state.step)
        if count := len(session.images.unusable):
            yield Noted(session.state.step, f"{count} images were skipped; they are listed above")
    except (GeneratorExit, DataError):  # the state is consistent; after other exceptions it may not be
        if processes.count == 1:
            session.save()
        raise
    except RuntimeError as error:
        if processes.count > 1 and any(name in str(error) for name in ("gloo", "NCCL", "Connection closed")):
            raise TrainingError("another process has failed; see its error message") from error
        raise
    finally:
        feed.close()
        processes.accelerator.end_training()


def _skipped_images(session: Session) -> Iterator[Event]:
    yield from (Noted(session.state.step, f"skipped: {text}") for text in session.images.unusable.unreported())


def _validated(session: Session, limits: Limits) -> Iterator[Event]:
    """Validate the model; when asked to stop meanwhile, leave the validation to the resumed run."""
    step = session.state.step
    try:
        metrics = session.validate(limits.stop.is_set)
    except Stopped:
        return
    yield Validated(step, metrics)
    yield from (Noted(step, text) for text in after_validation(session.config, step, metrics))
