"""Do bfloat16 and the compiler pay for colour? `python benchmarks/variants.py`."""

import torch

from backbones import BATCH_SIZE, OBJECTIVE, step
from cgan.spec import DataSpec
from common import Row, interleave, keep, row, speed_ratio
from pairs import fresh_pair

MODELS = ("light", "light_wide", "style_wide")
SIZES = (32, 64)


def main(rounds: int = 5) -> None:
    """Measure the presets' networks at both sizes; ``rounds`` is the number of training steps that count."""
    rows: list[Row] = []
    for size in SIZES:
        for model in MODELS:
            rows += compare(model, size, rounds)
            keep("variants", rows)  # long: what is measured is kept


def compare(model: str, size: int, rounds: int) -> list[Row]:
    """Time training steps of one pair in turns: as they are, in bfloat16, and compiled."""
    spec = DataSpec("noise", (3, size, size), tuple("0123456789"))
    plain, compiled = (fresh_pair(model, *OBJECTIVE, spec=spec) for _ in range(2))
    compiled.compile_step()

    def in_bfloat16() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            step(plain)

    contenders = {"float32": lambda: step(plain), "bfloat16": in_bfloat16, "compiled": lambda: step(compiled)}
    seconds = interleave(contenders, rounds)
    name = f"{model}, 3x{size}x{size}"
    rates = [BATCH_SIZE / spent for spent in seconds["float32"]]
    ratios = [
        speed_ratio(f"{name}: {variant} over float32", seconds[variant], seconds["float32"])
        for variant in ("bfloat16", "compiled")
    ]
    return [row(f"{name}: float32", rates, "images/s"), *ratios]


if __name__ == "__main__":
    main()
