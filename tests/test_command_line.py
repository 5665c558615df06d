import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from processes import ROOT, start, typed

from cgan.archive import to_bytes
from cgan.checkpoint import PRETRAINED
from cgan.cli.commands import COMMANDS
from cgan.cli.comments import keys
from cgan.cli.errors import error_message
from cgan.cli.overrides import completed, plain_words
from cgan.commands import command, installed
from cgan.config import CONF, quoted
from cgan.errors import CganError
from cgan.tasks.resume import resumed_arguments


@pytest.mark.parametrize(
    ("script", "arguments", "words"),
    [
        ("train.py", ["model=dgcan"], ["model=dgcan", "did you mean dcgan", "light", "mlp"]),
        ("train.py", ["model/generator=lihgt"], ["model/generator=lihgt", "did you mean light"]),
        ("train.py", ["model/generatr=light"], ["did you mean model/generator?"]),
        ("train.py", ["model.generator=mlp"], ["an option of a group is typed model/generator=mlp"]),
        ("train.py", ["datta.batch_size=3"], ["datta.batch_size", "did you mean data.batch_size?"]),
        ("train.py", ["batch_size=3"], ["batch_size", "did you mean data.batch_size?"]),
        ("train.py", ["epochs=3"], ["did you mean trainer.max_epochs?"]),
        ("train.py", ["metrics=[fid,kidd]"], ["metrics=kidd: expected one of all, cas", "did you mean kid?"]),
        ("train.py", ["seed=1,2"], ["seed=1,2: a list is typed seed=[1,2], and a run for each value needs -m"]),
        ("train.py", ["--seed=1"], ["--seed=1: there is no such option; a value is typed seed=VALUE"]),
        ("train.py", ["+unknown=1"], ["+unknown: nothing reads"]),
        ("train.py", ["+gan.foo=1"], ["+gan.foo: nothing reads"]),
        ("train.py", ["++data.siurce=1", "++seed=2"], ["+data.siurce: nothing reads", "did you mean data.source."]),
        ("train.py", ["data=mnist5k", "+trainer.foo=1"], ["Trainer takes no argument 'foo'"]),
        ("train.py", ["data=mnist5k", "+data.source.foo=1"], ["data.source: Mnist5k takes no argument 'foo'"]),
        ("train.py", ["data=mnist5k", "+optimizer.d.foo=1"], ["Adam takes no argument 'foo'"]),
        ("train.py", ["data=mnist5k", "loss._target_=own_gan.Loss"], ["own_gan.Loss: cannot", "add plugins=[own_gan]"]),
        ("train.py", ["penalty=r1", "penalty._target_=own.GP"], ["penalty._target_=own.GP: cannot", "plugins=[own]"]),
        ("train.py", ["penalty=null"], ["penalty=null: expected the name of an option", "none, r1, r1r2, wgan_gp"]),
        ("train.py", ["model/generator=3"], ["model/generator=3: expected the name of an option", "dcgan, light"]),
        ("evaluate.py", ["features=true"], ["features=true: expected the name of an option", "auto, cifar10"]),
        ("sample.py", ["classes=日本"], ["class '日本'", "0, 1, 2, 3"]),
        ("sample.py", ["classes=1e3"], ["class '1e3'"]),
        ("sample.py", ["classes=1.10"], ["class '1.10'"]),
        ("sample.py", ["classes=null"], ["class 'null'"]),
        ("sample.py", ["ckpt=/home/ü/a=b,c d"], ["/home/ü/a=b,c d: no such"]),
        ("sample.py", ["ckpt=/x/ü/run"], ["ckpt=/x/ü/run: no such"]),
        ("sample.py", ["ckpt=~/no such run"], [f"ckpt={Path.home()}/no such run: no such"]),
        ("train.py", ["data.batch_size"], ["data.batch_size"]),
        ("train.py", ["ckpt=nowhere.ckpt"], ["nowhere.ckpt", "no such checkpoint"]),
        ("train.py", ["data=mnist5k", "data.batch_size=9999"], ["data.batch_size=9999", "at most the 4000"]),
        ("train.py", ["data=mnist5k", "data.source.test_per_class=500"], ["1 to 499"]),
        ("train.py", ["data.batch_siez=3"], ["data.batch_siez", "did you mean data.batch_size"]),
        ("train.py", ["data=mnist5k", "compile=fast"], ["compile=fast", "reduce-overhead"]),
        ("sample.py", ["digits=12"], ["'12'", "0, 1, 2, 3"]),
        ("sample.py", ["n=0"], ["n=0", "whole number"]),
        ("sample.py", [f"seed={2**63}"], [f"seed={2**63}: expected a whole number below"]),
        ("sample.py", ["ckpt=nowhere"], ["ckpt=nowhere", "run folder"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else value,
)
def test_a_wrong_request_is_one_clear_line(tmp_path, script, arguments, words):
    run = start(*arguments, f"hydra.run.dir={tmp_path}", cwd=tmp_path, script=script)
    assert run.wait() == 1, run.words()
    (line,) = run.errors().strip().splitlines()
    assert line.startswith("error: ")
    for word in words:
        assert word in line


def test_what_only_a_programmer_can_mend_keeps_its_traceback(tmp_path):
    (tmp_path / "broken.py").write_text("import torch\n\n\ndef loss():\n    torch.nn.Linear('many', 1)\n")
    run = start("data=mnist5k", "loss._target_=broken.loss", "plugins=[broken]", "hydra.run.dir=run", cwd=tmp_path)
    assert run.wait() == 1
    assert "Traceback" in run.errors()
    assert run.errors().strip().splitlines()[-1].startswith("TypeError")


@pytest.mark.parametrize(
    "name",
    ["train", "sample", "evaluate", "export", "features", "data", "app", "serve", "search", "runs", "new", "push"],
)
def test_every_command_has_help_for_people(tmp_path, name):
    words = typed(name, "--help", cwd=tmp_path).output()
    _, examples = words.split("Examples:\n")
    assert all("cgan " in line for line in examples.splitlines()[:3]), "three"
    assert name != "new" or "DIR" in words
    if name in ("train", "sample", "evaluate", "export"):
        assert "=null" in words
        assert "--config-dir DIR" in words


def test_help_shows_the_groups_within_the_chosen_model(tmp_path):
    words = typed("train", "model=light", "model/generator=light_wide", "--help", cwd=tmp_path).output()
    assert "model/discriminator=light\n" in words
    assert "  light_wide *" in words
    assert "model.generator.width=64" in words
    assert "model.discriminator.hidden=256" in words


def test_help_names_the_keys_of_a_preset_as_they_are_typed(tmp_path):
    words = typed("train", "experiment=stacked_mnist", "--help", cwd=tmp_path).output()
    assert re.search(r"^  penalty.share=0.25 +faster with this discriminator", words, re.MULTILINE)
    assert "experiment.trainer" not in words


def test_help_shows_the_keys_of_a_choice_and_of_its_bases():
    found = {key.name: key.default for key in keys(CONF / "data" / "emnist_letters.yaml", "data.")}
    assert found["data.source.dataset"] == "EMNIST"  # its own
    assert found["data.source.img_shape"] == "[1, 28, 28]"  # that of its base
    assert {"name", "revision", "size", "batch_size"} < {key.name for key in keys(CONF / "data" / "hub.yaml")}


def test_the_overview_has_one_sentence_for_every_command(tmp_path):
    words = typed("--help", cwd=tmp_path).output()
    lines = [line.split(maxsplit=1) for line in words.splitlines() if line.startswith("  ") and line[2] != " "]
    names = "train sample evaluate export features data app serve search runs new push --version"
    assert [line[0] for line in lines] == names.split()
    assert all(len(line) == 2 for line in lines)


def test_the_version_is_that_of_the_package(tmp_path):
    assert typed("--version", cwd=tmp_path).output() == "cgan 0.1.0\n"


def test_a_shell_completes_commands_and_groups(tmp_path):
    def suggested(line: str) -> list[str]:
        environment = {"COMP_LINE": line, "COMP_POINT": str(len(line))}
        return typed("-sc", "query=bash", cwd=tmp_path, env=environment).output().split()

    assert suggested("cgan tr") == ["train"]
    assert "loss=" in suggested("cgan train los")
    assert suggested("cgan train mod") == ["model=", "model."]
    assert {"model=light", "model=mlp"} <= set(suggested("cgan train model="))


def test_the_pretrained_generator_draws_at_once(tmp_path):
    run = typed("sample", "classes=7", "n=25", "out=sevens", cwd=tmp_path)
    assert "Generator: pretrained: light_wide on MNIST" in run.output()
    assert len(list((tmp_path / "sevens").glob("7_0_*.png"))) == 25
    assert len(list(tmp_path.glob("logs/sample/runs/*/grid.png"))) == 1


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "runs" / "it's the first"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / ".hydra").mkdir()
    (folder / "checkpoints" / "last.ckpt").write_bytes(to_bytes({}))
    (folder / ".hydra" / "overrides.yaml").write_text(
        yaml.safe_dump(["model=light", "seed=3", "ckpt=old.ckpt", "+trainer.limit_train_batches=3"])
    )
    return folder


def resumed(arguments):
    return resumed_arguments(plain_words(arguments))


@pytest.mark.parametrize("requested", ["last", "folder", "file"])
def test_a_resumed_run_goes_on_with_its_choices_in_its_folder(run, requested):
    last = run / "checkpoints" / "last.ckpt"
    name = {"last": "last", "folder": str(run), "file": str(last)}[requested]
    words = plain_words(["trainer.max_epochs=9", f"ckpt={name}", "seed=4"])
    arguments = resumed_arguments(words, runs=run.parent)
    assert arguments == [
        "model=light",
        "+trainer.limit_train_batches=3",
        "trainer.max_epochs=9",
        "seed=4",
        f"ckpt={quoted(last)}",
        f"hydra.run.dir={quoted(run)}",
    ]


def test_a_resumed_run_keeps_its_model(run):
    choices = {"model": "light", "model/generator": "light", "model/discriminator": "light"}
    hydra = {"hydra": {"runtime": {"choices": choices}}}
    (run / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump(hydra))
    assert "model=light" in resumed([f"ckpt={run}", "model=light"])
    with pytest.raises(CganError, match=r"was trained with model=light; leave model= out"):
        resumed([f"ckpt={run}", "model=mlp"])
    with pytest.raises(CganError, match=r"was trained with model/generator=light; leave model/generator= out"):
        resumed([f"ckpt={run}", "model/generator=mlp"])
    with pytest.raises(CganError, match=r"model\.generator\.width=8: .* leave this out"):
        resumed([f"ckpt={run}", "model.generator.width=8"])


@pytest.mark.parametrize("stored", ["plugins=[evil]", "+plugins=[evil]", "++plugins=[evil]"])
def test_a_resumed_run_asks_for_its_plugins_instead_of_importing_them(run, stored):
    (run / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump([stored]))
    with pytest.raises(CganError, match=r"type .*plugins=\[evil\]"):
        resumed([f"ckpt={run}"])
    assert resumed([f"ckpt={run}", "plugins=[mine]"])[0] == "plugins=[mine]"


def test_paths_and_classes_are_plain_words(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    for word, expected in {
        "classes=[1e3,日本]": "classes=['1e3','日本']",
        "classes=3,7": "classes=['3','7']",
        "classes=true": "classes='true'",
        "digits=1.10": "digits='1.10'",
        "ckpt=~/a,b=c": "ckpt='/home/me/a,b=c'",
        "ckpt=null": "ckpt=null",
        "ckpt='a b'": "ckpt='a b'",
        "images2=~/a (1)": "images2='/home/me/a (1)'",
        "features.weights=~/net": "features.weights=/home/me/net",
        "ckpt=[a,b c]": "ckpt=[a,'b c']",
        "ckpt=logs/run_1/last.ckpt": "ckpt=logs/run_1/last.ckpt",
        "ckpt=NaN": "ckpt='NaN'",
        "data.root=${oc.env:HOME}": "data.root=${oc.env:HOME}",
        "n=3": "n=3",
    }.items():
        assert plain_words([word]) == [expected]
        assert plain_words([expected]) == [expected]
    assert plain_words(["-m", "ckpt=a,b"]) == ["-m", "ckpt=a,b"]


@pytest.mark.parametrize(
    ("started", "expected"),
    [
        (ROOT / "train.py", "{python} sample.py classes=all 'ckpt=a b'"),
        (ROOT / "src" / "cgan" / "__main__.py", "{python} -m cgan sample classes=all 'ckpt=a b'"),
        (Path(sys.executable).with_name("cgan"), "{cgan} sample classes=all 'ckpt=a b'"),
    ],
)
def test_a_printed_command_names_what_runs(monkeypatch, started, expected):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [str(started)])
    monkeypatch.setenv("PATH", "/nowhere")
    line = expected.format(python=sys.executable, cgan=Path(sys.executable).with_name("cgan"))
    assert command("sample", "classes=all", "ckpt=a b") == line.replace(f"{ROOT}/", "")


@pytest.mark.parametrize(("path", "typed"), [("/nowhere", None), (None, "tensorboard")])
def test_a_program_installed_beside_is_named_as_the_shell_finds_it(monkeypatch, path, typed):
    monkeypatch.chdir("/")
    beside = Path(sys.executable).with_name("tensorboard")
    monkeypatch.setenv("PATH", path or str(beside.parent))
    assert installed("tensorboard", "--logdir", "a b") == f"{typed or os.path.relpath(beside)} --logdir 'a b'"


def test_a_pasted_command_finds_its_run(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", [str(ROOT / "train.py")])
    monkeypatch.chdir(ROOT)
    line = command("sample", f"ckpt={tmp_path}/a=b,c ü")
    done = subprocess.run(line, shell=True, capture_output=True, text=True)
    assert f"ckpt={tmp_path}/a=b,c ü: no such" in done.stderr


def test_options_stand_anywhere_between_overrides():
    words = ["n=3", "--config-dir", "mine", "seed=2", "-m", "classes=7"]
    assert completed("sample", words) == ["n=3", "seed=2", "classes='7'", "--config-dir", "mine", "-m"]


def test_a_port_out_of_range_is_refused_before_anything_starts(capsys):
    with pytest.raises(SystemExit) as ended:
        COMMANDS["serve"](["--port", "65536"])
    assert ended.value.code == 2
    assert "'--port': 65536 is not in the range 0<=x<=65535" in capsys.readouterr().err


def test_an_exported_generator_cannot_be_trained_on():
    with pytest.raises(CganError, match="an exported generator has no discriminator to train with; name its run"):
        resumed_arguments([f"ckpt={PRETRAINED / 'mlp'}"])


def test_without_ckpt_nothing_is_added():
    assert resumed_arguments(["seed=1"]) == ["seed=1"]
    assert resumed_arguments(["ckpt=null"]) == ["ckpt=null"]


def test_a_requeued_job_finds_its_folder_whatever_is_typed(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    for words in (["seed=1"], ["--config-dir", "conf", "seed=1"], ["seed=1", "-cd=conf"]):
        *kept, place = resumed_arguments(words)
        assert kept == words
        assert re.match(r"hydra\.run\.dir='?/.*/logs/train/runs/slurm_77_\w{8}'?$", place)
    for words in (["hydra.run.dir=here", "seed=1"], ["-m", "seed=1,2"], ["seed=1,2", "--multirun"]):
        assert resumed_arguments(words) == words


def test_stored_overrides_import_nothing(run):
    for override in ("+x._target_=os.system", "hydra.launcher=evil", "model.generator._target_=a.b"):
        (run / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump([override]))
        with pytest.raises(CganError, match="run code"):
            resumed([f"ckpt={run}"])
    (run / ".hydra" / "overrides.yaml").write_text("a: [1")
    with pytest.raises(CganError, match="delete it"):
        resumed([f"ckpt={run}"])


def test_last_names_the_folder_where_nothing_was_found(tmp_path):
    with pytest.raises(CganError, match="no checkpoints"):
        resumed_arguments(["ckpt=last"], runs=tmp_path)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "no connection: Connection refused; check the network"),
        (socket.gaierror(-2, "Name or service not known"), "no connection: Name or service not known; check the"),
        (TimeoutError(110, "Connection timed out"), "no connection: Connection timed out; check the network"),
        (
            PermissionError(13, "Permission denied", "a"),
            "cannot use a: Permission denied; check the path and your rights",
        ),
        (IsADirectoryError(21, "Is a directory", "a"), "cannot use a: Is a directory; check the path"),
        (OSError(28, "No space left on device", "a"), "cannot use a: No space left on device; free space"),
    ],
)
def test_what_the_system_refuses_is_one_line_with_fitting_advice(error, message):
    assert error_message(error).startswith(message)


def test_a_yaml_that_cannot_be_read_is_named_with_its_line(tmp_path):
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss" / "odd.yaml").write_text("# mine\n_target_: my.Loss: 3\n")
    with (tmp_path / "loss" / "odd.yaml").open() as odd, pytest.raises(yaml.YAMLError) as caught:
        yaml.safe_load(odd)
    message = error_message(caught.value)
    assert message == f"{tmp_path}/loss/odd.yaml, line 2, column 18: mapping values are not allowed here; expected YAML"
