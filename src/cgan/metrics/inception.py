"""The Inception network of the published FID values, by torch-fidelity."""

import pickle
import urllib.error
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from cgan.errors import CganError, check_choice
from cgan.metrics.features import Extractor

WEIGHTS_FILE = "weights-inception-2015-12-05-6726825d.pth"


def inception_file() -> Path:
    """Return where the weights lie or are downloaded to."""
    return Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS_FILE


RESIZES = {
    "tf1": "tensorflow 1 bilinear to 299x299",
    "clean": "bicubic with antialiasing to 299x299, as Pillow and clean-fid, in 256 shades",
}


class InceptionExtractor(Extractor):
    """Pool features (2048) and unbiased logits (1008) of the 2015 TensorFlow graph.

    Args:
        resize: ``tf1``, the graph's own bilinear resize, which most published values have, or ``clean`` (Parmar et al.
            2022, arXiv:2104.11222); it stands in the name, and so in every tag.

    Raises:
        CganError: There is no such resize, or the weights are not there and cannot be downloaded.
    """

    classes = "imagenet"

    def __init__(self, resize: str = "tf1") -> None:
        super().__init__()
        check_choice("features.resize", resize, RESIZES)
        self.name, self.resize, self.clean = f"inception_{resize}", RESIZES[resize], resize == "clean"
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        try:
            self.net = FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"])
        except (pickle.UnpicklingError, EOFError, RuntimeError, KeyError, AttributeError) as error:
            reason = " ".join(f"{type(error).__name__} {error}".split())
            raise CganError(f"{inception_file()}: not the Inception network ({reason:.120}); remove it") from error
        except (urllib.error.URLError, OSError) as error:
            raise CganError(
                f"features=inception: cannot download {WEIGHTS_FILE} ({error}); place it in {inception_file().parent} "
                "by hand, or leave features= out, which needs no download"
            ) from error

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, C, H, W) uint8 to features (N, 2048) and logits (N, 1008), float32; read as :func:`as_rgb`."""
        with torch.autocast(images.device.type, enabled=False):
            rgb = as_rgb(images)
            features, logits = self.net(clean_resize(rgb) if self.clean else rgb)
        return features.flatten(1), logits


def as_rgb(images: Tensor) -> Tensor:
    """Return (N, 3, H, W): grey is repeated; a second or fourth channel, transparency, is left out."""
    return images[:, :3] if images.shape[1] >= 3 else images[:, :1].expand(-1, 3, -1, -1)


def clean_resize(images: Tensor) -> Tensor:
    """Resize (N, C, H, W) uint8 to 299x299, which the network then takes as they are."""
    resized = F.interpolate(images.float(), size=(299, 299), mode="bicubic", antialias=True)
    return resized.round_().clamp_(0, 255).byte()
