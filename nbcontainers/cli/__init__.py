"""The command line: the faces' one parser, and the program `nbcontainers`."""
