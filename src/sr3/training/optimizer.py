"""The learning rate of Adam: linear warm-up, constant, optional linear cool-down."""

from sr3.config import OptimizerConfig

__all__ = ["learning_rate_at"]


def learning_rate_at(step: int, config: OptimizerConfig, *, steps: int) -> float:
    """Compute the learning rate of a step, 0 to steps - 1."""
    rising = (step + 1) / config.warmup if config.warmup else 1.0
    falling = (steps - step) / config.cooldown if config.cooldown else 1.0
    return config.learning_rate * min(1.0, rising, falling)
