"""The notebook of the examples, run as a reader runs it, on fewer digits; and Lightning's own Trainer."""

from pathlib import Path

import lightning.pytorch as pl
import nbformat
import pytest
import torch
from nbclient import NotebookClient

from cgan import draw, load_generator
from cgan.data.datamodule import ImageData
from cgan.data.sources import Mnist5k
from cgan.module import ConditionalGAN
from cgan.networks.light import LightDiscriminator, LightGenerator

NOTEBOOK = Path(__file__).parents[1] / "examples" / "quickstart.ipynb"
SMALL = "epochs, held_out, samples = 1, 460, 100"


def shown(cell) -> set[str]:
    """The kinds of output of a cell: ``text/plain``, ``image/png``, ``stdout``, ..."""
    kinds: set[str] = set()
    for output in cell.outputs:
        kinds |= set(output.get("data", {})) | {output.get("name")}
    return kinds


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # stored without outputs
    next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])).source = SMALL
    NotebookClient(notebook, timeout=None, resources={"metadata": {"path": str(tmp_path)}}).execute()
    cells = {cell.source: shown(cell) for cell in notebook.cells if cell.cell_type == "code"}
    assert sum("image/png" in kinds for kinds in cells.values()) == 5
    text = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert "real images" in text
    assert len(list(tmp_path.glob("logs/train/runs/*/checkpoints/best.ckpt"))) == 1
    assert len(list(tmp_path.glob("logs/evaluate/runs/*/evaluation.json"))) == 1


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_the_module_and_the_data_fit_lightnings_own_trainer(tmp_path):
    data = ImageData(Mnist5k(test_per_class=460))
    sizes = {"num_classes": data.spec.num_classes, "img_shape": data.spec.img_shape}
    gan = ConditionalGAN(LightGenerator(**sizes), LightDiscriminator(**sizes), data.spec)
    trainer = pl.Trainer(max_epochs=1, default_root_dir=tmp_path)
    trainer.fit(gan, data)
    assert gan.images_seen == 6 * 64
    stored = load_generator(trainer.checkpoint_callback.best_model_path)
    assert torch.equal(draw(stored, range(10)), draw(gan.ema.generator, range(10)))
