"""The conditional diffusion process of SR3: formulas, levels, noise, loss and samplers."""
