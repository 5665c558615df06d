"""The lowest releases that pyproject.toml allows, one a line, as pip-audit reads them: ``make audit``."""

import re
import tomllib
from pathlib import Path


def floors(pyproject: Path) -> list[str]:
    """Return ``NAME==VERSION`` of every dependency with a lowest release, those of the extras included."""
    project = tomllib.loads(pyproject.read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    found = [re.match(r"([\w.-]+)(?:\[[^]]*\])?>=([\w.]+)", line) for group in groups for line in group]
    return sorted({f"{match[1]}=={match[2]}" for match in found if match})


if __name__ == "__main__":
    print("\n".join(floors(Path(__file__).parents[1] / "pyproject.toml")))
