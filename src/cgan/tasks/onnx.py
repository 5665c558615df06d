"""Networks as ONNX, checked against the original."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cgan.errors import CganError
from cgan.networks import Generator
from cgan.networks.base import StyleBased

TOLERANCE = 1e-4  # of a range of 2: a fortieth of a grey level
MANY = 2**16
"""Numbers of a weight that is stored in eight bits; smaller ones need more precision and fewer bytes."""
FEW = 32
"""Numbers of a weight that stays as it is: some operators want constants."""


class CheckedLabels(nn.Module):
    """A generator that refuses labels out of range as ONNX, too, where a negative index counts from the end."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Draw: (N, Z) and (N,) int64 -> (N, C, H, W) in [-1, 1]; a negative label becomes one that is too large."""
        return self.generator(z, _no_negative(labels, self.generator))


class CheckedStyles(nn.Module):
    """The same for a style-based generator, with the styles beside the images."""

    def __init__(self, generator: StyleBased) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Draw: (N, Z) and (N,) int64 -> (N, C, H, W) in [-1, 1] and (N, L, W)."""
        w = self.generator.map(z, self.generator.embed(_no_negative(labels, self.generator)))
        return self.generator.paint(w), w


class Painter(nn.Module):
    """The part of a style-based generator that draws styles."""

    def __init__(self, generator: StyleBased) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, w: Tensor) -> Tensor:
        """Draw: (N, L, W) -> (N, C, H, W) in [-1, 1]."""
        return self.generator.paint(w)


def _no_negative(labels: Tensor, generator: Generator) -> Tensor:
    return torch.where(labels < 0, generator.num_classes, labels)


def to_onnx(
    network: nn.Module,
    inputs: dict[str, Tensor],
    metadata: dict[str, str] | None = None,
    outputs: Sequence[str] = ("images",),
) -> Any:
    """Convert a network to an ONNX model; its batch size is free.

    Args:
        network: In eval mode.
        inputs: An example of each input of ``network.forward`` by name, 64 rows each; the first varies the batch.
        metadata: Stored in the model.
        outputs: Names of what ``forward`` returns, one or a tuple, ``images`` first.

    Returns:
        An ``onnx.ModelProto``.

    Raises:
        CganError: The exporter is not installed, or onnxruntime draws other pictures.
    """
    onnx = _exporter()
    first = next(iter(inputs))
    free = {name: torch.export.Dim("batch") if name == first else torch.export.Dim.AUTO for name in inputs}
    program = torch.onnx.export(
        network,
        tuple(value[:3] for value in inputs.values()),
        input_names=list(inputs),
        output_names=list(outputs),
        dynamic_shapes={name: {0: size} for name, size in free.items()},  # the exporter finds them equal
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    onnx.helper.set_model_props(model, metadata or {})
    _check(model, network, inputs)
    return model


def _exporter() -> Any:
    """Return the module ``onnx`` where all that the exporter needs is installed."""
    try:
        import onnx
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401  (torch's exporter needs it)
    except ImportError as error:
        raise CganError(f"ONNX needs {error.name}: pip install 'cgan[onnx]'") from error
    for chatty in ("onnx_ir", "onnxscript"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    return onnx


def _check(model: Any, network: nn.Module, inputs: dict[str, Tensor]) -> None:
    """Refuse a model that draws other images than the network, at any batch size."""
    for count in (1, 7, 64):
        some = {name: value[:count] for name, value in inputs.items()}
        drawn = network(*some.values())
        images = drawn[0] if isinstance(drawn, tuple) else drawn
        difference = float((run_onnx(model, some) - images).abs().max())
        if not difference < TOLERANCE:
            raise CganError(f"onnxruntime draws other pictures than torch (difference {difference:.2g}): not written")


def run_onnx(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    """Return the images (N, C, H, W) that onnxruntime draws."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["images"], {name: value.numpy() for name, value in inputs.items()})[0])


def compressed(model: Any, eight_bits: bool = True) -> Any:
    """Return a copy with smaller weights, which every runtime widens to float32 while it loads.

    Args:
        model: An ``onnx.ModelProto``.
        eight_bits: Store weights of :data:`MANY` numbers and more as int8 with a scale for each row; all others, and
            without it these too, are stored as float16.
    """
    from onnx import TensorProto, helper, numpy_helper

    small = type(model)()
    small.CopyFrom(model)
    for weight in list(small.graph.initializer):
        if weight.data_type == TensorProto.FLOAT and np.prod(weight.dims) >= FEW:
            name, values = weight.name, numpy_helper.to_array(weight)
            scale = np.ones(1, np.float32)
            if eight_bits and values.size >= MANY and values.ndim > 1:
                scale = np.abs(values).max(tuple(range(1, values.ndim)), keepdims=True) / 127
                values = np.round(values / np.where(scale > 0, scale, 1)).astype(np.int8)
            else:
                values = values.astype(np.float16)
            weight.CopyFrom(numpy_helper.from_array(values, f"{name}.stored"))
            small.graph.initializer.append(numpy_helper.from_array(scale, f"{name}.scale"))
            small.graph.node.insert(0, helper.make_node("Mul", [f"{name}.wide", f"{name}.scale"], [name]))
            small.graph.node.insert(0, helper.make_node("Cast", [weight.name], [f"{name}.wide"], to=TensorProto.FLOAT))
    return small
