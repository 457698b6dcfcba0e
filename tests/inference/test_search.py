"""The search of a sampling grid."""

import math

import numpy as np
import pytest
import torch

from pictures import GENERATOR, Pictures, smooth, write_random_model
from sr3.build import build_grid
from sr3.checkpoint import read_model
from sr3.config import SamplingConfig
from sr3.diffusion.schedule import check_grid, cosine_grid, log_snr_grid
from sr3.errors import ConfigError
from sr3.inference.search import FAMILIES, GridScorer, held_out_pairs, keep_grid, search_grid, start_of
from sr3.inference.upscaler import open_upscaler, sampling_for
from sr3.metrics.distribution import frechet_distance
from sr3.metrics.features import FeatureNetwork

SOURCE = Pictures(*(smooth(48, 48, seed=k) for k in range(5)))


def distance_to(aim):
    """Score a grid by how far its levels are from others, in log-SNR."""
    return lambda grid: float((grid[:-1].logit() - aim[:-1].logit()).square().mean().sqrt())


@pytest.fixture
def model(tmp_path):
    return write_random_model(tmp_path / "model.safetensors")


def scorer_of(model, *features, steps=3):
    upscaler = open_upscaler(str(model), device="cpu", dtype="float32")
    pairs = held_out_pairs(SOURCE, upscaler, images=3, side=32)
    return GridScorer(upscaler, sampling_for(upscaler.info, steps=steps), pairs, features)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("place", [(0.0, 0.0), (1.0, 1.0), (0.3, 0.7)])
def test_families_give_grids_from_corner_to_corner(name, place):
    grid = FAMILIES[name](50, *place)
    assert len(check_grid(grid)) == 51


def test_both_numbers_of_a_family_matter():
    for family in FAMILIES.values():
        grids = [family(30, *place) for place in ((0.5, 0.5), (0.5, 0.8), (0.8, 0.5))]
        assert not any(torch.allclose(grids[0], other, rtol=1e-3) for other in grids[1:])


def test_the_search_starts_with_the_start_and_keeps_to_its_budget():
    trials = list(search_grid(distance_to(log_snr_grid(6, gamma_last=0.9)), cosine_grid(6), budget=37))
    assert [trial.number for trial in trials] == list(range(1, 38))
    assert trials[0].source == "start"
    assert torch.equal(trials[0].grid, cosine_grid(6))
    best = math.inf
    for trial in trials:
        best = min(best, trial.score)
        assert trial.best == best


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_levels_that_no_family_has_are_found_one_by_one(steps):
    snr = torch.sort(torch.linspace(-9, 3, steps, dtype=torch.float64) + torch.rand(steps, dtype=torch.float64)).values
    aim = torch.cat([snr.sigmoid(), torch.ones(1, dtype=torch.float64)])
    trials = list(search_grid(distance_to(aim), cosine_grid(steps), budget=400))
    assert trials[-1].best < 0.3 * trials[0].score
    assert len(trials) <= 400


def test_the_pattern_search_finds_the_best_of_a_family():
    aim = log_snr_grid(8, gamma_first=2e-5, gamma_last=0.97)
    trials = list(search_grid(distance_to(aim), cosine_grid(8), budget=120))
    from_families = [trial.score for trial in trials if not trial.source.startswith("level")]
    assert min(from_families) < 0.15


def test_a_grid_is_scored_the_same_twice_and_levels_matter(model):
    scorer = scorer_of(model)
    assert scorer.metric == "energy score x1000"
    first, again, other = scorer(cosine_grid(3)), scorer(cosine_grid(3)), scorer(log_snr_grid(3))
    assert first == again
    assert first != other


def test_with_features_the_score_is_their_frechet_distance(model):
    seen = []

    def compute(image):
        seen.append(image)
        return image.mean(dim=(2, 3))

    scorer = scorer_of(model, FeatureNetwork("means", "0", compute))
    score = scorer(cosine_grid(3))
    assert scorer.metric == "FD (means)"
    drawn, truths = torch.cat(seen[:6]), torch.cat(seen[6:])
    assert (len(drawn), len(truths)) == (6, 3)
    assert score == frechet_distance(drawn.mean(dim=(2, 3)), truths.mean(dim=(2, 3)))
    assert not torch.equal(drawn[0], drawn[1])


def test_the_winner_is_kept_in_the_model_and_used_for_its_steps(model):
    sampling = sampling_for(read_model(model).info, steps=4)
    trials = list(search_grid(distance_to(log_snr_grid(4)), start_of(sampling), budget=30))
    before = model.stat().st_size
    found = keep_grid(model, model, sampling, trials, metric="m")
    assert (found.score, found.before) == (trials[-1].best, trials[0].score)
    assert found.score < found.before
    info = read_model(model).info
    best = min(trials, key=lambda trial: trial.score).grid
    assert torch.equal(build_grid(sampling_for(info, steps=4)), best)
    assert not torch.equal(build_grid(sampling_for(info, steps=4, grid="cosine")), best)
    assert len(build_grid(sampling_for(info, steps=5))) == 6
    assert torch.equal(build_grid(sampling_for(info, steps=4, sampler="dpmpp-2m")), cosine_grid(4))
    assert abs(model.stat().st_size - before) < 4000
    # A second search begins with what the first one found, and takes its place.
    again = list(search_grid(distance_to(log_snr_grid(4)), start_of(sampling_for(info, steps=4)), budget=10))
    assert torch.equal(again[0].grid, best)
    keep_grid(model, model, sampling, again, metric="m")
    assert len(read_model(model).info.config.sampling.searched) == 1


def test_held_out_pairs_are_middles_spread_over_the_source(model):
    upscaler = open_upscaler(str(model), device="cpu", dtype="float32")
    pairs = held_out_pairs(SOURCE, upscaler, images=2, side=32)
    assert [tuple(low_res.shape) + tuple(truth.shape) for low_res, truth in pairs] == [(1, 3, 8, 8, 1, 3, 32, 32)] * 2
    for (_, truth), index in zip(pairs, (1, 3), strict=True):
        array = ((truth[0] + 1) * 127.5).round().permute(1, 2, 0).byte().numpy()
        assert np.array_equal(array, smooth(48, 48, seed=index)[8:40, 8:40])
    assert len(held_out_pairs(SOURCE, upscaler, images=50, side=32)) == 5


def test_what_has_no_levels_to_search_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="answers in one call"):
        start_of(SamplingConfig(sampler="regression", steps=1, grid="cosine"))
    with pytest.raises(ConfigError, match="at most 100"):
        start_of(SamplingConfig(steps=101))
    generator = write_random_model(tmp_path / "g.safetensors", settings=GENERATOR)
    upscaler = open_upscaler(str(write_random_model(tmp_path / "m.safetensors")), device="cpu")
    object.__setattr__(upscaler, "info", read_model(generator).info)
    with pytest.raises(ConfigError, match="is a generator"):
        held_out_pairs(SOURCE, upscaler, images=2, side=32)
