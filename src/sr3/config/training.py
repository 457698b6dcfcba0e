"""Settings of training: pairs, optimiser, length, logging and checkpoints."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sr3.config.strict import NonNegative, Positive, Settings

__all__ = ["DataConfig", "OptimizerConfig", "TrainingConfig"]


class DataConfig(Settings):
    """How training pairs are made."""

    scale: Annotated[int, Field(ge=1, le=64)] = 4
    """Magnification; 1 for unconditional generation, and for restoration, whose degraded input has the size of the
    result."""
    crop: NonNegative = 0
    """Side of the random high-resolution crop in pixels, a multiple of `scale`; 0 uses whole images. For unconditional
    generation, the side of the generated images."""
    augment: Literal["none", "flip", "dihedral"] = "flip"
    """Random augmentation: flip mirrors left and right; dihedral draws one of all eight rotations and flips."""
    degradation: Literal["bicubic", "area", "blur", "noise", "jpeg", "photo", "paired"] = "bicubic"
    """How the low-resolution input is made from the high-resolution image: bicubic as in the paper; photo is a random
    chain of degradations for real-world photos; paired reads the input from the data set."""
    enlarged: Literal["full", "8-bit"] = "full"
    """Precision of the upsampled input, in training and inference: full, or rounded and clipped to 8 bits, as if it
    were saved as an image file."""
    blur: Annotated[float, Field(ge=0)] = 0.0
    """Gaussian blur of the input in training, as in the paper's cascades: largest standard deviation, in input pixels;
    drawn uniformly per image. The paper does not give its range."""
    condition_gamma: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Noise augmentation of the input in training (CDM, arXiv:2106.15282): the lowest gamma (share of signal variance),
    which is drawn per image, uniformly from here to 1; 1 adds no noise."""
    class_dropout: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Class dropout: share of training images whose class is dropped, for classifier-free guidance
    (arXiv:2207.12598)."""
    cache_gib: Annotated[float, Field(ge=0)] = 2.0
    """Size of the cache of decoded images in memory, GiB."""
    feed: Literal["threads", "device"] = "threads"
    """Where pairs are made: in threads that prefetch, or on the training device, which then holds all decoded images
    and draws crops and noise itself, for fast accelerators and data sets that fit in their memory. Each is
    reproducible; the two draw different random numbers."""
    stream: bool = False
    """Stream local shards in order, as remote shards are, instead of reading them at random."""
    shuffle: Positive = 2000
    """Size of the shuffle buffer of a stream, in encoded images, over all processes."""
    max_unusable: NonNegative = 10
    """Largest number of images that may be skipped, each with a warning, because they are damaged, too small or
    unsupported; one more stops the run."""
    workers: NonNegative = 0
    """Decoding threads; 0 uses one on a CPU and, on a GPU, one per available processor core up to 8."""

    @property
    def is_random(self) -> bool:
        """Whether the degradation is drawn at random for each pair."""
        return self.degradation in ("blur", "noise", "jpeg", "photo")

    @model_validator(mode="after")
    def _crop_fits_scale(self) -> "DataConfig":
        if self.crop % self.scale:
            raise ValueError(f"crop {self.crop} is not a multiple of scale {self.scale}; change one of them")
        return self


class OptimizerConfig(Settings):
    """Adam with linear warm-up (section 2.2, appendix B)."""

    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    """Learning rate after warm-up."""
    warmup: NonNegative = 10_000
    """Steps of linear warm-up."""
    cooldown: NonNegative = 0
    """Final steps over which the learning rate decays linearly to 0; 0, as in the paper, keeps it constant."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay rate of Adam's first moment."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay rate of Adam's second moment."""
    clip: Annotated[float, Field(gt=0)] = 1.0
    """Gradient clipping: largest norm of the gradient. Not given in the paper."""


class TrainingConfig(Settings):
    """Length, batch size, logging and checkpoints of a run."""

    steps: Positive = 1_000_000
    """Optimiser steps."""
    batch: Annotated[int, Field(ge=1, le=1_000_000)] = 256
    """Global batch size: images per step over all processes."""
    seed: NonNegative = 0
    """Seed of all random numbers of the run."""
    start: str = "none"
    """The model whose weights the run started from: its name and the first digits of its SHA-256; written by
    --start."""
    track: Literal["none", "tensorboard", "wandb"] = "none"
    """Experiment tracker that receives the metrics besides metrics.jsonl, through accelerate."""
    deterministic: bool = False
    """Reject non-deterministic operations; slower on a GPU."""
    accumulate: Positive = 1
    """Gradient accumulation: number of parts into which each process splits its batch. The step is the same and needs
    less memory."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "float32"
    """Data type of the network's computations (mixed precision); weights and EMA stay float32. auto is bfloat16 on
    devices that have instructions for it, and float32 elsewhere. float16 is for cuda."""
    compile: bool = False
    """Compile the network (torch.compile): takes minutes at the start of every session, then runs somewhat faster."""
    keep: Literal["last", "best-psnr"] = "last"
    """Model that the run keeps: the last (SR3), or the one with the highest validation PSNR (the regression
    baseline)."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.9999
    """Decay rate of the exponential moving average of the weights, after a ramp-up. Not given in the paper; this is
    Palette's value."""
    ema_others: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = ()
    """Decay rates of further moving averages that are kept in parallel, so that the best can be chosen by
    measurement."""
    validate_every: Positive = 10_000
    """Steps between validations."""
    validation_images: Positive = 8
    """Images held out from training for validation."""
    save_every: Positive = 1_000
    """Steps between checkpoints."""
    keep_checkpoints: Annotated[int, Field(ge=1)] = 2
    """Number of most recent checkpoints to keep."""
