// What Swift cannot import of libuv and of the C library around it: casts, macros, variadics, headers that its
// Glibc module leaves out. Nothing else belongs here.
#ifndef CLIBUV_SHIM_H
#define CLIBUV_SHIM_H

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <uv.h>

// syscall(2) is variadic.
static inline int clibuv_is_main_thread(void) {
    return syscall(SYS_gettid) == getpid();
}

// Macros with a cast inside.
static inline int clibuv_eventfd(void) {
    return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

// glibc shows these to those who define _GNU_SOURCE, which a module cannot rely on.
int clibuv_accept4(int listener, struct sockaddr *address, socklen_t *length, int flags) __asm__("accept4");
void *clibuv_memmem(const void *place, size_t count, const void *wanted, size_t length) __asm__("memmem");

// struct ucred, too.
struct clibuv_credentials { pid_t pid; uid_t uid; gid_t gid; };
static inline int clibuv_peer_credentials(int descriptor, struct clibuv_credentials *credentials) {
    socklen_t length = sizeof *credentials;
    return getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, credentials, &length);
}

#endif
