import io
import json

import pytest
from PIL import Image

from cgan.errors import CganError
from cgan.tasks.presets import BEGIN, END, PLOT, run

FLOOR = {"fid_digits_10k": 0.05, "label_agreement_digits_10k": 0.996, "class_agreement_digits_10k/1": 0.99}
PROTOCOL = dict.fromkeys(("data", "features", "reference", "n", "seed", "weights"), 0)


def judged(name: str, command: str, fid: float, worst: float, seconds: float) -> dict:
    curve = [
        {"images_seen": 64, "seconds": seconds / 2, "fid": 2 * fid, "label_agreement": 0.5},
        {"images_seen": 128, "seconds": seconds, "fid": fid, "label_agreement": 0.75},
    ]
    values = {
        "fid_digits_10k": fid,
        "label_agreement_digits_10k": 0.75,
        "class_agreement_digits_10k/0": worst + 0.2,
        "class_agreement_digits_10k/1": worst,
    }
    return {"name": name, "command": command, "images_seen": 128, "values": values, "curve": curve}


def evaluation(*entries: dict) -> str:
    return json.dumps({"protocol": PROTOCOL, "floor": FLOOR, "judged": entries})


def test_seeds_of_one_command_become_a_median_and_a_range(tmp_path):
    best = "python train.py experiment=best_cpu"
    (tmp_path / "a.json").write_text(
        evaluation(
            judged("0", f"{best} seed=1", 0.3, 0.7, 540),
            judged("1", f"{best} seed=2", 0.1, 0.6, 600),
            judged("2", "python train.py experiment=mlp_classic seed=1", 4.0, 0.5, 60),
        )
    )
    (tmp_path / "b.json").write_text(evaluation(judged("0", f"{best} seed=3", 0.2, 0.5, 570)))
    page = tmp_path / "quality.md"
    page.write_text(f"# Mine\n\n{BEGIN}\nold\n{END}\n\nbelow\n")
    text = run(tmp_path, page)
    assert page.read_text() == text
    assert text.startswith("# Mine\n")
    assert text.endswith("\n\nbelow\n")
    assert "old" not in text
    first, second, floor = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert first.startswith("| `experiment=best_cpu` | 3 | 9.5 (9.0 to 10.0) | 128 | 0.200 (0.100 to 0.300) | 0.7500")
    assert "| 0.600 (0.500 to 0.700) |" in first
    assert second.startswith("| `experiment=mlp_classic` | 1 | 1.0 | 128 | 4.000 | 0.7500 | 0.500 |")
    assert "| 0.050 | 0.9960 | 0.990 |" in floor
    assert Image.open(io.BytesIO((tmp_path / PLOT).read_bytes())).width > 600


def test_a_page_without_its_marks_and_a_folder_without_files_are_refused(tmp_path):
    with pytest.raises(CganError, match=r"expected evaluation\.json files"):
        run(tmp_path, tmp_path / "quality.md")
    (tmp_path / "a.json").write_text(evaluation(judged("0", "x", 0.3, 0.7, 540)))
    (tmp_path / "quality.md").write_text("mine alone")
    with pytest.raises(CganError, match="expected the marks"):
        run(tmp_path, tmp_path / "quality.md")
    assert (tmp_path / "quality.md").read_text() == "mine alone"
