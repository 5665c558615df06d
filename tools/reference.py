"""The pages that the sources write: ``python tools/reference.py [docs]``.

``metrics.md`` is the registry of values, ``commands.md`` what ``cgan COMMAND --help`` says, for every option at once.
"""

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

from hydra.utils import instantiate

from cgan.cli import TASKS
from cgan.cli.commands import COMMANDS
from cgan.cli.comments import Key, groups, header, keys, prefix_of
from cgan.cli.help import FLAGS
from cgan.config import CONF, compose, summary
from cgan.files import write_file
from cgan.metrics.metric import Metric
from cgan.metrics.values import Description

FIXED = [f"data.source.{name}" for name in ("dataset", "img_shape", "class_names", "files", "transposed")]
"""What describes a known data set and is not meant to be changed."""
ONCE = "A key is explained once; *here* stands what differs in a later option."
METRICS = """# Metrics

What does a number mean, and is it good? `metrics=` chooses what is computed; *name* is what records and curves call a
value, which stands beside that of real images.

{meaning}
*Written by `python tools/reference.py` from `src/cgan/metrics/values.yaml`, as tables, figures, the page, the API and
model cards are. A metric of [your own](plugins.md#4-a-metric) brings its own descriptions.*
"""
COMMAND_LINE = """# Command line

Which command does it, and which keys does it take? In a checkout `python train.py` is `cgan train`, and so on for
`sample.py`, `evaluate.py`, `export.py`, `data.py` and `app.py`.

{commands}
*Written by `python tools/reference.py` from the comments in `conf/` and the help of each command.*
"""


def run(folder: Path) -> dict[str, str]:
    """Write both pages and return their texts by name."""
    pages = {"metrics.md": metrics_page(), "commands.md": commands_page()}
    for name, text in pages.items():
        write_file(folder / name, text.encode())
    return pages


def metrics_page() -> str:
    """Return the page that explains every value of every metric."""
    chosen = compose("evaluate", ["metrics=[all,cas,modes]"]).metrics
    metrics: dict[str, Metric] = instantiate(chosen, _convert_="all")
    parts = [_value(key, entry) for key, metric in metrics.items() for entry in metric.values]
    return METRICS.format(meaning="\n".join(parts))


def _value(key: str, about: Description) -> str:
    facts = [f"**{about.advice.capitalize()}**"] if about.advice else []
    facts += [f"`metrics={key}`", f"name `{about.name}`"]
    facts += [f"needs {about.needs}"] if about.needs else []
    facts += [about.source] if about.source else []
    return f"## {about.title}\n\n{about.sentence}\n\n{' · '.join(facts)}\n"


def commands_page() -> str:
    """Return the page of all commands."""
    parts = [part for name in TASKS for part in _task(name)]
    for name, function in COMMANDS.items():
        parts += [f"## cgan {name}\n", f"```text\n{printed(function)}\n```\n"]
    return COMMAND_LINE.format(commands="\n".join(parts))


def _task(name: str) -> Iterator[str]:
    """Yield the sections of a command that Hydra configures; groups are explained where they come first."""
    path = CONF / f"{name}.yaml"
    sentence, examples = header(path)
    yield f"## cgan {name}\n\n{sentence}\n"
    yield "\n".join(["```bash", *examples, "```\n"])
    yield "\n".join(_lines(_told(path, ""))) + "\n"
    chosen = groups(path)
    if name != "train":
        same = [f"[`{group}={option}`](#{group.replace('/', '')})" for group, option in chosen.items()]
        if same:
            yield f"Groups, as in `cgan train`: {', '.join(same)}.\n"
        return
    yield "Options of this command and of all others that take keys:\n"
    yield "\n".join(f"- `{flag}`: {text}" for flag, text in FLAGS.items()) + "\n"
    for group, option in {**chosen, "model/generator": "mlp", "model/discriminator": "mlp"}.items():
        yield from _group(group, option)


def _group(group: str, default: str) -> Iterator[str]:
    """Yield the options of a group, the default first, each with the keys that none before it has."""
    yield f"### {group}\n\nDefault: `{group}={default}`. {ONCE}\n"
    files = sorted((CONF / group).glob("*.yaml"), key=lambda file: (file.stem != default, file.stem))
    explained: set[tuple[str, str]] = set()
    defaults: dict[str, str] = {}
    for file in files:
        own = _told(file, prefix_of(group, file))
        new = [key for key in own if (key.name, key.meaning) not in explained]
        defaults = {key.name: key.default for key in new} | defaults
        other = [key for key in own if key not in new and key.default != defaults[key.name]]
        changed = [f"    - *here* {', '.join(f'`{key.name}={key.default}`' for key in other)}"] if other else []
        explained |= {(key.name, key.meaning) for key in new}
        yield "\n".join([f"- `{group}={file.stem}`: {_prose(summary(file))}", *_lines(new, "    "), *changed])
    yield ""


def _told(path: Path, prefix: str) -> list[Key]:
    return [key for key in keys(path, prefix) if key.meaning and key.name not in FIXED]


def _lines(told: list[Key], indent: str = "") -> list[str]:
    return [f"{indent}- `{key.name}={key.default}`: {_prose(key.meaning)}" for key in told]


def _prose(comment: str) -> str:
    """Return a comment as Markdown: its stars are no emphasis."""
    return comment.replace("*", "\\*")


def printed(function: Callable[[list[str]], Any]) -> str:
    """Return the help that a command prints, a hundred letters wide."""
    os.environ["COLUMNS"] = "100"
    out = io.StringIO()
    with redirect_stdout(out), suppress(SystemExit):
        function(["--help"])
    return out.getvalue().strip()


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    sys.argv = ["cgan"]  # examples name what was typed
    run(target)
