"""The training loop (SR3, arXiv:2104.07636, Algorithm 1).

`train` is a generator: what happens is yielded, whoever reads it shows it. It ends in order, with its state saved, when
its time is over, when it is told to stop, or when nobody reads on. Everything random in a step follows from
(seed, step), so a run that was stopped or killed ends with the same weights as one that was not.
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
from sr3.training.advice import before_training, of_validation
from sr3.training.events import Event, Noted, Saved, Stopped, Validated
from sr3.training.opening import open_session
from sr3.training.origin import Origin
from sr3.training.processes import open_processes
from sr3.training.run_dir import RunDir
from sr3.training.session import Session

__all__ = ["Limits", "train"]


@dataclass(frozen=True)
class Limits:
    """When a sitting ends: after a time, or when the flag is set in any process."""

    max_seconds: float = float("inf")
    stop: Flag = field(default_factory=Flag)


def train(
    config: Config,
    supply: Source | Stream,
    run: RunDir,
    *,
    device: torch.device,
    limits: Limits | None = None,
    origin: Origin | None = None,
    mean: Origin | None = None,
) -> Generator[Event]:
    """Train until config.training.steps or the limits; resumes what the run holds.

    origin: the model that a student is taught by, or whose weights another run begins with in place of random ones.
    mean: the model whose picture this one refines.

    Closing the iterator saves, where there is one process; several must be stopped by the flag. Raises TrainingError
    when the loss or the weights are not finite (the last state stays), DataError when images cannot be used,
    CheckpointError when no state in the run is whole, and GridError when the settings cannot sample.
    """
    limits, training, began = limits or Limits(), config.training, time.monotonic()
    if training.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else cuBLAS refuses
        torch.use_deterministic_algorithms(True)
    processes = open_processes(device, track=training.track, folder=run.path)
    session = open_session(config, supply, run, processes, origin=origin, mean=mean)
    feed = session.feed(limits.stop)
    try:
        if processes.is_first:
            yield from (Noted(session.state.step, text) for text in before_training(config))
        beginning = list(_left_out(session))  # the same in all processes
        yield from beginning if processes.is_first else ()
        if session.owes_validation():
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
            yield from _left_out(session)
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
        if count := len(session.images.tally):
            yield Noted(session.state.step, f"{count} images were left out; they are named above")
    except (GeneratorExit, DataError):  # the state is whole; after any other exception it may not be
        if processes.count == 1:
            session.save()
        raise
    except RuntimeError as error:
        if processes.count > 1 and any(name in str(error) for name in ("gloo", "NCCL", "Connection closed")):
            raise TrainingError("another process has ended; its own message says why") from error
        raise
    finally:
        feed.close()
        processes.accelerator.end_training()


def _left_out(session: Session) -> Iterator[Event]:
    yield from (Noted(session.state.step, f"left out: {text}") for text in session.images.tally.untold())


def _validated(session: Session, limits: Limits) -> Iterator[Event]:
    """Measure the model; told to stop meanwhile, leave that to the resumed run."""
    step = session.state.step
    try:
        figures = session.validate(limits.stop.is_set)
    except Stopped:
        return
    yield Validated(step, figures)
    yield from (Noted(step, text) for text in of_validation(session.config, step, figures))
