"""The error that a user can act on."""


class CganError(Exception):
    """Something the user can mend: the message names the thing, what was expected and what to do, on one line.

    The scripts print it without a traceback and exit with status 1; ``HYDRA_FULL_ERROR=1`` shows the traceback.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
