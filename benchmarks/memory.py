"""How much memory does training take? `python benchmarks/memory.py`."""

import subprocess
import sys
import tempfile
from pathlib import Path

from common import keep, row
from pairs import DIGITS, fresh_pair

ROOT = Path(__file__).parents[1]
# In KiB; `ru_maxrss` would not do: a child inherits its parent's.
PEAK = "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"


def main() -> None:
    """Compare the peak of whole processes with what the task itself needs."""
    module = fresh_pair("mlp")
    weights = sum(weight.numel() for weight in module.parameters())
    trained = weights - sum(weight.numel() for weight in module.ema.parameters())
    data = 70_000 * DIGITS.img_shape[1] * DIGITS.img_shape[2]
    state = 4 * (weights + 3 * trained)  # with the averaged generator; a gradient and Adam's two moments
    torch_alone, lightning = peak("import torch"), peak("import lightning.pytorch")
    plain_optimizer = peak("import torch; torch.optim.Adam([torch.zeros(1, requires_grad=True)])")
    own = (data + state) / 2**20
    needed = torch_alone + own
    with tempfile.TemporaryDirectory() as folder:
        arguments = [f"hydra.run.dir={folder}", "trainer.max_epochs=1", "+trainer.limit_train_batches=20"]
        plain, evaluated = (train_peak(*arguments, *more) for more in (["quality=none"], []))
    keep(
        "memory",
        [
            row("import torch", [torch_alone], "MB"),
            row("import torch and one optimiser, which imports torch's compiler", [plain_optimizer], "MB"),
            row("import lightning.pytorch", [lightning], "MB"),
            row("needed: import torch + data + weights and Adam state", [needed], "MB"),
            row(
                "smallest of any loop with torch's optimisers over what is needed",
                [(plain_optimizer + own) / needed],
                "x",
            ),
            row("smallest of any loop with Lightning over what is needed", [(lightning + own) / needed], "x"),
            row("mlp training, quality=none", [plain], "MB"),
            row("mlp training over what is needed, quality=none", [plain / needed], "x", at_most=1.3),
            row("mlp training with quality at defaults", [evaluated], "MB"),
            row("mlp training over what is needed, with quality", [evaluated / needed], "x", at_most=1.3),
        ],
    )


def train_peak(*overrides: str) -> float:
    """Return the peak memory of a run of ``train.py model=mlp data=mnist`` in MB."""
    arguments = ["train.py", "model=mlp", "data=mnist", *overrides]
    return peak(f"import runpy, sys; sys.argv = {arguments!r}; runpy.run_path('train.py', run_name='__main__')")


def peak(code: str) -> float:
    """Return the peak resident memory of a Python process that runs ``code``, in MB."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{PEAK}"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return int(done.stdout.split()[-1]) / 1024


if __name__ == "__main__":
    main()
