"""The project used from Python: configurations, runs, drawing."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import TINY
from hydra.core.hydra_config import HydraConfig

from cgan import CganError, draw, evaluate, image_grid, load_generator, train
from cgan.config import compose, quoted
from cgan.networks.light import LightGenerator
from cgan.records.run import is_locked, read_run, write_run
from cgan.sampling.interpolate import morph
from cgan.sampling.invert import invert
from cgan.spec import DataSpec
from cgan.tasks.resume import evaluated_arguments


@pytest.fixture(scope="module")
def generator():
    return load_generator("pretrained")


@pytest.mark.parametrize("name", ["a=b,c", "ü'x", "back\\slash\\", "日本 [x]{y}", "\\'q", "tail\\'"])
def test_a_folder_of_configurations_may_have_any_name(tmp_path, name):
    group = tmp_path / name / "model"
    group.mkdir(parents=True)
    (group / "mine.yaml").write_text("generator:\n  width: 3\n")
    cfg = compose("train", ["model=mine", f"run_name={quoted(name)}"], group.parent, config_dirs=[group.parent])
    assert (cfg.run_name, cfg.model.generator.width) == (name, 3)
    assert cfg.trainer.default_root_dir == str(group.parent)
    assert HydraConfig.get().runtime.choices["model"] == "mine"


@pytest.mark.parametrize(
    "labels",
    [
        [7, 2],
        ["7", 2],
        ("7", "2"),
        range(7, 1, -5),
        np.array([7, 2], np.uint8),
        np.array(["7", "2"]),
        [np.int64(7), np.array(2)],
        torch.tensor([7, 2]),
        torch.tensor([7, 2], dtype=torch.int32),
        [torch.tensor(7), torch.tensor(2)],
    ],
)
def test_classes_are_given_in_any_usual_way(generator, labels):
    assert torch.equal(draw(generator, labels, seed=3), draw(generator, [7, 2], seed=3))


@pytest.mark.parametrize("label", [7, "7", np.int8(7), np.array(7), torch.tensor(7), np.str_("7")])
def test_one_class_draws_one_image(generator, label):
    assert torch.equal(draw(generator, label), draw(generator, [7]))


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        (10, "class 10"),
        (-1, "class -1"),
        (3.7, "class 3.7"),
        ([10**9], "class 1000000000"),
        ("seven", "class 'seven'"),
        (None, "class None"),
        ([True], "class True"),
        (torch.tensor([3.0]), "class 3.0"),
        (np.eye(10, dtype=int)[[7, 2]], "class [0, 0, 0"),
        (torch.nn.functional.one_hot(torch.tensor([7]), 10), "class [0, 0, 0"),
        ([[7]], "class [7]"),
    ],
)
def test_what_is_no_class_is_refused_before_any_work(generator, labels, named, monkeypatch):
    monkeypatch.setattr("cgan.sampling.draw.latents", None)
    with pytest.raises(CganError, match=r"expected a label from 0 to 9|choose among these") as error:
        draw(generator, labels)
    assert str(error.value).startswith(named)


@pytest.mark.parametrize("truncation", [float("nan"), float("inf"), -0.5, "0.5", None, True])
def test_a_truncation_is_a_finite_number_from_0(generator, truncation):
    with pytest.raises(CganError, match="truncation="):
        draw(generator, 7, truncation=truncation)
    assert torch.equal(draw(generator, 7, truncation=np.float32(0.5)), draw(generator, 7, truncation=0.5))


@pytest.mark.parametrize("seed", [-1, 0.5, "1", True])
def test_a_seed_is_a_whole_number_from_0(generator, seed):
    with pytest.raises(CganError, match="seed="):
        draw(generator, 7, seed=seed)


def test_weights_are_averaged_or_raw():
    with pytest.raises(CganError, match="weights=xx: expected one of ema, raw"):
        load_generator("pretrained", weights="xx")


def test_a_name_is_a_word_and_a_label_is_a_position():
    torch.manual_seed(0)
    generator = LightGenerator(num_classes=3, img_shape=(1, 28, 28)).eval()
    with pytest.raises(CganError, match="class 3: expected a label from 0 to 2"):
        draw(generator, 3)
    generator.spec = DataSpec("counts", (1, 28, 28), ("1", "2", "zwölf"))
    assert torch.equal(draw(generator, ["2", "zwölf"]), draw(generator, [1, 2]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_generator_of_another_precision_draws(generator, dtype):
    other = draw(load_generator("pretrained").to(dtype), range(10))
    assert (other.float() - draw(generator, range(10)).float()).abs().mean() < 1


@pytest.fixture(params=["dtype", "device"])
def other_default(request):
    """Another default for new tensors: float64, or a device other than the CPU (`meta` exists on every computer)."""
    if request.param == "dtype":
        torch.set_default_dtype(torch.float64)
        yield
        torch.set_default_dtype(torch.float32)
    else:
        with torch.device("meta"):
            yield


def test_defaults_of_torch_change_no_image(generator, other_default):
    loaded = load_generator("pretrained")
    assert torch.equal(draw(loaded, [7, 2]), draw(generator, [7, 2]))
    z = torch.zeros(loaded.z_dim, dtype=torch.float32, device="cpu")
    film = morph(loaded, (z, z + 1), (3, 8), 3)
    assert invert(loaded, film[0], steps=4).reconstruction.device.type == "cpu"
    assert image_grid(film).size == (2 + 2 * 58, 2 + 2 * 58)


def test_a_grid_names_each_image():
    images = torch.zeros(3, 1, 28, 28, dtype=torch.uint8)
    assert image_grid(torch.zeros(1, 3, 16, 20, dtype=torch.uint8)).size == (2 + 62, 2 + 50), "small ones are enlarged"
    plain, named = image_grid(images, 3), image_grid(images, 3, names=["a", "b", "c"])
    assert (plain.size, named.size) == ((176, 60), (176, 80))
    assert np.asarray(named)[:22].min() < 100  # the ink of the names, above the images
    assert np.asarray(named)[23:78, 3:57].max() == 0


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("python"))
        return train("quickstart", *TINY)


def test_a_run_from_python_is_a_run_of_the_command_line(run):
    assert run.folder.parts[-4:-1] == ("logs", "train", "runs")
    stored = yaml.safe_load((run.folder / ".hydra" / "overrides.yaml").read_text())
    assert stored == ["experiment=quickstart", *TINY]
    assert "Training LightGenerator" in (run.folder / "train.log").read_text()
    assert (run.folder / "checkpoints" / "best.ckpt").is_file()
    files = [getattr(handler, "baseFilename", "") for handler in logging.getLogger().handlers]
    assert not any(Path(name).name == "train.log" for name in files)


def test_a_run_knows_its_generator_its_values_and_its_images(run):
    assert 0 < run.values["fid"] < 1000
    assert torch.equal(draw(run.generator, 7), draw(load_generator(run.folder), 7))
    grid = np.asarray(run.grid(n=3, seed=5).convert("L"))  # a row per class, images twice as large, 2 pixels apart
    assert np.abs(grid[2:58:2, -58:-2:2].astype(int) - draw(run.generator, [0] * 3, seed=5)[2, 0].numpy()).max() <= 1


def test_a_folder_of_another_run_is_refused(run, monkeypatch):
    monkeypatch.chdir(run.folder.parents[3])
    with pytest.raises(CganError, match="this folder holds a finished run"):
        train("quickstart", *TINY, folder=run.folder)


@pytest.mark.slow
def test_a_run_goes_on_from_python(run, monkeypatch):
    monkeypatch.chdir(run.folder.parents[3])
    longer = train(f"ckpt={run.folder}", "trainer.max_epochs=2")
    assert longer.folder == run.folder
    assert load_generator(run.folder / "checkpoints" / "last.ckpt").spec.name == "mnist5k"


def test_a_run_is_evaluated_from_python(run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    evaluation = evaluate(run, "n=100", folder=tmp_path / "a=b,c")
    assert evaluation.record.protocol.data == "mnist5k", "compared with what it was trained on"
    assert evaluation.folder == tmp_path / "a=b,c"
    assert (evaluation.folder / "evaluation.json").is_file()
    assert evaluation.values["fid"] == pytest.approx(run.values["fid"], rel=0.5)
    assert 0 < evaluation.real_values["fid"] < evaluation.values["fid"]
    assert not is_locked(evaluation.folder / "run.lock"), "free for other processes while this one goes on"
    with pytest.raises(CganError, match=r"it holds evaluation\.json"):
        evaluate(run, folder=evaluation.folder)
    assert not is_locked(evaluation.folder / "run.lock")


def test_what_is_evaluated_brings_its_own_data(run, tmp_path):
    own = ["data=mnist5k", *(word for word in TINY if word.startswith("data.")), "features=auto"]
    assert evaluated_arguments([f"ckpt={run.folder}"])[:-1] == own
    assert evaluated_arguments([f"runs={run.folder.parent}", "n=5"])[:-2] == own
    assert evaluated_arguments(["ckpt=[pretrained,pretrained/mlp]"])[:-1] == ["data=mnist"]
    typed = ["ckpt=pretrained", "data=mnist5k"], ["ckpt=pretrained", "images2=x"], ["images=x.npz"]
    for words in (*typed, ["ckpt=nowhere"], ["runs=nowhere"], ["ckpt=pretrained/signs"]):
        assert evaluated_arguments(words) == words
    for word in ("data=mnist5k", "data.groups=[20,20,20]", "++data.size=64"):
        with pytest.raises(CganError, match=r"^data(\.\w+)?=: images2= takes the place of data="):
            evaluated_arguments(["images=x", "images2=y", word])
    assert evaluated_arguments([f"ckpt={run.folder}", "features=pixels"])[:-2] == own[:-1]
    moved = evaluated_arguments([f"ckpt={run.folder}", "data.batch_size=7", "data.root=elsewhere"])[:-3]
    assert moved == [word for word in own if not word.startswith("data.batch_size=")] != own
    shutil.copytree(run.folder, tmp_path / "run")
    record = read_run(run.folder)
    write_run(tmp_path / "run", replace(record, features="own"))
    (tmp_path / "run" / ".hydra" / "overrides.yaml").write_text("[features.images=7, seed=3]")
    assert evaluated_arguments([f"ckpt={tmp_path / 'run'}"])[:-1] == [
        "data=mnist5k",
        "features=own",
        "features.images=7",
    ]
    write_run(tmp_path / "run", replace(record, features="../mine"))
    assert evaluated_arguments([f"ckpt={tmp_path / 'run'}"])[:-1] == ["data=mnist5k"]
    (tmp_path / "run" / ".hydra" / "overrides.yaml").write_text("[data.source._target_=evil.Source]")
    with pytest.raises(CganError, match="could run code that a file names"):
        evaluated_arguments([f"ckpt={tmp_path / 'run'}"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["quikstart"], "experiment=quikstart: .*did you mean quickstart"),
        (["quickstart", "data=mnst"], "data=mnst: .*did you mean mnist"),
        (["trainer.max_epoch=3"], "did you mean trainer.max_epochs"),
        (["+unknown=1"], "nothing reads"),
        (["data.batch_size=[3"], "expected KEY=VALUE"),
        (["data=mnist5k", "data.batch_size=99999", "trainer=cpu"], "lower data.batch_size"),
        (["ckpt=nowhere"], "ckpt=nowhere"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CganError, match=message):
        train(*arguments)


def test_a_folder_in_which_nothing_was_trained_is_free(tmp_path):
    with pytest.raises(CganError, match="seed=-1"):
        train(*TINY, "seed=-1", folder=tmp_path)
    assert not is_locked(tmp_path / "run.lock")


def test_an_error_of_a_program_keeps_its_type(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cgan.tasks.train.build_module", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(*TINY, folder=tmp_path)
