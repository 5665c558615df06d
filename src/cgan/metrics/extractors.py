"""The extractors by name."""

from cgan.errors import CganError
from cgan.metrics.base import Extractor
from cgan.metrics.digits import DigitFeatures
from cgan.metrics.inception import InceptionFeatures
from cgan.spec import DataSpec


def extractor_for(name: str, spec: DataSpec) -> Extractor:
    """Build the extractor called ``name`` for images of ``spec``.

    Raises:
        CganError: There is none of the name, or it cannot see such images.
    """
    if name == "inception":
        return InceptionFeatures()
    if name != "digits":
        raise CganError(f"quality.features={name}: expected digits or inception")
    if spec.img_shape != (1, 28, 28) or spec.class_names != tuple("0123456789"):
        raise CganError(
            f"quality.features=digits reads 28x28 grey digits 0-9, {spec.name} has {spec.num_classes} classes of "
            f"{spec.img_shape}: use quality.features=inception or quality=none"
        )
    return DigitFeatures()
