// Makes the system calls of a program behave as they may, and seldom do: for LD_PRELOAD.
//
//   gcc -shared -fPIC -O2 -o faults.so Tests/shim/faults.c -ldl
//
// What it does is said in environment variables; without any it does nothing.
//
//   FI_SHORT=N    reads and writes on non-blocking stream sockets and pipes move at most N bytes…
//   FI_EAGAIN=N   …and every N-th of them finds that it would block
//   FI_CALLS=N    both for the first N calls on a descriptor only, so that large transfers end in time; the rest is left alone. 0, the default: all
//   FI_ONLY=A,B   in programs with these names only (the first 15 bytes of each); the default: all
//
// A call to replace is one function that asks `short_of` how much it may move. Other kinds of faults are to be asked for in the same place, `fault_of`.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MAX_DESCRIPTORS = 65536 };

static struct {
    size_t at_most;
    unsigned would_block_every;
    unsigned calls;
} setting;

// Calls on each descriptor since it was last closed.
static atomic_uint calls[MAX_DESCRIPTORS];

static unsigned long number(const char *name) {
    const char *text = getenv(name);
    return text ? strtoul(text, NULL, 10) : 0;
}

static int is_meant(void) {
    const char *only = getenv("FI_ONLY");
    if (!only) return 1;
    size_t length = strlen(program_invocation_short_name);
    while (*only) {
        size_t part = strcspn(only, ",");
        size_t compared = part < 15 ? part : 15;
        if (part > 0 && length >= compared && strncmp(only, program_invocation_short_name, compared) == 0) return 1;
        only += part;
        if (*only) only++;
    }
    return 0;
}

__attribute__((constructor)) static void begin(void) {
    if (!is_meant()) return;
    setting.calls = (unsigned)number("FI_CALLS");
    setting.would_block_every = (unsigned)number("FI_EAGAIN");
    setting.at_most = number("FI_SHORT");
}

// A blocking descriptor belongs to code that may rely on more; a datagram would be cut off.
static int may_be_short(int fd) {
    int saved = errno, result = 0;
    struct stat status;
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && (flags & O_NONBLOCK) && fstat(fd, &status) == 0) {
        if (S_ISFIFO(status.st_mode)) {
            result = 1;
        } else if (S_ISSOCK(status.st_mode)) {
            int type = 0;
            socklen_t length = sizeof type;
            result = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM;
        }
    }
    errno = saved;
    return result;
}

// A kernel never says that it would block where the peer has hung up.
static int has_hung_up(int fd) {
    int saved = errno;
    struct pollfd question = {fd, POLLRDHUP, 0};
    int result = poll(&question, 1, 0) > 0;
    errno = saved;
    return result;
}

// How many of so many bytes a call may move; -1: it would block, and errno says so.
static ssize_t fault_of(int fd, size_t count) {
    if (!setting.at_most && !setting.would_block_every) return count;
    if (fd < 0 || fd >= MAX_DESCRIPTORS || count == 0 || !may_be_short(fd)) return count;
    unsigned call = atomic_fetch_add(&calls[fd], 1) + 1;
    if (setting.calls && call > setting.calls) return count;
    if (setting.would_block_every && call % setting.would_block_every == 0 && !has_hung_up(fd)) {
        errno = EAGAIN;
        return -1;
    }
    return setting.at_most && setting.at_most < count ? (ssize_t)setting.at_most : (ssize_t)count;
}

// The real one of a function that is replaced here.
#define REAL(name, result, ...)                                                                                                                       \
    static result (*real)(__VA_ARGS__);                                                                                                               \
    if (!real) real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static size_t total(const struct iovec *parts, int count) {
    size_t sum = 0;
    for (int i = 0; i < count; i++) sum += parts[i].iov_len;
    return sum;
}

// The first so many bytes of the parts, in `shorter`; gives back how many parts that are.
static int shorten(const struct iovec *parts, int count, size_t bytes, struct iovec *shorter) {
    int used = 0;
    while (used < count && bytes > 0) {
        shorter[used] = parts[used];
        if (shorter[used].iov_len > bytes) shorter[used].iov_len = bytes;
        bytes -= shorter[used].iov_len;
        used++;
    }
    return used;
}

int close(int fd) {
    REAL("close", int, int);
    if (fd >= 0 && fd < MAX_DESCRIPTORS) atomic_store(&calls[fd], 0);
    return real(fd);
}

ssize_t read(int fd, void *buffer, size_t count) {
    REAL("read", ssize_t, int, void *, size_t);
    ssize_t some = fault_of(fd, count);
    return some < 0 ? -1 : real(fd, buffer, some);
}

ssize_t write(int fd, const void *buffer, size_t count) {
    REAL("write", ssize_t, int, const void *, size_t);
    // libuv aborts if a message to its own signal pipe, of 16 bytes, is not taken whole.
    ssize_t some = count == 16 ? (ssize_t)count : fault_of(fd, count);
    return some < 0 ? -1 : real(fd, buffer, some);
}

ssize_t readv(int fd, const struct iovec *parts, int count) {
    REAL("readv", ssize_t, int, const struct iovec *, int);
    size_t all = total(parts, count);
    ssize_t some = fault_of(fd, all);
    if (some < 0) return -1;
    if ((size_t)some == all || count > IOV_MAX) return real(fd, parts, count);
    struct iovec shorter[IOV_MAX];
    return real(fd, shorter, shorten(parts, count, some, shorter));
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL("writev", ssize_t, int, const struct iovec *, int);
    size_t all = total(parts, count);
    ssize_t some = fault_of(fd, all);
    if (some < 0) return -1;
    if ((size_t)some == all || count > IOV_MAX) return real(fd, parts, count);
    struct iovec shorter[IOV_MAX];
    return real(fd, shorter, shorten(parts, count, some, shorter));
}

ssize_t recv(int fd, void *buffer, size_t count, int flags) {
    REAL("recv", ssize_t, int, void *, size_t, int);
    ssize_t some = fault_of(fd, count);
    return some < 0 ? -1 : real(fd, buffer, some, flags);
}

ssize_t send(int fd, const void *buffer, size_t count, int flags) {
    REAL("send", ssize_t, int, const void *, size_t, int);
    ssize_t some = fault_of(fd, count);
    return some < 0 ? -1 : real(fd, buffer, some, flags);
}

ssize_t recvfrom(int fd, void *buffer, size_t count, int flags, struct sockaddr *from, socklen_t *length) {
    REAL("recvfrom", ssize_t, int, void *, size_t, int, struct sockaddr *, socklen_t *);
    ssize_t some = fault_of(fd, count);
    return some < 0 ? -1 : real(fd, buffer, some, flags, from, length);
}

ssize_t sendto(int fd, const void *buffer, size_t count, int flags, const struct sockaddr *to, socklen_t length) {
    REAL("sendto", ssize_t, int, const void *, size_t, int, const struct sockaddr *, socklen_t);
    ssize_t some = fault_of(fd, count);
    return some < 0 ? -1 : real(fd, buffer, some, flags, to, length);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
    REAL("recvmsg", ssize_t, int, struct msghdr *, int);
    size_t all = total(message->msg_iov, message->msg_iovlen);
    ssize_t some = fault_of(fd, all);
    if (some < 0) return -1;
    if ((size_t)some == all || message->msg_iovlen > IOV_MAX) return real(fd, message, flags);
    struct iovec shorter[IOV_MAX], *parts = message->msg_iov;
    size_t count = message->msg_iovlen;
    message->msg_iovlen = shorten(parts, count, some, shorter);
    message->msg_iov = shorter;
    ssize_t result = real(fd, message, flags);
    message->msg_iov = parts;
    message->msg_iovlen = count;
    return result;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    REAL("sendmsg", ssize_t, int, const struct msghdr *, int);
    size_t all = total(message->msg_iov, message->msg_iovlen);
    ssize_t some = fault_of(fd, all);
    if (some < 0) return -1;
    if ((size_t)some == all || message->msg_iovlen > IOV_MAX) return real(fd, message, flags);
    struct iovec shorter[IOV_MAX];
    struct msghdr less = *message;
    less.msg_iov = shorter;
    less.msg_iovlen = shorten(message->msg_iov, message->msg_iovlen, some, shorter);
    return real(fd, &less, flags);
}
