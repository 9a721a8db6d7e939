"""Machine code for the one system call that Python cannot make through the C library: a clone3(2) with a stack of its own.

The child comes back on an empty stack, so somebody below the C library's `syscall` has to call the function it is to go
on with. glibc has that as `__clone3` and does not export it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Callable
from functools import cache

from nbcontainers.linux import libc

ENTRY = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
# As a PYFUNCTYPE it keeps the interpreter's lock, which then is the child's too.
_CLONE3 = ctypes.PYFUNCTYPE(ctypes.c_long, ctypes.c_void_p, ctypes.c_size_t, ENTRY, ctypes.c_void_p)
_CODE = {
    "x86_64": (
        "4989c8 b8b3010000 0f05"  # mov r8, rcx; mov eax, 435; syscall
        "4885c0 7401 c3"  # test rax, rax; jz child; ret
        "31ed 4c89c7 ffd2 0f0b"  # child: xor ebp, ebp; mov rdi, r8; call rdx; ud2
    ),
    "aarch64": (
        "683680d2 010000d4"  # mov x8, 435; svc 0
        "400000b4 c0035fd6"  # cbz x0, child; ret
        "1d0080d2 e00303aa 40003fd6 000020d4"  # child: mov x29, 0; mov x0, x3; blr x2; brk 0
    ),
}
_pages: list[mmap.mmap] = []


@cache
def clone3() -> Callable[..., int] | None:
    """`clone3(arguments, size, function, argument)`: in the child function(argument). Returns -errno like the kernel;
    None on a machine we do not know, or where no code may be made."""
    text = _CODE.get(os.uname().machine)
    if not text:
        return None
    page = mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    page.write(bytes.fromhex(text))
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    try:
        libc.check(libc.mprotect(address, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC), "mprotect")
    except OSError:  # SELinux, execmem
        return None
    _pages.append(page)
    return _CLONE3(address)
