"""Draw: `python sample.py 'classes=[3,7]' n=25 seed=0`. The same as `cgan sample`."""

from cgan.cli import run_task

if __name__ == "__main__":  # fish looks for @hydra.main in a script before it completes its arguments
    run_task("sample")
