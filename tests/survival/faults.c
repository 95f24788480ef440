/* Kill the process, or let the call fail, at the k-th write, fsync or rename below a folder.

   Loaded with LD_PRELOAD. FAULT_FOLDER: only files below it count. FAULT_AT: number of the call,
   from 1 on; 0 only counts. FAULT_CODE: 0 kills the process, else the errno of the failing call
   and, with FAULT_STICKY=1, of all later ones, as on a full disk. FAULT_LOG: file that receives
   the number of calls when the process ends. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static long count;
static pid_t owner;

static int below(const char *path) {
    const char *folder = getenv("FAULT_FOLDER");
    return folder && *folder && strncmp(path, folder, strlen(folder)) == 0;
}

/* Returns the errno with which the call has to fail, 0 to go on. */
static int fault(const char *path) {
    if (!below(path)) return 0;
    const char *at_text = getenv("FAULT_AT");
    if (!at_text) return 0;
    if (owner != getpid()) { owner = getpid(); count = 0; }  /* a forked process counts anew */
    long number = __sync_add_and_fetch(&count, 1), at = atol(at_text);
    const char *log = getenv("FAULT_LOG");
    if (at == 0 && log) {
        int handle = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        char text[32];
        int length = snprintf(text, sizeof text, "%ld", number);
        syscall(SYS_write, handle, text, (size_t)length);
        syscall(SYS_close, handle);
    }
    const char *code_text = getenv("FAULT_CODE"), *sticky = getenv("FAULT_STICKY");
    int code = code_text ? atoi(code_text) : 0;
    int hit = number == at || (at > 0 && number > at && code && sticky && *sticky == '1');
    if (!hit) return 0;
    if (code == 0) { kill(getpid(), SIGKILL); for (;;) pause(); }
    return code;
}

static int fault_of_handle(int handle) {
    char name[64], path[PATH_MAX];
    snprintf(name, sizeof name, "/proc/self/fd/%d", handle);
    ssize_t length = readlink(name, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fault(path);
}

static int fault_of_path(const char *path) {
    char whole[PATH_MAX * 2];
    if (path[0] == '/') return fault(path);
    if (!getcwd(whole, PATH_MAX)) return 0;
    strcat(whole, "/");
    strncat(whole, path, PATH_MAX - 1);
    return fault(whole);
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define FAIL(code) do { int c = (code); if (c) { errno = c; return -1; } } while (0)

ssize_t write(int h, const void *b, size_t n) { REAL(write); FAIL(fault_of_handle(h)); return real(h, b, n); }
ssize_t pwrite64(int h, const void *b, size_t n, off64_t o) { REAL(pwrite64); FAIL(fault_of_handle(h)); return real(h, b, n, o); }
ssize_t writev(int h, const struct iovec *v, int n) { REAL(writev); FAIL(fault_of_handle(h)); return real(h, v, n); }
int fsync(int h) { REAL(fsync); FAIL(fault_of_handle(h)); return real(h); }
int fdatasync(int h) { REAL(fdatasync); FAIL(fault_of_handle(h)); return real(h); }
int rename(const char *a, const char *b) { REAL(rename); FAIL(fault_of_path(b)); return real(a, b); }
int renameat(int d, const char *a, int e, const char *b) { REAL(renameat); FAIL(fault_of_path(b)); return real(d, a, e, b); }
int link(const char *a, const char *b) { REAL(link); FAIL(fault_of_path(b)); return real(a, b); }
int linkat(int d, const char *a, int e, const char *b, int f) { REAL(linkat); FAIL(fault_of_path(b)); return real(d, a, e, b, f); }
