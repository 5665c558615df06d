"""The wheel, outside the checkout: every command with the packaged configurations and a folder of the user's own."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TINY = ["data=mnist5k", "data.source.test_per_class=480", "model=light", "trainer=cpu", "trainer.max_epochs=1"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder that holds what the wheel installs, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
        (points,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        assert "cgan = cgan.cli:main" in archive.read(points).decode()
        assert "cgan/serving/ui/.streamlit/config.toml" in archive.namelist(), "the colours of the page"
    return folder / "site"


def test_the_wheel_trains_draws_and_evaluates_outside_the_checkout(site, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}

    def cgan(*arguments: str) -> str:
        command = [sys.executable, "-m", "cgan", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = subprocess.run(
        [sys.executable, "-c", "import cgan; print(cgan.__file__)"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=True,
    )
    assert where.stdout.startswith(str(site))
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
