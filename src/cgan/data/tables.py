"""Tables that give pictures their classes: ``labels.csv`` and StyleGAN's ``dataset.json``."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from cgan.data.trees import Tree
from cgan.errors import CganError

MAX_BYTES = 2**25
TABLES = ("labels.csv", "dataset.json")
FILE_COLUMNS = ("file", "filename", "file_name", "image", "path", "name", "id", "image_id")
CLASS_COLUMNS = ("class", "class_name", "label", "target", "category")


def read_table(tree: Tree, table: str, paths: list[str], only_class: str) -> dict[str, str]:
    """Read the class of each of some pictures that a table names.

    Args:
        tree: The files.
        table: The table's path in it.
        paths: The pictures' paths from the table's folder; the table's names may lack their ending.
        only_class: The class of all, where a ``dataset.json`` says that there are no classes.

    Raises:
        CganError: The table is damaged, of another form, or names a file that is not there.
    """
    try:
        content = tree.read(table)
        if len(content) > MAX_BYTES:
            raise CganError(f"expected a table of at most {MAX_BYTES:,} bytes, found {len(content):,}")
        text = content.decode("utf-8-sig")
        rows = _json_rows(text) if table.endswith(".json") else _csv_rows(text)
        return dict.fromkeys(paths, only_class) if rows is None else _matched(rows, paths)
    except CganError as error:
        raise CganError(f"{tree.shown}: {table}: {error}") from error
    except Exception as error:  # an untrusted file can fail in any way
        raise CganError(
            f"{tree.shown}: {table}: expected a table of files and classes, found something unreadable ({error})"
        ) from error


def _csv_rows(text: str) -> dict[str, str]:
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    rows = ([cell.strip() for cell in row] for row in reader if any(row))
    header = [cell.lower() for cell in next(rows, [])]
    file, label = (
        next((header.index(word) for word in words if word in header), None) for words in (FILE_COLUMNS, CLASS_COLUMNS)
    )
    if file is None or label is None:
        raise CganError(f"expected the columns file and class in its first line, found {first.strip()!r:.80}")

    def pairs() -> Iterator[tuple[str, str]]:
        for number, row in enumerate(rows, 2):
            if len(row) <= max(file, label):
                raise CganError(f"expected {len(header)} columns, found {len(row)} in its line {number}")
            yield row[file], row[label]

    return _by_file(pairs())


def _json_rows(text: str) -> dict[str, str] | None:
    labels: Any = json.loads(text)["labels"]
    if labels is None:
        return None
    pairs = labels.items() if isinstance(labels, Mapping) else labels
    return _by_file(pairs)


def _by_file(pairs: Iterable[tuple[str, Any]]) -> dict[str, str]:
    """Return the class of each file, which is named once or with one class."""
    rows: dict[str, str] = {}
    for file, label in pairs:
        if type(label) not in (int, str):
            raise CganError(f"expected one class per file, a number or a name, found {label!r:.80}")
        path = str(PurePosixPath(file.replace("\\", "/")))
        if rows.setdefault(path, str(label)) != str(label):
            raise CganError(f"expected one class per file, found {rows[path]!r:.80} and {label!r:.80} of {path:.80}")
    return rows


def _matched(rows: Mapping[str, str], paths: list[str]) -> dict[str, str]:
    """Return the class of each path that a table names, with its ending or, where that is clear, without."""
    stems: dict[str, list[str]] = {}
    for path in paths:
        stems.setdefault(str(PurePosixPath(path).with_suffix("")), []).append(path)
    known = dict.fromkeys(paths) | {stem: found[0] for stem, found in stems.items() if len(found) == 1}
    if missing := [row for row in rows if row not in known]:
        raise CganError(f"it names {len(missing)} files that are not there, such as {missing[0]!r:.100}")
    return {known[row] or row: name for row, name in rows.items()}
