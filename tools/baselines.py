"""The leaderboard, from evaluation records: ``python tools/baselines.py [docs/evaluations] [docs/baselines.md]``."""

import math
import sys
from collections.abc import Callable
from pathlib import Path

from cgan.errors import CganError
from cgan.files import write_file
from cgan.metrics.values import Description, Protocol
from cgan.records.evaluation import Entry, EvaluationRecord, read_evaluation
from cgan.reporting.table import markdown_table, number

HEAD = """# Baselines

**Question.** How near do this project's own generators come to real images, and after how long?

**Protocol.** Columns of one table share data, features and number of samples; the last one has the values of real
images in the role of the samples. Time to train counts training alone, up to the checkpoint that was evaluated;
hardware is the machine's, of which a run may have used one core. What each value means: [Metrics](metrics.md). Written
by `python tools/baselines.py` from the records of `evaluate.py` in
`{folder}`; do not edit by hand.
"""
CONCLUSION = "**Conclusion.** `{}` is nearest to real images: Fréchet distance {}, theirs {}. Columns are sorted by it."
ALONE = "**Conclusion.** `{}` has a Fréchet distance of {}, real images {}."
ORIGIN = ("Network", "Parameters", "Images seen", "Time to train", "Hardware")
SHOWN = (
    "fid",
    "modes",
    "modes_kl",
    "label_agreement",
    "intra_fid_worst",
    "patch_fid",
    "thumbnail_fid",
    "spectrum_2",
    "precision",
    "recall",
    "density",
    "coverage",
    "variance_ratio",
    "memorised",
    "near_duplicates",
    "cas",
)


def run(folder: Path, out: Path) -> str:
    """Write the leaderboard of all evaluation records in ``folder`` to ``out`` and return its text.

    Raises:
        CganError: There is no record, one is damaged, or real images of one protocol have different values.
    """
    groups: dict[Protocol, list[EvaluationRecord]] = {}
    for record in read_all(folder):
        groups.setdefault(record.protocol, []).append(record)
    parts = [HEAD.format(folder=folder.as_posix())]
    parts += [_section(protocol, groups[protocol]) for protocol in sorted(groups, key=str)]
    text = "\n".join(parts)
    write_file(out, text.encode())
    return text


def read_all(folder: Path) -> list[EvaluationRecord]:
    """Read every record in a folder.

    Raises:
        CganError: There is none, or one is damaged.
    """
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise CganError(f"{folder.absolute()}: expected evaluation.json files of evaluate.py, found none")
    return [read_evaluation(path) for path in paths]


def _section(protocol: Protocol, group: list[EvaluationRecord]) -> str:
    real = group[0].real
    for record in group[1:]:
        _refuse_other_reference(real, record.real, protocol)
    entries = sorted((entry for record in group for entry in record.entries), key=_distance)
    shown = [group[0].describe(name) for name in SHOWN if name in real.values]
    sides = [_side(entry, shown) for entry in [*entries, real]]
    titles = [f"{entry.title} ({entry.advice})" if entry.advice else entry.title for entry in shown]
    rows = list(zip(["", *ORIGIN, *titles], *sides, strict=True))
    commands = [f"- {entry.name}: `{entry.command}`" for entry in entries if entry.command]
    how = (
        f"Reference: the {protocol.reference} split; `seed={protocol.seed} weights={protocol.weights} "
        f"truncation={protocol.truncation:g} features={protocol.features}`, whose hash is {protocol.features_hash}."
    )
    nearest, conclusion = entries[0], CONCLUSION if len(entries) > 1 else ALONE
    end = conclusion.format(nearest.name, number(nearest.values.get("fid")), number(real.values.get("fid")))
    title = f"## {protocol.data}, {protocol.n:,} samples"
    return "\n".join([title, "", how, "", markdown_table(rows), "", end, "", *commands, ""])


def _refuse_other_reference(real: Entry, other: Entry, protocol: Protocol) -> None:
    for name, value in real.values.items():
        found = other.values.get(name, value)
        if not math.isclose(value, found, rel_tol=1e-3, abs_tol=1e-4):
            raise CganError(
                f"values of real images of {protocol.data} differ ({name}: {value:.5g} and {found:.5g}): their records "
                "are of other data or another version; evaluate again"
            )


def _distance(entry: Entry) -> float:
    return entry.values.get("fid", math.inf)


def _side(entry: Entry, shown: list[Description]) -> list[str]:
    """Return a column of the table: where a generator comes from, then its values."""
    return [
        entry.name,
        (entry.network or "-").removesuffix("Generator"),
        f"{entry.parameters:,}" if entry.parameters else "-",
        f"{entry.images_seen:,}" if entry.images_seen else "-",
        f"{entry.seconds / 60:.1f} min" if entry.seconds else "-",
        entry.hardware or "-",
        *(number(entry.values.get(one.name)) for one in shown),
    ]


def main(run: Callable[[Path, Path], object], *defaults: str) -> None:
    """Run a tool on the paths of the command line, each at its default where it is left out."""
    given = sys.argv[1:]
    paths = [Path(path) for path in (*given, *defaults[len(given) :])]
    try:
        run(*paths[:2])
    except CganError as error:
        sys.exit(f"error: {error}")
    print(f"Written: {paths[1]}")


if __name__ == "__main__":
    main(run, "docs/evaluations", "docs/baselines.md")
