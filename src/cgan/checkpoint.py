"""Generators in files: load any that this project wrote, run nothing that a file says.

A file names a network of this project and gives plain constructor values; classes are looked up in a table, tensors
are read with ``weights_only=True`` or by safetensors, and their shapes are checked before anything is built.
"""

import json
import os
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from safetensors.torch import load_file, save
from torch import Tensor
from torch.overrides import TorchFunctionMode

from cgan.archive import read_archive
from cgan.errors import CganError
from cgan.files import write_file
from cgan.networks import GENERATORS, Generator
from cgan.spec import DataSpec

PRETRAINED = Path(__file__).parent / "pretrained"
DEFAULT_PRETRAINED = "light"
LARGEST_CONFIG = 2**20
"""Bytes of a ``config.json``; this project's have some hundred."""
WeightSet = Literal["ema", "raw"]
_PREFIX = {"ema": "ema.generator.", "raw": "generator."}


class Found(NamedTuple):
    """Where a generator lies.

    Attributes:
        path: A ``.ckpt`` file or an exported folder.
        origin: The words to tell the user.
    """

    path: Path
    origin: str


def find_generator(wanted: str | os.PathLike[str] | None, logs: Path = Path("logs")) -> Found:
    """Turn what a user asked for into a file or folder that exists.

    Args:
        wanted: A ``.ckpt`` file, a run folder, an exported folder, ``pretrained`` (or ``pretrained/NAME``); None takes
            the newest ``best.ckpt`` under ``logs``, else the pretrained generator.
        logs: Where runs lie.

    Raises:
        CganError: There is nothing of the kind.
    """
    if wanted is None:
        bests = sorted(logs.glob("**/checkpoints/best.ckpt"), key=lambda path: path.stat().st_mtime)
        return Found(bests[-1], "newest best checkpoint") if bests else find_generator("pretrained")
    name = Path(wanted)
    if name.parts[:1] == ("pretrained",) and not name.exists():
        folder = PRETRAINED / (name.parts[1] if len(name.parts) == 2 else DEFAULT_PRETRAINED)
        if len(name.parts) > 2 or not (folder / "config.json").is_file():
            carried = ", ".join(f"pretrained/{path.parent.name}" for path in sorted(PRETRAINED.glob("*/config.json")))
            raise CganError(f"ckpt={wanted}: no such pretrained generator; the package carries {carried or 'none'}")
        return Found(folder, "pretrained generator")
    if not name.exists():
        raise CganError(f"ckpt={wanted}: no such file or folder; expected a .ckpt, a run folder or an exported folder")
    if name.is_dir():
        for candidate in (name / "checkpoints" / "best.ckpt", name / "checkpoints" / "last.ckpt"):
            if candidate.is_file():
                return Found(candidate, "checkpoint")
        if (name / "config.json").is_file():
            return Found(name, "exported generator")
        raise CganError(f"ckpt={wanted}: expected checkpoints/best.ckpt, checkpoints/last.ckpt or config.json in it")
    if name.name in ("model.safetensors", "config.json"):
        return find_generator(name.parent)
    return Found(name, "checkpoint")


def load_generator(
    path: str | os.PathLike[str] | None = None, *, weights: WeightSet = "ema", device: str | torch.device = "cpu"
) -> Generator:
    """Load a generator, ready to draw: in eval mode, without gradients, its data set in ``generator.spec``.

    Args:
        path: See :func:`find_generator`.
        weights: ``ema`` (averaged) or ``raw``; an exported folder holds one set only.
        device: Where to put it.

    Raises:
        CganError: The file is missing, damaged, too large for what it claims, or not of this project.
    """
    found = find_generator(path).path
    described, state = _read_folder(found) if found.is_dir() else _read_checkpoint(found, weights)
    generator = _rebuild(found, described, state)
    return generator.to(device).eval().requires_grad_(False)


def read_description(path: Path) -> dict[str, Any]:
    """Return what a ``.ckpt`` says of itself: network, config, spec, steps, images_seen and, if known, hardware.

    Raises:
        CganError: The file is missing, damaged or not of this project.
    """
    checkpoint = _load_checkpoint(path)
    return {**checkpoint["cgan"], "hardware": checkpoint.get("hardware")}


def save_generator(
    generator: Generator, folder: Path, extra: Mapping[str, Any] | None = None, *, half: bool = False
) -> None:
    """Write ``config.json`` and ``model.safetensors``; :func:`load_generator` reads the folder back.

    Args:
        generator: What to write; its ``spec`` must be set.
        folder: Made if needed.
        extra: More plain values for ``config.json``.
        half: Store float32 as float16: half the bytes, read back as float32.

    Raises:
        CganError: The folder cannot be written.
    """
    assert generator.spec is not None, "a generator is saved with its data spec"
    described = {
        "network": type(generator).__name__,
        "config": generator.config,
        "spec": generator.spec.to_dict(),
        **(extra or {}),
    }
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in generator.state_dict().items()}
    if half:
        state = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    write_file(folder / "model.safetensors", save(state, metadata={"format": "pt"}))
    write_file(folder / "config.json", (json.dumps(described, indent=2) + "\n").encode())


def _read_folder(folder: Path) -> tuple[Any, dict[str, Tensor]]:
    try:
        text = (folder / "config.json").read_bytes()
        if len(text) > LARGEST_CONFIG:
            raise ValueError(f"config.json has {len(text)} bytes")
        described = json.loads(text)
        stored = load_file(folder / "model.safetensors")
        state = {name: value.float() if value.dtype == torch.float16 else value for name, value in stored.items()}
    except Exception as error:  # a stranger's file can fail in any way
        raise _unreadable(folder, error) from error
    return described, state


def _read_checkpoint(path: Path, weights: WeightSet) -> tuple[Any, dict[str, Tensor]]:
    checkpoint = _load_checkpoint(path)
    prefix = _PREFIX[weights]
    state = checkpoint.get("state_dict")
    if not isinstance(state, dict):
        raise CganError(f"{path}: expected weights under 'state_dict', found none")
    named = {name: value for name, value in state.items() if isinstance(name, str)}
    chosen = {name[len(prefix) :]: value for name, value in named.items() if name.startswith(prefix)}
    if not all(isinstance(value, Tensor) for value in chosen.values()):
        raise CganError(f"{path}: expected tensors under 'state_dict', found something else")
    stored = [value.numel() * value.element_size() for value in chosen.values()]
    if sum(stored) > path.stat().st_size:
        raise CganError(f"{path}: its tensors claim {sum(stored)} bytes, more than the file holds")
    return checkpoint["cgan"], chosen


def _load_checkpoint(path: Path) -> dict[str, Any]:
    checkpoint = read_archive(path)
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("cgan"), dict):
        raise CganError(f"{path}: expected a checkpoint written by cgan's train.py, found another file")
    return checkpoint


def _rebuild(path: Path, described: Any, state: dict[str, Tensor]) -> Generator:
    described = described if isinstance(described, dict) else {}
    network, config = described.get("network"), described.get("config")
    if not isinstance(network, str) or network not in GENERATORS or not isinstance(config, dict):
        raise CganError(f"{path}: expected one of the networks {', '.join(GENERATORS)}, found {reprlib.repr(network)}")
    spec = DataSpec.from_dict(described.get("spec"))
    try:
        if not all(isinstance(name, str) and _is_size(value) for name, value in config.items()):
            raise ValueError(f"its sizes are {reprlib.repr(config)}")
        with torch.device("meta"), _NoInit():  # shapes only: a file that claims huge layers costs no memory
            generator = GENERATORS[network](**config).float()  # whatever torch's default dtype is
        if generator.img_shape != spec.img_shape or generator.num_classes != spec.num_classes:
            raise ValueError("its network and its data spec differ in shape or classes")
        kinds = {name: tensor.dtype for name, tensor in generator.state_dict().items()}
        if bad := [name for name, tensor in state.items() if tensor.dtype != kinds.get(name, tensor.dtype)]:
            raise ValueError(f"{bad[0]:.60} is of type {state[bad[0]].dtype}")
        generator.load_state_dict(state, assign=True)
    except Exception as error:  # a stranger's file can fail in any way
        raise _unreadable(path, error) from error
    generator.spec = spec
    return generator


class _NoInit(TorchFunctionMode):
    """Leave weights as they come: initial values without memory are of no use, and load torch's compiler (a second)."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def _is_size(value: Any) -> bool:
    """Whether a constructor's value is a plain number or word, or a short list of such; depth of 2 is enough."""
    if isinstance(value, list):
        return len(value) <= 64 and all(_is_size(entry) and not isinstance(entry, list) for entry in value)
    return value is None or isinstance(value, str | float | bool) or (isinstance(value, int) and abs(value) < 2**31)


def _unreadable(path: Path, error: Exception) -> CganError:
    if isinstance(error, FileNotFoundError):
        return CganError(f"{error.filename}: no such file")
    reason = " ".join(str(error).split()) or type(error).__name__
    return CganError(
        f"{path}: not a readable generator: cut off, damaged, or not written by this version of cgan ({reason:.160}); "
        "name another with ckpt=PATH"
    )
