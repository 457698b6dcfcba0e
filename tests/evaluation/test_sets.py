"""Figures of sets are those of all their features together."""

import pytest
import torch

from sr3.errors import DataError
from sr3.evaluation.sets import compare_sets, compare_unpaired, score_logits
from sr3.evaluation.settings import Settings
from sr3.metrics.classification import inception_score
from sr3.metrics.distribution import frechet_distance, inside_manifold, kernel_distance

SETTINGS = Settings(resamples=400)


def features(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.slow
def test_patches_of_all_pictures_are_compared_together():
    some, truths = features(12, 3, 4), features(12, 3, 4, seed=1) + 0.2
    found = compare_sets(some, truths, SETTINGS)
    flat = some.flatten(0, 1), truths.flatten(0, 1)
    assert found.figures["distance"].value == pytest.approx(frechet_distance(*flat))
    assert found.figures["kernel"].value == pytest.approx(1e3 * kernel_distance(*flat))
    assert float(found.of_pictures["precision"].mean()) == pytest.approx(float(inside_manifold(*flat).double().mean()))
    assert float(found.of_pictures["recall"].mean()) == pytest.approx(
        float(inside_manifold(*flat[::-1]).double().mean())
    )
    assert found.of_pictures["recall"].shape == (12,)


def test_the_order_of_pictures_does_not_matter():
    some, truths, order = features(12, 3, 4), features(12, 3, 4, seed=1), torch.randperm(12)
    found, turned = compare_sets(some, truths, SETTINGS), compare_sets(some[order], truths[order], SETTINGS)
    for key, figure in found.figures.items():
        assert turned.figures[key].value == pytest.approx(figure.value)
    assert torch.equal(found.of_pictures["precision"][order], turned.of_pictures["precision"])


@pytest.mark.slow
def test_intervals_become_narrower_with_more_pictures():
    widths = []
    for count in (10, 160):
        figure = compare_sets(features(count, 2, 3), features(count, 2, 3, seed=1) + 1, SETTINGS).figures["distance"]
        assert figure.low is not None
        assert figure.high is not None
        assert figure.low < figure.value < figure.high
        widths.append(figure.high - figure.low)
    assert widths[1] < widths[0] / 2


@pytest.mark.slow
def test_four_pictures_have_an_interval_though_draws_may_take_one_of_them_only():
    found = compare_sets(features(4, 1, 3), features(4, 1, 3, seed=1), Settings(resamples=4000))
    assert found.drawn["kernel"].isnan().any()
    figure = found.figures["kernel"]
    assert figure.low is not None
    assert figure.high is not None
    assert figure.low < figure.value < figure.high


def test_the_inception_score_is_of_all_views():
    logits = features(6, 2, 5)
    figure, drawn = score_logits(logits, SETTINGS)
    assert figure.value == pytest.approx(inception_score(logits.flatten(0, 1)))
    assert len(drawn) == 20


def test_too_few_features_are_refused():
    with pytest.raises(DataError, match="3 patches are too few"):
        compare_sets(features(3, 1, 2), features(3, 1, 2), SETTINGS)


def test_sets_of_different_counts_are_compared_without_pairs():
    some, truths = features(12, 3, 4), features(20, 3, 4, seed=1) + 0.2
    found = compare_unpaired(some, truths, SETTINGS, seed=7)
    flat = some.flatten(0, 1), truths.flatten(0, 1)
    assert found.figures["distance"].value == pytest.approx(frechet_distance(*flat))
    assert found.figures["kernel"].value == pytest.approx(1e3 * kernel_distance(*flat))
    assert found.figures["precision"].value == pytest.approx(float(inside_manifold(*flat).double().mean()))
    assert found.figures["recall"].value == pytest.approx(float(inside_manifold(*flat[::-1]).double().mean()))
    assert {key: figure.count for key, figure in found.figures.items()} == {
        "distance": 12,
        "kernel": 12,
        "precision": 12,
        "recall": 20,
    }
    assert found.of_pictures == {}


@pytest.mark.slow
def test_without_pairs_results_and_truths_are_drawn_apart():
    # Of the same images, paired draws leave the difference of the sets at nothing; sets drawn apart do not.
    same = features(40, 1, 3)
    paired, apart = compare_sets(same, same, SETTINGS), compare_unpaired(same, same, SETTINGS, seed=7)
    assert float(paired.drawn["distance"].abs().max()) < 1e-6
    assert float(apart.drawn["distance"].min()) > 1e-3


@pytest.mark.slow
def test_an_interval_without_pairs_is_as_wide_as_the_figure_varies_between_sets():
    def distance(k):
        some, truths = features(60, 1, 2, seed=2 * k) + 1, features(90, 1, 2, seed=2 * k + 1)
        return compare_unpaired(some, truths, SETTINGS, seed=7).figures["distance"]

    found = [distance(k) for k in range(40)]
    widths = [figure.high - figure.low for figure in found]
    deviation = torch.tensor([figure.value for figure in found]).std()
    assert sum(widths) / len(widths) == pytest.approx(2 * 1.96 * float(deviation), rel=0.3)
