"""What a server refuses, by a status and one line that shows no path of the server."""

import io
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from sr3.web.guard import COOKIE, Access
from sr3.web.limits import Limits
from web_servers import finished, png, post, serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    folder = tmp_path_factory.mktemp("web")
    with serving(folder, limits=Limits(pixels=100_000, bytes=2**20, samples=4)) as (_, client):
        yield client, folder


def header_only(width: int, height: int) -> bytes:
    """Encode a PNG that claims a size and holds no pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", b"")
    )


@pytest.mark.parametrize(
    ("data", "name", "status", "said"),
    [
        (b"not an image", "a.png", 415, "a.png: is not an image"),
        (b"", "a.png", 422, "a.png: is empty"),
        (png()[:200], "cut.png", 422, "cut.png: is damaged or cut short"),
        (png(200, 200), "large.png", 413, "large.png: would become 800x800"),
        (header_only(60_000, 60_000), "bomb.png", 422, "bomb.png: holds"),
        (header_only(7746, 7746), "60-megapixels.png", 413, "60-megapixels.png: would become 30984x30984"),
        (b"\x93NUMPY", "array.npy", 415, "array.npy: arrays are for the command line"),
        (b"x" * (2**20 + 1), "big.png", 413, "at most 1 MiB"),
        (b"x" * (2**21), "huge.png", 413, "at most 1 MiB"),
    ],
)
def test_a_file_that_cannot_be_upscaled_is_refused_by_one_line(web, data, name, status, said):
    client, folder = web
    response = post(client, data, name=f"../../{name}")
    assert response.status_code == status
    detail = response.json()["detail"]
    assert said in detail
    assert "\n" not in detail
    assert str(folder) not in response.text
    assert list((folder / "served").iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('{"scale": 2, "width": 10}', "--scale and --width"),
        ('{"stepz": 3}', "there is no setting stepz"),
        ('{"steps": 0}', "steps"),
        ('{"detail": 2}', "detail"),
        ('{"detail": NaN}', "detail"),
        ('{"samples": 5}', "at most 4"),
        ('{"samples": 0}', "samples"),
        ('{"model": "/etc/passwd"}', "is not offered here"),
        ('{"format": "exe"}', "is not a format"),
        ('{"format": "npy"}', "arrays are for the command line"),
        ('{"fit": "big"}', "WIDTHxHEIGHT"),
        ('{"width": 4}', "would not be larger"),
        ('{"scale": -1}', "above 0"),
        ('{"seed": 1e400}', "seed"),
        ("[1]", "settings"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "settings"),
    ],
)
def test_settings_that_are_wrong_are_named(web, settings, said):
    client, folder = web
    response = client.post("/api/jobs", files={"file": ("a.png", png())}, data={"settings": settings})
    assert response.status_code == 422
    assert said in response.json()["detail"]
    assert "\n" not in response.json()["detail"]
    assert str(folder) not in response.text


def test_a_request_without_a_file_is_refused_by_one_line(web):
    client, _ = web
    response = client.post("/api/jobs", data={"settings": "{}"})
    assert response.status_code == 422
    assert response.json()["detail"].startswith("file: ")


@pytest.mark.parametrize(
    "path",
    [
        "/api/jobs/none",
        "/api/jobs/none/events",
        "/api/jobs/none/input",
        "/page/none.js",
        "/page/..%2Fserver.py",
        "/page/%2e%2e/server.py",
        "/none",
    ],
)
def test_what_is_not_there_is_404_with_one_line(web, path):
    client, _ = web
    response = client.get(path)
    assert response.status_code == 404
    assert isinstance(response.json()["detail"], str)


def test_a_result_is_found_by_its_name_alone(web):
    client, _ = web
    job = finished(client, post(client).json()["id"])
    assert client.get(f"/api/jobs/{job['id']}/results/photo-x4.png").status_code == 200
    for name in ("..%2Finput%2Fphoto.png", "photo.png", "%2Fetc%2Fpasswd", "photo-x4.png%00"):
        assert client.get(f"/api/jobs/{job['id']}/results/{name}").status_code == 404


def test_a_host_that_is_not_this_machine_is_refused(web):
    client, _ = web
    for host in ("evil.example", "evil.example:8333", "127.0.0.1.evil.example", ""):
        assert client.get("/api/limits", headers={"Host": host}).status_code == 400
    for host in ("127.0.0.1:8333", "localhost:9", "[::1]:8333", "LOCALHOST"):
        assert client.get("/api/limits", headers={"Host": host}).status_code == 200


def test_another_site_may_not_send(web):
    client, _ = web
    files = {"file": ("a.png", png())}
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        assert client.post("/api/jobs", files=files, headers=headers).status_code == 403
    own = {"Origin": "http://127.0.0.1:8333", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/api/jobs", files=files, headers=own).status_code == 201


def test_every_response_has_the_headers_of_safety(web):
    client, _ = web
    for path in ("/", "/page/main.js", "/docs", "/openapi.json", "/api/models", "/none"):
        headers = client.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"


def test_the_page_of_the_api_needs_nothing_from_elsewhere(web):
    client, _ = web
    text = client.get("/docs").text
    for path in client.get("/openapi.json").json()["paths"]:
        assert path in text
    for word in ("<script", "http:", "https:", "style=", "<style", "onclick"):
        assert word not in text
    assert client.get("/docs.css").headers["content-type"].startswith("text/css")


def test_a_token_is_asked_for_and_kept_in_a_cookie(tmp_path):
    access = Access(hosts=(), token="a-long-secret")
    with serving(tmp_path, access=access) as (_, client):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": f"{COOKIE}=wrong"}, {"Cookie": ";=;a"}):
            assert client.get("/api/limits", headers=headers).status_code == 401
        assert client.get("/?token=wrong").status_code == 401
        assert client.get("/api/limits?token=a-long-secret").status_code == 401
        bearer = {"Authorization": "Bearer a-long-secret", "Host": "10.0.0.5:8333"}
        assert client.get("/api/limits", headers=bearer).status_code == 200
        response = client.get("/?token=a-long-secret", follow_redirects=False)
        assert (response.status_code, response.headers["location"]) == (303, "./")
        cookie = response.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert client.get("/api/limits").status_code == 200


def test_an_upload_is_not_read_for_who_may_not_ask(tmp_path):
    with serving(tmp_path, access=Access(hosts=(), token="secret")) as (service, client):
        assert post(client).status_code == 401
        assert service._jobs == {}


def test_a_transparent_image_keeps_its_alpha_in_previews_and_views(web):
    client, _ = web
    values = np.random.default_rng(0).integers(0, 256, (12, 20, 4)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    job = finished(client, post(client, buffer.getvalue()).json()["id"])
    assert job["input"]["mode"] == "RGBA"
    for url in (job["results"][0]["view_url"], f"/api/jobs/{job['id']}/enlarged", f"/api/jobs/{job['id']}/input"):
        with Image.open(io.BytesIO(client.get(url).content)) as shown:
            assert shown.mode == "RGBA"
    assert json.dumps(job)
