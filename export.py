"""Export a generator: `python export.py ckpt=... format=safetensors out=...`. The same as `cgan export`."""

from cgan.cli import run_task

if __name__ == "__main__":  # fish looks for @hydra.main in a script before it completes its arguments
    run_task("export")
