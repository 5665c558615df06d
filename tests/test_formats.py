"""Files that other programs read: each is opened by a reader that is not ours."""

import csv
import io
import struct
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from cgan import CganError, draw, load_generator
from cgan.sampling import formats
from cgan.sampling.decode import MAX_BYTES, decode_image
from cgan.sampling.invert import centre
from cgan.spec import DataSpec
from cgan.tasks import sample


@pytest.fixture(scope="module")
def drawn():
    labels = [3, 3, 7, 3]
    images = draw(load_generator("pretrained"), labels, seed=2)
    return formats.LabelledImages(images, torch.tensor(labels), torch.tensor([2, 2, 2, 9]))


NAMES = ["3_2_00000.png", "3_2_00001.png", "7_2_00000.png", "3_9_00000.png"]


def test_a_zip_holds_each_picture_and_its_label(drawn):
    with zipfile.ZipFile(io.BytesIO(formats.zip_archive(drawn, "0123456789"))) as file:
        assert file.testzip() is None
        rows = list(csv.DictReader(io.StringIO(file.read("labels.csv").decode())))
        assert [row["file"] for row in rows] == NAMES
        assert [(row["label"], row["class"], row["seed"]) for row in rows][-1] == ("3", "3", "9")
        stored = np.stack([np.array(Image.open(io.BytesIO(file.read(name)))) for name in NAMES])
    assert (stored == drawn.images[:, 0].numpy()).all()
    assert formats.zip_archive(drawn, "0123456789") == formats.zip_archive(drawn, "0123456789")


def test_class_names_cannot_leave_the_archive(drawn):
    with zipfile.ZipFile(io.BytesIO(formats.zip_archive(drawn, ['../up/"x"', *"123456789"]))) as file:
        assert file.namelist()[0] == NAMES[0]
    odd = drawn._replace(labels=torch.zeros(4, dtype=torch.int64))
    with zipfile.ZipFile(io.BytesIO(formats.zip_archive(odd, ['../up/"x"']))) as file:
        assert file.namelist()[0] == "-up--x-_2_00000.png"
        assert next(csv.DictReader(io.StringIO(file.read("labels.csv").decode())))["class"] == '../up/"x"'


def test_classes_that_share_a_word_keep_their_pictures(drawn):
    odd = drawn._replace(labels=torch.tensor([0, 1, 2, 1]), seeds=torch.tensor([5, 5, 5, 7]))
    names = formats.file_names(odd, ["+", "=", "-"])
    assert names == ["-_5_00000.png", "-_5_00001.png", "-_5_00002.png", "-_7_00000.png"]


def test_long_names_fit_into_a_file_name(drawn, tmp_path):
    assert formats.safe_name("長" * 100) == "長" * 66
    for file in formats.file_names(drawn, ["長" * 100] * 10):
        (tmp_path / file).touch()
    assert len(list(tmp_path.iterdir())) == 4


def test_names_that_differ_by_capitals_alone_and_images_without_a_seed_have_files_of_their_own(drawn):
    """A disk that takes `A` for `a` would keep one of them."""
    seeds = torch.tensor([2, 2, 2, formats.NO_SEED])
    found = formats.file_names(drawn._replace(seeds=seeds), [*"012", "a", *"456", "A"])
    assert found == ["a_2_00000.png", "a_2_00001.png", "A_2_00002.png", "a_00000.png"]


def test_pictures_that_no_seed_draws_are_stored_without_one(composed, tmp_path):
    sample.run(composed("sample", "interpolate=[3,8]", "n=2", f"out={tmp_path / 'x.npz'}"))
    assert np.load(tmp_path / "x.npz")["seeds"].tolist() == [-1, -1]


def test_a_gif_wider_than_the_format_counts_is_refused():
    with pytest.raises(CganError, match=r"a GIF of 65,568 pixels: expected at most 65,535 in a row"):
        formats.gif(torch.zeros(2, 1, 28, 10928, dtype=torch.uint8))


def test_a_folder_of_pictures_is_listed_once_however_many_they_are(drawn, tmp_path):
    listed = []
    sys.addaudithook(lambda event, values: listed.append(str(values[0])) if event == "os.scandir" else None)
    sample.save(*drawn[:2], 2, DataSpec("digits", (1, 28, 28), (*"0123456789",)), "png", tmp_path / "sevens")
    assert listed.count(str(tmp_path / "sevens")) == 1
    written = {path.name: np.array(Image.open(path)) for path in (tmp_path / "sevens").iterdir()}
    assert sorted(written) == sorted([*NAMES[:3], "3_2_00002.png"])
    assert (written[NAMES[2]] == drawn.images[2, 0].numpy()).all()


def test_npz_holds_the_arrays(drawn):
    arrays = np.load(io.BytesIO(formats.npz(drawn)), allow_pickle=False)
    assert (arrays["images"] == drawn.images[:, 0].numpy()).all()
    assert arrays["labels"].tolist() == [3, 3, 7, 3]
    assert arrays["seeds"].tolist() == [2, 2, 2, 9]
    colour = drawn._replace(images=torch.zeros(4, 3, 8, 6, dtype=torch.uint8))
    assert np.load(io.BytesIO(formats.npz(colour)))["images"].shape == (4, 8, 6, 3)


def test_a_gif_goes_there_and_back(drawn):
    film = Image.open(io.BytesIO(formats.gif(drawn.images)))
    assert (film.n_frames, film.size) == (6, (168, 168))
    film.seek(2)
    third = np.array(film.convert("L"))[3::6, 3::6]
    assert np.abs(third.astype(int) - drawn.images[2, 0].numpy()).max() <= 8  # 256 colours


def test_a_film_decodes_to_the_frames(drawn, tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    path = tmp_path / "film.mp4"
    path.write_bytes(formats.mp4(drawn.images))
    command = [ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "gray", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    decoded = np.frombuffer(raw, np.uint8).reshape(-1, 168, 168)[:, 3::6, 3::6]
    assert len(decoded) == 4
    assert np.abs(decoded[2].astype(int) - drawn.images[2, 0].numpy()).mean() < 12


def test_a_film_of_pictures_with_alpha_shows_them_on_white(tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    frames = torch.zeros(2, 4, 8, 8, dtype=torch.uint8)
    frames[1, 3] = 255  # transparent black, then black
    path = tmp_path / "film.mp4"
    path.write_bytes(formats.mp4(frames))
    command = [ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "gray", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    first, second = np.frombuffer(raw, np.uint8).reshape(2, 48, 48)
    assert first.min() > 250
    assert second.max() < 5


def test_torchvision_reads_the_synthetic_mnist(composed, tmp_path):
    out = tmp_path / "synthetic"
    samples = sample.run(composed("sample", "ckpt=pretrained", "format=idx", "n=12", "classes=[3,0]", f"out={out}"))
    train, test = (torchvision.datasets.MNIST(out, train=train) for train in (True, False))
    assert train.targets.bincount().tolist() == [12, 0, 0, 12]
    assert test.targets.bincount().tolist() == [2, 0, 0, 2]
    assert train.targets.tolist() != sorted(train.targets.tolist(), reverse=True)  # shuffled
    known = {image.numpy().tobytes(): int(label) for image, label in zip(samples.images, samples.labels, strict=True)}
    assert len(known) == 28  # no test picture is a training picture
    for part in (train, test):
        assert all(
            known[image.numpy().tobytes()] == label
            for image, label in zip(part.data, part.targets.tolist(), strict=True)
        )
    with pytest.raises(CganError, match="grey"):
        formats.idx(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.tensor([0, 1]))


def test_an_interpolation_and_a_style_are_drawn(composed, tmp_path, drawn):
    film = tmp_path / "morph.gif"
    steps = sample.run(composed("sample", "ckpt=pretrained", "interpolate=[3,8]", "n=6", "seed=1", f"out={film}"))
    with Image.open(film) as frames:
        assert frames.n_frames == 10
    assert steps.labels.tolist() == [3, 3, 3, 8, 8, 8]
    ends = draw(load_generator("pretrained"), [3, 8], seed=1)
    assert (steps.images[[0, -1]].int() - ends.int()).abs().max() <= 1
    seven = tmp_path / "seven.png"
    seven.write_bytes(formats.png(drawn.images[2]))
    styled = sample.run(composed("sample", "ckpt=pretrained", f"style={seven}", "format=zip"))
    assert styled.labels.tolist() == list(range(10))
    seven_centred = centre(drawn.images[2, 0].numpy()).float()
    assert (styled.images[:, 0].float() - seven_centred).div(255).square().mean((1, 2)).min() < 0.02
    with zipfile.ZipFile(tmp_path / "samples.zip") as file:
        assert file.namelist()[-1] == "labels.csv"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["format=tar"], "format=tar: expected one of png"),
        (["out=a.tar"], "expected a name that ends in"),
        (["format=zip", "out=a.npz"], r"^out=a\.npz and format=zip name two formats: leave format= out"),
        (["out=a.tar.gz"], "expected a name that ends in"),
        (["out=a.jpg"], "expected a name that ends in"),
        (["format=zip", "out=folder"], "expected a name that ends in"),
        (["format=idx", "out=a.png"], "expected a name that ends in"),
        (["interpolate=[3]"], "two classes"),
        (["truncation=nan"], "truncation=nan"),
        (["classes=3.7"], "class '3.7'"),
        (["classes=-1"], "class '-1'"),
        (["classes=[]"], "expected a class"),
        (["interpolate=[3,12]"], "'12'"),
        (["interpolate=[3,8]", "style=a.png"], "exclude each other"),
        (["style=a.png", "truncation=0.5"], "leave out truncation"),
        (["crossover=2"], r"crossover=2: expected mix=\[SEED,SEED\] beside it"),
        (["style=a.png", "n=3", "seed=4"], r"^style=a\.png: it takes no n and no seed; leave n= and seed= out$"),
        (["interpolate=[3,8]", "classes=7"], r"it takes no classes; leave classes= out$"),
        (["mix=[1,2]", "seed=4"], r"^mix=\[1, 2\]: it takes no seed; leave seed= out$"),
        (["digits=3", "classes=7"], r"^digits=3: it takes no classes; leave classes= out$"),
        (["style=nowhere.png"], "style=nowhere.png: cannot read it"),
        (["style=pyproject.toml"], "expected a picture as .*JPEG, .*PNG, .*found something else"),
        (["format=gif", "n=1"], "at least 2"),
        (["out=a.gif", "n=1"], "format=gif shows n images in turn: set n to at least 2"),
        (["format=idx", "interpolate=[3,8]"], "leave out"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(composed, overrides, message):
    with pytest.raises(CganError, match=message):
        sample.run(composed("sample", "ckpt=pretrained", *overrides))


def test_digits_is_another_name_of_classes(composed):
    requests = ["classes=[3,7]", "digits=[3,7]"]
    one, other = (sample.run(composed("sample", "ckpt=pretrained", "n=2", entry)) for entry in requests)
    assert one.labels.tolist() == [3, 3, 7, 7]
    assert torch.equal(one.images, other.images)


@pytest.mark.parametrize(
    ("out", "files"),
    [
        ("seven.png", ["seven.png"]),
        ("v1.2", ["v1.2/7_0_00000.png", "v1.2/7_0_00001.png"]),
        ("a/B.NPZ", ["a/B.NPZ"]),
        ("~/x.npz", ["home/x.npz"]),
    ],
)
def test_out_is_what_its_name_says(composed, tmp_path, monkeypatch, out, files):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    samples = sample.run(
        composed("sample", "ckpt=pretrained", "classes=7", "n=2", f"out='{out}'", folder=tmp_path / "r")
    )
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*") if path.is_file()}
    assert written == {*files, *([] if out.endswith(".png") else ["r/grid.png"])}
    with Image.open(samples.grid) as grid:
        assert grid.size[0] > 2 * 56


def test_numbers_are_positions_only_where_names_are_not_numbers():
    names = ["1", "2", "12"]
    spec = DataSpec("months", (1, 28, 28), (*names,))
    assert [spec.label_of(name) for name in names] == [0, 1, 2]
    with pytest.raises(CganError, match="class '0'"):
        spec.label_of(0)
    words = DataSpec("animals", (1, 28, 28), ("cat", "dog", "gnü"))
    assert [words.label_of(entry) for entry in (1, "0", "gnu\u0308")] == [1, 0, 2]


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG whose header promises a size that its few bytes do not hold."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "PNG, JPEG, WEBP"),
        (b"GIF89a" + b"\0" * 50, "PNG, JPEG, WEBP"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "PNG, JPEG, WEBP"),
        (b"\0" * (MAX_BYTES + 1), "at most 1000000"),
        (png_that_claims(4000, 4000), "4000x4000"),
        (png_that_claims(60_000, 60_000), "pixels"),
        (png_that_claims(300, 300), "damaged"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "PNG, JPEG, WEBP|damaged"),
    ],
)
def test_untrusted_images_are_decoded_with_limits(content, message):
    with pytest.raises(CganError, match=message):
        decode_image(content, (1, 28, 28))


def test_ink_on_a_transparent_canvas_is_seen():
    for ink in (0, 255):
        canvas = np.zeros((30, 40, 4), np.uint8)
        canvas[10:20, 5:9] = (ink, ink, ink, 255)
        grey = decode_image(formats.png(Image.fromarray(canvas)), (1, 28, 28))
        assert grey.shape == (30, 40)
        assert (grey[15, 6], grey[0, 0]) == (ink, 128)
