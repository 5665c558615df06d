"""The README of an exported generator: what it is, how good, under which licence, how to load it."""

import math
from typing import Any, NamedTuple

from cgan.measured import Measured
from cgan.networks import Generator

_CARD = """\
---
license: {licence}
library_name: cgan
tags: [gan, image-generation, {data}]
datasets: [{data}]
---
# {network} for {data}

A class-conditional generator: a latent of {z_dim} numbers from N(0, 1) and a class go in, a picture of
{height} x {width} pixels and {channels} channel(s) in [-1, 1] comes out.

| | |
| --- | --- |
| Classes | {classes} |
| Weights | {weights:,} |
| Training images seen | {seen} |
| Training time | {time} |
| Made by | {command} |
| Licence | {licence} |
| Licence of the training data | {data_licence} |

## Draw

```python
from cgan import draw, load_generator

generator = load_generator("THIS_FOLDER")
images = draw(generator, [0, 1, 1], seed=0)  # (3, {channels}, {height}, {width}) uint8
```

```
python sample.py classes=all n=10 ckpt=THIS_FOLDER
```

`config.json` names the network and its sizes, `model.safetensors` holds the weights; nothing in either is code.

## Measured

{measured}

## Limits

It draws what {data} shows and nothing else. Pictures of one class can look like another; the share that a classifier
reads as the class asked for is `label_agreement`, where measured.
"""


class Licences(NamedTuple):
    """What a user must know.

    Attributes:
        weights: An identifier such as ``mit``.
        data: Of the pictures that the generator learned from, in words.
    """

    weights: str
    data: str


def model_card(generator: Generator, known: Measured, origin: dict[str, Any], licences: Licences) -> str:
    """Write the model card.

    Args:
        generator: With its spec.
        known: What was measured.
        origin: Where known, ``images_seen``, ``seconds`` of training, ``hardware`` and ``command``.
        licences: Of the weights and of the data.
    """
    spec = generator.spec
    assert spec is not None
    channels, height, width = spec.img_shape
    return _CARD.format(
        licence=licences.weights,
        data_licence=licences.data,
        data=spec.name,
        network=type(generator).__name__,
        z_dim=generator.z_dim,
        channels=channels,
        height=height,
        width=width,
        classes=", ".join(spec.class_names),
        weights=sum(weight.numel() for weight in generator.parameters()),
        seen=f"{origin['images_seen']:,}" if "images_seen" in origin else "not recorded",
        time=_duration(origin),
        command=f"`{origin['command']}`" if "command" in origin else "not recorded",
        measured=_table(known),
    )


def _duration(origin: dict[str, Any]) -> str:
    if "seconds" not in origin:
        return "not recorded"
    return f"{origin['seconds'] / 60:.0f} minutes on {origin.get('hardware', 'hardware that was not recorded')}"


def _table(known: Measured) -> str:
    if not known.values:
        return "Nothing was measured before the export; `python evaluate.py ckpt=THIS_FOLDER` does."
    rows = [f"| `{tag}` | {_short(value)} | {_short(known.floor.get(tag))} |" for tag, value in known.values.items()]
    table = ["| Tag | This generator | Real test images |", "| --- | --- | --- |", *rows]
    return f"By {known.source}.\n\n" + "\n".join(table)


def _short(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.4g}"
