"""What the documents tell readers to type: every command is parsed and composed, cheap ones run, errors exist."""

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, RangeSweep

from cgan.cli import TASKS
from cgan.cli.commands import COMMANDS
from cgan.cli.overrides import check_additions, plain_words, with_preset
from cgan.config import compose
from cgan.sampling.draw import draw
from cgan.sampling.formats import png
from cgan.tasks import export, sample
from reference import printed

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PLUGIN = ROOT / "examples" / "plugin" / "conf"
PROGRAMS = "cgan|python3?|torchrun|srun|sbatch|make|pip|tensorboard"
PLACEHOLDERS = {"COMMAND", "TOOL"}


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of every command of a page: in blocks for a shell, and in a line of prose or of a table."""
    text = page.read_text()
    for block in re.findall(r"^```(?:bash|sh)\n(.*?)^```", text, re.M | re.S):
        for line in block.replace("\\\n", " ").splitlines():
            yield from _split(shlex.split(line, comments=True))
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    for line in re.findall(rf"`((?:{PROGRAMS}) [^`]+)`", prose):
        yield from _split(shlex.split(line))


def _split(words: list[str]) -> Iterator[list[str]]:
    for part in " ".join(shlex.quote(word) for word in words).split("'&&'"):
        typed = [word for word in shlex.split(part) if word != "..."]
        while typed and re.fullmatch(r"[A-Z_]+=.*", typed[0]):
            del typed[0]  # variables of the environment
        if typed and not PLACEHOLDERS & set(typed):
            yield typed


def task_of(words: Sequence[str]) -> tuple[str, list[str]] | None:
    """Return the command of cgan that words start, with its arguments."""
    program, *rest = words
    if program == "cgan":
        return (rest[0], rest[1:]) if rest else None
    scripts = [
        place for place, word in enumerate(words) if re.fullmatch(r"(train|sample|evaluate|export|data|app)\.py", word)
    ]
    if scripts and program in ("python", "srun", "torchrun"):
        return words[scripts[0]].removesuffix(".py"), words[scripts[0] + 1 :]
    if program == "sbatch":
        place = words.index("examples/train.sbatch")
        return "train", words[place + 1 :]
    return None


def first(override: str) -> str:
    """Replace a range or a choice by the first of its values."""
    parsed = OverridesParser.create().parse_override(override)
    value = parsed.value()
    if isinstance(value, ChoiceSweep):
        return f"{parsed.key_or_group}={value.list[0]}"
    if isinstance(value, RangeSweep | IntervalSweep):
        return f"{parsed.key_or_group}={value.start}"
    return override


def composed(name: str, arguments: list[str]):
    """Compose what a command of Hydra would run, for the first run of a sweep."""
    folders = []
    if "--config-dir" in arguments:
        place = arguments.index("--config-dir")
        folders, arguments = [PLUGIN], [*arguments[:place], *arguments[place + 2 :]]
    sweep = {"-m", "--multirun"} & set(arguments)
    overrides = [word for word in plain_words(arguments) if word not in ("-m", "--multirun", "--help")]
    overrides = [first(word) for word in overrides] if sweep else overrides
    overrides = with_preset(overrides) if name == "train" else overrides
    cfg = compose(name, overrides, config_dirs=folders)
    check_additions(cfg)
    return cfg


@cache
def check(*words: str) -> None:
    """Fail unless the program, its options, keys, files and extras exist."""
    program, *rest = words
    found = task_of(words)
    if found and found[0] in TASKS:
        composed(*found)
    elif found and found[0] == "search":
        composed("train", [first(word) for word in plain_words(found[1][2:]) if not word.startswith("--")])
    elif found and found[0] == "data":
        composed("train", ["data=folder", "data.root=x", *[word for word in found[1][1:] if "=" in word]])
    elif found:
        said = printed(COMMANDS[found[0]])
        options = {word.split("=")[0] for word in found[1] if word.startswith("--")}
        assert all(option in said or option in ("--help", "--host") for option in options), said
    elif program == "make":
        assert re.search(rf"^{rest[0]}:", (ROOT / "Makefile").read_text(), re.M), words
    elif program == "pip":
        known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert all(extra in known for extra in re.findall(r"\[(\w+)\]", rest[-1])), words
    elif program.startswith("python") and not rest[0].startswith("-"):
        assert (ROOT / rest[0]).is_file(), words
    else:
        others = [
            ".",
            "cd",
            "curl",
            "export",
            "git",
            "hf",
            "tensorboard",
            "pytest",
            "pre-commit",
            "python",
            "python3",
            "zip",
        ]
        assert program in others, words


def page_or_slow(page: Path):
    """The pages that most people type from are checked with every change, the others by ``make test-all``."""
    marks = () if page.name in ("README.md", "index.md", "train.md", "draw.md") else pytest.mark.slow
    return pytest.param(page, marks=marks, id=page.name)


@pytest.mark.parametrize("page", [page_or_slow(page) for page in PAGES])
def test_every_command_of_a_page_fits(page, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    for words in commands(page):
        try:
            check(*words)
        except Exception as error:
            pytest.fail(f"{page.name}: {shlex.join(words)}: {error}")


def test_a_wrong_command_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "```bash\nA=1 cgan train loss=hinge && pip install -e '.[appp]'  # why\n```\n`python sample.py m=7 ...`"
    )
    found = list(commands(page))
    assert found == [
        ["cgan", "train", "loss=hinge"],
        ["pip", "install", "-e", ".[appp]"],
        ["python", "sample.py", "m=7"],
    ]
    check(*found[0])
    for words in [*found[1:], ["make", "tea"], ["cgan", "train", "+x=1"], ["cgan", "serve", "--prot", "1"]]:
        with pytest.raises(Exception, match=r"."):
            check(*words)


@pytest.mark.slow
def test_the_documented_ways_to_draw_and_to_export_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_seven.png").write_bytes(png(draw(sample.load_generator("pretrained"), [7])[0]))
    ran = []
    for page in ("index", "draw", "export"):
        for words in commands(ROOT / "docs" / f"{page}.md"):
            name, arguments = task_of(words) or ("", [])
            if name not in ("sample", "export") or {"n=6000", "ckpt=RUN_FOLDER", "format=web"} & set(arguments):
                continue
            if any(word.startswith(("ckpt=logs", "ckpt=hf:")) for word in arguments):
                continue
            cfg = compose(name, plain_words(arguments), tmp_path / "run")
            (sample if name == "sample" else export).run(cfg)
            ran.append(" ".join(arguments))
    assert len(ran) >= 8
    assert (tmp_path / "my_generator" / "model.safetensors").is_file()
    assert (tmp_path / "digits.npz").is_file()
    assert (tmp_path / "digits.onnx").is_file()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")  # of Lightning's own Trainer
def test_the_blocks_of_the_page_on_python_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny = '"trainer.max_epochs=1", "data.source.test_per_class=460", "quality.n=100", "trainer=cpu"'
    for block in re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "python.md").read_text(), re.M | re.S):
        small = block.replace('"n=500"', '"n=100"').replace("Mnist5k()", "Mnist5k(test_per_class=490)")
        exec(small.replace('"trainer.max_epochs=3"', tiny), {})
    assert (tmp_path / "year.png").is_file()
    assert (tmp_path / "grid.png").is_file()


def test_every_error_of_the_troubleshooting_exists():
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    listed = [message for line in page.splitlines() if line.startswith("- `") for message in _messages(line)]
    assert len(listed) > 60
    sources = [text for path in (ROOT / "src" / "cgan").rglob("*.py") for text in _texts(path)]
    assert [message for message in listed if not any(_produced(message, text) for text in sources)] == []


def _messages(line: str) -> list[str]:
    """Return the messages that an entry of the list begins with, or names after a semicolon or a comma."""
    opening = re.match(r"- (`[^`]+`(?:[;,] `[^`]+`)*)", line)
    return re.findall(r"`([^`]+)`", opening[1]) if opening else []


def _texts(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "\0" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"{[^}]*}", "\0", node.value)


def _produced(message: str, text: str) -> bool:
    """Whether a message of the page, with ``...`` for what differs, is the beginning of a text of the sources."""
    parts = [re.escape(part) for part in message.split("...")]
    return re.match(r".*?\0.*?".join(parts), text, re.DOTALL) is not None
