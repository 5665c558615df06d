"""The project used from Python: configurations, runs, drawing."""

import pytest
from hydra.core.hydra_config import HydraConfig

from cgan.config import compose, quoted


@pytest.mark.parametrize("name", ["a=b,c", "ü'x", "back\\slash\\", "日本 [x]{y}", "\\'q", "tail\\'"])
def test_a_folder_of_configurations_may_have_any_name(tmp_path, name):
    group = tmp_path / name / "model"
    group.mkdir(parents=True)
    (group / "mine.yaml").write_text("generator:\n  width: 3\n")
    cfg = compose("train", ["model=mine", f"run_name={quoted(name)}"], group.parent, config_dirs=[group.parent])
    assert (cfg.run_name, cfg.model.generator.width) == (name, 3)
    assert cfg.trainer.default_root_dir == str(group.parent)
    assert HydraConfig.get().runtime.choices["model"] == "mine"
