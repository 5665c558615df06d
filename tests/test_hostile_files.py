"""Untrusted files: nothing in them runs, and whatever they hold, the error is this project's own."""

import io
import json
import math
import pickle
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mutations import KINDS, SPEC, contents, generator, peak_memory, rewritten, run_kinds
from PIL import Image, PngImagePlugin
from safetensors.torch import save

from cgan.archive import check_archive, read_archive, to_bytes
from cgan.checkpoint import load_generator, read_description, save_generator
from cgan.data.folder import FolderSource
from cgan.data.pictures import read_pictures
from cgan.errors import CganError
from cgan.files import read_lines
from cgan.sampling.draw import draw
from cgan.spec import DataSpec
from cgan.tasks.resume import resumed_arguments
from cgan.tasks.sample import save as save_samples


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.ckpt"
    torch.save(contents(), path)
    return path


class Shell:
    """Runs a command when it is unpickled the usual way."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, (f"touch '{self.proof}'",)


def paths(tree: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if not isinstance(tree, dict):
        return [at]
    return [at, *(path for key, part in tree.items() for path in paths(part, (*at, key)))]


def planted(tree: Any, path: tuple[Any, ...], bomb: Any) -> Any:
    if not path:
        return bomb
    return {key: planted(part, path[1:], bomb) if key == path[0] else part for key, part in tree.items()}


def test_the_good_file_loads(good: Path) -> None:
    assert draw(load_generator(good), [3, 7]).shape == (2, 1, 28, 28)


def test_no_pickle_runs_in_any_place(tmp_path: Path) -> None:
    proof, path = tmp_path / "proof", tmp_path / "x.ckpt"
    pickle.loads(pickle.dumps(Shell(proof)))
    assert proof.exists(), "the bomb itself works"
    proof.unlink()
    places = paths(contents())
    assert len(places) > 30
    for place in places:
        torch.save(planted(contents(), place, Shell(proof)), path)
        with pytest.raises(CganError, match="which no checkpoint needs"):
            load_generator(path)
        with pytest.raises(CganError):
            read_description(path)
    path.write_bytes(pickle.dumps(Shell(proof)))
    with pytest.raises(CganError):
        load_generator(path)
    assert not proof.exists()


def pickled(program: bytes) -> Callable[[str, bytes], bytes]:
    return lambda name, content: b"\x80\x02" + program + b"." if name.endswith("data.pkl") else content


BIG = struct.pack("<i", 2**31 - 1)
PICKLES = {
    "an array that fills the memory": b"cbuiltins\nbytearray\nJ" + BIG + b"\x85R",
    "a sparse tensor": b"ctorch._utils\n_rebuild_sparse_tensor\n)R",
    "a function of torch": b"ctorch.hub\nload\n)R",
    "numpy's own pickles": b"cnumpy.core.multiarray\n_reconstruct\n)R",
    # t1 = (1, 1); t2 = (t1, t1); ...: hashing t60 takes 2^60 steps
    "a tuple of tuples as a key": b"}K\x01K\x01\x86"
    + b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(60))
    + b"K\x01s",
}


@pytest.mark.parametrize("name", PICKLES)
def test_pickles_made_by_hand(name: str, good: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    path.write_bytes(rewritten(good.read_bytes(), pickled(PICKLES[name])))
    with pytest.raises(CganError, match=r"no checkpoint needs|tuples repeatedly"):
        load_generator(path)


def test_optimisers_that_share_a_tuple_are_read_back(tmp_path: Path) -> None:
    weights = [torch.nn.Parameter(torch.ones(2)) for _ in "dg"]
    states = [torch.optim.NAdam([weight]).state_dict() for weight in weights]
    assert states[0]["param_groups"][0]["betas"] is states[1]["param_groups"][0]["betas"]
    path = tmp_path / "x.ckpt"
    path.write_bytes(to_bytes(states))
    assert read_archive(path)[1]["param_groups"][0]["betas"] == (0.9, 0.999)


def test_zip_bombs(good: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    bomb = rewritten(
        good.read_bytes(), lambda n, c: bytes(2**27) if n.endswith("/0") else c, compression=zipfile.ZIP_DEFLATED
    )
    assert len(bomb) < 2**20
    path.write_bytes(bomb)
    with pytest.raises(CganError, match="compressed records"):
        load_generator(path)
    with zipfile.ZipFile(good) as archive:
        sizes = [record.file_size for record in archive.infolist()]
    # Every entry of the directory claims the largest record: together more than the file has.
    directory = bytearray(good.read_bytes())
    largest = struct.pack("<I", max(sizes))
    at = directory.find(b"PK\x01\x02")
    while at >= 0:
        directory[at + 20 : at + 28] = largest * 2
        at = directory.find(b"PK\x01\x02", at + 4)
    path.write_bytes(directory)
    with pytest.raises(CganError, match="claim more bytes"):
        load_generator(path)


def stored_zip(records: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, record in records.items():
            archive.writestr(zipfile.ZipInfo(name), record)
    return content.getvalue()


def test_torch_reads_the_pickle_that_was_checked(tmp_path: Path) -> None:
    """Torch takes upper and lower case for the same, and a directory's stated place as it is; `zipfile` does not."""
    rest = {"archive/version": b"3\n", "archive/byteorder": b"little"}
    hostile, harmless = pickle.dumps(bytearray(9), 2), pickle.dumps({"cgan": {}}, 2)
    (tmp_path / "case.ckpt").write_bytes(
        stored_zip({"archive/DATA.PKL": hostile, **rest, "archive/b/data.pkl": harmless, "archive/data.pkl": harmless})
    )
    size = max(len(hostile), len(harmless))
    first, second = (stored_zip({"archive/data.pkl": each.ljust(size, b"\0"), **rest}) for each in (hostile, harmless))
    end = struct.unpack("<IHHHHIIH", second[-22:])
    (tmp_path / "twice.ckpt").write_bytes(first[:-22] + second[:-22] + struct.pack("<IHHHHIIH", *end))
    for name, reason in (("case", "two records of one name"), ("twice", "something stands before its first record")):
        with pytest.raises(CganError, match=reason):
            check_archive(tmp_path / f"{name}.ckpt")


def test_absurd_shapes(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    claims = contents()
    for name in list(claims["state_dict"]):
        claims["state_dict"][name] = torch.zeros(1).expand(10**6, 10**6)
    torch.save(claims, path)
    with pytest.raises(CganError, match="more than the file holds"):
        load_generator(path)
    for width in (10**9, 10**400, -1, 2.5, "x", [2] * 100, {"a": 1}, None):
        torch.save(contents(config=generator().config | {"width": width}), path)
        with pytest.raises(CganError):
            load_generator(path)
    for wrong in (torch.int64, torch.bool, torch.float64, torch.float16):
        claims = contents()
        claims["state_dict"] = {name: weight.to(wrong) for name, weight in claims["state_dict"].items()}
        torch.save(claims, path)
        with pytest.raises(CganError, match="of type"):
            load_generator(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"network": "os.system"},
        {"network": ["LightGenerator"]},
        {"network": None},
        {"config": {"_target_": "os.system", "command": "true"}},
        {"config": [1]},
        {"spec": None},
        {"spec": SPEC.to_dict() | {"img_shape": [1, 10**9, 28]}},
        {"spec": SPEC.to_dict() | {"img_shape": [3, 28, 28]}},
        {"spec": SPEC.to_dict() | {"class_names": ["\x1b[2J", *"123456789"]}},
        {"spec": SPEC.to_dict() | {"class_names": ["x" * 10**6, *"123456789"]}},
        {"spec": SPEC.to_dict() | {"name": "a\0b"}},
    ],
)
def test_descriptions_that_do_not_fit(changes: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    torch.save(contents(**changes), path)
    with pytest.raises(CganError):
        load_generator(path)
    folder = tmp_path / "exported"
    save_generator(generator(), folder)
    described = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(described | changes))
    with pytest.raises(CganError):
        load_generator(folder)


def test_names_are_no_places(tmp_path: Path) -> None:
    hostile = DataSpec("x", (1, 2, 2), ("../../a", "/b", "c\\d", ".."))
    images, labels = torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.arange(4)
    save_samples(images, labels, 0, hostile, "png", tmp_path / "out")
    assert {path.parent for path in tmp_path.rglob("*.png")} == {tmp_path / "out"}
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_exported_folders(tmp_path: Path) -> None:
    folder = tmp_path / "exported"
    save_generator(generator(), folder)
    weights, config = (folder / "model.safetensors").read_bytes(), (folder / "config.json").read_bytes()
    hostile_headers = [
        b"\xff" * 8,
        struct.pack("<Q", 2**62) + b"{}",
        struct.pack("<Q", 100)
        + b'{"x":{"dtype":"F32","shape":[1000000,1000000],"data_offsets":[0,4]}}'.ljust(100)
        + bytes(4),
        save({name: torch.zeros(1) for name in generator().state_dict()}),
        save({}),
        b"",
    ]
    for content in hostile_headers:
        (folder / "model.safetensors").write_bytes(content)
        with pytest.raises(CganError):
            load_generator(folder)
    (folder / "model.safetensors").write_bytes(weights)
    for content in [b"[" * 10**5, b"1" * 10**5, b"\xff\xfe", b"null", b"", config + b" " * 2**21]:
        (folder / "config.json").write_bytes(content)
        with pytest.raises(CganError):
            load_generator(folder)


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10**6)))
        + chunk(b"IEND", b"")
    )


def test_pictures(tmp_path: Path) -> None:
    place = tmp_path / "pictures" / "a" / "x.png"
    place.parent.mkdir(parents=True)
    text = PngImagePlugin.PngInfo()
    text.add_text("bomb", "x" * 2**27, zip=True)
    unpacking = io.BytesIO()
    Image.new("L", (2, 2)).save(unpacking, "PNG", pnginfo=text)
    proof = tmp_path / "proof"
    hostile = [
        png_that_claims(60_000, 60_000),
        png_that_claims(9_000, 9_000),
        png_that_claims(2, 2)[:50],
        unpacking.getvalue(),
        pickle.dumps(Shell(proof)),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
        b"",
    ]
    for content in hostile:
        place.write_bytes(content)
        with pytest.raises(CganError, match="expected a picture"):
            FolderSource(str(tmp_path / "pictures"), size=28, channels=1).prepare()
    assert not proof.exists()


@pytest.mark.parametrize(
    "override",
    [
        "+x._target_=os.system",
        "data.source={_target_:os.system,command:true}",
        "run_name=${oc.env:HOME}",
        "model=${oc.decode:'{_tar'}",
        "hydra.job.chdir=true",
        "+hydra.callbacks.x=1",
        "experiment=../../../runs/evil/z",
        "+data@_global_='/runs/evil/z'",
        "+run_name@_global_='/runs/evil/z'",
        "callbacks=[default,runs/evil/z]",
    ],
)
def test_an_untrusted_run_folder_brings_no_code(override: str, good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / ".hydra").mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").write_bytes(good.read_bytes())
    stored = folder / ".hydra" / "overrides.yaml"
    stored.write_text(json.dumps(["model=light"]))
    assert resumed_arguments([f"ckpt={folder}"])[0] == "model=light"
    stored.write_text(json.dumps(["model=light", override]))
    with pytest.raises(CganError, match="could run code"):
        resumed_arguments([f"ckpt={folder}"])
    harmless = ["data.root=/any/../place", "data@data.digits=mnist5k", "run_name=lr/2e-3"]
    stored.write_text(json.dumps(harmless))
    assert resumed_arguments([f"ckpt={folder}"])[:3] == harmless
    for hostile in (json.dumps([f"x=[{'1,' * 5000}1]"]), "#" * 2**20 + "\n[]"):  # Hydra's parser would take minutes
        stored.write_text(hostile)
        with pytest.raises(CganError, match=r"more than 10,000 letters|expected a list of overrides"):
            resumed_arguments([f"ckpt={folder}"])
    stored.write_text("!!python/object/apply:os.system ['true']")
    with pytest.raises(CganError, match="expected a list of overrides; delete it"):
        resumed_arguments([f"ckpt={folder}"])


def test_every_flipped_bit_is_named(tmp_path: Path) -> None:
    path, content, chance = tmp_path / "x.ckpt", to_bytes(contents()), random.Random(2)
    path.write_bytes(content)
    check_archive(path)
    marked = len(content) - 71  # the comment: a flip in its first word leaves a file without a checksum, and whole
    for at in [*range(4), *(chance.randrange(marked) for _ in range(200)), marked + 7, len(content) - 1]:
        flipped = bytearray(content)
        flipped[at] ^= 1 << chance.randrange(8)
        path.write_bytes(flipped)
        with pytest.raises(CganError, match="damaged"):
            check_archive(path)
    for length in [*range(0, len(content), len(content) // 50), marked + 2, marked, marked - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(CganError, match="cut off"):
            check_archive(path)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_of_every_kind(kind: str, tmp_path: Path) -> None:
    """Some of what `python tests/campaign.py mutate` runs by the thousand."""
    count = 8 if kind == "parquet" else 40
    (seen,) = run_kinds(tmp_path, count, 2, [kind]).values()
    assert seen.failures == []
    assert seen.counts.total() == count
    assert seen.counts["refused"] > 0
    assert peak_memory() < 3 * 2**30, "bytes"


def test_damaged_lines_of_metrics_are_left_out(tmp_path: Path) -> None:
    lines = [
        b'{"images_seen": 1, "a": NaN}',
        b'{"images_seen": 2, "a": "b"}',
        b"\xff",
        b"[" * 10**5,
        b'{"a": 1}',
        b"[1]",
    ]
    (tmp_path / "x").write_bytes(b"\n".join([*lines, b'{"images_seen": 3, "a": 0.5}', b'{"images_seen": 4, "a": 0.']))
    first, last = read_lines(tmp_path / "x")
    assert (first["images_seen"], last) == (1, {"images_seen": 3, "a": 0.5})
    assert read_lines(tmp_path / "x", limit=70) == [last], "of a long file the end"


def test_what_a_file_says_of_its_training_can_be_printed(tmp_path: Path) -> None:
    for facts in ({"images_seen": "8"}, {"training": {"hardware": "\x1b[2J"}}, {"training": {"seconds": math.nan}}):
        save_generator(generator(), tmp_path, facts)
        assert draw(load_generator(tmp_path), [0]).shape == (1, 1, 28, 28)
        with pytest.raises(CganError, match=r"expected (images_seen|hardware|seconds) to be"):
            read_description(tmp_path)


def test_an_npz_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", images=np.zeros((9, 28, 28), np.uint8), labels=np.zeros(9, np.int64))
    directory = bytearray((tmp_path / "x.npz").read_bytes())
    at = directory.find(b"PK\x01\x02")
    directory[at + 24 : at + 28] = struct.pack("<I", 2**31)  # what it unpacks to, as the file says
    (tmp_path / "x.npz").write_bytes(directory)
    with pytest.raises(CganError, match="its arrays claim 2147483"):
        read_pictures(tmp_path / "x.npz", SPEC)


def test_npz_is_plain(tmp_path: Path) -> None:
    images, labels = torch.arange(8, dtype=torch.uint8).view(2, 1, 2, 2), torch.tensor([1, 0])
    save_samples(images, labels, 0, DataSpec("x", (1, 2, 2), ("a", "b")), "npz", tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz", allow_pickle=False) as stored:
        assert stored["images"].tolist() == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]
