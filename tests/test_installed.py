"""The wheel, outside the checkout: every command with the packaged configurations and a folder of the user's own."""

import os
import subprocess
import sys
import sysconfig
import venv
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TINY = ["data=mnist5k", "data.source.test_per_class=480", "model=light", "trainer=cpu", "trainer.max_epochs=1"]


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """The programs of a fresh environment in which the wheel is installed; what it depends on is that of the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    built = subprocess.run(build, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", symlinks=True)
    (packages,) = folder.glob("venv/lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    bin = folder / "venv" / "bin"
    install = [sys.executable, "-m", "pip", "--python", str(bin / "python"), "install", "--no-deps", "--no-index"]
    installed = subprocess.run([*install, str(wheel)], capture_output=True, text=True)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    return bin


def test_the_wheel_trains_draws_and_evaluates_outside_the_checkout(programs, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("PYTHONPATH", None)

    def ran(program: str, *arguments: str) -> str:
        done = subprocess.run(
            [str(programs / program), *arguments], capture_output=True, text=True, cwd=tmp_path, env=environment
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    cgan = partial(ran, "cgan")
    assert ran("python", "-c", "import cgan; print(cgan.__file__)").startswith(str(programs.parent))
    assert cgan("--version") == "cgan 0.1.0\n"
    cgan("new", "own")
    assert (tmp_path / "own" / "my_gan" / "networks.py").is_file()
    assert not list((tmp_path / "own").rglob("__pycache__"))
    (tmp_path / "mine" / "loss").mkdir(parents=True)
    (tmp_path / "mine" / "loss" / "mine.yaml").write_text("# Mine\n_target_: cgan.losses.adversarial.Hinge\n")
    cgan("train", "--config-dir", "mine", "loss=mine", *TINY)
    (run,) = (tmp_path / "logs" / "train" / "runs").iterdir()
    assert (run / "checkpoints" / "best.ckpt").exists()
    assert str(run) in cgan("sample", "classes=7", "n=2", f"ckpt={run}", "out=sevens") or (tmp_path / "sevens").is_dir()
    assert len(list((tmp_path / "sevens").glob("*.png"))) == 2
    table = cgan("evaluate", "data=mnist5k", "data.source.test_per_class=480", "n=100", f"ckpt={run}")
    assert "Fréchet distance" in table
    assert len(list(tmp_path.glob("logs/evaluate/runs/*/evaluation.json"))) == 1
