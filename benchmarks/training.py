"""Is our training step, end to end, as fast as a plain loop? `python benchmarks/training.py`."""

import time
from pathlib import Path
from typing import Any, NamedTuple

from torch.utils.flop_counter import FlopCounterMode

from cgan.config import compose
from common import Row, interleave, keep, matrix_product, row, speed_ratio
from lightning_run import LightningRun
from loops import PlainLoop, TutorialLoop
from memory import peak
from pairs import MODELS, Noise, fresh_pair

BATCH_SIZE = 128
COLOUR = (32, 64)
LONGEST_BLOCK = 3
"""Seconds of training on colour images between two changes of turn."""


class Case(NamedTuple):
    """One pair: the length of a block, and the targets.

    Attributes:
        model: The name in ``conf/model``.
        chunks: Calls of ``training_step`` per block.
        steps: Training steps per call.
        over_plain: Our speed over the plain loop's, at least.
        over_tutorial: Our speed over the tutorial loop's, at least.
    """

    model: str
    chunks: int
    steps: int
    over_plain: float | None = None
    over_tutorial: float | None = None


CASES = [Case("mlp", 2, 16, 0.95, 2.2), Case("light", 2, 16), Case("dcgan", 1, 2, 0.95, 1.15)]


def main(rounds: int = 16) -> None:
    """Measure all pairs; ``rounds`` is the number of blocks per contender."""
    rows: list[Row] = []
    rates = {}
    for case in CASES:
        some, rates[case.model] = measure(case, rounds)
        rows += some
        keep("training", rows)  # long: what is measured is kept
    ratios = [fast / slow for fast, slow in zip(rates["light"], rates["dcgan"], strict=True)]
    rows.append(row("light over dcgan, our run, images/s", ratios, "x", at_least=8))
    keep("training", rows)
    in_colour()


def in_colour(rounds: int = 5) -> None:
    """Measure every backbone on colour images of two sizes."""
    rows: list[Row] = []
    for size in COLOUR:
        for model in MODELS:
            rows += colour_rows(model, size, rounds)
            keep("training_in_colour", rows)


def colour_rows(model: str, size: int, rounds: int) -> list[Row]:
    """Time our run and the plain loop in turns on noise; and the memory of a process that trains."""
    steps = steps_of_a_block(model, size)
    ours = colour_run(model, size, steps)
    plain = PlainLoop(fresh_pair(model, spec=ours.data.spec), ours.data.train, batch_size=BATCH_SIZE, steps=steps)
    seconds = interleave({"ours": ours, "plain": plain}, rounds)
    ours.close()
    rates = [BATCH_SIZE * steps / spent for spent in seconds["ours"]]
    flops, product = flops_per_image(plain), matrix_product()
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import training"
    name = f"{model}, 3x{size}x{size}"
    return [
        speed_ratio(f"{name}: over the best plain loop", seconds["ours"], seconds["plain"], at_least=0.95),
        row(f"{name}: speed", rates, "images/s"),
        row(f"{name}: work per image", [flops / 1e6], "MFLOP"),
        row(f"{name}: share of the matrix product", [rate * flops / product / 1e9 for rate in rates], ""),
        row(f"{name}: peak memory", [peak(f"{code}; training.colour_run({model!r}, {size}, {steps})()")], "MB"),
    ]


def steps_of_a_block(model: str, size: int) -> int:
    """Return how many steps the model takes in one call of the trainer, but not more than ``LONGEST_BLOCK`` holds."""
    noise = Noise((3, size, size), BATCH_SIZE)
    plain = PlainLoop(fresh_pair(model, spec=noise.spec), noise.load("train"), batch_size=BATCH_SIZE, steps=1)
    plain()
    start = time.perf_counter()
    plain()
    own: int = compose("train", [f"model={model}"]).model.steps_per_batch
    return max(1, min(own, int(LONGEST_BLOCK / (time.perf_counter() - start))))


def colour_run(model: str, size: int, steps: int) -> LightningRun:
    """Build a run on 5,000 images of noise in colour."""
    return LightningRun(
        f"model={model}", f"data.steps_per_batch={steps}", chunks_per_block=1, source=Noise((3, size, size), 5000)
    )


def measure(case: Case, rounds: int) -> tuple[list[Row], list[float]]:
    """Time our run and the loops in turns; return rows and our images per second by round."""
    ours = LightningRun(f"model={case.model}", f"data.steps_per_batch={case.steps}", chunks_per_block=case.chunks)
    data, images = ours.data.train, BATCH_SIZE * case.chunks * case.steps
    size: dict[str, Any] = {"batch_size": BATCH_SIZE, "steps": case.chunks * case.steps}
    plain = PlainLoop(fresh_pair(case.model), data, **size)
    seconds = interleave(
        {
            "ours": ours,
            "plain": plain,
            "bare": PlainLoop(fresh_pair(case.model), data, average=False, **size),
            "tutorial": TutorialLoop(fresh_pair(case.model), ours.data.source.root, **size),  # type: ignore[attr-defined]
        },
        rounds,
    )
    ours.close()
    rates = [images / spent for spent in seconds["ours"]]
    flops, peak = flops_per_image(plain), matrix_product()
    name = case.model
    return [
        speed_ratio(
            f"{name}: ours over the best plain loop", seconds["ours"], seconds["plain"], **least(case.over_plain)
        ),
        speed_ratio(f"{name}: ours over the plain loop without averaging", seconds["ours"], seconds["bare"]),
        speed_ratio(
            f"{name}: ours over the tutorial loop", seconds["ours"], seconds["tutorial"], **least(case.over_tutorial)
        ),
        speed_ratio(f"{name}: best plain loop over the tutorial loop", seconds["plain"], seconds["tutorial"]),
        row(f"{name}: ours", rates, "images/s"),
        row(f"{name}: one training step per image", [flops / 1e6], "MFLOP"),
        row(f"{name}: share of the machine's matrix product", [rate * flops / peak / 1e9 for rate in rates], ""),
    ], rates


def flops_per_image(loop: PlainLoop) -> float:
    """Count the floating-point operations of one training step, per real image."""
    with FlopCounterMode(display=False) as counter:
        loop.step(*next(loop.batches))
    return counter.get_total_flops() / BATCH_SIZE


def least(target: float | None) -> dict[str, float]:
    """Turn a target that may be missing into an argument."""
    return {} if target is None else {"at_least": target}


if __name__ == "__main__":
    main()
