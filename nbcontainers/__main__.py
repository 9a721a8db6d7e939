"""`python -m nbcontainers` is the command line."""

import sys

from nbcontainers.cli.main import main

sys.exit(main())
