"""The README of an exported generator: what it is, how good, under which licence, how to load it."""

import json
from typing import Any, NamedTuple

import yaml

from cgan.config import model_name
from cgan.networks import Generator
from cgan.plugins import plugin_of
from cgan.records.evaluation import Entry, FoundEvaluation
from cgan.records.summary import Summary
from cgan.reporting.table import markdown_table, number
from cgan.spec import DataSpec

_CARD = """\
---
{front}---
# {title}

{kind} generator: a latent of {z_dim} numbers from N(0, 1){inputs} in, an image of
{height} x {width} pixels and {channels} channel(s) in [-1, 1] comes out.

{facts}

## Draw

THIS_FOLDER is this folder, or on the Hugging Face hub `hf://USER/NAME`.

```python
{imported}from cgan import draw, load_generator

generator = load_generator("THIS_FOLDER")
images = draw(generator, {classes}, seed=0)  # ({count}, {channels}, {height}, {width}) uint8
```

```sh
cgan sample{plugins} classes=all n=10 ckpt=THIS_FOLDER
cgan export{plugins} ckpt=THIS_FOLDER format=onnx out=generator.onnx
cgan export{plugins} ckpt=THIS_FOLDER format=web out=site   # a page that draws: python -m http.server -d site
```

With onnxruntime and NumPy alone, the same pictures of class 0:

```python
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("generator.onnx")
seed, label, count = 0, 0, 5
stream = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, label))))
z = stream.standard_normal((count, {z_dim}), dtype=np.float32)
(images,) = session.run(["images"], {{"z": z, "labels": np.full(count, label)}})
images = np.round(images * 127.5 + 127.5).clip(0, 255).astype(np.uint8)
```

`config.json` names the network and its sizes, `model.safetensors` holds the weights; neither contains code.

## Evaluation

{evaluation}

## Limits

It draws what {data} shows and nothing else. An image can look like another class than the requested one; the label
agreement, where measured, is the share that a classifier reads as requested.
"""


class Licences(NamedTuple):
    """Licences of the weights (an identifier such as ``mit``) and of the training images (text)."""

    weights: str
    data: str


def model_card(generator: Generator, origin: Entry, found: FoundEvaluation | None, licences: Licences) -> str:
    """Write the model card of a generator that has its spec; ``origin`` is what is known of its making."""
    spec = generator.spec
    assert spec is not None
    channels, height, width = spec.img_shape
    title = Summary(model_name(type(generator).__name__, generator.config), spec.name).title
    front: dict[str, Any] = {
        "license": licences.weights,
        "library_name": "cgan",
        "tags": ["gan", "image-generation", spec.name],
        "datasets": [spec.name],
    }
    if found and found.entry.values:
        front["model-index"] = [_model_index(title, found)]
    shown, plugin = list(spec.class_names[:3]), plugin_of(type(generator))
    return _CARD.format(
        front=yaml.safe_dump(front, sort_keys=False, allow_unicode=True),
        imported=f"import {plugin}  # the module of the network's class\n" if plugin else "",
        plugins=f" plugins=[{plugin}]" if plugin else "",
        data=spec.name,
        title=title,
        kind="A class-conditional" if spec.num_classes > 1 else "An unconditional",
        inputs=_inputs(spec),
        z_dim=generator.z_dim,
        channels=channels,
        height=height,
        width=width,
        classes=json.dumps(shown, ensure_ascii=False),
        count=len(shown),
        facts=_facts(origin, spec.classes, licences),
        evaluation=_evaluation(found),
    )


def _inputs(spec: DataSpec) -> str:
    if spec.num_classes == 1:
        return " goes"
    return " and a class, here a group of alike images found without labels, go" if spec.grouped else " and a class go"


def _model_index(name: str, found: FoundEvaluation) -> dict[str, Any]:
    """Return the evaluation as the Hugging Face hub reads it."""
    protocol, describe = found.record.protocol, found.record.describe
    how = {"samples": protocol.n, "seed": protocol.seed, "features": protocol.features}
    metrics = [
        {"type": key, "name": describe(key).title, "value": value, "args": dict(how)}
        for key, value in found.entry.values.items()
    ]
    kind = "class-conditional" if len(found.record.class_names) > 1 else "unconditional"
    result = {
        "task": {"type": "unconditional-image-generation", "name": f"{kind} image generation"},
        "dataset": {"name": protocol.data, "type": protocol.data, "split": protocol.reference},
        "metrics": metrics,
    }
    return {"name": name, "results": [result]}


def _facts(origin: Entry, classes: str, licences: Licences) -> str:
    time = None
    if origin.seconds is not None:
        time = f"{origin.seconds / 60:.0f} minutes on {origin.hardware or 'hardware that was not recorded'}"
    rows = {
        "Classes": classes,
        "Weights": f"{origin.parameters:,}",
        "Training images seen": None if origin.images_seen is None else f"{origin.images_seen:,}",
        "Training time": time,
        "Made by": f"`{origin.command}`" if origin.command else None,
        "Licence": licences.weights,
        "Licence of the training data": licences.data,
    }
    return markdown_table([["", ""], *([name, value or "not recorded"] for name, value in rows.items())])


def _evaluation(found: FoundEvaluation | None) -> str:
    if found is None or not found.entry.values:
        return "Not evaluated before the export; `cgan evaluate ckpt=THIS_FOLDER` does it."
    protocol, real = found.record.protocol, found.record.real.values
    rows = [["", "This generator", "Real images", "", "Meaning"]]
    for name, value in found.entry.values.items():
        about = found.record.describe(name)
        rows.append([about.title, number(value), number(real.get(name)), about.advice, about.sentence])
    how = (
        f"{protocol.n:,} samples (seed {protocol.seed}) in {protocol.features} features, compared with the "
        f"{protocol.reference} split of {protocol.data}; real images are those of the other split."
    )
    return f"{how}\n\n{markdown_table(rows)}"
