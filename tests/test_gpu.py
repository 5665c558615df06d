"""On a GPU: every preset, every mode of compilation, and pictures equal to those of the CPU."""

import pytest
import torch
from conftest import TINY
from test_training import FEW, names

from cgan import draw, load_generator
from cgan.tasks import train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
ON_GPU = [*TINY, "trainer=gpu", "trainer.accelerator=gpu"]


@pytest.mark.parametrize("experiment", names("experiment"))
def test_every_experiment_trains_in_bfloat16(composed, experiment):
    train.run(composed("train", f"experiment={experiment}", *ON_GPU, "debug=one_batch", "compile=false", *FEW))


@pytest.mark.parametrize("model", ["light", "style", "r3"])
@pytest.mark.parametrize("mode", ["true", "reduce-overhead"])
def test_compiled_training_stays_near_the_eager_one(composed, tmp_path, model, mode):
    """Six steps in chunks of two: a CUDA graph's results must outlive the next graph."""
    weights = []
    for choice in ("false", mode):
        recipe = [f"model={model}", "loss=relativistic", "penalty=r1r2", "gan.matching_aware=0.1", "optimizer.lr=1e-5"]
        cfg = composed(
            "train", *ON_GPU, "trainer.precision=32-true", *recipe, f"compile={choice}", folder=tmp_path / choice
        )
        train.run(cfg)
        weights.append(torch.cat([w.flatten() for w in load_generator(tmp_path / choice).parameters()]))
    assert weights[0].isfinite().all()
    torch.testing.assert_close(*weights, rtol=0, atol=1e-4)  # each of six steps moves a weight by 1e-5 at most


def test_pictures_are_those_of_the_cpu():
    on_cpu, on_gpu = (draw(load_generator(device=device), [3, 1, 4, 1, 5], seed=2) for device in ("cpu", "cuda"))
    assert (on_cpu.int() - on_gpu.int()).abs().max() <= 2
