"""The exceptions that sr3 raises on purpose. Each message says what, where and what to do.

    Sr3Error
    ├── ConfigError        settings that contradict each other or do not exist
    ├── GridError          sampling levels that cannot give a sample
    ├── CheckpointError    a weights file that is missing, damaged, of another program or too new
    ├── ImageError         an image that cannot be read, written or held
    ├── DataError          training images that are missing or unusable
    │   └── UnusableError  one of them, which may be left out
    ├── TrainingError      a run that cannot start or continue
    ├── StudyError         a human study that cannot be held or reported
    └── Cancelled          work that the caller stopped

The file knows no other module and loads nothing.
"""

__all__ = [
    "Cancelled",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "GridError",
    "ImageError",
    "Sr3Error",
    "StudyError",
    "TrainingError",
    "UnusableError",
]


class Sr3Error(Exception):
    """Base class of errors that the user can fix; the command line prints each as one line."""


class ConfigError(Sr3Error):
    """Settings that contradict each other or do not exist."""


class GridError(Sr3Error):
    """Sampling levels that cannot give a sample."""


class CheckpointError(Sr3Error):
    """A weights file that is missing, damaged, of another program or too new."""


class ImageError(Sr3Error):
    """An image that cannot be read, written or held."""


class DataError(Sr3Error):
    """Training images that are missing or unusable."""


class UnusableError(DataError):
    """One training image that cannot be used; others may."""


class TrainingError(Sr3Error):
    """A run that cannot start or continue."""


class StudyError(Sr3Error):
    """A human study that cannot be held or reported."""


class Cancelled(Sr3Error):
    """Work that the caller stopped."""
