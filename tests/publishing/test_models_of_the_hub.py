"""Models on the Hugging Face Hub, against a server of this machine that speaks its protocol."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import sr3
from pictures import smooth, write_pictures, write_random_model
from sr3.cli.app import run
from sr3.errors import CheckpointError, ConfigError
from sr3.evaluation.report import read_report
from sr3.publishing.card import CardRequest
from sr3.publishing.push import push_model
from sr3.zoo import find_model
from started import start

hub_server = pytest.importorskip("hub_server", exc_type=ImportError)
constants = pytest.importorskip("huggingface_hub.constants")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A Hub, and this process as one that was started with HF_ENDPOINT and an empty cache, without a token."""
    server = hub_server.HubServer()
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.stop()


@pytest.fixture
def owner(hub, monkeypatch):
    """Log in as the owner of all repositories."""
    monkeypatch.setenv("HF_TOKEN", hub_server.TOKEN)
    return hub


@pytest.fixture
def model(tmp_path):
    return write_random_model(tmp_path / "mine.safetensors")


def failure(capsys) -> str:
    """What a failed command said, which is one line."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.slow
def test_a_model_of_the_hub_is_the_file_that_lies_there(hub, model):
    hub.add("owner/mine", {"model.safetensors": model.read_bytes()})
    assert find_model("hf:owner/mine").read_bytes() == model.read_bytes()
    picture = smooth(8, 12)
    there, here = sr3.load("hf:owner/mine"), sr3.load(str(model))
    np.testing.assert_array_equal(there.upscale(picture, steps=2), here.upscale(picture, steps=2))


@pytest.mark.slow
def test_a_revision_is_a_branch_or_a_commit(hub, model, tmp_path):
    other = write_random_model(tmp_path / "other.safetensors", seed=1)
    first = hub.add("owner/mine", {"model.safetensors": model.read_bytes()})
    hub.add("owner/mine", {"model.safetensors": other.read_bytes()}, branch="refs/pr/1")
    hub.add("owner/mine", {"model.safetensors": other.read_bytes()})
    for name, expected in (("", other), (f"@{first}", model), ("@refs/pr/1", other)):
        assert find_model(f"hf:owner/mine{name}").read_bytes() == expected.read_bytes()


@pytest.mark.slow
def test_the_cache_is_used_without_a_network_and_when_offline(hub, model, monkeypatch):
    hub.add("owner/mine", {"model.safetensors": model.read_bytes()})
    path = find_model("hf:owner/mine")
    downloads = [call for call in hub.calls if call.startswith("GET /objects")]
    assert find_model("hf:owner/mine") == path
    assert [call for call in hub.calls if call.startswith("GET /objects")] == downloads
    hub.stop()
    assert find_model("hf:owner/mine") == path
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert find_model("hf:owner/mine") == path


@pytest.mark.slow
def test_a_file_that_is_not_the_hubs_is_refused(hub, model):
    hub.add("owner/mine", {"model.safetensors": model.read_bytes()})
    stored = find_model("hf:owner/mine").resolve()
    damaged = bytearray(stored.read_bytes())
    damaged[-1] ^= 1
    stored.write_bytes(damaged)
    with pytest.raises(CheckpointError, match=r"is damaged \(SHA-256 .* delete that file and try again"):
        find_model("hf:owner/mine")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hf:mine", "is not the address of a model; write hf:owner/name or hf:owner/name@revision"),
        ("hf:owner/mine@", "is not the address of a model"),
        ("hf:owner/gone", "there is no such repository, or it is private; check the address, or log in"),
        ("hf:owner/secret", "there is no such repository, or it is private; check the address, or log in"),
        ("hf:owner/mine@v9", "the repository has no such revision; check what follows the @"),
        ("hf:owner/empty", "the repository holds no model.safetensors"),
        ("hf:owner/..", "failed"),
    ],
)
def test_what_cannot_be_had_is_one_line_that_says_what_to_do(hub, model, capsys, name, said):
    content = {"model.safetensors": model.read_bytes()}
    hub.add("owner/mine", content)
    hub.add("owner/empty", {})
    hub.add("owner/secret", content, private=True)
    assert run(["inspect", name]) == 2
    line = failure(capsys)
    assert line.startswith(f"sr3: {name}: ")
    assert said in line


@pytest.mark.slow
def test_no_network_and_offline_mode_are_one_line_each(hub, model, capsys, monkeypatch):
    hub.add("owner/mine", {"model.safetensors": model.read_bytes()})
    hub.stop()
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)  # it tries five times
    assert run(["inspect", "hf:owner/mine"]) == 2
    assert "cannot be reached" in (line := failure(capsys))
    assert "is not in the cache; check the network" in line
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert run(["inspect", "hf:owner/mine"]) == 2
    assert "HF_HUB_OFFLINE is set; unset it once to download" in failure(capsys)


@pytest.mark.slow
@pytest.mark.usefixtures("owner")
def test_a_private_model_is_read_with_a_token(hub, model):
    hub.add("owner/secret", {"model.safetensors": model.read_bytes()}, private=True)
    assert find_model("hf:owner/secret").read_bytes() == model.read_bytes()


@pytest.mark.slow
@pytest.mark.usefixtures("owner")
@pytest.mark.parametrize("mode", ["lfs", "regular"])
def test_a_pushed_model_comes_back_byte_for_byte_with_a_card(hub, model, capsys, mode):
    hub.mode = mode
    assert run(["push", str(model), "owner/mine", "--license", "apache-2.0", "--dataset", "owner/photos"]) == 0
    files = hub.files("owner/mine")
    assert files["model.safetensors"] == model.read_bytes()
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    out = capsys.readouterr().out
    assert digest in out
    assert find_model("hf:owner/mine").read_bytes() == model.read_bytes()
    _, metadata, text = files["README.md"].decode().split("---\n", 2)
    assert yaml.safe_load(metadata) == {
        "library_name": "sr3",
        "pipeline_tag": "image-to-image",
        "tags": ["sr3", "diffusion", "super-resolution"],
        "license": "apache-2.0",
        "datasets": ["owner/photos"],
    }
    assert digest in text
    assert 'sr3.load("hf:owner/mine")' in text
    assert len(hub.repositories["owner/mine"].messages) == 2, "model and card are one commit"


@pytest.mark.slow
@pytest.mark.usefixtures("owner")
def test_a_branch_is_made_and_leaves_main_alone(hub, model):
    assert run(["push", str(model), "owner/mine", "--revision", "step-1"]) == 0
    assert "model.safetensors" not in hub.files("owner/mine")
    assert find_model("hf:owner/mine@step-1").read_bytes() == model.read_bytes()


@pytest.mark.slow
@pytest.mark.usefixtures("owner")
def test_a_card_that_is_there_is_kept_unless_it_may_be_replaced(hub, model, tmp_path, capsys):
    hub.add("owner/mine", {"README.md": b"by hand"})
    assert run(["push", str(model), "owner/mine"]) == 0
    assert hub.files("owner/mine")["README.md"] == b"by hand"
    assert "README.md was kept; --overwrite replaces it" in capsys.readouterr().out
    (tmp_path / "card.md").write_text("# Mine\n")
    assert run(["push", str(model), "owner/mine", "--overwrite", "--card", str(tmp_path / "card.md")]) == 0
    assert hub.files("owner/mine")["README.md"].decode().endswith("---\n\n# Mine\n")
    assert "the card names no licence" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("owner")
def test_private_is_a_promise(hub, model, capsys):
    assert run(["push", str(model), "owner/new", "--private"]) == 0
    assert hub.repositories["owner/new"].private
    hub.add("owner/open", {})
    capsys.readouterr()
    assert run(["push", str(model), "owner/open", "--private"]) == 2
    assert "exists and is public, so nothing was uploaded" in failure(capsys)
    assert "model.safetensors" not in hub.files("owner/open")


@pytest.mark.slow
def test_an_upload_without_a_token_or_right_or_network_is_one_line(hub, model, capsys, monkeypatch):
    assert run(["push", str(model), "owner/mine"]) == 2
    assert "an upload needs a token; log in with hf auth login, or set HF_TOKEN" in failure(capsys)
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody")
    assert run(["push", str(model), "owner/mine"]) == 2
    assert "log in with hf auth login, or set HF_TOKEN" in failure(capsys)
    hub.stop()
    assert run(["push", str(model), "owner/mine"]) == 2
    assert "failed (" in failure(capsys)
    assert not hub.repositories


@pytest.mark.usefixtures("owner")
@pytest.mark.slow
def test_the_card_has_the_figures_of_a_report_of_the_same_weights(hub, model, tmp_path):
    write_pictures(tmp_path / "held-out", 3)
    report = tmp_path / "report" / "report.json"
    assert run(["evaluate", "--model", str(model), "--steps", "2", "--data", str(tmp_path / "held-out"),
                "-o", str(report.parent)]) == 0  # fmt: skip
    assert run(["push", str(model), "owner/mine", "--report", str(report)]) == 0
    _, metadata, text = hub.files("owner/mine")["README.md"].decode().split("---\n", 2)
    [index] = yaml.safe_load(metadata)["model-index"]
    [result] = index["results"]
    assert result["dataset"] == {"name": "held-out, 3 images", "type": "held-out"}
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    figures = read_report(report).methods["mine"].figures
    assert values["psnr"] == figures["psnr"].value
    assert f"| PSNR, dB | {figures['psnr'].value:.2f} |" in text
    other = write_random_model(tmp_path / "other.safetensors", seed=1)
    with pytest.raises(ConfigError, match=r"has no figures of .* with these weights; evaluate this model"):
        push_model(str(other), "owner/other", CardRequest(report=read_report(report)))
    assert "owner/other" not in hub.repositories


@pytest.mark.slow
def test_a_search_never_writes_into_the_cache(hub, model, tmp_path, capsys):
    hub.add("owner/mine", {"model.safetensors": model.read_bytes()})
    assert run(["search-schedule", "hf:owner/mine", "--steps", "2", "--data", str(tmp_path)]) == 2
    assert "its file belongs to the cache of the Hub; name a file for the searched model by -o" in failure(capsys)


@pytest.mark.slow
def test_the_environment_of_the_hub_is_obeyed_by_the_command(hub, model, tmp_path):
    """Another process, told of the server by HF_ENDPOINT alone."""
    environment = {
        **os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": hub_server.TOKEN,
        "HF_HUB_DISABLE_XET": "1",
    }  # fmt: skip
    Image.fromarray(smooth(8, 12)).save(tmp_path / "photo.png")

    def sr3_command(*arguments: str, **more: str) -> str:
        process = start(*arguments, environment=environment | more, cwd=tmp_path)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        return errors

    sr3_command("push", str(model), "owner/mine")
    upscale = ("upscale", "photo.png", "-o", "large.png", "--model", "hf:owner/mine", "--steps", "2", "--overwrite")
    sr3_command(*upscale)
    first = (tmp_path / "large.png").read_bytes()
    hub.stop()
    sr3_command(*upscale, HF_HUB_OFFLINE="1")
    assert (tmp_path / "large.png").read_bytes() == first
    assert Path(tmp_path / "home" / "hub" / "models--owner--mine").is_dir()
