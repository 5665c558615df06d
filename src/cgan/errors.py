"""The error that a user can act on."""


def printable(text: str) -> str:
    """Return a text of an untrusted file as it can be printed: letters that would move the cursor are escaped.

    The two joiners that emoji and some scripts need stay.
    """
    sound = (letter.isprintable() or letter in "\u200c\u200d" for letter in text)
    return "".join(c if ok else c.encode("unicode_escape").decode() for c, ok in zip(text, sound, strict=True))


class CganError(Exception):
    """Something the user can mend: the message names the thing, what was expected and what to do, on one line.

    The scripts print it without a traceback and exit with status 1; ``HYDRA_FULL_ERROR=1`` shows the traceback.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(" ".join(message.split())))
