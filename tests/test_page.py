"""The page in Chromium, with a real server, generator and training."""

import base64
import csv
import io
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
import torch
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from streamlit.testing.v1 import AppTest
from test_evaluation_record import record

import cgan
from cgan.checkpoint import load_generator, save_generator
from cgan.config import CONF
from cgan.networks import GENERATORS
from cgan.records.evaluation import Entry, to_json
from cgan.sampling.directions import measure
from cgan.serving.service import Service
from cgan.serving.training import LOSSES, Trainings
from cgan.serving.ui import PAGE
from cgan.spec import DataSpec

pytestmark = pytest.mark.xdist_group("page")
REPO = CONF.parent
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
expect.set_options(timeout=240_000)  # other processes may use the processor
TABS = ("Draw", "Style", "Your picture", "Morph", "Compare", "Train")
TRUNCATION = 0.6  # the page's default
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with its own ``logs/``: one more model, and one that cannot be read."""
    root = tmp_path_factory.mktemp("checkout")
    for name in ("train.py", "conf", ".streamlit"):
        (root / name).symlink_to(REPO / name)
    torch.manual_seed(0)
    generator = GENERATORS["MLPGenerator"](num_classes=10, img_shape=(1, 28, 28), hidden=[16])
    generator.spec = DataSpec("mnist", (1, 28, 28), tuple("0123456789"))
    measured = to_json(record(Entry("untrained", {"fid": 12.5})))
    save_generator(generator, root / "logs" / "exports" / "untrained", {"evaluation": measured})
    save_generator(generator, root / "logs" / "exports" / "damaged")
    (root / "logs" / "exports" / "damaged" / "config.json").write_text("{")
    yield root
    here = Trainings(root)
    for folder in here.running():
        here.stop(folder)


@pytest.fixture(scope="module")
def address(checkout: Path) -> Iterator[str]:
    """A server started as a user starts it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    paths = os.pathsep.join([str(Path(cgan.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "streamlit", "run", str(REPO / "app.py"), f"--server.port={port}"]
    with (checkout / "server.log").open("wb") as output:
        server = subprocess.Popen(
            [*command, "--server.headless=true"],
            cwd=checkout,
            env={**os.environ, "PYTHONPATH": paths},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: server.poll() is not None or _answers(f"{url}/_stcore/health"), "the server answers")
        assert server.poll() is None, (checkout / "server.log").read_text()
        yield url
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"],
        )
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser, address: str) -> Iterator[Open]:
    """Open the page at a tab, as a new visitor; requests to other hosts fail the test."""
    contexts = []

    def open_page(tab: str = "", width: int = 1000) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 844}, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(240_000)
        page.on("request", lambda request: _refuse_other_hosts(request.url, address))
        page.goto(f"{address}/?tab={tab.replace(' ', '+')}" if tab else address)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def service(checkout: Path) -> Service:
    return Service(checkout / "logs")


def test_draw_starts_with_five_variations_equal_to_the_services(opened: Open, service: Service) -> None:
    page = opened()
    pictures = page.locator("ul img")
    expect(pictures).to_have_count(5)
    seeds = [int(text.removeprefix("seed ")) for text in page.locator("li span").all_inner_texts()]
    drawn = service.draw(service.default_model(), [7] * 5, seeds, TRUNCATION)
    assert np.array_equal(np.stack([pixels(picture) for picture in pictures.all()]), drawn[:, 0].numpy())


def test_several_classes_share_a_style_and_every_download_opens(opened: Open, service: Service) -> None:
    page = opened("Draw")
    page.get_by_label("or several side by side").fill("207")
    page.get_by_label("Seed", exact=True).fill("11")
    page.get_by_role("button", name="Generate").click()
    pictures = page.get_by_role("img", name="207, seed")
    expect(pictures).to_have_count(5)
    style = service.style(service.default_model(), 11, TRUNCATION)
    drawn = service.render(service.default_model(), style, [2, 0, 7])[:, 0].numpy()
    assert np.array_equal(pixels(pictures.first), np.concatenate(list(drawn), axis=1))

    assert Image.open(io.BytesIO(saved(page, pictures.first))).size == (3 * 28, 28)
    assert Image.open(io.BytesIO(saved(page, page.get_by_role("button", name="Grid")))).width > 3 * 28
    arrays = np.load(io.BytesIO(saved(page, page.get_by_role("button", name="NPZ"))))
    assert arrays["labels"].tolist() == [2, 0, 7] * 5
    assert np.array_equal(arrays["images"][:3], drawn)
    archive = zipfile.ZipFile(io.BytesIO(saved(page, page.get_by_role("button", name="ZIP"))))
    rows = list(csv.DictReader(io.StringIO(archive.read("labels.csv").decode())))
    assert [row["label"] for row in rows[:3]] == ["2", "0", "7"]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(archive.read(rows[0]["file"])))), drawn[0])


def test_errors_become_messages(opened: Open) -> None:
    page = opened("Draw")
    expect(page.locator("ul img")).to_have_count(5)
    page.get_by_text("1 model cannot be read").click()
    expect(page.get_by_role("alert")).to_contain_text("exports/damaged")
    page.get_by_text("1 model cannot be read").click()
    page.get_by_label("or several side by side").fill("20x")
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_role("alert").filter(has_text="class 'x'")).to_be_visible()


def test_without_a_model_the_message_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cgan.serving.catalog.PRETRAINED", tmp_path)
    st.cache_resource.clear()
    st.cache_data.clear()
    page = AppTest.from_file(str(PAGE)).run(timeout=60)
    assert not page.exception
    assert "python train.py" in page.error[0].value


def test_the_slant_slider_works_by_keyboard(opened: Open) -> None:
    page = opened("Style")
    expect(page.locator("ul img")).to_have_count(10)

    def slant() -> float:
        images = np.stack([pixels(picture) for picture in page.locator("ul img").all()])
        return float(measure(torch.from_numpy(images).unsqueeze(1))[:, 0].mean())

    before = slant()
    page.get_by_role("slider", name="Slant").focus()
    page.keyboard.press("End")
    until(lambda: slant() > before + 0.1, "the digits lean to the right")


def test_a_digit_drawn_with_the_mouse_is_inverted(opened: Open) -> None:
    page = opened("Your picture")
    stroke(page, [(0.35, 0.25), (0.68, 0.22), (0.45, 0.85)])
    page.get_by_role("button", name="Find this style").click()
    expect(page.get_by_role("img", name="7 as the generator draws it")).to_be_visible()
    expect(page.get_by_role("img", name="in your style")).to_have_count(11)
    yours, generated = (pixels(picture).astype(float) for picture in page.locator("ul").first.locator("img").all())
    assert yours[:14].sum() > yours[14:].sum() > 0  # the bar of the 7 is above
    assert np.corrcoef(yours.ravel(), generated.ravel())[0, 1] > 0.7
    page.get_by_label("Several side by side").fill("31")
    page.keyboard.press("Enter")
    expect(page.get_by_role("img", name="31 in your style")).to_be_visible()


def test_an_upload_that_is_no_picture_is_refused_and_a_real_digit_works(opened: Open) -> None:
    page = opened("Your picture")
    page.get_by_role("radio", name="Upload").click()
    page.locator("input[type=file]").set_input_files({"name": "7.png", "mimeType": "image/png", "buffer": b"not one"})
    expect(page.get_by_role("alert")).to_contain_text("expected a picture")
    page.get_by_role("radio", name="A real one").click()
    page.get_by_role("button", name="Find this style").click()
    expect(page.get_by_role("img", name="in your style")).to_have_count(11)


def test_a_morph_has_the_chosen_ends(opened: Open, service: Service) -> None:
    page = opened("Morph")
    film = page.get_by_role("img", name="frame")
    expect(film).to_have_count(11)
    ends = service.draw(service.default_model(), [3, 8], [1, 2])[:, 0].numpy()
    assert np.array_equal(pixels(film.first), ends[0])
    assert np.array_equal(pixels(film.last), ends[1])
    page.get_by_role("slider").focus()
    page.keyboard.press("Home")
    expect(page.get_by_role("img", name="0 percent", exact=False).first).to_be_visible()
    animation = Image.open(io.BytesIO(saved(page, page.get_by_role("button", name="GIF"))))
    assert animation.n_frames > 21  # there and back


def test_compare_shows_models_with_equal_seeds_and_their_values(opened: Open, service: Service) -> None:
    page = opened("Compare")
    expect(page.locator("ul img")).to_have_count(20)
    other = page.get_by_role("img", name="4 by pretrained/mlp, seed 3", exact=True)
    assert np.array_equal(pixels(other), service.draw("pretrained/mlp", [4], [3])[0, 0].numpy())
    values = next(model.values for model in service.models() if model.name == "pretrained/mlp")
    expect(page.get_by_role("table")).to_contain_text(f"{values['fid']:.4g}")
    page.get_by_role("combobox", name="Models").click()
    page.get_by_role("option", name="exports/untrained").click()
    page.keyboard.press("Escape")  # while its list is open, the rest of the page is hidden from roles
    expect(page.locator("ul img")).to_have_count(30)
    expect(page.get_by_role("table")).to_contain_text("12.5")


def test_a_training_outlives_its_page_and_stops_with_a_checkpoint(opened: Open, checkout: Path) -> None:
    page = opened("Train")
    page.get_by_label("Epochs").fill("500")
    page.keyboard.press("Enter")
    expect(page.locator("code")).to_contain_text("trainer.max_epochs=500")
    command = page.locator("code").inner_text()
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_role("button", name="Stop and keep a checkpoint")).to_be_visible()
    page.context.close()

    here = Trainings(checkout)
    until(lambda: bool(here.running()), "the training runs")
    folder = here.running()[0]
    assert here.watch(folder).command.split() == command.split()
    page = opened("Train")
    expect(page.get_by_role("button", name="Start training")).to_be_disabled()
    expect(page.get_by_text("D loss")).to_be_visible()
    expect(page.get_by_text("The same ten latents after epoch")).to_be_visible()
    expect(page.get_by_text("left").first).to_be_visible()
    page.get_by_role("button", name="Stop and keep a checkpoint").click()
    expect(page.get_by_text("Stopped.")).to_be_visible()
    assert not here.running()
    assert load_generator(folder / "checkpoints" / "last.ckpt").num_classes == 10


def test_a_failed_training_shows_its_error(checkout: Path) -> None:
    here = Trainings(checkout)
    folder = here.start(["data=mnist5k", "trainer.max_epoch=1"], beside=True)
    until(lambda: here.watch(folder).state != "running", "the training has ended")
    seen = here.watch(folder)
    assert seen.state == "failed"
    assert "max_epoch" in seen.message


def test_no_tab_scrolls_sideways_on_a_phone(opened: Open) -> None:
    page = opened(width=390)
    for tab in TABS:
        page.get_by_role("tab", name=tab).click()
        panel = page.get_by_role("tabpanel", name=tab)
        ready = (
            panel.get_by_role("button", name="Start training") if tab == "Train" else panel.locator("canvas, ul img")
        )
        expect(ready.first).to_be_visible()
        boxes = page.locator("html, body, [data-testid=stMain]")
        wider = [box.evaluate("(box) => box.scrollWidth - box.clientWidth") for box in boxes.all()]
        assert wider == [0, 0, 0], tab


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("model", ["dcgan", "light", "light_wide", "mlp", "resnet"])
def test_every_pair_of_network_and_loss_builds(model: str, loss: str, composed: Callable) -> None:
    from cgan.tasks.train import build_module

    overrides = Trainings(REPO).overrides(model=model, loss=loss, data="mnist5k", epochs=3)
    cfg = composed("train", *overrides)
    assert cfg.trainer.max_epochs == 3
    module = build_module(cfg, DataSpec("mnist", (1, 28, 28), tuple("0123456789")))
    assert type(module.loss).__module__ == "cgan.losses.adversarial"


def test_the_defaults_of_train_equal_the_quickstart(composed: Callable) -> None:
    overrides = Trainings(REPO).overrides(model="light", loss="relativistic", data="mnist5k", epochs=60)
    page, preset = composed("train", *overrides), composed("train", "experiment=quickstart")
    for part in ("model", "loss", "penalty", "optimizer", "schedule", "gan"):
        assert page[part] == preset[part]


def until(holds: Callable[[], bool], what: str, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"timed out before {what}"
        time.sleep(0.2)


def pixels(picture: Locator) -> np.ndarray:
    """The image that the browser shows, (H, W) uint8."""
    source = picture.get_attribute("src") or ""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))


def saved(page: Page, click: Locator) -> bytes:
    with page.expect_download() as download:
        click.click()
    return download.value.path().read_bytes()


def stroke(page: Page, points: list[tuple[float, float]]) -> None:
    """Draw on the canvas with the mouse; points are shares of its side."""
    canvas = page.locator("canvas")
    canvas.wait_for()
    box = canvas.bounding_box()
    assert box is not None
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=10)
    page.mouse.up()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _refuse_other_hosts(url: str, address: str) -> None:
    assert url.startswith((address, "data:", "blob:")), f"the page asks another host: {url}"
