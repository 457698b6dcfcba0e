"""The search of a sampling grid."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from pictures import Pictures, smooth, write_random_model
from sr3.build import build_grid
from sr3.checkpoint import read_model
from sr3.config import SamplingConfig
from sr3.diffusion.noise import mix_seed
from sr3.diffusion.schedule import check_grid, cosine_grid, log_snr_grid
from sr3.errors import ConfigError, DataError
from sr3.metrics.distribution import frechet_distance
from sr3.metrics.energy import gradient_energy_score
from sr3.metrics.features import FeatureNetwork
from sr3.sampling.plan import sampling_for
from sr3.sampling.upscaler import open_upscaler
from sr3.tuning.scoring import GridScorer, check_target, choose, held_out_pairs, keep_grid, start_of
from sr3.tuning.search import FAMILIES, best_of, search_grid
from sr3.zoo import find_model

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


@pytest.mark.slow
@pytest.mark.parametrize("together", [2, 16])
def test_pictures_sampled_together_have_the_score_they_have_one_after_the_other(model, together):
    scorer = scorer_of(model)
    other = held_out_pairs(SOURCE, scorer.upscaler, images=2, side=48)
    alone = replace(scorer, pairs=[*scorer.pairs, *other])
    assert replace(alone, together=together)(cosine_grid(3)) == alone(cosine_grid(3))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("place", [(0.0, 0.0), (1.0, 1.0), (0.3, 0.7)])
def test_families_give_grids_from_corner_to_corner(name, place):
    grid = FAMILIES[name](50, *place)
    assert len(check_grid(grid)) == 51


def test_both_numbers_of_a_family_matter():
    for family in FAMILIES.values():
        grids = [family(30, *place) for place in ((0.5, 0.5), (0.5, 0.8), (0.8, 0.5))]
        assert not any(torch.allclose(grids[0], other, rtol=1e-3) for other in grids[1:])


@pytest.mark.slow
def test_the_search_starts_with_the_start_and_keeps_to_its_budget():
    trials = list(search_grid(distance_to(log_snr_grid(6, gamma_last=0.9)), cosine_grid(6), budget=37))
    assert [trial.number for trial in trials] == list(range(1, 38))
    assert trials[0].source == "start"
    assert torch.equal(trials[0].grid, cosine_grid(6))
    best = math.inf
    for trial in trials:
        best = min(best, trial.score)
        assert trial.best == best


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_levels_that_no_family_has_are_found_one_by_one(steps):
    snr = torch.sort(torch.linspace(-9, 3, steps, dtype=torch.float64) + torch.rand(steps, dtype=torch.float64)).values
    aim = torch.cat([snr.sigmoid(), torch.ones(1, dtype=torch.float64)])
    trials = list(search_grid(distance_to(aim), cosine_grid(steps), budget=400))
    assert trials[-1].best < 0.3 * trials[0].score
    assert len(trials) <= 400


@pytest.mark.slow
def test_the_pattern_search_finds_the_best_of_a_family():
    aim = log_snr_grid(8, gamma_first=2e-5, gamma_last=0.97)
    trials = list(search_grid(distance_to(aim), cosine_grid(8), budget=120))
    from_families = [trial.score for trial in trials if not trial.source.startswith("level")]
    assert min(from_families) < 0.15


@pytest.mark.slow
def test_a_grid_is_scored_the_same_twice_and_levels_matter(model):
    scorer = scorer_of(model)
    assert scorer.metric == "gradient energy score x1000"
    first, again, other = scorer(cosine_grid(3)), scorer(cosine_grid(3)), scorer(log_snr_grid(3))
    assert first == again
    truths = torch.cat([truth for _, truth in scorer.pairs])
    along = scorer.sampling.model_copy(update={"grid": "cosine"})
    drawn = [
        scorer.upscaler.upscale(low.repeat(2, 1, 1, 1), sampling=along, seeds=[mix_seed(0, k, 0), mix_seed(0, k, 1)])
        for k, (low, _) in enumerate(scorer.pairs)
    ]
    assert first == pytest.approx(1000 * float(gradient_energy_score(torch.stack(drawn, dim=1), truths).mean()))
    assert first != other


@pytest.mark.slow
def test_with_features_the_score_is_the_frechet_distance_of_one_sample_each(model):
    seen = []

    def compute(image):
        seen.append(image)
        return image.mean(dim=(2, 3))

    scorer = scorer_of(model, FeatureNetwork("means", "0", compute))
    score = scorer(cosine_grid(3))
    assert scorer.metric == "FD (means)"
    drawn, truths = torch.cat(seen[:3]), torch.cat(seen[3:])
    assert (len(drawn), len(truths)) == (3, 3)
    assert torch.equal(truths, torch.cat([truth for _, truth in scorer.pairs]))
    assert score == frechet_distance(drawn.mean(dim=(2, 3)), truths.mean(dim=(2, 3)))
    scorer(cosine_grid(3))
    assert len(seen) == 9  # the truths' features are computed once


@pytest.mark.slow
def test_the_two_samples_of_a_picture_differ_and_another_draw_gives_others(model):
    scorer = scorer_of(model)
    assert replace(scorer, draw=1)(cosine_grid(3)) != scorer(cosine_grid(3))
    [drawn, *_] = scorer._drawn(scorer.sampling, 2)
    assert drawn.shape == (2, 1, 3, 32, 32)
    assert not torch.equal(drawn[0], drawn[1])


def choose_by(monkeypatch, model, sampling, trials, aim):
    scorer = replace(scorer_of(model), sampling=sampling)
    monkeypatch.setattr(GridScorer, "__call__", lambda self, grid: distance_to(aim)(grid) + self.draw)
    return choose(scorer, trials)


@pytest.mark.slow
def test_the_winner_is_kept_in_the_model_and_used_for_its_steps(model, monkeypatch):
    info = read_model(model).info
    sampling = sampling_for(info, steps=4)
    trials = list(search_grid(distance_to(log_snr_grid(4)), start_of(sampling), budget=30))
    found = choose_by(monkeypatch, model, sampling, trials, log_snr_grid(4))
    best = best_of(trials).grid
    assert found.score == pytest.approx(1 + trials[-1].best)
    assert found.before == pytest.approx(1 + trials[0].score)
    size = model.stat().st_size
    keep_grid(model, model, info, found)
    info = read_model(model).info
    assert torch.equal(build_grid(sampling_for(info, steps=4)), best)
    assert not torch.equal(build_grid(sampling_for(info, steps=4, grid="cosine")), best)
    assert len(build_grid(sampling_for(info, steps=5))) == 6
    assert torch.equal(build_grid(sampling_for(info, steps=4, sampler="dpmpp-2m")), cosine_grid(4))
    assert abs(model.stat().st_size - size) < 4000
    # A second search begins with what the first one found, and its result takes that one's place.
    again = list(search_grid(distance_to(log_snr_grid(4)), start_of(sampling_for(info, steps=4)), budget=10))
    assert torch.equal(again[0].grid, best)
    keep_grid(model, model, info, choose_by(monkeypatch, model, sampling, again, log_snr_grid(4)))
    assert len(read_model(model).info.config.sampling.searched) == 1


@pytest.mark.slow
def test_a_winner_by_luck_gives_way_to_the_start(model, monkeypatch):
    sampling = sampling_for(read_model(model).info, steps=4)
    trials = list(search_grid(distance_to(log_snr_grid(4)), start_of(sampling), budget=30))
    found = choose_by(monkeypatch, model, sampling, trials, start_of(sampling))
    assert torch.equal(torch.tensor(found.gammas, dtype=torch.float64), start_of(sampling))
    assert found.score == found.before == 1.0


@pytest.mark.slow
def test_a_model_that_has_changed_during_the_search_is_left_alone(model, monkeypatch):
    info = read_model(model).info
    sampling = sampling_for(info, steps=4)
    trials = list(search_grid(distance_to(log_snr_grid(4)), start_of(sampling), budget=3))
    found = choose_by(monkeypatch, model, sampling, trials, log_snr_grid(4))
    write_random_model(model, settings=["training.seed=1"])
    before = model.read_bytes()
    with pytest.raises(ConfigError, match="has changed during the search"):
        keep_grid(model, model, info, found)
    assert model.read_bytes() == before


@pytest.mark.slow
def test_half_of_the_budget_is_left_for_the_levels():
    trials = list(search_grid(distance_to(log_snr_grid(6, gamma_last=0.9)), cosine_grid(6), budget=40))
    assert 15 <= sum(trial.source.startswith("level") for trial in trials) <= 25


@pytest.mark.slow
def test_a_level_moves_by_a_part_of_the_gap_in_log_snr():
    start = torch.tensor([-8.0, -2.0, 2.0], dtype=torch.float64).sigmoid()
    grid = torch.cat([start, torch.ones(1, dtype=torch.float64)])
    trials = list(search_grid(lambda g: 0.0 if torch.equal(g, grid) else 1.0, grid, budget=300))
    moved = [trial.grid[:-1].logit() - start.logit() for trial in trials if trial.source == "level 2"]
    amounts = sorted(round(float(change[1]), 6) for change in moved)
    assert amounts == [-3.0, -1.5, -0.75, 0.5, 1.0, 2.0]
    assert all(float(change[0]) == float(change[2]) == 0 for change in moved)


def test_no_grid_is_tried_twice_and_an_idle_search_ends():
    trials = list(search_grid(lambda _: 1.0, cosine_grid(1), budget=2000))
    keys = {tuple(trial.grid.tolist()) for trial in trials}
    assert len(keys) == len(trials) < 200


@pytest.mark.slow
def test_the_pattern_search_starts_in_the_best_family_even_if_the_start_is_better():
    aim = log_snr_grid(8, gamma_first=1e-4, gamma_last=0.99)
    trials = list(search_grid(distance_to(aim), aim, budget=100))
    later = [trial.source for trial in trials[21:50]]
    assert {source for source in later if not source.startswith("level")} == {"log_snr"}


@pytest.mark.slow
def test_where_the_result_cannot_go_is_said_before_the_search(model, tmp_path):
    with pytest.raises(ConfigError, match="photos-x4: belongs to the package; name a file"):
        check_target(find_model("photos-x4"), find_model("photos-x4"))
    with pytest.raises(ConfigError, match="its folder does not exist"):
        check_target(model, tmp_path / "nowhere" / "x.safetensors")
    with pytest.raises(ConfigError, match=r"name a file that ends in \.safetensors"):
        check_target(model, tmp_path)
    check_target(model, model)
    check_target(model, tmp_path / "new.safetensors")
    other = write_random_model(tmp_path / "other.safetensors", seed=1)
    with pytest.raises(ConfigError, match=r"other\.safetensors: exists and is not"):
        check_target(model, other)
    check_target(model, other, overwrite=True)
    (tmp_path / "again.safetensors").symlink_to(model)
    check_target(model, tmp_path / "again.safetensors")
    (tmp_path / "link.safetensors").symlink_to(find_model("photos-x4"))
    with pytest.raises(ConfigError, match="belongs to the package"):
        check_target(model, tmp_path / "link.safetensors", overwrite=True)


@pytest.mark.slow
def test_held_out_pairs_are_middles_spread_over_the_source(model):
    upscaler = open_upscaler(str(model), device="cpu", dtype="float32")
    pairs = held_out_pairs(SOURCE, upscaler, images=2, side=32)
    assert [tuple(low_res.shape) + tuple(truth.shape) for low_res, truth in pairs] == [(1, 3, 8, 8, 1, 3, 32, 32)] * 2
    for (_, truth), index in zip(pairs, (1, 3), strict=True):
        array = ((truth[0] + 1) * 127.5).round().permute(1, 2, 0).byte().numpy()
        assert np.array_equal(array, smooth(48, 48, seed=index)[8:40, 8:40])
    assert len(held_out_pairs(SOURCE, upscaler, images=50, side=32)) == 5


@pytest.mark.slow
def test_what_has_no_levels_to_search_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="answers in one call"):
        start_of(SamplingConfig(sampler="regression", steps=1, grid="cosine"))
    with pytest.raises(ConfigError, match="at most 100"):
        start_of(SamplingConfig(steps=101))
    upscaler = open_upscaler(str(write_random_model(tmp_path / "m.safetensors")), device="cpu")
    grey = open_upscaler(str(write_random_model(tmp_path / "grey.safetensors", image_channels=1)), device="cpu")
    with pytest.raises(DataError, match="has 3 channels, but grey 1"):
        held_out_pairs(SOURCE, grey, images=2, side=32)
    with pytest.raises(DataError, match="at least 2 images"):
        held_out_pairs(Pictures(smooth(48, 48)), upscaler, images=2, side=32)
