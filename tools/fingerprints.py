"""Do results stay? Hashes of weights and images of every preset: ``python tools/fingerprints.py [CHECKOUT]``.

Runs the command line of a checkout (this one unless another is named), so that two commits compare whatever has moved
within them: three training steps of each preset and of each loss, penalty and backbone, then images of the result and
of the bundled generators. Compare only what ran on one machine: processors round differently.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

SHORT = [
    "data.batch_size=32",
    "data.steps_per_batch=1",
    "quality=none",
    "trainer=cpu",
    "trainer.max_epochs=1",
    "+trainer.limit_train_batches=3",
    "compile=false",
]
RELATIVISTIC = ["loss=relativistic", "penalty=r1r2", "optimizer=adam_no_momentum"]
COLOUR = ["data=folder", "data.root={pictures}", "trainer.precision=32-true"]
CASES: dict[str, list[str]] = {
    **{name: [f"experiment={name}"] for name in ("quickstart", "light", "best", "mlp_classic")},
    "dcgan_classic": ["experiment=dcgan_classic"],
    "best_gpu": ["experiment=best_gpu", "trainer.precision=32-true"],
    "hinge": ["model=light", "loss=hinge", "model.discriminator.norm=spectral"],
    "wgan_gp": ["model=light", "loss=wgan", "penalty=wgan_gp", "gan.d_steps=2"],
    "lsgan_r1": ["model=light", "loss=lsgan", "penalty=r1", "gan.fake_labels=uniform", "gan.gradient_clip=1"],
    "mismatch": ["model=light", "{matching_aware}=0.3"],
    "style": ["model=style", *RELATIVISTIC],
    "r3": ["model=r3", *RELATIVISTIC],
    "colour": ["experiment=folder", *COLOUR],
    "colour_light": ["experiment=folder", "model=light", "augment=diffaugment", *COLOUR],
}
RENAMED = {"matching_aware": ("gan.matching_aware", "gan.mismatch")}


def main(checkout: Path) -> None:
    """Print a line per case: its name, the hash of its weights, the hash of its images."""
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1"}
    known = (checkout / "conf" / "train.yaml").read_text()
    keys = {name: both[0] if both[0].split(".")[1] in known else both[1] for name, both in RENAMED.items()}
    with tempfile.TemporaryDirectory() as place:
        pictures = _pictures(Path(place) / "pictures")
        for name, overrides in CASES.items():
            folder = Path(place) / name
            chosen = [override.format(**keys, pictures=pictures) for override in overrides]
            data = [] if any(override.startswith("data=") for override in chosen) else ["data=mnist5k"]
            _run(checkout, environment, "train.py", *chosen, *data, *SHORT, f"hydra.run.dir={folder}")
            print(name, _weights(folder), _images(checkout, environment, str(folder), Path(place) / f"{name}.npz"))
        for name in ("pretrained/light", "pretrained/mlp", "pretrained/signs"):
            out = Path(place) / f"{Path(name).name}_bundled.npz"
            print(name, "-", _images(checkout, environment, name, out), flush=True)


def _pictures(folder: Path) -> Path:
    """Write 60 small pictures of noise in two classes, higher than wide."""
    draws = np.random.default_rng(1)
    for number in range(60):
        place = folder / str(number % 2)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draws.integers(0, 256, (40, 24, 3), dtype=np.uint8)).save(place / f"{number:02}.png")
    return folder


def _run(checkout: Path, environment: dict[str, str], script: str, *arguments: str) -> None:
    command = [sys.executable, str(checkout / script), *arguments]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, cwd=Path(arguments[-1][14:]).parent)


def _weights(folder: Path) -> str:
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(state[name].contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _images(checkout: Path, environment: dict[str, str], generator: str, out: Path) -> str:
    arguments = ["digits=all", "n=3", "seed=5", f"ckpt={generator}", f"out={out}"]
    _run(checkout, environment, "sample.py", *arguments, f"hydra.run.dir={out.with_suffix('')}_drawn")
    with np.load(out) as stored:
        return hashlib.sha256(stored["images"].tobytes()).hexdigest()[:16]


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else Path(__file__).resolve().parents[1])
