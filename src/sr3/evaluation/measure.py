"""All metrics of one image: its samples against the truth and the input."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sr3.errors import DataError
from sr3.evaluation.cases import Case
from sr3.evaluation.settings import Networks, Settings
from sr3.metrics.classification import top_hit
from sr3.metrics.classifiers import CENTRE, seen_by
from sr3.metrics.colour import colour_shift, luminance, without_border
from sr3.metrics.distortion import consistency, psnr, sharpness, ssim
from sr3.metrics.energy import crps, energy_score
from sr3.metrics.flat_areas import grain, ripples
from sr3.metrics.opensr import OpenSRTest
from sr3.metrics.spread import deviation, feature_spread, rank_coverage, rank_histogram, spread_to_error
from sr3.types import Image, LowRes

__all__ = ["Measured", "in_one_colour", "measure", "measure_alone", "measure_truth", "network_views"]


@dataclass(frozen=True)
class Measured:
    """Metrics of one image by key, features and logits (p, d) of the first sample, and ranks (k + 1,)."""

    figures: Mapping[str, float]
    features: Tensor | None
    logits: Tensor | None
    ranks: Tensor | None


def in_one_colour(samples: Image, case: Case) -> tuple[Image, Image, bool]:
    """Convert samples and truth to the same channels, grey to three equal ones; also returns whether they differed.

    Raises DataError for other combinations of channels.
    """
    found, true = samples.shape[1], case.truth.shape[1]
    if found == true:
        return samples, case.truth, False
    if {found, true} != {1, 3}:
        raise DataError(f"{case.name}: the result has {found} channels, its truth {true}; give images of the same mode")
    return samples.expand(-1, 3, -1, -1), case.truth.expand(-1, 3, -1, -1), True


def measure(samples: Image, case: Case, settings: Settings, networks: Networks) -> Measured:
    """Compute all metrics of k samples (k, c, h, w) against a truth of the same size and channels."""
    truth = case.truth.expand(-1, samples.shape[1], -1, -1)
    inner, true = (without_border(image, settings.border) for image in (samples, truth))
    figures = _distortion(inner, true)
    if case.low_res is not None and settings.task == "plain":
        shown, low_res = _in_channels(samples, case.low_res, case.name)
        figures["consistency"] = 1e5 * _mean(consistency(shown, low_res))
        figures["colour_shift"] = _mean(colour_shift(shown, low_res))
    if networks.perceptual is not None and samples.shape[1] in (1, 3):
        one_by_one = [networks.perceptual(_coloured(sample), _coloured(truth)) for sample in samples.split(1)]
        figures["perceptual"] = _mean(torch.cat(one_by_one))
    if networks.opensr is not None:
        figures |= _opensr(networks.opensr, samples, case)
    answers = _answers(samples, settings, networks)
    figures.update(_right(answers, case))
    features, logits = network_views(samples[:1], answers, settings, networks)
    ranks = None
    if len(samples) > 1:
        figures.update(_spread(inner[:, None], true))
        ranks = rank_histogram(inner[:, None], true)[0]
        if features is not None:
            others = [_features(sample, settings, networks) for sample in samples[1:].split(1)]
            together = torch.stack([features, *(other for other in others if other is not None)], dim=1)
            figures["feature_spread"] = sum(feature_spread(patch) for patch in together) / len(together)
    return Measured(figures, features, logits, ranks)


def measure_truth(case: Case, settings: Settings, networks: Networks) -> Measured:
    """Compute the metrics of the truth itself."""
    answers = _answers(case.truth, settings, networks)
    features, logits = network_views(case.truth, answers, settings, networks)
    inner = without_border(case.truth, settings.border)
    own = float(grain(inner, inner))
    return Measured(_right(answers, case) | ({} if math.isnan(own) else {"grain": own}), features, logits, None)


def measure_alone(image: Image, settings: Settings, networks: Networks) -> Measured:
    """Compute features and logits of one image (1, c, h, w), for metrics of sets."""
    features, logits = network_views(image, _answers(image, settings, networks), settings, networks)
    return Measured({}, features, logits, None)


def network_views(
    image: Image, answers: Tensor | None, settings: Settings, networks: Networks
) -> tuple[Tensor | None, Tensor | None]:
    """Compute features of one image, and logits for the inception score: the feature network's, or the classifier's.

    answers: logits of the classifier for this image, perhaps followed by those of other samples.
    """
    network = networks.features
    if network is not None and network.views is not None and image.shape[1] in (1, 3):
        return network.classify([_patches(_coloured(image), settings.patch)])
    return _features(image, settings, networks), None if answers is None else answers[:1]


def _features(image: Image, settings: Settings, networks: Networks) -> Tensor | None:
    """Compute features (p, d) of one image or of its patches, which overlap by half."""
    if networks.features is None or image.shape[1] not in (1, 3):
        return None
    return networks.features([_patches(_coloured(image), settings.patch)])


def _distortion(samples: Image, truth: Image) -> dict[str, float]:
    truths = truth.expand(len(samples), -1, -1, -1)
    figures = {"psnr": _mean(psnr(samples, truths)), "ssim": _mean(ssim(samples, truths))}
    if samples.shape[1] == 3:
        light, true_light = luminance(samples), luminance(truths)
        figures |= {"psnr_y": _mean(psnr(light, true_light)), "ssim_y": _mean(ssim(light, true_light))}
    true_sharpness = float(sharpness(truth).mean())  # undefined for a constant truth
    figures["sharpness"] = float(sharpness(samples).mean()) / true_sharpness if true_sharpness else float("nan")
    figures["ripples"] = _mean(ripples(samples, truths))
    figures["grain"] = _mean(grain(samples, truths))
    return figures


def _opensr(metrics: OpenSRTest, samples: Image, case: Case) -> dict[str, float]:
    """Compute the metrics of opensr-test, mean over samples."""
    if case.low_res is None:
        raise DataError(f"{case.name}: opensr-test compares results with their inputs; give --input or --scale")
    shown, low_res = _in_channels(samples, case.low_res, case.name)
    truth = case.truth.expand(-1, shown.shape[1], -1, -1)
    found = [metrics(sample, truth, low_res[:1]) for sample in shown.split(1)]
    return {key: sum(one[key] for one in found) / len(found) for key in found[0]}


def _in_channels(samples: Image, low_res: LowRes, name: str) -> tuple[Image, LowRes]:
    """Expand results and their input (1, c, h, w) to the same channels and count; grey to three equal channels."""
    channels = {samples.shape[1], low_res.shape[1]}
    if len(channels) > 1 and channels != {1, 3}:
        raise DataError(
            f"{name}: the result has {samples.shape[1]} channels, its input {low_res.shape[1]}; use one mode"
        )
    shown, small = (image.expand(len(samples), max(channels), -1, -1) for image in (samples, low_res))
    return shown, small


def _answers(samples: Image, settings: Settings, networks: Networks) -> Tensor | None:
    """Classify samples one by one: logits (k, classes)."""
    if networks.classifier is None or samples.shape[1] not in (1, 3):
        return None
    share = 1.0 if settings.task == "classification" else CENTRE
    return torch.cat([networks.classifier(seen_by(sample, share=share)) for sample in samples.split(1)])


def _right(answers: Tensor | None, case: Case) -> dict[str, float]:
    if answers is None:
        return {}
    if case.label >= answers.shape[1]:
        raise DataError(
            f"{case.name}: class {case.label}, but the classifier has {answers.shape[1]}; check the file names"
        )
    return {key: _mean(top_hit(answers, case.label, k)) for key, k in (("top1", 1), ("top5", 5))}


def _spread(samples: Tensor, truth: Image) -> dict[str, float]:
    return {
        "deviation": 255 * _mean(deviation(samples)),
        "crps": 255 * _mean(crps(samples, truth)),
        "energy": 1e3 * _mean(energy_score(samples, truth)),
        "coverage": _mean(rank_coverage(samples, truth)),
        "spread_to_error": _mean(spread_to_error(samples, truth)),
    }


def _patches(image: Image, side: int) -> Image:
    """Cut an image into square patches that overlap by half; the whole image for side 0 or a smaller image."""
    if side == 0 or min(image.shape[-2:]) < side:
        return image
    cut = image.unfold(2, side, max(1, side // 2)).unfold(3, side, max(1, side // 2))
    return cut.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)


def _coloured(image: Image) -> Image:
    return image.expand(-1, 3, -1, -1)


def _mean(values: Tensor) -> float:
    return float(values.double().mean())
