"""What makes training fast must not change what is trained."""

import copy
import importlib.util
from pathlib import Path
from types import ModuleType

import lightning.pytorch as pl
import pytest
import torch
from conftest import BARE

from cgan.data.batches import Batches
from cgan.data.sources import Mnist5k, Split
from cgan.hardware import available_cores, use_available_cores, use_fast_products
from cgan.seeding import mix
from cgan.spec import to_float
from cgan.tasks.build import build_module
from cgan.tasks.train import run

SOURCE = Mnist5k(test_per_class=100)


@pytest.fixture(scope="module")
def loops() -> ModuleType:
    """The loops that benchmarks/ compares with; that folder is no package."""
    spec = importlib.util.spec_from_file_location("loops", Path(__file__).parents[1] / "benchmarks" / "loops.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "20000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, 64),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 64),
        ({}, 64),
    ],
)
def test_cores_follow_the_containers_quota(tmp_path, monkeypatch, files, quota):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)), raising=False)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert available_cores(tmp_path) == quota


def test_cores_follow_affinity_and_fewer_threads_stay_fewer(tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3, 5, 7}, raising=False)
    assert available_cores(tmp_path) == 3
    torch.set_num_threads(2)
    use_available_cores()
    assert torch.get_num_threads() == 2
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {5}, raising=False)
    use_available_cores()
    assert torch.get_num_threads() == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is a GPU to find")
def test_no_step_searches_the_disk_for_gpus(composed, monkeypatch, tmp_path):
    """torch's optimisers ask for a GPU at every step, and Lightning has that answered by loading a library."""
    searches: list[int] = []
    search = torch.cuda._raw_device_count_nvml
    monkeypatch.setattr(torch.cuda, "_raw_device_count_nvml", lambda: searches.append(1) or search())

    def searches_of(name: str, *overrides: str) -> int:
        monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # as importing Lightning does
        searches.clear()
        run(composed("train", *BARE, *overrides, folder=tmp_path / name))
        return len(searches)

    assert searches_of("long") == searches_of("short", "+trainer.limit_train_batches=1")


def test_fast_products_keep_float32_precision():
    """bfloat16 products would be off by about 1e-3."""
    a, b = torch.randn(2, 256, 300, generator=torch.Generator().manual_seed(0)).unbind()
    exact = a.double() @ b.double().T
    before = torch.backends.mkldnn.matmul.fp32_precision
    try:
        use_fast_products()
        assert ((a @ b.T - exact).abs().max() / exact.abs().max()) < 5e-6
    finally:
        torch.backends.mkldnn.matmul.fp32_precision = before


@pytest.mark.parametrize("model", ["dcgan", "light"])
def test_channels_last_changes_no_result_beyond_rounding(composed, model):
    module = build_module(composed("train", f"model={model}"), SOURCE.spec)
    weights = [w for w in module.generator.parameters() if w.ndim == 4 and min(w.shape[1:]) > 1]
    assert weights
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    z, labels = torch.randn(4, module.generator.z_dim), torch.tensor([0, 3, 3, 9])
    fast = {"generator": module.generator.eval(), "discriminator": module.discriminator.eval()}
    plain = {side: copy.deepcopy(network).to(memory_format=torch.contiguous_format) for side, network in fast.items()}
    logits = []
    for networks in (fast, plain):
        logits.append(networks["discriminator"](networks["generator"](z, labels), labels))
        logits[-1].square().sum().backward()
    torch.testing.assert_close(*logits, rtol=1e-4, atol=1e-5)
    for side in fast:
        for one, other in zip(fast[side].parameters(), plain[side].parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-5)


def test_the_order_in_memory_follows_from_seed_and_epoch_alone():
    images = torch.arange(100, dtype=torch.uint8).view(100, 1, 1, 1)
    split = Split(images, torch.arange(100))

    def order(*, seed: int, epoch: int, steps: int) -> list[int]:
        batches = Batches(split, batch_size=8, steps_per_batch=steps, seed=seed)
        torch.manual_seed(steps)  # what was drawn before must not matter
        batches.sampler.set_epoch(epoch)
        return torch.cat([labels.flatten() for _, labels in batches]).tolist()

    assert order(seed=1, epoch=2, steps=1) == order(seed=1, epoch=2, steps=5)
    assert order(seed=1, epoch=2, steps=1) != order(seed=1, epoch=3, steps=1)
    assert order(seed=1, epoch=2, steps=1) != order(seed=2, epoch=1, steps=1)


@pytest.mark.parametrize("model", ["mlp", "light"])
def test_the_reference_loop_of_the_benchmarks_trains_what_our_step_trains(composed, loops, model):
    """Same weights after the same batches and latents: the two speeds are speeds of the same work."""
    ours = build_module(composed("train", f"model={model}"), SOURCE.spec)
    images, labels = SOURCE.load("train")
    batches = Batches(Split(images[::400], labels[::400]), batch_size=5, steps_per_batch=1, seed=3)
    plain = loops.PlainLoop(copy.deepcopy(ours), batches.split, batch_size=5, steps=2)
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(ours, batches)
    for step, ((real,), (label,)) in enumerate(batches):
        torch.manual_seed(mix(ours.seed, step))  # as our step does
        plain.step(to_float(real), label)
    assert ours.steps == 2
    for network in ("generator", "discriminator"):
        expected = getattr(plain, network).state_dict()
        for name, value in getattr(ours, network).state_dict().items():
            torch.testing.assert_close(value, expected[name], msg=lambda words, name=name: f"{name}: {words}")
