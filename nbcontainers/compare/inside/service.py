"""A service that answers one request after the other, or a program with a bug. Arguments: the token, `service` or `bug`, when
the clock is at 0 (Unix time), when the bug sets in and when all ends (seconds after that), how many loops the bug makes."""

import os
import sys
import time

BIN_S = 0.1
token, role = sys.argv[1:3]
zero, sets_in, ends = map(float, sys.argv[3:6])


def request() -> int:
    return sum(range(20_000))


def serve() -> None:
    """Prints how many requests were answered in each tenth of a second."""
    time.sleep(max(0.0, zero - time.time()))
    end = time.monotonic() + ends - (time.time() - zero)
    number = int((time.time() - zero) / BIN_S)
    edge, count = end - ends + (number + 1) * BIN_S, 0
    while (now := time.monotonic()) < end:
        while now >= edge:
            print(token, "bin", number, count, flush=True)
            number, edge, count = number + 1, edge + BIN_S, 0
        request()
        count += 1


def break_down() -> None:
    """Loops without end, many more than there are processors, until all ends."""
    time.sleep(max(0.0, zero + sets_in - time.time()))
    end = time.monotonic() + ends - sets_in
    children = []
    for _ in range(int(sys.argv[6])):
        if not (child := os.fork()):
            while time.monotonic() < end:
                request()
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


print(token, "begin", flush=True)
serve() if role == "service" else break_down()
print(token, "end", flush=True)
