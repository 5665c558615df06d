"""The commands that Hydra does not configure."""

import importlib
import inspect
import logging
import os
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cgan.commands import command
from cgan.errors import CganError

MAX_CONNECTIONS = 500
"""At a time, of `cgan serve`: usual systems let a process open 1,024 files. Those beyond get status 503."""


def app(arguments: list[str]) -> None:
    """Open the web page: draw, compare and train in a browser.

    It listens on http://127.0.0.1:8501. Options are those of `streamlit run`. Examples:
      cgan app
      cgan app --server.port 9000
      cgan app --server.headless true          (open no browser)
      cgan app --share                         (for others in the same network; training is locked)
    """
    if not _printed_help(app, arguments):
        from importlib.resources import files

        arguments = _shared(arguments) if "--share" in arguments else arguments
        streamlit = _installed("streamlit.web.cli", "app")
        page = str(files("cgan.serving.ui") / "app.py")
        streamlit.main(["run", page, *arguments], prog_name="cgan app")


def _shared(arguments: list[str]) -> list[str]:
    """Print the address for others, lock training and return options for Streamlit to listen on the network."""
    from cgan.serving import share

    parser = ArgumentParser(command("app"), add_help=False, allow_abbrev=False)
    parser.add_argument("--share", action="store_true")
    parser.add_argument("--server.port", dest="port", type=int, default=8501)
    options, others = parser.parse_known_args(arguments)
    print(share.invitation(f"http://{share.own_address()}:{options.port}"), flush=True)
    os.environ[share.LOCK] = "1"
    listen = ["--server.address=0.0.0.0", f"--server.port={options.port}", "--server.headless=true"]
    return [*listen, *others]


def serve(arguments: list[str]) -> None:
    """Serve the HTTP API: draw pictures by requests from other programs.

    It listens on http://127.0.0.1:8000; /docs explains it. Options are those of `uvicorn`. Examples:
      cgan serve
      cgan serve --port 9000
      cgan serve --host 0.0.0.0                (for other machines, too)
    """
    if not _printed_help(serve, arguments):
        server = _installed("uvicorn", "api").main
        from click import IntRange  # uvicorn's own parser

        next(option for option in server.params if option.name == "port").type = IntRange(0, 65535)
        bounded = ["--limit-concurrency", str(MAX_CONNECTIONS)]  # what is typed later counts instead
        server(["cgan.serving.api:app", *bounded, *arguments], prog_name="cgan serve")


def search(arguments: list[str]) -> None:
    """Search hyperparameters: many trainings, the unpromising ones stopped early, ranked in a table.

    KEY=VALUE is that of `cgan train`; a range or a choice, in Hydra's own syntax for sweeps, is
    searched. Examples:
      cgan search first 30 data=mnist5k trainer.max_epochs=10 'loss=choice(bce,hinge)'
      cgan search rates 30 'optimizer.lr=tag(log, interval(1e-4, 1e-2))' 'gan.d_steps=range(1,4)'
      cgan search both 60 model=light 'loss=choice(bce,hinge)' 'penalty=choice(none,r1)' --workers 2

    Every trial is a process of its own, so one that fails or is killed stops no other. Unpromising
    trials are pruned by their Fréchet distance. The study lies in `logs/studies/NAME/study.db`: the
    same command goes on where it stopped, and given in several terminals, or on several machines
    with one file system, it works in parallel.
    """
    from cgan.cli.overrides import plain_words  # imports Hydra, which takes a moment

    parser = _parser(search, usage="%(prog)s [-h] [--workers N] [--config-dir DIR] NAME TRIALS [KEY=VALUE ...]")
    parser.add_argument("name", metavar="NAME", help="the study; a known name goes on")
    parser.add_argument("trials", metavar="TRIALS", type=int, help="how many trials it has in the end")
    parser.add_argument("--workers", metavar="N", type=int, default=1, help="trials at a time (default: 1)")
    parser.add_argument("--config-dir", metavar="DIR", type=Path, help="as in `cgan train`: your own YAMLs")
    options, overrides = parser.parse_known_args(arguments)
    task = _installed("cgan.tasks.search", "sweep")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    task.run(options.name, options.trials, plain_words(overrides), options.workers, options.config_dir)


def runs(arguments: list[str]) -> None:
    """List the trainings in a folder: data, network, state, images and Fréchet distance.

    Runs that compare, by data and features, stand together, the best first. The asterisk marks the run
    that draws where none is named. Examples:
      cgan runs
      cgan runs logs/train/multiruns
      cgan runs /shared/experiments
    """
    from cgan.tasks.runs import run

    parser = _parser(runs)
    parser.add_argument("folder", type=Path, metavar="DIR", nargs="?", default=Path("logs"), help="default: logs")
    print(run(parser.parse_args(arguments).folder))


def new(arguments: list[str]) -> None:
    """Start a project of your own: networks, loss, data set, features and metric to change, with YAMLs.

    It prints how to train it and to draw from it. Examples:
      cgan new my_project
      cgan new ~/gans/faces
      cgan new .                               (in an empty folder)
    """
    from cgan.tasks.new import run

    parser = _parser(new)
    parser.add_argument("folder", type=Path, metavar="DIR", help="a new or empty folder")
    run(parser.parse_args(arguments).folder)


def push(arguments: list[str]) -> None:
    """Send an exported generator to the Hugging Face hub, where others load it by its address.

    Examples:
      cgan push my_generator USER/my_generator
      cgan push my_generator USER/my_generator --private
      cgan sample ckpt=hf://USER/my_generator  (what others type then)
    """
    parser = _parser(push)
    parser.add_argument("folder", type=Path, metavar="DIR", help="what `cgan export` wrote")
    parser.add_argument("repository", metavar="USER/NAME", help="where; made if it is new")
    parser.add_argument("--private", action="store_true", help="hide a new repository from others")
    options = parser.parse_args(arguments)
    from cgan.tasks.push import run

    print(run(options.folder, options.repository, private=options.private))


def data(arguments: list[str]) -> None:
    """See what a folder or zip of pictures holds, before training: counts, image grids, copies.

    It prints how to train on them. Examples:
      cgan data my_pictures
      cgan data photos.zip data.size=32 data.fit=pad
      cgan data cifar10 --out cifar10_grids
    """
    from hydra.errors import ConfigCompositionException, OverrideParseException

    from cgan.cli.overrides import explained, plain_words
    from cgan.config import CONF
    from cgan.tasks.data import run  # imports torch, which takes a second

    parser = _parser(data)
    parser.add_argument("path", help="a folder, a .zip, or a data set by name, such as cifar10")
    parser.add_argument("options", nargs="*", metavar="data.KEY=VALUE", help="as in training, such as data.size=32")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the image grids go (default: logs/data/NAME)")
    typed = parser.parse_intermixed_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    named = not Path(typed.path).expanduser().exists() and (CONF / "data" / f"{typed.path}.yaml").exists()
    chosen = [f"data={typed.path}"] if named else ["data=folder", f"data.root={typed.path}"]
    overrides = plain_words([*chosen, *typed.options])
    try:
        run([*chosen, *typed.options], overrides, typed.out)
    except (ConfigCompositionException, OverrideParseException) as error:
        raise explained(error, "train", Namespace(overrides=overrides, config_dir=None, config_name=None)) from error


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "data": data,
    "app": app,
    "serve": serve,
    "search": search,
    "runs": runs,
    "new": new,
    "push": push,
}


def _parser(run: Callable[[list[str]], None], usage: str | None = None) -> ArgumentParser:
    """Return a parser of a command's arguments, whose help is the command's docstring."""
    text, form = inspect.getdoc(run), RawDescriptionHelpFormatter
    return ArgumentParser(command(run.__name__), usage=usage, description=text, formatter_class=form)


def _printed_help(run: Callable[[list[str]], None], arguments: list[str]) -> bool:
    requested = bool({"--help", "-h"} & set(arguments))
    if requested:
        print(inspect.getdoc(run))
    return requested


def _installed(module: str, extra: str) -> Any:
    """Import a module that an extra of the package brings."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise CganError(f"this command needs {error.name}: pip install 'cgan[{extra}]'") from error
