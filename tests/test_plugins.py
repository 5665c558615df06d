"""The user's own classes: registered, imported when he types them, never imported because a file names them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cgan import draw, load_generator, register, save_generator
from cgan.archive import to_bytes
from cgan.checkpoint import describe, refuse_unreadable
from cgan.errors import CganError
from cgan.networks import GENERATORS, Generator
from cgan.networks.mlp import MLPGenerator
from cgan.plugins import load_plugins, typed_plugins
from cgan.spec import DataSpec

SPEC = DataSpec("toys", (1, 4, 4), ("car", "doll"))
MODULE = """
from pathlib import Path

from cgan import register
from cgan.networks.mlp import MLPGenerator

Path("imported").touch()

@register
class OwnGenerator(MLPGenerator):
    pass
"""


class Linear(Generator):
    """A plain generator whose constructor takes anything."""

    def __init__(
        self,
        *,
        num_classes: int,
        img_shape: tuple[int, int, int],
        z_dim: int = 3,
        extra: object = None,
        grow: bool = False,
    ) -> None:
        super().__init__(z_dim=z_dim, embed_dim=z_dim, num_classes=num_classes, img_shape=img_shape)
        Linear.built += grow
        self.layer = nn.Linear(z_dim, 16 + Linear.built)
        self.register_buffer("gain", torch.full((16,), 0.5), persistent=False)

    built = 0

    def synthesize(self, z: Tensor, embedding: Tensor) -> Tensor:
        return torch.tanh(self.layer(z + embedding) * self.gain).view(-1, 1, 4, 4)


def built(cls: type[Generator] = Linear, **options: object) -> Generator:
    generator = cls(num_classes=2, img_shape=[1, 4, 4], **options).eval()
    generator.spec = SPEC
    return generator


@pytest.fixture(autouse=True)
def _own_table() -> Iterator[None]:
    Linear.built = 0
    before, path, modules = dict(GENERATORS), list(sys.path), set(sys.modules)
    yield
    GENERATORS.clear()
    GENERATORS.update(before)
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith("own_"):
            del sys.modules[name]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a module `own_net` and an export `toys` of its class; nothing of it is imported."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_net.py").write_text(MODULE)
    load_plugins(["own_net"])
    generator = GENERATORS.pop("OwnGenerator")(num_classes=2, img_shape=[1, 4, 4], hidden=[8]).eval()
    generator.spec = SPEC
    save_generator(generator, tmp_path / "toys")
    state = {f"ema.generator.{name}": value for name, value in generator.state_dict().items()}
    (tmp_path / "toys.ckpt").write_bytes(to_bytes({"cgan": describe(generator, SPEC), "state_dict": state}))
    del sys.modules["own_net"]
    sys.path.remove(str(tmp_path))
    (tmp_path / "imported").unlink()
    return tmp_path


@pytest.mark.parametrize("name", ["toys", "toys.ckpt"])
def test_a_file_names_the_plugin_and_imports_nothing(written: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(written))  # it could be imported
    with pytest.raises(CganError, match=r"plugins=\[own_net\].*CGAN_PLUGINS=own_net.*cgan\.register"):
        load_generator(written / name)
    assert not (written / "imported").exists()
    assert "own_net" not in sys.modules
    load_plugins(["own_net"])
    assert (written / "imported").exists()
    assert draw(load_generator(written / name), [1, 0]).shape == (2, 1, 4, 4)


def test_the_environment_names_plugins(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CGAN_PLUGINS", "own_net")
    assert type(load_generator(written / "toys")).__name__ == "OwnGenerator"


@pytest.mark.parametrize("plugin", ["os; rm", "../x", "", None, 3, ["own_net"], "a" * 300])
def test_a_plugin_that_is_no_module_name_is_not_recommended(written: Path, plugin: object) -> None:
    state = {f"ema.generator.{name}": value for name, value in built().state_dict().items()}
    described = describe(built(), SPEC) | {"plugin": plugin}
    torch.save({"cgan": described, "state_dict": state}, written / "x.ckpt")
    with pytest.raises(CganError, match="expected one of the networks") as caught:
        load_generator(written / "x.ckpt")
    assert "plugins=" not in str(caught.value)


@pytest.mark.parametrize("name", ["own_nowhere", "own_nowhere.deeper", "own/net.py", "", ".own", 3, None])
def test_a_plugin_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: object) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CganError, match="plugins"):
        load_plugins([name])


def test_a_plugin_is_found_in_the_folder_to_which_the_error_sends(tmp_path, monkeypatch) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "own_far.py").write_text("")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CganError, match=r"plugins=\[own_far\]: no module own_far .*; go to its folder, or install it"):
        load_plugins(["own_far"])
    monkeypatch.chdir("project")
    load_plugins(["own_far"])
    assert sys.modules.pop("own_far").__file__ == str(tmp_path / "project" / "own_far.py")


def test_a_bug_in_a_plugin_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_bug.py").write_text("import own_missing_dependency")
    with pytest.raises(ModuleNotFoundError, match="own_missing_dependency"):
        load_plugins(["own_bug"])


def test_a_registered_class_is_read_back_with_all_its_buffers(tmp_path: Path) -> None:
    register(Linear)
    generator = built()
    refuse_unreadable(generator, SPEC)
    save_generator(generator, tmp_path)
    again = load_generator(tmp_path)
    assert again.gain.tolist() == [0.5] * 16
    assert torch.equal(draw(again, [0, 1, 1]), draw(generator, [0, 1, 1]))


def test_two_classes_of_one_name_are_refused() -> None:
    register(Linear)
    register(Linear)  # the same one again, as in a notebook
    with pytest.raises(CganError, match=r"has the name of cgan\.networks\.mlp\.MLPGenerator; rename"):
        register(type("MLPGenerator", (Linear,), {}))
    assert GENERATORS.pop(register(type("RenamedGenerator", (Linear,), {})).__name__)
    with pytest.raises(CganError, match=r"is no cgan\.networks\.Generator"):
        register(nn.Linear)


def unregistered() -> Generator:
    return built()


def with_a_taken_name() -> Generator:
    return built(type("MLPGenerator", (Linear,), {}))


def with_a_function() -> Generator:
    register(Linear)
    return built(extra=torch.relu)


def with_a_hidden_state() -> Generator:
    register(Linear)
    return built(grow=True)


def in_another_shape() -> Generator:
    register(Linear)
    return Linear(num_classes=3, img_shape=[1, 4, 4])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (unregistered, r"Linear could not be loaded .* put @cgan\.register above it"),
        (with_a_taken_name, r"MLPGenerator is registered under its name; rename"),
        (with_a_function, r"extra=<built-in .*> is no number, word or short list"),
        (with_a_hidden_state, r"size mismatch for layer\.weight"),
        (in_another_shape, r"differ in shape or classes"),
        (lambda: nn.Linear(1, 1), r"is no generator: derive it from cgan\.networks\.Generator"),
    ],
)
def test_what_could_not_be_read_back_is_refused_with_the_reason(make, reason) -> None:
    with pytest.raises(CganError, match=reason):
        refuse_unreadable(make(), SPEC)


def test_a_run_with_an_unregistered_class_is_refused_when_it_is_built(composed) -> None:
    from cgan.tasks.build import build_module

    parts = ["~model.generator.hidden", "~model.generator.embed_dim", f"model.generator._target_={__name__}.Linear"]
    cfg = composed("train", "model=mlp", *parts)
    with pytest.raises(CganError, match=r"put @cgan\.register above it"):
        build_module(cfg, SPEC)
    register(Linear)
    assert build_module(cfg, SPEC).generator.config["z_dim"] == 100


def test_a_checkpoint_that_could_not_be_read_back_is_not_written() -> None:
    import numpy as np

    best = np.float64(3.0)
    with pytest.raises(
        CganError, match=r"could not be read back: it names .*numpy.*let each state_dict .* hold .*numbers"
    ):
        to_bytes({"callbacks": {"mine": {"best": best}}})
    assert to_bytes({"callbacks": {"mine": {"best": float(best)}}})


def test_a_default_type_or_device_changes_no_loaded_generator(tmp_path: Path) -> None:
    generator = MLPGenerator(num_classes=2, img_shape=(1, 4, 4), hidden=(8,)).eval()
    generator.spec = SPEC
    save_generator(generator, tmp_path)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            again = load_generator(tmp_path)
    finally:
        torch.set_default_dtype(torch.float32)
    assert {(weight.dtype, weight.device.type) for weight in again.parameters()} == {(torch.float32, "cpu")}
    assert torch.equal(draw(again, [0, 1]), draw(generator, [0, 1]))


def test_commands_that_are_shown_name_the_config_dir_of_a_job_without_plugins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cgan.plugins._config_dirs", lambda: [tmp_path])
    assert typed_plugins([]) == ["--config-dir", str(tmp_path)]
    assert typed_plugins(["a", "b"]) == ["--config-dir", str(tmp_path), "plugins=[a,b]"]
    monkeypatch.setattr("cgan.plugins._config_dirs", list)
    assert typed_plugins([]) == []
