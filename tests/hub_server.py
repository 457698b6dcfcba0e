"""A server on this machine that speaks what huggingface_hub calls to read from and write to repositories of models.

Written after the calls of huggingface_hub and the Hub's description of its API; it keeps everything in memory.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote

from huggingface_hub import close_session

TOKEN = "hf_of_the_owner"


class Repository:
    """Commits by their id, each all files by name, and branches by name."""

    def __init__(self, *, private: bool = False):
        self.private = private
        self.commits: dict[str, dict[str, bytes]] = {}
        self.branches: dict[str, str] = {}
        self.messages: list[str] = []
        self.commit("main", {".gitattributes": b"*.safetensors filter=lfs"}, "initial commit")

    def commit(self, branch: str, files: dict[str, bytes], message: str) -> str:
        before = self.commits.get(self.branches.get(branch, ""), {})
        content = {**before, **files}
        name = hashlib.sha1(json.dumps([message, len(self.commits), sorted(content)]).encode()).hexdigest()
        self.commits[name], self.branches[branch] = content, name
        self.messages.append(message)
        return name

    def find(self, revision: str) -> str | None:
        return self.branches.get(revision) or (revision if revision in self.commits else None)


class HubServer:
    """The Hub: `url` for HF_ENDPOINT, `repositories` by owner/name, and the calls it got."""

    def __init__(self, *, mode: str = "lfs"):
        self.mode = mode  # how it wants weights to be uploaded: lfs or regular
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.calls: list[str] = []
        hub = self

        class Handler(_Handler):
            server_state = hub

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.store = f"http://localhost:{self.server.server_port}"  # another host, as the Hub's store of large files
        Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def add(self, name: str, files: dict[str, bytes], *, branch: str = "main", private: bool = False) -> str:
        """Commit files to a repository, which is made if there is none."""
        repository = self.repositories.setdefault(name, Repository(private=private))
        return repository.commit(branch, files, "by hand")

    def files(self, name: str, branch: str = "main") -> dict[str, bytes]:
        repository = self.repositories[name]
        return repository.commits[repository.branches[branch]]

    def stop(self) -> None:
        """End the server, and the connections that the library keeps open."""
        close_session()
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: HubServer

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._answer()

    def do_GET(self):
        self._answer()

    def do_POST(self):
        self._answer()

    def do_PUT(self):
        self._answer()

    def _answer(self):
        hub, path = self.server_state, unquote(self.path.partition("?")[0])
        hub.calls.append(f"{self.command} {path}")
        self.body = self._read()
        for method, pattern, call in _ROUTES:
            if (found := re.fullmatch(pattern, path)) and self.command in method.split("|"):
                return call(self, hub, *found.groups())
        return self.reply(404, {"error": f"the test's Hub knows no {self.command} {path}"})

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    @property
    def is_owner(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def reply(self, status: int, content: object = b"", **headers: str):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def refuse(self, status: int, code: str):
        self.reply(status, {"error": code}, X_Error_Code=code, X_Error_Message=code)


def _seen(call: Callable[..., None]) -> Callable[..., None]:
    """Answer as the Hub does for a repository that is not there, or that this person may not see."""

    def checked(request: _Handler, hub: HubServer, name: str, *rest: str):
        repository = hub.repositories.get(name)
        if repository is None or (repository.private and not request.is_owner):
            return request.refuse(404 if request.is_owner else 401, "RepoNotFound")
        return call(request, hub, repository, *rest)

    return checked


def _owned(call: Callable[..., None]) -> Callable[..., None]:
    def checked(request: _Handler, hub: HubServer, *rest: object):
        if not request.is_owner:
            return request.reply(401, {"error": "Invalid username or password."})
        return call(request, hub, *rest)

    return checked


@_seen
def _resolve(request: _Handler, hub: HubServer, repository: Repository, revision: str, file: str):
    commit = repository.find(revision)
    if commit is None:
        return request.refuse(404, "RevisionNotFound")
    content = repository.commits[commit].get(file)
    if content is None:
        return request.reply(404, b"", X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
    if not file.endswith(".safetensors") or hub.mode == "regular":
        git_name = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        return request.reply(200, content, ETag=f'"{git_name}"', X_Repo_Commit=commit)
    digest = hashlib.sha256(content).hexdigest()
    hub.objects[digest] = content
    return request.reply(
        302, b"", Location=f"{hub.store}/objects/{digest}", X_Repo_Commit=commit, X_Linked_ETag=f'"{digest}"',
        X_Linked_Size=str(len(content)),
    )  # fmt: skip


def _read_object(request: _Handler, hub: HubServer, digest: str):
    request.reply(200, hub.objects[digest], ETag=f'"{digest}"')


def _write_object(request: _Handler, hub: HubServer, digest: str):
    if hashlib.sha256(request.body).hexdigest() != digest:
        return request.reply(400, {"error": "this is another file"})
    hub.objects[digest] = request.body
    return request.reply(200)


@_seen
def _info(request: _Handler, hub: HubServer, repository: Repository):  # noqa: ARG001
    commit = repository.branches["main"]
    files = [{"rfilename": name} for name in repository.commits[commit]]
    request.reply(
        200, {"id": "owner/name", "sha": commit, "private": repository.private, "siblings": files, "tags": []}
    )


@_owned
def _create(request: _Handler, hub: HubServer):
    asked = json.loads(request.body)
    name = f"{asked['organization']}/{asked['name']}"
    if name in hub.repositories:
        return request.reply(409, {"error": "You already created this model repo", "url": f"{hub.url}/{name}"})
    private = asked.get("visibility") == "private" or asked.get("private", False)
    hub.repositories[name] = Repository(private=private)
    return request.reply(200, {"url": f"{hub.url}/{name}", "name": name})


@_owned
@_seen
def _branch(request: _Handler, hub: HubServer, repository: Repository, branch: str):  # noqa: ARG001
    if branch in repository.branches:
        return request.reply(409, {"error": "Reference already exists"})
    repository.branches[branch] = repository.branches["main"]
    return request.reply(200, {})


def _validate(request: _Handler, hub: HubServer):  # noqa: ARG001
    """Accept metadata that stands between two lines of three hyphens, as the Hub does at least."""
    content = json.loads(request.body)["content"]
    wrong = [] if re.match(r"---\n.*?\n---\n", content, re.DOTALL) else [{"message": "no metadata"}]
    request.reply(400 if wrong else 200, {"errors": wrong, "warnings": []})


@_owned
@_seen
def _preupload(request: _Handler, hub: HubServer, repository: Repository, revision: str):  # noqa: ARG001
    files = json.loads(request.body)["files"]
    modes = {file["path"]: hub.mode if file["path"].endswith(".safetensors") else "regular" for file in files}
    answer = [{"path": path, "uploadMode": mode, "shouldIgnore": False} for path, mode in modes.items()]
    request.reply(200, {"files": answer})


@_owned
def _batch(request: _Handler, hub: HubServer, name: str):  # noqa: ARG001
    wanted = json.loads(request.body)["objects"]
    objects = []
    for one in wanted:
        href = f"{hub.store}/objects/{one['oid']}"
        objects.append({**one, "actions": {"upload": {"href": href}, "verify": {"href": f"{hub.url}/verify"}}})
    request.reply(200, {"transfer": "basic", "objects": objects})


def _verify(request: _Handler, hub: HubServer):
    request.reply(200 if json.loads(request.body)["oid"] in hub.objects else 404, {})


@_owned
@_seen
def _commit(request: _Handler, hub: HubServer, repository: Repository, branch: str):
    files, message = dict[str, bytes](), ""
    for line in request.body.splitlines():
        entry = json.loads(line)
        value = entry["value"]
        match entry["key"]:
            case "header":
                message = value["summary"]
            case "file":
                files[value["path"]] = base64.b64decode(value["content"])
            case "lfsFile":
                files[value["path"]] = hub.objects[value["oid"]]
    commit = repository.commit(branch, files, message)
    request.reply(200, {"success": True, "commitOid": commit, "commitUrl": f"{hub.url}/owner/name/commit/{commit}"})


_NAME = r"([\w.-]+/[\w.-]+)"
_ROUTES: tuple[tuple[str, str, Callable[..., None]], ...] = (
    ("GET|HEAD", rf"/{_NAME}/resolve/(.+)/([^/]+)", _resolve),
    ("GET|HEAD", r"/objects/(\w+)", _read_object),
    ("PUT", r"/objects/(\w+)", _write_object),
    ("GET", rf"/api/models/{_NAME}", _info),
    ("POST", r"/api/repos/create", _create),
    ("POST", r"/api/validate-yaml", _validate),
    ("POST", rf"/api/models/{_NAME}/branch/(.+)", _branch),
    ("POST", rf"/api/models/{_NAME}/preupload/(.+)", _preupload),
    ("POST", rf"/api/models/{_NAME}/commit/(.+)", _commit),
    ("POST", rf"/{_NAME}\.git/info/lfs/objects/batch", _batch),
    ("POST", r"/verify", _verify),
)
