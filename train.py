"""Train: `python train.py experiment=quickstart`. The same as `cgan train`."""

from cgan.cli import run_task

if __name__ == "__main__":  # fish looks for @hydra.main in a script before it completes its arguments
    run_task("train")
