// What Swift cannot import of libuv and of the C library around it: casts, macros, variadics, headers that its
// Glibc module leaves out; and the one entry of Swift's runtime that has no name in Swift. Nothing else belongs here.
#ifndef CLIBUV_SHIM_H
#define CLIBUV_SHIM_H

#include <string.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
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

// Swift's runtime: the task that runs on this thread, or null. The compiler calls it by this name, so that it cannot change.
void *clibuv_native_task(void) __asm__("swift_task_getCurrent");

// glibc shows these to those who define _GNU_SOURCE, which a module cannot rely on.
int clibuv_accept4(int listener, struct sockaddr *address, socklen_t *length, int flags) __asm__("accept4");
void *clibuv_memmem(const void *place, size_t count, const void *wanted, size_t length) __asm__("memmem");
int clibuv_pipe2(int ends[2], int flags) __asm__("pipe2");
int clibuv_posix_openpt(int flags) __asm__("posix_openpt");
int clibuv_grantpt(int controller) __asm__("grantpt");
int clibuv_unlockpt(int controller) __asm__("unlockpt");
int clibuv_ptsname_r(int controller, char *name, size_t length) __asm__("ptsname_r");

// struct ucred, too.
struct clibuv_credentials { pid_t pid; uid_t uid; gid_t gid; };
static inline int clibuv_peer_credentials(int descriptor, struct clibuv_credentials *credentials) {
    socklen_t length = sizeof *credentials;
    return getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, credentials, &length);
}

// As accept4: with a structure of the same layout as struct mmsghdr, which hides for the same reason.
struct clibuv_mmsghdr {
    struct msghdr msg_hdr;
    unsigned int msg_len;
};
int clibuv_recvmmsg(int socket, struct clibuv_mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout) __asm__("recvmmsg");
int clibuv_sendmmsg(int socket, struct clibuv_mmsghdr *messages, unsigned int count, int flags) __asm__("sendmmsg");

// As in linux/filter.h: with that included, Swift takes structures of the C library for this module's.
struct clibuv_filter_step {
    unsigned short code;
    unsigned char jump_true;
    unsigned char jump_false;
    unsigned int value;
};
struct clibuv_filter {
    unsigned short length;
    struct clibuv_filter_step *steps;
};

// Macros that walk through a message's control data.
static inline struct cmsghdr *clibuv_first_control(struct msghdr *message) {
    return CMSG_FIRSTHDR(message);
}
static inline struct cmsghdr *clibuv_next_control(struct msghdr *message, struct cmsghdr *control) {
    return CMSG_NXTHDR(message, control);
}
static inline const void *clibuv_control_data(const struct cmsghdr *control) {
    return CMSG_DATA(control);
}
static inline size_t clibuv_control_length(const struct cmsghdr *control) {
    return control->cmsg_len < CMSG_LEN(0) ? 0 : control->cmsg_len - CMSG_LEN(0);
}

// Macros of the control messages that carry descriptors.
static inline size_t clibuv_rights_space(size_t count) { return CMSG_SPACE(count * sizeof(int)); }

static inline void clibuv_put_rights(struct msghdr *message, const int *descriptors, size_t count) {
    struct cmsghdr *control = CMSG_FIRSTHDR(message);
    control->cmsg_level = SOL_SOCKET;
    control->cmsg_type = SCM_RIGHTS;
    control->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(control), descriptors, count * sizeof(int));
}

static inline size_t clibuv_get_rights(struct msghdr *message, int *descriptors, size_t room) {
    size_t count = 0;
    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control; control = CMSG_NXTHDR(message, control)) {
        if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
        size_t found = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        if (found > room - count) found = room - count;
        memcpy(descriptors + count, CMSG_DATA(control), found * sizeof(int));
        count += found;
    }
    return count;
}

#endif
