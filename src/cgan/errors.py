"""The error that a user can act on, and the checks that most often raise it."""

import math
from collections.abc import Iterable
from difflib import get_close_matches


def is_printable(text: str) -> bool:
    """Whether no letter of a text would move the cursor; the two joiners that emoji and some scripts need would not."""
    return text.replace("\u200c", "").replace("\u200d", "").isprintable()


def printable(text: str) -> str:
    """Return a text of an untrusted file as it can be printed: letters that would move the cursor are escaped."""
    return "".join(c if is_printable(c) else c.encode("unicode_escape").decode() for c in text)


class CganError(Exception):
    """Something the user can mend: the message names the thing, what was expected and what to do, on one line.

    The scripts print it without a traceback and exit with status 1; ``HYDRA_FULL_ERROR=1`` shows the traceback.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(" ".join(message.split())))


def check_whole(key: str, value: object, minimum: int) -> None:
    """Raise a CganError unless the value of a key is a whole number from ``minimum`` that 64 bits hold."""
    if type(value) is not int or value < minimum:
        raise CganError(f"{key}={value}: expected a whole number from {minimum}")
    if value >= 2**63:
        raise CganError(f"{key}={value}: expected a whole number below {2**63}")


def check_share(key: str, value: object, *, above: bool = False, below: bool = False) -> None:
    """Raise a CganError unless the value of a key is from 0 to 1; without 0 if ``above`` it, without 1 if ``below``."""
    check_number(key, value, 0, 1, above=above, below=below, kind="share")


def check_number(
    key: str,
    value: object,
    low: float,
    high: float = math.inf,
    *,
    above: bool = False,
    below: bool = False,
    kind: str = "number",
) -> None:
    """Raise a CganError unless the value of a key is a finite number from ``low`` to ``high``.

    ``low`` itself is refused if it must be ``above`` it, ``high`` if it must be ``below``; the message says ``kind``.
    """
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    inside = low < number if above else low <= number
    if not inside or not (number < high if below or high == math.inf else number <= high):
        bounds = f"above {low}" if above else f"from {low}"
        if high < math.inf:
            bounds += f" and below {high}" if below else f" and up to {high}" if above else f" to {high}"
        raise CganError(f"{key}={value}: expected a {kind} {bounds}")


def check_choice(key: str, value: object, choices: Iterable[str]) -> None:
    """Raise a CganError unless the value of a key is one of ``choices``; it names the nearest one."""
    if value not in (known := list(choices)):
        raise CganError(f"{key}={value}: expected one of {', '.join(known)}{did_you_mean(str(value), known)}")


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return ``; did you mean ...?`` with the choice that is nearest to ``word``, or an empty string."""
    close = get_close_matches(word, choices, n=1)
    return f"; did you mean {close[0]}?" if close else ""
