"""Pictures of every backbone and loss, from the real ones: ``python tools/diagrams.py [docs/images/networks]``.

A network draws one picture of 28x28 pixels and its modules say what leaves them; a loss is asked for its values.
"""

import math
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

import torch
from hydra.utils import instantiate
from matplotlib.figure import Figure
from torch import Tensor, nn

from cgan.config import compose
from cgan.files import write_file
from cgan.networks import r3, style
from cgan.networks.base import CentreCrop, Discriminator, Generator
from cgan.networks.conditioning import LabelPlane, LabelVector, LogitHead, ProjectionHead
from cgan.networks.dropout import Dropout
from cgan.reporting.plots import figure_png

MODELS = ("mlp", "dcgan", "light", "r3", "style")
DISCRIMINATORS = ("mlp", "dcgan", "light", "r3")
LOSSES = ("bce", "lsgan", "hinge", "wgan", "relativistic")
SHAPE = (1, 28, 28)
UNITS = (style._StyledLayer, style._ToImage, r3.ResidualBlock, r3.LearnedGrid, LabelPlane, LabelVector, LogitHead)
"""Modules that are one step of a picture, whatever they consist of."""
UNSEEN = (nn.Embedding, nn.Flatten, Dropout, CentreCrop)
WIDTH, TEXT_X, LINE = 320, 118, 17


class Stage(NamedTuple):
    """A map of the network: the steps that make it, and its shape without the batch."""

    steps: list[str]
    shape: tuple[int, ...]


def stages(network: nn.Module, *inputs: Tensor) -> list[Stage]:
    """Run a network and return a stage for every shape that its modules put out, in their order."""
    seen: list[Stage] = []

    def note(module: nn.Module, _: object, output: Tensor) -> None:
        shape = tuple(output.shape[1:])
        if isinstance(module, nn.Unflatten):
            seen[-1] = Stage(seen[-1].steps, shape)
        elif isinstance(module, style._ToImage) or (seen and seen[-1].shape == shape):
            seen[-1].steps.append(words(module))
        else:
            seen.append(Stage([words(module)], shape))

    hooks = [module.register_forward_hook(note) for module in steps(network)]
    with torch.no_grad():
        shape = tuple(network.eval()(*inputs).shape[1:])
    for hook in hooks:
        hook.remove()
    return seen if seen[-1].shape == shape else [*seen, Stage(["sum of the images", "tanh"], shape)]


def steps(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules that are steps of a picture."""
    for child in module.children():
        if isinstance(child, UNITS) or not list(child.children()):
            if not isinstance(child, UNSEEN):
                yield child
        else:
            yield from steps(child)


def words(module: nn.Module) -> str:
    """Name a module as a figure of a paper would."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        depthwise = module.groups == module.in_channels > 1
        kind = "transposed" if isinstance(module, nn.ConvTranspose2d) else "depthwise" if depthwise else "conv"
        stride = f", stride {module.stride[0]}" if module.stride[0] != 1 else ""
        return f"{kind} {module.kernel_size[0]}x{module.kernel_size[1]}{stride}"
    if isinstance(module, style._StyledLayer):
        return "styled conv, doubled" if module.doubles else "styled conv"
    return NAMES[type(module)]


NAMES: dict[type[nn.Module], str] = {
    nn.Linear: "linear",
    nn.BatchNorm1d: "batch norm",
    nn.BatchNorm2d: "batch norm",
    nn.ReLU: "ReLU",
    nn.LeakyReLU: "LeakyReLU",
    nn.Tanh: "tanh",
    nn.PixelShuffle: "sub-pixels",
    nn.Upsample: "bilinear, doubled",
    nn.AvgPool2d: "mean of 2x2",
    r3.ResidualBlock: "residual block",
    r3.LearnedGrid: "scales a learned grid",
    style._ToImage: "adds to the image",
    LabelPlane: "class as a channel",
    LabelVector: "class as a vector",
    LogitHead: "linear",
    ProjectionHead: "linear + class · features",
}


def diagram(title: str, start: Stage, rows: list[Stage], weights: int) -> str:
    """Draw a network from top to bottom, as SVG on white: a block per stage, wide with channels, high with pixels."""
    parts, y = [_text(12, 24, title, "title"), _text(12, 42, f"{weights:,} weights", "steps")], 58.0
    for place, stage in enumerate([start, *rows]):
        lines = stage.steps if place else start.steps
        block, height = _block(stage.shape, y)
        room = max(height, LINE * (1 + len(lines)))
        parts.append(f'<g transform="translate(0 {(room - height) / 2:.1f})">{block}</g>')
        middle = y + (room - LINE * len(lines)) / 2 + 4
        parts.append(_text(TEXT_X, middle, " x ".join(map(str, stage.shape)) or "1 logit", "shape"))
        parts += [_text(TEXT_X, middle + LINE * line, words, "steps") for line, words in enumerate(lines, start=1)]
        y += room + 22
        if place < len(rows):
            parts.append(f'<path d="M58 {y - 17:.1f}v10m-4 -5l4 5l4 -5" class="arrow"/>')
    return SVG.format(width=WIDTH, height=round(y - 10), body="\n".join(parts))


SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">
<style>text {{ font: 13px sans-serif; fill: #5b6270 }} .title {{ font-weight: 600; font-size: 15px; fill: #1d2433 }}
.shape {{ font-weight: 600; fill: #1d2433 }} .arrow {{ stroke: #5b6270; fill: none; stroke-width: 1.5 }}
.front {{ fill: #7f9bee }} .top {{ fill: #b9c8f8 }} .side {{ fill: #4d68bd }}</style>
<rect width="100%" height="100%" rx="8" fill="#fff"/>
{body}
</svg>
"""


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text x="{x}" y="{y:.1f}" class="{kind}">{escape(text)}</text>'


def _block(shape: tuple[int, ...], y: float) -> tuple[str, float]:
    """Return a block with its top at ``y``, and its height: a map as a box, a vector as a bar."""
    channels, *sides = shape or (1,)
    depth = 2 + 2.2 * math.log2(channels) if sides else 4
    width, height = (1.7 * sides[1], 1.7 * sides[0]) if sides else (8 + 6.5 * math.log2(channels), 10.0)
    x, y0 = 58 - (width + depth) / 2, y + depth
    top = f"M{x:.1f} {y0:.1f}l{depth:.1f} {-depth:.1f}h{width:.1f}l{-depth:.1f} {depth:.1f}z"
    side = f"M{x + width:.1f} {y0:.1f}l{depth:.1f} {-depth:.1f}v{height:.1f}l{-depth:.1f} {depth:.1f}z"
    front = f'<rect x="{x:.1f}" y="{y0:.1f}" width="{width:.1f}" height="{height:.1f}" class="front"/>'
    return f'{front}<path d="{top}" class="top"/><path d="{side}" class="side"/>', height + depth


def networks() -> dict[str, str]:
    """Draw the networks of every ``model=`` for pictures of 1x28x28: SVGs by file name."""
    sizes = {"num_classes": 10, "img_shape": SHAPE, "_convert_": "all"}
    label, drawn = torch.tensor([7]), {}
    for model in MODELS:
        generator: Generator = instantiate(compose("train", [f"model={model}"]).model.generator, **sizes)
        length = generator.embedding.embedding_dim
        start = Stage([f"latent of {generator.z_dim}", f"class vector of {length}"], (generator.z_dim + length,))
        rows = stages(generator, torch.zeros(1, generator.z_dim), label)
        drawn[f"{model}_generator.svg"] = diagram(f"{model}: generator", start, rows, _weights(generator))
    for model in DISCRIMINATORS:
        config = compose("train", [f"model/discriminator={model}"]).model.discriminator
        discriminator: Discriminator = instantiate(config, **sizes)
        rows, start = stages(discriminator, torch.zeros(1, *SHAPE), label), Stage(["image"], SHAPE)
        drawn[f"{model}_discriminator.svg"] = diagram(f"{model}: discriminator", start, rows, _weights(discriminator))
    return drawn


def _weights(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def losses() -> bytes:
    """Draw, as PNG, what each loss costs either side over the logit that it wants to move; the other logit is 0."""
    logits, zero = torch.linspace(-4, 4, 81), torch.zeros(1)
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3, sharey=True)
    for width, name in enumerate(LOSSES):  # some coincide: the first ones are drawn wider
        loss = instantiate(compose("train", [f"loss={name}"]).loss)
        line = {"label": name, "linewidth": 5 - width}
        left.plot(logits, [float(loss.d_loss(logit[None], zero)) for logit in logits], **line)
        middle.plot(logits, [float(loss.d_loss(zero, logit[None])) for logit in logits], **line)
        right.plot(logits, [float(loss.g_loss(logit[None], zero)) for logit in logits], **line)
    left.set(title="Discriminator, real image", ylabel="loss")
    middle.set(title="Discriminator, generated image")
    right.set(title="Generator")
    for axes in (left, middle, right):
        axes.set(xlabel="logit of this image", ylim=(-4.5, 8))
        axes.grid(alpha=0.3)
    left.legend()
    return figure_png(figure, dpi=80)


def run(folder: Path) -> None:
    """Write all pictures."""
    for name, content in networks().items():
        write_file(folder / name, content.encode())
    write_file(folder / "losses.png", losses())


if __name__ == "__main__":
    run(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/networks"))
