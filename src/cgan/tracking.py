"""Where a run's numbers go: every logger gets the same values, images and texts by the same names, by images seen."""

import csv
import io
import json
import re
import threading
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image

from cgan.errors import CganError
from cgan.files import FULL_DISK, read_lines, write_file


class Tracker:
    """A logger that takes more than numbers; by default it leaves the rest out, as any other logger of Lightning."""

    def resume(self, images_seen: int, run_id: str | None) -> None:
        """Go on after the checkpoint at ``images_seen``, in the run that has this id at a service elsewhere."""

    def track_image(self, name: str, image: Image.Image, step: int) -> None:
        """Show an image of this moment of the run."""

    def track_text(self, name: str, text: str, step: int) -> None:
        """Show a text in Markdown."""

    def track_charts(self, category: str, charts: Mapping[str, list[str]]) -> None:
        """Lay out charts by title, each with the tags of its lines."""

    def track_result(self, choices: Mapping[str, Any], values: Mapping[str, float]) -> None:
        """Compare the finished run with others: what was chosen, and its best values by name."""


def run_ids(loggers: Iterable[Logger]) -> dict[str, str]:
    """Return the ids that services elsewhere gave this run, by the class of the logger."""
    ids = {type(logger).__name__: getattr(logger, "run_id", None) for logger in loggers}
    return {name: run_id for name, run_id in ids.items() if isinstance(run_id, str)}


def resume(loggers: Iterable[Logger], images_seen: int, ids: Mapping[str, str]) -> None:
    """Let loggers continue where a run is resumed, with the ids of :func:`run_ids`."""
    for tracker in _trackers(loggers):
        tracker.resume(images_seen, ids.get(type(tracker).__name__))


def log_values(module: pl.LightningModule, values: Mapping[str, float]) -> None:
    """Send values to every logger; the x-axis of all curves is the number of real images seen."""
    for logger in module.loggers:
        logger.log_metrics(dict(values), step=module.images_seen)  # type: ignore[arg-type]


def log_image(module: pl.LightningModule, name: str, image: Image.Image) -> None:
    """Send an image to every logger that shows images."""
    for tracker in _trackers(module.loggers):
        tracker.track_image(name, image, module.images_seen)  # type: ignore[arg-type]


def log_text(module: pl.LightningModule, name: str, text: str) -> None:
    """Send a text in Markdown to every logger that shows texts."""
    for tracker in _trackers(module.loggers):
        tracker.track_text(name, text, module.images_seen)  # type: ignore[arg-type]


def log_charts(module: pl.LightningModule, category: str, charts: Mapping[str, list[str]]) -> None:
    """Lay out charts where a logger can: TensorBoard's custom scalars."""
    for tracker in _trackers(module.loggers):
        tracker.track_charts(category, charts)


def log_result(module: pl.LightningModule, choices: Mapping[str, Any], values: Mapping[str, float]) -> None:
    """Send the choices of a finished run and its best values to every logger that compares runs."""
    for tracker in _trackers(module.loggers):
        tracker.track_result(choices, values)


@contextmanager
def written_into(folder: str | Path) -> Iterator[None]:
    """Let a full disk end in one error that names ``folder``: TensorBoard's names no file, and is raised twice.

    After an error, those of TensorBoard's threads stay unprinted: each of its writers has one, which fails later.

    Raises:
        CganError: The disk is full.
    """
    former = threading.excepthook
    threading.excepthook = partial(_from_a_thread, former)
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in FULL_DISK:
            raise CganError(
                f"cannot write into {folder}: {error.strerror}; free space or choose another place"
            ) from error
        raise
    threading.excepthook = former


def _from_a_thread(former: Callable[[threading.ExceptHookArgs], object], arguments: threading.ExceptHookArgs) -> None:
    """Print an error of a thread, but for TensorBoard's, which the next call of its writer raises again."""
    if not type(arguments.thread).__module__.startswith("tensorboard."):
        former(arguments)


def _trackers(loggers: Iterable[object]) -> list[Tracker]:
    return [logger for logger in loggers if isinstance(logger, Tracker)]


def _results(values: Mapping[str, float]) -> dict[str, float]:
    """Name best values so that TensorBoard, which sorts by name, shows their single points after the curves."""
    return {f"result/{name}": value for name, value in values.items()}


SIDES = {"real": r"^real/|_real$", "discriminator": r"[/_]d$", "generator": r"[/_]g$"}
"""Whose a value is, by its tag: a line of its own colour in TensorBoard, which has one for each folder."""


class TensorBoard(Tracker, TensorBoardLogger):
    """TensorBoard, with a page of custom charts to which each callback adds its own.

    Real images, discriminator and generator have a folder each within the run's, and so a colour each.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._charts: dict[str, dict[str, list[Any]]] = {}
        self._sides: dict[str, Any] = {}

    def resume(self, images_seen: int, run_id: str | None) -> None:
        """Hide what an interrupted run logged after the checkpoint that it resumes from."""
        self._kwargs["purge_step"] = images_seen + 1

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add values; Lightning's own method takes a full disk for a value that it cannot log."""
        for name, value in metrics.items():
            self._writer(name).add_scalar(name, value, step)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write what is left, and close the files."""
        for writer in self._sides.values():
            writer.close()
        super().finalize(status)

    def _writer(self, tag: str) -> Any:
        """Return the SummaryWriter of the side that a tag belongs to, or that of the run."""
        side = next((side for side, pattern in SIDES.items() if re.search(pattern, tag)), None)
        if side is None:
            return self.experiment
        if side not in self._sides:
            self._sides[side] = type(self.experiment)(Path(self.log_dir) / side, **self._kwargs)
        return self._sides[side]

    def track_charts(self, category: str, charts: Mapping[str, list[str]]) -> None:
        """Add to the custom scalars: TensorBoard keeps the last page written, so all charts go."""
        self._charts[category] = {title: ["Multiline", [f"^{tag}$" for tag in tags]] for title, tags in charts.items()}
        self.experiment.add_custom_scalars(self._charts)

    @rank_zero_only
    def track_image(self, name: str, image: Image.Image, step: int) -> None:
        self.experiment.add_image(name, np.asarray(image.convert("RGB")), step, dataformats="HWC")

    @rank_zero_only
    def track_text(self, name: str, text: str, step: int) -> None:
        self.experiment.add_text(name, text, step)

    @rank_zero_only
    def track_result(self, choices: Mapping[str, Any], values: Mapping[str, float]) -> None:
        """Add a line to the *HParams* tab."""
        self.log_hyperparams(dict(choices), _results(values))


class Wandb(Tracker, WandbLogger):
    """Weights & Biases; every chart runs over ``images_seen``."""

    _has_axis = False

    @property
    def run_id(self) -> str:
        return self.experiment.id

    def resume(self, images_seen: int, run_id: str | None) -> None:
        """Add to the same run; an offline one becomes a second folder that `wandb sync` joins to the first."""
        self._wandb_init["id"] = self._id = run_id

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add values; W&B's own step only counts the calls."""
        self._send({**metrics}, step)

    @rank_zero_only
    def track_image(self, name: str, image: Image.Image, step: int) -> None:
        import wandb

        self._send({name: wandb.Image(image)}, step)

    @rank_zero_only
    def track_text(self, name: str, text: str, step: int) -> None:
        import wandb

        self._send({name: wandb.Html(f"<pre>{text}</pre>")}, step)

    @rank_zero_only
    def track_result(self, choices: Mapping[str, Any], values: Mapping[str, float]) -> None:
        self.log_hyperparams(dict(choices))
        self.experiment.summary.update(_results(values))

    def _send(self, values: dict[str, Any], step: int | None) -> None:
        if not self._has_axis:
            self.experiment.define_metric("*", step_metric="images_seen")
            self._has_axis = True
        self.experiment.log({**values, "images_seen": step})


class MLFlow(Tracker, MLFlowLogger):
    """MLflow, in a local SQLite store unless another ``tracking_uri`` is configured."""

    def resume(self, images_seen: int, run_id: str | None) -> None:
        self._run_id = run_id

    @rank_zero_only
    def track_image(self, name: str, image: Image.Image, step: int) -> None:
        self.experiment.log_image(self.run_id, np.asarray(image), key=name, step=step)

    @rank_zero_only
    def track_text(self, name: str, text: str, step: int) -> None:
        self.experiment.log_text(self.run_id, text, f"{name}.md")

    @rank_zero_only
    def track_result(self, choices: Mapping[str, Any], values: Mapping[str, float]) -> None:
        """Fill the run's parameters, and its best values as metrics; MLflow lets no parameter change."""
        known = self.experiment.get_run(self.run_id).data.params
        self.log_hyperparams({name: choice for name, choice in choices.items() if name not in known})
        self.log_metrics(_results(values))


class _FileLogger(Tracker, Logger):
    """A file per run: no name, no versions, and the configuration lies beside it."""

    @property
    def name(self) -> str:
        return type(self).__name__

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        pass


class JsonLines(_FileLogger):
    """Write every value to ``metrics.jsonl``: one line per call, ``{"images_seen": ..., tag: value, ...}``.

    A resumed run continues in the same file; lines from beyond ``resumed_at`` images are dropped first.
    """

    def __init__(self, path: Path, resumed_at: int = 0) -> None:
        super().__init__()
        self.path = path
        kept = [row for row in read_lines(path, None) if row["images_seen"] <= resumed_at] if resumed_at else []
        self._write(kept)

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps({"images_seen": step, **metrics}) + "\n")

    @rank_zero_only
    def _write(self, rows: list[dict[str, Any]]) -> None:
        write_file(self.path, "".join(json.dumps(row) + "\n" for row in rows).encode())


class CSV(_FileLogger):
    """Write ``metrics.csv`` when the run ends: a row per number of images seen, a column per tag.

    It is made from ``metrics.jsonl``, which is all that a killed run leaves; Lightning's own CSV logger starts anew.
    """

    def __init__(self, save_dir: str) -> None:
        super().__init__()
        self.folder = Path(save_dir)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Nothing yet: ``metrics.jsonl`` holds the values."""

    @rank_zero_only
    def track_text(self, name: str, text: str, step: int) -> None:
        write_file(self.folder / f"{name}.md", text.encode())

    def track_result(self, choices: Mapping[str, Any], values: Mapping[str, float]) -> None:
        """Write ``result.csv``: one row with the choices and the best values."""
        row = {**choices, **_results(values)}
        write_file(self.folder / "result.csv", _csv([row]))

    @rank_zero_only
    def save(self) -> None:
        rows: dict[int, dict[str, Any]] = {}
        for row in read_lines(self.folder / "metrics.jsonl"):
            rows.setdefault(row["images_seen"], {}).update(row)
        if rows:
            write_file(self.folder / "metrics.csv", _csv(list(rows.values())))

    def finalize(self, status: str) -> None:
        self.save()


def _csv(rows: list[dict[str, Any]]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(tag for row in rows for tag in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()
