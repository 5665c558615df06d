"""Make the digit-feature extractor's weights: ``python tools/extractor.py OUT.safetensors [MNIST_ROOT]``."""

import hashlib
import sys
from pathlib import Path

import torch
from safetensors.torch import save
from tqdm import tqdm

from cgan.data.idx import IdxSource
from cgan.metrics.classifier import accuracy, fit_classifier, fused
from cgan.metrics.digits import DigitNet


def run(out: Path, root: str, epochs: int = 20, seed: int = 1) -> float:
    """Train on MNIST's training split, write the last epoch's weights, return the accuracy on the test split."""
    source = IdxSource("MNIST", root, [1, 28, 28], list("0123456789"))
    source.prepare()
    train, test = source.load("train"), source.load("test")
    torch.manual_seed(seed)
    net = DigitNet()
    with tqdm(total=epochs * len(train.labels), unit="img") as bar:
        fit_classifier(net, *train, epochs=epochs, seed=seed, on_step=bar.update)
    result = accuracy(net, *test)
    content = save(
        fused(net).state_dict(), {"test_accuracy": f"{result:.4f}", "epochs": str(epochs), "seed": str(seed)}
    )
    out.write_bytes(content)
    print(f"{out}: test accuracy {result:.4f}, {len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")
    return result


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "data")
