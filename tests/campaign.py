"""Long campaigns of faults: ``python tests/campaign.py NAME --help``; the tests run short ones. Figures are printed.

Each ends with status 1 if something was lost, differed or leaked.
"""

import argparse
import asyncio
import logging
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from cgan.hardware import available_cores, processor

ROOT = Path(__file__).parents[1]
MB = 2**20


def mutate(arguments: argparse.Namespace) -> bool:
    """Damage files of every kind."""
    import mutations

    logging.disable()
    lost = False
    with tempfile.TemporaryDirectory() as folder:
        before = 0
        for name in arguments.work or mutations.KINDS:
            (seen,) = mutations.run_kinds(Path(folder), arguments.runs, arguments.seed, [name]).values()
            before = before or mutations.peak_memory()  # of the first kind, which imports most
            print(
                f"{name:16} read {seen.counts['read']:5}  refused {seen.counts['refused']:5}  others "
                f"{len(seen.failures):3}  longest {seen.longest:.2f} s",
                *seen.failures[:5],
                sep="\n    ",
                flush=True,
            )
            lost |= bool(seen.failures)
        print(f"Memory grew by {(mutations.peak_memory() - before) // MB} MB")
    return lost


def kill(arguments: argparse.Namespace) -> bool:
    """Kill work at random moments until all kills are used up; each piece of work ends as without them."""
    return _campaign(arguments, _kill_one)


def disk(arguments: argparse.Namespace) -> bool:
    """Let work fill disks of random sizes, then give it room; each piece of work ends as on a large disk."""
    return _campaign(arguments, _fill_one)


def _campaign(arguments: argparse.Namespace, one: Callable[..., tuple[int, str]]) -> bool:
    """Do ``one`` until all runs are used up; count, and say what failed."""
    import kills

    lost = False
    for name in arguments.work or kills.WORKS:
        began, done, failed, words = time.monotonic(), 0, 0, Counter[str]()
        with tempfile.TemporaryDirectory() as place:
            for reference in (Path(place, "first"), Path(place, "reference")):  # the first one starts the server
                reference.mkdir()
                expected, seconds = kills.uninterrupted(kills.WORKS[name], reference)
            number = 0
            while done < arguments.runs and number < 10 * arguments.runs:
                number += 1
                folder = Path(place, str(number))
                folder.mkdir()
                chance = random.Random(f"{arguments.seed} {name} {number}")
                try:
                    count, word = one(kills.WORKS[name], folder, expected, seconds, chance, arguments.runs - done)
                except AssertionError as error:
                    count, word, failed = 1, "FAILED", failed + 1
                    print(f"{name} {number}: {str(error)[:3000]}", flush=True)
                done += count
                words[word] += 1
                shutil.rmtree(folder, ignore_errors=True)
        lost |= failed > 0
        print(
            f"{name:10} runs {done:4} pieces of work {number:4} lost {failed:3} {dict(words)} "
            f"{time.monotonic() - began:.0f} s, undisturbed {seconds:.1f} s",
            flush=True,
        )
    return lost


def _kill_one(
    work: Any, folder: Path, expected: Any, seconds: float, chance: random.Random, left: int
) -> tuple[int, str]:
    import kills

    found = kills.killed(work, folder, expected, seconds, min(left, chance.randint(1, 6)), chance)
    return found.kills, f"{found.within_writes} within writes"


def _fill_one(
    work: Any, folder: Path, expected: Any, seconds: float, chance: random.Random, left: int
) -> tuple[int, str]:
    import kills

    used = _bytes(folder.parent / "reference") / MB
    failed = kills.on_a_full_disk(work, folder, expected, used, chance)
    return 1, "too small" if failed else "large enough"


def long(arguments: argparse.Namespace) -> bool:
    """Train for long: memory and open files of the process, and what it leaves on the disk."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "train.py"), "hydra.run.dir=run", "trainer.max_epochs=100000"]
        with Path(folder, "output.txt").open("w") as output:
            process = subprocess.Popen([*command, *arguments.overrides], cwd=folder, stdout=output, stderr=output)
            samples = list(watched(process, arguments.seconds))
            process.send_signal(signal.SIGTERM)
            status = process.wait()
        run = Path(folder, "run")
        growing = report_growth(samples)
        for pattern in ("events.out.*", "metrics.jsonl", "checkpoints/*", "samples/*"):
            print(f"{pattern:16} {_bytes(run, pattern) / MB:.2f} MB")
        print(Path(folder, "output.txt").read_text().rpartition("\r")[2])
    return status != 128 + signal.SIGTERM or growing


def report_growth(samples: list[tuple[int, int, int]]) -> bool:
    """Print memory, open files and threads after a tenth of the time and at the end; return whether they grew."""
    tenth = max(len(samples) // 10, 1)
    parts = (samples[tenth : 2 * tenth] or samples, samples[-tenth:])
    early, late = ([median(column) for column in zip(*part, strict=True)] for part in parts)
    for when, (memory, files, threads) in (("early", early), ("late", late)):
        print(f"{when:6} {memory / MB:7.1f} MB in memory {files:5.0f} open files {threads:4.0f} threads")
    return late[0] > 1.1 * early[0] or late[1] > early[1] + 2


def _bytes(folder: Path, pattern: str = "**/*") -> int:
    return sum(path.stat().st_size for path in folder.glob(pattern) if path.is_file())


def api(arguments: argparse.Namespace) -> bool:
    """Load the API with many clients: statuses, durations, memory and open files."""
    import load
    import servers

    command = ("-m", "uvicorn", "cgan.serving.api:app", "--port={port}", "--log-level=warning")
    options = {"path": "healthz", "CGAN_LOGS": "logs", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder, servers.serving(*command, folder=Path(folder), **options) as server:
        asked = load.requests(server.address, 30)
        print(f"{len(asked)} requests of {server.address}/openapi.json, {arguments.clients} clients", flush=True)
        chance, samples, seen = random.Random(arguments.seed), list[tuple[int, int, int]](), load.Load()
        end = time.monotonic() + arguments.seconds
        while time.monotonic() < end:
            part = asyncio.run(load.ask(server.address, asked, arguments.clients, arguments.seconds / 20, chance))
            seen.add(part)
            samples.append(sample(server.pid))
        assert "Traceback" not in server.output.read_text(), server.output.read_text()[-3000:]
    print(f"statuses {dict(sorted(seen.statuses.items()))}, without response {dict(seen.broken)}")
    for kind, seconds in seen.seconds.items():
        p50, p99 = (sorted(seconds)[int(share * (len(seconds) - 1))] for share in (0.5, 0.99))
        print(f"{kind}: {len(seconds)} responses, p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms")
    print(*seen.failures[:5], sep="\n")
    return report_growth(samples) or bool(seen.failures)


def page(arguments: argparse.Namespace) -> bool:
    """Open the page in many sessions of Chromium at once, then draw in all of them at once, again and again."""
    import load
    import servers

    command = ("-m", "streamlit", "run", str(ROOT / "app.py"), "--server.port={port}", "--server.headless=true")
    options = {"path": "_stcore/health"}
    with tempfile.TemporaryDirectory() as folder, servers.serving(*command, folder=Path(folder), **options) as server:
        errors, samples = list[str](), list[tuple[int, int, int]]()
        print(f"{arguments.sessions} sessions of Chromium, which need ten seconds of a processor each", flush=True)
        for number, (seconds, wrong) in enumerate(load.visit(server.address, arguments.sessions, arguments.rounds)):
            words = f"round {number}: from the click" if number else "opened: from the address"
            print(f"{words} to the pictures: median {median(seconds):.1f} s, longest {max(seconds):.1f} s", flush=True)
            errors += wrong
            samples.append(sample(server.pid))
    print(f"{len(errors)} errors", *errors[:5], sep="\n")
    return report_growth(samples) or bool(errors)


def watched(process: subprocess.Popen, seconds: float) -> Iterator[tuple[int, int, int]]:
    """Every second: bytes in memory, open files, threads of a process."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(1)
        assert process.poll() is None, "it has ended"
        yield sample(process.pid)


def sample(pid: int) -> tuple[int, int, int]:
    """Bytes in memory, open files, threads of a process."""
    place = Path("/proc", str(pid))
    words = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
    return int(words["VmRSS"].split()[0]) * 1024, len(os.listdir(place / "fd")), int(words["Threads"])


def main() -> None:
    """Run the campaign that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    campaigns = parser.add_subparsers(required=True, metavar="NAME")
    for campaign, runs in ((mutate, 500), (kill, 200), (disk, 100)):
        options = campaigns.add_parser(campaign.__name__, help=campaign.__doc__)
        options.add_argument("--runs", type=int, default=runs, help=f"of each kind; default: {runs}")
        options.add_argument("--seed", type=int, default=1)
        options.add_argument("work", nargs="*", help="kinds; default: all")
        options.set_defaults(campaign=campaign)
    options = campaigns.add_parser("long", help=long.__doc__)
    options.add_argument("--seconds", type=float, default=3600)
    options.add_argument("overrides", nargs="*", help="of train.py")
    options.set_defaults(campaign=long)
    options = campaigns.add_parser("api", help=api.__doc__)
    options.add_argument("--seconds", type=float, default=600)
    options.add_argument("--clients", type=int, default=64)
    options.add_argument("--seed", type=int, default=1)
    options.set_defaults(campaign=api)
    options = campaigns.add_parser("page", help=page.__doc__)
    options.add_argument("--sessions", type=int, default=20)
    options.add_argument("--rounds", type=int, default=5)
    options.set_defaults(campaign=page)
    arguments = parser.parse_args()
    began = time.monotonic()
    failed = arguments.campaign(arguments)
    hardware = f"{available_cores()} cores, {processor()}, Python {platform.python_version()}"
    print(f"{time.monotonic() - began:.0f} s; {hardware}")
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
