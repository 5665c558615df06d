"""The picture of TensorBoard in the documents: ``python tools/tensorboard_picture.py [docs/images [RUN_FOLDER]]``.

Trains ``experiment=quickstart``, in about ten minutes of one CPU core, unless the folder of such a run is given, and
opens it in TensorBoard with Chromium.
"""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from cgan import train
from page_pictures import opened, served, write


def run(out: Path, folder: Path) -> None:
    """Write ``tensorboard.png``: the custom scalars of the run in ``folder``, which is trained unless it is there."""
    if not folder.exists():
        train("quickstart", folder=folder)
    with sync_playwright() as playwright, served(folder, "-m", "tensorboard.main", "--logdir=.", "--port={port}") as at:
        page = opened(playwright, f"{at}/#custom_scalars")
        page.set_viewport_size({"width": 1030, "height": 2400})
        board = page.locator("tf-custom-scalar-dashboard .center")
        board.locator("vz-line-chart2").last.wait_for()
        page.wait_for_timeout(10_000)  # curves are drawn after their axes
        whole, last = board.bounding_box(), page.get_by_text("Mean logits of the discriminator").bounding_box()
        assert whole is not None
        assert last is not None
        write(page.screenshot(clip={**whole, "height": last["y"] + 300 - whole["y"]}), out / "tensorboard.png")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        given = [Path(argument) for argument in sys.argv[1:]]
        run(given[0] if given else Path("docs/images"), given[1] if given[1:] else Path(temporary) / "run")
