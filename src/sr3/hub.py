"""Model files of the Hugging Face Hub, by an address such as hf:owner/name@revision.

Files lie in the cache that all programs of the Hub share, and are compared with the SHA-256 that the Hub gave for them.
HF_ENDPOINT, HF_HOME, HF_HUB_OFFLINE and HF_TOKEN are the Hub's own and mean what its documentation says.
Needs huggingface_hub, of the extra `hub`.
"""

import re
from pathlib import Path

from sr3.errors import CheckpointError

__all__ = ["MODEL_FILE", "SCHEME", "check_installed", "describe_failure", "fetch_model", "is_address", "split_address"]

SCHEME = "hf:"
"""What the address of a model of the Hub begins with."""
MODEL_FILE = "model.safetensors"
"""Name of the model file in a repository, as in the folder of a run."""

_SHA256 = re.compile("[0-9a-f]{64}")


def is_address(name: str) -> bool:
    """Tell whether a model's name is an address on the Hub."""
    return str(name).startswith(SCHEME)  # a path, too, may stand for a name


def split_address(name: str) -> tuple[str, str | None]:
    """Split hf:owner/name[@revision] into repository and revision; CheckpointError when it is not of that form."""
    repository, at, revision = name.removeprefix(SCHEME).partition("@")
    if not re.fullmatch(r"[^/\s]+/[^/\s]+", repository) or (at and not revision):
        raise CheckpointError(f"{name}: is not the address of a model; write hf:owner/name or hf:owner/name@revision")
    return repository, revision or None


def check_installed(what: str) -> None:
    """Raise CheckpointError without huggingface_hub."""
    try:
        import huggingface_hub as _  # noqa: F401
    except ImportError as error:
        raise CheckpointError(f"{what}: needs the library huggingface_hub: pip install 'sr3[hub]'") from error


def fetch_model(name: str) -> Path:
    """Find the file of hf:owner/name[@revision] in the Hub's cache, or download it into the cache.

    Raises CheckpointError, in one line, for a wrong address, a missing library, repository, revision, file, network or
    permission, and for a file whose SHA-256 is not the one that the Hub gave for it.
    """
    repository, revision = split_address(name)
    check_installed(name)
    from huggingface_hub import hf_hub_download

    try:
        path = Path(hf_hub_download(repository, MODEL_FILE, revision=revision, library_name="sr3"))
    except Exception as error:  # of the library, of its HTTP client, of the disk
        raise CheckpointError(f"{name}: {describe_failure(error)}") from error
    _check_digest(path, name)
    return path


def _check_digest(path: Path, name: str) -> None:
    """Compare a file with its SHA-256, by which the cache names it; where links cannot be made, that name is lost."""
    from sr3.digest import digest_of  # which loads torch, and names of models are wanted before that

    stored = path.resolve()
    if _SHA256.fullmatch(stored.name) and (found := digest_of(stored)) != stored.name:
        raise CheckpointError(
            f"{name}: {stored} is damaged (SHA-256 {found[:12]}..., the Hub says {stored.name[:12]}...); delete that "
            "file and try again"
        )


def describe_failure(error: Exception) -> str:
    """Say in one line what went wrong with the Hub and what to do."""
    from huggingface_hub import constants, errors

    match error:
        case errors.LocalEntryNotFoundError() if constants.HF_HUB_OFFLINE:
            return f"is not in the cache {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE is set; unset it once to download"
        case errors.LocalEntryNotFoundError():
            return (
                f"the Hub at {constants.ENDPOINT} cannot be reached ({_first_line(error.__cause__ or error)}), and the "
                f"model is not in the cache; check the network"
            )
        case errors.GatedRepoError():
            return "its owner must grant access; ask for it on the page of the model, then log in with hf auth login"
        case errors.RepositoryNotFoundError():
            return "there is no such repository, or it is private; check the address, or log in with hf auth login"
        case errors.RevisionNotFoundError():
            return "the repository has no such revision; check what follows the @"
        case errors.EntryNotFoundError():
            return f"the repository holds no {MODEL_FILE}; give a repository that sr3 push made"
        case errors.OfflineModeIsEnabled():
            return "HF_HUB_OFFLINE is set; unset it"
        case errors.HfHubHTTPError() if error.response.status_code in (401, 403):
            return "the token is missing or has no right to do this; log in with hf auth login, or set HF_TOKEN"
        case _:
            return (
                f"the Hub at {constants.ENDPOINT} failed ({_first_line(error)}); check network and disk and try again"
            )


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
