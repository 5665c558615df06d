"""Exporting: a generator in files that others can load, checked against the original before it counts."""

import json
import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from cgan.checkpoint import find_generator, load_generator, name_of, to_files
from cgan.errors import CganError
from cgan.files import write_together
from cgan.hub import PREFIX
from cgan.networks import Generator
from cgan.networks.base import StyleBased
from cgan.plugins import load_plugins
from cgan.records.evaluation import Entry, FoundEvaluation, find_evaluation, to_json
from cgan.records.summary import log_summary
from cgan.sampling.draw import draw
from cgan.sampling.styles import class_means, to_styles
from cgan.tasks.candidates import origin_of
from cgan.tasks.model_card import Licences, model_card
from cgan.tasks.onnx import CheckedLabels, CheckedStyles, Painter, to_onnx
from cgan.tasks.web import export_site, web_runtime

log = logging.getLogger(__name__)
FORMATS = {
    "safetensors": ("config.json", "model.safetensors"),
    "onnx": (),
    "web": ("generator.json", "generator.onnx"),
}
"""Each with the files by any of which a folder is known as an export, or as one that was interrupted."""


def run(cfg: DictConfig) -> Path:
    """Write the generator that ``cfg`` names and return where.

    Raises:
        CganError: A request cannot be met, or what was written does not draw as the original does.
    """
    load_plugins(cfg.plugins)
    if cfg.format not in FORMATS:
        raise CganError(f"format={cfg.format}: expected one of {', '.join(FORMATS)}")
    if not isinstance(cfg.half, bool):
        raise CganError(f"half={cfg.half}: expected true or false")
    if cfg.half and cfg.format != "safetensors":
        raise CganError("half=true goes with format=safetensors only; leave one of them out")
    out = destination(cfg)
    runtime = web_runtime(cfg.runtime) if cfg.format == "web" else {}
    found = find_generator(cfg.ckpt)
    generator = load_generator(found.path, weights=cfg.weights)
    rounded = cfg.half and round_to_half(generator)
    evaluation = find_evaluation(found.path) if cfg.weights == "ema" and not rounded else None
    log_summary(found.path)
    if cfg.format == "onnx":
        export_onnx(generator, out)
    elif cfg.format == "web":
        name = name_of(found.path) if found.origin == "pretrained generator" else str(cfg.ckpt)
        public = name.startswith(PREFIX) or found.origin == "pretrained generator"  # a path is known here alone
        export_site(generator, out, runtime, name if public else None, cfg.home)
    else:
        licences = Licences(str(cfg.license), str(cfg.data_license or "not stated"))
        export_folder(generator, out, origin_of(found, generator), evaluation, licences, half=cfg.half)
    log.info("Exported: %s", out)
    return out


def destination(cfg: DictConfig) -> Path:
    """Settle where to write."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    if cfg.format == "onnx":
        out = folder / "generator.onnx" if cfg.out is None else Path(cfg.out)
        if out.suffix != ".onnx" or out.is_dir():
            raise CganError(f"out={out}: expected a file that ends in .onnx")
        return out
    out = folder / "generator" if cfg.out is None else Path(cfg.out)
    there = {path.name for path in out.iterdir() if path.suffix != ".part"} if out.is_dir() else set()
    if out.is_file() or (there and there.isdisjoint(FORMATS[cfg.format])):
        raise CganError(f"out={out}: expected a new folder, or one that holds an export")
    return out


def round_to_half(generator: Generator) -> bool:
    """Round the weights to what float16 can hold and return whether any changed."""
    changed = False
    for tensor in generator.state_dict().values():
        rounded = tensor.half().to(tensor.dtype) if tensor.is_floating_point() else tensor
        changed |= not torch.equal(tensor, rounded)
        tensor.copy_(rounded)
    return changed


def export_folder(
    generator: Generator,
    out: Path,
    origin: Entry,
    found: FoundEvaluation | None,
    licences: Licences,
    *,
    half: bool = False,
) -> None:
    """Write ``config.json``, ``model.safetensors`` and ``README.md``, the layout of the Hugging Face hub."""
    training = {"command": origin.command, "seconds": origin.seconds, "hardware": origin.hardware}
    extra = {
        "images_seen": origin.images_seen,
        "training": {key: value for key, value in training.items() if value is not None},
        "evaluation": _of_this_alone(found) if found else None,
        "license": licences.weights,
        "data_license": licences.data,
    }
    labels = list(range(generator.num_classes))
    card = model_card(generator, origin, found, licences).encode()
    files = {"README.md": card, **to_files(generator, extra, half=half)}
    with tempfile.TemporaryDirectory() as trial:
        write_together(Path(trial), files)
        if not torch.equal(draw(load_generator(trial), labels), draw(generator, labels)):
            raise CganError(f"{out}: the exported generator would draw other pictures than the original: not written")
    write_together(out, files)


def _of_this_alone(found: FoundEvaluation) -> dict[str, Any]:
    """Return the record without other entries, and without what has no meaning in another place."""
    entry = replace(found.entry, source=None, file=None, curve=[])
    return to_json(replace(found.record, entries=[entry]))


def export_onnx(generator: Generator, out: Path) -> None:
    """Write one ONNX file: inputs ``z`` (N, z_dim) and ``labels`` (N,), output ``images`` (N, C, H, W) in [-1, 1].

    N is free; a label out of range is refused. Metadata hold ``z_dim`` and ``class_names`` (JSON). A style-based
    generator has its styles ``w`` (N, L, W) as a second output, and a second file, ``NAME.w.onnx``, draws ``images``
    from styles: mixed, interpolated or moved towards ``mean_w`` (K, W), JSON in its metadata.
    """
    assert generator.spec is not None
    about = {"z_dim": str(generator.z_dim), "class_names": json.dumps(generator.spec.class_names)}
    inputs = {"z": torch.randn(64, generator.z_dim), "labels": torch.arange(64) % generator.num_classes}
    painter_file = out.with_suffix(".w.onnx")
    files: dict[str, bytes] = {}
    if isinstance(generator, StyleBased):
        means = {**about, "mean_w": json.dumps(class_means(generator).tolist())}
        painter = to_onnx(Painter(generator).eval(), {"w": to_styles(generator, *inputs.values())}, means)
        files[painter_file.name] = painter.SerializeToString()
        whole = to_onnx(CheckedStyles(generator).eval(), inputs, about, outputs=("images", "w"))
    else:
        whole = to_onnx(CheckedLabels(generator).eval(), inputs, about)
        painter_file.unlink(missing_ok=True)  # of an earlier generator under this name
    write_together(out.parent, {**files, out.name: whole.SerializeToString()})
