"""Generators travel: sent to a stand-in of the hub's HTTP interface, and drawn from by their address."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from processes import CGAN, Run, error_line, start

from cgan import CganError, draw, hub, load_generator
from cgan.tasks import export, push


class Hub(BaseHTTPRequestHandler):
    """The routes that an upload and a download take; commits are kept in memory."""

    commits: dict[str, dict[str, bytes]]
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    @property
    def origin(self) -> str:
        return f"http://{self.headers['Host']}"

    def answer(self, body: bytes | dict | list, status: int = 200, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b"".join(self._chunks())
        if self.headers.get("Authorization") != "Bearer secret":
            self.answer({"error": "Invalid username or password."}, 401)
        elif self.path == "/api/repos/create":
            self.answer({"url": f"{self.origin}/me/digits", "name": "me/digits", "id": "1"})
        elif "/preupload/" in self.path:
            files = [{"path": file["path"], "uploadMode": "regular"} for file in json.loads(body)["files"]]
            self.answer({"files": [{**file, "shouldIgnore": False} for file in files]})
        elif "/commit/" in self.path:
            lines = [json.loads(line) for line in body.splitlines()]
            files = [line["value"] for line in lines if line["key"] == "file"]
            oid = hashlib.sha1(body).hexdigest()
            self.commits[oid] = {file["path"]: base64.b64decode(file["content"]) for file in files}
            self.answer({"commitOid": oid, "commitUrl": f"{self.origin}/me/digits/commit/{oid}", "success": True})
        else:
            self.answer({}, 200)

    def _chunks(self) -> Iterator[bytes]:
        while self.headers.get("Transfer-Encoding") == "chunked" and (size := int(self.rfile.readline(), 16)):
            yield self.rfile.read(size)
            self.rfile.readline()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if found := re.fullmatch(r"/api/models/me/digits(?:/(?:revision|tree)/(\w+))?", path):
            oid = self._oid(found[1] or "main")
            if oid is None:
                self.answer({"error": "Invalid rev id"}, 404, X_Error_Code="RevisionNotFound")
            elif "/tree/" in path:
                files = self.commits[oid].items()
                rows = [{"path": name, "size": len(content), "oid": _etag(content)} for name, content in files]
                self.answer([{"type": "file", **row} for row in rows])
            else:
                files = [{"rfilename": name} for name in self.commits[oid]]
                self.answer({"id": "me/digits", "sha": oid, "siblings": files, "private": False, "tags": []})
        elif (found := re.fullmatch(r"/me/digits/resolve/(\w+)/(.+)", path)) and (oid := self._oid(found[1])):
            content = self.commits[oid][found[2]]
            self.answer(content, ETag=f'"{_etag(content)}"', X_Repo_Commit=oid)
        else:
            self.answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")

    do_HEAD = do_GET  # noqa: N815

    def _oid(self, revision: str) -> str | None:
        oid = list(self.commits)[-1] if revision == "main" else revision
        return oid if oid in self.commits else None


def _etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    Hub.commits = {}
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def cgan(address: str, tmp_path: Path) -> Callable[..., Run]:
    """The command line of a user who is logged in at the hub."""
    of_the_hub = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": "secret"}
    return lambda *arguments, **more: start(*arguments, cwd=tmp_path, env=of_the_hub | more, script=CGAN)


def test_a_pushed_generator_draws_the_same_pictures_by_its_address(
    composed: Callable, tmp_path: Path, cgan: Callable
) -> None:
    original = load_generator("pretrained/mlp")
    export.run(composed("export", "ckpt=pretrained/mlp", f"out={tmp_path / 'mine'}"))
    sent = cgan("push", "mine", "me/digits")
    assert sent.wait() == 0, sent.words()
    found = re.search(r"ckpt=(hf://me/digits@[0-9a-f]{40})`", sent.output())
    assert found, sent.words()
    assert sorted(Hub.commits[found[1][-40:]]) == ["README.md", "config.json", "model.safetensors"]
    drawn = cgan("sample", "classes=7,2", "n=2", f"ckpt={found[1]}", "out=drawn.npz")
    assert drawn.wait() == 0, drawn.words()
    images = np.load(tmp_path / "drawn.npz")["images"]
    assert np.array_equal(images, draw(original, ["7", "7", "2", "2"])[:, 0].numpy())
    again = cgan("sample", "classes=7", "n=1", f"ckpt={found[1]}", "out=again.npz", HF_HUB_OFFLINE="1")
    assert again.wait() == 0, again.words()

    for wrong, message in {"me/digits@nope": "Revision Not Found", "me/other": "Repository Not Found"}.items():
        assert message in error_line(cgan("sample", f"ckpt=hf://{wrong}"))
    assert "hf auth login" in error_line(cgan("push", "mine", "me/digits", HF_TOKEN="wrong"))


def test_what_is_no_export_is_not_sent(tmp_path: Path) -> None:
    with pytest.raises(CganError, match=r"no config.json in it; .*export"):
        push.run(tmp_path, "me/digits")
    export_like = [(tmp_path / name).write_text("{}") for name in (*hub.FILES, "README.md")]
    assert len(export_like) == 3
    with pytest.raises(CganError, match=r"not a readable generator: .*; export it again"):
        push.run(tmp_path, "me/digits")


@pytest.mark.parametrize("text", ["hf://", "hf://name", "hf://a/b/c", "hf://a/b@", "hf://a/../b"])
def test_an_address_has_one_form(text: str) -> None:
    with pytest.raises(CganError, match="expected hf://USER/NAME"):
        load_generator(text)
