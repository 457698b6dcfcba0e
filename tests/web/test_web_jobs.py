"""Jobs over HTTP: the bytes of the command line, previews, samples, stop, and what ends by itself."""

import io
import json
import shlex
import shutil
import threading
import time

import numpy as np
import pytest
import tifffile
from PIL import Image

from pictures import smooth
from sr3.cli.app import run as sr3
from sr3.web import worker
from sr3.web.job import Preview
from sr3.web.limits import Limits
from web_servers import STEPS, events, finished, png, post, serving, write_models

pytestmark = pytest.mark.slow


@pytest.fixture
def web(tmp_path):
    with serving(tmp_path) as (service, client):
        yield service, client, tmp_path


def repeat(job: dict, folder, data: bytes) -> dict[str, bytes]:
    """Run the command that a job shows, in a folder with the input, and give what it writes."""
    place = folder / "repeated"
    place.mkdir()
    (place / job["input"]["name"]).write_bytes(data)
    words = shlex.split(job["command"])
    assert words[:2] == ["sr3", "upscale"]
    model = words.index("--model") + 1
    words[model] = str(folder / words[model])
    words[2] = str(place / job["input"]["name"])
    assert sr3([*words[1:]]) == 0
    return {path.name: path.read_bytes() for path in place.iterdir()}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"seed": 7, "samples": 3},
        {"scale": 6, "steps": 2, "detail": 0.5, "format": "jpg", "quality": 80},
        {"long_side": 60, "format": "webp", "model": "mean"},
        {"fit": "40x70"},
    ],
)
def test_results_have_the_bytes_of_the_command_that_is_shown(web, settings):
    _, client, folder = web
    data = png(dpi=(300, 300))
    job = post(client, data, **settings).json()
    job = finished(client, job["id"])
    assert job["state"] == "done", job["error"]
    written = repeat(job, folder, data)
    assert job["results"]
    for result in job["results"]:
        response = client.get(result["url"])
        assert response.content == written[result["name"]]
        assert len(response.content) == result["bytes"]
        assert "attachment" in response.headers["content-disposition"]


def test_the_page_computes_in_the_type_that_it_is_started_with(tmp_path):
    with serving(tmp_path, dtype="int8") as (_, client):
        job = finished(client, post(client, png()).json()["id"])
        assert "--dtype int8" in job["command"]
        [result] = job["results"]
        found = client.get(result["url"]).content
    assert found == repeat(job, tmp_path, png())[result["name"]]
    job["command"] = job["command"].replace("--dtype int8", "--dtype float32")
    shutil.rmtree(tmp_path / "repeated")
    assert found != repeat(job, tmp_path, png())[result["name"]]


def test_sixteen_bits_and_metadata_are_kept_and_shown_in_eight(web):
    _, client, _ = web
    values = np.random.default_rng(0).integers(0, 65536, (12, 20, 3)).astype(np.uint16)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, photometric="rgb", resolution=(300, 300), resolutionunit="INCH")
    job = finished(client, post(client, buffer.getvalue(), name="deep.tif").json()["id"])
    assert (job["input"]["bits"], job["input"]["mode"]) == (16, "RGB")
    [result] = job["results"]
    with tifffile.TiffFile(io.BytesIO(client.get(result["url"]).content)) as file:
        assert file.asarray().dtype == np.uint16
        assert file.asarray().shape == (48, 80, 3)
    with Image.open(io.BytesIO(client.get(result["view_url"]).content)) as view:
        assert (view.mode, view.size) == ("RGB", (80, 48))


def test_events_tell_the_whole_course(web):
    _, client, _ = web
    job = post(client, samples=2).json()
    found = events(client, job["id"])
    kinds = [kind for kind, _ in found]
    assert kinds[-1] == "end"
    assert kinds.count("result") == 4
    end = found[-1][1]
    assert [result["kind"] for result in end["results"]] == ["sample", "sample", "mean", "deviation"]
    assert end["pair"] == [0, 1]
    assert end["done"] == 1
    progress = [data for kind, data in found if kind == "progress"]
    assert [one["done"] for one in progress] == sorted(one["done"] for one in progress)
    assert progress[-1] == {"step": STEPS, "steps": STEPS, "sample": 1, "samples": 2, "done": 1, "seconds_left": 0}


def test_previews_sharpen_and_are_what_the_sampler_sees(web, monkeypatch):
    service, client, _ = web
    monkeypatch.setattr("sr3.web.worker._SECONDS", 0.0)
    shown = []
    show = Preview.show
    monkeypatch.setattr(Preview, "show", lambda self, image: (shown.append(image), show(self, image))[1])
    job = finished(client, post(client).json()["id"])
    images = [np.asarray(image) for image in shown if image is not None]
    assert len(images) == STEPS  # the enlarged input and every step but the last, which is the result
    with Image.open(io.BytesIO(client.get(f"/api/jobs/{job['id']}/enlarged").content)) as enlarged:
        assert np.abs(np.asarray(enlarged).astype(int) - images[0]).max() <= 1
    assert not np.array_equal(images[0], images[-1])
    assert client.get(f"/api/jobs/{job['id']}/preview").status_code == 404
    assert service.find(job["id"]).preview.image is None


def test_views_show_the_upright_input_and_its_enlargement(web):
    _, client, _ = web
    exif = Image.Exif()
    exif[274] = 6
    buffer = io.BytesIO()
    Image.fromarray(smooth(16, 24)).save(buffer, "JPEG", exif=exif)
    job = finished(client, post(client, buffer.getvalue(), name="turned.jpg").json()["id"])
    assert (job["input"]["width"], job["input"]["height"]) == (16, 24)
    for _ in range(2):  # the second time from the disk
        with Image.open(io.BytesIO(client.get(f"/api/jobs/{job['id']}/input").content)) as shown:
            assert shown.size == (16, 24)
        with Image.open(io.BytesIO(client.get(f"/api/jobs/{job['id']}/enlarged").content)) as shown:
            assert shown.size == (64, 96)


def held(monkeypatch):
    """Let a step wait until it may go on; gives what says that one has begun, and what lets them all go on."""
    began, may_go = threading.Event(), threading.Event()
    take = worker._Run._take

    def waiting(self, event):
        take(self, event)
        if event.step == 2:
            began.set()
            assert may_go.wait(30)

    monkeypatch.setattr(worker._Run, "_take", waiting)
    return began, may_go


def test_a_stop_ends_a_job_at_the_next_step(web, monkeypatch):
    service, client, _ = web
    began, may_go = held(monkeypatch)
    job = post(client).json()["id"]
    assert began.wait(30)
    assert client.post(f"/api/jobs/{job}/stop").json()["state"] == "running"
    may_go.set()
    ended = finished(client, job)
    assert (ended["state"], ended["results"]) == ("stopped", [])
    assert ended["done"] == 2 / STEPS
    assert list(service.find(job).target.parent.iterdir()) == []


def test_a_stop_keeps_the_samples_that_are_complete(web, monkeypatch):
    _, client, _ = web
    take = worker._Run._take

    def stopping(self, event):
        take(self, event)
        if event.step == STEPS + 1:
            self._job.stop.set()

    monkeypatch.setattr(worker._Run, "_take", stopping)
    ended = finished(client, post(client, samples=3).json()["id"])
    assert (ended["state"], len(ended["results"]), ended["pair"]) == ("stopped", 1, None)
    assert client.get(ended["results"][0]["url"]).status_code == 200


def test_a_stop_takes_effect_inside_a_call_of_the_network(web, monkeypatch):
    service, client, _ = web
    before, calls, networks = worker._Run._before_layer, [], []
    layers = worker.called_before_layers

    def stopping(self):
        calls.append(self._refined.step)
        if len(calls) == 5:
            self._job.stop.set()
        before(self)

    monkeypatch.setattr(worker._Run, "_before_layer", stopping)
    monkeypatch.setattr(worker, "called_before_layers", lambda *args: (networks.append(args[0]), layers(*args))[1])
    ended = finished(client, post(client).json()["id"])
    assert (ended["state"], calls) == ("stopped", [0] * 5)
    assert ended["done"] < 1 / STEPS
    [network] = networks
    assert not any(layer._forward_pre_hooks for layer in network.modules())
    monkeypatch.setattr(worker._Run, "_before_layer", before)
    assert finished(client, post(client).json()["id"])["state"] == "done"
    assert service.find(ended["id"]).results == []


def test_progress_inside_a_step_rises_and_stays_below_its_end(web, monkeypatch):
    _, client, _ = web
    monkeypatch.setattr(worker, "_SECONDS_OF_A_STEP", 0.0)
    shares = []
    progress = worker._Run._progress

    def noted(self, steps):
        shares.append((self._refined.step, steps))
        progress(self, steps)

    monkeypatch.setattr(worker._Run, "_progress", noted)
    assert finished(client, post(client).json()["id"])["done"] == 1
    assert len(shares) > 3 * STEPS
    assert all(step <= steps < step + 1 for step, steps in shares)
    assert [steps for _, steps in shares] == sorted(steps for _, steps in shares)


def test_large_images_show_each_window_and_stop_between_two(web, monkeypatch):
    service, client, _ = web
    monkeypatch.setattr("sr3.upscaling.jobs.choose_tile", lambda *_: 128)
    after, seen = worker._Run._after_window, []

    def counting(self, done):
        seen.append((done.number, done.total))
        if len(seen) == 3:
            self._job.stop.set()
        after(self, done)
        assert self._job.preview.image is not None

    monkeypatch.setattr(worker._Run, "_after_window", counting)
    ended = finished(client, post(client, png(64, 64), model="tiny").json()["id"])
    assert (ended["state"], len(seen)) == ("stopped", 3)
    assert [number for number, _ in seen] == [1, 2, 3]
    assert 0 < ended["done"] < 1 / STEPS
    assert service.find(ended["id"]).state == "stopped"


def test_two_sessions_take_turns(web, monkeypatch):
    _, client, _ = web
    began, may_go = held(monkeypatch)
    first = post(client, session="one").json()["id"]
    assert began.wait(30)
    waiting = [post(client, session="one").json()["id"] for _ in range(2)]
    other = post(client, session="two").json()
    assert other["position"] == 1
    assert [client.get(f"/api/jobs/{job}").json()["position"] for job in waiting] == [0, 2]
    may_go.set()
    for job in (first, *waiting, other["id"]):
        assert finished(client, job)["state"] == "done"


def test_what_waits_is_limited_for_each_session_and_in_all(tmp_path, monkeypatch):
    with serving(tmp_path, limits=Limits(waiting=1)) as (_, client):
        began, may_go = held(monkeypatch)
        post(client, session="one")
        assert began.wait(30)
        assert post(client, session="one").status_code == 201
        refused = post(client, session="one")
        assert refused.status_code == 429
        assert "1 of your images are waiting" in refused.json()["detail"]
        for number in range(7):
            assert post(client, session=f"other-{number}").status_code == 201
        assert post(client, session="last").status_code == 503
        may_go.set()


def test_a_closed_tab_ends_its_work_and_a_closed_page_its_files(tmp_path, monkeypatch):
    with serving(tmp_path, limits=Limits(absence=0.3)) as (service, client):
        began, may_go = held(monkeypatch)
        running = post(client, session="tab").json()["id"]
        assert began.wait(30)
        waiting, plain = post(client, session="tab").json()["id"], post(client).json()["id"]
        until = time.monotonic() + 20
        while service._jobs[waiting].state != "stopped" and time.monotonic() < until:
            time.sleep(0.05)
        assert service._jobs[running].stop.is_set()
        may_go.set()
        assert finished(client, plain)["state"] == "done"
        assert service._jobs[running].state == "stopped"
        job = post(client, session="page").json()["id"]
        with service.sessions.streaming("tab:page", presence=True):
            assert finished(client, job)["state"] == "done"
            folder = service._jobs[job].folder
            time.sleep(1)
            assert folder.is_dir()
        until = time.monotonic() + 20
        while folder.exists() and time.monotonic() < until:
            time.sleep(0.05)
        assert client.get(f"/api/jobs/{job}").status_code == 404


def test_files_are_removed_with_a_job_and_jobs_after_their_time(tmp_path):
    with serving(tmp_path, limits=Limits(seconds=0.5)) as (service, client):
        one = finished(client, post(client).json()["id"])["id"]
        folder = service.find(one).folder
        assert client.delete(f"/api/jobs/{one}").status_code == 204
        assert not folder.exists()
        assert client.get(f"/api/jobs/{one}").status_code == 404
        two = finished(client, post(client).json()["id"])["id"]
        time.sleep(2.5)
        assert client.get(f"/api/jobs/{two}").status_code == 404
        assert list((tmp_path / "served").iterdir()) == []


def test_no_more_jobs_are_stored_than_allowed(tmp_path):
    with serving(tmp_path, limits=Limits(stored=2)) as (service, client):
        jobs = [finished(client, post(client).json()["id"])["id"] for _ in range(4)]
        time.sleep(1.5)
        assert list(service._jobs) == jobs[2:]


def test_results_are_kept_when_that_is_asked_for(tmp_path):
    keep = tmp_path / "kept"
    with serving(tmp_path, keep=keep) as (_, client):
        job = finished(client, post(client).json()["id"])
        content = client.get(job["results"][0]["url"]).content
        client.delete(f"/api/jobs/{job['id']}")
    [path] = keep.rglob("*.png")
    assert (path.name, path.read_bytes()) == ("photo-x4.png", content)


def test_warnings_of_a_file_reach_the_job_and_not_its_neighbours(web):
    _, client, _ = web
    values = np.random.default_rng(0).integers(0, 65536, (12, 20)).astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    warned = finished(client, post(client, buffer.getvalue(), format="jpg").json()["id"])
    plain = finished(client, post(client).json()["id"])
    assert any("16 are rounded" in line for line in warned["warnings"])
    assert plain["warnings"] == []
    assert str(web[2]) not in json.dumps(warned)


def test_the_models_are_read_from_their_files(tmp_path):
    write_models(tmp_path)
    with serving(tmp_path) as (_, client):
        first, second = client.get("/api/models").json()
    assert (first["name"], first["scale"], first["steps"]) == ("tiny", 4, STEPS)
    assert second["name"] == "mean"
    assert STEPS in first["steps_choices"]
    assert first["stochastic"]


def test_a_defect_ends_one_job_by_one_line_and_the_next_one_runs(web, monkeypatch, caplog):
    _, client, folder = web
    whole = worker.upscale_files

    def broken(*_):
        raise RuntimeError(f"somewhere in {folder}")
        yield

    monkeypatch.setattr(worker, "upscale_files", broken)
    failed = finished(client, post(client).json()["id"])
    assert (failed["state"], failed["results"]) == ("failed", [])
    assert failed["error"] == "the server failed with RuntimeError; try again, or report it"
    assert "somewhere" in caplog.text
    monkeypatch.setattr(worker, "upscale_files", whole)
    assert finished(client, post(client).json()["id"])["state"] == "done"


def test_a_file_that_only_its_pixels_show_to_be_broken_fails_by_one_line(web, monkeypatch):
    service, client, folder = web
    began, may_go = held(monkeypatch)
    post(client)
    assert began.wait(30)
    job = post(client).json()["id"]
    service.find(job).source.write_bytes(png()[:100])  # after it was checked
    may_go.set()
    failed = finished(client, job)
    assert failed["state"] == "failed"
    assert failed["error"].startswith("photo.png: is damaged or cut short")
    assert str(folder) not in json.dumps(failed)
