"""examples/plugin goes through every command; each other kind of part is replaced by a class of the user's own."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.utils import instantiate
from processes import ROOT, Run, start

from cgan import draw, load_generator
from cgan.config import compose
from cgan.data.datamodule import ImageData
from cgan.errors import CganError
from cgan.networks import GENERATORS
from cgan.plugins import load_plugins
from cgan.serving.service import Service
from cgan.tasks.build import build_loggers, build_module, build_trainer
from cgan.tasks.new import run as new_project

PLUGIN = ROOT / "examples" / "plugin"
OWN = ["--config-dir", "conf", "plugins=[my_gan]"]
SMALL = ["data.source.train_images=256", "data.source.test_images=64", "trainer=cpu"]
pytestmark = pytest.mark.xdist_group("example_plugin")  # one training for all


def typed(*command: str, cwd: Path) -> str:
    """Run a command in a process of its own; return what it prints."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("CGAN_PLUGINS", None)
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def succeeded(run: Run) -> str:
    assert run.wait() == 0, run.words()
    return run.words()


def error_of(run: Run) -> str:
    assert run.wait() == 1, run.words()
    (line,) = run.errors().strip().splitlines()
    return line


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example, with one epoch trained in `run`."""
    folder = tmp_path_factory.mktemp("plugin") / "project"
    shutil.copytree(PLUGIN, folder)
    one = ["experiment=shapes", "trainer.max_epochs=1", "hydra.run.dir=run"]
    said = succeeded(start(*OWN, *SMALL, *one, cwd=folder))
    assert "Training ShapeGenerator" in said
    assert "Nearest class" in said
    return folder


@pytest.fixture
def here(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project as the current directory; what is imported and registered is forgotten afterwards."""
    monkeypatch.chdir(project)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_gan"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(GENERATORS, "ShapeGenerator", raising=False)
    return project


def test_a_run_is_resumed_when_its_plugins_are_typed_again(project: Path) -> None:
    shutil.copytree(project / "run", project / "resumed")
    more = ["ckpt=resumed", "trainer.max_epochs=1000"]
    assert "plugins=[my_gan]" in error_of(start("--config-dir", "conf", *more, cwd=project))
    run = start(*OWN, *more, cwd=project)
    run.until(lambda: "Epoch 2/1000" in run.words()).signal(signal.SIGTERM)
    assert run.wait() == 128 + signal.SIGTERM, run.words()
    (advice,) = [line for line in run.words().splitlines() if "Go on: " in line]
    assert shlex.split(advice)[-4:-1] == ["--config-dir", str(project / "conf"), "plugins=[my_gan]"]


def test_it_is_drawn_evaluated_and_exported(project: Path) -> None:
    drawn = ["ckpt=run", "classes=circle,cross", "n=2", "out=drawn"]
    line = error_of(start(*drawn, cwd=project, script="sample.py"))
    assert "ShapeGenerator of my_gan.networks" in line
    assert "plugins=[my_gan.networks]" in line
    succeeded(start("plugins=[my_gan]", *drawn, cwd=project, script="sample.py"))
    assert len(list((project / "drawn").glob("*.png"))) == 4
    chosen = [*OWN, "metrics=[fid,nearest_class]", "ckpt=run", "n=64"]  # on the run's own data, by its own features
    table = succeeded(start(*chosen, cwd=project, script="evaluate.py"))
    assert table.startswith("Loading PyTorch"), "said before anything that takes long"
    assert "Nearest class" in table
    succeeded(start("plugins=[my_gan]", "ckpt=run", "out=exported", cwd=project, script="export.py"))
    assert '"network": "ShapeGenerator"' in (project / "exported" / "config.json").read_text()
    card = (project / "exported" / "README.md").read_text()
    assert "\nimport my_gan.networks  #" in card
    assert "cgan sample plugins=[my_gan.networks] classes=all" in card


def test_python_and_the_service_load_it_where_the_environment_names_it(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CGAN_PLUGINS", raising=False)
    with pytest.raises(CganError, match=r"ShapeGenerator of my_gan\.networks.*CGAN_PLUGINS"):
        load_generator("run")
    monkeypatch.setenv("CGAN_PLUGINS", "my_gan")
    assert draw(load_generator("run"), ["circle", "cross"]).shape == (2, 3, 16, 16)
    logs = here / "logs" / "train" / "runs"
    shutil.copytree("run", logs / "mine")
    service = Service(here / "logs")
    (name,) = [model.name for model in service.models() if "mine" in model.name and model.error is None]
    assert service.draw(name, [0, 3], [1, 2]).shape == (2, 3, 16, 16)


@pytest.mark.slow
def test_new_writes_a_project_that_trains_as_it_says(tmp_path: Path) -> None:
    lines = typed(sys.executable, "-m", "cgan", "new", "own project", cwd=tmp_path).splitlines()
    assert not list(tmp_path.rglob("__pycache__"))
    with pytest.raises(CganError, match="own project: expected a new or an empty folder"):
        new_project(tmp_path / "own project")
    (train,) = [line.partition(":")[2] for line in lines if line.startswith("Train:")]
    said = typed(*shlex.split(train), *SMALL, "trainer.max_epochs=1", "hydra.run.dir=run", cwd=tmp_path)
    (sample,) = [line.partition(":")[2] for line in said.splitlines() if line.startswith("Draw:")]
    typed(*shlex.split(sample), "out=drawn", cwd=tmp_path)
    assert len(list((tmp_path / "drawn").glob("*.png"))) == 40


def test_the_page_shows_the_lines_of_the_example() -> None:
    lines = {line.strip() for path in PLUGIN.rglob("*") if path.is_file() for line in path.read_text().splitlines()}
    page = (ROOT / "docs" / "plugins.md").read_text()
    shown = re.findall(r"```(?:python|yaml|sh)\n(.*?)```", page, re.DOTALL)
    missing = [line for part in shown for line in part.splitlines() if line.strip() not in lines]
    assert missing == ["cgan new my_project", "cd my_project"]


OTHER = """
import torch
from lightning.pytorch import Callback
from lightning.pytorch.loggers import CSVLogger
from cgan.losses.penalties import Penalised, discriminate
from cgan.tracking import Tracker

class Penalty:
    needs_shared_labels = False
    def __call__(self, discriminator, batch):
        real, fake = discriminate(discriminator, batch)
        return Penalised(real, fake, real.square().mean())

class Regulariser:
    def __call__(self, generator, z, labels, fake):
        return fake.square().mean()

class Augment:
    def __call__(self, images):
        return images.flip(3)

class Optimizer(torch.optim.SGD):
    pass

class Schedule:
    def __call__(self, progress):
        return 0.5

class Watch(Callback):
    pass

class Log(Tracker, CSVLogger):
    pass
"""
PARTIAL = "{_target_: own_parts.Optimizer, _partial_: true, lr: 0.25}"
PARTS = {
    "penalty": "_target_: own_parts.Penalty",
    "regulariser": "_target_: own_parts.Regulariser",
    "augment": "_target_: own_parts.Augment",
    "optimizer": f"lr: 0.25\nd: {PARTIAL}\ng: {PARTIAL}",
    "schedule": "lr: {_target_: own_parts.Schedule}\npenalty: {_target_: own_parts.Schedule}",
    "callbacks": "mine: {_target_: own_parts.Watch}",
    "logger": "mine: {_target_: own_parts.Log, save_dir: .}",
}


def test_every_other_part_is_replaced_by_a_class_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_parts.py").write_text(OTHER)
    for group, yaml in PARTS.items():
        (tmp_path / "conf" / group).mkdir(parents=True)
        (tmp_path / "conf" / group / "mine.yaml").write_text(yaml)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own_parts", raising=False)
    small = ["data=mnist5k", "data.source.test_per_class=498", "data.batch_size=10", "model.discriminator.dropout=0"]
    short = ["quality=none", "trainer=cpu", "trainer.max_epochs=1", "plugins=[own_parts]"]
    chosen = [f"{group}=[default,mine]" if group == "callbacks" else f"{group}=mine" for group in PARTS]
    cfg = compose("train", [*small, *short, *chosen], tmp_path / "run", [tmp_path / "conf"])
    load_plugins(cfg.plugins)
    data = ImageData(instantiate(cfg.data.source, _convert_="all"), batch_size=10)
    module = build_module(cfg, data.spec)
    trainer = build_trainer(cfg, None, [])
    trainer.loggers = build_loggers(cfg, tmp_path / "run", 0, {})
    trainer.fit(module, datamodule=data)
    used = [module.penalty, module.regulariser, module.augment, trainer.optimizers[0], module.lr_schedule]
    used += [next(entry for entry in trainer.callbacks if type(entry).__name__ == "Watch"), trainer.loggers[0]]
    names = ["Penalty", "Regulariser", "Augment", "Optimizer", "Schedule", "Watch", "Log"]
    assert [(type(part).__module__, type(part).__name__) for part in used] == [("own_parts", name) for name in names]
    assert module.steps > 0
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.25 * 0.5)
