"""`cgan data PATH`: what a folder holds, seen before training."""

import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cgan.cli import main
from cgan.cli.overrides import plain_words
from cgan.data.sources import Split
from cgan.tasks.data import write_grids


def picture(path: Path, colour: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 24), colour).save(path)


@pytest.fixture
def printed(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["cgan", "data", *arguments])
        main()
        return capsys.readouterr().out.splitlines()

    return run


def test_a_folder_is_described_with_image_grids_copies_imbalance_and_the_command(tmp_path, printed):
    for k in range(12):
        picture(tmp_path / "a b" / "train" / "red cat" / f"{k}.png", (100 + k, 0, 0))
    picture(tmp_path / "a b" / "train" / "dog" / "1.png", (0, 0, 200))
    picture(tmp_path / "a b" / "train" / "red cat" / "z.png", (100, 0, 0))
    picture(tmp_path / "a b" / "test" / "dog" / "1.png", (0, 0, 200))
    lines = printed("a b", "data.fit=pad", "data.background=#00ff00")
    assert lines[0] == "Pictures: 14 to train on, 1 to test with (from test/); 2 classes of 1 (dog) to 13 (red cat)"
    assert lines[1] == "Found:    32x24 pixels; colour"
    assert lines[2].startswith("Used as:  32x24 (width and height), colour")
    assert lines[3] == (
        "Copies:   1 within the training split (train/red cat/0.png = train/red cat/z.png); "
        "1 in both splits (train/dog/1.png = test/dog/1.png)"
    )
    assert "more than tenfold (1 to 13 pictures); data.balance=true" in lines[5]
    command = shlex.split(lines[6].removeprefix("Train:    "))
    assert command[-4:] == ["data=folder", "data.root=a b", "data.fit=pad", "data.background=#00ff00"]
    assert plain_words(command[-1:]) == ["data.background='#00ff00'"]
    grids = tmp_path / "logs" / "data" / "a b"
    assert sorted(path.name for path in grids.iterdir()) == ["0_dog.png", "1_red cat.png", "overview.png"]
    with Image.open(grids / "0_dog.png") as grid:
        assert grid.getpixel((30, 30)) == (0, 0, 200)
    with Image.open(grids / "1_red cat.png") as grid:
        assert grid.width > 10 * 64
        assert np.asarray(grid)[10, 10].tolist() == [100, 0, 0]


def test_a_data_set_is_named_and_the_folder_of_the_grids_chosen(tmp_path, printed):
    lines = printed("mnist5k", "--out", "here", "data.batch_size=32")
    assert lines[0] == (
        "Pictures: 4,000 to train on, 1,000 to test with; 10 classes of 400; channels x height x width: 1x28x28"
    )
    assert lines[-1].endswith("data=mnist5k data.batch_size=32")
    assert len(list((tmp_path / "here").glob("*.png"))) == 11


def test_pictures_with_alpha_are_shown_on_white(tmp_path, printed):
    (tmp_path / "x" / "a").mkdir(parents=True)
    for k in range(3):
        Image.new("RGBA", (8, 8), (0, 0, 200, 0)).save(tmp_path / "x" / "a" / f"{k}.png")
    printed("x", "data.channels=4")
    with Image.open(tmp_path / "logs" / "data" / "x" / "0_a.png") as grid:
        assert grid.getpixel((30, 30)) == (255, 255, 255)


def test_an_overview_of_many_classes_says_that_it_shows_some(tmp_path, printed):
    for k in range(41):
        picture(tmp_path / "x" / f"{k:02d}" / "1.png", (k, 0, 0))
        picture(tmp_path / "x" / f"{k:02d}" / "2.png", (k, 9, 0))
    lines = printed("x")
    assert "41 to test with (10% of each class (at least one of two) kept apart" in lines[0]
    assert lines[4].endswith("(overview.png, of 40 classes, and one of each class)")


def test_what_is_wrong_is_one_line(printed, capsys):
    with pytest.raises(SystemExit):
        printed(".", "data.sizze=3")
    assert capsys.readouterr().err == "error: data.sizze: there is no such key; did you mean data.size?\n"
    with pytest.raises(SystemExit):
        printed("nowhere")
    assert (
        capsys.readouterr().err == f"error: data.root=nowhere: no such folder or zip ({Path('nowhere').absolute()})\n"
    )


def test_a_class_without_pictures_has_no_grid_and_no_row(tmp_path):
    images = torch.arange(3, dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 3, 4, 4)
    write_grids(tmp_path, Split(images, torch.tensor([0, 2, 2])), ["a", "b", "c"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0_a.png", "2_c.png", "overview.png"]
