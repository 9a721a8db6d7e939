/* Lets user-mode-linux set the registers of a processor that has more of them than it knows.
 *
 * PTRACE_SETREGSET of NT_X86_XSTATE takes the whole state or nothing (EFAULT): arch/x86/kernel/fpu/regset.c. Kernels of
 * user-mode-linux before 6.13 keep 2696 bytes of it, all up to AVX-512; with AMX there are 11008. What lies beyond is never
 * in use in a guest, which cannot ask for AMX: zeros stand for its initial state. Loaded by LD_PRELOAD.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/uio.h>

enum { GET_REGSET = 0x4204, SET_REGSET = 0x4205, X86_XSTATE = 0x202 };

static long (*real)(long, ...);
static char whole[1 << 16];
static size_t size;

long ptrace(long request, ...)
{
	va_list words;
	va_start(words, request);
	int pid = va_arg(words, int);
	void *address = va_arg(words, void *);
	void *data = va_arg(words, void *);
	va_end(words);
	if (!real)
		real = (long (*)(long, ...))dlsym(RTLD_NEXT, "ptrace");
	if (request != SET_REGSET || (long)address != X86_XSTATE)
		return real(request, pid, address, data);
	struct iovec *given = data;
	if (!size) {
		struct iovec all = { whole, sizeof whole };
		if (real(GET_REGSET, pid, address, &all) < 0)
			return -1;
		size = all.iov_len;
		memset(whole, 0, sizeof whole);
	}
	if (given->iov_len >= size)
		return real(request, pid, address, data);
	memcpy(whole, given->iov_base, given->iov_len);
	struct iovec all = { whole, size };
	return real(request, pid, address, &all);
}
