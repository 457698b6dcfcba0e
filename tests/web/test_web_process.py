"""`sr3 web` as a process: its address, its token, large uploads, files after its end, and the examples of the pages."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from web_servers import WebProcess, png, write_models

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture
def models(tmp_path):
    return [word for path in write_models(tmp_path) for word in ("--model", path)]


def upload(url: str, content: bytes, **options) -> httpx.Response:
    return httpx.post(f"{url}api/jobs", files={"file": ("photo.png", content)}, timeout=60, **options)


def ended(url: str, job: str) -> dict:
    with httpx.stream("GET", f"{url}api/jobs/{job}/events", timeout=60) as response:
        lines = [line for line in response.iter_lines() if line.startswith("data: ")]
    return json.loads(lines[-1].removeprefix("data: "))


def folders(place: Path) -> list[Path]:
    return list(place.glob("sr3-web-*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_files_are_removed_at_the_end_whatever_ends_it(tmp_path, models, number):
    with WebProcess(*models, folder=tmp_path) as web:
        job = ended(web.url, upload(web.url, png()).json()["id"])
        assert job["state"] == "done"
        [folder] = folders(tmp_path)
        assert folder.stat().st_mode & 0o077 == 0
        assert len(list(folder.rglob("photo*"))) == 2
        errors = web.end(number)
        assert web.process.returncode == 130
        assert len(errors.splitlines()) <= 1
    assert folders(tmp_path) == []


def test_what_a_killed_server_has_left_is_removed_by_the_next(tmp_path, models):
    with WebProcess(*models, folder=tmp_path) as running, WebProcess(*models, folder=tmp_path) as killed:
        upload(killed.url, png())
        before = folders(tmp_path)
        assert len(before) == 2
        killed.end(signal.SIGKILL)
        with WebProcess(*models, folder=tmp_path) as third:
            after = folders(tmp_path)
            assert len(after) == 2
            assert len(set(before) & set(after)) == 1
            for web in (running, third):
                assert ended(web.url, upload(web.url, png()).json()["id"])["state"] == "done"


def test_an_upload_of_four_gigabytes_is_refused_and_neither_kept_nor_read(tmp_path, models):
    with WebProcess(*models, "--max-bytes", "100000", folder=tmp_path) as web:
        address = urlsplit(web.url)
        with socket.create_connection((address.hostname, address.port)) as link:
            head = f"POST /api/jobs HTTP/1.1\r\nHost: {address.netloc}\r\n"
            head += "Content-Type: multipart/form-data; boundary=b\r\n"
            link.sendall(f"{head}Content-Length: {4 * 2**30}\r\n\r\n".encode())
            answer = link.recv(65536).decode()
        assert answer.startswith("HTTP/1.1 413")
        with socket.create_connection((address.hostname, address.port)) as link:  # of a length that is not announced
            link.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
            part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + b"x" * 60_000
            sent, answer = 0, b""
            link.settimeout(0.05)
            while not answer and sent < 2**24:
                try:
                    link.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                    sent += len(part)
                    answer = link.recv(65536)
                except TimeoutError:
                    continue
                except OSError:
                    break
        assert sent < 2**20
        assert answer == b"" or answer.startswith(b"HTTP/1.1 413")
        assert [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size > 60_000] == [
            path for path in tmp_path.glob("*.safetensors")
        ]


def test_another_address_demands_the_token_that_is_printed(tmp_path, models):
    with WebProcess(*models, "--host", "0.0.0.0", folder=tmp_path) as web:
        found = re.fullmatch(r"http://0\.0\.0\.0:(\d+)/\?token=([\w-]{20,})", web.url)
        assert found
        url = f"http://127.0.0.1:{found[1]}/"
        assert httpx.get(f"{url}api/limits").status_code == 401
        assert upload(url, png()).status_code == 401
        bearer = {"Authorization": f"Bearer {found[2]}"}
        assert upload(url, png(), headers=bearer).status_code == 201


def test_the_work_of_a_client_that_leaves_in_the_middle_of_the_events_ends(tmp_path, models):
    with WebProcess(*models, folder=tmp_path) as web:
        named, long = {"X-SR3-Session": "tab"}, {"settings": json.dumps({"steps": 4000})}
        job = upload(web.url, png(96, 96), headers=named, data=long).json()["id"]
        with httpx.stream("GET", f"{web.url}api/jobs/{job}/events", timeout=60) as response:
            for line in response.iter_lines():
                if line == "event: preview":
                    break
        time.sleep(12)  # the limit is ten seconds, and a question in between would count as presence
        found = httpx.get(f"{web.url}api/jobs/{job}").json()
        assert found["state"] == "stopped"
        assert found["done"] < 1


def test_a_port_in_use_is_one_line(models):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "sr3", "web", "--no-open", "--port", port, *models]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("sr3: 127.0.0.1:")
    assert len(done.stderr.splitlines()) == 1


def test_the_examples_of_curl_and_python_run(tmp_path, models):
    text = (ROOT / "docs" / "how-to" / "web.md").read_text(encoding="utf-8")
    [shell] = re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    python = next(
        code for code in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL) if "httpx" in code
    )
    (tmp_path / "photo.png").write_bytes(png())
    with WebProcess(*models, folder=tmp_path) as web:
        here = web.url.rstrip("/")
        if shutil.which("curl"):
            shell = "set -e\n" + shell.replace("http://127.0.0.1:8333", here)
            environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
            subprocess.run(["bash", "-c", shell], cwd=tmp_path, env=environment, check=True, timeout=120)
            assert (tmp_path / "photo-x4.png").stat().st_size > 1000
        code = python.replace("http://127.0.0.1:8333", here)
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
        )
        kinds = [line.split()[0] for line in done.stdout.splitlines()]
        assert kinds == ["sample", "sample", "mean", "deviation"]
        assert (tmp_path / "photo-x4-mean.png").is_file()


def test_a_space_is_open_to_everybody_and_may_be_embedded_by_the_hub(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    environment = {**os.environ, "PORT": port, "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "examples" / "space" / "app.py")]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == f"http://0.0.0.0:{port}/\n"
        response = _patiently(f"http://127.0.0.1:{port}/api/limits", host="user-name.hf.space")
        assert response.json()["pixels"] == 2**23
        assert "frame-ancestors 'self' https://huggingface.co" in response.headers["content-security-policy"]
    finally:
        process.terminate()
        process.wait(timeout=60)
        process.stdout.close()
    assert folders(tmp_path) == []


def _patiently(url: str, *, host: str) -> httpx.Response:
    until = time.monotonic() + 30
    while True:
        try:
            return httpx.get(url, headers={"Host": host})
        except httpx.ConnectError:
            assert time.monotonic() < until
            time.sleep(0.1)
