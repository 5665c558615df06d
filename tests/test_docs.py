"""The documents: the site builds without a warning, links lead somewhere, generated pages are those of the sources."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import diagrams
import reference

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def test_the_site_builds_without_a_dead_link(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert built.returncode == 0, built.stderr
    assert "cgan.train" in (tmp_path / "site" / "reference.html").read_text()


def test_links_of_the_readme_lead_somewhere():
    links = re.findall(r"(?:\]\(|src=\")([^)#:\"]+)", (ROOT / "README.md").read_text())
    assert len(links) > 20
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{page.name}" for page in sorted(DOCS.glob("*.md")))])
def test_every_table_has_rows_as_wide_as_its_head(page):
    """A row that stands in another table's place is padded in silence when it is rendered."""
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
    for table in re.findall(r"(?:^\|.*\n)+", f"{text}\n", flags=re.MULTILINE):
        head, _, *rows = [re.sub(r"`[^`]*`", "", row).count("|") for row in table.splitlines()]
        assert set(rows) == {head}, table


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert [page.name for page in DOCS.glob("*.md") if f": {page.name}" not in navigation] == []


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    before, sys.argv = sys.argv, ["cgan"]  # help names what was typed
    yield reference.run(tmp_path_factory.mktemp("pages"))
    sys.argv = before


@pytest.mark.parametrize("page", ["metrics.md", "commands.md"])
def test_a_generated_page_is_that_of_the_sources(generated, page):
    assert (DOCS / page).read_text() == generated[page], "run python tools/reference.py"


def test_the_page_of_metrics_says_what_a_value_means_and_needs(generated):
    kid = generated["metrics.md"].split("## Kernel distance\n")[1].split("##")[0]
    assert "**Lower is better** · `metrics=kid` · name `kid` · needs 1,000 samples · Bińkowski" in kid


def test_the_page_of_commands_has_every_command_with_its_keys(generated):
    sections = generated["commands.md"].split("\n## ")[1:]
    names = "train sample evaluate export features data app serve search runs new push"
    assert [section.split("\n")[0] for section in sections] == [f"cgan {name}" for name in names.split()]
    assert "- `loss=hinge`: Hinge;" in sections[0]
    assert "    - `data.source.test_per_class=100`: images of each class that are kept apart, 1 to 499" in sections[0]
    assert "--private" in sections[-1]


@pytest.mark.slow
def test_pictures_of_networks_are_those_of_the_networks():
    drawn = diagrams.networks()
    found = {path.name: path.read_text() for path in (DOCS / "images" / "networks").glob("*.svg")}
    assert found == drawn, "run python tools/diagrams.py"
    light = re.findall(r'class="shape">(.+?)<', drawn["light_generator.svg"])
    assert light == ["96", "64 x 7 x 7", "32 x 7 x 7", "32 x 14 x 14", "16 x 14 x 14", "4 x 28 x 28", "1 x 28 x 28"]


def test_every_test_that_a_page_names_exists():
    named = {
        found
        for page in [*(ROOT / "docs").glob("*.md"), ROOT / "SECURITY.md"]
        for found in re.findall(r"`(test_\w+\.py)::(test_\w+)(\.\.\.)?`", page.read_text())
    }
    assert len(named) > 50
    for file, name, shortened in named:
        source = (ROOT / "tests" / file).read_text()
        assert re.search(rf"^def {name}{'' if shortened else chr(92) + '('}", source, re.M), f"{file}::{name}"


def test_what_documented_commands_write_does_not_disturb_git():
    pages = [ROOT / "README.md", *DOCS.glob("*.md")]
    lines = [line for page in pages for line in re.findall(r"^(?:python|cgan) .+", page.read_text(), re.M)]
    written = [name for line in lines for name in re.findall(r" out=([\w.]+)", line)]
    assert {"my_generator", "digits.onnx", "my_page", "signs"} <= {*written}
    command = ["git", "check-ignore", "--no-index", "--stdin"]
    ignored = subprocess.run(
        command, cwd=ROOT, input="\n".join(f"{name}/x" for name in written), capture_output=True, text=True
    )
    if ignored.returncode == 128:
        pytest.skip("not a checkout")
    assert {*written} - {name.removesuffix("/x") for name in ignored.stdout.split()} == set()
