"""Values by tag, side by side: as text, as CSV, as Markdown."""

import csv
import io

Columns = dict[str, dict[str, float]]
"""Values by tag, by the name of what they judge; the floor is a column like the others."""

GOALS = {
    "fid": "lower",
    "kid_deviation": "",
    "kid": "lower",
    "is_deviation": "",
    "is": "higher",
    "precision": "higher",
    "recall": "higher",
    "density": "1",
    "coverage": "higher",
    "intra_fid_mean": "lower",
    "intra_fid_worst": "lower",
    "label_agreement": "higher",
    "cas_deviation": "",
    "cas": "higher",
    "variance_ratio_least": "1",
    "variance_ratio": "1",
    "memorised": "at most floor",
    "exact_copies": "0",
    "near_duplicates": "at most floor",
    "class_fid": "lower",
    "class_agreement": "higher",
}
"""What is good, by the beginning of the tag; the longer names come first."""


def goal(tag: str) -> str:
    """Say which way a value is better: ``lower``, ``higher``, or what to be near; empty for deviations."""
    return next((wish for name, wish in GOALS.items() if tag.startswith(f"{name}_")), "")


def text_table(columns: Columns) -> str:
    """Lay out the values of whole sets of samples, a column each, ready for a terminal."""
    tags = [tag for tag in _tags(columns) if "/" not in tag]
    rows = [["", *columns, "better"]]
    rows += [[tag, *(_words(values.get(tag)) for values in columns.values()), goal(tag)] for tag in tags]
    return _aligned(rows)


def class_table(columns: Columns, class_names: tuple[str, ...]) -> str:
    """Lay out the values per class: a line per class, a column per set of samples and kind of value; may be empty."""
    kinds = list(dict.fromkeys(tag.partition("/")[0] for tag in _tags(columns) if "/" in tag))
    tables = []
    for kind in kinds:
        rows = [[kind, *columns]]
        rows += [
            [name, *(_words(values.get(f"{kind}/{label}")) for values in columns.values())]
            for label, name in enumerate(class_names)
        ]
        tables.append(_aligned(rows))
    return "\n\n".join(tables)


def csv_table(columns: Columns) -> str:
    """Return every value as CSV: a line per tag, a column per set of samples."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["tag", *columns])
    writer.writerows([tag, *(values.get(tag, "") for values in columns.values())] for tag in _tags(columns))
    return out.getvalue()


def markdown_table(rows: list[list[str]]) -> str:
    """Return a Markdown table; the first row is the head."""
    head, *body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def _tags(columns: Columns) -> list[str]:
    return list(dict.fromkeys(tag for values in columns.values() for tag in values))


def _words(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join([first.strip().ljust(widths[0]), *others]).rstrip())
    return "\n".join(lines)
