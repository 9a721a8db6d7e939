/* The kernel's share of `run` of /bin/true, with no runtime around it: what no program on this host can undercut.
 *
 *     floor LEVEL ROUNDS FOLDER     FOLDER has rootfs/; prints the milliseconds of each round
 *
 * 0 fork, execve, exit; 1 in new namespaces; 2 and with overlay, /proc, /dev, /sys, pivot_root; 3 and with cgroups and
 * three limits. No seccomp, capabilities, masked paths, log, records or figures: a real runtime does more than that.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *hierarchies[] = {"cpu", "cpuacct", "memory", "devices", "freezer", "blkio", "pids"};
enum { COUNT = sizeof hierarchies / sizeof *hierarchies, REMOVALS = 1000 };
static int tasks[COUNT];
static char path[4096];

static const char *cgroup(const char *hierarchy, const char *file) {
    snprintf(path, sizeof path, "/sys/fs/cgroup/%s/nbcontainers-floor%s", hierarchy, file);
    return path;
}

static void put(const char *hierarchy, const char *file, const char *value) {
    int descriptor = open(cgroup(hierarchy, file), O_WRONLY | O_CLOEXEC);
    if (descriptor < 0 || write(descriptor, value, strlen(value)) < 0) err(1, "%s", path);
    close(descriptor);
}

static int make_cgroups(void) {
    for (int i = 0; i < COUNT; i++) {
        mkdir(cgroup(hierarchies[i], ""), 0755);
        if ((tasks[i] = open(cgroup(hierarchies[i], "/tasks"), O_WRONLY | O_CLOEXEC)) < 0) err(1, "%s", path);
    }
    put("memory", "/memory.limit_in_bytes", "268435456");
    put("pids", "/pids.max", "100");
    put("cpu", "/cpu.cfs_quota_us", "100000");
    mkdir(cgroup("unified", ""), 0755);
    return open(path, O_DIRECTORY | O_CLOEXEC);
}

static void remove_cgroups(void) {
    for (int i = 0; i <= COUNT; i++) {
        if (i < COUNT) close(tasks[i]);
        cgroup(i < COUNT ? hierarchies[i] : "unified", "");
        for (int n = 0; rmdir(path) && n < REMOVALS; n++) usleep(50);
    }
}

static void attach(const char *kind, const char *target, unsigned long flags, const char *data) {
    mkdir(target, 0755);
    if (mount(kind, target, kind, flags, data)) err(1, "%s", target);
}

static void build(const char *folder) {
    char data[3 * sizeof path];
    if (mount("none", "/", 0, MS_REC | MS_PRIVATE, 0) || chdir(folder)) err(1, "%s", folder);
    snprintf(data, sizeof data, "lowerdir=rootfs,upperdir=upper,workdir=work,volatile");
    attach("overlay", "merged", 0, data);
    if (chdir("merged")) err(1, "merged");
    attach("proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0);
    attach("sysfs", "sys", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, 0);
    attach("tmpfs", "dev", MS_NOSUID, "mode=755,size=65536k");
    attach("devpts", "dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620");
    attach("tmpfs", "dev/shm", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=65536k");
    attach("mqueue", "dev/mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0);
    for (int minor = 3; minor < 9; minor++) {
        snprintf(path, sizeof path, "dev/%d", minor);
        mknod(path, S_IFCHR | 0666, makedev(1, minor));
    }
    if (syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/")) err(1, "pivot_root");
}

static void once(int level, const char *folder, const char *program) {
    struct clone_args arguments = {.exit_signal = SIGCHLD};
    char *words[] = {"true", 0}, *none[] = {0};
    if (level >= 1)
        arguments.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP;
    if (level >= 3) {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = make_cgroups();
    }
    int status, pid = syscall(SYS_clone3, &arguments, sizeof arguments);
    if (pid < 0) err(1, "clone3");
    if (!pid) {
        for (int i = 0; level >= 3 && i < COUNT; i++)
            if (write(tasks[i], "0", 1) < 0) err(1, "tasks");
        if (level >= 2) build(folder);
        execve(level >= 2 ? "/bin/true" : program, words, none);
        err(1, "execve");
    }
    if (waitpid(pid, &status, 0) != pid || status) errx(1, "status %x", status);
    if (level >= 3) {
        close(arguments.cgroup);
        remove_cgroups();
    }
}

int main(int count, char **words) {
    if (count != 4 || chdir(words[3])) errx(2, "floor LEVEL ROUNDS FOLDER");
    mkdir("upper", 0755), mkdir("work", 0755), mkdir("merged", 0755);
    for (int round = atoi(words[2]); round--; usleep(50000)) {
        struct timespec begun, ended;
        unlink("work/work/incompat/volatile/dirty"), rmdir("work/work/incompat/volatile");
        clock_gettime(CLOCK_MONOTONIC, &begun);
        once(atoi(words[1]), words[3], "rootfs/bin/true");
        clock_gettime(CLOCK_MONOTONIC, &ended);
        printf("%f\n", (ended.tv_sec - begun.tv_sec) * 1e3 + (ended.tv_nsec - begun.tv_nsec) / 1e6);
    }
}
