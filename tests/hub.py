"""A Hugging Face hub on the loopback: repositories with commits, and a log of what was asked of it."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest


class FakeHub:
    """Answers what huggingface_hub asks to list a model's files and to download them."""

    def __init__(self) -> None:
        self.commits: dict[tuple[str, str], dict[str, bytes]] = {}
        """(repository, commit) -> files."""
        self.branches: dict[tuple[str, str], str] = {}
        self.gated: set[str] = set()
        """Listed for all, downloaded by none."""
        self.private: set[str] = set()
        self.extra: list[str] = []
        """Names that every listing holds besides."""
        self.down = False
        self.log: list[str] = []
        self.url = ""

    def push(self, repository: str, files: dict[str, bytes], branch: str = "main") -> str:
        """Makes a commit, moves the branch to it and returns it."""
        content = json.dumps([repository, {name: hashlib.sha1(data).hexdigest() for name, data in files.items()}])
        commit = hashlib.sha1(content.encode()).hexdigest()
        self.commits[repository, commit] = files
        self.branches[repository, branch] = commit
        return commit

    def downloaded(self) -> list[str]:
        """Names of the files that were sent since the log was cleared."""
        return sorted(line.partition(" ")[2] for line in self.log if line.startswith("GET "))

    def answer(self, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
        parts = [unquote(part) for part in urlsplit(path).path.strip("/").split("/")]
        if self.down:
            return 503, {}, b""
        if parts[:2] == ["api", "models"]:
            return self._info("/".join(parts[2:4]), parts[5] if len(parts) > 5 else "main")
        return self._file(method, "/".join(parts[:2]), parts[3], "/".join(parts[4:]))

    def _commit(self, repository: str, revision: str) -> str | None:
        return self.branches.get((repository, revision), revision if (repository, revision) in self.commits else None)

    def _info(self, repository: str, revision: str) -> tuple[int, dict[str, str], bytes]:
        self.log.append(f"INFO {repository} {revision}")
        if repository in self.private or not any(name == repository for name, _ in self.commits):
            return 401 if repository in self.private else 404, {"X-Error-Code": "RepoNotFound"}, b""
        commit = self._commit(repository, revision)
        if commit is None:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        files = self.commits[repository, commit]
        siblings: list[dict[str, Any]] = [{"rfilename": name, "size": len(data)} for name, data in files.items()]
        siblings += [{"rfilename": name, "size": 1} for name in self.extra]
        return 200, {}, json.dumps({"id": repository, "sha": commit, "siblings": siblings}).encode()

    def _file(self, method: str, repository: str, revision: str, name: str) -> tuple[int, dict[str, str], bytes]:
        self.log.append(f"{method} {name}")
        if repository in self.gated:
            return 401, {"X-Error-Code": "GatedRepo"}, b""
        commit = self._commit(repository, revision)
        data = self.commits.get((repository, commit or ""), {}).get(name)
        if commit is None or data is None:
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        return 200, {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": commit}, data


@contextmanager
def serving() -> Iterator[FakeHub]:
    """A hub on a port of its own."""
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _send(self) -> None:
            status, headers, data = hub.answer(self.command, self.path)
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        do_GET = do_HEAD = _send  # noqa: N815 - names that http.server looks for

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def use(monkeypatch: pytest.MonkeyPatch, hub: FakeHub, home: Path) -> None:
    """Lets huggingface_hub of this process ask `hub`, with its caches in `home`; it reads its settings at import."""
    from huggingface_hub import constants

    for name, value in {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_ASSETS_CACHE": str(home / "assets"),
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": True,
    }.items():
        monkeypatch.setattr(constants, name, value)


def files_of(folder: Path) -> dict[str, bytes]:
    """A folder's files by name, for `push`."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
