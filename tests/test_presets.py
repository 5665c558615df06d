import io
from pathlib import Path

import pytest
from PIL import Image

from cgan.errors import CganError
from cgan.metrics.values import Description, Protocol
from cgan.records.evaluation import CurvePoint, Entry, EvaluationRecord, write_evaluation
from presets import BEGIN, END, PLOT, run

PROTOCOL = Protocol("mnist", "digits", "0123456789abcdef", "none", 10_000, 0)
REAL = Entry("real images", {"fid": 0.05, "label_agreement": 0.996, "label_agreement_worst": 0.99})
ABOUT = {"fid": Description("fid", "Fréchet distance"), "cas": Description("cas", "CAS")}


def evaluated(name: str, command: str, fid: float, worst: float, seconds: float) -> Entry:
    curve = [
        CurvePoint(64, {"fid": 2 * fid, "label_agreement": 0.5}, 1, seconds / 2),
        CurvePoint(128, {"fid": fid, "label_agreement": 0.75}, 2, seconds),
    ]
    values = {"fid": fid, "label_agreement": 0.75, "label_agreement_worst": worst}
    return Entry(name, values, command=command, images_seen=128, curve=curve)


def store(path: Path, *entries: Entry) -> None:
    write_evaluation(path, EvaluationRecord(PROTOCOL, REAL, list(entries), ABOUT, ["0", "1"]))


def test_seeds_of_one_command_become_a_median_and_a_range(tmp_path):
    best = "python train.py experiment=best_cpu"
    store(
        tmp_path / "a.json",
        evaluated("0", f"{best} seed=1", 0.3, 0.7, 540),
        evaluated("1", f"{best} seed=2", 0.1, 0.6, 600),
        evaluated("2", "python train.py experiment=mlp_classic seed=1", 4.0, 0.5, 60),
    )
    store(tmp_path / "b.json", evaluated("0", f"{best} seed=3", 0.2, 0.5, 570))
    page = tmp_path / "quality.md"
    page.write_text(f"# Mine\n\n{BEGIN}\nold\n{END}\n\nbelow\n")
    text = run(tmp_path, page)
    assert page.read_text() == text
    assert text.startswith("# Mine\n")
    assert text.endswith("\n\nbelow\n")
    assert "old" not in text
    lines = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| ")]
    table = {title.strip(): [cell.strip() for cell in cells] for title, *cells in lines}
    assert table[""] == ["`experiment=best_cpu`", "`experiment=mlp_classic`", "real images"]
    assert table["Seeds"] == ["3", "1", "-"]
    assert table["Minutes"] == ["9.5 (9.0 to 10.0)", "1.0", "-"]
    assert table["Images"] == ["128", "128", "-"]
    assert table["Fréchet distance"] == ["0.200 (0.100 to 0.300)", "4.000", "0.050"]
    assert table["label_agreement_worst"] == ["0.600 (0.500 to 0.700)", "0.500", "0.990"]
    assert Image.open(io.BytesIO((tmp_path / PLOT).read_bytes())).width > 600


def test_a_page_without_its_marks_and_a_folder_without_files_are_refused(tmp_path):
    with pytest.raises(CganError, match=r"expected evaluation\.json files"):
        run(tmp_path, tmp_path / "quality.md")
    store(tmp_path / "a.json", evaluated("0", "x", 0.3, 0.7, 540))
    (tmp_path / "quality.md").write_text("mine alone")
    with pytest.raises(CganError, match="expected the marks"):
        run(tmp_path, tmp_path / "quality.md")
    assert (tmp_path / "quality.md").read_text() == "mine alone"
