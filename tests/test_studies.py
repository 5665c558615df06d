import io
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from cgan.errors import CganError
from cgan.metrics.values import Description, Protocol
from cgan.records.evaluation import CurvePoint, Entry, EvaluationRecord, write_evaluation
from studies import run

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


@pytest.fixture
def page(tmp_path):
    """A page with the marks of a study, whose folder is there."""
    (tmp_path / "study" / "few").mkdir(parents=True)
    path = tmp_path / "mine.md"
    path.write_text("# Mine\n\n<!-- measured: few -->\nold\n<!-- measured: end -->\n\nbelow\n")
    return path


def rows(text: str) -> dict[str, list[str]]:
    lines = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| ")]
    return {title.strip(): [cell.strip() for cell in cells] for title, *cells in lines}


def test_values_of_other_features_or_other_real_images_share_no_table(page):
    study, run_of = page.parent / "study" / "few", [evaluated("0", "cgan train", 0.3, 0.7, 540)]
    store(study / "a.json", *run_of)
    for protocol, fid, words in (
        (replace(PROTOCOL, features="own_123456"), 0.05, "expected one protocol"),
        (PROTOCOL, 0.0501, "expected the same real images, found Fréchet distances"),
    ):
        real = replace(REAL, values=REAL.values | {"fid": fid})
        write_evaluation(study / "b.json", EvaluationRecord(protocol, real, run_of, ABOUT, ["0", "1"]))
        with pytest.raises(CganError, match=words):
            run(page)


def test_seeds_of_one_command_become_a_median_and_a_range(page):
    best, study = "python train.py experiment=best_cpu", page.parent / "study" / "few"
    store(
        study / "a.json",
        evaluated("0", f"{best} seed=1", 0.3, 0.7, 540),
        evaluated("1", "python train.py seed=2 experiment=best_cpu", 0.1, 0.6, 600),
        evaluated("2", "python train.py experiment=mlp_classic seed=1", 4.0, 0.5, 60),
    )
    store(study / "b.json", evaluated("0", f"{best} seed=3", 0.2, 0.5, 570))
    bare = Entry("real images", {"fid": 0.05})
    few = EvaluationRecord(PROTOCOL, bare, [evaluated("0", "python train.py model=light", 9.0, 0.5, 60)], {}, ["0"])
    write_evaluation(study / "0.json", few)  # the first by name; the others know more of the real images
    text = run(page)
    assert page.read_text() == text
    assert text.startswith("# Mine\n")
    assert text.endswith("\n\nbelow\n")
    assert "old" not in text
    table = rows(text)
    assert table[""] == ["`experiment=best_cpu`", "`experiment=mlp_classic`", "`model=light`", "real images"]
    assert table["Seeds"] == ["3", "1", "1", "-"]
    assert table["Minutes"] == ["9.5 (9.0 to 10.0)", "1.0", "1.0", "-"]
    assert table["Images"] == ["128", "128", "128", "-"]
    assert table["Fréchet distance"] == ["0.200 (0.100 to 0.300)", "4.000", "9.000", "0.050"]
    assert table["label_agreement_worst"] == ["0.600 (0.500 to 0.700)", "0.500", "0.500", "0.990"]
    assert "CAS" not in table  # no record has it
    assert Image.open(io.BytesIO((page.parent / "images" / "study_few.png").read_bytes())).width > 600


def test_the_plot_has_a_panel_for_each_value_that_the_runs_have(page):
    widths = []
    for values in ({"fid": 2.0}, {"fid": 2.0, "modes_kl": 0.5}, {"fid": 2.0, "modes_kl": 0.5, "digit_agreement": 0.75}):
        curve = [CurvePoint(64 * place, values, place, 60.0 * place) for place in (1, 2)]
        store(page.parent / "study" / "few" / "a.json", Entry("0", values, command="cgan train seed=1", curve=curve))
        run(page)
        widths.append(Image.open(io.BytesIO((page.parent / "images" / "study_few.png").read_bytes())).width)
    assert widths[1] > 1.2 * widths[0]
    assert widths[2] > 1.4 * widths[1]


def test_runs_are_called_by_the_words_that_tell_them_apart(page):
    common = "cgan train data=folder budget=60min"
    store(
        page.parent / "study" / "few" / "a.json",
        evaluated("0", f"{common} seed=1", 0.3, 0.7, 540),
        evaluated("1", f"{common} model=r3 seed=1", 0.1, 0.6, 600),
    )
    assert rows(run(page))[""] == ["`model=r3`", "nothing more", "real images"]


def test_a_page_without_marks_and_a_folder_without_records_are_refused(page):
    before = page.read_text()
    with pytest.raises(CganError, match=r"expected evaluation\.json files"):
        run(page)
    assert page.read_text() == before
    store(page.parent / "study" / "few" / "a.json", Entry("0", {"modes": 3}, command="cgan train seed=1"))
    with pytest.raises(CganError, match=r"study.few: expected a Fréchet distance and a curve in every record"):
        run(page)
    assert page.read_text() == before
    page.write_text("mine alone")
    with pytest.raises(CganError, match="expected the marks"):
        run(page)
    assert page.read_text() == "mine alone"
