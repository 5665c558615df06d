"""The page that explains every value, from the registry: ``python tools/values_page.py [docs/values.md]``."""

import sys
from pathlib import Path

from hydra.utils import instantiate

from cgan.config import compose
from cgan.files import write_file
from cgan.metrics.metric import Metric
from cgan.reporting.table import markdown_table

HEAD = """# What every value means

Written by `python tools/values_page.py` from `src/cgan/metrics/values.yaml`; do not edit by hand. Tables, figures, the
page, the API and model cards take their words from the same place. A metric of your own brings its own descriptions.
"""


def run(out: Path) -> str:
    """Write the page and return its text."""
    chosen = compose("evaluate", ["metrics=[all,cas,modes]"]).metrics
    metrics: dict[str, Metric] = instantiate(chosen, _convert_="all")
    rows = [["Value", "Name", "`metrics=`", "Meaning", "Good", "Needs", "Source"]]
    for key, metric in metrics.items():
        for entry in metric.values:
            about = [entry.sentence, entry.advice, entry.needs, entry.source]
            rows.append([entry.title, f"`{entry.name}`", f"`{key}`", *about])
    text = f"{HEAD}\n{markdown_table(rows)}\n"
    write_file(out, text.encode())
    return text


if __name__ == "__main__":
    run(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/values.md"))
