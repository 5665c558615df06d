"""The API in a uvicorn process of its own, over sockets."""

import asyncio
import base64
import io
import json
import math
import os
import pickle
import random
import re
import resource
import shutil
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import schemathesis
import torch
from hypothesis import HealthCheck, given, settings
from load import ask, requests
from PIL import Image
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from servers import PATIENCE, serving
from starlette.exceptions import HTTPException

from cgan import draw, load_generator, save_generator
from cgan.checkpoint import PRETRAINED
from cgan.errors import CganError
from cgan.metrics.values import Protocol
from cgan.records.evaluation import Entry, EvaluationRecord, to_json
from cgan.sampling import formats
from cgan.serving.api import _from_environment
from cgan.serving.batching import BusyError, DrawQueue, DrawRequest, InversionQueue
from cgan.serving.catalog import Catalog
from cgan.serving.limits import METHODS, BodyLimit
from cgan.serving.service import Service

CAPACITY = 8
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def completed(coroutine):
    """What a coroutine returns. It runs in a thread of its own, as Playwright's browser keeps a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """A logs folder with a good export, a cut one and a file that would run code if it were unpickled."""
    folder = tmp_path_factory.mktemp("secret") / "logs"
    save_generator(load_generator("pretrained"), folder / "mine")
    found = EvaluationRecord(
        Protocol("mnist", "digits", "", "none", 1000, 0),
        Entry("real images"),
        [Entry("", {"label_agreement": 0.1})],
        {},
        list("0123456789"),
    )
    save_generator(load_generator("pretrained"), folder / "poor", {"evaluation": to_json(found)})
    named = load_generator("pretrained")
    named.spec = replace(named.spec, class_names=("and/or", *"123456789"))
    save_generator(named, folder / "slash")
    shutil.copytree(folder / "mine", folder / "cut")
    (folder / "cut" / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    evil = folder / "train" / "runs" / "evil" / "checkpoints"
    evil.mkdir(parents=True)
    (evil / "best.ckpt").write_bytes(pickle.dumps(Evil(folder / "ran")))
    outside = folder.parent / "outside"
    save_generator(load_generator("pretrained"), outside)
    (folder / "link").symlink_to(outside)
    return folder


class Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@contextmanager
def serving_api(logs: Path, **environ: str) -> Iterator[str]:
    """Start uvicorn as a user would; a traceback in its output fails the test."""
    arguments = ("-m", "uvicorn", "cgan.serving.api:app", "--port={port}", "--log-level=warning")
    with serving(*arguments, folder=logs.parent, path="healthz", CGAN_LOGS=str(logs), **environ) as server:
        yield server.address
    assert "Traceback" not in server.output.read_text()


@pytest.fixture(scope="module")
def server(logs):
    with serving_api(logs, CGAN_QUEUE=str(CAPACITY), CGAN_TIME_LIMIT=str(PATIENCE)) as address:
        yield address


@pytest.fixture(scope="module")
def client(server):
    with httpx.Client(base_url=server, timeout=PATIENCE) as session:
        yield session


def pixels(content: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(content)))


def queued(client: httpx.Client) -> float:
    return float(re.search(r"^cgan_queued_requests (.+)$", client.get("/metrics").text, re.M)[1])


def test_the_listing_names_models_and_errors(client, logs):
    listed = {model["name"]: model for model in client.get("/v1/models").json()}
    assert set(listed) == {
        *(f"pretrained/{path.name}" for path in PRETRAINED.iterdir()),
        "mine",
        "poor",
        "slash",
        "cut",
        "train/runs/evil",
    }
    assert listed["mine"]["classes"] == list("0123456789")
    assert listed["mine"]["error"] is None
    assert listed["pretrained/light"]["title"] == "light_wide on MNIST, 150 epochs"
    fid = next(value for value in listed["pretrained/light"]["values"] if value["name"] == "fid")
    assert fid["title"] == "Fréchet distance"
    assert fid["advice"] == "lower is better"
    assert 0 < fid["real"] < fid["value"] < 0.1
    assert "not a readable checkpoint" in listed["train/runs/evil"]["error"]
    assert (listed["mine"]["warning"], listed["poor"]["warning"][:8]) == ("", "Only 10%")
    assert not (logs / "ran").exists()
    assert "secret" not in json.dumps(listed)


def test_a_listing_without_a_finished_run_takes_the_bundled_generator_and_warns_nobody(tmp_path, caplog):
    (tmp_path / "run.json").write_text("{}")
    assert Catalog(tmp_path).default() == "pretrained/light"
    assert caplog.text == ""


def test_an_export_of_ones_own_is_not_bundled_wherever_it_lies(tmp_path):
    save_generator(load_generator("pretrained"), tmp_path / "pretrained" / "mine")
    origins = {model.name: model.origin for model in Catalog(tmp_path).models()}
    assert origins["pretrained/mine"] == "exported generator"
    assert origins["pretrained/light"] == "pretrained generator"


def test_a_class_and_a_seed_name_the_pixels(client):
    generator = load_generator("pretrained")
    single = client.get("/v1/classes/7", params={"seed": 11})
    assert single.headers["content-type"] == "image/png"
    expected = draw(generator, [7], seed=11)[0, 0].numpy().astype(int)
    assert np.abs(pixels(single.content) - expected).max() <= 1
    several = client.get("/v1/classes/7", params={"seed": 9, "n": 5, "format": "json"}).json()
    assert [(image["label"], image["seed"]) for image in several["images"]] == [(7, seed) for seed in range(9, 14)]
    assert several["warning"] == ""
    poor = client.get("/v1/classes/7", params={"model": "poor", "format": "json"}).json()
    assert poor["warning"] == "Only 10% of its pictures were recognised as the requested class."
    assert np.abs(pixels(base64.b64decode(several["images"][2]["png"])) - expected).max() <= 1


def test_a_class_is_named_as_the_data_name_it(client):
    named = client.get("/v1/classes/and%2For", params={"model": "slash", "seed": 11})
    assert named.content == client.get("/v1/classes/0", params={"seed": 11}).content


def test_every_format_holds_the_requested_pictures(client):
    body = {"classes": [2, 0, 2, 6], "seeds": [1, 2, 3, 2**53 - 1], "truncation": 0.5, "model": "mine"}
    arrays = np.load(io.BytesIO(client.post("/v1/samples?format=npz", json=body).content), allow_pickle=False)
    assert arrays["images"].shape == (4, 28, 28)
    assert arrays["labels"].tolist() == body["classes"]
    assert arrays["seeds"].tolist() == body["seeds"]
    with zipfile.ZipFile(io.BytesIO(client.post("/v1/samples?format=zip", json=body).content)) as archive:
        assert archive.namelist() == [
            "2_1_00000.png",
            "0_2_00000.png",
            "2_3_00000.png",
            "6_9007199254740991_00000.png",
            "labels.csv",
        ]
        assert np.abs(pixels(archive.read("0_2_00000.png")).astype(int) - arrays["images"][1]).max() <= 1
    assert pixels(client.post("/v1/samples", json=body).content).shape == (2 + 58, 2 + 4 * 58)
    assert len(np.load(io.BytesIO(client.get("/v1/classes/1?n=1000&format=npz").content))["images"]) == 1000


def test_a_picture_gives_its_style_to_every_class(client):
    seven = formats.png(draw(load_generator("pretrained"), [7], seed=3)[0])
    answer = client.post("/v1/styles", params={"format": "json", "class": 7}, files={"picture": seven}).json()
    assert answer["read_as"] == "7"
    assert answer["error"] < 0.02
    assert [image["class_name"] for image in answer["images"]] == list("0123456789")
    assert {image["seed"] for image in answer["images"]} == {None}


@pytest.mark.slow
def test_a_listing_of_500_runs_reads_no_checkpoint_twice(tmp_path, monkeypatch):
    generator = load_generator("pretrained")
    first = tmp_path / "train" / "runs" / "0" / "checkpoints" / "best.ckpt"
    first.parent.mkdir(parents=True)
    described = {"network": "LightGenerator", "config": generator.config, "spec": generator.spec.to_dict()}
    state = {f"ema.generator.{name}": tensor for name, tensor in generator.state_dict().items()}
    torch.save({"cgan": {**described, "images_seen": 10}, "state_dict": state}, first)
    for number in range(1, 500):
        folder = tmp_path / "train" / "runs" / str(number) / "checkpoints"
        folder.mkdir(parents=True)
        os.link(first, folder / "best.ckpt")
    catalog = Catalog(tmp_path)
    models = catalog.models()
    assert len([model for model in models if model.error is None]) == 500 + len(list(PRETRAINED.glob("*/config.json")))
    for module in ("cgan.serving.catalog.load_generator", "cgan.records.evaluation.read_description"):
        monkeypatch.setattr(module, lambda *_: pytest.fail("a file was read again"))
    monkeypatch.setattr(catalog, "_listed_at", -math.inf)
    assert catalog.models() == models
    assert len({model.label for model in models}) == len(models), "labels tell models apart"


def test_styles_and_morphs_are_those_of_the_service(client, logs):
    service = Service(logs)
    name = service.default_model()
    answer = client.get("/v1/styles/11?format=npz&classes=2&classes=0&classes=7&truncation=0.6")
    arrays = np.load(io.BytesIO(answer.content))
    expected = service.render(name, service.style(name, 11), [2, 0, 7], 0.6)[:, 0].numpy().astype(int)
    assert arrays["labels"].tolist() == [2, 0, 7]
    assert np.abs(arrays["images"] - expected).max() <= 1
    assert len(client.get("/v1/styles/11?format=json").json()["images"]) == 10

    query = {"start": 3, "end": "8", "start_seed": 1, "end_seed": 2, "frames": 5}
    arrays = np.load(io.BytesIO(client.get("/v1/morphs", params={**query, "format": "npz"}).content))
    ends = service.draw(name, [3, 8], [1, 2])[:, 0].numpy().astype(int)
    assert np.abs(arrays["images"][[0, -1]] - ends).max() <= 1
    assert Image.open(io.BytesIO(client.get("/v1/morphs", params={**query, "format": "gif"}).content)).n_frames == 8


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "image/png"),
        ("text/html,image/avif,image/png,*/*;q=0.8", "image/png"),
        ("application/json", "application/json"),
        ("text/html, application/zip;q=0.9", "application/zip"),
        ("image/gif", "image/gif"),
    ],
)
def test_the_accept_header_chooses_the_format(client, accept, kind):
    answer = client.get("/v1/classes/7?n=2", headers={"accept": accept})
    assert answer.headers["content-type"] == kind
    other = client.get("/v1/classes/7?format=npz", headers={"accept": accept})
    assert other.headers["content-type"] == "application/x-npz"


def test_the_root_leads_to_documents_that_need_no_other_host(client):
    page = client.get("/", follow_redirects=True)
    assert page.url.path == "/docs"
    sources = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(sources) >= 2
    for source in sources:
        assert source.startswith("/"), source
        assert client.get(source).status_code == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [("CGAN_QUEUE", "abc"), ("CGAN_QUEUE", "0"), ("CGAN_TIME_LIMIT", "x"), ("CGAN_TIME_LIMIT", "nan")],
)
def test_a_variable_that_is_no_number_is_refused(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(CganError, match=f"{name}={value}: expected a number"):
        _from_environment()


@pytest.mark.slow
def test_pages_of_allowed_origins_alone_may_call(logs):
    with serving_api(logs, CGAN_CORS="https://a.example, https://b.example") as address:
        origins = {
            origin: httpx.get(f"{address}/healthz", headers={"origin": origin}, timeout=PATIENCE).headers.get(
                "access-control-allow-origin"
            )
            for origin in ("https://b.example", "https://c.example")
        }
    assert origins == {"https://b.example": "https://b.example", "https://c.example": None}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/classes/10", 404),
        ("/v1/classes/-1", 404),
        ("/v1/classes/seven", 404),
        ("/v1/classes/7?n=0", 422),
        ("/v1/classes/7?n=1001", 422),
        ("/v1/classes/7?n=1e3", 422),
        ("/v1/classes/7?seed=-1", 422),
        ("/v1/classes/7?seed=99999999999999999999", 422),
        ("/v1/classes/7?truncation=nan", 422),
        ("/v1/classes/7?truncation=9", 422),
        ("/v1/classes/7?format=exe", 422),
        ("/v1/classes/7?sede=1", 422),
        ("/v1/classes/7?digits=1", 422),
        ("/v1/models?limit=1", 422),
        ("/v1/styles/0?classes=10", 422),
        ("/v1/styles/-1", 422),
        ("/v1/morphs?start=3&end=ten", 422),
        ("/v1/morphs?start=3", 422),
        ("/v1/morphs?start=3&end=8&frames=1", 422),
        ("/v1/classes/7?model=nowhere", 404),
        ("/v1/classes/7?model=cut", 404),
        ("/v1/classes/7?model=train/runs/evil", 404),
        ("/v1/classes/7?model=link", 404),
        ("/v1/classes/7?model=../outside", 404),
        ("/v1/classes/7?model=/etc/passwd", 404),
        ("/v1/classes/7?model=pretrained/../pretrained/light", 404),
        ("/v1/classes/7?model=", 404),
        ("/v1/classes/%00", 404),
        ("/nowhere", 404),
    ],
)
def test_requests_out_of_range_get_a_message_without_paths(client, logs, path, status):
    answer = client.get(path)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert "secret" not in answer.text
    assert "/site-packages" not in answer.text
    assert str(PRETRAINED) not in answer.text
    assert not (logs / "ran").exists()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 422),
        (b"\xff\xfe", 422),
        (b"[]", 422),
        (b'{"classes": []}', 422),
        (b'{"classes": [1.5]}', 422),
        (b'{"classes": ["one"]}', 422),
        (b'{"classes": [true]}', 422),
        (b'{"classes": [10]}', 422),
        (b'{"classes": [99999999999999999999999]}', 422),
        (b'{"classes": [1, 2], "seeds": [1]}', 422),
        (b'{"classes": [1], "seeds": [-1]}', 422),
        (b'{"classes": [1], "truncation": 1e999}', 422),
        (b'{"classes": [1], "path": "/etc/passwd"}', 422),
        (b'{"classes": [%s1]}' % (b"1," * 1000), 422),
        (b"[" * 100_000, 400),
        (b'{"classes": [%s1]}' % (b"1," * 500_000), 413),
    ],
)
def test_malformed_bodies_get_a_message(client, body, status):
    answer = client.post("/v1/samples", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert len(answer.text) < 500


def test_the_body_is_counted_and_not_its_header(client):
    chunked = client.post("/v1/samples", content=(b" " * 100_000 for _ in range(30)))
    assert chunked.status_code == 413
    assert client.post("/v1/styles", files={"picture": b"\0" * 1_100_000}).status_code == 413


@pytest.mark.parametrize("content", [b"", b"GIF89a", pickle.dumps({"a": 1}), b"PK\x03\x04" + b"\0" * 100])
def test_only_pictures_are_decoded(client, content):
    answer = client.post("/v1/styles", files={"picture": ("seven.png", content, "image/png")})
    assert answer.status_code == 422
    assert "error" in answer.json()


@pytest.mark.slow
def test_a_full_queue_refuses_and_empties_again(client):
    """24 clients request 1,000 pictures each at once; the queue has room for 8."""

    def ask(_: int) -> httpx.Response:
        return client.get("/v1/classes/8?n=1000&format=npz")

    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(ask, range(24)))
    statuses = {answer.status_code for answer in answers}
    assert statuses == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["retry-after"]) >= 1
    assert list(refused.json()) == ["error"]
    assert sum(answer.status_code == 200 for answer in answers) >= CAPACITY
    assert queued(client) == 0


def test_styles_and_morphs_wait_in_the_queue_of_the_pictures(logs):
    async def fill(queue: DrawQueue) -> None:
        request, started = DrawRequest("mine", [3], [5], 1.0), threading.Event()
        waiting = [asyncio.create_task(queue.run(started.wait, 5)), asyncio.create_task(queue.draw(request))]
        await asyncio.sleep(0)
        assert queue.queued() == 2
        for other in (queue.run(int), queue.draw(request)):
            with pytest.raises(BusyError):
                await other
        started.set()
        worker = asyncio.create_task(queue.work())
        assert [len(images) for images in (await asyncio.gather(*waiting))[1:]] == [1]
        assert queue.queued() == 0
        with pytest.raises(ZeroDivisionError):
            await queue.run(divmod, 1, 0)
        assert await queue.run(divmod, 7, 2) == (3, 1)
        worker.cancel()

    completed(fill(DrawQueue(Service(logs), capacity=2, on_batch=int)))


def test_concurrent_requests_share_forward_passes_and_keep_their_own_pictures(client):
    def counted() -> tuple[float, float]:
        text = client.get("/metrics").text
        return tuple(float(re.search(rf"^cgan_batch_images_{part} (.+)$", text, re.M)[1]) for part in ("count", "sum"))

    def ask(seed: int) -> np.ndarray:
        answer = client.get(f"/v1/classes/{seed % 10}?seed={seed}")
        assert answer.status_code == 200
        return pixels(answer.content)

    before = counted()
    with ThreadPoolExecutor(8) as pool:
        long = pool.submit(client.get, "/v1/classes/8?n=1000&format=npz")
        pictures = list(pool.map(ask, range(7)))
        assert long.result().status_code == 200
    passes, images = (after - start for after, start in zip(counted(), before, strict=True))
    assert images == 1007
    assert passes < 8
    generator = load_generator("pretrained")
    for seed, picture in enumerate(pictures):
        assert np.abs(picture.astype(int) - draw(generator, [seed % 10], seed=seed)[0, 0].numpy()).max() <= 1


def test_disconnected_clients_are_dropped(client, server):
    """Some disconnect while queued, some in the middle of the request's or the response's body."""
    port = int(server.rpartition(":")[2])
    requests = [
        b"GET /v1/classes/3?n=1000&format=npz HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /v1/samples HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{",
        b"GET /v1/classes/3 HT",
    ]
    for request in requests * 4:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(request)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(requests[0])
        assert connection.recv(10).startswith(b"HTTP/1.1 2")  # disconnects with most of the response unread
    assert client.get("/v1/classes/3").status_code == 200
    assert queued(client) == 0


@pytest.mark.slow
def test_a_request_has_a_time_limit(logs):
    seven = formats.png(draw(load_generator("pretrained"), [7], seed=3)[0])
    with serving_api(logs, CGAN_TIME_LIMIT="0.05") as address:
        answer = httpx.post(f"{address}/v1/styles", files={"picture": seven}, timeout=PATIENCE)
        assert answer.status_code == 503
        assert "0.05 seconds" in answer.json()["error"]
        assert int(answer.headers["retry-after"]) >= 1
        assert httpx.get(f"{address}/healthz", timeout=PATIENCE).status_code == 200


def test_the_search_of_a_disconnected_client_stops(logs):
    searches: list[list[float]] = []

    class Watched(Service):
        def invert(self, model, picture, label=None, progress=None):
            searches.append([])
            return super().invert(model, picture, label, lambda share: (searches[-1].append(share), progress(share)))

    async def leave_early() -> None:
        service = Watched(logs)
        picture = draw(load_generator("pretrained"), [7])[0, 0].numpy()
        queue = InversionQueue(service, capacity=1)
        search = asyncio.create_task(queue.invert("mine", picture, None))
        while not (searches and searches[0]):
            await asyncio.sleep(0.01)
        with pytest.raises(BusyError):
            await queue.invert("mine", picture, None)
        search.cancel()
        await asyncio.gather(search, return_exceptions=True)
        assert queue.free == 1
        following = asyncio.create_task(queue.invert("mine", picture, None))
        while len(searches) < 2:
            await asyncio.sleep(0.01)
        following.cancel()

    completed(leave_early())
    assert searches[0][-1] < 1, "searches run one at a time: the second waits for the end of the first"


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="counts memory as Linux does")
def test_freed_memory_goes_back_to_the_system(logs):
    def used() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    Service(logs)
    large = torch.ones(7 * 2**20)  # 28 MB: glibc would keep smaller blocks from now on
    del large
    before = used()
    blocks = [torch.ones(2**20) for _ in range(60)]  # 250 MB: what other tests left behind may be freed meanwhile
    last = blocks.pop()
    assert used() - before > 210e6
    blocks.clear()
    assert used() - before < 50e6, "memory below a block that is still used"
    assert last.sum() == 2**20


def test_a_body_that_does_not_arrive_is_not_waited_for():
    async def slow(scope, receive, send):
        while (await receive()).get("more_body"):
            pass

    async def never():
        return await asyncio.sleep(60)

    limited = BodyLimit(slow, limit=10, seconds=0.01)
    with pytest.raises(HTTPException, match=r"408: the body has not arrived within 0\.01 seconds"):
        completed(limited({"type": "http"}, never, None))


def test_words_that_are_no_methods_leave_no_counters(client):
    for word in ("PROPFIND", "A" * 300):
        refused = client.request(word, "/healthz")
        assert (refused.status_code, refused.json(), refused.headers["allow"]) == (
            405,
            {"error": "no method of HTTP"},
            "GET, POST",
        )
    assert client.put("/healthz").status_code == 405
    methods = set(re.findall(r'method="(.*?)"', client.get("/metrics").text))
    assert "PUT" in methods
    assert methods <= METHODS


def test_metrics_name_routes_and_not_paths(client):
    client.get("/v1/classes/7?seed=1")
    client.get("/nowhere/at/all")
    text = client.get("/metrics").text
    assert re.search(r'^cgan_requests_total\{.*path="/v1/classes/\{name:path\}",status_code="200"\} \d', text, re.M)
    assert "/nowhere" not in text


def test_the_service_checks_its_arguments(logs):
    service = Service(logs)
    name = service.default_model()
    assert name.startswith("pretrained/")
    for labels, seeds in (([10], [0]), ([-1], [0]), ([1] * 1001, [0] * 1001), ([], []), ([1], [2**53])):
        with pytest.raises(Exception, match=r"class|pictures|seed"):
            service.draw(name, labels, seeds)
    with pytest.raises(Exception, match="latents"):
        service.render(name, torch.zeros(2, 3), [1, 2])
    film = service.morph(name, (3, 8), (0, 5), 4)
    ends = service.draw(name, [3, 8], [0, 5])
    assert (film[[0, -1]].int() - ends.int()).abs().max() <= 1


@pytest.mark.parametrize(
    "mode", [GenerationMode.POSITIVE, pytest.param(GenerationMode.NEGATIVE, marks=pytest.mark.slow)]
)
def test_responses_keep_the_openapi_document(server, mode):
    """Requests that fit the OpenAPI document and requests that break it get the documented responses."""
    document = schemathesis.openapi.from_url(f"{server}/openapi.json")
    operations = [found.ok() for found in document.get_all_operations()]
    assert {operation.path for operation in operations} >= {
        "/v1/classes/{name}",
        "/v1/samples",
        "/v1/styles",
        "/v1/models",
    }
    for operation in operations:

        @settings(
            max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def keeps_the_document(case):
            case.call_and_validate(checks=CHECKS, timeout=PATIENCE)

        if mode is GenerationMode.POSITIVE or operation.path not in ("/healthz", "/v1/models", "/metrics"):
            keeps_the_document()


def test_many_clients_some_of_which_are_slow_or_leave(server):
    """Some seconds of `python tests/campaign.py api`."""
    load = completed(ask(server, requests(server, 3), clients=8, seconds=2, chance=random.Random(1)))
    assert load.failures == []
    assert load.statuses[200] > 0
    assert load.statuses[422] > 0
    assert httpx.get(f"{server}/v1/classes/7", timeout=PATIENCE).status_code == 200


def clients(language: str) -> str:
    """Return the client of the documents in a language."""
    page = (Path(__file__).parents[1] / "docs" / "api.md").read_text().split("## Clients")[1]
    return re.search(rf"^```{language}\n(.*?)^```", page, re.M | re.S)[1]


@pytest.mark.parametrize(
    ("language", "program"), [("bash", ["bash", "-e"]), ("python", [sys.executable]), ("javascript", ["node"])]
)
def test_the_clients_of_the_documents_draw(server, tmp_path, language, program):
    if not shutil.which(program[0]) or (language == "bash" and not shutil.which("curl")):
        pytest.skip(f"no {program[0]} here")
    client = tmp_path / {"javascript": "client.mjs"}.get(language, "client")
    client.write_text(clients(language).replace("http://127.0.0.1:8000", server))
    done = subprocess.run([*program, str(client)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if language == "bash":
        assert pixels((tmp_path / "sevens.png").read_bytes()).shape[1] > 280
        assert Image.open(io.BytesIO((tmp_path / "morph.gif").read_bytes())).n_frames == 30
        assert len(zipfile.ZipFile(tmp_path / "year.zip").namelist()) == 5
        assert json.loads((tmp_path / "style.json").read_text())["read_as"] == "7"
    elif language == "python":
        assert done.stdout == "(4, 28, 28) [2 0 2 6]\n"
    else:
        lines = [line.split() for line in done.stdout.splitlines()]
        assert [line[1:3] for line in lines] == [["7", "5"], ["7", "6"], ["7", "7"]]
        assert pixels(base64.b64decode(lines[0][3].partition(",")[2])).shape == (28, 28)
