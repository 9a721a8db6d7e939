"""Programs that run on a target, by `python3 -c` or `sh -c`: each tells its own clock and its figures in lines that begin
with the token it was given (see nbcontainers.compare.report)."""
