"""Pictures of the page and of the exported page: ``python tools/page_pictures.py [docs/images]``.

Chromium opens both as a visitor does; needs Chromium, playwright and npm.
"""

import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, Playwright, sync_playwright

from cgan.checkpoint import load_generator
from cgan.tasks.web import export_site, web_runtime

PATIENCE = 600
"""Seconds to wait for whatever is waited for."""
SEVEN = [(0.35, 0.25), (0.68, 0.22), (0.45, 0.85)]
"""What is drawn on the canvas, in shares of its side."""


def run(out: Path) -> None:
    """Write ``page_draw.png``, ``page_picture.png`` and ``site.png``."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as browsers:
        with served(Path(folder), "-m", "cgan", "app", "--server.port={port}", "--server.headless=true") as address:
            _draw(opened(browsers, f"{address}/?tab=Draw&seed=40&count=8"), out / "page_draw.png")
            _picture(opened(browsers, f"{address}/?tab=Your+picture"), out / "page_picture.png")
        export_site(load_generator("pretrained"), Path(folder) / "site", web_runtime(None), "pretrained")
        with served(Path(folder) / "site", "-m", "http.server", "{port}", "--bind=127.0.0.1") as address:
            page = opened(browsers, address)
            page.set_viewport_size({"width": 840, "height": 1320})  # ends between two parts
            page.locator("#numbers canvas").last.wait_for()
            write(page.screenshot(), out / "site.png")


def _draw(page: Page, out: Path) -> None:
    page.get_by_label("or several side by side").fill("2026")
    page.keyboard.press("Enter")
    page.get_by_role("img", name="2 0 2 6, seed 47").wait_for()
    _write_whole(page, out)


def _picture(page: Page, out: Path) -> None:
    canvas = page.locator("canvas")
    canvas.wait_for()
    box = canvas.bounding_box()
    assert box is not None
    first, *others = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in SEVEN]
    page.mouse.move(*first)
    page.mouse.down()
    for place in others:
        page.mouse.move(*place, steps=10)
    page.mouse.up()
    page.get_by_role("button", name="Find this style").click()
    page.get_by_role("img", name="2026 in your style").wait_for()
    _write_whole(page, out)


def _write_whole(page: Page, out: Path) -> None:
    """Write the page from its top to the end of its content, without a cursor in a field."""
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(2000)  # what was shown before fades out
    box = page.get_by_test_id("stMainBlockContainer").bounding_box()
    assert box is not None
    write(page.screenshot(clip={**box, "y": 0, "height": box["y"] + box["height"]}), out)


def write(png: bytes, out: Path) -> None:
    """Write a picture in 256 colours: a small file."""
    out.write_bytes(png)
    Image.open(out).convert("RGB").quantize(256).save(out, optimize=True)


def opened(browsers: Playwright, address: str) -> Page:
    """Open an address in a Chromium of its own."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    browser = browsers.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
    page = browser.new_page(viewport={"width": 800, "height": 1400})
    page.set_default_timeout(PATIENCE * 1000)
    page.goto(address)
    return page


@contextmanager
def served(folder: Path, *arguments: str) -> Iterator[str]:
    """Run ``python ARGUMENTS`` in a folder; ``{port}`` is a free port. Yields its address as soon as it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, *(argument.format(port=port) for argument in arguments)], cwd=folder)
    try:
        for _ in range(PATIENCE):
            time.sleep(1)
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}").close()
                break
            except OSError:  # not yet
                continue
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    run(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images"))
