"""All settings, with unit, range and default: one strict tree that is saved inside every checkpoint.

Defaults are the paper's (SR3, arXiv:2104.07636) wherever it gives one; where it does not, the field says so.
The package does not import torch, so help and errors appear at once. It knows nothing of files or networks.
"""

from sr3.config.adversary import AdversaryConfig
from sr3.config.diffusion import DenoiserConfig, ScheduleConfig
from sr3.config.mean import MeanConfig
from sr3.config.migration import FORMAT, upgrade
from sr3.config.network import (
    BigGANConfig,
    DDPMConfig,
    DRCNConfig,
    ENetConfig,
    FSRCNNConfig,
    NetworkConfig,
    RCANConfig,
    SPANConfig,
    UNetConfig,
)
from sr3.config.objective import DenoisingConfig, DistillationConfig, ObjectiveConfig, RegressionConfig
from sr3.config.restoration import RestorationConfig
from sr3.config.sampling import GridKind, SamplerKind, SamplingConfig, SearchedGrid
from sr3.config.text import apply_settings, read_saved, read_toml
from sr3.config.training import DataConfig, OptimizerConfig, TrainingConfig
from sr3.config.tree import Config

__all__ = [
    "FORMAT",
    "AdversaryConfig",
    "BigGANConfig",
    "Config",
    "DDPMConfig",
    "DRCNConfig",
    "DataConfig",
    "DenoiserConfig",
    "DenoisingConfig",
    "DistillationConfig",
    "ENetConfig",
    "FSRCNNConfig",
    "GridKind",
    "MeanConfig",
    "NetworkConfig",
    "ObjectiveConfig",
    "OptimizerConfig",
    "RCANConfig",
    "RegressionConfig",
    "RestorationConfig",
    "SPANConfig",
    "SamplerKind",
    "SamplingConfig",
    "ScheduleConfig",
    "SearchedGrid",
    "TrainingConfig",
    "UNetConfig",
    "apply_settings",
    "read_saved",
    "read_toml",
    "upgrade",
]
