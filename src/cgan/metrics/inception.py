"""The Inception network of the published FID values, by torch-fidelity."""

import urllib.error
from pathlib import Path

import torch
from torch import Tensor

from cgan.errors import CganError
from cgan.metrics.features import Extractor

WEIGHTS_FILE = "weights-inception-2015-12-05-6726825d.pth"


def inception_file() -> Path:
    """Return where the weights lie or are downloaded to."""
    return Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS_FILE


class InceptionExtractor(Extractor):
    """Pool features (2048) and unbiased logits (1008) of the 2015 TensorFlow graph, with its legacy bilinear resize.

    Raises:
        CganError: The weights are not there and cannot be downloaded.
    """

    name = "inception_tf1"
    classes = "imagenet"
    resize = "tensorflow 1 bilinear to 299x299"

    def __init__(self) -> None:
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        try:
            self.net = FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"])
        except (urllib.error.URLError, OSError) as error:
            raise CganError(
                f"features=inception: cannot download {WEIGHTS_FILE} ({error}); place it in {inception_file().parent} "
                "by hand, or leave features= out, which needs no download"
            ) from error

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, C, H, W) uint8 to features (N, 2048) and logits (N, 1008), float32; read as :func:`as_rgb`."""
        with torch.autocast(images.device.type, enabled=False):
            features, logits = self.net(as_rgb(images))
        return features.flatten(1), logits


def as_rgb(images: Tensor) -> Tensor:
    """Return (N, 3, H, W): grey is repeated; a second or fourth channel, transparency, is left out."""
    return images[:, :3] if images.shape[1] >= 3 else images[:, :1].expand(-1, 3, -1, -1)
