"""Several processes train as one does."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import ROOT, TINY, children, error_line, start, train

from cgan.errors import CganError
from cgan.tasks.build import build_trainer

# No batch norm, no dropout, and a large eps: where gradients are small, Adam else magnifies rounding.
STEADY = [f"+optimizer.{side}.eps=0.1" for side in "dg"] + [f"optimizer.{side}.lr=0.02" for side in "dg"]
PLAIN = [*TINY, "loss=relativistic", "penalty=r1r2", *STEADY]


def losses(folder: Path) -> dict[str, list[float]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    names = (
        "loss/d",
        "loss/g",
        "loss/penalty",
        "training/logits_real",
        "training/gradient_norm_g",
        "quality/fid_digits_100",
    )
    return {name: [row[name] for row in rows if name in row] for name in names}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def assert_same_curves(folder: Path, reference: Path) -> None:
    found, expected = losses(folder), losses(reference)
    for name, values in expected.items():
        # Pixels are rounded before the Fréchet distance looks: a few of them come out the other way.
        assert found[name] == pytest.approx(values, rel=1e-2 if "fid" in name else 1e-4, abs=1e-6), name
        assert len(values) >= 2
    for name, weight in weights(reference).items():
        torch.testing.assert_close(weights(folder)[name], weight, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cwd = tmp_path_factory.mktemp("one")
    train(*PLAIN, "hydra.run.dir=run", cwd=cwd)
    return cwd / "run"


def test_two_processes_train_as_one_with_twice_the_batch(one_process: Path, tmp_path: Path) -> None:
    run = train(*PLAIN, "trainer=ddp_cpu", "data.batch_size=4", "hydra.run.dir=run", cwd=tmp_path)
    assert_same_curves(tmp_path / "run", one_process)
    assert "Global batch: 2 x 4 = 8 images" in run.words()
    assert (tmp_path / "run" / "train.log").read_text().count("Run folder") == 1
    assert not list((tmp_path / "run").glob("train_ddp*"))
    assert len(list(tmp_path.iterdir())) == 3  # the run and what it printed


TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(ROOT / "train.py")]


@pytest.mark.slow
def test_torchrun_makes_one_folder_and_resumes(one_process: Path, tmp_path: Path) -> None:
    """Stopped by SIGTERM, as a cluster does it, and gone on with in one process: the same curves to the end."""
    arguments = [*PLAIN, "trainer=ddp_cpu", "data.batch_size=4", "checkpoint.every_n_batches=4"]
    with (tmp_path / "output.txt").open("w") as output:
        run = subprocess.Popen([*TORCHRUN, *arguments], cwd=tmp_path, stdout=output, stderr=output)
        runs = tmp_path / "logs" / "train" / "runs"
        while not list(runs.glob("*/checkpoints/last.ckpt")):
            time.sleep(0.01)
            assert run.poll() is None, (tmp_path / "output.txt").read_text()
        run.send_signal(signal.SIGTERM)
        assert run.wait(600) != 0
    (folder,) = runs.iterdir()
    steps = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["cgan"]["steps"]
    assert 0 < steps < 36
    train("ckpt=last", "trainer=cpu", "data.batch_size=8", cwd=tmp_path)
    assert_same_curves(folder, one_process)


@pytest.mark.slow
def test_a_worker_killed_on_one_of_two_nodes_costs_no_more_than_the_last_checkpoint(tmp_path: Path) -> None:
    """Two agents of torchrun, as on two nodes; one of them restarts its own worker and the other's."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nodes = ["--nnodes=2", "--nproc-per-node=1", "--max-restarts=1", "--local-addr=127.0.0.1"]
    meeting = ["--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-id=test"]
    arguments = [*PLAIN, "trainer=ddp_cpu", "trainer.num_nodes=2", "trainer.devices=1", "data.batch_size=4"]
    command = [sys.executable, "-m", "torch.distributed.run", *nodes, *meeting, str(ROOT / "train.py"), *arguments]
    folder, files = tmp_path / "run", [tmp_path / f"{node}.txt" for node in range(2)]
    command += ["checkpoint.every_n_batches=4", f"hydra.run.dir={folder}"]
    env = {**os.environ, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    with contextlib.ExitStack() as ended:
        agents = []
        for file in files:
            output = ended.enter_context(file.open("w"))
            agents.append(subprocess.Popen(command, cwd=tmp_path, stdout=output, stderr=output, env=env))
            ended.callback(agents[-1].wait, 600)
            ended.callback(agents[-1].terminate)
        while not (folder / "checkpoints" / "last.ckpt").exists():
            time.sleep(0.01)
            assert [agent.poll() for agent in agents] == [None, None], files[0].read_text()
        (worker,) = children(agents[1].pid)
        os.kill(worker, signal.SIGKILL)
        while None in (statuses := [agent.poll() for agent in agents]) and not any(statuses):
            time.sleep(0.05)  # if one fails, the other waits for it for half an hour
        assert statuses == [0, 0], files[0].read_text()
    assert sum("Continuing from" in file.read_text() for file in files) == 1, "rank 0 says so"
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["cgan"]["steps"] == 36


def test_sweeps_are_for_one_device(tmp_path: Path) -> None:
    run = start("-m", *TINY, "seed=1,2", "trainer=ddp_cpu", cwd=tmp_path)
    words = error_line(run, jobs=2)
    assert "2 of 2 runs failed" in words
    assert "a sweep trains each run on one device, found 2" in words
    assert "hydra/launcher=joblib" in words


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        run = start(*TINY, "trainer=ddp_cpu", cwd=tmp_path, env={"MASTER_PORT": port, "MASTER_ADDR": "127.0.0.1"})
        assert "choose another with the variable MASTER_PORT" in error_line(run)


def rank(number: int, port: str, out: Path) -> None:
    """One of two processes that take steps and write down what differs between them."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": str(number), "WORLD_SIZE": "2"}
    os.environ |= {"LOCAL_RANK": str(number), "TORCHELASTIC_RUN_ID": "test"}
    torch.set_num_threads(1)
    from functools import partial

    import lightning.pytorch as pl

    from cgan.data.datamodule import ImageData
    from cgan.data.sources import Mnist5k
    from cgan.losses.adversarial import BCE
    from cgan.module import ConditionalGAN
    from cgan.networks.mlp import MLPDiscriminator
    from cgan.networks.style import StyleGenerator
    from cgan.strategy import AveragedGradients

    torch.manual_seed(number)  # weights differ until rank 0's are taken
    data = ImageData(Mnist5k(485), batch_size=4, steps_per_batch=1, seed=0)
    sizes: dict[str, Any] = {"num_classes": (2, 5), "img_shape": (1, 28, 28)}  # factors
    adam = partial(torch.optim.Adam, lr=1e-3)
    module = ConditionalGAN(
        generator=StyleGenerator(z_dim=8, w_dim=6, width=4, max_width=8, **sizes),
        discriminator=MLPDiscriminator(hidden=(16, 8), **sizes),
        spec=data.spec,
        loss=BCE(),
        penalty=None,
        augment=None,
        d_optimizer=adam,
        g_optimizer=adam,
        d_steps=2,
        matching_aware=0.0,
        fake_labels="uniform",
        gradient_clip=1.0,
        ema_half_life_images=100,
        ema_ramp=0.05,
        lr_scaling="sqrt",
        seed=3,
    )
    seen: dict[str, list[torch.Tensor]] = {"weights": [], "images": [], "noise": [], "dropout": [], "mixed": []}
    draw, mix = module._draw_inputs, module.generator._mixed

    class Watch(pl.Callback):
        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            parameters = [*module.discriminator.parameters(), *module.generator.parameters()]
            seen["weights"].append(torch.cat([weight.detach().flatten() for weight in parameters]))
            seen["images"].append(batch[0].clone())
            seen["dropout"].append(torch.rand(3))

    def watched(labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        z, fake_labels = draw(labels)
        seen["noise"].append(z)
        return z, fake_labels

    def mixing(w: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        mixed = mix(w, embedding)
        seen["mixed"].append((mixed != w).any(2))
        return mixed

    module.generator._mixed = mixing
    module._draw_inputs = watched  # type: ignore[method-assign]
    trainer = pl.Trainer(
        accelerator="cpu", devices=2, strategy=AveragedGradients(), max_epochs=1, limit_train_batches=6,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        use_distributed_sampler=False, callbacks=[Watch()],
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    rates = torch.tensor([optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers])
    fixed = [layer.noise for generator in (module.generator, module.ema.generator) for layer in generator.styled]
    found = {name: torch.stack(values) for name, values in seen.items()}
    torch.save({**found, "rates": rates, "fixed": fixed, "mean_w": module.ema.generator.mean_w}, out)


def test_several_devices_without_averaged_gradients_are_refused(composed):
    """The gradients of one network would be waited for while the other one learns."""
    with pytest.raises(
        CganError, match=r"^2 devices: .* need trainer=ddp \(GPUs\) or trainer=ddp_cpu; type it as well$"
    ):
        build_trainer(composed("train", "trainer=cpu", "trainer.devices=2"), None, [])


def test_ranks_share_weights_and_nothing_else(tmp_path: Path) -> None:
    from processes import context

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    ranks = [context.Process(target=rank, args=(n, port, tmp_path / f"{n}.pt")) for n in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(600)
    first, second = (torch.load(tmp_path / f"{n}.pt") for n in range(2))
    assert torch.equal(first["weights"], second["weights"])
    assert len({tuple(step.tolist()) for step in first["weights"]}) == 6
    assert not torch.equal(first["dropout"], second["dropout"])
    layers = len(first["fixed"]) // 2
    assert all(torch.equal(one, other) for one, other in zip(first["fixed"], second["fixed"], strict=True))
    assert all(torch.equal(first["fixed"][k], first["fixed"][k + layers]) for k in range(layers)), "raw and averaged"
    assert first["mean_w"].any(1).all(), "each class has a mean style to truncate towards"
    assert not torch.equal(first["mixed"], second["mixed"]), "each rank mixes styles by its own chance"
    assert not first["mixed"][:, :, 0].any(), "the coarsest layer keeps its style"
    assert 0 < first["mixed"][:, :, -1].double().mean() < 1
    both = torch.cat([first["noise"], second["noise"]]).flatten()
    assert len(both.unique()) == len(both)
    pictures = torch.cat([first["images"], second["images"]]).flatten(0, 2).flatten(1)
    assert len(pictures.unique(dim=0)) == len(pictures) == 48
    assert first["rates"].tolist() == pytest.approx([1e-3 * 2**0.5] * 2)
