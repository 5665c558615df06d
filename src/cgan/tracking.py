"""Where a run's numbers go: every logger, by images seen."""

import json
import os
from argparse import Namespace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from cgan.files import read_lines


def log_values(module: pl.LightningModule, values: dict[str, float]) -> None:
    """Send values to every logger; the x-axis of all curves is the number of real images seen."""
    for logger in module.loggers:
        logger.log_metrics(values, step=module.images_seen)  # type: ignore[arg-type]


class TensorBoard(TensorBoardLogger):
    """TensorBoard, with a page of custom charts to which each callback adds its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._charts: dict[str, dict[str, list[Any]]] = {}

    def add_charts(self, category: str, charts: dict[str, list[str]]) -> None:
        """Add charts by title, each with the tags of its lines; TensorBoard keeps the last page written, so all go."""
        self._charts[category] = {title: ["Multiline", [f"^{tag}$" for tag in tags]] for title, tags in charts.items()}
        self.experiment.add_custom_scalars(self._charts)


def tensorboard(module: pl.LightningModule) -> TensorBoard | None:
    """Return the run's TensorBoard logger, or None where it has none."""
    return next((logger for logger in module.loggers if isinstance(logger, TensorBoard)), None)


class JsonLines(Logger):
    """Write every value to ``metrics.jsonl``: one line per call, ``{"images_seen": ..., tag: value, ...}``.

    A resumed run goes on in the same file; lines from beyond the point of resumption are dropped first.

    Args:
        path: The file.
        resumed_at: Images seen at the point of resumption; 0 starts anew.
    """

    def __init__(self, path: Path, resumed_at: int = 0) -> None:
        super().__init__()
        self.path = path
        kept = [row for row in read_lines(path) if row["images_seen"] <= resumed_at] if resumed_at else []
        self._write(kept)

    @property
    def name(self) -> str:
        """The kind of log."""
        return "jsonl"

    @property
    def version(self) -> str:
        """One file per run: no versions."""
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append one line."""
        with self.path.open("a") as file:
            file.write(json.dumps({"images_seen": step, **metrics}) + "\n")

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the configuration lies beside this file."""

    @rank_zero_only
    def _write(self, rows: list[dict[str, Any]]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_text("".join(json.dumps(row) + "\n" for row in rows))
        os.replace(part, self.path)
