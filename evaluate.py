"""Evaluate generators and pictures: `python evaluate.py ckpt=logs/train/runs/X`."""

from omegaconf import DictConfig

from cgan.tasks.door import door


@door("evaluate")
def main(cfg: DictConfig) -> None:
    """Measure, write tables, plots and sheets, print the table."""
    from cgan.tasks.evaluate import run

    run(cfg)


if __name__ == "__main__":
    main()
