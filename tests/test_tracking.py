"""Every logger with its real library: the same values, images and results by the same names, over images seen."""

import csv
import json

import pytest
from conftest import TINY
from PIL import Image

from cgan.files import read_lines
from cgan.tasks import train
from cgan.tracking import JsonLines

SHORT = ["model=light", "model.generator.width=4", *TINY, "trainer.max_epochs=2"]
TAGS = {"loss/d", "loss/g", "quality/fid_digits_100", "real/fid_digits_100", "training/learning_rate_g"}


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def logged(folder) -> dict[int, dict[str, float]]:
    """The values of ``metrics.jsonl`` by images seen."""
    rows: dict[int, dict[str, float]] = {}
    for row in read_lines(folder / "metrics.jsonl"):
        rows.setdefault(row["images_seen"], {}).update(row)
    return rows


def test_several_loggers_get_the_same_values_and_every_epoch_leaves_a_line(composed, in_folder, caplog):
    caplog.set_level("INFO")
    result = train.run(composed("train", *SHORT, "logger=[tensorboard,csv]", "callbacks.sample_grid=null"))
    with (in_folder / "metrics.csv").open() as file:
        table = {int(row["images_seen"]): row for row in csv.DictReader(file)}
    assert table.keys() == logged(in_folder).keys()
    for images_seen, row in logged(in_folder).items():
        assert row.keys() >= TAGS or images_seen < 384
        assert {tag: float(table[images_seen][tag]) for tag in row} == row
    with (in_folder / "result.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["result/fid"]) == result.values["fid"]
    assert row["model"] == "light"
    assert list(in_folder.glob("events*"))
    assert "| Networks | LightGenerator against LightDiscriminator |" in (in_folder / "run.md").read_text()
    assert "| `fid_digits_100` | Fréchet distance |" in (in_folder / "values.md").read_text()
    assert not (in_folder / "samples").exists(), "a callback is left out by one word"
    assert (in_folder / "curves.png").exists()
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("Epoch ")]
    assert [line.split()[1] for line in lines] == ["1/2", "2/2"]
    last = logged(in_folder)[768]
    assert f"Fréchet distance {last['quality/fid_digits_100']:.3g} (real images" in lines[1]
    assert "D loss" in lines[1]
    assert json.loads((in_folder / "run.json").read_text())["state"] == "finished"


@pytest.mark.filterwarnings("default")  # the library's own deprecations
@pytest.mark.slow
def test_mlflow_keeps_values_images_and_results_in_a_local_store(composed, in_folder):
    mlflow = pytest.importorskip("mlflow")
    (in_folder / "logs").mkdir()
    result = train.run(composed("train", *SHORT, "logger=mlflow"))
    client = mlflow.tracking.MlflowClient("sqlite:///logs/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("cgan").experiment_id])
    assert run.data.metrics["result/fid"] == pytest.approx(result.values["fid"])
    assert run.data.params["model"] == "light"
    history = client.get_metric_history(run.info.run_id, "quality/fid_digits_100")
    expected = [(seen, row["quality/fid_digits_100"]) for seen, row in logged(in_folder).items()]
    assert [(point.step, pytest.approx(point.value)) for point in history] == expected
    assert client.list_artifacts(run.info.run_id, "images")
    train.run(composed("train", *SHORT, "logger=mlflow", "trainer.max_epochs=3", "ckpt=checkpoints/last.ckpt"))
    (resumed,) = client.search_runs([run.info.experiment_id])
    assert resumed.info.run_id == run.info.run_id
    longer = client.get_metric_history(run.info.run_id, "quality/fid_digits_100")
    assert [point.step for point in longer] == [384, 768, 1152]


@pytest.mark.filterwarnings("default")  # the library's own deprecations
@pytest.mark.slow
def test_wandb_runs_offline_with_images_seen_as_its_axis(composed, in_folder, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    result = train.run(composed("train", *SHORT, "logger=wandb"))
    run = wandb.run
    assert run.offline
    assert run.summary["result/fid"] == pytest.approx(result.values["fid"])
    assert run.summary["images_seen"] == 768
    assert set(run.summary.keys()) >= TAGS
    assert run.config["model"] == "light"
    wandb.finish()
    train.run(composed("train", *SHORT, "logger=wandb", "trainer.max_epochs=3", "ckpt=checkpoints/last.ckpt"))
    assert wandb.run.id == run.id
    assert wandb.run.summary["images_seen"] == 1152
    wandb.finish()
    grids = sorted(in_folder.glob("wandb/offline-run-*/files/media/images/samples_*.png"))
    assert len(grids) == 3
    with Image.open(grids[0]) as image:
        assert image.size == (2 + 10 * 58, 22 + 10 * 58)


def test_a_resumed_run_keeps_its_file_whole_however_long(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(
        b'{"images_seen": 1, "a": 0.5}\n' + b"x" * 2**25 + b'\n{"images_seen": 2, "a": 1.5}\n{"images_seen": 9}\n'
    )
    JsonLines(path, resumed_at=2)
    assert [row["images_seen"] for row in read_lines(path)] == [1, 2]
