"""The conditional diffusion process of SR3: formulas, levels, noise, losses and samplers.

    from sr3.diffusion import Denoiser, NoiseSource, cosine_grid, ddim, denoising_loss, last

Everything is a function of gamma, the share of signal variance (float64, on the CPU). States are images, shape
(b, c, h, w), or of any other shape (b, ...). Names are loaded on first use, so that `import sr3` loads no torch.
"""

from typing import TYPE_CHECKING

from sr3.lazy import loading

if TYPE_CHECKING:
    from sr3.diffusion import samplers
    from sr3.diffusion.denoiser import Denoise, Denoiser, Prediction
    from sr3.diffusion.guidance import guided
    from sr3.diffusion.noise import NoiseSource, draw_noise, mix_seed
    from sr3.diffusion.objective import denoising_loss, one_answer, regression_loss
    from sr3.diffusion.process import (
        alpha_between,
        diffuse,
        eps_from_v,
        eps_from_y0,
        forward_variance,
        log_snr,
        mix,
        per_image,
        posterior_mean,
        posterior_variance,
        score_from_eps,
        sigma,
        v_from_y0_eps,
        y0_from_eps,
        y0_from_v,
    )
    from sr3.diffusion.samplers import (
        SAMPLERS,
        Sampler,
        SamplerFunction,
        Step,
        Traits,
        ancestral,
        ancestral_posterior,
        ddim,
        described,
        dpmpp_2m,
        heun,
        last,
        level_pairs,
        one_call,
        predictor_corrector,
        probability_flow,
    )
    from sr3.diffusion.schedule import (
        check_grid,
        cosine_gammas,
        cosine_grid,
        draw_gamma,
        karras_grid,
        linear_gammas,
        linear_grid,
        log_snr_grid,
    )

__all__ = [
    "SAMPLERS",
    "Denoise",
    "Denoiser",
    "NoiseSource",
    "Prediction",
    "Sampler",
    "SamplerFunction",
    "Step",
    "Traits",
    "alpha_between",
    "ancestral",
    "ancestral_posterior",
    "check_grid",
    "cosine_gammas",
    "cosine_grid",
    "ddim",
    "denoising_loss",
    "described",
    "diffuse",
    "dpmpp_2m",
    "draw_gamma",
    "draw_noise",
    "eps_from_v",
    "eps_from_y0",
    "forward_variance",
    "guided",
    "heun",
    "karras_grid",
    "last",
    "level_pairs",
    "linear_gammas",
    "linear_grid",
    "log_snr",
    "log_snr_grid",
    "mix",
    "mix_seed",
    "one_answer",
    "one_call",
    "per_image",
    "posterior_mean",
    "posterior_variance",
    "predictor_corrector",
    "probability_flow",
    "regression_loss",
    "samplers",
    "score_from_eps",
    "sigma",
    "v_from_y0_eps",
    "y0_from_eps",
    "y0_from_v",
]

_PARTS = ("process", "schedule", "noise", "denoiser", "guidance", "objective", "samplers")
__getattr__, __dir__ = loading(__name__, __all__, _PARTS)
