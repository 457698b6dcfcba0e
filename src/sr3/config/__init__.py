"""All settings, with unit, range and default: one strict tree that is saved inside every checkpoint.

Defaults are the paper's (SR3, arXiv:2104.07636) wherever it gives one; where it does not, the field says so.
The folder loads no torch, so that help and errors come at once. It knows nothing of files or networks.
"""

from sr3.config.adversary import AdversaryConfig
from sr3.config.distillation import DistillationConfig
from sr3.config.mean import MeanConfig
from sr3.config.model import DenoiserConfig, NetworkConfig, ScheduleConfig
from sr3.config.sampling import GridKind, SamplerKind, SamplingConfig, SearchedGrid
from sr3.config.training import DataConfig, OptimizerConfig, TrainingConfig
from sr3.config.tree import Config, apply_settings, read_toml

__all__ = [
    "AdversaryConfig",
    "Config",
    "DataConfig",
    "DenoiserConfig",
    "DistillationConfig",
    "GridKind",
    "MeanConfig",
    "NetworkConfig",
    "OptimizerConfig",
    "SamplerKind",
    "SamplingConfig",
    "ScheduleConfig",
    "SearchedGrid",
    "TrainingConfig",
    "apply_settings",
    "read_toml",
]
