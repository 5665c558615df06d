"""The exported page in Chromium: it draws what Python draws, without any other address, whatever is typed."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, expect
from servers import PATIENCE, serving

from cgan.checkpoint import load_generator, save_generator
from cgan.cli.overrides import plain_words
from cgan.config import listed
from cgan.errors import CganError
from cgan.networks import GENERATORS
from cgan.sampling.draw import draw
from cgan.sampling.interpolate import slerp
from cgan.sampling.noise import fixed_latents, latents, latents_by_seed
from cgan.seeding import numpy_stream
from cgan.spec import DataSpec, to_uint8
from cgan.tasks import export, web

pytestmark = pytest.mark.xdist_group("page")
NODE = shutil.which("node")
SITE = Path(web.__file__).parent / "site"
TRUNCATION = 0.7  # the page's default
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def runtime() -> dict[str, bytes]:
    try:
        return web.web_runtime(None)
    except CganError as error:
        pytest.skip(str(error))


def exported(folder: Path, runtime: dict[str, bytes], network: str, spec: DataSpec, **options: Any) -> None:
    """Export the page of an untrained generator, and the generator of one with styles."""
    torch.manual_seed(0)
    generator = GENERATORS[network](num_classes=spec.num_classes, img_shape=spec.img_shape, **options)
    generator.spec = spec
    if network == "StyleGenerator":
        generator.mean_w.normal_()
        save_generator(generator, folder / f"{spec.name}.cgan")
    links = ("hf://me/colours", "../digits/index.html") if spec.name == "colours" else (None, None)
    web.export_site(generator.eval().requires_grad_(False), folder / spec.name, runtime, *links)


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory, runtime: dict[str, bytes]) -> Path:
    """Exported pages: the bundled generator, and styles with alpha."""
    folder = tmp_path_factory.mktemp("sites")
    web.export_site(load_generator("pretrained"), folder / "digits", runtime, "pretrained")
    exported(folder, runtime, "StyleGenerator", DataSpec("styled", (2, 16, 16), ("0", "1")))
    return folder


@pytest.fixture(scope="module")
def odd_sites(sites: Path, runtime: dict[str, bytes]) -> None:
    """Two more pages: colours with 1000 classes, and a single class."""
    names = tuple(f"animal {number}" for number in range(1000))
    exported(sites, runtime, "MLPGenerator", DataSpec("colours", (3, 24, 40), names), hidden=[16])
    exported(sites, runtime, "LightGenerator", DataSpec("one", (1, 20, 20), ("thing",)))


@pytest.fixture(scope="module")
def address(sites: Path) -> Iterator[str]:
    """A plain static host."""
    with serving("-m", "http.server", "{port}", "--bind=127.0.0.1", folder=sites) as server:
        yield server.address


@pytest.fixture
def opened(browser: Browser, address: str) -> Iterator[Open]:
    """Open a page as a new visitor whose network reaches its host alone; ``held`` gets the runtime's requests."""
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def open_page(
        name: str = "digits",
        fragment: str = "",
        width: int = 1280,
        held: list[Route] | None = None,
        touch: bool = False,
    ) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 844}, accept_downloads=True, has_touch=touch)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("request", lambda sent: None if sent.url.startswith((address, "data:")) else wrong.append(sent.url))
        if held is not None:
            page.route("**/onnxruntime.bin", lambda route: held.append(route))
        page.goto(f"{address}/{name}/{fragment}")
        if held is None:
            settled(page)
            context.set_offline(True)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def test_nothing_that_the_script_fetches_is_preloaded() -> None:
    """Chromium now and then never answers a fetch that meets its own preload: one start in a hundred when busy."""
    assert 'as="fetch"' not in (SITE / "index.html").read_text()


@pytest.mark.skipif(NODE is None, reason="needs Node.js")
def test_the_script_draws_numpys_latents_value_by_value() -> None:
    keys = [[0], [0, 9], [43, 7], [2**32 - 1], [2**32 + 5, 3], [2**53 - 1, 999], [1, 2, 3, 4, 5, 6]]
    script = f"""
        import {{ standardNormal }} from "{(web.PAGE / "noise.js").as_uri()}";
        const few = {json.dumps(keys)}.map((key) => [...standardNormal(key, 64)]);
        console.log(JSON.stringify([...few, [...standardNormal([12345, 7], 50000)]]));"""
    done = subprocess.run([NODE, "--input-type=module", "-e", script], capture_output=True, text=True, check=True)
    for key, values in zip([*keys, [12345, 7]], json.loads(done.stdout), strict=True):
        ours = numpy_stream(*key).standard_normal(len(values), dtype=np.float32)
        assert np.abs(np.float32(values) - ours).max() < 1e-6, key
    assert np.abs(ours).max() > 3.66, "the tail of the ziggurat was drawn, too"


def test_a_seed_names_the_same_pictures_as_in_python(opened: Open, sites: Path) -> None:
    page = opened()
    expect(page.locator("#data")).to_have_text("MNIST")
    shown = np.stack([pixels(canvas) for canvas in page.locator("#pictures canvas").all()])
    z = latents_by_seed([7] * 8, list(range(43, 51)), 64)
    assert np.abs(shown.astype(int) - drawn(sites / "digits", z, one_hot([7] * 8, 10))).max() <= 1
    original = draw(load_generator("pretrained"), "7", seed=43, truncation=TRUNCATION).movedim(1, -1).numpy()
    assert np.abs(shown[0].astype(int) - original).mean() < 1, "the weights are rounded"
    page.get_by_role("button", name="New pictures").click()
    expect(page.get_by_role("button", name="7, seed 58. Save it as PNG")).to_be_visible()
    page.wait_for_url("**#*seed=51*")

    page.get_by_role("radio", name="3").check()
    expect(page.locator("#command")).to_have_text("cgan sample classes=3 n=1 seed=51 truncation=0.7 ckpt=pretrained")
    expect(page.get_by_role("status")).to_have_text("8 pictures of 3, seeds 51 to 58")
    page.get_by_role("slider", name="Truncation").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#command")).to_contain_text("truncation=0.75")


def test_a_slider_that_moves_writes_the_address_once(opened: Open) -> None:
    """Safari refuses a hundred writes within half a minute."""
    page = opened()
    page.evaluate("""() => {
        window.writes = [];
        const write = history.replaceState.bind(history);
        history.replaceState = (...words) => { window.writes.push(words[2]); write(...words); };
        const slider = document.querySelector("#truncation");
        for (let value = 10; value < 50; value += 1) {
            slider.value = value / 100;
            slider.dispatchEvent(new Event("input", { bubbles: true }));
        }
    }""")
    page.wait_for_url("**#*truncation=0.5*")
    settled(page)
    (written,) = page.evaluate("window.writes")
    assert "truncation=0.5" in written


def test_the_first_view_is_there_before_the_runtime(opened: Open, sites: Path) -> None:
    held: list[Route] = []
    page = opened(held=held)
    pictures = page.locator("#pictures canvas")
    expect(pictures).to_have_count(8)
    expected = drawn(sites / "digits", latents_by_seed([7] * 8, list(range(43, 51)), 64), one_hot([7] * 8, 10))
    shown = np.stack([pixels(canvas) for canvas in pictures.all()])
    assert np.abs(shown.astype(int) - expected).max() <= 1
    seed = page.get_by_label("Seed", exact=True)
    seed.fill("44")
    expect(pictures).to_have_count(0)
    seed.fill("43")
    expect(pictures).to_have_count(8)
    page.get_by_role("button", name="New pictures").click()
    expect(pictures).to_have_count(0)
    for route in held:
        route.continue_()
    settled(page)
    expect(page.locator("#pictures small").first).to_have_text("seed 51")


def test_a_number_is_written_in_one_style_per_seed(opened: Open, sites: Path) -> None:
    page = opened(fragment="#number=305&seed=7&truncation=1")
    expect(page.get_by_role("button", name="305, seed 10")).to_be_visible()
    z = fixed_latents(1, 64, 7).expand(3, -1)
    digits = drawn(sites / "digits", z, one_hot([3, 0, 5], 10), 1.0)
    shown = pixels(page.locator("#numbers canvas").first)
    assert shown.shape == (28, 3 * 28, 1)
    assert np.abs(shown.astype(int) - np.concatenate(list(digits), axis=1)).max() <= 1
    with page.expect_download() as download:
        page.get_by_role("button", name="305, seed 7.").click()
    assert download.value.suggested_filename == "305_seed_7.png"


@pytest.mark.parametrize("ends", [(3, 8), pytest.param((4, 4), marks=pytest.mark.slow)])
def test_a_morph_is_that_of_sample(opened: Open, sites: Path, ends: tuple[int, int]) -> None:
    page = opened(fragment=f"#from={ends[0]}&to={ends[1]}&seed=5&truncation=0.5&at=0.25")
    first, last = latents(torch.tensor(ends), 64, 5)
    places = torch.tensor([0.0, 0.25, 1.0])
    shares = torch.lerp(*one_hot(list(ends), 10).unsqueeze(1), places.unsqueeze(1))
    shown = np.stack([pixels(canvas) for canvas in page.locator("#morph canvas").all()])
    assert np.abs(shown.astype(int) - drawn(sites / "digits", slerp(first, last, places), shares, 0.5)).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_no_text_breaks_the_page(opened: Open, width: int) -> None:
    page = opened(fragment="#class=x&seed=-1&truncation=9&number=1e5&from=&at=no&rubbish=1", width=width)
    expect(page.get_by_label("Seed", exact=True)).to_have_value("43")
    for label in ("Seed", "Number"):
        field = page.get_by_label(label, exact=True)
        kept = field.input_value()
        for text in ("x", "-1", "1e9", "9" * 16 if label == "Seed" else "1.5", "' or 1=1 --", "日本", ""):
            field.fill(text)
            expect(page.get_by_role("alert").filter(has_text="Expected")).to_be_visible()
            expect(field).to_have_attribute("aria-invalid", "true")
        field.fill(kept)
        expect(page.get_by_role("alert").filter(has_text="Expected")).to_have_count(0)
    page.get_by_label("Number", exact=True).fill("4096")
    expect(page.get_by_role("button", name="4096, seed 43")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("4096 in 4 styles, seeds 43 to 46")
    assert page.locator("html").evaluate("(box) => box.scrollWidth - box.clientWidth") == 0


def test_a_phone_is_touched(opened: Open) -> None:
    page = opened(width=390, touch=True)
    page.get_by_role("radio", name="3").tap()
    page.get_by_role("button", name="New pictures").tap()
    expect(page.get_by_role("button", name="3, seed 58. Save it as PNG")).to_be_visible()
    page.get_by_label("Position").tap(position={"x": 1, "y": 10})
    expect(page.get_by_role("status")).to_contain_text("% from 3 to 8")
    with page.expect_download() as download:
        page.locator("#pictures").get_by_role("button", name="3, seed 51.").tap()
    assert download.value.suggested_filename == "3_seed_51.png"


def test_the_keyboard_reaches_everything_in_order(opened: Open) -> None:
    page = opened()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("status")).to_contain_text("8 pictures of 8")
    reached = []
    for _ in range(24):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.ariaLabel"))
    assert reached[:3] == ["new", "seed", "truncation"]
    assert reached[3] == "8, seed 43. Save it as PNG"
    assert [name for name in reached if name in ("number", "from", "to", "play", "at")] == [
        "number",
        "from",
        "to",
        "play",
        "at",
    ]
    page.get_by_role("slider", name="Position").focus()
    page.keyboard.press("Home")
    expect(page.get_by_role("button", name="0 % from 3 to 8")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("0 % from 3 to 8")


@pytest.mark.slow
@pytest.mark.usefixtures("odd_sites")
def test_colours_other_shapes_and_any_number_of_classes(opened: Open, sites: Path) -> None:
    page = opened("colours", "#class=animal+999&seed=2")
    shown = pixels(page.locator("#pictures canvas").first, channels=3)
    assert shown.shape == (24, 40, 3)
    z = latents_by_seed([999], [2], 100)
    assert np.abs(shown.astype(int) - drawn(sites / "colours", z, one_hot([999], 1000))[0]).max() <= 1
    page.get_by_label("Class", exact=True).select_option("animal 12")
    expect(page.get_by_role("button", name="animal 12, seed 2.")).to_be_visible()
    expect(page.get_by_label("Number", exact=True)).to_be_hidden()
    command = "cgan sample 'classes=animal 12' n=1 seed=2 truncation=0.7 ckpt=hf://me/colours"
    expect(page.locator("#command")).to_have_text(command)
    expect(page.get_by_role("link", name="cgan", exact=True)).to_have_attribute("href", "../digits/index.html")
    page = opened("one")
    expect(page.get_by_role("link", name="cgan", exact=True)).to_have_count(0)
    expect(page.get_by_role("radio")).to_have_count(0)
    expect(page.get_by_role("button", name="thing, seed 43")).to_be_visible()
    expect(page.get_by_role("button", name="Play")).to_be_hidden()
    expect(page.get_by_text("in a terminal")).to_be_hidden()


def test_styles_are_truncated_as_in_python_and_alpha_is_kept(opened: Open, sites: Path) -> None:
    page = opened("styled", "#class=1&seed=3&truncation=0.4&number=10")
    values = page.locator("#pictures canvas").first.evaluate(
        "(c) => [...c.getContext('2d').getImageData(0, 0, 16, 16).data]"
    )
    shown = np.array(values).reshape(16, 16, 4)
    grey, alpha = draw(load_generator(sites / "styled.cgan"), 1, seed=3, truncation=0.4)[0].numpy().astype(int)
    assert np.abs(shown[..., 3] - alpha).mean() < 1
    seen = alpha > 127  # a canvas keeps colours times alpha, so that transparent pixels lose theirs
    assert np.abs(shown[..., 0] - grey)[seen].mean() < 1


def test_the_export_is_small_and_replaces_an_earlier_one(
    composed: Callable, tmp_path: Path, runtime: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    local = tmp_path / "package" / "dist"
    local.mkdir(parents=True)
    for name, content in runtime.items():
        (local / name).write_bytes(content)
    requests = ["format=web", "ckpt=pretrained", f"runtime={local.parent}", f"out={tmp_path / 'site'}"]
    for _ in range(2):
        out = export.run(composed("export", *requests))
    own = sum(path.stat().st_size for path in out.iterdir() if not path.name.startswith("onnxruntime"))
    assert own < 800_000
    (local / "ort-wasm-simd-threaded.wasm").write_bytes(b"another")
    with pytest.raises(CganError, match=r"dist/ort-wasm-simd-threaded.wasm is not that of onnxruntime-web@"):
        export.run(composed("export", *requests))


def test_without_a_runtime_nothing_is_written(
    composed: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = ["format=web", "ckpt=pretrained", f"out={tmp_path / 'site'}"]
    with pytest.raises(CganError, match="expected onnxruntime-web@"):
        export.run(composed("export", *request, f"runtime={tmp_path / 'nowhere'}"))
    for key, value in {"registry": "http://127.0.0.1:9", "cache": str(tmp_path / "npm"), "fetch_retries": "0"}.items():
        monkeypatch.setenv(f"npm_config_{key}", value)
    if shutil.which("npm"):
        with pytest.raises(CganError, match=r"npm could not fetch .*code ECONNREFUSED.*runtime=PATH"):
            export.run(composed("export", *request))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CganError, match="needs npm"):
        export.run(composed("export", *request))
    assert not (tmp_path / "site").exists()


def settled(page: Page) -> None:
    expect(page.locator("main")).to_have_attribute("aria-busy", "false")
    expect(page.locator("#failure")).to_be_empty()


def pixels(canvas: Locator, channels: int = 1) -> np.ndarray:
    """What the browser shows: (H, W, channels) uint8."""
    width, height, values = canvas.evaluate(
        "(c) => [c.width, c.height, [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]]"
    )
    image = np.array(values, np.uint8).reshape(height, width, 4)
    assert (image[..., 3] == 255).all()
    return image[..., :channels]


def drawn(site: Path, z: torch.Tensor, shares: torch.Tensor, truncation: float = TRUNCATION) -> np.ndarray:
    """What onnxruntime draws in Python from the exported file: (N, H, W, C) integers."""
    session = onnxruntime.InferenceSession(site / "generator.onnx", providers=["CPUExecutionProvider"])
    factor = np.full((len(z), 1), truncation, np.float32)
    (images,) = session.run(None, {"z": z.numpy(), "classes": shares.numpy(), "truncation": factor})
    return to_uint8(torch.from_numpy(images)).movedim(1, -1).int().numpy()


def one_hot(labels: list[int], classes: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(labels), classes).float()


@pytest.mark.parametrize("name", ["7", "red cat", "tench, Tinca tinca", "[a]", "${x}", "it's", "a\\", "null", "קט"])
def test_the_command_below_the_pictures_names_the_class_whatever_it_is_called(name: str) -> None:
    if NODE is None:
        pytest.skip("needs Node.js")
    (function,) = re.findall(r"^function command\(\) \{.*?^\}", (SITE / "page.js").read_text(), re.M | re.S)
    state = json.dumps({"class": name, "seed": 3, "truncation": 1})
    program = f"const state = {state}, about = {{ckpt: 'pretrained'}};\n{function}\nconsole.log(command());"
    said = subprocess.run([NODE, "-e", program], capture_output=True, text=True, check=True).stdout
    words = shlex.split(said)[2:]
    (classes,) = [
        one for one in OverridesParser.create().parse_overrides(plain_words(words)) if one.key_or_group == "classes"
    ]
    assert listed(OmegaConf.create({"classes": classes.value()}).classes) == [name]
