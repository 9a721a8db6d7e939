"""`python FOLDER/_nbcontainers_cell SOCKET`: the container's process 1."""

import os
import sys

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from _nbcontainers_cell import runner  # type: ignore[import-not-found]

    del sys.path[0]
    runner.main(sys.argv[1])
