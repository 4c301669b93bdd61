"""Repositories in memory behind the part of the Hub's HTTP API that huggingface_hub 2.4 and datasets 5.2 use.

Mirrors what their source says of requests and answers: repos/create, validate-yaml, preupload, LFS batch and PUT,
commit, tag, refs, commits, info, tree, paths-info and resolve.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, unquote, urlparse

import yaml

LFS_ENDINGS: Final = (".parquet", ".arrow", ".safetensors")
ROOT_COMMIT: Final = "0" * 40


class Request(NamedTuple):
    method: str
    url: str
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def path(self) -> str:
        return unquote(urlparse(self.url).path)

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlparse(self.url).query)


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str]


class Commit(NamedTuple):
    sha: str
    title: str
    message: str
    files: dict[str, bytes]


@dataclass
class Repo:
    """One branch, `main`, newest commit last."""

    private: bool
    commits: list[Commit] = field(default_factory=lambda: [Commit(ROOT_COMMIT, "initial commit", "", {})])
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def tip(self) -> Commit:
        return self.commits[-1]

    def at(self, revision: str) -> Commit | None:
        sha = self.tip.sha if revision in ("main", "refs/heads/main") else self.tags.get(revision, revision)
        return next((commit for commit in self.commits if commit.sha == sha), None)

    def push(self, title: str, message: str, files: dict[str, bytes]) -> str:
        """Add a commit; its sha."""
        content = "\n".join([self.tip.sha, title, message, *(f"{path} {git_oid(files[path])}" for path in files)])
        self.commits.append(Commit(hashlib.sha1(content.encode()).hexdigest(), title, message, files))
        return self.tip.sha


def answer(status: int = 200, content: Any = None, **headers: str) -> Answer:
    body = json.dumps({} if content is None else content).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, body, {"Content-Type": "application/json", **named})


def not_found(what: str) -> Answer:
    return answer(404, {"error": what}, X_Error_Code=what, X_Error_Message=what)


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def oid(path: str, content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if path.endswith(LFS_ENDINGS) else git_oid(content)


class HubApi:
    """What the server knows, and one method a request."""

    def __init__(self, token: str | None = None) -> None:
        self.token = token  # asked of every write, and of reads of private repositories
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.uploads: list[int] = []  # bytes of each PUT
        self._routes: list[tuple[str, str, Callable[..., Answer]]] = [
            ("POST", r"/api/repos/create", self._create),
            ("POST", r"/api/validate-yaml", self._validate),
            ("PUT", r"/blobs/(\w+)", self._put),
            ("POST", r"/datasets/(.+)\.git/info/lfs/objects/batch", self._batch),
            ("POST", r"/api/datasets/([^/]+/[^/]+)/preupload/(.+)", self._preupload),
            ("POST", r"/api/datasets/([^/]+/[^/]+)/commit/main", self._commit),
            ("POST", r"/api/datasets/([^/]+/[^/]+)/tag/(.+)", self._tag),
            ("POST", r"/api/datasets/([^/]+/[^/]+)/paths-info/(.+)", self._paths_info),
            ("GET", r"/api/datasets/([^/]+/[^/]+)/refs", self._refs),
            ("GET", r"/api/datasets/([^/]+/[^/]+)/commits/(.+)", self._commits),
            ("GET", r"/api/datasets/([^/]+/[^/]+)/tree/([^/]+)/?(.*)", self._tree),
            ("GET", r"/api/datasets/([^/]+/[^/]+)(?:/revision/(.+))?", self._info),
            ("GET", r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self._resolve),
            # Models, which are read and not written here.
            ("GET", r"/api/models/([^/]+/[^/]+)/tree/([^/]+)/?(.*)", self._tree),
            ("GET", r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", self._info),
            ("GET", r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self._resolve),
        ]

    def respond(self, request: Request) -> Answer:
        if self.token and request.method in ("POST", "PUT") and not self._allowed(request):
            return answer(401, {"error": "Invalid username or password."})
        method = "GET" if request.method == "HEAD" else request.method
        for wanted, pattern, handle in self._routes:
            if wanted == method and (match := re.fullmatch(pattern, request.path)):
                return handle(request, *match.groups())
        return not_found("EntryNotFound")

    def push(self, repo: str, files: dict[str, bytes], title: str = "somebody else's") -> str:
        """A commit that does not come through HTTP; its sha."""
        return self.repos[repo].push(title, "", self.repos[repo].tip.files | files)

    def _allowed(self, request: Request) -> bool:
        # What a PUT may do is in its URL; LFS storage is asked without a token.
        free = request.path.startswith(("/blobs/", "/api/validate-yaml")) or "/paths-info/" in request.path
        return free or request.headers.get("authorization") == f"Bearer {self.token}"

    def _readable(self, request: Request, name: str) -> Repo | None:
        repo = self.repos.get(name)
        hidden = repo and repo.private and self.token
        return None if hidden and request.headers.get("authorization") != f"Bearer {self.token}" else repo

    def _create(self, request: Request) -> Answer:
        wanted = json.loads(request.body)
        name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
        if name in self.repos:
            return answer(409, {"error": "You already created this dataset repo", "url": f"/datasets/{name}"})
        self.repos[name] = Repo(private=wanted.get("visibility") == "private" or wanted.get("private", False))
        return answer(200, {"url": f"http://{request.headers['host']}/datasets/{name}", "name": name})

    def _validate(self, request: Request) -> Answer:
        content = json.loads(request.body)["content"]
        try:
            yaml.safe_load(content.split("---")[1] if content.startswith("---") else "")
        except yaml.YAMLError as error:
            return answer(400, {"errors": [{"message": str(error)}], "warnings": []})
        return answer(200, {"errors": [], "warnings": []})

    def _preupload(self, request: Request, name: str, _revision: str) -> Answer:
        now = self.repos[name].tip.files
        files = [
            {
                "path": path,
                "uploadMode": "lfs" if path.endswith(LFS_ENDINGS) else "regular",
                "shouldIgnore": False,
                "oid": oid(path, now[path]) if path in now else None,
            }
            for path in (file["path"] for file in json.loads(request.body)["files"])
        ]
        return answer(200, {"files": files})

    def _batch(self, request: Request, _name: str) -> Answer:
        objects = []
        for wanted in json.loads(request.body)["objects"]:
            upload = {"upload": {"href": f"http://{request.headers['host']}/blobs/{wanted['oid']}"}}
            known = wanted["oid"] in self.blobs
            objects.append({"oid": wanted["oid"], "size": wanted["size"], **({} if known else {"actions": upload})})
        return answer(200, {"transfer": "basic", "objects": objects}, Content_Type="application/vnd.git-lfs+json")

    def _put(self, request: Request, sha256: str) -> Answer:
        self.uploads.append(len(request.body))
        if hashlib.sha256(request.body).hexdigest() != sha256:
            return answer(400, {"error": "the content is not what its name says"})
        self.blobs[sha256] = request.body
        return answer()

    def _commit(self, request: Request, name: str) -> Answer:
        if (repo := self.repos.get(name)) is None:
            return not_found("RepoNotFound")
        files, title, message = dict(repo.tip.files), "", ""
        for line in map(json.loads, request.body.splitlines()):
            kind, value = line["key"], line["value"]
            if kind == "header":
                title, message = value["summary"], value["description"]
                if value.get("parentCommit") not in (None, repo.tip.sha):
                    return answer(412, {"error": "A commit has happened since. Please refresh and try again."})
            elif kind == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif kind == "lfsFile":
                if value["oid"] not in self.blobs:
                    return answer(400, {"error": f"LFS pointer to unknown {value['oid']}"})
                files[value["path"]] = self.blobs[value["oid"]]
            elif kind == "deletedFile":
                del files[value["path"]]
        sha = repo.push(title, message, files)
        url = f"http://{request.headers['host']}/datasets/{name}/commit/{sha}"
        return answer(200, {"commitUrl": url, "commitOid": sha, "success": True})

    def _tag(self, request: Request, name: str, revision: str) -> Answer:
        repo, tag = self.repos[name], json.loads(request.body)["tag"]
        if (commit := repo.at(revision)) is None:
            return not_found("RevisionNotFound")
        if tag in repo.tags:
            return answer(409, {"error": f"Tag {tag} already exists"})
        repo.tags[tag] = commit.sha
        return answer()

    def _refs(self, request: Request, name: str) -> Answer:
        if (repo := self._readable(request, name)) is None:
            return not_found("RepoNotFound")
        tags = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": sha} for n, sha in repo.tags.items()]
        branches = [{"name": "main", "ref": "refs/heads/main", "targetCommit": repo.tip.sha}]
        return answer(200, {"branches": branches, "tags": tags, "converts": []})

    def _commits(self, request: Request, name: str, revision: str) -> Answer:
        if (repo := self._readable(request, name)) is None:
            return not_found("RepoNotFound")
        if (tip := repo.at(revision)) is None:
            return not_found("RevisionNotFound")
        until = repo.commits[: repo.commits.index(tip) + 1]
        date = "2026-11-21T00:00:00.000Z"
        return answer(
            200,
            [
                {"id": c.sha, "title": c.title, "message": c.message, "date": date, "authors": []}
                for c in reversed(until)
            ],
        )

    def _info(self, request: Request, name: str, revision: str | None) -> Answer:
        if (repo := self._readable(request, name)) is None:
            return not_found("RepoNotFound")
        if (commit := repo.at(revision or "main")) is None:
            return not_found("RevisionNotFound")
        siblings = [{"rfilename": path} for path in commit.files]
        return answer(200, {"id": name, "sha": commit.sha, "private": repo.private, "tags": [], "siblings": siblings})

    def _tree(self, request: Request, name: str, revision: str, below: str) -> Answer:
        if (repo := self._readable(request, name)) is None:
            return not_found("RepoNotFound")
        if (commit := repo.at(revision)) is None:
            return not_found("RevisionNotFound")
        start = f"{below.strip('/')}/" if below.strip("/") else ""
        inside = {path: content for path, content in commit.files.items() if path.startswith(start)}
        if start and not inside:
            return not_found("EntryNotFound")
        deep = request.query.get("recursive", ["false"])[0].lower() in ("true", "1")
        return answer(200, _entries(inside, start, deep=deep))

    def _paths_info(self, request: Request, name: str, revision: str) -> Answer:
        if (repo := self._readable(request, name)) is None:
            return not_found("RepoNotFound")
        commit = repo.at(revision)
        is_json = "json" in request.headers.get("content-type", "")
        paths = (json.loads(request.body) if is_json else parse_qs(request.body.decode()))["paths"]
        entries = {e["path"]: e for e in _entries(commit.files if commit else {}, "", deep=True)}
        return answer(200, [entries[path] for path in paths if path in entries])

    def _resolve(self, request: Request, name: str, revision: str, path: str) -> Answer:
        repo = self._readable(request, name)
        commit = repo.at(revision) if repo else None
        if repo is None or commit is None:
            return not_found("RevisionNotFound" if repo else "RepoNotFound")
        if path not in commit.files:
            missing = not_found("EntryNotFound")
            return missing._replace(headers=missing.headers | {"X-Repo-Commit": commit.sha})
        content = commit.files[path]
        headers = {
            "Content-Type": "application/octet-stream",
            "X-Repo-Commit": commit.sha,
            "ETag": f'"{oid(path, content)}"',
            "Accept-Ranges": "bytes",
        }
        if span := re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", "")):
            first, last = int(span[1]), min(int(span[2] or len(content) - 1), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            return Answer(206, content[first : last + 1], headers)
        return Answer(200, content, headers)


def _entries(files: dict[str, bytes], start: str, *, deep: bool) -> list[dict[str, Any]]:
    entries, folders = [], set()
    for path, content in sorted(files.items()):
        parts = path.removeprefix(start).split("/")
        for depth in range(1, len(parts)):
            folder = start + "/".join(parts[:depth])
            if folder not in folders and (deep or depth == 1):
                folders.add(folder)
                entries.append({"type": "directory", "path": folder, "oid": "0" * 40})
        if deep or len(parts) == 1:
            entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": git_oid(content)}
            if path.endswith(LFS_ENDINGS):
                entry["lfs"] = {"oid": oid(path, content), "size": len(content), "pointerSize": 130}
            entries.append(entry)
    return entries
