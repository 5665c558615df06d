"""``python -m cgan COMMAND``: the same as ``cgan COMMAND``."""

from cgan.cli import main

if __name__ == "__main__":
    main()
