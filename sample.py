"""Draw digits: `python sample.py 'digits=[3,7]' n=25 seed=0`."""

from omegaconf import DictConfig

from cgan.tasks.door import door


@door("sample")
def main(cfg: DictConfig) -> None:
    """Draw and write the pictures."""
    from cgan.tasks.sample import run

    run(cfg)


if __name__ == "__main__":
    main()
