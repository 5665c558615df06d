"""A static page that draws in any browser: a generator as ONNX, a script, and the runtime beside them."""

import gzip
import hashlib
import json
import logging
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from cgan.errors import CganError
from cgan.files import write_together
from cgan.networks import Generator
from cgan.networks.base import StyleBased
from cgan.records.summary import data_title
from cgan.sampling.draw import NEAT
from cgan.sampling.formats import png
from cgan.sampling.noise import latents_by_seed
from cgan.sampling.styles import class_means
from cgan.spec import to_uint8
from cgan.tasks.onnx import compressed, run_onnx, to_onnx

log = logging.getLogger(__name__)
VISIBLE = 0.5
"""Mean difference of two pictures, in grey levels of 255, that the eye does not see."""
PAGE = Path(__file__).parent / "site"
RUNTIME = "onnxruntime-web@1.30.0"
SHA256 = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""What the page needs of the runtime's ``dist`` folder."""
LARGEST = 2**26
"""Bytes of one of them; they have 13 million at most."""
COUNT = 8
"""Pictures that the page shows, as page.js has it."""
SEED = 43
"""Of the first of them, before anything is chosen."""


class Blending(nn.Module):
    """A generator that draws mixtures of classes (:func:`cgan.sampling.interpolate.blend`) from truncated latents."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator
        if isinstance(generator, StyleBased):
            self.means = nn.Buffer(class_means(generator), persistent=False)

    def forward(self, z: Tensor, classes: Tensor, truncation: Tensor) -> Tensor:
        """Draw: (N, Z), shares of the classes (N, K), which sum to 1, and (N, 1) -> (N, C, H, W) in [-1, 1]."""
        embedding = classes @ self.generator.embed(torch.arange(self.generator.num_classes))
        if not isinstance(self.generator, StyleBased):
            return self.generator.synthesize(z * truncation, embedding)
        mean = (classes @ self.means).unsqueeze(1)  # see cgan.sampling.styles.truncate
        return self.generator.paint(mean + truncation.unsqueeze(2) * (self.generator.map(z, embedding) - mean))


def export_site(
    generator: Generator, out: Path, runtime: dict[str, bytes], ckpt: str | None = None, home: str | None = None
) -> None:
    """Write the page, which draws without a network once it is loaded; any static host serves it.

    Args:
        generator: With its spec, in eval mode.
        out: A folder, made if needed.
        runtime: See :func:`web_runtime`.
        ckpt: What others type after ``ckpt=`` to draw the same; the page's command names it. None: it shows no command.
        home: Where the page leads back to, such as the front page of the site that it is a part of; None: nowhere.

    Raises:
        CganError: The ONNX exporter is not installed, onnxruntime draws other pictures, or ``out`` cannot be written.
    """
    assert generator.spec is not None
    shares = torch.rand(64, generator.num_classes)
    example = {
        "z": torch.randn(64, generator.z_dim),
        "classes": shares / shares.sum(1, keepdim=True),
        "truncation": torch.rand(64, 1),
    }
    model = _small(to_onnx(Blending(generator).eval(), example), example)
    label = min(7, generator.num_classes - 1)
    view = {"class": generator.spec.class_names[label], "seed": SEED, "truncation": NEAT}
    known = {
        "name": data_title(generator.spec.name),
        "z_dim": generator.z_dim,
        "ckpt": ckpt,
        "home": home,
        "first": view,
    }
    about = generator.spec.to_dict() | known
    files = {
        **{path.name: path.read_bytes() for path in PAGE.iterdir()},
        "onnxruntime.mjs": runtime["ort.wasm.bundle.min.mjs"],
        "onnxruntime.bin": gzip.compress(runtime["ort-wasm-simd-threaded.wasm"], mtime=0),
        "generator.onnx": model.SerializeToString(),
        "first.png": _first_pictures(model, generator, label),
        "generator.json": json.dumps(about).encode(),
    }
    write_together(out, files)


def _first_pictures(model: Any, generator: Generator, label: int) -> bytes:
    """Draw what the page shows first, side by side: it is seen before a browser has started the runtime."""
    labels = torch.full((COUNT,), label)
    inputs = {
        "z": latents_by_seed(labels.tolist(), list(range(SEED, SEED + COUNT)), generator.z_dim),
        "classes": one_hot(labels, generator.num_classes).float(),
        "truncation": torch.full((COUNT, 1), NEAT),
    }
    return png(to_uint8(run_onnx(model, inputs)).movedim(0, 2).flatten(2))


def _small(model: Any, example: dict[str, Tensor]) -> Any:
    """Compress a model as far as its pictures stay the same for the eye."""
    for small in (compressed(model), compressed(model, eight_bits=False), model):
        levels = 127.5 * float((run_onnx(small, example) - run_onnx(model, example)).abs().mean())
        if levels < VISIBLE:
            break
    log.info("Compressed to %d kB: pixels change by %.2f of 255 levels on average", small.ByteSize() // 1000, levels)
    return small


def web_runtime(path: str | None) -> dict[str, bytes]:
    """Read the files of :data:`RUNTIME` and check them.

    Args:
        path: Its ``.tgz`` or unpacked folder; None fetches it with npm, which keeps a copy for the next time.

    Raises:
        CganError: It cannot be fetched or read, or is another version.
    """
    if path is not None:
        return _checked(Path(path).expanduser())
    with tempfile.TemporaryDirectory() as folder:
        return _checked(_fetched(Path(folder)))


def _fetched(folder: Path) -> Path:
    advice = f"or name a copy with runtime=PATH (a .tgz or a folder of {RUNTIME})"
    if not (npm := shutil.which("npm")):
        raise CganError(f"format=web needs npm to fetch {RUNTIME}: install Node.js, {advice}")
    command = [npm, "pack", RUNTIME, "--prefer-offline", "--loglevel=error", "--pack-destination", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = " ".join(done.stderr.replace("npm error", "").split())
        raise CganError(f"npm could not fetch {RUNTIME} ({reason:.60}...): check the network, {advice}")
    return next(folder.glob("*.tgz"))


def _checked(path: Path) -> dict[str, bytes]:
    try:
        files = {name: _read(path, f"dist/{name}") for name in SHA256}
    except Exception as error:  # an untrusted file can fail in any way
        raise CganError(f"runtime={path}: expected {RUNTIME} as a .tgz or a folder ({error})") from error
    for name, content in files.items():
        if hashlib.sha256(content).hexdigest() != SHA256[name]:
            raise CganError(
                f"runtime={path}: its dist/{name} is not that of {RUNTIME}; fetch it with `npm pack {RUNTIME}`"
            )
    return files


def _read(path: Path, name: str) -> bytes:
    if path.is_dir():
        return (path / name).read_bytes()
    with tarfile.open(path) as archive:
        member = archive.getmember(f"package/{name}")
        file = archive.extractfile(member)
        if file is None or not member.isreg() or member.size > LARGEST:  # a hard link has another size
            raise ValueError(f"its {name} is no file of at most {LARGEST} bytes")
        return file.read()
