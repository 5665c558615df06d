"""The page in Chromium, with a real server, generator and training."""

import base64
import contextlib
import csv
import io
import json
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
import torch
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from servers import PATIENCE, serving, until
from streamlit.testing.v1 import AppTest

from cgan.checkpoint import load_generator, save_generator
from cgan.config import CONF
from cgan.errors import CganError
from cgan.metrics.values import Description, Protocol
from cgan.networks import GENERATORS, Generator
from cgan.records.evaluation import Entry, EvaluationRecord, to_json
from cgan.records.run import RunRecord, write_run
from cgan.sampling.directions import measure
from cgan.sampling.formats import png
from cgan.serving.service import Service
from cgan.serving.share import own_address
from cgan.serving.training import Trainings, state_of
from cgan.serving.ui import PAGE
from cgan.serving.ui.parts import plain
from cgan.spec import DataSpec

pytestmark = pytest.mark.xdist_group("page")
REPO = CONF.parent
HEALTH = "_stcore/health"
TABS = ("Draw", "Style", "Your picture", "Morph", "Compare", "Train")
TRUNCATION = 0.7  # the page's default
Open = Callable[..., Page]


def untrained(spec: DataSpec) -> Generator:
    torch.manual_seed(0)
    generator = GENERATORS["MLPGenerator"](num_classes=spec.num_classes, img_shape=spec.img_shape, hidden=[16])
    generator.spec = spec
    return generator


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with its own ``logs/``: one more model, and one that cannot be read."""
    root = tmp_path_factory.mktemp("checkout")
    exports = root / "logs" / "exports"
    save_generator(untrained(DataSpec("mnist", (1, 28, 28), tuple("0123456789"))), exports / "untrained", MEASURED)
    names = tuple(f"animal {number}" for number in range(1000))
    save_generator(untrained(DataSpec("colours", (3, 24, 40), names)), exports / "colours")
    save_generator(untrained(DataSpec("one", (1, 20, 20), ("thing",))), exports / "one")
    save_generator(load_generator("pretrained"), exports / "damaged")
    (exports / "damaged" / "config.json").write_text("{")
    yield root
    here = Trainings(root)
    for folder in here.running():
        here.stop(folder)


@pytest.fixture(scope="module")
def address(checkout: Path) -> Iterator[str]:
    arguments = ("run", str(REPO / "app.py"), "--server.port={port}", "--server.headless=true")
    with serving("-m", "streamlit", *arguments, folder=checkout, path=HEALTH) as server:
        yield server.address


@pytest.fixture(scope="module")
def profile(browser: Browser) -> Iterator[BrowserContext]:
    """One for all tests, so that the browser reads and compiles Streamlit's scripts once."""
    with browser.new_context(accept_downloads=True) as context:
        yield context


@pytest.fixture
def opened(browser: Browser, profile: BrowserContext, address: str) -> Iterator[Open]:
    """Open the page at a tab, in a session of its own; requests to other hosts fail the test."""
    opened_by_this = contextlib.ExitStack()

    def open_page(tab: str = "", width: int = 1000, query: str = "", touch: bool = False) -> Page:
        context = opened_by_this.enter_context(browser.new_context(has_touch=True)) if touch else profile
        page = opened_by_this.enter_context(contextlib.closing(context.new_page()))
        page.set_viewport_size({"width": width, "height": 844})
        page.set_default_timeout(PATIENCE * 1000)
        page.on("request", lambda request: _refuse_other_hosts(request.url, address))
        page.goto(f"{address}/?tab={tab.replace(' ', '+')}{query}" if tab else address)
        return page

    with opened_by_this:
        yield open_page


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
    boxes = [picture.bounding_box() for picture in pictures.all()]
    assert len({box["y"] for box in boxes if box}) == 1, "the pictures stand in one row"
    assert all(100 < box["width"] < 200 for box in boxes if box)


def test_several_classes_share_a_style_and_every_download_opens(opened: Open, service: Service) -> None:
    page = opened("Draw")
    enter(page, "or several side by side", "207")
    enter(page, "Seed", "11")
    expect(page.get_by_role("img", name="2 0 7, seed 11")).to_be_visible()
    pictures = page.get_by_role("img", name="2 0 7, seed")
    expect(pictures).to_have_count(5)
    style = service.style(service.default_model(), 11)
    drawn = service.render(service.default_model(), style, [2, 0, 7], TRUNCATION)[:, 0].numpy()
    assert np.array_equal(pixels(pictures.first), np.concatenate(list(drawn), axis=1))

    assert Image.open(io.BytesIO(saved(page, pictures.first))).size == (3 * 28, 28)
    assert Image.open(io.BytesIO(saved(page, page.get_by_role("link", name="Grid")))).width > 3 * 28
    ink = Image.open(io.BytesIO(saved(page, page.get_by_role("link", name="Transparent"))))
    assert (ink.mode, ink.getextrema()[0]) == ("LA", (0, 0)), "black ink on nothing"
    scale = ink.width // (3 * 3 * 28)  # three columns of three digits
    assert np.array_equal(
        np.asarray(ink)[: 28 * scale : scale, : 84 * scale : scale, 1], np.concatenate(list(drawn), 1)
    )
    arrays = np.load(io.BytesIO(saved(page, page.get_by_role("link", name="NPZ"))))
    assert arrays["labels"].tolist() == [2, 0, 7] * 5
    assert np.array_equal(arrays["images"][:3], drawn)
    archive = zipfile.ZipFile(io.BytesIO(saved(page, page.get_by_role("link", name="ZIP"))))
    rows = list(csv.DictReader(io.StringIO(archive.read("labels.csv").decode())))
    assert [row["label"] for row in rows[:3]] == ["2", "0", "7"]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(archive.read(rows[0]["file"])))), drawn[0])


def test_generate_draws_new_pictures_and_every_control_redraws(opened: Open, service: Service) -> None:
    page = opened("Draw")
    pictures = page.locator("ul img")
    expect(pictures).to_have_count(5)
    for seed in (48, 53):
        page.get_by_role("button", name="Generate").click()
        expect(page.get_by_role("img", name=f"7, seed {seed}", exact=True)).to_be_visible()
        expect(page.get_by_label("Seed", exact=True)).to_have_value(str(seed))
    page.get_by_role("radio", name="3").click()
    expect(page.get_by_role("img", name="3, seed 53", exact=True)).to_be_visible()
    page.get_by_role("slider", name="How many").focus()
    page.keyboard.press("ArrowRight")
    expect(pictures).to_have_count(6)
    page.get_by_role("slider", name="Truncation").focus()
    page.keyboard.press("Home")
    drawn = service.draw(service.default_model(), [3] * 6, list(range(53, 59)), 0.1)[:, 0].numpy()
    until(lambda: np.array_equal(pixels(pictures.first), drawn[0]), "the truncation redraws")
    arrays = np.load(io.BytesIO(saved(page, page.get_by_role("link", name="NPZ"))))
    assert np.array_equal(arrays["images"], drawn)
    assert arrays["seeds"].tolist() == list(range(53, 59))


def test_a_link_carries_tab_class_seed_and_model(opened: Open, service: Service) -> None:
    page = opened("Draw", query="&class=3&seed=12&model=pretrained/mlp")
    drawn = service.draw("pretrained/mlp", [3], [12], TRUNCATION)[0, 0].numpy()
    assert np.array_equal(pixels(page.get_by_role("img", name="3, seed 12", exact=True)), drawn)
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_role("img", name="3, seed 17", exact=True)).to_be_visible()
    assert "seed=17" in page.url
    page = opened("Draw", query="&class=x&seed=y&model=z&count=-1&truncation=9")
    expect(page.locator("ul img")).to_have_count(5)
    expect(page.get_by_text("The model of this link is not here: another one is shown.")).to_be_visible()


MEASURED = {
    "evaluation": to_json(
        EvaluationRecord(
            Protocol("mnist", "digits", "", "none", 1000, 0),
            Entry("real images", {"fid": 0.05, "label_agreement": 0.99}),
            [Entry("untrained", {"fid": 12.5, "label_agreement": 0.1})],
            {"fid": Description("fid", "Fréchet distance", "How far.", "lower")},
            list("0123456789"),
        )
    )
}
RUBBISH = ("x", "-1", "999999999999999999999", "1e9", "' or 1=1 --", "日本")


FIELDS = {"Draw": 2, "Morph": 2, "Train": 3}


@pytest.mark.slow
def test_no_field_breaks_by_rubbish(opened: Open) -> None:
    page = opened()
    for tab in TABS:
        panel = turn_to(page, tab)
        if tab == "Your picture":
            panel.get_by_role("radio", name="A real one").click()
        if tab == "Train":
            choose(page, "Data", "folder")
        field = panel.locator("input:is([type=number], [type=text], [type=tel]):not([role=combobox])")
        count = FIELDS.get(tab, 1)
        expect(field).to_have_count(count)
        for index in range(count):
            for text in RUBBISH:
                field.nth(index).fill("")
                field.nth(index).press_sequentially(text)
                page.keyboard.press("Enter")
            idle(page)
            assert field.count() == count, f"a control of {tab} disappeared"
            field.nth(index).fill("")
            page.keyboard.press("Enter")
        if tab == "Train":
            expect(panel.get_by_role("alert")).to_contain_text("data=folder needs data.root")
            enter(page, "data.root", "pictures.zip")
        expect(panel.get_by_role("alert")).to_have_count(0)

    panel = turn_to(page, "Draw")
    enter(page, "or several side by side", "2x")
    expect(panel.get_by_role("alert").filter(has_text="class 'x'")).to_be_visible()
    enter(page, "or several side by side", "")
    enter(page, "Seed", "3")
    expect(page.get_by_role("img", name="7, seed 3", exact=True)).to_be_visible()
    expect(panel.get_by_role("alert")).to_have_count(0)


@pytest.mark.parametrize("model", ["colours", pytest.param("one", marks=pytest.mark.slow)])
def test_every_tab_works_for_any_shape_and_number_of_classes(opened: Open, model: str) -> None:
    page = opened("Draw", query=f"&model=exports/{model}")
    for tab in TABS:
        panel = turn_to(page, tab)
        if tab == "Train":
            expect(panel.get_by_role("button", name="Start training")).to_be_visible()
        elif tab == "Your picture" and model == "colours":
            expect(panel.get_by_text("A picture of one class, at most 1 MB")).to_be_visible()
            continue
        else:
            expect(panel.locator("canvas, ul img").first).to_be_visible()
        expect(panel.get_by_role("alert")).to_have_count(0)
        expect(page.get_by_text("Not evaluated").first).to_be_visible()
        if tab == "Compare":
            expect(panel.get_by_text(f"exports/{model}").or_(panel.get_by_text(f"on {model}"))).not_to_have_count(0)
        if tab == "Draw" and model == "colours":
            assert pixels(panel.locator("ul img").first).shape == (24, 40, 3)
            choose(page, "Class", "animal 999")
            expect(page.get_by_role("img", name="animal 999, seed 43")).to_be_visible()
        if tab == "Style" and model == "colours":
            expect(panel.get_by_text("The first 100 of 1,000 classes")).to_be_visible()
            field = panel.get_by_label("Style seed").bounding_box()
            pictures = panel.locator("ul img").first.bounding_box()
            assert field
            assert pictures
            assert field["y"] < pictures["y"], "a phone shows the controls before a hundred pictures"


def test_a_poor_or_unreadable_model_says_so(opened: Open) -> None:
    page = opened("Draw", query="&model=exports/untrained")
    expect(page.get_by_role("alert")).to_contain_text("10% of its pictures were recognised")
    page.get_by_text("How good is this model?").click()
    table = page.get_by_role("table")
    expect(table).to_contain_text("Fréchet distance12.5 (real images 0.05)")
    expect(page.get_by_text("How far. (lower is better)")).to_be_visible()
    page.get_by_text("1 model cannot be read").click()
    expect(page.get_by_role("alert").filter(has_text="exports/damaged")).to_be_visible()


def test_without_a_model_the_message_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cgan.serving.catalog.PRETRAINED", tmp_path)
    st.cache_resource.clear()
    page = AppTest.from_file(str(PAGE)).run(timeout=PATIENCE)
    assert not page.exception
    assert "train experiment=quickstart" in page.error[0].value


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_phone_is_touched(opened: Open) -> None:
    page = opened("Draw", width=390, touch=True)
    expect(page.get_by_role("img", name="7, seed 43", exact=True)).to_be_visible()
    page.get_by_role("radio", name="3").tap()
    page.get_by_role("button", name="Generate").tap()
    expect(page.get_by_role("img", name="3, seed 48", exact=True)).to_be_visible()
    page.get_by_role("tab", name="Your picture").tap()
    find = page.get_by_role("button", name="Find this style")
    expect(find).to_be_disabled()
    finger = page.context.new_cdp_session(page)
    page.locator("canvas").scroll_into_view_if_needed()
    for index, (x, y) in enumerate(on_canvas(page, SEVEN)):
        kind = "touchMove" if index else "touchStart"
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(find).to_be_enabled()
    page.get_by_role("button", name="Clear").tap()
    expect(find).to_be_disabled()


SEVEN = [(0.35, 0.25), (0.68, 0.22), (0.45, 0.85)]


@pytest.mark.slow
def test_a_digit_drawn_with_the_mouse_is_inverted(opened: Open) -> None:
    page = opened("Your picture")
    stroke(page, SEVEN)
    page.get_by_role("button", name="Find this style").click()
    expect(page.get_by_role("img", name="7 as the generator draws it")).to_be_visible()
    expect(page.get_by_role("img", name="in your style")).to_have_count(11)
    yours, generated = (pixels(picture).astype(float) for picture in page.locator("ul").first.locator("img").all())
    assert yours[:14].sum() > yours[14:].sum() > 0  # the bar of the 7 is above
    assert np.corrcoef(yours.ravel(), generated.ravel())[0, 1] > 0.7
    expect(page.get_by_text("Matched to 9")).to_be_visible()
    expect(page.get_by_text("it does not look like one of its classes")).to_have_count(0)
    arrays = np.load(io.BytesIO(saved(page, page.get_by_role("link", name="NPZ"))))
    assert np.array_equal(arrays["images"][7], pixels(page.get_by_role("img", name="7 in your style", exact=True)))
    page.get_by_label("Several side by side").fill("31")
    page.keyboard.press("Enter")
    expect(page.get_by_role("img", name="31 in your style")).to_be_visible()


@pytest.mark.slow
def test_an_upload_that_is_no_picture_is_refused_and_a_real_digit_works(opened: Open) -> None:
    page = opened("Your picture")
    page.get_by_role("radio", name="Upload").click()
    page.locator("input[type=file]").set_input_files({"name": "7.png", "mimeType": "image/png", "buffer": b"not one"})
    expect(page.get_by_role("alert")).to_contain_text("expected a picture")
    board = np.kron(np.indices((7, 7)).sum(0) % 2, np.full((4, 4), 255)).astype(np.uint8)
    page.locator("input[type=file]").set_input_files(
        {"name": "board.png", "mimeType": "image/png", "buffer": png(torch.from_numpy(board).unsqueeze(0))}
    )
    page.get_by_role("button", name="Find this style").click()
    expect(page.get_by_role("alert")).to_contain_text("it does not look like one of its classes")
    page.get_by_role("radio", name="A real one").click()
    page.get_by_role("button", name="Find this style").click()
    expect(page.get_by_role("img", name="in your style")).to_have_count(11)


def test_a_morph_has_the_chosen_ends(opened: Open, service: Service) -> None:
    page = opened("Morph")
    film = page.get_by_role("img", name="frame")
    expect(film).to_have_count(11)
    ends = service.draw(service.default_model(), [3, 8], [1, 2], truncation=0.7)[:, 0].numpy()
    assert np.array_equal(pixels(film.first), ends[0])
    assert np.array_equal(pixels(film.last), ends[1])
    before = film.first.get_attribute("src") or ""
    page.get_by_role("slider", name="Truncation").focus()
    page.keyboard.press("Home")
    neat = service.draw(service.default_model(), [3], [1], truncation=0.1)[0, 0].numpy()
    expect(film.first).not_to_have_attribute("src", before)
    assert np.array_equal(pixels(film.first), neat)
    page.get_by_role("slider", name="Share").focus()
    page.keyboard.press("Home")
    expect(page.get_by_role("img", name="0 percent", exact=False).first).to_be_visible()
    animation = Image.open(io.BytesIO(saved(page, page.get_by_role("link", name="GIF"))))
    assert animation.n_frames > 21  # there and back


def test_compare_shows_models_with_equal_seeds_and_their_values(opened: Open, service: Service) -> None:
    page = opened("Compare")
    expect(page.locator("ul img")).to_have_count(20)
    other = page.get_by_role("img", name="4 by pretrained/mlp, seed 3", exact=True)
    assert np.array_equal(pixels(other), service.draw("pretrained/mlp", [4], [3])[0, 0].numpy())
    values = {value.title: value for value in service.model("pretrained/mlp").values}
    expect(page.get_by_role("table")).to_contain_text(values["Fréchet distance"].text)
    label = service.model("exports/untrained").label
    page.get_by_role("combobox", name="Models").click()
    page.get_by_role("option", name=label).click()
    page.keyboard.press("Escape")  # while its list is open, the rest of the page is hidden from roles
    expect(page.locator("ul img")).to_have_count(30)
    expect(page.get_by_role("table")).to_contain_text("12.5")


@pytest.mark.slow
def test_a_training_outlives_its_page_and_stops_with_a_checkpoint(opened: Open, checkout: Path) -> None:
    page = opened("Train")
    choose(page, "Preset", "mlp_classic")  # the fastest
    choose(page, "Data", "mnist5k")
    enter(page, "or minutes", "90")
    expect(page.locator("code")).to_contain_text("budget=90min")
    expect(page.get_by_text("It fills that time")).to_be_visible()
    enter(page, "Epochs", "1000")
    expect(page.get_by_text("1000 epochs or 90 minutes? Leave one of the two empty")).to_be_visible()
    enter(page, "or minutes", "")
    expect(page.locator("code")).to_contain_text("trainer.max_epochs=1000")
    command = page.locator("code").inner_text()
    page.get_by_role("button", name="Start training").click()
    here = Trainings(checkout)
    until(here.running, "the training runs")
    page.close()

    folder = here.running()[0]
    overrides = command.partition(" train ")[2].split()
    until(lambda: here.watch(folder).grids, "the first epoch is over")
    assert here.watch(folder).run.overrides[: len(overrides)] == overrides
    page = opened("Train")
    expect(page.get_by_role("button", name="Start training")).to_be_disabled()
    expect(page.get_by_text("D loss")).to_be_visible()
    expect(page.get_by_text("The same ten latents after epoch")).to_be_visible()
    expect(page.get_by_text("minutes left")).to_be_visible()
    page.get_by_role("button", name="Stop and keep a checkpoint").click()
    expect(page.get_by_text("Stopped.")).to_be_visible()
    assert not here.running()
    assert load_generator(folder / "checkpoints" / "last.ckpt").num_classes == 10
    epoch = here.watch(folder).run.epoch
    page.get_by_role("button", name="Go on").click()
    until(lambda: here.watch(folder).run.epoch > epoch, "the run goes on in its folder")
    here.stop(folder)
    expect(page.get_by_text("Stopped.")).to_be_visible()
    draw = page.get_by_role("button", name="Draw with this model")
    expect(draw).to_have_count(1)  # Streamlit removes what was shown before with a delay
    film = Image.open(io.BytesIO(saved(page, page.get_by_role("button", name="Film (GIF)"))))
    assert film.n_frames >= 2, "a frame per epoch"
    expect(page.get_by_role("slider", name="After epoch")).to_have_count(1)
    draw.click()
    expect(page.get_by_role("img", name="7, seed 43", exact=True)).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("was stopped early")


@pytest.mark.slow
def test_a_shared_page_is_reached_by_its_address_and_does_not_train(browser: Browser, checkout: Path) -> None:
    arguments = ("app", "--share", "--server.port={port}")
    with serving("-m", "cgan", *arguments, folder=checkout, path=HEALTH, host=own_address()) as server:
        first, *code = server.output.read_text().splitlines()
        assert first == f"Others in this network open {server.address}; training is locked."
        assert "█" in "".join(code), "a QR code"
        page = browser.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(f"{server.address}/?tab=Train")
        expect(page.get_by_text("training is locked")).to_be_visible()
        expect(page.get_by_role("button", name="Start training")).to_have_count(0)
        page.close()


def test_a_failed_training_shows_its_error(checkout: Path) -> None:
    here = Trainings(checkout)
    folder = here.start(["data=mnist5k", "trainer.max_epoch=1"], beside=True)
    until(lambda: here.watch(folder).state != "running", "the training has ended")
    seen = here.watch(folder)
    assert seen.state == "failed"
    assert "max_epoch" in seen.message


@pytest.mark.slow
def test_no_tab_scrolls_sideways_on_a_phone(opened: Open) -> None:
    page = opened(width=390)
    for tab in TABS:
        panel = turn_to(page, tab)
        ready = (
            panel.get_by_role("button", name="Start training") if tab == "Train" else panel.locator("canvas, ul img")
        )
        expect(ready.first).to_be_visible()
        boxes = page.locator("html, body, [data-testid=stMain]")
        wider = [box.evaluate("(box) => box.scrollWidth - box.clientWidth") for box in boxes.all()]
        assert wider == [0, 0, 0], tab


def test_choices_are_checked_and_name_what_they_need() -> None:
    here = Trainings(REPO)
    for group in ("data", "experiment"):
        assert all(choice.sentence for choice in here.choices(group).values()), group
    assert here.choices("data")["folder"].needs == ["data.root"]
    lengths = {"epochs": 0}, {"epochs": 3, "minutes": 2}
    for wrong in ({"experiment": "../x"}, {"data": "x"}, {"data": "folder"}, *lengths):
        with pytest.raises(CganError):
            here.overrides(**{"experiment": "light", **wrong})
    overrides = here.overrides("light", "folder", needed={"data.root": "/a b/日本"})
    assert overrides == ["experiment=light", "data=folder", "data.root='/a b/日本'"]
    assert here.overrides("light", epochs=3) == ["experiment=light", "trainer.max_epochs=3"]
    assert here.overrides("light", minutes=3) == ["experiment=light", "budget=3min"]
    of = {name: here.data_of(name) for name in ("light", "folder", "few", "cifar10", "quickstart")}
    assert of == {"light": None, "folder": "folder", "few": "folder", "cifar10": "cifar10", "quickstart": "mnist5k"}


def test_an_attempt_to_go_on_that_was_refused_is_a_failure(tmp_path: Path) -> None:
    unknown = dict.fromkeys(("command", "data", "network", "host", "hardware"), "")
    numbers = {"debug": False, "pid": 1, "started": 0, "updated": time.time() - 60, "overrides": []}
    run = RunRecord(**unknown, state="stopped", **numbers)
    assert state_of(tmp_path, run)[0] == "stopped"
    (tmp_path / "page.log").write_text("a line\nerror: name its plugins\n\n")
    assert state_of(tmp_path, run) == ("failed", "name its plugins")
    later = RunRecord(**unknown, state="finished", **{**numbers, "updated": time.time() + 60})
    assert state_of(tmp_path, later)[0] == "finished", "it went on in a terminal since"
    (tmp_path / "page.log").write_text("Stopped\n")
    assert state_of(tmp_path, run)[0] == "stopped"


def test_an_epoch_takes_as_long_as_in_the_newest_such_run(tmp_path: Path) -> None:
    here = Trainings(tmp_path)
    unknown = dict.fromkeys(("command", "data", "network", "host", "hardware", "state"), "")
    for name, preset, speed in (("1", "light", 100.0), ("2", "light", 200.0), ("3", "best", 50.0)):
        overrides = [f"experiment={preset}", "trainer.max_epochs=7", "hydra.run.dir=x"]
        numbers = {"debug": False, "pid": 1, "started": 0, "updated": 9, "epochs": 7, "images_total": 7 * 600}
        write_run(here.runs / name, RunRecord(**{**unknown, "state": "stopped"}, overrides=overrides, **numbers))
        rows = ({"images_seen": 600, "speed/images_per_s": speed}, {"images_seen": 1200})
        (here.runs / name / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert here.epoch_seconds(["experiment=light", "trainer.max_epochs=99"]) == 600 / 200
    assert here.epoch_seconds(["experiment=light", "data=mnist5k"]) is None


def pixels(picture: Locator) -> np.ndarray:
    """The image that the browser shows, (H, W) uint8."""
    source = picture.get_attribute("src") or ""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))


def turn_to(page: Page, tab: str) -> Locator:
    """Open a tab and return what it shows."""
    page.get_by_role("tab", name=tab).click()
    return page.get_by_role("tabpanel", name=tab)


def idle(page: Page) -> None:
    """Wait until the server has answered what was entered last."""
    expect(page.locator("[data-testid=stApp]")).to_have_attribute("data-test-script-state", "notRunning")


def enter(page: Page, label: str, text: str) -> None:
    page.get_by_label(label, exact=True).fill(text)
    page.keyboard.press("Enter")


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label).fill(option)
    page.get_by_role("option", name=option, exact=True).click()


def saved(page: Page, click: Locator) -> bytes:
    with page.expect_download() as download:
        click.click()
    return download.value.path().read_bytes()


def stroke(page: Page, points: list[tuple[float, float]]) -> None:
    """Draw on the canvas with the mouse; points are shares of its side."""
    places = on_canvas(page, points)
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=10)
    page.mouse.up()


def on_canvas(page: Page, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Turn shares of the canvas's side into places of the window."""
    canvas = page.locator("canvas")
    canvas.wait_for()
    box = canvas.bounding_box()
    assert box is not None
    return [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]


def _refuse_other_hosts(url: str, address: str) -> None:
    assert url.startswith((address, "data:", "blob:")), f"the page asks another host: {url}"


def test_words_of_foreign_files_are_shown_as_they_are() -> None:
    """A picture of Markdown would be fetched from its address by every visitor's browser."""
    assert plain("![x](https://evil/p.png) _a_") == r"\!\[x\]\(https\://evil/p\.png\) \_a\_"


def test_a_preset_of_a_data_set_asks_for_what_its_data_need(tmp_path: Path) -> None:
    here = Trainings(tmp_path)
    with pytest.raises(CganError, match=r"^data=folder needs data\.root: enter a value$"):
        here.overrides("folder")
    assert here.overrides("folder", needed={"data.root": "a b"}) == [
        "experiment=folder",
        "data=folder",
        "data.root='a b'",
    ]
    assert here.overrides("light") == ["experiment=light"]


def test_the_run_that_began_last_is_the_newest_whatever_its_name(tmp_path: Path) -> None:
    here = Trainings(tmp_path)
    for hour, name in enumerate(["zebra", "2026-11-28_10-00-00_10", "2026-11-28_10-00-00_2", "a"], start=1):
        (here.runs / name / ".hydra").mkdir(parents=True)
        os.utime(here.runs / name / ".hydra", (3600 * hour, 3600 * hour))
    assert [path.name for path in here.all()] == ["a", "2026-11-28_10-00-00_2", "2026-11-28_10-00-00_10", "zebra"]
