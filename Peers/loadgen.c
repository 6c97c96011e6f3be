// The load generator for all echo servers: epoll, one thread. `scripts/bench` and `scripts/costs` build and run it.
//
//   loadgen --port P [--conns N] [--size M] [--pipeline K] [--time S] [--warmup S]
//           [--requests R] [--mode echo|churn|hold] [--pid SERVER_PID] [--label TEXT]
//
// echo : N connections, each keeps K requests of M bytes outstanding.
// churn: N concurrent slots; each request is connect + send M + receive M + close.
// hold : opens N connections, reports the server's RSS before, after connecting and
//        after one M-byte echo on each.
// With --requests it ends after exactly so many (mode echo), however long they take.
// Prints one JSON line. With --pid it adds the server's CPU time per request and RSS, and
// (from /proc/stat) the CPU seconds that neither we nor the server used ("other_cpu_s").
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int port = 7000, nconns = 64, size = 1024, depth = 1, pid = 0;
static double run_s = 2, warm_s = 0.3;
static long limit = 0, submitted = 0;  // 0: no limit
static const char *mode = "echo", *label = "";

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + t.tv_nsec;
}
static void die(const char *m) { perror(m); exit(1); }

// log-linear histogram: 64 sub-buckets per power of two (error < 1.6 %)
static uint64_t hist[64 * 64], hist_n, hist_max;
static void record(uint64_t v) {
  int lg = v < 64 ? 0 : 63 - __builtin_clzll(v) - 5;
  unsigned i = lg == 0 ? (unsigned)v : (unsigned)(lg * 64 + ((v >> lg) & 63));
  hist[i]++, hist_n++;
  if (v > hist_max) hist_max = v;
}
static double pct(double p) {
  uint64_t want = (uint64_t)(p * (double)hist_n), seen = 0;
  for (unsigned i = 0; i < 64 * 64; i++) {
    seen += hist[i];
    if (seen > want) return i < 64 ? i : (double)((uint64_t)(i & 63) << (i / 64));
  }
  return (double)hist_max;
}

static double server_cpu(void) {
  if (!pid) return 0;
  char path[64], buf[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  FILE *f = fopen(path, "r");
  if (!f) return 0;
  size_t n = fread(buf, 1, sizeof buf - 1, f);
  buf[n] = 0;
  fclose(f);
  char *p = strrchr(buf, ')');
  unsigned long ut = 0, st = 0;
  if (p) sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &ut, &st);
  return (double)(ut + st) / sysconf(_SC_CLK_TCK);
}
static long status_kb(const char *key) {
  if (!pid) return 0;
  char path[64], line[256];
  snprintf(path, sizeof path, "/proc/%d/status", pid);
  FILE *f = fopen(path, "r");
  long kb = 0;
  size_t k = strlen(key);
  if (!f) return 0;
  while (fgets(line, sizeof line, f))
    if (!strncmp(line, key, k)) kb = atol(line + k + 1);
  fclose(f);
  return kb;
}
static double busy_cpu(double *steal) {
  FILE *f = fopen("/proc/stat", "r");
  unsigned long long u, n, s, id, io, irq, sirq, st;
  double hz = sysconf(_SC_CLK_TCK);
  *steal = 0;
  if (!f) return 0;
  if (fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &u, &n, &s, &id, &io, &irq, &sirq, &st) != 8) st = u = n = s = irq = sirq = 0;
  fclose(f);
  *steal = st / hz;
  return (u + n + s + irq + sirq) / hz;
}
static double self_cpu(void) {
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  return r.ru_utime.tv_sec + r.ru_stime.tv_sec + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

typedef struct {
  int fd, out_pending;   // bytes still to send
  int in_got;            // bytes received of the current message
  int head, inflight;    // ring of send times
  int want_out;
  uint64_t *sent;
} conn;

static int ep;
static char *txbuf, rxbuf[256 * 1024];
static int rx_want;
static unsigned src_rr;

static int dial(int nonblock, int spread) {
  int fd = socket(AF_INET, SOCK_STREAM | (nonblock ? SOCK_NONBLOCK : 0), 0), one = 1;
  if (fd < 0) die("socket");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct sockaddr_in a = {.sin_family = AF_INET};
  if (spread) {  // spread the clients over 127.0.0.2..65, so TIME_WAIT cannot exhaust the ports
    a.sin_addr.s_addr = htonl(0x7f000002 + (src_rr++ & 63));
    setsockopt(fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &one, sizeof one);
    if (bind(fd, (void *)&a, sizeof a)) die("bind");
  }
  a.sin_port = htons(port);
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, (void *)&a, sizeof a) && errno != EINPROGRESS) { close(fd); return -1; }
  return fd;
}
static void arm(conn *c, int op, int out) {
  struct epoll_event e = {.events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = c};
  if (epoll_ctl(ep, op, c->fd, &e)) die("epoll_ctl");
  c->want_out = out;
}
static void flush_out(conn *c) {
  while (c->out_pending) {
    int n = c->out_pending < size * depth ? c->out_pending : size * depth;
    ssize_t w = write(c->fd, txbuf, n);
    if (w < 0) { if (errno == EAGAIN) break; die("write"); }
    c->out_pending -= (int)w;
  }
  if ((c->out_pending > 0) != c->want_out) arm(c, EPOLL_CTL_MOD, c->out_pending > 0);
}
static void submit(conn *c, int k, uint64_t t) {
  if (limit && k > limit - submitted) k = (int)(limit - submitted);
  if (!k) return;
  submitted += k;
  for (int i = 0; i < k; i++) c->sent[(c->head + c->inflight + i) % depth] = t;
  c->inflight += k;
  c->out_pending += k * size;
  flush_out(c);
}

int main(int argc, char **argv) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const char *k = argv[i], *v = argv[i + 1];
    if (!strcmp(k, "--port")) port = atoi(v);
    else if (!strcmp(k, "--conns")) nconns = atoi(v);
    else if (!strcmp(k, "--size")) size = atoi(v);
    else if (!strcmp(k, "--pipeline")) depth = atoi(v);
    else if (!strcmp(k, "--time")) run_s = atof(v);
    else if (!strcmp(k, "--warmup")) warm_s = atof(v);
    else if (!strcmp(k, "--requests")) limit = atol(v), run_s = 600, warm_s = 0;
    else if (!strcmp(k, "--mode")) mode = v;
    else if (!strcmp(k, "--pid")) pid = atoi(v);
    else if (!strcmp(k, "--label")) label = v;
    else { fprintf(stderr, "unknown %s\n", k); return 2; }
  }
  signal(SIGPIPE, SIG_IGN);
  ep = epoll_create1(0);
  txbuf = malloc((size_t)size * depth);
  memset(txbuf, 'x', (size_t)size * depth);
  rx_want = sizeof rxbuf;

  int fd = -1;  // wait for the server
  for (int i = 0; i < 1000 && (fd = dial(0, 0)) < 0; i++) usleep(10000);
  if (fd < 0) { fprintf(stderr, "no server on port %d\n", port); return 1; }
  // one echo, so that lazy start-up work is done
  if (write(fd, "!", 1) != 1 || read(fd, rxbuf, 1) != 1) die("probe");
  close(fd);
  usleep(50000);

  conn *cs = calloc(nconns, sizeof *cs);
  long rss0 = status_kb("VmRSS:");
  int churn = !strcmp(mode, "churn"), hold = !strcmp(mode, "hold");

  if (hold) {
    for (int i = 0; i < nconns; i++) {
      if ((cs[i].fd = dial(0, 0)) < 0) die("connect");
      if (i % 64 == 63) usleep(2000);
    }
    usleep(500000);
    long rss1 = status_kb("VmRSS:");
    for (int i = 0; i < nconns; i++) {
      if (write(cs[i].fd, txbuf, size) != size) die("write");
      for (int got = 0; got < size;) {
        ssize_t r = read(cs[i].fd, rxbuf, size - got);
        if (r <= 0) die("read");
        got += (int)r;
      }
    }
    usleep(500000);
    long rss2 = status_kb("VmRSS:");
    printf("{\"peer\":\"%s\",\"mode\":\"hold\",\"conns\":%d,\"rss_base_kb\":%ld,\"rss_open_kb\":%ld,\"rss_echoed_kb\":%ld,"
           "\"bytes_per_conn_open\":%.0f,\"bytes_per_conn\":%.0f}\n",
           label, nconns, rss0, rss1, rss2, (rss1 - rss0) * 1024.0 / nconns, (rss2 - rss0) * 1024.0 / nconns);
    return 0;
  }

  for (int i = 0; i < nconns; i++) {
    cs[i].sent = calloc(depth, sizeof(uint64_t));
    if ((cs[i].fd = dial(churn, churn)) < 0) die("connect");
  }
  for (int i = 0; i < nconns; i++) {
    if (!churn) {  // one byte there and back: the server has accepted it before the clock starts
      if (write(cs[i].fd, "!", 1) != 1 || read(cs[i].fd, rxbuf, 1) != 1) die("prime");
      fcntl(cs[i].fd, F_SETFL, O_NONBLOCK);
    }
    arm(&cs[i], EPOLL_CTL_ADD, churn);
  }
  uint64_t t = now_ns(), start = t + (uint64_t)(warm_s * 1e9), end = start + (uint64_t)(run_s * 1e9), done = 0, mark = 0;
  double cpu0 = 0, me0 = 0, busy0 = 0, steal0 = 0;
  int measuring = 0;
  if (churn) for (int i = 0; i < nconns; i++) cs[i].sent[0] = t;
  else for (int i = 0; i < nconns; i++) submit(&cs[i], depth, t);

  struct epoll_event ev[1024];
  for (;;) {
    int n = epoll_wait(ep, ev, 1024, 1000);
    t = now_ns();
    if (n == 0 && t > end + 3000000000ull) { fprintf(stderr, "stalled\n"); return 1; }
    if (!measuring && t >= start) {
      measuring = 1, start = t, mark = done;
      cpu0 = server_cpu(), me0 = self_cpu(), busy0 = busy_cpu(&steal0);
      end = start + (uint64_t)(run_s * 1e9);
    }
    if (t >= end || (limit && done >= (uint64_t)limit)) break;
    for (int i = 0; i < n; i++) {
      conn *c = ev[i].data.ptr;
      if (churn && c->want_out) {  // connected
        if (ev[i].events & (EPOLLERR | EPOLLHUP)) { fprintf(stderr, "connect failed\n"); return 1; }
        c->out_pending = size;
        flush_out(c);
        continue;
      }
      if (ev[i].events & EPOLLOUT) flush_out(c);
      if (!(ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) continue;
      ssize_t r = read(c->fd, rxbuf, rx_want);
      if (r < 0 && errno == EAGAIN) continue;
      if (r <= 0) { fprintf(stderr, "server closed (%zd, %s)\n", r, strerror(errno)); return 1; }
      c->in_got += (int)r;
      int k = c->in_got / size;
      if (!k) continue;
      c->in_got -= k * size;
      uint64_t tn = now_ns();
      if (churn) {
        close(c->fd);
        if (measuring) record(tn - c->sent[0]);
        done++;
        c->in_got = 0;
        c->sent[0] = tn;
        if ((c->fd = dial(1, 1)) < 0) die("connect");
        arm(c, EPOLL_CTL_ADD, 1);
        continue;
      }
      for (int j = 0; j < k; j++) {
        if (measuring) record(tn - c->sent[c->head]);
        c->head = (c->head + 1) % depth;
      }
      c->inflight -= k;
      done += k;
      submit(c, k, tn);
    }
  }
  double sec = (now_ns() - start) / 1e9, steal1;
  double cpu = server_cpu() - cpu0, me = self_cpu() - me0, busy = busy_cpu(&steal1) - busy0;
  uint64_t reqs = done - mark;
  printf("{\"peer\":\"%s\",\"mode\":\"%s\",\"conns\":%d,\"size\":%d,\"pipeline\":%d,\"req_s\":%.0f,\"mib_s\":%.1f,"
         "\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f,\"server_cpu_us_per_req\":%.3f,"
         "\"server_util\":%.2f,\"client_util\":%.2f,\"other_cpu_s\":%.2f,\"steal_s\":%.2f,\"seconds\":%.2f,"
         "\"rss_kb\":%ld,\"max_rss_kb\":%ld}\n",
         label, mode, nconns, size, depth, reqs / sec, reqs / sec * size / 1048576.0, pct(.5) / 1e3, pct(.99) / 1e3,
         pct(.999) / 1e3, hist_max / 1e3, cpu * 1e6 / (double)(reqs ? reqs : 1), cpu / sec, me / sec,
         busy - cpu - me, steal1 - steal0, sec, status_kb("VmRSS:"), status_kb("VmHWM:"));
  return 0;
}
