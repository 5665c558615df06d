"""Classes of the user's own: registered by him, so that files may name them; imported when he types their module.

A file never causes an import. It names a class, which is looked up in ``cgan.networks.GENERATORS``: classes of this
project, and those registered by a module that the user typed (``plugins=[...]``), set in ``CGAN_PLUGINS`` or imported.
Files name generators alone; a configuration names every other part by ``_target_``.
"""

import importlib
import os
import reprlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from cgan.errors import CganError
from cgan.networks import GENERATORS, Generator

G = TypeVar("G", bound=type[Generator])


def register(cls: G) -> G:
    """Let checkpoints and exports name a generator class; use it as a decorator.

    The class is rebuilt from its constructor's keyword arguments as a file holds them: numbers, words, lists of such.

    Raises:
        CganError: It is no generator, or another class has its name.
    """
    if not (isinstance(cls, type) and issubclass(cls, Generator)):
        raise CganError(f"register: {cls!r} is no cgan.networks.Generator; other parts need only a `_target_` in YAML")
    if _path(known := GENERATORS.setdefault(cls.__name__, cls)) != _path(cls):
        raise CganError(f"register: {_path(cls)} has the name of {_path(known)}; rename it")
    GENERATORS[cls.__name__] = cls  # a notebook's cell that runs again replaces its own class
    return cls


def load_plugins(names: Iterable[Any] | str = ()) -> None:
    """Import the modules that the user named, never a file, and those of ``CGAN_PLUGINS`` (separated by commas).

    They are found where Python finds modules, in the current directory, and beside a folder given as ``--config-dir``.

    Raises:
        CganError: A name is no module, or there is none of that name.
    """
    typed = [names] if isinstance(names, str) else list(names)
    for name in [*typed, *filter(None, os.environ.get("CGAN_PLUGINS", "").split(","))]:
        _import(name)


def typed_plugins(names: Iterable[Any]) -> list[str]:
    """Return the arguments by which another command finds the plugins and configurations of this job, if it has any."""
    listed = ",".join(map(str, names))
    return [*typed_config_dir(), *([f"plugins=[{listed}]"] if listed else [])]


def typed_config_dir() -> list[str]:
    """Return the ``--config-dir`` of this job and its folder, whole; nothing where none was typed."""
    return [word for folder in _config_dirs()[:1] for word in ("--config-dir", str(folder))]


def generator_class(name: object, plugin: object = None) -> type[Generator]:
    """Look up the class that an untrusted file names; its ``plugin``, which registers it, is only named in the error.

    Nothing is imported but the modules of ``CGAN_PLUGINS``.

    Raises:
        CganError: No class of that name is registered.
    """
    if isinstance(name, str) and name not in GENERATORS:
        load_plugins()
    if isinstance(name, str) and name in GENERATORS:
        return GENERATORS[name]
    if isinstance(name, str) and name.isidentifier() and len(name) <= 100 and _is_module(plugin):
        raise CganError(
            f"it needs the class {name} of {plugin}, which is not registered: if you trust that module, add "
            f"plugins=[{plugin}] or set CGAN_PLUGINS={plugin}; in Python import it, with @cgan.register above the class"
        )
    raise CganError(f"expected one of the networks {', '.join(GENERATORS)}, found {reprlib.repr(name)}")


def plugin_of(cls: type) -> str | None:
    """Return the module that registers a class, None for this project's own."""
    return None if cls.__module__.partition(".")[0] == "cgan" else cls.__module__


def refuse_unregistered(generator: object) -> None:
    """Refuse a generator whose class no file can name.

    Raises:
        CganError: With the reason and what to do.
    """
    cls = type(generator)
    if not isinstance(generator, Generator):
        raise CganError(f"{_path(cls)} is no generator: derive it from cgan.networks.Generator")
    problem = f"{_path(cls)} could not be loaded from a checkpoint"
    known = GENERATORS.get(cls.__name__)
    if known is None:
        raise CganError(
            f"{problem}: it is not registered; put @cgan.register above it, in a module of its own that plugins=[...] "
            "names"
        )
    if _path(known) != _path(cls):
        raise CganError(f"{problem}: {_path(known)} is registered under its name; rename it")


def refuse_unnamed(generator: Generator, known: frozenset[str]) -> None:
    """Refuse a generator that was registered by its configuration alone: other commands could not load it.

    Args:
        generator: Just built.
        known: The names that were registered before it was.

    Raises:
        CganError: With the modules that plugins=[...] could name.
    """
    if (cls := type(generator)).__name__ not in known and (module := plugin_of(cls)):
        package = module.partition(".")[0]
        raise CganError(
            f"{_path(cls)} could not be loaded from a checkpoint: plugins=[...] names no module that imports it; add "
            f"plugins=[{module}], or `import {module}` to {package}/__init__.py and plugins=[{package}]"
        )


def _import(name: Any) -> None:
    if not _is_module(name):
        raise CganError(f"plugins: expected modules such as [my_gan.networks], found {reprlib.repr(name)}")
    folders = _folders()
    sys.path += [folder for folder in folders if folder not in sys.path]  # last: no installed package is replaced
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module is there and misses another one
        raise CganError(
            f"plugins=[{name}]: no module {error.name} among the installed ones and in {', '.join(folders)}; go to its "
            "folder, or install it"
        ) from error


def _folders() -> list[str]:
    """The current directory, and the folders that hold those of ``--config-dir``."""
    return [str(Path.cwd()), *(str(folder.absolute().parent) for folder in _config_dirs())]


def _config_dirs() -> list[Path]:
    from hydra.core.hydra_config import HydraConfig

    sources = HydraConfig.get().runtime.config_sources if HydraConfig.initialized() else []
    return [Path(source.path) for source in sources if source.schema == "file" and source.provider != "main"]


def _is_module(name: object) -> bool:
    return isinstance(name, str) and len(name) <= 200 and all(part.isidentifier() for part in name.split("."))


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
