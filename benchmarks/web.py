"""How soon does the exported page show a picture, and how fast does it draw? `python benchmarks/web.py`.

Chromium loads the page from ``python -m http.server`` on this machine, with an empty cache each time; needs
Chromium, playwright and npm.
"""

import shutil
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
from playwright.sync_api import Browser, Page, sync_playwright

from cgan.checkpoint import load_generator
from cgan.tasks.web import export_site, web_runtime
from common import interleave, keep, row, served

MORPH = 3  # pictures that the page draws when the morph's slider moves
NOTE_FIRST_PICTURE = """new MutationObserver((_, observer) => {
  if (!document.querySelector("canvas")) return;
  window.firstPicture = performance.now();
  observer.disconnect();
}).observe(document, { subtree: true, childList: true });"""
MOVE_SLIDER = """async (moves) => {
  const [slider, middle] = [document.getElementById("at"), document.querySelector("#morph li:nth-child(2) button")];
  const started = performance.now();
  for (let move = 0; move < moves; move++) {
    const drawn = new Promise((done) => new MutationObserver(done).observe(middle, { attributes: true }));
    slider.value = move / moves;
    slider.dispatchEvent(new Event("input"));
    await drawn;
  }
  return (performance.now() - started) / moves;
}"""


def main(rounds: int = 7, moves: int = 40) -> None:
    """Load the page ``rounds`` times; each time move its slider, and draw as much in Python."""
    first, started, ours, python = [], [], [], []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        export_site(load_generator("pretrained"), Path(folder), web_runtime(None))
        session = python_session(Path(folder))
        program = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        with served("-m", "http.server", "{port}", "--bind=127.0.0.1", f"--directory={folder}") as address:
            for _ in range(rounds):
                page = load(browser, address)
                first.append(page.evaluate("window.firstPicture") / 1000)
                started.append(page.evaluate("performance.now()") / 1000)
                ours.append(page.evaluate(MOVE_SLIDER, moves) / MORPH)
                page.context.close()
                python.append(1000 * statistics.mean(interleave({"run": session}, moves)["run"]) / MORPH)
        browser.close()
    ratios = [here / there for here, there in zip(ours, python, strict=True)]
    keep(
        "web",
        [
            row("web: from opening the page to its first picture", first, "s", at_most=1),
            row("web: until the runtime has drawn all there is to see", started, "s"),
            row("web: a digit", ours, "ms", at_most=50),
            row("web: duration of a digit over that of onnxruntime in Python", ratios, "x"),
        ],
    )


def load(browser: Browser, address: str) -> Page:
    """Load the page as a new visitor and wait until all its pictures are drawn."""
    page = browser.new_page()
    page.add_init_script(NOTE_FIRST_PICTURE)
    page.goto(address)
    page.wait_for_selector("main[aria-busy=false]", timeout=300_000)
    return page


def python_session(site: Path) -> Callable[[], object]:
    """Return what draws as many pictures as the page does when its slider moves, on one thread as there."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(site / "generator.onnx", options)
    sizes = {value.name: value.shape[1] for value in session.get_inputs()}
    inputs = {name: np.full((MORPH, size), 0.1, np.float32) for name, size in sizes.items()}
    return lambda: session.run(None, inputs)


if __name__ == "__main__":
    main()
