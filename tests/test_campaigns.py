"""Short campaigns of faults; ``python tests/campaign.py`` runs long ones."""

import os
import random
import subprocess
from pathlib import Path

import pytest
from kills import WORKS, killed, on_a_full_disk, uninterrupted


def may_mount(place: Path) -> bool:
    place.mkdir(parents=True)
    mounted = os.geteuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(place)]).returncode == 0
    if mounted:
        subprocess.run(["umount", str(place)], check=True)
    return mounted


@pytest.mark.parametrize("name", [pytest.param("cache", marks=pytest.mark.slow), "export"])
def test_killed_or_short_of_disk_work_ends_as_if_nothing_had_happened(name: str, tmp_path: Path) -> None:
    """That of trainings is tested in test_resume.py."""
    folders = [tmp_path / part for part in ("reference", "killed", "full")]
    for folder in folders:
        folder.mkdir()
    expected, seconds = uninterrupted(WORKS[name], folders[0])
    killed(WORKS[name], folders[1], expected, seconds, 2, random.Random(3))  # a fast machine may be done before a kill
    if may_mount(tmp_path / "mount"):
        too_small = on_a_full_disk(WORKS[name], folders[2], expected, 0.1, random.Random(1))
        assert too_small == (name == "export"), "without room for a cache the pictures are read all the same"
