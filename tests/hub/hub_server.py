"""A Hub in this process: as much of its HTTP API as an unmodified huggingface_hub client uses, with switches.

Repositories are lists of commits, each a dict of files, in memory. A Space has its name after "spaces/".
"""

import base64
import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_right"
LARGE = (".safetensors", ".faiss", ".png", ".webp", ".woff2")  # files that go through git-lfs


@dataclass
class Repository:
    """Files by commit, and what names the commits."""

    kind: str = "model"
    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Add a commit that holds these files; return its name."""
        parts = [str(len(self.commits)), *(f"{name}{hashlib.sha1(files[name]).hexdigest()}" for name in sorted(files))]
        name = hashlib.sha1("".join(parts).encode()).hexdigest()
        self.commits[name] = files
        self.refs[branch] = name
        return name

    @property
    def head(self) -> dict[str, bytes]:
        """The files of main."""
        return self.commits[self.refs["main"]]


class HubServer:
    """Listens on a free port until `close`. Faults are attributes to set; `requests` lists what was asked."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.silent = False  # takes connections and never answers
        self.status: int | None = None  # answers everything with this
        self.cuts = 0  # so many downloads of weights break off half-way
        self.flip = False  # one bit of the weights arrives changed
        self.stalls = ""  # "HEAD" or "GET": so far a download of weights goes, and then nothing comes any more
        self.page = False  # answers everything with a page of HTML, as a network does that wants a login
        self.complaint = ""  # what it has against every card
        self.before_commit: Callable[[], object] | None = None  # called when a commit arrives
        self.drip = 0.0  # seconds between the tenths of the weights
        self.released = threading.Event()
        server = self

        class Handler(_Handler):
            hub = server

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def add(self, name: str, files: dict[str, bytes]) -> Repository:
        """Create a repository with one commit."""
        self.repositories[name] = Repository()
        self.repositories[name].commit(files)
        return self.repositories[name]

    def close(self) -> None:
        """Stop: connections are refused from now on."""
        self.released.set()
        self.http.shutdown()
        self.http.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.answer()

    def do_HEAD(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def do_PUT(self) -> None:
        self.answer()

    def answer(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        self.hub.requests.append(f"{self.command} {path}")
        if self.hub.released.is_set():  # a connection that was kept open outlives the listening socket
            self.close_connection = True
        elif self.hub.silent:
            self.hub.released.wait(60)
            self.close_connection = True
        elif self.hub.status:
            self.send(self.hub.status, {"error": "told to"})
        elif self.hub.page:
            self.send(200, b"<html>Log in to this network</html>")
        elif self.headers.get("Authorization") not in (None, f"Bearer {TOKEN}"):
            self.send(401, {"error": "Invalid credentials"})
        elif path == "/api/repos/create":
            self.create()
        elif path == "/api/validate-yaml":
            complaints = [{"message": self.hub.complaint}] if self.hub.complaint else []
            self.send(400 if complaints else 200, {"errors": complaints, "warnings": []})
        elif path.startswith("/lfs/"):
            self.store(path)
        elif path.endswith(".git/info/lfs/objects/batch"):
            self.batch()
        elif path.startswith("/api/") and path.count("/") > 3:
            _, _, kind, owner, name, *rest = path.split("/")
            prefix = "spaces/" if kind == "spaces" else ""
            self.of_repository(f"{prefix}{owner}/{name}", [unquote(part) for part in rest])
        elif "/resolve/" in path:
            owner, name, _, revision, *rest = path.strip("/").split("/")
            self.resolve(f"{owner}/{name}", unquote(revision), unquote("/".join(rest)))
        else:
            self.send(404, {"error": "unknown path"})

    def send(self, status: int, content: object = None, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status: int, code: str) -> None:
        self.send(status, {"error": code}, X_Error_Code=code, X_Error_Message=code)

    def create(self) -> None:
        asked = json.loads(self.body)
        prefix = "spaces/" if asked.get("type") == "space" else ""
        name = f"{prefix}{asked.get('organization') or 'me'}/{asked['name']}"
        url = f"{self.hub.url}/{name}"
        if name in self.hub.repositories:
            self.send(409, {"error": "exists", "url": url})
            return
        private = asked.get("private") or asked.get("visibility") == "private"
        repository = Repository(asked.get("type", "model"), bool(private))
        repository.commit({".gitattributes": b"*.safetensors filter=lfs\n"})
        self.hub.repositories[name] = repository
        self.send(200, {"url": url})

    def allowed(self, name: str) -> Repository | None:
        repository = self.hub.repositories.get(name)
        known = bool(self.headers.get("Authorization"))
        if repository is None or (repository.private and not known):
            self.refuse(404, "RepoNotFound")
            return None
        if repository.gated and not known:
            self.refuse(401, "GatedRepo")
            return None
        return repository

    def of_repository(self, name: str, rest: list[str]) -> None:
        repository = self.allowed(name)
        if repository is None:
            return
        action, revision = (rest[0] if rest else "revision"), (rest[1] if len(rest) > 1 else "main")
        commit = repository.refs.get(revision, revision)
        if action == "refs":
            named = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": c} for n, c in repository.refs.items()]
            self.send(200, {"branches": [n for n in named if n["name"] == "main"], "converts": [], "tags": named})
        elif commit not in repository.commits:
            self.refuse(404, "RevisionNotFound")
        elif action == "revision":
            files = [{"rfilename": file} for file in repository.commits[commit]]
            self.send(200, {"id": name, "sha": commit, "siblings": files, "private": repository.private, "tags": []})
        elif action == "tree":
            self.send(200, [self.entry(path, content) for path, content in repository.commits[commit].items()])
        elif action == "tag":
            repository.refs[json.loads(self.body)["tag"]] = commit
            self.send(200, {})
        elif action == "preupload":
            self.send(200, {"files": [self.preuploaded(repository, file) for file in json.loads(self.body)["files"]]})
        elif action == "commit":
            self.commit(repository, revision, name)
        else:
            self.send(404, {"error": f"unknown action {action}"})

    @staticmethod
    def entry(path: str, content: bytes) -> dict[str, object]:
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        entry = {"type": "file", "path": path, "size": len(content), "oid": git}
        if path.endswith(LARGE):
            lfs = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
            entry |= {"oid": "0" * 40, "lfs": lfs}
        return entry

    def preuploaded(self, repository: Repository, file: dict[str, object]) -> dict[str, object]:
        path = str(file["path"])
        large = path.endswith(LARGE)
        answer = {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
        there = repository.head.get(path)
        if there is not None:
            entry = self.entry(path, there)
            answer["oid"] = entry.get("lfs", entry)["oid"]
        return answer

    def batch(self) -> None:
        objects = []
        for wanted in json.loads(self.body)["objects"]:
            upload = {"href": f"{self.hub.url}/lfs/{wanted['oid']}", "header": {}}
            actions = {} if wanted["oid"] in self.hub.blobs else {"actions": {"upload": upload}}
            objects.append(wanted | actions)
        self.send(200, {"transfer": "basic", "objects": objects})

    def store(self, path: str) -> None:
        self.hub.blobs[path.removeprefix("/lfs/")] = self.body
        self.send(200, {})

    def commit(self, repository: Repository, branch: str, full_name: str) -> None:
        if self.hub.before_commit:
            self.hub.before_commit()
        files = dict(repository.head)
        for line in self.body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header" and value.get("parentCommit") not in (None, repository.refs[branch]):
                self.send(412, {"error": "A commit has happened since. Please refresh and try again."})
                return
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.hub.blobs[value["oid"]]
            elif entry["key"] == "deletedFile":
                del files[value["path"]]
        name = repository.commit(files, branch)
        self.send(200, {"commitOid": name, "commitUrl": f"{self.hub.url}/{full_name}/commit/{name}", "success": True})

    def resolve(self, name: str, revision: str, path: str) -> None:
        repository = self.allowed(name)
        if repository is None:
            return
        commit = repository.refs.get(revision, revision)
        if commit not in repository.commits:
            self.refuse(404, "RevisionNotFound")
            return
        content = repository.commits[commit].get(path)
        if content is None:
            self.refuse(404, "EntryNotFound")
            return
        headers = {
            "X_Repo_Commit": commit,
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "Accept_Ranges": "bytes",
        }
        weights = path == "model.safetensors"
        if weights and self.hub.flip:
            content = content[:-1] + bytes([content[-1] ^ 1])
        if weights and self.hub.stalls == "HEAD":
            self.hub.released.wait(60)
            self.close_connection = True
            return
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        if start:
            headers["Content_Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if weights and self.command == "GET" and (self.hub.cuts or self.hub.stalls or self.hub.drip):
            self.partly(content[start:], 206 if start else 200, headers)
        else:
            self.send(206 if start else 200, content[start:], **headers)

    def partly(self, content: bytes, status: int, headers: dict[str, str]) -> None:
        """Send weights, but not as they should be sent."""
        self.send_response(status)
        for key, value in (headers | {"Content_Length": str(len(content))}).items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        if self.hub.drip:
            step = len(content) // 10 + 1
            for start in range(0, len(content), step):
                self.wfile.write(content[start : start + step])
                self.hub.released.wait(self.hub.drip)
            return
        self.wfile.write(content[:100_000])
        self.close_connection = True
        if self.hub.stalls:
            self.hub.released.wait(60)
        else:
            self.hub.cuts -= 1
