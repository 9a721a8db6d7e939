"""A cell of Python, timed by its own clock. Arguments: the token, the code."""

import sys
import time

token, code = sys.argv[1:3]
sys.argv = ["<cell>"]
compiled = compile(code, "<cell>", "exec")
print(token, "begin", flush=True)
begun = time.perf_counter_ns()
try:
    exec(compiled, {"__name__": "__main__"})
finally:
    sys.stdout.flush()
    took = time.perf_counter_ns() - begun
    print(f"\n{token} end {took} ns", flush=True)
