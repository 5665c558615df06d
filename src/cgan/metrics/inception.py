"""The Inception network of the published FID values, by torch-fidelity."""

import urllib.error

import torch
from torch import Tensor

from cgan.errors import CganError
from cgan.metrics.features import Extractor

WEIGHTS_FILE = "weights-inception-2015-12-05-6726825d.pth"


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
            folder = f"{torch.hub.get_dir()}/checkpoints"
            raise CganError(
                f"Inception weights: cannot download {WEIGHTS_FILE} ({error}); place it in {folder} by hand, or "
                "train with quality=none"
            ) from error

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, 1 or 3, H, W) uint8 to features (N, 2048) and logits (N, 1008), float32; grey becomes RGB."""
        with torch.autocast(images.device.type, enabled=False):
            features, logits = self.net(images.expand(-1, 3, -1, -1))
        return features.flatten(1), logits
