"""Train: `python train.py experiment=quickstart`. Every value of `conf/` can be overridden."""

import sys

from omegaconf import DictConfig

from cgan.tasks.door import door, one_line_errors
from cgan.tasks.resume import resumed_arguments


@door("train")
def main(cfg: DictConfig) -> float | None:
    """Train and return the best Fréchet distance, for sweepers."""
    from cgan.tasks.sweep import job

    return job(cfg)


if __name__ == "__main__":
    with one_line_errors():
        sys.argv[1:] = resumed_arguments(sys.argv[1:])
    main()
