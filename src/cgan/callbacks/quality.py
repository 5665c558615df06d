"""How good the samples are, by the same suite as evaluate.py, beside the same numbers for real test images."""

import time
from collections.abc import Iterable
from typing import Any

import lightning.pytorch as pl
from torch import Tensor

from cgan.data.datamodule import ImageData
from cgan.metrics.extractors import extractor_for
from cgan.metrics.suite import Suite, in_batches, labels_like, look
from cgan.module import ConditionalGAN
from cgan.sampling.draw import draw
from cgan.tracking import log_values, tensorboard


class Quality(pl.Callback):
    """Judge samples of the averaged generator against the training split; the test split gives the floor.

    Values are logged as ``quality/TAG`` and their floors as ``floor/TAG``.

    Args:
        features: The extractor: ``digits`` or ``inception``.
        metrics: Names from :data:`cgan.metrics.suite.METRICS`.
        n: Samples per evaluation; at most as many as the test split has images, so that the floor is for the same n.
        every_n_epochs: Distance of two evaluations; the last epoch is always judged.
        seed: Names the samples.
    """

    def __init__(self, features: str, metrics: list[str], n: int, every_n_epochs: int, seed: int) -> None:
        self.features = features
        self.metrics = metrics
        self.n = n
        self.every_n_epochs = every_n_epochs
        self.seed = seed
        self.history: list[dict[str, float]] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the reference and the test images once."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, ImageData)
        self.extractor = extractor_for(self.features, data.spec).to(pl_module.device)
        reference = look(self.extractor, self._on_device(pl_module, *data.train))
        test = look(self.extractor, self._on_device(pl_module, *data.test))
        self.suite = Suite(reference, self.extractor, self.metrics, min(self.n, len(test.labels)))
        self.floor = self.suite.measure(test.first(self.suite.n))
        self.labels = labels_like(reference.labels, self.suite.n)
        if board := tensorboard(pl_module):
            charts = {tag: [f"quality/{tag}", f"floor/{tag}"] for tag in self.floor}
            board.add_charts("Quality against the training split; floor: real test images", charts)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Judge and log."""
        assert isinstance(pl_module, ConditionalGAN)
        epoch = trainer.current_epoch + 1
        if epoch % self.every_n_epochs and epoch != trainer.max_epochs:
            return
        start = time.perf_counter()
        images = draw(pl_module.ema.generator, self.labels, seed=self.seed)
        values = self.suite.measure(look(self.extractor, self._on_device(pl_module, images, self.labels)))
        seconds = time.perf_counter() - start
        self.history.append(values)
        quality = {f"quality/{tag}": value for tag, value in values.items()}
        log_values(
            pl_module,
            {**quality, **{f"floor/{tag}": value for tag, value in self.floor.items()}, "time/quality_s": seconds},
        )
        if "fid" in self.metrics:  # ModelCheckpoint's name for it; charts get the tag with the protocol only
            pl_module.log("fid", values[self.suite.tag("fid")], logger=False)

    def state_dict(self) -> dict[str, Any]:
        """Return all values so far: the best epoch of a resumed run may lie before the interruption."""
        return {"history": list(self.history)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on behind the values so far."""
        self.history = list(state_dict["history"])

    def _on_device(self, module: pl.LightningModule, images: Tensor, labels: Tensor) -> Iterable[tuple[Tensor, Tensor]]:
        return ((some.to(module.device), wanted) for some, wanted in in_batches(images, labels))
