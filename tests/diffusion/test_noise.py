import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sr3.diffusion.noise import NoiseSource, draw_noise, mix_seed

integers = st.integers(-(2**63), 2**64)


@pytest.mark.slow
@given(st.lists(st.integers(0, 2**40), min_size=2, max_size=5), st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_an_image_alone_has_the_noise_it_has_in_a_batch(seeds, size):
    together = NoiseSource(seeds)
    alone = [NoiseSource([seed]) for seed in seeds]
    for _ in range(2):
        batch = together.draw((3, *size))
        for k, source in enumerate(alone):
            assert torch.equal(source.draw((3, *size))[0], batch[k])


def test_a_stream_goes_on_and_is_repeated_by_its_seed():
    source, again = NoiseSource([5]), NoiseSource([5])
    first, second = source.draw((3, 4, 4)), source.draw((3, 4, 4))
    assert not torch.equal(first, second)
    assert torch.equal(again.draw((3, 4, 4)), first)
    assert torch.equal(again.draw((3, 4, 4)), second)


def test_noise_is_standard_normal_in_float32():
    noise = NoiseSource([0]).draw((1, 100, 200))
    assert noise.dtype == torch.float32
    assert noise.shape == (1, 1, 100, 200)
    assert stats.kstest(noise.flatten().numpy(), "norm").pvalue > 0.05


def test_streams_of_neighbouring_seeds_are_unrelated():
    noise = NoiseSource(range(8)).draw((1, 100, 100)).flatten(1).numpy()
    assert np.abs(np.corrcoef(noise) - np.eye(8)).max() < 5 / np.sqrt(10_000)


def test_noise_draws_from_the_generator_it_is_given():
    drawn = draw_noise((2, 3), torch.Generator().manual_seed(7))
    assert torch.equal(drawn, torch.randn(2, 3, generator=torch.Generator().manual_seed(7)))


def test_noise_leaves_the_global_stream_alone():
    before = torch.get_rng_state()
    NoiseSource([1, 2]).draw((3, 4, 4))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_noise_takes_the_shape_and_type_of_the_image(dtype):
    image = torch.ones(2, 4, 3, 5, dtype=dtype)
    noise = NoiseSource([1, 2]).like(image)
    assert noise.dtype == dtype
    assert torch.equal(noise, NoiseSource([1, 2]).draw((4, 3, 5)).to(dtype))


@pytest.mark.parametrize("batch", [1, 3])
def test_streams_serve_only_as_many_images(batch):
    with pytest.raises(ValueError, match=f"2 noise streams cannot serve {batch} images"):
        NoiseSource([1, 2]).like(torch.zeros(batch, 3, 4, 4))


@pytest.mark.parametrize(("seed", "first_output"), [(0, 0xE220A8397B1DCDAF), (1234567, 6457827717110365317)])
def test_a_seed_is_mixed_as_splitmix64_does(seed, first_output):
    assert mix_seed(seed) == first_output % 2**63


def test_a_stream_is_torchs_of_the_mixed_seed():
    expected = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(mix_seed(3)))
    assert torch.equal(NoiseSource([3]).draw((3, 4, 5))[0], expected)


@pytest.mark.slow
def test_mixed_seeds_are_distinct():
    pairs = {mix_seed(a, b) for a in range(-50, 50) for b in range(100)}
    singles = {mix_seed(a) for a in range(-50, 50)}
    assert len(pairs | singles) == 10_100


@pytest.mark.slow
@given(st.lists(integers, min_size=1, max_size=4))
def test_a_mixed_seed_is_one_that_torch_accepts(parts):
    seed = mix_seed(*parts)
    assert 0 <= seed < 2**63
    torch.Generator().manual_seed(seed)


@pytest.mark.slow
@given(integers, st.integers(0, 61))
def test_one_flipped_bit_changes_about_half_of_the_seed(part, bit):
    changed = (mix_seed(part) ^ mix_seed(part ^ (1 << bit))).bit_count()
    assert 10 < changed < 53
