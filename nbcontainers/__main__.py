"""`python -m nbcontainers` is the command line."""

import sys


def main() -> int:
    """The same as cli.main, and no traceback for an interrupt that comes while it is being imported."""
    try:
        from nbcontainers.cli.main import main as carry_out

        return carry_out()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
