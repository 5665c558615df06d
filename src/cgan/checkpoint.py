"""Generators in files: any that this project wrote is loaded, and no code that a file holds or names is run.

A file names a network class and gives plain constructor values. The class is looked up among the registered ones,
tensors are read with ``weights_only=True`` or by safetensors, and their shapes are checked before anything is built.
"""

import json
import logging
import math
import os
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from safetensors.torch import load_file, save
from torch import Tensor
from torch.overrides import TorchFunctionMode

from cgan import hub
from cgan.archive import read_archive, unreadable
from cgan.errors import CganError, check_choice, is_printable
from cgan.files import read_json, write_together
from cgan.networks import Generator
from cgan.networks.embedding import factors_of
from cgan.plugins import generator_class, plugin_of, refuse_unregistered
from cgan.records.best_run import best_run
from cgan.records.layout import drawn_from
from cgan.spec import DataSpec

log = logging.getLogger(__name__)
PRETRAINED = Path(__file__).parent / "pretrained"
DEFAULT_PRETRAINED = "light"
MAX_CONFIG = 2**20
"""Bytes of a ``config.json``; this project's have some thousand."""
WeightSet = Literal["ema", "raw"]
_TRAINING = ("command", "seconds", "hardware")
_FACTS: dict[str, Any] = {"network": str, "command": str, "hardware": str, "seconds": int | float}
_FACTS |= dict.fromkeys(("steps", "images_seen", "images_total", "images_per_epoch"), int)
_PREFIX = {"ema": "ema.generator.", "raw": "generator."}


class Found(NamedTuple):
    """Where a generator lies, and what it is, to print: ``checkpoint``, ``exported generator``, ..."""

    path: Path
    origin: str


def find_generator(requested: str | os.PathLike[str] | None, logs: Path = Path("logs")) -> Found:
    """Turn what a user typed into a file or folder that exists.

    Args:
        requested: A ``.ckpt`` file, a run folder, an exported folder, ``pretrained`` (or ``pretrained/NAME``), or
            ``hf://USER/NAME@REVISION``, which is downloaded (``cgan.hub``); None takes that of the best finished
            run under ``logs`` (``cgan.records.best_run.best_run``), else the pretrained generator.
        logs: Where runs lie.

    Raises:
        CganError: There is none.
    """
    if requested is None:
        run = best_run(logs)
        if run is None and next(logs.glob("**/run.json"), None):
            words = "Warning: no finished run in %s: the bundled generator draws its digits instead; "
            log.warning(words + "ckpt=FOLDER draws from an unfinished or a debug run", logs)
        return Found(find_generator(run).path, "best finished run") if run else find_generator("pretrained")
    if str(requested).startswith(hub.PREFIX):
        return Found(hub.download(str(requested)), f"generator {requested} in")
    path = Path(requested)
    if path.parts[:1] == ("pretrained",) and not path.exists():
        folder = PRETRAINED / (path.parts[1] if len(path.parts) == 2 else DEFAULT_PRETRAINED)
        if len(path.parts) > 2 or not (folder / "config.json").is_file():
            bundled = ", ".join(f"pretrained/{entry.parent.name}" for entry in sorted(PRETRAINED.glob("*/config.json")))
            raise CganError(f"ckpt={requested}: no such pretrained generator; choose among {bundled}")
        return Found(folder, "pretrained generator")
    if not path.exists():
        raise CganError(
            f"ckpt={requested}: no such file or folder; expected a .ckpt, a run folder or an exported folder"
        )
    if path.is_dir():
        if checkpoint := drawn_from(path):
            return Found(checkpoint, "checkpoint")
        if (path / "config.json").is_file():
            return Found(path, "exported generator")
        raise CganError(f"ckpt={requested}: expected checkpoints/best.ckpt, checkpoints/last.ckpt or config.json in it")
    if path.name in ("model.safetensors", "config.json"):
        return find_generator(path.parent)
    if path.suffix == ".onnx":
        raise CganError(f"ckpt={requested}: an ONNX file is for other programs; name what it was exported from")
    return Found(path, "checkpoint")


def name_of(path: Path) -> str:
    """Return what a user types after ``ckpt=``: the name of a bundled generator, the path of any other."""
    if path.parent != PRETRAINED:
        return str(path)
    return "pretrained" if path.name == DEFAULT_PRETRAINED else f"pretrained/{path.name}"


def load_generator(
    path: str | os.PathLike[str] | None = None, *, weights: WeightSet = "ema", device: str | torch.device = "cpu"
) -> Generator:
    """Load a generator, ready to draw: in eval mode, without gradients, its data set in ``generator.spec``.

    Args:
        path: See ``find_generator``.
        weights: ``ema`` (averaged) or ``raw``; an exported folder holds one set only.
        device: Where to put it.

    Raises:
        CganError: The file is missing, damaged, too large for what it claims, or not of this project; or its class is
            not registered (see ``cgan.plugins``).
    """
    check_choice("weights", weights, _PREFIX)
    found = find_generator(path).path
    described, state = _read_folder(found) if found.is_dir() else _read_checkpoint(found, weights)
    generator = _rebuild(found, described, state).eval().requires_grad_(False)
    generator.to(memory_format=torch.channels_last)  # as in training: in another order sums are rounded otherwise
    return generator.to(device)


def read_description(path: Path) -> dict[str, Any]:
    """Return what a ``.ckpt`` or an exported folder says of itself; the file may be untrusted.

    What ``describe`` gives, and of the training ``images_seen``, ``images_total`` (None: without an end),
    ``seconds``, ``hardware``, and ``steps`` and ``images_per_epoch`` (of a ``.ckpt``) or ``command`` (of a folder):
    plain numbers from 0 and words that can be printed; None: not known.

    Raises:
        CganError: The file is missing, damaged or not of this project.
    """
    if path.is_dir():
        described = _read_config(path)
        training = described.get("training")
    else:
        training = _load_checkpoint(path)
        described = training["cgan"]
    known = {name: (training if isinstance(training, dict) else {}).get(name) for name in _TRAINING}
    found = {"images_seen": None, **described, **known}
    required = ("network",) if path.is_dir() else ("network", "steps", "images_seen")
    for name, kind in _FACTS.items():
        value = found.get(name)
        if not _is_fact(value, kind) and (value is not None or name in required):
            what = "a line of text" if kind is str else "a number from 0"
            raise CganError(f"{path}: expected {name} to be {what}, found {reprlib.repr(value)}")
    return found


def _is_fact(value: Any, kind: Any) -> bool:
    if not isinstance(value, kind) or isinstance(value, bool):
        return False
    return is_printable(value) and len(value) <= 10_000 if isinstance(value, str) else 0 <= value < 2**63


def describe(generator: Generator, spec: DataSpec) -> dict[str, Any]:
    """Return what a file must hold besides weights, as plain values: ``network``, ``plugin``, ``config``, ``spec``."""
    network = type(generator)
    return {
        "network": network.__name__,
        "plugin": plugin_of(network),
        "config": generator.config,
        "spec": spec.to_dict(),
    }


def refuse_unreadable(generator: Generator, spec: DataSpec) -> None:
    """Refuse a generator that ``load_generator`` could not rebuild from its checkpoints.

    Raises:
        CganError: With the reason: its class is not registered, a constructor argument is no plain value, or what is
            built from these arguments has other weights.
    """
    refuse_unregistered(generator)
    try:
        state = generator.state_dict()
        _fill(_built(describe(generator, spec), "meta", len(state)), state)
    except Exception as error:  # the constructor of a user's own class can fail in any way
        raise CganError(
            f"{type(generator).__qualname__} could not be loaded from a checkpoint: built again from its arguments on "
            f"torch.device('meta'), it fails or differs ({' '.join(str(error).split()):.200})"
        ) from error


def save_generator(
    generator: Generator, folder: Path, extra: Mapping[str, Any] | None = None, *, half: bool = False
) -> None:
    """Write ``config.json`` and ``model.safetensors``; ``load_generator`` reads the folder back.

    Args:
        generator: Its ``spec`` must be set.
        folder: Made if needed.
        extra: More plain values for ``config.json``.
        half: Store float32 as float16: half the bytes, read back as float32.

    Raises:
        CganError: The folder cannot be written.
    """
    write_together(folder, to_files(generator, extra, half=half))


def to_files(generator: Generator, extra: Mapping[str, Any] | None = None, *, half: bool = False) -> dict[str, bytes]:
    """Return what :func:`save_generator` writes, by name; ``config.json``, which describes the others, is the last."""
    assert generator.spec is not None, "a generator is saved with its data spec"
    described = {**describe(generator, generator.spec), **(extra or {})}
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in generator.state_dict().items()}
    if half:
        state = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    return {
        "model.safetensors": save(state, metadata={"format": "pt"}),
        "config.json": (json.dumps(described, indent=2) + "\n").encode(),
    }


def _read_folder(folder: Path) -> tuple[Any, dict[str, Tensor]]:
    described = _read_config(folder)
    try:
        stored = load_file(folder / "model.safetensors")
        state = {name: value.float() if value.dtype == torch.float16 else value for name, value in stored.items()}
    except Exception as error:  # an untrusted file can fail in any way
        raise unreadable("generator", folder, error) from error
    return described, state


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        described = read_json(folder / "config.json", MAX_CONFIG)
        if not isinstance(described, dict):
            raise ValueError("config.json holds no object")
    except (OSError, ValueError) as error:
        raise unreadable("generator", folder, error) from error
    return described


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
    claimed = sum(value.numel() * value.element_size() for value in chosen.values())
    if claimed > path.stat().st_size:
        raise CganError(f"{path}: its tensors claim {claimed} bytes, more than the file holds")
    return checkpoint["cgan"], chosen


def _load_checkpoint(path: Path) -> dict[str, Any]:
    checkpoint = read_archive(path)
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("cgan"), dict):
        raise CganError(f"{path}: expected a checkpoint written by cgan's train.py, found another file")
    return checkpoint


def _rebuild(path: Path, described: Any, state: dict[str, Tensor]) -> Generator:
    try:
        _fill(
            _built(described, "meta", len(state)), state
        )  # shapes only: huge layers that a file claims cost no memory
        return _fill(_built(described, "cpu", len(state)), state)
    except CganError as error:
        raise CganError(f"{path}: {error}") from error
    except Exception as error:  # an untrusted file can fail in any way
        raise unreadable("generator", path, error) from error


def _built(described: Any, device: str, weights: int) -> Generator:
    """Build the generator that a file describes, in float32 and without initial values.

    What cannot have as many ``weights`` as the file is refused early: a hundred bytes may claim a million layers.
    """
    described = described if isinstance(described, dict) else {}
    network, config = generator_class(described.get("network"), described.get("plugin")), described.get("config")
    spec = DataSpec.from_dict(described.get("spec"))
    if not isinstance(config, dict) or not all(isinstance(name, str) for name in config):
        raise ValueError(f"its config is {reprlib.repr(config)}")
    if bad := [name for name, value in config.items() if not _is_plain(value)]:
        raise ValueError(f"{bad[0]:.60}={reprlib.repr(config[bad[0]])} is no number, word or short list of such")
    if tuple(config["img_shape"]) != spec.img_shape or math.prod(factors_of(config["num_classes"])) != spec.num_classes:
        raise ValueError("its network and its data spec differ in shape or classes")
    with torch.device(device), _NoInit(weights):
        generator = network(**config).float()
    generator.spec = spec
    return generator


def _fill(generator: Generator, state: Mapping[str, Tensor]) -> Generator:
    """Give a generator its weights; names, shapes and types must be the same."""
    types = {name: tensor.dtype for name, tensor in generator.state_dict().items()}
    if bad := [name for name, tensor in state.items() if tensor.dtype != types.get(name, tensor.dtype)]:
        raise ValueError(f"{bad[0]:.60} is of type {state[bad[0]].dtype}")
    generator.load_state_dict(state, assign=True)
    return generator


class _NoInit(TorchFunctionMode):
    """Skip the initialisation of weights: without memory it has no effect, but imports torch's compiler (a second).

    More than twice as many tensors as the file has ``weights``, and a hundred, are refused.
    """

    def __init__(self, weights: int) -> None:
        super().__init__()
        self.left = 2 * weights + 100

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.empty, torch.randn):  # as every layer of torch begins
            self.left -= 1
        if self.left < 0:
            raise ValueError("its network has more weights than the file")
        if getattr(func, "__module__", "") == "torch.nn.init" or func in (Tensor.normal_, Tensor.uniform_):
            return args[0] if args else kwargs["tensor"]
        return (torch.empty if func is torch.randn else func)(*args, **(kwargs or {}))


def _is_plain(value: Any) -> bool:
    """Whether a constructor's value is a number or word of a sensible size, or a list of at most 64 such."""
    if isinstance(value, list):
        return len(value) <= 64 and all(_is_plain(entry) and not isinstance(entry, list) for entry in value)
    return value is None or isinstance(value, str | float | bool) or (isinstance(value, int) and abs(value) < 2**31)
