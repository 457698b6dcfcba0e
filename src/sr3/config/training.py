"""Settings of training: pairs, optimiser, length and bookkeeping."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sr3.config.strict import NonNegative, Positive, Settings

__all__ = ["DataConfig", "OptimizerConfig", "TrainingConfig"]


class DataConfig(Settings):
    """How training pairs are made."""

    scale: Annotated[int, Field(ge=1, le=64)] = 4
    """Magnification; 1 for a generator, and for a restoration, whose input is degraded and as large as the result."""
    crop: NonNegative = 0
    """Side of the random high-resolution crop in pixels, a multiple of `scale`; 0 takes whole images. Of a generator:
    the side of its pictures."""
    augment: Literal["none", "flip", "dihedral"] = "flip"
    """Mirror left and right, or all eight turns and mirrors."""
    degradation: Literal["bicubic", "area", "blur", "noise", "jpeg", "photo", "paired"] = "bicubic"
    """How the small image is made of the large one: the paper's is bicubic; photo is a random chain for pictures from
    the wild; paired takes the one that comes with it."""
    enlarged: Literal["full", "8-bit"] = "full"
    """Precision of the enlarged input, in training and after: full, or rounded to 8 bits and held in range, as by
    programs that keep it as a picture."""
    blur: Annotated[float, Field(ge=0)] = 0.0
    """Blur of the input in training, as in the paper's cascades: largest deviation of the Gaussian, in pixels of the
    input; drawn uniformly for every image. Its range is open in the paper."""
    condition_gamma: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Noise on the input in training (CDM, arXiv:2106.15282): lowest level, drawn uniformly up to 1 for every image."""
    hide_class: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of images whose class is hidden in training, so that guidance is possible (arXiv:2207.12598)."""
    cache_gib: Annotated[float, Field(ge=0)] = 2.0
    """Decoded images kept in memory, GiB."""
    feed: Literal["threads", "device"] = "threads"
    """Who makes the pairs: threads that decode ahead; or the device that trains, which then holds all images decoded
    and draws crops and noise itself, for fast accelerators and sets that fit their memory. Each repeats its own draws,
    but not the other's."""
    stream: bool = False
    """Read shards of this machine in order, as those from a network are, not at random."""
    shuffle: Positive = 2000
    """Images of a stream that are kept encoded and shuffled together, in all processes."""
    max_unusable: NonNegative = 10
    """Images that are left out, by name, because they are damaged, too small or of another kind; one more ends the
    run."""
    workers: NonNegative = 0
    """Threads that decode; 0 takes one, and on a GPU as many as there are processor cores for, up to 8."""

    @property
    def is_random(self) -> bool:
        """Whether the degradation is drawn anew for every pair."""
        return self.degradation in ("blur", "noise", "jpeg", "photo")

    @model_validator(mode="after")
    def _crop_fits_scale(self) -> "DataConfig":
        if self.crop % self.scale:
            raise ValueError(f"crop {self.crop} is not a multiple of scale {self.scale}")
        return self


class OptimizerConfig(Settings):
    """Adam with linear warm-up (section 2.2, appendix B)."""

    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    """Rate after warm-up."""
    warmup: NonNegative = 10_000
    """Steps of linear warm-up."""
    cooldown: NonNegative = 0
    """Steps at the end in which the rate falls linearly to 0; 0, the paper's, keeps it constant."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay of Adam's first moment."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of Adam's second moment."""
    clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the gradient. Open in the paper."""


class TrainingConfig(Settings):
    """Length, batch and bookkeeping of a run."""

    steps: Positive = 1_000_000
    """Optimiser steps."""
    batch: Annotated[int, Field(ge=1, le=1_000_000)] = 256
    """Images a step."""
    seed: NonNegative = 0
    """Seed of everything random in the run."""
    start: str = "none"
    """The model whose weights the run began with: its name and the first digits of its SHA-256; written by --start."""
    track: Literal["none", "tensorboard", "wandb"] = "none"
    """Where figures are sent besides metrics.jsonl, by accelerate's trackers."""
    deterministic: bool = False
    """Refuse operations whose result may differ from run to run; slower on a GPU."""
    accumulate: Positive = 1
    """Parts a batch is cut into in each process, one after the other: less memory, the same step."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "float32"
    """Type of the network's arithmetic; weights and EMA stay float32. auto is bfloat16 where the device has
    instructions for it, and float32 elsewhere. float16 is for cuda."""
    compile: bool = False
    """Compile the network (torch.compile): minutes at the start of every sitting, then somewhat faster."""
    keep: Literal["last", "best-psnr"] = "last"
    """Which model the run leaves: the last (SR3), or that of the highest held-out PSNR (the regression baseline)."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.9999
    """Decay of the moving average of the weights, reached by a ramp. Open in the paper (Palette's value)."""
    ema_others: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = ()
    """Decays of further averages, kept at once, so that the best is chosen by measurement."""
    validate_every: Positive = 10_000
    """Steps between validations."""
    validation_images: Positive = 8
    """Images held out of training for validation."""
    save_every: Positive = 1_000
    """Steps between checkpoints."""
    keep_checkpoints: Annotated[int, Field(ge=1)] = 2
    """Checkpoints kept, the last ones."""
