"""Class names are any text, of one class or of 1,000: typed, in grids, plots, files, zips and the API."""

import csv
import io
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from cgan import save_generator
from cgan.cli.overrides import plain_words
from cgan.networks import GENERATORS
from cgan.records.evaluation import REAL, Entry, EvaluationRecord
from cgan.reporting.plots import confusion_matrices, overview
from cgan.sampling import grids
from cgan.sampling.grids import image_grid
from cgan.serving.api import create_app
from cgan.serving.service import Service
from cgan.spec import DataSpec
from cgan.tasks import sample

ODD = ("red cat", "قط אב", "👩‍🚀", "$x$ {y} [z]", "Ünal's 1e3", "長" * 60, "null", "a+b", "7%")


def exported(folder: Path, names: Sequence[str]) -> Path:
    torch.manual_seed(0)
    generator = GENERATORS["MLPGenerator"](num_classes=len(names), img_shape=(3, 6, 8), hidden=[4])
    generator.spec = DataSpec("odd", (3, 6, 8), tuple(names))
    save_generator(generator, folder)
    return folder


@pytest.mark.parametrize("name", ODD)
def test_a_class_of_any_name_is_typed_as_it_is(composed, tmp_path, name):
    typed = plain_words([f"ckpt={exported(tmp_path / 'odd', ODD)}", f"classes={name}", f"out={tmp_path / 'x.zip'}"])
    drawn = sample.run(composed("sample", *typed, "n=2"))
    assert drawn.labels.tolist() == [ODD.index(name)] * 2
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("labels.csv").decode())))
        assert [row["class"] for row in rows] == [name] * 2
        for row in rows:
            assert np.array(Image.open(io.BytesIO(archive.read(row["file"])))).shape == (6, 8, 3)
        archive.extractall(tmp_path / "unpacked")


@pytest.mark.parametrize(("count", "shown"), [(1, 1), (1000, 50)])
def test_one_class_and_a_thousand_are_drawn(composed, tmp_path, caplog, count, shown):
    caplog.set_level("INFO")
    folder = exported(tmp_path / "many", [f"kind {number}" for number in range(count)])
    drawn = sample.run(composed("sample", f"ckpt={folder}", "classes=all", "n=1", f"out={tmp_path / 'x.npz'}"))
    assert drawn.images.shape == (count, 3, 6, 8)
    with Image.open(drawn.grid) as grid:
        assert grid.height < 60 * shown
    assert ("The grid shows the first" in caplog.text) == (count > shown)


def test_the_api_takes_any_name(tmp_path):
    exported(tmp_path / "odd", ODD)
    with TestClient(create_app(Service(tmp_path))) as client:
        for name in ODD:
            answer = client.get(f"/v1/classes/{quote(name, safe='')}", params={"model": "odd", "format": "zip"})
            assert answer.status_code == 200, answer.text
            table = zipfile.ZipFile(io.BytesIO(answer.content)).read("labels.csv").decode()
            assert next(csv.DictReader(io.StringIO(table)))["class"] == name
        styles = client.get("/v1/styles/3", params={"model": "odd", "classes": ODD, "format": "json"}).json()
        assert [picture["class_name"] for picture in styles["images"]] == list(ODD)


def test_grids_write_names_of_many_scripts_and_cut_long_ones():
    def header(*names: str) -> np.ndarray:
        images = torch.zeros(len(names), 3, 28, 28, dtype=torch.uint8)
        return np.array(image_grid(images, len(names), column_names=names))[:20]

    drawn = {name: header(name).tobytes() for name in ("قط", "אב", "Ü", "Ж")}
    assert len(set(drawn.values())) == 4, "no boxes"
    both = header("a name of many letters", "another of as many")
    edges = [
        2 + 58 * place + offset
        for place in (0, 1, 2)
        for offset in (-2, -1, 0, 1)
        if 0 <= 2 + 58 * place + offset < 118
    ]
    assert (both[:, edges] == 255).all(), "names keep to their columns"
    assert header("long" * 25).shape[1] == 60
    grid = image_grid(torch.zeros(1, 3, 28, 28, dtype=torch.uint8), 1, row_names=["long" * 25])
    assert 300 < grid.width < 380


@pytest.fixture
def system_fonts(monkeypatch):
    """Choose which fonts are installed, beside the bundled one."""

    def choose(*names: str) -> None:
        monkeypatch.setattr(grids, "SYSTEM_FONTS", names)
        grids.font_of.cache_clear()

    yield choose
    monkeypatch.undo()
    grids.font_of.cache_clear()


def test_a_class_whose_letters_no_font_has_is_shown_by_its_number(system_fonts):
    names = ("red cat", "長", "قط", "👩‍🚀", "Ⓜ")
    system_fonts()
    assert grids.drawable(names) == ["red cat", "#1", "قط", "#3", "#4"]
    circled = Path(matplotlib.get_data_path(), "fonts", "ttf", "STIXGeneral.ttf")
    system_fonts("not-installed.ttf", str(circled))
    assert grids.drawable(names) == ["red cat", "#1", "قط", "#3", "Ⓜ"]
    blank = torch.full((1, 1, 28, 28), 255, dtype=torch.uint8)
    drawn, box = (np.array(image_grid(blank, 1, row_names=[name])).tobytes() for name in ("Ⓜ", "\uffff"))
    assert drawn != box


def test_figures_show_the_number_as_well(system_fonts):
    system_fonts()
    shown, expected = (
        confusion_matrices(EvaluationRecord(None, Entry(REAL, confusion=[[2, 0], [1, 1]]), [], {}, [name, "Ж"]))
        for name in ("長", "#0")
    )
    assert shown == expected


def test_figures_name_runs_as_they_name_classes(system_fonts):
    system_fonts()

    def figures(*names: str) -> list[bytes | None]:
        entries = [Entry(name, {"fid": 1.5}, {"class_recall": [0.5, 1]}, confusion=[[2, 0], [1, 1]]) for name in names]
        real = Entry(REAL, {"fid": 0.5}, {"class_recall": [1, 1]})
        record = EvaluationRecord(None, real, entries, {}, ["a", "b"])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return [overview(record), confusion_matrices(record)]

    assert figures("長", "$\\frac$", "Ж") == figures("#0", "$\\frac$", "Ж")


def test_figures_write_names_as_they_are():
    table = [[int(row == column) for column in range(len(ODD))] for row in range(len(ODD))]
    broken = ["$\\frac$", *ODD[1:]]  # no formula
    record = EvaluationRecord(None, Entry(REAL, confusion=table), [], {}, broken)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = confusion_matrices(record)
    assert Image.open(io.BytesIO(figure)).width > 300
