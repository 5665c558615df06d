"""Files of every kind that this project reads, damaged at random: what comes out is right, or this project's own error.

``python tests/campaign.py mutate`` runs thousands of them; the tests run some.
"""

import gzip
import io
import json
import random
import resource
import signal
import struct
import tarfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from cgan.archive import to_bytes
from cgan.checkpoint import Found, load_generator, save_generator
from cgan.data.folder import FolderSource
from cgan.data.idx import IdxSource
from cgan.data.pictures import read_pictures
from cgan.data.pixels import Form, read_picture
from cgan.data.store import keep, load_stored
from cgan.errors import CganError
from cgan.metrics.cache import keep_features, read_features
from cgan.metrics.classifier import fused
from cgan.metrics.features import Features
from cgan.metrics.own import ClassifierExtractor, read_classifier, serialised
from cgan.metrics.picture_net import PictureNet
from cgan.metrics.values import Description, Protocol
from cgan.networks.light import LightGenerator
from cgan.records.best_run import best_run
from cgan.records.evaluation import (
    Entry,
    EvaluationRecord,
    find_evaluation,
    read_evaluation,
    to_json,
    write_evaluation,
)
from cgan.records.run import RunRecord, write_run
from cgan.records.summary import summarise
from cgan.sampling.decode import decode_image
from cgan.sampling.draw import draw
from cgan.serving.catalog import Catalog
from cgan.serving.training import Trainings
from cgan.spec import DataSpec
from cgan.tasks.candidates import origin_of
from cgan.tasks.model_card import Licences, model_card
from cgan.tasks.resume import resumed_arguments
from cgan.tasks.sweep import read_rows
from cgan.tasks.web import web_runtime
from cgan.tracking import JsonLines

SPEC = DataSpec("mnist", (1, 28, 28), tuple("0123456789"))
SMALL = DataSpec("small", (1, 8, 8), ("ant", "bee"))
LONGEST = 20
"""Seconds of processor time that one file may take."""


class Subject(NamedTuple):
    """Files of one kind, as they are written; ``read`` uses them, and ``exact`` ones have a checksum.

    What ``read`` returns is compared with ``==`` where ``exact``; None says that the files were found damaged.
    """

    files: dict[Path, bytes]
    read: Callable[[], Any]
    exact: bool = False


class Seen(NamedTuple):
    """What became of the files of one kind: how many were read and refused, other errors, the longest, seconds."""

    counts: Counter[str]
    failures: list[str]
    longest: float


def generator(seed: int = 0) -> LightGenerator:
    torch.manual_seed(seed)
    net = LightGenerator(num_classes=10, img_shape=(1, 28, 28), z_dim=4, embed_dim=3, width=2)
    net.spec = SPEC
    return net


def contents(**changes: Any) -> dict[str, Any]:
    """What a checkpoint of train.py holds, as far as a generator is concerned."""
    net = generator()
    state = {
        f"{prefix}{name}": w for prefix in ("generator.", "ema.generator.") for name, w in net.state_dict().items()
    }
    described = {
        "network": "LightGenerator",
        "config": net.config,
        "spec": SPEC.to_dict(),
        "steps": 1,
        "images_seen": 8,
    }
    return {"state_dict": state, "cgan": described | changes, "optimizer_states": [{"state": {0: {"step": 1.0}}}]}


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Flip, cut, repeat, insert or overwrite: what damage and malice do to a file."""
    data = bytearray(content)
    for _ in range(chance.choice([1, 1, 1, 3, 10])):
        if not data:
            break
        at, kind = chance.randrange(len(data)), chance.randrange(6)
        length = chance.choice([1, 4, 64, 1000])
        if kind == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            data[at : at + length] = chance.randbytes(len(data[at : at + length]))
        elif kind == 2:
            del data[at : at + length]
        elif kind == 3:
            data[at:at] = data[at : at + length]
        elif kind == 4:
            data[at : at + 8] = chance.choice(
                [b"\xff" * 8, bytes(8), struct.pack("<Q", 2**40), b"\xff\xff\xff\x7f" * 2]
            )
        else:
            data = data[: max(at, 1)]
    return bytes(data)


def mutated_json(content: bytes, chance: random.Random) -> bytes:
    """Put something else in the place of one value of a JSON: valid, and not what anybody expects."""
    value = json.loads(content)
    path, place = [], value
    while isinstance(place, dict | list) and place and (not path or chance.random() < 0.8):
        path.append(chance.choice(list(place) if isinstance(place, dict) else range(len(place))))
        place = place[path[-1]]
    odd: Any = chance.choice(
        [None, True, -1, 2**63, 10**400, 1e308, float("nan"), float("inf"), "", "x" * 5000, "../../etc", "a\0b",
         "\ud800", "\x1b[2J", [], {}, [[]], {"a": {}}, [1, "a"], "NaN", "0"]
    )  # fmt: skip
    if chance.random() < 0.05:
        return b"[" * 10**5
    if not path:
        return json.dumps(odd).encode()
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = odd
    return json.dumps(value).encode()


def rewritten(archive: bytes, change: Callable[[str, bytes], bytes], **options: Any) -> bytes:
    """Pack the records of a zip anew, each through ``change(name, content)``."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w", **options) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return out.getvalue()


def run_kinds(folder: Path, count: int, seed: int, names: list[str] | None = None) -> dict[str, Seen]:
    """Damage ``count`` files of each kind; a kind's n-th file follows from the seed alone."""
    return {name: _damage(name, KINDS[name](_made(folder / name)), count, seed) for name in names or KINDS}


def peak_memory() -> int:
    """The most bytes that this process ever had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _damage(name: str, subject: Subject, count: int, seed: int) -> Seen:
    counts, failures, longest = Counter[str](), list[str](), 0.0
    expected = subject.read()
    assert expected is not None, f"{name}: the whole files are read"
    for number in range(count):
        chance = random.Random(f"{seed} {name} {number}")
        chosen = chance.sample(list(subject.files), chance.randint(1, len(subject.files)))
        damage = mutated if subject.exact and chance.random() < 0.5 else _changed
        for path in chosen:
            path.write_bytes(damage(subject.files[path], chance))
        start = time.process_time()
        try:
            with _in_time():
                found = subject.read()
            wrong = damage is mutated and found is not None and found != expected
            counts["refused" if found is None else "read"] += 1
            failures += [f"{name} {number}: read as something else"] if wrong else []
        except CganError:
            counts["refused"] += 1
        except Exception as error:
            failures.append(f"{name} {number}: {type(error).__name__}: {error}"[:300])
        longest = max(longest, time.process_time() - start)
        for path, content in subject.files.items():
            path.write_bytes(content)
    return Seen(counts, failures, longest)


def _changed(content: bytes, chance: random.Random) -> bytes:
    """Damage what lies within a file, so that its checksums are right, or the file as a whole."""
    if content.startswith(b"{") and content.count(b"images_seen") < 2 and chance.random() < 0.5:
        return mutated_json(content, chance)
    if zipfile.is_zipfile(io.BytesIO(content)) and chance.random() < 0.5:  # with right checksums within
        chosen = chance.choice(zipfile.ZipFile(io.BytesIO(content)).namelist())
        return rewritten(content, lambda name, record: mutated(record, chance) if name == chosen else record)
    if content.startswith(b"\x1f\x8b") and chance.random() < 0.5:
        return gzip.compress(mutated(gzip.decompress(content), chance))
    return mutated(content, chance)


@contextmanager
def _in_time() -> Iterator[None]:
    def late(*_: Any) -> None:
        raise TimeoutError(f"more than {LONGEST} s")

    former = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, former)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _used(path: Path) -> list:
    """Draw, and read what else the file says, as `cgan export` and `cgan evaluate` do."""
    net = load_generator(path)
    summarise(path, path.parent / "logs")
    model_card(net, origin_of(Found(path, "checkpoint"), net), find_evaluation(path), Licences("MIT", "CC0"))
    return draw(net, [0, 3]).tolist()


def _checkpoint(folder: Path) -> Subject:
    path = folder / "x.ckpt"
    path.write_bytes(to_bytes(contents()))
    return Subject(_files(folder), lambda: _used(path), exact=True)


def _export(folder: Path) -> Subject:
    training = {"command": "python train.py", "seconds": 3.5, "hardware": "2 CPU cores"}
    extra = {"images_seen": 8, "training": training, "evaluation": to_json(_record()), "license": "MIT"}
    save_generator(generator(), folder, extra)
    return Subject(_files(folder), lambda: _used(folder))


def _classifier(folder: Path) -> Subject:
    torch.manual_seed(0)
    net = PictureNet((1, 8, 8), 2)
    (folder / "x.safetensors").write_bytes(serialised(ClassifierExtractor(fused(net.eval()), SMALL, 0.9)))
    return Subject(_files(folder), lambda: read_classifier(folder / "x.safetensors").weights_hash(), exact=True)


def _npz(folder: Path) -> Subject:
    images, labels = np.arange(256, dtype=np.uint8).reshape(4, 1, 8, 8), np.array([0, 1, 0, 1])
    np.savez_compressed(folder / "x.npz", images=images, labels=labels)
    return Subject(_files(folder), lambda: read_pictures(folder / "x.npz", SMALL))


def _pictures() -> dict[str, bytes]:
    files = {}
    for number, name in enumerate(("a", "b", "c")):
        for class_name in SMALL.class_names:
            content = io.BytesIO()
            Image.effect_noise((8, 8), 40 + number).save(content, "PNG")
            files[f"{class_name}/{name}.png"] = content.getvalue()
    return files


def _loaded(root: Path) -> Any:
    source = FolderSource(str(root), size=8, channels=1, cache="none")
    return source.load("train"), source.load("test"), source.report


def _zip(folder: Path) -> Subject:
    path = folder / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _pictures().items():
            archive.writestr(f"top/{name}", content)
    return Subject(_files(folder), lambda: _loaded(path))


def _table(name: str, content: str) -> Callable[[Path], Subject]:
    def make(folder: Path) -> Subject:
        for file, picture in _pictures().items():
            (folder / file.replace("/", "_")).write_bytes(picture)
        (folder / name).write_text(content)
        return Subject({folder / name: content.encode()}, lambda: _loaded(folder))

    return make


_ROWS = [(f"{label}_{name}.png", label) for label in SMALL.class_names for name in "abc"]


def _image(kind: str) -> Callable[[Path], Subject]:
    def make(folder: Path) -> Subject:
        path = folder / "x"
        image = Image.effect_noise((48, 32), 60).convert("RGB" if kind != "GIF" else "P")
        image.save(path, kind)

        def read() -> Any:
            form = Form(3, (16, 16))
            return read_picture(path.read_bytes(), form, "x").pixels.shape == (3, 16, 16) or None

        return Subject(_files(folder), read)

    return make


def _upload(folder: Path) -> Subject:
    Image.effect_noise((48, 32), 60).save(folder / "x.png")
    return Subject(_files(folder), lambda: decode_image((folder / "x.png").read_bytes(), (1, 28, 28)))


def _idx(folder: Path) -> Subject:
    for stem, count in (("train", 6), ("t10k", 4)):
        images = struct.pack(">IIII", 0x803, count, 8, 8) + bytes(range(64)) * count
        labels = struct.pack(">II", 0x801, count) + bytes([0, 1] * (count // 2))
        (folder / f"{stem}-images-idx3-ubyte").write_bytes(images)
        (folder / f"{stem}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))

    def read() -> Any:
        source = IdxSource("MNIST", str(folder), [1, 8, 8], ["ant", "bee"])
        return source.load("train"), source.load("test")

    return Subject(_files(folder), read)


def _store(folder: Path) -> Subject:
    images = np.arange(512, dtype=np.uint8).reshape(8, 1, 8, 8)
    keep(folder / "kept", [images], lambda: {"shape": [1, 8, 8], "labels": [0] * 8})

    def read() -> Any:
        found = load_stored(folder / "kept")
        return found and (found.about, found.images.tolist())

    files = {path: content for path, content in _files(folder).items() if path.suffix != ".lock"}
    return Subject(files, read, exact=True)


def _features(folder: Path) -> Subject:
    images, labels = torch.zeros(8, 1, 8, 8, dtype=torch.uint8), torch.arange(8) % 2
    numbers = torch.Generator().manual_seed(0)
    found = Features(labels, torch.randn(8, 4, generator=numbers), torch.randn(8, 2, generator=numbers), images)
    path = folder / "x.safetensors"
    keep_features(path, found)

    def read() -> Any:
        kept = read_features(path, images, labels)
        return kept and (kept.features.tolist(), kept.logits.tolist())

    return Subject(_files(folder), read, exact=True)


def _record(**changes: Any) -> EvaluationRecord:
    protocol = Protocol("mnist", "digits", "0123456789abcdef", "none", 1000, 0)
    entry = Entry("run", {"fid": 2.0}, file="checkpoints/best.ckpt", images_seen=8, epoch=1)
    about = Description("fid", "Fréchet distance", "How far.", "lower", low=0.0)
    return EvaluationRecord(protocol, Entry("real images", {"fid": 0.5}), [entry], {"fid": about}, ["0", "1"])


def _evaluation(folder: Path) -> Subject:
    path = folder / "evaluation.json"
    write_evaluation(path, _record())
    return Subject(_files(folder), lambda: read_evaluation(path))


def _run(folder: Path) -> Subject:
    """A run folder, as the page, the API, `cgan sample` without ckpt=, a resumed run and a sweep's end read it."""
    run = folder / "train" / "runs" / "a"
    record = RunRecord(
        state="finished",
        command="python train.py model=light",
        overrides=["model=light"],
        data="mnist5k",
        network="LightGenerator",
        debug=False,
        pid=1,
        host="host",
        hardware="",
        started=1.0,
        updated=2.0,
        epoch=1,
        epochs=1,
        images_seen=8,
        images_total=8,
        score=2.0,
    )
    write_run(run, record)
    write_evaluation(run / "evaluation.json", _record())
    rows = [{"images_seen": seen, "loss/d": 0.5} for seen in (4, 8)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (run / ".hydra").mkdir()
    (run / ".hydra" / "overrides.yaml").write_text(json.dumps(["model=light", "seed=3"]))
    (run / ".hydra" / "hydra.yaml").write_text(json.dumps({"hydra": {"runtime": {"choices": {"model": "light"}}}}))
    files = _files(run)
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "best.ckpt").write_bytes(to_bytes(contents()))

    def read() -> Any:
        watched = Trainings(folder).watch(run)
        listed, best = Catalog(folder).models(), best_run(folder)
        JsonLines(run / "metrics.jsonl", 8)
        rows = read_rows(folder / "train" / "runs")
        return watched, listed, best, rows, resumed_arguments([f"ckpt={run}"])

    return Subject(files, read)


def _runtime(folder: Path) -> Subject:
    with tarfile.open(folder / "x.tgz", "w:gz") as archive:
        for name in ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"):
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = 100
            archive.addfile(member, io.BytesIO(bytes(100)))

    def read() -> Any:
        try:
            return web_runtime(str(folder / "x.tgz"))
        except CganError as error:
            if "is not that of" in str(error):  # it was read: these bytes are none of the runtime's
                return str(error)
            raise

    return Subject(_files(folder), read)


def _parquet(folder: Path) -> Subject:
    import datasets

    from cgan.data.hub import HubSource

    datasets.config.HF_DATASETS_CACHE = folder / "cache"
    features = datasets.Features({"picture": datasets.Image(), "kind": datasets.ClassLabel(names=["ant", "bee"])})
    pictures = [Image.new("L", (8, 8), 20 * number) for number in range(8)]
    rows = datasets.Dataset.from_dict({"picture": pictures, "kind": [0, 1] * 4}, features=features)
    root = folder / "insects"
    rows.to_parquet(str(root / "data" / "train-00000-of-00001.parquet"))

    def read() -> Any:
        source = HubSource(name=str(root), cache="none")
        return source.load("train"), source.load("test")

    return Subject(_files(root), read)


KINDS: dict[str, Callable[[Path], Subject]] = {
    "checkpoint": _checkpoint,
    "export": _export,
    "classifier": _classifier,
    "npz": _npz,
    "zip": _zip,
    "labels.csv": _table("labels.csv", "file,class\n" + "".join(f"{file},{label}\n" for file, label in _ROWS)),
    "dataset.json": _table("dataset.json", json.dumps({"labels": [[file, label] for file, label in _ROWS]})),
    **{f"image {name}": _image(name) for name in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")},
    "upload": _upload,
    "idx": _idx,
    "picture cache": _store,
    "feature cache": _features,
    "evaluation": _evaluation,
    "run folder": _run,
    "web runtime": _runtime,
    "parquet": _parquet,
}
