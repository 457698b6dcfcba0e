"""Upload of a model to the Hugging Face Hub, with its card, as one commit. Needs the extra `hub`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sr3.checkpoint import read_model
from sr3.digest import digest_of
from sr3.errors import CheckpointError
from sr3.hub import MODEL_FILE, SCHEME, check_installed, describe_failure, split_address
from sr3.publishing.card import CardRequest, build_card
from sr3.zoo import find_model

__all__ = ["Pushed", "push_model"]

_CARD = "README.md"


@dataclass(frozen=True)
class Pushed:
    """What was uploaded: its address for `sr3.load`, the commit, the SHA-256 of the file; whether the card is new."""

    address: str
    commit: str
    digest: str
    has_new_card: bool


def push_model(
    model: str, repository: str, card: CardRequest, *, private: bool = False, revision: str | None = None,
    overwrite: bool = False,
) -> Pushed:  # fmt: skip
    """Upload a model, found as `find_model` does, as model.safetensors of owner/name on the Hub.

    The repository is made if there is none, and so is the branch `revision`; None for main. private: refuse a
    repository that others can see. overwrite: replace a README.md that is there; without it, it is kept.
    Raises CheckpointError, in one line, for a missing library, token, permission or network, and for a file that
    changed meanwhile; ConfigError for a card that cannot be built.
    """
    address = f"{SCHEME}{repository}" + (f"@{revision}" if revision else "")
    split_address(address)
    check_installed(address)
    path = find_model(model)
    file, digest = read_model(path), digest_of(path)
    text = build_card(file, repository, digest, card)
    try:
        api = _prepared(address, repository, private=private, revision=revision)
        writes_card = overwrite or not api.file_exists(repository, _CARD, revision=revision)
        commit = _commit(api, repository, revision, {MODEL_FILE: path} | ({_CARD: text} if writes_card else {}))
    except CheckpointError:
        raise
    except Exception as error:  # of the library, of its HTTP client, of the disk
        raise CheckpointError(f"{address}: {describe_failure(error)}") from error
    if digest_of(path) != digest:
        raise CheckpointError(f"{path}: was written anew during the upload; push again")
    return Pushed(address, commit, digest, writes_card)


def _prepared(address: str, repository: str, *, private: bool, revision: str | None) -> Any:  # noqa: ANN401 (of the library)
    """Log in, and make the repository and the branch unless they are there."""
    from huggingface_hub import HfApi, get_token

    if get_token() is None:
        raise CheckpointError(f"{address}: an upload needs a token; log in with hf auth login, or set HF_TOKEN")
    api = HfApi(library_name="sr3")
    api.create_repo(repository, private=private, exist_ok=True)
    if private and not api.model_info(repository).private:
        raise CheckpointError(
            f"{address}: exists and is public, so nothing was uploaded; make it private, or rename it"
        )
    if revision:
        api.create_branch(repository, branch=revision, exist_ok=True)
    return api


def _commit(api: Any, repository: str, revision: str | None, files: dict[str, Path | str]) -> str:  # noqa: ANN401
    from huggingface_hub import CommitOperationAdd

    operations = [
        CommitOperationAdd(name, content.encode() if isinstance(content, str) else content)
        for name, content in files.items()
    ]
    return api.create_commit(repository, operations, commit_message="Upload model with sr3", revision=revision).oid
