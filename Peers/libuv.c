// Raw C on libuv, no tasks and no safety: what a runtime on libuv can hope for. `scripts/bench` builds it and runs AsyncUV beside it.
//
// A "task" is a heap-allocated job in a FIFO that a uv_idle callback drains. yield2 and yieldmany turn the loop once a round, spawn once a batch; sleep and cancel use a
// uv_timer_t a task; queue never turns the loop between switches. echo reads into one shared buffer and writes by uv_try_write.
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

static uv_loop_t *loop;
#define CHECK(x) do { int r_ = (x); if (r_ < 0) { fprintf(stderr, "%s: %s\n", #x, uv_strerror(r_)); exit(1); } } while (0)

static double now_s(void) { return (double)uv_hrtime() / 1e9; }
static double cpu_s(void) {
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  return r.ru_utime.tv_sec + r.ru_stime.tv_sec + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}
static long rss_kb(void) {
  long a = 0, b = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (fscanf(f, "%ld %ld", &a, &b) != 2) b = 0;
  fclose(f);
  return b * 4;
}
static long peak_kb(void) {  // not ru_maxrss: that keeps the size of the process that forked us
  char line[256];
  long kb = 0;
  FILE *f = fopen("/proc/self/status", "r");
  while (fgets(line, sizeof line, f)) sscanf(line, "VmHWM: %ld", &kb);
  fclose(f);
  return kb;
}
static void report(const char *w, long n, double wall, double cpu, const char *extra) {
  printf("{\"workload\":\"%s\",\"n\":%ld,\"wall_s\":%.4f,\"cpu_s\":%.4f,\"ns_per_op\":%.1f,\"cpu_ns_per_op\":%.1f%s,\"max_rss_kb\":%ld}\n",
         w, n, wall, cpu, wall * 1e9 / n, cpu * 1e9 / n, extra, peak_kb());
}
static uint32_t seed = 12345;
static int rnd_ms(int max) { seed = (seed * 1103515245u + 12345u) & 0x7fffffffu; return (int)((seed >> 8) % (unsigned)(max + 1)); }

// ---- echo ---------------------------------------------------------------------------------
static char shared[64 * 1024];
static int naive;
typedef struct { uv_write_t req; uv_buf_t buf; } wr;
static void on_alloc(uv_handle_t *h, size_t n, uv_buf_t *b) {
  (void)h;
  *b = naive ? uv_buf_init(malloc(n), (unsigned)n) : uv_buf_init(shared, sizeof shared);
}
static void on_closed(uv_handle_t *h) { free(h); }
static void on_written(uv_write_t *r, int st) {
  wr *w = (wr *)r;
  if (st < 0 && !uv_is_closing((uv_handle_t *)r->handle)) uv_close((uv_handle_t *)r->handle, on_closed);
  if (naive) free(w->buf.base);
  free(w);
}
static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b) {
  if (n <= 0) {
    if (naive) free(b->base);
    if (n < 0 && !uv_is_closing((uv_handle_t *)s)) uv_close((uv_handle_t *)s, on_closed);
    return;
  }
  if (naive) {
    wr *w = malloc(sizeof *w);
    w->buf = uv_buf_init(b->base, (unsigned)n);
    if (uv_write(&w->req, s, &w->buf, 1, on_written)) uv_close((uv_handle_t *)s, on_closed);
    return;
  }
  uv_buf_t buf = uv_buf_init(b->base, (unsigned)n);
  int did = uv_try_write(s, &buf, 1);
  if (did == (int)n) return;
  if (did < 0 && did != UV_EAGAIN) { uv_close((uv_handle_t *)s, on_closed); return; }
  if (did < 0) did = 0;
  wr *w = malloc(sizeof *w + (size_t)(n - did));
  w->buf = uv_buf_init((char *)(w + 1), (unsigned)(n - did));
  memcpy(w->buf.base, b->base + did, (size_t)(n - did));
  if (uv_write(&w->req, s, &w->buf, 1, on_written)) uv_close((uv_handle_t *)s, on_closed);
}
static void on_conn(uv_stream_t *srv, int st) {
  if (st < 0) return;
  uv_tcp_t *c = malloc(sizeof *c);
  uv_tcp_init(loop, c);
  CHECK(uv_accept(srv, (uv_stream_t *)c));
  uv_tcp_nodelay(c, 1);
  uv_read_start((uv_stream_t *)c, on_alloc, on_read);
}
static void echo(int port) {
  static uv_tcp_t srv;
  struct sockaddr_in a;
  uv_tcp_init(loop, &srv);
  uv_ip4_addr("127.0.0.1", port, &a);
  CHECK(uv_tcp_bind(&srv, (struct sockaddr *)&a, 0));
  CHECK(uv_listen((uv_stream_t *)&srv, 4096, on_conn));
  uv_run(loop, UV_RUN_DEFAULT);
}

// ---- a run queue of heap-allocated jobs, drained by the loop -----------------------------
typedef struct job { struct job *next; void (*fn)(struct job *); long left; } job;
static job *qhead, **qtail = &qhead;
static uv_idle_t idle;
static int whole_queue;  // 1: drain until empty, 0: one round per loop turn (as asyncio does)
static void push(job *j) { j->next = NULL; *qtail = j; qtail = &j->next; }
static void drain(uv_idle_t *h) {
  do {
    job *j = qhead;
    qhead = NULL;
    qtail = &qhead;
    while (j) { job *n = j->next; j->fn(j); j = n; }
  } while (whole_queue && qhead);
  if (!qhead) uv_idle_stop(h);
}
static long finished;
static void run_trivial(job *j) { finished++; free(j); }
static void spawn(long n, long batch) {
  uv_idle_init(loop, &idle);
  double t = now_s(), c = cpu_s();
  for (long i = 0; i < n; i += batch) {
    for (long k = 0; k < batch; k++) { job *j = malloc(sizeof *j); j->fn = run_trivial; push(j); }
    uv_idle_start(&idle, drain);
    uv_run(loop, UV_RUN_DEFAULT);
  }
  if (finished != n) abort();
  report("spawn", n, now_s() - t, cpu_s() - c, "");
}
static void run_yield(job *j) { if (--j->left > 0) push(j); else free(j); }
static void yields(const char *name, long tasks, long each) {
  uv_idle_init(loop, &idle);
  double t = now_s(), c = cpu_s();
  for (long i = 0; i < tasks; i++) { job *j = malloc(sizeof *j); j->fn = run_yield; j->left = each; push(j); }
  uv_idle_start(&idle, drain);
  uv_run(loop, UV_RUN_DEFAULT);
  report(name, tasks * each, now_s() - t, cpu_s() - c, "");
}

// ---- timers -------------------------------------------------------------------------------
static void on_timer(uv_timer_t *h) { finished++; uv_close((uv_handle_t *)h, on_closed); }
static void sleeps(long n, int ms) {
  double t = now_s(), c = cpu_s();
  uv_update_time(loop);
  for (long i = 0; i < n; i++) {
    uv_timer_t *h = malloc(sizeof *h);
    uv_timer_init(loop, h);
    uv_timer_start(h, on_timer, (uint64_t)rnd_ms(ms), 0);
  }
  uv_run(loop, UV_RUN_DEFAULT);
  if (finished != n) abort();
  double w = now_s() - t;
  char x[64];
  snprintf(x, sizeof x, ",\"overhead_ms\":%.2f", w * 1e3 - ms);
  report("sleep", n, w, cpu_s() - c, x);
}
static void on_cancelled(uv_handle_t *h) { finished++; free(h); }
static void cancels(long n) {
  long r0 = rss_kb();
  uv_timer_t **hs = malloc(sizeof *hs * (size_t)n);
  for (long i = 0; i < n; i++) {
    hs[i] = malloc(sizeof **hs);
    uv_timer_init(loop, hs[i]);
    uv_timer_start(hs[i], on_timer, 3600000, 0);
  }
  uv_run(loop, UV_RUN_NOWAIT);
  usleep(200000);
  long r1 = rss_kb();
  double t = now_s(), c = cpu_s();
  for (long i = 0; i < n; i++) { uv_timer_stop(hs[i]); uv_close((uv_handle_t *)hs[i], on_cancelled); }
  uv_run(loop, UV_RUN_DEFAULT);
  if (finished != n) abort();
  char x[64];
  snprintf(x, sizeof x, ",\"bytes_per_task\":%.0f", (r1 - r0) * 1024.0 / n);
  report("cancel", n, now_s() - t, cpu_s() - c, x);
}

// ---- bounded queue: producer and consumer are jobs of the run queue -----------------------
static long ring[4096], rcap, rcount, rhead, made, eaten, total;
static job prod, cons;
static int prod_waits, cons_waits;
static void produce(job *j) {
  while (made < total) {
    if (rcount == rcap) { prod_waits = 1; return; }
    ring[(rhead + rcount++) % rcap] = made++;
    if (cons_waits) { cons_waits = 0; push(&cons); }
  }
  (void)j;
}
static void consume(job *j) {
  while (eaten < total) {
    if (!rcount) { cons_waits = 1; return; }
    if (ring[rhead] != eaten) abort();
    rhead = (rhead + 1) % rcap, rcount--, eaten++;
    if (prod_waits) { prod_waits = 0; push(&prod); }
  }
  (void)j;
}
static void queue(long n, long cap) {
  total = n, rcap = cap;
  prod.fn = produce, cons.fn = consume;
  uv_idle_init(loop, &idle);
  double t = now_s(), c = cpu_s();
  push(&prod), push(&cons);
  uv_idle_start(&idle, drain);
  uv_run(loop, UV_RUN_DEFAULT);
  if (eaten != n) abort();
  report("queue", n, now_s() - t, cpu_s() - c, "");
}

// ---- cross-thread wake ---------------------------------------------------------------------
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static uv_async_t async;
static sem_t reply;
static job *xhead, **xtail = &xhead;
static long wn;
static int roundtrip;
static double wt0, wt1;
static void on_async(uv_async_t *a) {
  pthread_mutex_lock(&mu);
  job *j = xhead;
  xhead = NULL, xtail = &xhead;
  pthread_mutex_unlock(&mu);
  while (j) { job *n = j->next; j->fn(j); j = n; }
  if (finished == wn) { wt1 = now_s(); uv_close((uv_handle_t *)a, NULL); }
}
static void run_posted(job *j) { finished++; free(j); if (roundtrip) sem_post(&reply); }
static void *poster(void *arg) {
  (void)arg;
  wt0 = now_s();
  for (long i = 0; i < wn; i++) {
    job *j = malloc(sizeof *j);
    j->fn = run_posted, j->next = NULL;
    pthread_mutex_lock(&mu);
    *xtail = j, xtail = &j->next;
    pthread_mutex_unlock(&mu);
    uv_async_send(&async);
    if (roundtrip) while (sem_wait(&reply)) {}
  }
  return NULL;
}
static void wake(const char *name, long n, int rt) {
  pthread_t th;
  wn = n, roundtrip = rt;
  sem_init(&reply, 0, 0);
  uv_async_init(loop, &async, on_async);
  double c = cpu_s();
  pthread_create(&th, NULL, poster, NULL);
  uv_run(loop, UV_RUN_DEFAULT);
  pthread_join(th, NULL);
  report(name, n, wt1 - wt0, cpu_s() - c, "");
}

int main(int argc, char **argv) {
  const char *w = argc > 1 ? argv[1] : "";
  long a = argc > 2 ? atol(argv[2]) : 0, b = argc > 3 ? atol(argv[3]) : 0;
  signal(SIGPIPE, SIG_IGN);
  loop = uv_default_loop();
  if (!strcmp(w, "echo")) echo((int)a);
  else if (!strcmp(w, "echo-uvwrite")) naive = 1, echo((int)a);
  else if (!strcmp(w, "spawn")) spawn(a, b);
  else if (!strcmp(w, "yield2")) yields(w, 2, a / 2);
  else if (!strcmp(w, "yield2-runq")) whole_queue = 1, yields(w, 2, a / 2);
  else if (!strcmp(w, "yieldmany")) yields(w, a, b);
  else if (!strcmp(w, "yieldmany-runq")) whole_queue = 1, yields(w, a, b);
  else if (!strcmp(w, "sleep")) sleeps(a, (int)b);
  else if (!strcmp(w, "cancel")) cancels(a);
  else if (!strcmp(w, "queue")) whole_queue = 1, queue(a, b);
  else if (!strcmp(w, "queue-turn")) queue(a, b);
  else if (!strcmp(w, "wake")) wake(w, a, 0);
  else if (!strcmp(w, "wakert")) wake(w, a, 1);
  else { fprintf(stderr, "unknown workload '%s'\n", w); return 64; }
  return 0;
}
