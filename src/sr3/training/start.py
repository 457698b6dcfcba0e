"""The start of a session: images, network, optimiser, and the checkpoint of an earlier session."""

import warnings
from pathlib import Path
from typing import cast

import torch

from sr3.build import Network, build_denoiser, build_gammas, build_grid, build_optimizer
from sr3.build_objective import build_objective
from sr3.checkpoint import RESTORATION_PREFIX, STRENGTH_PREFIX, ModelFile, read_model
from sr3.config import Config
from sr3.data.sources import Source
from sr3.data.streams import Stream
from sr3.diffusion.denoiser import Denoiser
from sr3.errors import ConfigError, TrainingError
from sr3.runtime.device import training_dtype
from sr3.sampling.filling import fill, fill_part, other_networks
from sr3.training.advice import emulated_dtype
from sr3.training.ema import copy_weights
from sr3.training.images import find_images
from sr3.training.mean import check_mean
from sr3.training.processes import Processes
from sr3.training.run_dir import RunDir
from sr3.training.session import Session
from sr3.training.source_model import SourceModel, SourceModels, check_source_models
from sr3.training.speed import open_speed
from sr3.training.state import TrainState, last_whole, read_state
from sr3.training.step import Learner
from sr3.training.teacher import open_teacher

__all__ = ["open_session"]


def open_session(
    config: Config,
    supply: Source | Stream,
    run: RunDir,
    processes: Processes,
    source_models: SourceModels,
) -> Session:
    """Split the images, build the state and read a checkpoint into it; raises for settings that cannot be used.

    A new run starts from the weights of a source model, if it has one. Layers for the features of a mean, which the
    source model may lack, are then zero.
    """
    start, mean = source_models.start, source_models.mean
    build_grid(config.sampling)
    for text in emulated_dtype(config, processes.device):
        warnings.warn(text, stacklevel=2)
    dtype = training_dtype(config.training.precision, processes.device)
    images = find_images(supply, config)
    channels = images.held_out.image_channels
    teacher = _teacher(config, source_models.teacher, processes.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        denoiser = build_denoiser(config, image_channels=channels).to(processes.device).train()
        objective = build_objective(config, image_channels=channels, device=processes.device, teacher=teacher)
    if config.adversary is not None and config.adversary.is_used and processes.count > 1:
        raise TrainingError(
            "objective.adversary supports one process only; launch one, or set the weights of objective.adversary to 0"
        )
    check_mean(config, mean, image_channels=channels)
    if denoiser.mean is not None and mean is not None:
        fill(denoiser.mean, mean.file)
    if denoiser.restoration is not None:
        _fill_restoration(denoiser, config, start)
    network = denoiser.network
    found = _last_state(run)
    if found is None:
        check_source_models(config, source_models, image_channels=channels)
        if (initial := start or source_models.teacher) is not None:
            fill(network, _with_guide(network, initial.file))
    optimizer = build_optimizer(network.parameters(), config.optimizer)
    shared, optimizer = processes.accelerator.prepare(network, optimizer)
    denoiser.network = _compiled(shared) if config.training.compile else shared
    bare = processes.accelerator.unwrap_model(shared)
    decays = (config.training.ema_decay, *config.training.ema_others)
    scaler = torch.amp.GradScaler(processes.device.type, enabled=dtype == torch.float16)
    averages = {decay: copy_weights(bare) for decay in decays}
    state = TrainState(0, images.fingerprint, bare, averages, optimizer.optimizer, scaler)
    state.discriminator = objective.discriminator
    metrics: dict[str, float] = {}
    if found is not None:
        read_state(found, state)
        if run.model.is_file():
            before = read_model(run.model).info
            metrics = dict(before.results)
            sampling = config.sampling.model_copy(update={"searched": before.config.sampling.searched})
            config = config.model_copy(update={"sampling": sampling})
    learner = Learner(
        config,
        processes,
        denoiser,
        bare,
        state.optimizer,
        build_gammas(config.schedule),
        scaler,
        objective,
    )
    if config.training.track != "none":
        own = {"wandb": {"dir": str(run.path), "name": run.path.name}}
        processes.accelerator.init_trackers(
            "sr3" if config.training.track == "wandb" else run.path.name, init_kwargs=own
        )
    speed = open_speed(config, processes, images.held_out)
    places = range(learner.parts[0].start, learner.parts[-1].stop)
    learning = images.open(places, state.cursors, device=processes.device)
    return Session(config, run, learner, state, images, learning, metrics, saved=state.step, speed=speed)


def _fill_restoration(denoiser: Denoiser[Network], config: Config, start: SourceModel | None) -> None:
    """Load the networks that clean the inputs from the model that the run starts with."""
    own, before = config.restoration, start and start.file.info.config.restoration
    if start is None or own is None or before is None or before.digest != own.digest:
        name = "none" if own is None else own.name
        raise ConfigError(
            f"restoration.name = {name}: this network cleans the inputs of the run; give the model that has it by "
            "--start"
        )
    networks = other_networks(denoiser)
    for prefix in networks.keys() & {RESTORATION_PREFIX, STRENGTH_PREFIX}:
        fill_part(networks[prefix], start.file, prefix)


def _with_guide(network: Network, file: ModelFile) -> ModelFile:
    """Add the initial weights of the layers for features of a mean to a model file without them."""
    own = {name: tensor.detach().clone() for name, tensor in network.state_dict().items() if name.startswith("guide.")}
    return ModelFile(file.info, {**own, **file.weights})


def _teacher(config: Config, model: SourceModel | None, device: torch.device) -> Denoiser[Network] | None:
    """Load the teacher of a distillation; TrainingError when there is none."""
    if config.objective.kind != "distillation":
        return None
    if model is None:
        raise TrainingError("objective.kind distillation needs a teacher: use sr3 distill MODEL")
    teacher = open_teacher(config, model, device=device)
    if config.training.compile:
        teacher.network = _compiled(teacher.network)
    return teacher


def _compiled(network: Network) -> Network:
    return cast(Network, torch.compile(network))


def _last_state(run: RunDir) -> Path | None:
    found = last_whole(run.checkpoints)
    return found or (run.old_state if run.old_state.is_file() else None)
