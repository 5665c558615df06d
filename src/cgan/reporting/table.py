"""Evaluation records as tables: text for a terminal, CSV, Markdown."""

import csv
import io
import math
from collections.abc import Sequence

from tabulate import tabulate

from cgan.metrics.suite import Measured
from cgan.metrics.values import Description, short
from cgan.records.evaluation import REAL, Entry, EvaluationRecord

MAX_CLASSES = 50
"""Classes in a table or figure."""


def columns(record: EvaluationRecord) -> dict[str, Entry]:
    """Return what stands side by side: the entries by name, and real images last."""
    return {**{entry.name: entry for entry in record.entries}, REAL: record.real}


def shown(record: EvaluationRecord, *, per_class: bool = False) -> list[Description]:
    """Return the descriptions of all values in a record, of those in all or of those per class.

    Values of very many classes are left to files: no table or figure could be read.
    """
    if per_class and len(record.class_names) > MAX_CLASSES:
        return []
    found = [entry.class_values if per_class else entry.values for entry in columns(record).values()]
    return [record.describe(name) for name in dict.fromkeys(name for values in found for name in values)]


def text_table(record: EvaluationRecord) -> str:
    """Lay out values and, below them, values per class, ready for a terminal."""
    sides = columns(record)
    rows = [
        [entry.title, *(number(side.values.get(entry.name)) for side in sides.values()), entry.advice]
        for entry in shown(record)
    ]
    tables = [_text(["", *sides, ""], rows)]
    for entry in shown(record, per_class=True):
        found = [side.class_values.get(entry.name, []) for side in sides.values()]
        rows = [
            [name, *(number(values[label] if label < len(values) else None) for values in found)]
            for label, name in enumerate(record.class_names)
        ]
        tables.append(_text([entry.title, *sides], rows))
    return "\n\n".join(tables)


def csv_table(record: EvaluationRecord) -> str:
    """Return every value as CSV: a line per value name, a column per entry; ``NAME/LABEL`` is a value of one class."""
    sides = [Measured(entry.values, entry.class_values).flat() for entry in columns(record).values()]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["value", *columns(record)])
    names = dict.fromkeys(name for values in sides for name in values)
    writer.writerows([name, *(values.get(name, "") for values in sides)] for name in names)
    return out.getvalue()


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first row is the head."""
    head, *body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return tabulate(body, head, tablefmt="github", disable_numparse=True)


def number(value: float | None) -> str:
    """Write a value for a table: four digits, ``-`` where there is none."""
    return "-" if value is None or not math.isfinite(value) else short(value, 4)


def _text(head: list[str], rows: list[list[str]]) -> str:
    align = ["left"] + ["right"] * (len(head) - 1)
    if head[-1] == "":
        align[-1] = "left"
    return tabulate(rows, head, tablefmt="plain", disable_numparse=True, colalign=align if rows else None)
