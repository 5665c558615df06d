"""Advice in error messages: it is taken out of the message as a user would take it, and then the command works."""

import ast
import fcntl
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import BARE
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, flag_override

from cgan import evaluate, hub, train
from cgan.archive import to_bytes
from cgan.callbacks.guard import Guard
from cgan.callbacks.quality import Quality
from cgan.checkpoint import find_generator, load_generator, save_generator
from cgan.cli.commands import COMMANDS
from cgan.cli.folders import RunFolder
from cgan.cli.overrides import check_additions, completed, plain_words
from cgan.config import CONF, compose
from cgan.data.build import build_source
from cgan.data.hub import HubSource
from cgan.data.known import TorchvisionSource
from cgan.data.pictures import read_pictures
from cgan.data.pixels import Form
from cgan.data.reading import checked_size
from cgan.data.sources import Mnist5k, Split
from cgan.errors import CganError
from cgan.files import write_file
from cgan.hardware import compile_mode
from cgan.metrics.auto import AutoExtractor
from cgan.metrics.digits import DigitExtractor, StackedDigitExtractor
from cgan.metrics.own import OwnExtractor
from cgan.metrics.timm_model import TimmExtractor
from cgan.networks.light import LightGenerator
from cgan.networks.style import StyleGenerator
from cgan.records.run import read_run, release
from cgan.sampling import formats
from cgan.sampling.decode import decode_image
from cgan.sampling.draw import draw
from cgan.serving.service import Service
from cgan.serving.share import invitation
from cgan.serving.training import Trainings
from cgan.spec import DataSpec
from cgan.tasks import export, features, push, sample, search
from cgan.tasks.build import build_data, build_module, build_trainer
from cgan.tasks.candidates import collect
from cgan.tasks.evaluate import run as evaluate_images
from cgan.tasks.length import length_in_images, seconds_of
from cgan.tasks.new import run as new_project
from cgan.tasks.onnx import _exporter
from cgan.tasks.resume import resumed_arguments
from cgan.tasks.train import measured_pace

pytestmark = pytest.mark.slow

WORD = r"[\w./]+=(?:\[[^\]]*\]|[^\s;,()]+)"
SMALL = [*BARE, "+trainer.limit_train_batches=2", "callbacks.sample_grid=null"]


def refused(act: Callable[[], Any]) -> str:
    """Return what an act is refused with."""
    with pytest.raises(CganError) as caught:
        act()
    return str(caught.value)


def ways_out(typed: list[str], message: str) -> list[list[str]]:
    """Return what is typed next by a user who takes a message at its word: a list for each way out that it names."""
    said, _, rest = message.partition(": ")
    advice = (rest or message).rpartition("; ")[2]
    wrong = next((word for word in typed if word.split("=")[0] == said.split("=")[0]), "")
    value = wrong.partition("=")[2]
    if meant := re.search(r"did you mean (\S+)\?", advice):
        better = f"{said.split('=')[0]}={meant[1]}" if "=" in said else f"{meant[1]}={value}"
        return [[better if word == wrong else word for word in typed]]
    if named := re.search(r"is typed (\S+)$", advice):
        return [[named[1] if word == wrong else word for word in typed]]
    ways = [without(typed, *key[1].split("= and ")) for key in re.finditer(r"leave (\S+(?:= and \S+)*)= out", advice)]
    for words in re.findall(rf"{WORD}(?: {WORD})*", advice):
        new = words.split(" ")
        ways.append([*without(typed, *(word.split("=")[0] for word in new)), *new])
    assert ways, message
    return ways


def without(typed: list[str], *keys: str) -> list[str]:
    return [word for word in typed if word.split("=")[0] not in keys]


# What is typed


@pytest.mark.parametrize(
    "typed", ["+lr=1e-3", "model=dgcan", "model.generator=light", "penalty.gamma=1", "data=photos"]
)
def test_what_is_named_in_place_of_a_misspelt_word_is_read(typed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    words = ways_out([typed], refused(lambda: train(typed)))[0]
    check_additions(compose("train", completed("train", words)))


def test_an_option_of_another_group_is_named_and_no_group_in_place_of_a_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = "data.size: data=mnist has no such key; these have it: data=celeba, data=folder, data=hub, data=omniglot"
    assert refused(lambda: train("data.size=32")) == expected
    assert refused(lambda: train("model.width=8")) == "model.width: there is no such key; --help lists them"
    assert refused(lambda: evaluate("loss=bce")) == "loss: there is no such key; --help lists them"
    assert refused(lambda: train("data=folder", "seed=-1")) == "seed=-1: expected a whole number from 0"


def build(cfg: DictConfig) -> None:
    """Build what a training is made of, short of training."""
    data = build_data(cfg)
    build_module(cfg, data.spec)
    build_trainer(cfg, None, [])
    length_in_images(cfg, data, None, measured_pace)


@pytest.mark.parametrize(
    "typed",
    [
        ["model=mlp", "penalty=r1"],
        ["model=dcgan", "penalty=r1"],
        ["loss=relativistic", "gan.fake_labels=uniform"],
        ["trainer=gpu"],
        ["data.conditional=yes"],
        ["trainer=ddp_cpu", "budget=1h"],
    ],
    ids=str,
)
def test_choices_that_do_not_fit_name_others_that_do(typed, composed):
    if "trainer=gpu" in typed and torch.accelerator.is_available():
        pytest.skip("there is a GPU")

    def built(words: list[str]) -> None:
        build(composed("train", "data=mnist5k", "data.source.test_per_class=460", *words))

    message = refused(lambda: built(typed))
    if "expected true or false" in message:
        ways = [["data.conditional=true"], ["data.conditional=false"]]
    elif message.endswith("set max_images"):
        ways = [[*typed, "max_images=1000"]]
    else:
        ways = ways_out(typed, message)
    for words in ways:
        built(words)


def test_a_sweep_trains_each_run_on_one_device(composed):
    cfg = composed("train", "trainer=ddp_cpu")
    with flag_override(HydraConfig.get(), ["struct", "readonly"], [False, False]):
        HydraConfig.get().mode = RunMode.MULTIRUN
    words, launcher = re.findall(r"Use (\S+), .* with (\S+),", refused(lambda: build_trainer(cfg, None, [])))[0]
    key, _, value = words.partition("=")
    OmegaConf.update(cfg, key, int(value))
    assert build_trainer(cfg, None, []).world_size == 1
    compose("train", [launcher])


@pytest.fixture
def digits(tmp_path: Path) -> Callable[[int], Path]:
    """Write an archive of so many real digits."""

    def write(n: int) -> Path:
        images, labels = Mnist5k(460).load("test")
        chosen = torch.arange(n) * len(labels) // n
        path = tmp_path / f"digits{n}.npz"
        np.savez(path, images=images[chosen].squeeze(1).numpy(), labels=labels[chosen].numpy())
        return path

    return write


def untrained(folder: Path, network: type = LightGenerator, shape: tuple[int, int, int] = (1, 28, 28)) -> Path:
    torch.manual_seed(0)
    generator = network(num_classes=10, img_shape=shape, width=8)
    generator.spec = DataSpec("mnist5k", shape, tuple("0123456789"))
    save_generator(generator, folder)
    return folder


PRETRAINED = "ckpt=pretrained/light"


@pytest.mark.parametrize(
    ("typed", "next_words"),
    [
        (["n=0"], [["n=1"]]),
        (["truncation=nan"], [["truncation=1"], ["truncation=0"]]),
        (["interpolate=[3,8]", "mix=[1,2]"], [["interpolate=[3,8]"]]),
        (["interpolate=[3]", "n=2"], None),
        (["format=gif", "n=1"], [["format=gif", "n=2"]]),
        (["format=idx", "interpolate=[3,8]"], [["format=idx"]]),
        (["classes=3.7"], [["classes=3"]]),
        (["classes=[]"], [["classes=3"], ["classes=[3,5]"], ["classes=all"]]),
        (["device=cuda"], None),
        (["ckpt=pretrained/none"], [["ckpt=pretrained/light"], ["ckpt=pretrained/mlp"]]),
    ],
    ids=str,
)
def test_a_drawing_that_is_refused_is_drawn_as_advised(typed, next_words, composed, tmp_path):
    """Where the message does not hold the words to type, they stand beside what provokes it."""
    if "device=cuda" in typed and torch.accelerator.is_available():
        pytest.skip("there is a GPU")
    start = [] if "ckpt=" in typed[0] else [PRETRAINED]
    message = refused(lambda: sample.run(composed("sample", *start, *plain_words(typed))))
    for words in next_words or ways_out(typed, message):
        drawn = sample.run(composed("sample", *start, "n=2", *plain_words(words)))
        assert len(drawn.images) > 0
        assert drawn.grid.is_file()


def test_every_name_of_a_file_that_the_error_lists_is_written(composed, tmp_path):
    request = [PRETRAINED, "classes=7", "n=2"]
    message = refused(lambda: sample.run(composed("sample", *request, f"out={tmp_path}/a.tar")))
    endings = re.findall(r"\.\w{3}(?=[, ])", message.partition("expected")[2])
    assert endings == [".npz", ".zip", ".gif", ".mp4", ".png"]
    for out in [f"a{ending}" for ending in endings if ending != ".mp4"] + ["folder"]:
        sample.run(composed("sample", *request, f"out={tmp_path / out}"))
        assert (tmp_path / out).exists()


def test_what_takes_the_place_of_a_format_that_cannot_be_written(composed, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    film = [PRETRAINED, "classes=7", "n=2", "format=mp4"]
    message = refused(lambda: sample.run(composed("sample", *film)))
    assert message.endswith("or write a gif: format=gif, out=NAME.gif")
    sample.run(composed("sample", *film[:-1], f"out={tmp_path}/film.gif"))
    colour = [f"ckpt={untrained(tmp_path / 'colour', shape=(3, 28, 28))}", "n=1"]
    message = refused(lambda: sample.run(composed("sample", *colour, "format=idx", f"out={tmp_path}/set")))
    named = re.findall(r"\w+", message.partition("format=")[2].partition("format=")[2])
    assert named == ["png", "npz", "or", "zip"]
    assert sample.run(composed("sample", *colour, "format=png", f"out={tmp_path}/set")).out == tmp_path / "set"
    assert {sample.run(composed("sample", *colour, f"format={kind}")).out.suffix for kind in ("npz", "zip")} == {
        ".npz",
        ".zip",
    }


def test_styles_are_mixed_as_the_errors_say(composed, tmp_path):
    message = refused(lambda: sample.run(composed("sample", PRETRAINED, "mix=[1]")))
    (seeds,) = re.findall(WORD, message.partition("such as")[2])
    assert seeds == "mix=[1,2]"
    assert "train one with model=style" in refused(lambda: sample.run(composed("sample", PRETRAINED, seeds)))
    ckpt = f"ckpt={untrained(tmp_path / 'style', StyleGenerator)}"
    message = refused(lambda: sample.run(composed("sample", ckpt, seeds, "crossover=99")))
    first, last = re.findall(r"from (\d+) to (\d+)", message)[0]
    for crossover in (first, last):
        sample.run(composed("sample", ckpt, seeds, "n=1", f"crossover={crossover}"))


# Values


def of_shape(shape: Any) -> TorchvisionSource:
    return TorchvisionSource("MNIST", "nowhere", shape, ["a"])


@pytest.mark.parametrize(
    ("act", "wrong", "named"),
    [
        (checked_size, "64x64", r"as (\[?[\d,]*\d\]?)"),
        (lambda fit: Form(3, fit=fit), "squash", r"(?:one of |, )(\w+)"),
        (Form, 2, r"(\d) \("),
        (lambda colour: Form(3, background=colour), "blanc", r"white|black|mean|#\w+"),
        (compile_mode, "fast", r"(?:^ |, |one of )([\w-]+)"),
        (seconds_of, "10", r"\d+\w+"),
        (Guard, "go", r"(?:one of |, )(\w+)"),
        (of_shape, 28, r"\[[\d,]+\]"),
        (Mnist5k, 500, r"\d+(?= to| of)"),
        (lambda epochs: Trainings(Path()).overrides("light", epochs=epochs), 0, r"\d+"),
    ],
    ids=[
        "size",
        "fit",
        "channels",
        "background",
        "compile",
        "budget",
        "guard",
        "img_shape",
        "test_per_class",
        "epochs",
    ],
)
def test_every_value_that_the_error_lists_is_taken(act, wrong, named):
    if act is compile_mode and not shutil.which("g++"):
        pytest.skip("needs a compiler")
    values = re.findall(named, refused(lambda: act(wrong)).partition("expected")[2])
    assert values
    for value in values:
        act(yaml.safe_load(value) if value != "#rrggbb" else "#3366cc")


def test_a_value_with_special_letters_is_quoted_as_the_error_shows(composed):
    value = "two words (a, b)"
    message = refused(lambda: train(f"gan.fake_labels={value}"))
    (shown,) = re.findall(r"'KEY=\"VALUE\"'", message)
    (typed,) = shlex.split(shown.replace("KEY", "gan.fake_labels").replace("VALUE", value))
    assert composed("train", typed).gan.fake_labels == value


def test_a_place_without_a_value_is_added(composed, tmp_path):
    message = refused(lambda: build_source(composed("train", "data=folder").data))
    (key,) = re.findall(r"add (\S+)=\.\.\.$", message)
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "1.png").write_bytes(formats.png(torch.zeros(1, 8, 8).byte()))
    found = build_source(composed("train", "data=folder", f"{key}={tmp_path}/cats").data)
    assert found.spec.class_names == ("cats",)


def test_a_compiler_is_named_as_the_error_says(monkeypatch):
    if not (compiler := shutil.which("g++")):
        pytest.skip("needs a compiler")
    monkeypatch.setenv("PATH", "")
    (variable,) = re.findall(r"name one in (\w+)", refused(lambda: compile_mode(True)))
    monkeypatch.setenv(variable, compiler)
    assert compile_mode(True) == "default"


def test_metrics_are_chosen_where_the_error_says(composed):
    message = refused(lambda: Quality(DigitExtractor(), ["fid"], n=10, every_n_epochs=1, seed=0))  # type: ignore[arg-type]
    key = re.findall(r"by (\w+)=\[\.\.\.\]", message)
    assert set(composed("train", f"{key[0]}=[fid]").quality.metrics) == {"fid"}


def test_classes_and_pictures_are_given_to_python_as_the_errors_say(tmp_path):
    generator = load_generator("pretrained/light")
    message = refused(lambda: draw(generator, [3.7]))
    (name,) = re.findall(r"such as '(.*?)'; one for each image", message)
    assert len(draw(generator, [name, 9])) == 2
    noisy = np.random.default_rng(0).integers(0, 256, (1100, 1000), dtype=np.uint8)
    picture = torch.from_numpy(noisy)[None]
    assert refused(lambda: decode_image(formats.png(picture), (1, 28, 28))).endswith("make it smaller")
    assert decode_image(formats.png(picture[:, :500, :500]), (1, 28, 28)).shape == (500, 500)
    written = tmp_path / "seven.png"
    assert "name a picture of one class" in refused(lambda: sample._invert(written, generator, Mnist5k().spec))
    written.write_bytes(formats.png(draw(generator, 7)[0]))
    assert sample._invert(written, generator, Mnist5k().spec).label == 7


def test_a_loss_of_ones_own_is_found_by_the_plugin_that_the_error_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "own_loss.py").write_text("from cgan.losses.adversarial import BCE\n\nclass Loss(BCE):\n    pass\n")
    typed = [*SMALL, "loss._target_=own_loss.Loss"]
    message = refused(lambda: train(*typed, folder="first"))
    (plugin,) = re.findall(r"if it is your own, add (plugins=\S+)$", message)
    assert train(*typed, plugin, folder="second").generator.spec is not None
    del sys.modules["own_loss"]


def test_an_address_of_the_hub_has_the_forms_that_the_error_shows():
    first, second = re.findall(r"hf://USER\S*", refused(lambda: hub.Address.parse("hf://digits")))
    assert hub.Address.parse(first) == ("USER/NAME", None)
    assert hub.Address.parse(second) == ("USER/NAME", "REVISION")


@pytest.mark.parametrize(
    ("images", "advice", "mend"),
    [
        (np.eye(28, dtype=np.uint8)[None], r"multiply them by 255$", lambda images: images * 255),
        (np.full((1, 28, 28), 4), r"store them as uint8$", lambda images: images.astype(np.uint8)),
        (np.full((1, 28, 28), np.nan), r"store finite values$", np.nan_to_num),
        (np.full((1, 28, 28), 1.5), r"scale them, or", lambda images: images / images.max()),
        (np.full((1, 28, 28), 9.5), r"or store them as uint8 in 0\.\.255$", lambda images: images.astype(np.uint8)),
    ],
    ids=["masks", "int64", "nan", "floats", "floats as uint8"],
)
def test_arrays_are_read_when_they_are_changed_as_the_error_says(images, advice, mend, tmp_path):
    spec, path = Mnist5k().spec, tmp_path / "x.npz"
    np.savez(path, images=images, labels=[3])
    assert re.search(advice, refused(lambda: read_pictures(path, spec)))
    np.savez(path, images=mend(images), labels=[3])
    assert read_pictures(path, spec).labels.tolist() == [3]


# Evaluation


QUICK = ["data=mnist5k", "data.source.test_per_class=460", "features=pixels", "metrics=[fid]"]


def test_as_many_images_as_the_error_says_are_evaluated(composed, digits):
    def evaluated(*words: str) -> Any:
        return evaluate_images(composed("evaluate", *QUICK, *words))

    images = f"images={digits(10)}"
    (number,) = re.findall(r"set (n=\d+)", refused(lambda: evaluated(f"images=[{digits(20)},{digits(10)}]", "n=100")))
    assert refused(lambda: evaluated(f"images={digits(1)}")).endswith("2 or more are needed, found 1; give more")
    (metrics,) = re.findall(r"metrics=\[", refused(lambda: evaluated(images, number, "metrics=[inception_score]")))
    evaluation = evaluated(images, number, f"{metrics}spectrum]")
    assert evaluation.record.protocol.n == 10
    assert all(name.startswith("spectrum") for name in evaluation.values)


def test_a_generator_is_compared_with_the_data_that_the_error_names(composed, tmp_path):
    ckpt = f"ckpt={untrained(tmp_path / 'mine')}"

    def collected(*words: str) -> list[Any]:
        cfg = composed("evaluate", ckpt, *words)
        return collect(cfg, build_source(cfg.data).spec, tmp_path)

    typed = ["data=cifar10"]
    ((data, *_),) = ways_out(typed, refused(lambda: collected(*typed)))
    assert data == "data=mnist5k"
    assert collected(data)[0].entry.trained_on == "mnist5k"
    (count,) = re.findall(r"expected (\d+)", refused(lambda: collected(data, "names=[a,b]")))
    names = ["a", "b"][: int(count)]
    assert [one.entry.name for one in collected(data, f"names=[{','.join(names)}]")] == names


def test_images_beside_images_are_compared_as_the_error_says(composed, tmp_path):
    request = f"images2={tmp_path}"
    (named,) = re.findall(r"such as (\w+)=FOLDER", refused(lambda: evaluate_images(composed("evaluate", request))))
    message = refused(lambda: evaluate_images(composed("evaluate", request, f"{named}={tmp_path}")))
    assert message.startswith(f"images2={tmp_path}: expected one folder of pictures"), "the next thing that is missing"


def test_features_are_chosen_by_the_data_where_the_error_says_so():
    faces = DataSpec("faces", (3, 64, 64), ("face",))
    images = torch.arange(8 * 3 * 64 * 64, dtype=torch.int64).remainder(251).to(torch.uint8).view(8, 3, 64, 64)
    split = Split(images, torch.zeros(8, dtype=torch.int64))
    for extractor in (DigitExtractor(), StackedDigitExtractor()):
        assert "leave features= out" in refused(lambda extractor=extractor: extractor.check(faces))
    assert "leave features= out" in refused(lambda: OwnExtractor().fitted(faces, split, split, "cpu"))
    assert AutoExtractor().fitted(faces, split, split, "cpu").name == "pixels8"


def test_a_single_picture_to_test_with_is_joined_by_others_as_the_error_says(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cats").mkdir()
    for level in range(4):
        (tmp_path / "cats" / f"{level}.png").write_bytes(formats.png(torch.full((1, 32, 32), 60 * level).byte()))
    typed = ["model=light", "data=folder", "data.root=cats", "data.batch_size=2", "trainer=cpu", "trainer.max_epochs=1"]
    typed += ["metrics=[fid]", "callbacks.sample_grid=null"]
    message = refused(lambda: train(*typed, folder="run"))
    key, without_it = re.findall(r"2 or more held-out images, found 1; .* larger (\S+), or go on with (\S+)$", message)[
        0
    ]
    assert train(*typed, f"{key}=0.5", folder="more").score is not None
    assert without_it in BARE, "with which nearly all tests train"


def test_features_of_no_classifier_are_made_without_a_file(composed, tmp_path):
    typed = ["features=pixels", f"out={tmp_path / 'x'}"]
    message = refused(lambda: features.run(composed("features", "data=mnist5k", *typed)))
    (words,) = ways_out(typed, message)
    assert features.run(composed("features", "data=mnist5k", *words)).name == "pixels8"


# Runs


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one epoch."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    train("model=light", *SMALL, folder=folder)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(trained, tmp_path / "run"))


def state(folder: Path) -> tuple[str, int]:
    record = read_run(folder)
    assert record is not None
    return record.state, record.epoch


def test_a_finished_run_goes_on_as_the_errors_say(run):
    message = refused(lambda: train("model=light", *SMALL, folder=run))
    (ckpt,) = re.findall(r"go on with (ckpt=\S+)", message)
    assert "larger trainer.max_epochs or max_images" in message
    message = refused(lambda: train(ckpt))
    (key,) = re.findall(r"raise (\S+)", message)
    train(ckpt, f"{key}=2")
    assert state(run) == ("finished", 2)


def test_a_diverged_run_goes_on_as_the_error_says(run):
    """A learning rate that no network stands; the epoch before has a sound checkpoint, a first one has none."""
    wild = ["optimizer.lr=1e30", "trainer.max_epochs=2"]
    message = refused(lambda: train(f"ckpt={run}", *wild))
    lower, ckpt = re.findall(r"lower (\S+), .*go on with (ckpt=\S+),", message)[0]
    train(ckpt, f"{lower}=1e-4", *wild[1:])
    assert state(run) == ("finished", 2)
    assert refused(lambda: train("model=light", *SMALL, wild[0], folder="new")).endswith("and start again")


def test_a_place_that_is_taken_is_left_for_another(tmp_path, capsys):
    """A folder that another process uses, one with an evaluation, and a sweep's."""

    def started(run: str, sweep: str = "sweep", multirun: bool = False) -> str:
        places = {"run": {"dir": str(tmp_path / run)}, "sweep": {"dir": str(tmp_path / sweep)}}
        typed = ["hydra.run.dir=x", "hydra.sweep.dir=x"]
        cfg = OmegaConf.create({"ckpt": None, "hydra": places | {"overrides": {"hydra": typed}}})
        start = RunFolder(result="evaluation.json")
        try:
            start.on_multirun_start(cfg) if multirun else start.on_run_start(cfg)
        except SystemExit:
            return capsys.readouterr().err
        return ""

    for folder, file in {"used": "run.lock", "evaluated": "evaluation.json", "swept/0": "run.json"}.items():
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / file).write_text("{}")
    with (tmp_path / "used" / "run.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "name another with hydra.run.dir=FOLDER" in started("used")
    assert "name another with hydra.run.dir=FOLDER" in started("evaluated")
    assert started("new") == ""
    assert "name another with hydra.sweep.dir=FOLDER" in started("", "swept", multirun=True)
    assert started("", "new", multirun=True) == ""
    for folder in ("evaluated", "new"):
        release(tmp_path / folder)


def test_a_file_that_cannot_be_written_is_written_elsewhere(tmp_path):
    (tmp_path / "taken").touch()
    message = refused(lambda: write_file(tmp_path / "taken" / "x", b"x"))
    assert message.endswith("free space or choose another place")
    write_file(tmp_path / "free" / "x", b"x")
    message = refused(lambda: new_project(tmp_path / "free"))
    assert message.endswith("name another one")
    new_project(tmp_path / "own")
    assert (tmp_path / "own" / "README.md").is_file()


def test_a_checkpoint_alone_names_the_model_that_it_needs(run):
    shutil.copy(run / "checkpoints" / "last.ckpt", "mine.ckpt")
    typed = [*SMALL, "trainer.max_epochs=2", "ckpt=mine.ckpt"]
    (words,) = ways_out(typed, refused(lambda: train(*typed, folder="other")))
    assert words == [*typed, "model=light"]
    train(*words, folder="again")
    assert state(Path("again")) == ("finished", 2)


def test_a_resumed_run_leaves_out_what_the_error_names(run):
    """What was typed and refused is not stored: with it, no later attempt would succeed."""
    typed = [f"ckpt={run}", "trainer.max_epochs=2"]
    stored = {path: path.read_bytes() for path in run.glob(".hydra/*.yaml")}
    message = refused(lambda: train(*typed, "data.conditional=false"))
    assert "leave out experiment=, model= and data= to go on as it was trained" in message
    assert "nothing reads this key" in refused(lambda: train(*typed, "+foo=1"))
    assert {path: path.read_bytes() for path in run.glob(".hydra/*.yaml")} == stored
    assert state(run) == ("finished", 1)
    train(*typed)
    assert state(run) == ("finished", 2)
    assert "trainer.max_epochs=2" in yaml.safe_load((run / ".hydra" / "overrides.yaml").read_text())


def test_a_resumed_run_keeps_its_length_as_the_error_says(run):
    message = refused(lambda: resumed_arguments([f"ckpt={run}", "budget=1h"]))
    assert message == "budget=1h: a run that goes on keeps its length; type max_images= instead"
    assert resumed_arguments([f"ckpt={run}", "max_images=900"])[-3] == "max_images=900"


@pytest.mark.parametrize(
    "typed", [["model=mlp"], ["model/generator=mlp"], ["model.generator.width=8"], ["model=mlp", "seed=2"]], ids=str
)
def test_a_resumed_run_keeps_its_networks_as_the_error_says(typed, run):
    message = refused(lambda: resumed_arguments([f"ckpt={run}", *typed]))
    left = without(typed, "model.generator.width") if "leave this out" in message else ways_out(typed, message)[0]
    assert left == [word for word in typed if word.startswith("seed")]
    assert "model=light" in resumed_arguments([f"ckpt={run}", *left])


@pytest.mark.parametrize("line", ["plugins=[own_net]", "+x._target_=os.getcwd", "data.root=${oc.env:HOME}"])
def test_what_a_stored_override_would_import_is_typed_as_the_error_shows_it(line, run):
    stored = run / ".hydra" / "overrides.yaml"
    stored.write_text(yaml.safe_dump(["model=light", line]))
    message = refused(lambda: resumed_arguments([f"ckpt={run}"]))
    (shown,) = re.findall(r"('.*')", message)
    arguments = resumed_arguments([f"ckpt={run}", ast.literal_eval(shown)])
    assert arguments[:2] == ["model=light", line]


@pytest.mark.parametrize("content", ["a: [1", "just words", "[3, {}]"])
def test_damaged_stored_overrides_are_deleted_and_typed(content, run):
    stored = run / ".hydra" / "overrides.yaml"
    stored.write_text(content)
    message = refused(lambda: resumed_arguments([f"ckpt={run}"]))
    assert message.endswith("delete it and type the run's overrides")
    Path(message.partition(": ")[0]).unlink()
    assert resumed_arguments([f"ckpt={run}", "model=light"])[0] == "model=light"


def test_a_checkpoint_that_is_not_found_is_named_in_another_way(run, monkeypatch):
    message = refused(lambda: resumed_arguments(["ckpt=last"], runs=run / "samples"))
    assert "name one with ckpt=PATH" in message
    assert resumed_arguments([f"ckpt={run}"])[-1] == f"hydra.run.dir={run}"
    message = refused(lambda: find_generator("pretrained/none"))
    names = message.partition("choose among ")[2].split(", ")
    assert len(names) == 4
    assert all(load_generator(name).spec for name in names)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    message = refused(lambda: resumed_arguments(["seed=1"]))
    (key,) = re.findall(r"type (\S+)=FOLDER", message)
    assert resumed_arguments(["seed=1", f"{key}=here"]) == ["seed=1", f"{key}=here"]


def test_a_damaged_checkpoint_is_replaced_by_another(run, composed):
    (run / "checkpoints" / "last.ckpt").write_bytes(to_bytes({})[:-9])
    path = untrained(run / "another")
    message = refused(lambda: sample.run(composed("sample", f"ckpt={run}")))
    assert message.endswith("name another with ckpt=PATH")
    assert sample.run(composed("sample", f"ckpt={path}", "n=1")).labels.tolist()


@pytest.mark.parametrize("kind", ["run", "checkpoint", "export without a card", "folder of something else", "nothing"])
def test_the_command_for_an_export_makes_what_can_be_sent(kind, run, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["cgan"])
    place = {
        "run": run,
        "checkpoint": run / "checkpoints" / "last.ckpt",
        "export without a card": untrained(tmp_path / "bare"),
        "folder of something else": run / "checkpoints",
        "nothing": tmp_path / "no where",
    }[kind]
    message = refused(lambda: push.run(place, "me/digits"))
    words = shlex.split(re.findall(r"`(.*)`$", message)[0])
    assert words[1] == "export"
    out = export.run(compose("export", plain_words(words[2:]), tmp_path / "job"))
    assert all((out / name).is_file() for name in (*hub.FILES, "README.md"))
    drawn, own = (
        load_generator(out),
        find_generator(place if kind not in ("folder of something else", "nothing") else None),
    )
    assert type(drawn) is type(load_generator(own.path))


def test_an_export_that_is_refused_is_written_as_advised(composed, tmp_path):
    def exported(*typed: str) -> Path:
        return export.run(composed("export", PRETRAINED, *typed))

    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    assert "expected a new folder, or one that holds an export" in refused(lambda: exported(f"out={tmp_path}/full"))
    for _ in range(2):
        exported(f"out={tmp_path}/new")
    typed = ["half=true", "format=onnx"]
    message = refused(lambda: exported(*typed))
    assert message.endswith("leave one of them out")
    exported("half=true", f"out={tmp_path}/half")
    (ending,) = re.findall(r"ends in (\.\w+)", refused(lambda: exported("format=onnx", f"out={tmp_path}/x")))
    cfg = composed("export", "format=onnx", f"out={tmp_path}/x{ending}")
    assert export.destination(cfg) == tmp_path / "x.onnx"


# Studies, the page, extras


def test_a_study_searches_what_the_error_shows(tmp_path, monkeypatch):
    """Each trial ends at once: what is searched is all that matters here."""
    monkeypatch.setattr(search, "train_once", lambda *arguments: 1.0)
    message = refused(lambda: search.run("s", 1, ["seed=1"], studies=tmp_path))
    (shown,) = re.findall(r"such as (\S+)", message)
    assert len(search.run("s", 1, ["seed=1", shown], studies=tmp_path)) == 1
    message = refused(lambda: search.run("s", 1, ["seed=2", shown], studies=tmp_path))
    assert message.endswith("name another study")
    assert len(search.run("another", 1, ["seed=2", shown], studies=tmp_path)) == 1
    message = refused(lambda: search.run("third", 1, ["optimizer.lr=glob(*)"], studies=tmp_path))
    kinds = re.findall(r"(\w+)\(\.\.\.\)", message)
    assert len(search.run("third", 1, [f"{kind}.lr={kind}(1,3)" for kind in kinds], studies=tmp_path)) == 1


def test_a_training_of_the_page_is_started_as_the_errors_say(tmp_path):
    here = Trainings(tmp_path)
    (key,) = re.findall(r"needs (\S+): enter a value", refused(lambda: here.overrides("light", "folder")))
    assert here.overrides("light", "folder", needed={key: "photos"})[-1] == f"{key}=photos"
    assert "Leave one of the two empty" in refused(lambda: here.overrides("light", epochs=3, minutes=2))
    assert here.overrides("light", minutes=2)[-1] == "budget=2min"
    names = refused(lambda: here.overrides("x")).partition("expected one of ")[2].split(", ")
    values = {"data.root": "photos", "data.name": "me/photos"}  # the presets of own pictures ask for theirs
    assert [here.overrides(name, needed=values)[0] for name in names] == [f"experiment={name}" for name in names]


def test_requests_to_the_api_and_the_page_are_met_as_the_errors_say(tmp_path):
    untrained(tmp_path / "export" / "runs" / "1" / "generator")
    damaged = untrained(tmp_path / "export" / "runs" / "2" / "generator")
    (damaged / "model.safetensors").write_bytes(b"x")
    service = Service(tmp_path)
    message = refused(lambda: service.draw("nothing", [0], [0]))
    assert "choose one that it names" in message
    names = {model.name: model.error for model in service.models()}
    (bad,) = [name for name, error in names.items() if error]
    assert refused(lambda: service.draw(bad, [0], [0])).endswith("choose another model")
    name = "pretrained/light"
    assert "send several requests" in refused(lambda: service.draw(name, [0] * 1001, [0] * 1001))
    assert len(service.draw(name, [0], [0])) == 1
    first, last = map(int, re.findall(r"classes (\d) to (\d)", refused(lambda: service.draw(name, [10], [0])))[0])
    lowest, highest = map(int, re.findall(r"(\d+) to (\d+)", refused(lambda: service.draw(name, [0], [-1])))[0])
    least, most = map(float, re.findall(r"(\d) to ([\d.]+)", refused(lambda: service.draw(name, [0], [0], 9.0)))[0])
    assert service.draw(name, [first, last], [lowest, highest], least).shape == (2, 1, 28, 28)
    assert service.draw(name, [first, last], [lowest, highest], most).shape == (2, 1, 28, 28)
    assert "expected one seed per label" in refused(lambda: service.draw(name, [1, 2], [3]))


def missing(module: str) -> Callable[[], Any]:
    """Return an act that needs a module."""
    return {
        "uvicorn": lambda: COMMANDS["serve"]([]),
        "streamlit": lambda: COMMANDS["app"]([]),
        "optuna": lambda: COMMANDS["search"](["s", "2", "seed=choice(1,2)"]),
        "segno": lambda: invitation("http://x"),
        "timm": lambda: TimmExtractor("test_vit"),
        "huggingface_hub": lambda: hub.download("hf://me/digits"),
        "datasets": lambda: HubSource(name="me/digits"),
        "onnx": _exporter,
        "imageio_ffmpeg": lambda: formats.mp4(torch.zeros(2, 1, 8, 8, dtype=torch.uint8)),
    }[module]


@pytest.mark.parametrize(
    "module",
    ["uvicorn", "streamlit", "optuna", "segno", "timm", "huggingface_hub", "datasets", "onnx", "imageio_ffmpeg"],
)
def test_the_extra_that_the_error_names_brings_what_is_missing(module, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == module or name == "cgan.tasks.search"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    (extra,) = re.findall(r"pip install 'cgan\[(\w+)\]'", refused(missing(module)))
    project = tomllib.loads((CONF.parent / "pyproject.toml").read_text())["project"]
    brought = {re.split(r"[>\[ ]", entry)[0].lower() for entry in project["optional-dependencies"][extra]}
    assert {name.lower().replace("_", "-") for name in installed()[module]} & brought


@cache
def installed() -> Mapping[str, list[str]]:
    """Return the distributions of each module; reading them all takes a second."""
    return packages_distributions()
