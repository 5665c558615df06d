"""One reader for training, `images=`, `style=`, page and API: every kind of file gives the pixels it shows."""

import io
import struct
import tracemalloc
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cgan.data.folder import FolderSource
from cgan.data.pictures import looks_changed, read_pictures
from cgan.data.pixels import Form, UnreadablePictureError, picture_header, read_picture
from cgan.data.sources import Mnist5k, Split
from cgan.errors import CganError
from cgan.sampling.decode import decode_image
from cgan.spec import DataSpec

GREY, COLOUR, ALPHA = Form(1), Form(3), Form(4)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def pixels(content: bytes, form: Form = COLOUR) -> np.ndarray:
    """(H, W, C), or (H, W) where grey."""
    found = read_picture(content, form, "x").pixels
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    return found[0] if len(found) == 1 else found.transpose(1, 2, 0)


def grey16(values: Sequence[Sequence[int]]) -> bytes:
    return encoded(Image.fromarray(np.array(values, np.uint16)))


# Modes


def test_16_bits_are_divided_by_257():
    content = grey16([[0, 257, 300, 32768], [65535, 65534, 128, 129]])
    assert pixels(content, GREY).tolist() == [[0, 1, 1, 128], [255, 255, 0, 1]]
    assert pixels(content)[0, 3].tolist() == [128] * 3
    assert read_picture(content, GREY, "x").mode == "16 bit"
    tiff = encoded(Image.fromarray(np.array([[0, 65535]], np.uint16)), "TIFF")
    assert pixels(tiff, GREY).tolist() == [[0, 255]]
    pgm = b"P5 2 1 65535\n" + struct.pack(">2H", 257 * 7, 65535)
    assert pixels(pgm, GREY).tolist() == [[7, 255]]


def test_large_pictures_are_worked_on_in_pieces():
    """3,000,000 pixels are three pieces; as float64 and at once they would take 24 MB grey, 96 MB with transparency."""
    grey, clear = np.zeros((1500, 2000), np.uint16), np.zeros((1500, 2000, 4), np.uint8)
    grey[:300], grey[1400:] = 257 * 50, 65535
    clear[:] = (10, 20, 30, 255)
    clear[1200:] = (90, 20, 230, 255)  # a fifth
    clear[:, :1000] = (1, 2, 3, 0)  # and half of it is not seen
    files = encoded(Image.fromarray(grey)), encoded(Image.fromarray(clear))
    tracemalloc.start()
    seen, laid = pixels(files[0], GREY), pixels(files[1], Form(3, background="mean"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [seen[row].tolist() for row in (299, 300, 1399, 1400)] == [[level] * 2000 for level in (50, 0, 0, 255)]
    assert [laid[row, 0].tolist() for row in (0, 1499)] == [[26, 20, 70]] * 2
    assert laid[1499, 1999].tolist() == [90, 20, 230]
    assert peak < 120e6


def test_16_bit_colour_keeps_its_levels():
    rows = b"\0" + struct.pack(">6H", 0, 257 * 100, 65535, 257, 257 * 2, 257 * 3)
    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert pixels(content).tolist() == [[[0, 100, 255], [1, 2, 3]]]


def test_floats_from_0_to_1_are_levels_and_others_are_refused():
    unit = Image.fromarray(np.array([[0, 0.5, 1]], np.float32))
    assert pixels(encoded(unit, "TIFF"), GREY).tolist() == [[0, 128, 255]]
    for wrong in (2.0, -0.5, np.nan):
        with pytest.raises(UnreadablePictureError, match="expected 0 to 1"):
            pixels(encoded(Image.fromarray(np.array([[0, wrong]], np.float32)), "TIFF"))


def test_one_bit_is_black_and_white():
    content = encoded(Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1"))
    assert pixels(content, GREY).tolist() == [[0, 255]]
    assert pixels(content).tolist() == [[[0] * 3, [255] * 3]]
    assert read_picture(content, GREY, "x").mode == "1 bit"


def test_cmyk_is_turned_into_colour():
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # no cyan, full magenta and yellow: red
    for kind in ("JPEG", "TIFF"):
        red, green, blue = pixels(encoded(cmyk, kind))[4, 4].tolist()
        assert (red > 250, green < 5, blue < 5) == (True, True, True)


def test_grey_and_colour_turn_into_one_another():
    colour = encoded(Image.new("RGB", (1, 1), (255, 0, 0)))
    assert pixels(colour, GREY).tolist() == [[76]]  # ITU-R 601: .299 of red
    assert pixels(encoded(Image.new("L", (1, 1), 9))).tolist() == [[[9, 9, 9]]]
    assert pixels(encoded(Image.new("L", (1, 1), 9)), ALPHA).tolist() == [[[9, 9, 9, 255]]]


# Transparency


def rgba() -> Image.Image:
    """Hidden magenta, half of green, opaque blue."""
    return Image.fromarray(np.array([[[255, 0, 255, 0], [0, 255, 0, 128], [0, 0, 255, 255]]], np.uint8))


@pytest.mark.parametrize(
    ("background", "expected"),
    [
        ("white", [[255, 255, 255], [127, 255, 127], [0, 0, 255]]),
        ("black", [[0, 0, 0], [0, 128, 0], [0, 0, 255]]),
        ("#ff8000", [[255, 128, 0], [127, 191, 0], [0, 0, 255]]),
        ("mean", [[0, 85, 170], [0, 170, 85], [0, 0, 255]]),
    ],
)
def test_transparent_parts_show_the_background(background, expected):
    found = pixels(encoded(rgba()), Form(3, background=background))
    assert np.abs(found[0].astype(int) - expected).max() <= 1
    assert "transparent" in read_picture(encoded(rgba()), COLOUR, "x").notes


def test_a_fourth_channel_is_kept_and_hides_no_colour():
    found = pixels(encoded(rgba()), ALPHA)[0].tolist()
    assert found == [[255, 255, 255, 0], [0, 255, 0, 128], [0, 0, 255, 255]]
    wide = pixels(
        encoded(Image.fromarray(np.array([[[255, 0, 255, 0], [0, 0, 255, 255]]] * 2, np.uint8))), Form(4, (1, 1))
    )
    red, green, blue, alpha = wide[0, 0].tolist()
    assert (red, green, blue) == (0, 0, 255)  # the hidden colour does not leak while scaling
    assert abs(alpha - 128) <= 1


def test_a_palette_with_a_transparent_entry_shows_the_background():
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 255, 0, 0, 255])
    image.putdata([0, 1])
    assert pixels(encoded(image, transparency=0)).tolist() == [[[255, 255, 255], [0, 0, 255]]]
    assert pixels(encoded(image)).tolist() == [[[255, 0, 255], [0, 0, 255]]]
    assert pixels(encoded(image, "GIF", transparency=0)).tolist() == [[[255, 255, 255], [0, 0, 255]]]


def test_a_transparent_colour_and_grey_with_alpha_show_the_background():
    keyed = Image.fromarray(np.array([[[255, 0, 255], [0, 0, 255]]], np.uint8))
    assert pixels(encoded(keyed, transparency=(255, 0, 255)), Form(3, background="black"))[0, 0].tolist() == [0, 0, 0]
    grey = Image.merge("LA", [Image.new("L", (2, 1), 9), Image.fromarray(np.array([[0, 255]], np.uint8))])
    assert pixels(encoded(grey), GREY).tolist() == [[255, 9]]


# EXIF


def photo(orientation: int, kind: str = "JPEG") -> bytes:
    """A picture that is white in its upper left quarter, dark elsewhere, when it is seen as its EXIF says."""
    seen = np.full((16, 32), 10, np.uint8)
    seen[:8, :16] = 250
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    image = Image.fromarray(seen)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if kind == "JPEG" else {}
    return encoded(image.transpose(undo[orientation]) if orientation in undo else image, kind, exif=exif, **options)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_as_its_exif_says(orientation, kind):
    content = photo(orientation, kind)
    picture = read_picture(content, GREY, "x")
    assert picture.size == (32, 16)
    assert picture_header(content)[0] == (32, 16)
    corners = picture.pixels[0, [2, 2, 13, 13], [3, 28, 3, 28]]
    assert (corners > 200).tolist() == [True, False, False, False]


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_is_none_is_passed_over(value):
    assert read_picture(photo(value), GREY, "x").size == (32, 16)


def test_a_damaged_exif_block_leaves_the_picture_as_it_is():
    content = bytearray(photo(6))
    start = content.find(b"Exif\0\0") + 6
    content[start : start + 8] = b"\xff" * 8
    assert read_picture(bytes(content), GREY, "x").pixels.shape == (1, 32, 16)


# Animations and large pictures


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_is_read(kind):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    content = encoded(
        frames[0], kind, save_all=True, append_images=frames[1:], **({"lossless": True} if kind == "WEBP" else {})
    )
    picture = read_picture(content, COLOUR, "x")
    assert picture.pixels[:, 0, 0].tolist() == [250, 0, 0]
    assert "animated" in picture.notes


def test_a_large_jpeg_is_averaged_over_all_its_pixels():
    stripes = np.zeros((1024, 1024), np.uint8)
    stripes[:, ::2] = 255
    found = pixels(encoded(Image.fromarray(stripes), "JPEG", quality=95), Form(1, (16, 16)))
    assert np.abs(found.astype(int) - 127).max() < 8  # nearest pixels would be 0 or 255


# Shape


def strip() -> bytes:
    """30 x 10: red, green and blue squares."""
    pixels = np.zeros((10, 30, 3), np.uint8)
    for k in range(3):
        pixels[:, 10 * k : 10 * k + 10, k] = 200
    return encoded(Image.fromarray(pixels))


def test_crop_keeps_the_middle_in_proportion():
    assert pixels(strip(), Form(3, (10, 10))).tolist() == [[[0, 200, 0]] * 10] * 10
    tall = encoded(Image.open(io.BytesIO(strip())).transpose(Image.Transpose.ROTATE_90))
    assert pixels(tall, Form(3, (10, 10)))[5, 5].tolist() == [0, 200, 0]


def test_pad_keeps_everything_on_the_background():
    found = pixels(strip(), Form(3, (30, 30), "pad", "#010203"))
    assert found[[9, 20], 15].tolist() == [[1, 2, 3]] * 2
    assert found[[10, 19], 15].tolist() == [[0, 200, 0]] * 2
    assert pixels(strip(), Form(4, (30, 30), "pad"))[:, 0, 3].tolist() == [0] * 10 + [255] * 10 + [0] * 10
    line = encoded(Image.new("L", (1000, 1), 7))
    assert pixels(line, Form(1, (8, 8), "pad"))[:, 0].tolist() == [255] * 3 + [7] + [255] * 4


def test_stretch_changes_proportions():
    found = pixels(strip(), Form(3, (10, 12), "stretch"))
    assert [int(column.argmax()) for column in found[5]] == [0] * 4 + [1] * 4 + [2] * 4


def test_a_random_crop_follows_from_the_name():
    form = Form(3, (10, 10), "random_crop")
    first = {name: read_picture(strip(), form, name).pixels for name in "abcdefgh"}
    assert all(np.array_equal(read_picture(strip(), form, name).pixels, found) for name, found in first.items())
    assert len({found.tobytes() for found in first.values()}) > 4


def test_height_comes_first():
    assert pixels(strip(), Form(3, (12, 20))).shape == (12, 20, 3)


def test_shrinking_is_antialiased():
    board = np.indices((64, 64)).sum(0) % 2 * 255
    found = pixels(encoded(Image.fromarray(board.astype(np.uint8))), Form(1, (8, 8)))
    assert np.abs(found.astype(int) - 127).max() <= 2


# What cannot be read


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b"<svg/>", "something else"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "something else"),
        (photo(1)[:-200], "damaged"),
        (encoded(Image.effect_noise((40, 40), 50))[:900], "damaged"),
        (encoded(Image.effect_noise((40, 40), 50), "GIF")[:1200], "damaged"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(content, found):
    with pytest.raises(UnreadablePictureError, match=f"a/b.png: expected a picture, found .*{found}"):
        read_picture(content, COLOUR, "a/b.png")


# The same pictures by every way in


def kinds() -> dict[str, tuple[bytes, int]]:
    """Files of 8x8 with the grey level that their first pixel shows."""
    bright = np.full((8, 8), 100, np.uint8)
    clear = Image.fromarray(np.dstack([bright, bright, bright, np.zeros_like(bright)]))
    seen = bright.copy()
    seen[:4] = 200
    exif = Image.Exif()
    exif[0x0112] = 3
    return {
        "16bit.png": (grey16([[257 * 100] * 8] * 8), 100),
        "clear.png": (encoded(clear), 255),
        "turned.png": (encoded(Image.fromarray(seen[::-1].copy()), exif=exif), 200),
        "page.tif": (encoded(Image.fromarray(bright), "TIFF"), 100),
        "UPPER.PNG": (encoded(Image.fromarray(bright)), 100),
        "palette.gif": (encoded(Image.fromarray(bright).convert("P"), "GIF"), 100),
    }


def test_training_and_images_read_the_same(tmp_path: Path):
    for name, (content, _) in kinds().items():
        (tmp_path / "x" / "a").mkdir(parents=True, exist_ok=True)
        (tmp_path / "x" / "a" / name).write_bytes(content)
    expected = {f"a/{name}": level for name, (_, level) in kinds().items()}
    source = FolderSource(str(tmp_path / "x"), channels=1, cache="none")
    trained = [*source.load("train").images[:, 0, 0, 0].tolist(), *source.load("test").images[:, 0, 0, 0].tolist()]
    assert dict(zip(source.files, trained, strict=True)) == expected
    split = read_pictures(tmp_path / "x", DataSpec("x", (1, 8, 8), ("a",)))
    assert split.images[:, 0, 0, 0].tolist() == [expected[name] for name in sorted(expected)]
    assert {
        name: int(decode_image(content, (1, 28, 28))[0, 0])
        for name, (content, _) in kinds().items()
        if "png" in name.lower()
    } == {
        "16bit.png": 100,
        "clear.png": 128,  # so that black and white ink both stand out
        "turned.png": 200,
        "UPPER.PNG": 100,
    }


def test_files_of_0_and_1_are_refused(tmp_path: Path):
    (tmp_path / "x" / "a").mkdir(parents=True)
    for k in range(3):
        Image.new("L", (8, 8), k % 2).save(tmp_path / "x" / "a" / f"{k}.png")
    with pytest.raises(CganError, match=r"x: expected pixels in 0\.\.255, found only 0 and 1"):
        FolderSource(str(tmp_path / "x"), cache="none").prepare()
    Image.new("1", (8, 8), 1).save(tmp_path / "x" / "a" / "9.png")  # white
    FolderSource(str(tmp_path / "x"), cache="none").prepare()


def test_images_says_what_it_leaves_out(tmp_path: Path, caplog):
    for name in ("3/a.png", "3/._90.png", "3/notes.txt", ".DS_Store"):
        (tmp_path / "x" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "x" / name).write_bytes(encoded(Image.new("L", (8, 8))) if name == "3/a.png" else b"x")
    caplog.set_level("INFO")
    split = read_pictures(tmp_path / "x", DataSpec("digits", (1, 8, 8), tuple("0123")))
    assert split.labels.tolist() == [3]
    assert "1 pictures, used as 8x8, grey; as they are; left out: " in caplog.text
    assert "2 files of the system" in caplog.text
    assert "1 .txt files" in caplog.text


def test_images_are_brought_to_the_size_and_colours_of_the_model(tmp_path: Path, caplog):
    (tmp_path / "x" / "b").mkdir(parents=True)
    wide = np.full((10, 30, 3), 9, np.uint8)
    wide[:, 10:20] = 200  # what is left in the middle
    Image.fromarray(wide).save(tmp_path / "x" / "b" / "1.png")
    Image.new("L", (20, 20), 60).save(tmp_path / "x" / "b" / "2.png")
    caplog.set_level("INFO")
    split = read_pictures(tmp_path / "x", DataSpec("x", (3, 8, 8), ("a", "b")))
    assert split.images[:, :, 4, 4].tolist() == [[200] * 3, [60] * 3]
    assert split.labels.tolist() == [1, 1]
    assert "2 pictures, used as 8x8, colour; 1 scaled and cut to the middle, 1 scaled" in caplog.text
    flat = read_pictures(tmp_path / "x", DataSpec("x", (1, 8, 8), ("all",)))  # without labels the folders do not matter
    assert flat.labels.tolist() == [0, 0]
    with pytest.raises(CganError, match=r"the pictures lie in no folder of a class; expected a, c$"):
        read_pictures(tmp_path / "x" / "b", DataSpec("x", (1, 8, 8), ("a", "c")))


def test_images_that_lie_otherwise_than_the_real_ones_are_known():
    images, labels = Mnist5k().load("test")
    digits, real = images[::2], Split(images[1::2], labels[1::2])
    changes = {
        None: digits,
        "inverted (black is white)": 255 - digits,
        "transposed": digits.mT,
        "mirrored": digits.flip(3),
        "turned to the right": digits.rot90(-1, (2, 3)),
        "turned by 180 degrees": digits.flip(2, 3),
    }
    for words, changed in changes.items():
        assert looks_changed(Split(changed, labels[::2]), real) == words
    assert looks_changed(Split(digits.roll(2, 3), labels[::2]), real) is None


def test_swapped_colours_are_known():
    ramp = torch.arange(3 * 2 * 4 * 4, dtype=torch.uint8).view(2, 3, 4, 4)
    real, swapped = Split(ramp, torch.tensor([0, 1])), Split(ramp.flip(1), torch.tensor([0, 1]))
    assert looks_changed(swapped, real) == "stored as blue, green, red"
    assert looks_changed(swapped, Split(ramp, torch.tensor([2, 2]))) is None


def npz(path: Path, images: np.ndarray) -> Path:
    np.savez(path, images=images, labels=np.zeros(len(images), int))
    return path


def test_arrays_of_0_and_1_are_refused_and_rounding_is_not(tmp_path: Path):
    spec = DataSpec("digits", (1, 2, 2), ("0", "1"))
    with pytest.raises(CganError, match="found only 0 and 1; multiply them by 255"):
        read_pictures(npz(tmp_path / "a.npz", np.array([[[0, 1], [1, 0]]], np.uint8)), spec)
    rounded = np.array([[[-1e-7, 1 + 1e-7], [0.5, 1 / 255]]], np.float64)
    assert read_pictures(npz(tmp_path / "b.npz", rounded), spec).images.flatten().tolist() == [0, 255, 128, 1]
    with pytest.raises(CganError, match=r"found 0 to 1\.01"):
        read_pictures(npz(tmp_path / "c.npz", np.array([[[0, 1.01], [0, 0]]])), spec)
    assert not read_pictures(npz(tmp_path / "d.npz", np.zeros((1, 2, 2), np.uint8)), spec).images.any()
