// What Swift cannot import of libuv: casts, macros, variadics. Nothing else belongs here.
#ifndef CLIBUV_SHIM_H
#define CLIBUV_SHIM_H

#include <uv.h>

// A loop option is set through a variadic call.
static inline int clibuv_loop_block_sigprof(uv_loop_t *loop) {
    return uv_loop_configure(loop, UV_LOOP_BLOCK_SIGNAL, SIGPROF);
}

#endif
