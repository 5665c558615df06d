"""See what a folder or zip of pictures holds: `python data.py PATH`. The same as `cgan data`."""

import sys

from cgan.cli.commands import COMMANDS
from cgan.cli.errors import one_line_errors

if __name__ == "__main__":
    with one_line_errors():
        COMMANDS["data"](sys.argv[1:])
