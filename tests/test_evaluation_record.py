"""The evaluation record: read back as written, refused where it is something else, found by its generator."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cgan import CganError, load_generator, save_generator
from cgan.metrics.values import Description, Protocol
from cgan.records import evaluation
from cgan.records.evaluation import (
    CurvePoint,
    Entry,
    EvaluationIndex,
    EvaluationRecord,
    find_evaluation,
    read_evaluation,
    relative_file,
    to_json,
    write_evaluation,
)

PROTOCOL = Protocol("mnist", "digits", "0123456789abcdef", "none", 1000, 0)
FID = Description("fid", "Fréchet distance", "How far.", "lower", low=0.0)


def record(*entries: Entry, **measured: Any) -> EvaluationRecord:
    real = Entry("real images", {"fid": 0.5}, {"class_fid": [0.5, None]}, [[9, 1], [0, 10]])
    protocol = replace(PROTOCOL, **measured)
    return EvaluationRecord(protocol, real, list(entries), {"fid": FID}, ["0", "1"], {"torch": "2"}, "a test")


def evaluated(logs: Path, name: str, generator: Path, fid: float, *, later: int = 0, **measured: Any) -> Path:
    path = logs / "evaluate" / "runs" / name / "evaluation.json"
    entry = Entry(name, {"fid": fid}, file=relative_file(generator, path.parent))
    write_evaluation(path, record(Entry("another", {"fid": 99.0}, file="elsewhere.ckpt"), entry, **measured))
    stamp = generator.stat().st_mtime + later
    os.utime(path, (stamp, stamp))
    return path


def stored_run(run: Path, name: str, images_seen: int) -> Path:
    """A checkpoint of the bundled generator; the run's record says that its best epoch was the second of three."""
    (run / "checkpoints").mkdir(parents=True, exist_ok=True)
    generator = load_generator("pretrained")
    described = {
        "network": type(generator).__name__,
        "config": generator.config,
        "spec": generator.spec.to_dict(),
        "steps": 5,
        "images_seen": images_seen,
    }
    prefixes = ("ema.generator.", "generator.")
    state = {prefix + key: value for prefix in prefixes for key, value in generator.state_dict().items()}
    torch.save({"cgan": described, "state_dict": state}, run / "checkpoints" / name)
    curve = [CurvePoint(seen, {"fid": fid}, epoch) for epoch, seen, fid in ((1, 1, 9.0), (2, 3, 2.25), (3, 1234567, 3))]
    best = Entry("run", {"fid": 2.25}, file="checkpoints/best.ckpt", images_seen=3, epoch=2, curve=curve)
    write_evaluation(run / "evaluation.json", record(best))
    return run / "checkpoints" / name


def test_a_record_is_read_back_as_it_was_written(tmp_path):
    curve = [CurvePoint(64, {"fid": 2.0}, 1, 3.5), CurvePoint(128, {"fid": 1.0})]
    written = record(
        Entry("a", {"fid": 1.0}, {"class_fid": [1.0, None]}, [[1, 0], [0, 1]], "logs/a", "../a.ckpt", curve=curve),
        Entry("b", command="python train.py", images_seen=0, parameters=7),
    )
    write_evaluation(tmp_path / "evaluation.json", written)
    assert read_evaluation(tmp_path / "evaluation.json") == written
    plain = json.loads((tmp_path / "evaluation.json").read_text())
    assert (plain["format"], plain["version"]) == ("cgan-evaluation", 1)
    assert plain["entries"][1] == {"name": "b", "command": "python train.py", "images_seen": 0, "parameters": 7}
    assert written.describe("fid").title == "Fréchet distance"
    assert written.describe("other").title == "other"


def test_numbers_that_json_lacks_become_null(tmp_path):
    path = tmp_path / "evaluation.json"
    write_evaluation(path, record(Entry("a", {}, {"class_fid": [float("nan"), 1.0]})))
    assert read_evaluation(path).entries[0].class_values == {"class_fid": [None, 1.0]}


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("format",), "other"),
        (("version",), 2),
        (("protocol",), None),
        (("protocol", "n"), "many"),
        (("protocol", "n"), 1e999),
        (("protocol", "n"), True),
        (("real", "values"), {"fid": float("nan")}),
        (("real", "values"), {"fid": 10**400}),
        (("real", "values"), [1]),
        (("real", "name"), "\x1b[2J"),
        pytest.param(("real", "name"), "x" * 30_000, id="long"),
        (("entries",), {}),
        (("entries",), [{"values": {}}]),
        (("entries",), [{"name": "a", "epoch": 10**400}]),
        (("entries",), [{"name": "a", "images_seen": -1}]),
        (("entries",), [{"name": "a", "file": "a\0b"}]),
        (("descriptions", "fid", "direction"), "sideways"),
        (("descriptions", "fid", "direction"), "near"),
        (("class_names",), [1]),
    ],
)
def test_what_is_no_record_is_refused_in_one_line(tmp_path, place, value):
    content = to_json(record(Entry("a")))
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    (tmp_path / "x.json").write_text(json.dumps(content))
    with pytest.raises(CganError, match=r"x\.json: not an evaluation record"):
        read_evaluation(tmp_path / "x.json")


@pytest.mark.parametrize("text", ["", "[]", "3", "null", "[" * 100_000, '{"format": "cgan-evaluation"}'])
def test_a_damaged_file_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(CganError, match=r"x\.json: not an evaluation record"):
        read_evaluation(tmp_path / "x.json")
    with pytest.raises(CganError, match="No such file"):
        read_evaluation(tmp_path / "none.json")


def test_a_checkpoint_is_described_by_its_own_epoch(tmp_path):
    found = [
        find_evaluation(stored_run(tmp_path, name, images_seen), tmp_path / "logs")
        for name, images_seen in (("best.ckpt", 3), ("last.ckpt", 1234567), ("previous.ckpt", 2))
    ]
    assert [entry and entry.entry.values for entry in found] == [{"fid": 2.25}, {"fid": 3.0}, None]
    assert found[1].entry.epoch == 3
    unsaved = stored_run(tmp_path, "best.ckpt", images_seen=1234567)  # a better epoch was measured, and not saved
    assert find_evaluation(unsaved, tmp_path / "logs").entry.values == {"fid": 3.0}


def test_the_newest_evaluation_of_averaged_weights_outranks_the_runs_own_record(tmp_path):
    ckpt, logs = stored_run(tmp_path / "run", "best.ckpt", images_seen=3), tmp_path / "logs"
    evaluated(logs, "z_old", ckpt, 2.5, later=10)
    newest = evaluated(logs, "a_new", ckpt, 1.5, later=20)
    evaluated(logs, "raw", ckpt, 8.0, weights="raw", later=30)
    evaluated(logs, "truncated", ckpt, 0.5, truncation=0.7, later=40)
    found = find_evaluation(ckpt, logs)
    assert (found.entry.values, found.record.real.values) == ({"fid": 1.5}, {"fid": 0.5})
    newest.write_text('{"entries": 3}')
    assert find_evaluation(ckpt, logs).entry.values == {"fid": 2.5}
    stamp = ckpt.stat().st_mtime + 60
    os.utime(ckpt, (stamp, stamp))  # trained on: the evaluations are of other weights
    assert find_evaluation(ckpt, logs).entry.values == {"fid": 2.25}


def test_an_evaluation_outranks_what_an_export_says(tmp_path):
    folder = tmp_path / "gen"
    save_generator(load_generator("pretrained"), folder)
    assert find_evaluation(folder, tmp_path) is None
    save_generator(load_generator("pretrained"), folder, {"evaluation": to_json(record(Entry("gen", {"fid": 3.0})))})
    assert find_evaluation(folder, tmp_path).entry.values == {"fid": 3.0}
    evaluated(tmp_path, "day", folder, 1.0, later=10)
    assert find_evaluation(folder, tmp_path).entry.values == {"fid": 1.0}


def test_many_models_are_listed_without_reading_each_evaluation_for_each(tmp_path, monkeypatch):
    count = 30
    generators = [stored_run(tmp_path / "first", "best.ckpt", 3)]
    for number in range(1, count):
        copy = tmp_path / f"run_{number}" / "checkpoints" / "best.ckpt"
        copy.parent.mkdir(parents=True)
        os.link(generators[0], copy)
        generators.append(copy)
    for number, generator in enumerate(generators):
        evaluated(tmp_path / "logs", str(number), generator, float(number), later=10)
    reads = []
    monkeypatch.setattr(evaluation, "read_evaluation", lambda path: reads.append(path) or read_evaluation(path))
    for _ in range(3):
        index = EvaluationIndex(tmp_path / "logs")
        assert [index.find(path).entry.values["fid"] for path in generators] == list(range(count))
    assert len(reads) == count + 1, "each evaluation once, and the run's own record"


def test_an_evaluation_of_few_samples_takes_the_place_of_no_larger_one(tmp_path):
    ckpt, logs = stored_run(tmp_path / "run", "best.ckpt", images_seen=3), tmp_path / "logs"
    own = find_evaluation(ckpt, logs)
    assert own.entry.values == {"fid": 2.25}
    glance = evaluated(logs, "glance", ckpt, 0.5, later=10)
    fewer = json.loads(glance.read_text())
    fewer["protocol"]["n"] = own.record.protocol.n - 1
    glance.write_text(json.dumps(fewer))
    assert find_evaluation(ckpt, logs).entry.values == {"fid": 2.25}
    evaluated(logs, "whole", ckpt, 1.5, later=5)
    assert find_evaluation(ckpt, logs).entry.values == {"fid": 1.5}


def test_names_of_any_script_and_emoji_are_read_back(tmp_path: Path) -> None:
    names = ["\u0645\u06cc\u200c\u062e", "👩\u200d🚀"]
    write_evaluation(tmp_path / "evaluation.json", replace(record(Entry("日本")), class_names=names))
    assert read_evaluation(tmp_path / "evaluation.json").class_names == names
    elsewhere = Entry("a", file="../a\u00a0b/checkpoints/best.ckpt")  # a path is not printed
    write_evaluation(tmp_path / "evaluation.json", record(elsewhere))
    assert read_evaluation(tmp_path / "evaluation.json").entries[0].file == elsewhere.file
    write_evaluation(tmp_path / "evaluation.json", record(Entry("\x1b[2J")))
    with pytest.raises(CganError, match="not an evaluation record"):
        read_evaluation(tmp_path / "evaluation.json")
