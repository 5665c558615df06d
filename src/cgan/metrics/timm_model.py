"""Features of any image model of the ``timm`` library, by name."""

import logging
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgan.errors import CganError
from cgan.metrics.features import Extractor
from cgan.metrics.inception import as_rgb

BATCH_SIZE = 50
DINO = "vit_small_patch14_dinov2.lvd142m"
"""The model of ``conf/features/timm.yaml``: DINOv2 (Oquab et al. 2023, arXiv:2304.07193)."""


def timm_at_hand(name: str) -> bool:
    """Return whether the library is installed and the model's weights need no download."""
    try:
        from huggingface_hub import try_to_load_from_cache
        from timm.models import get_pretrained_cfg
    except ModuleNotFoundError:
        return False
    place = getattr(get_pretrained_cfg(name), "hf_hub_id", None)
    return place is not None and isinstance(try_to_load_from_cache(place, "model.safetensors"), str)


class TimmExtractor(Extractor):
    """Pooled features of a pretrained model, whose own input size, mean and deviation are used.

    Args:
        name: Its name in ``timm``, such as ``vit_small_patch14_dinov2.lvd142m``.
        weights: A file with its weights, safetensors or what ``torch.load(weights_only=True)`` reads; None: those in
            the cache of the Hugging Face hub, else downloaded.

    Raises:
        CganError: ``timm`` is not installed, has no such model, or its weights are not there.
    """

    def __init__(self, name: str, weights: str | None = None) -> None:
        super().__init__()
        timm = _library()
        if not timm.is_model(name):
            similar = timm.list_models(f"*{name}*", pretrained=True)[:3] or ["resnet50", "vit_small_patch14_dinov2"]
            raise CganError(f"features.name={name}: timm has no such model; it has {', '.join(similar)}, ...")
        self.net = _from_file(timm, name, weights) if weights else _from_hub(timm, name)
        self.requires_grad_(False).eval()
        config = timm.data.resolve_model_data_config(self.net)
        self.name = name.replace(".", "_")
        self.size = tuple(config["input_size"][1:])
        self.resize = f"antialiased bicubic to {self.size[0]}x{self.size[1]}"
        self.mean, self.std = (nn.Buffer(torch.tensor(config[key]).view(1, 3, 1, 1)) for key in ("mean", "std"))

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, C, H, W) uint8 to features (N, D), float32, and logits (N, 0)."""
        with torch.autocast(images.device.type, enabled=False):
            features = torch.cat([self.net(self._input(some)) for some in as_rgb(images).split(BATCH_SIZE)])
        return features, features[:, :0]

    def _input(self, images: Tensor) -> Tensor:
        scaled = F.interpolate(images.float() / 255, self.size, mode="bicubic", antialias=True).clamp_(0, 1)
        return (scaled - self.mean) / self.std


def _library() -> Any:
    try:
        import timm.data
    except ModuleNotFoundError as error:
        raise CganError("features=timm needs timm: pip install 'cgan[features]'") from error
    return timm


def _from_file(timm: Any, name: str, weights: str) -> nn.Module:
    net = timm.create_model(name, num_classes=0)
    try:
        stored = timm.models.load_state_dict(weights, weights_only=True)
        missing = net.load_state_dict(stored, strict=False).missing_keys  # a head is left over
        if missing:
            raise KeyError(missing[0])
    except Exception as error:  # the file's own, safetensors' or the unpickler's
        reason = " ".join(f"{type(error).__name__} {error}".split())
        raise CganError(f"features.weights={weights}: expected the weights of {name} ({reason:.120})") from error
    return net


def _from_hub(timm: Any, name: str) -> nn.Module:
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # a line for each of ten tries
    try:
        return timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # network, hub, safetensors and torch each have their own
        place = timm.get_pretrained_cfg(name).hf_hub_id
        if place is None:
            raise CganError(
                f"features.name={name}: timm has no weights of it; choose one of timm.list_pretrained()"
            ) from error
        raise CganError(
            f"features=timm: model.safetensors of {place} is not in {_hub_cache()} and cannot be downloaded "
            f"({type(error).__name__}); name a copy of it by features.weights=FILE, or leave features= out, which "
            "needs no download"
        ) from error


def _hub_cache() -> str:
    from huggingface_hub.constants import HF_HUB_CACHE

    return HF_HUB_CACHE
