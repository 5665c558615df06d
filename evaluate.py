"""Evaluate generators and images: `python evaluate.py ckpt=logs/train/runs/X`. The same as `cgan evaluate`."""

from cgan.cli import run_task

if __name__ == "__main__":  # fish looks for @hydra.main in a script before it completes its arguments
    run_task("evaluate")
