"""Measure everything and write docs/performance.md: `python benchmarks/run.py` (about 17 minutes on two cores)."""

import subprocess
import sys
from pathlib import Path

PARTS = (
    "training", "backbones", "variants", "sampling", "startup", "quality_cost", "memory", "serve", "web", "growth",
    "report",
)  # fmt: skip


def main() -> None:
    """Run each part in a process of its own, so that none starts with another's memory or threads."""
    for part in PARTS:
        print(f"== {part}", flush=True)
        subprocess.run([sys.executable, str(Path(__file__).with_name(f"{part}.py"))], check=True)


if __name__ == "__main__":
    main()
