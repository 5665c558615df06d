"""Give a generator to others: `python export.py ckpt=... format=safetensors|onnx out=...`."""

from omegaconf import DictConfig

from cgan.tasks.door import door


@door("export")
def main(cfg: DictConfig) -> None:
    """Export and check what was written."""
    from cgan.tasks.export import run

    run(cfg)


if __name__ == "__main__":
    main()
