/* The floors that ekp is held against: bare loops in C that make the same files and spawn the same programs.
 *
 *   floor model IN OUT                 a model: reads its parameters, writes two numbers
 *   floor members DIR N WORKERS MODEL [close]   per member: folder, log, spawn, wait4, read output, timing (tmp, rename),
 *                                      data (tmp, link, unlink), clean up; WORKERS at a time; with `close` what closes the
 *                                      iteration: outcomes read, N folders and files of the next, five syncs
 *   floor member DIR MODEL             one member of the above, as a process of its own
 *   floor files DIR N                  per member: timing (tmp, rename) and data (tmp, link, unlink), no spawn
 *   floor spawn N PROGRAM ARGS...      start it N times, one after the other; prints CPU and wall, ms each
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void die(const char *what) { perror(what); exit(1); }

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + 1e-9 * t.tv_nsec;
}

static double seconds(struct timeval t) { return t.tv_sec + 1e-6 * t.tv_usec; }

static const char *TIMING =
    "# ekp timing: where, when and at what cost. Seconds, 10^6 bytes, bytes.\nschema = \"ekp.timing\"\nversion = 1\n"
    "host = \"node\"\nstart = \"2026-01-01T00:00:00.000000Z\"\nend = \"2026-01-01T00:00:00.000000Z\"\nwall_s = 0.001\n"
    "cpu_s = 0.001\npeak_rss_mb = 1.0\nbytes_read = 0\nbytes_written = 0\njob = \"\"\narray_task = 0\nworker = 1\n"
    "threads = 1\ntry = 1\n";
static const char *DATA =
    "# ekp data: member 1 of iteration 0.\n# Written last, by `ekp-run-member`: its presence closes the member.\n"
    "# By hand:  ekp-run-member . -i 0 -m 1 --again\nschema = \"ekp.data\"\nversion = 1\n"
    "parameters = \"blake3:00000000000000000000000000000000\"\n\n[model_output]\ny = [1.0, 2.0]\n# crc32 00000000\n";

static void put(const char *path, const char *text) {
  int f = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (f < 0) die(path);
  if (write(f, text, strlen(text)) < 0) die(path);
  close(f);
}

static void publish(const char *dir) {
  char tmp[4096], path[4096];
  snprintf(tmp, sizeof tmp, "%s/.timing.toml.host.1.0.tmp", dir);
  snprintf(path, sizeof path, "%s/timing.toml", dir);
  put(tmp, TIMING);
  if (rename(tmp, path)) die(path);
  snprintf(tmp, sizeof tmp, "%s/.data.toml.host.1.0.tmp", dir);
  snprintf(path, sizeof path, "%s/data.toml", dir);
  put(tmp, DATA);
  if (link(tmp, path)) die(path);
  unlink(tmp);
}

static void put_synced(const char *path, const char *text) {
  put(path, text);
  int f = open(path, O_RDONLY | O_CLOEXEC);
  if (f < 0 || fsync(f)) die(path);
  close(f);
}

static void slurp(const char *path) {
  char buffer[4096];
  int f = open(path, O_RDONLY | O_CLOEXEC);
  if (f < 0) die(path);
  while (read(f, buffer, sizeof buffer) > 0) {}
  close(f);
}

/* What the step after the members leaves: the next iteration under a hidden name, then shown whole. */
static void close_iteration(const char *dir, int n) {
  char hidden[4096], path[4300];
  snprintf(hidden, sizeof hidden, "%s/../.next.tmp", dir);
  if (mkdir(hidden, 0777)) die(hidden);
  for (int m = 1; m <= n; m++) {
    snprintf(path, sizeof path, "%s/member_%03d/data.toml", dir, m);
    slurp(path);
    snprintf(path, sizeof path, "%s/member_%03d", hidden, m);
    if (mkdir(path, 0777)) die(path);
    strcat(path, "/parameters.toml");
    put(path, DATA);
  }
  snprintf(path, sizeof path, "%s/ensemble.bin", hidden);
  put_synced(path, DATA);
  snprintf(path, sizeof path, "%s/state.bin", hidden);
  put_synced(path, DATA);
  snprintf(path, sizeof path, "%s/update.toml", dir);
  put_synced(path, DATA);
  snprintf(path, sizeof path, "%s/../iteration_001", dir);
  if (rename(hidden, path)) die(path);
  snprintf(path, sizeof path, "%s/../stop.toml", dir);
  put_synced(path, DATA);
}

static void member(const char *dir, const char *model) {
  char try[4096], log[4200], in[4200], out[4200];
  snprintf(in, sizeof in, "%s/parameters.toml", dir);
  slurp(in);
  snprintf(try, sizeof try, "%s/try_1", dir);
  if (mkdir(try, 0777)) die(try);
  snprintf(log, sizeof log, "%s/log.txt", try);
  snprintf(out, sizeof out, "%s/model_output.toml", try);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0666);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  posix_spawn_file_actions_addchdir_np(&actions, try);
  char *argv[] = {(char *)model, "model", in, out, NULL};
  pid_t pid;
  if (posix_spawn(&pid, model, &actions, &attributes, argv, environ)) die(model);
  int status;
  struct rusage usage;
  if (wait4(pid, &status, 0, &usage) < 0 || status) die("wait4");
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  slurp(out);
  publish(dir);
  unlink(log);
  unlink(out);
  rmdir(try);
}

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "";
  if (!strcmp(mode, "model") && argc == 4) {
    slurp(argv[2]);
    put(argv[3], "model_output = [1.0, 2.0]\n");
    return 0;
  }
  if (!strcmp(mode, "member") && argc == 4) {
    member(argv[2], argv[3]);
    return 0;
  }
  if (!strcmp(mode, "files") && argc == 4) {
    int n = atoi(argv[3]);
    char dir[4096];
    double start = now();
    for (int m = 1; m <= n; m++) {
      snprintf(dir, sizeof dir, "%s/member_%03d", argv[2], m);
      publish(dir);
    }
    printf("%.6f\n", (now() - start) / n * 1e3);
    return 0;
  }
  if (!strcmp(mode, "members") && argc >= 6) {
    int n = atoi(argv[3]), workers = atoi(argv[4]);
    char dir[4096];
    double start = now();
    for (int w = 0; w < workers; w++) {
      if (workers > 1 && fork()) continue;
      for (int m = 1 + w; m <= n; m += workers) {
        snprintf(dir, sizeof dir, "%s/member_%03d", argv[2], m);
        member(dir, argv[5]);
      }
      if (workers > 1) _exit(0);
    }
    while (wait(NULL) > 0 || errno == EINTR) {}
    if (argc == 7) close_iteration(argv[2], n);
    struct rusage own, children;
    getrusage(RUSAGE_SELF, &own);
    getrusage(RUSAGE_CHILDREN, &children);
    double cpu = seconds(own.ru_utime) + seconds(own.ru_stime) + seconds(children.ru_utime) + seconds(children.ru_stime);
    printf("%.6f %.6f\n", (now() - start) / n * 1e3, cpu / n * 1e3);
    return 0;
  }
  if (!strcmp(mode, "spawn") && argc >= 4) {
    int n = atoi(argv[2]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    double start = now();
    for (int k = 0; k < n; k++) {
      pid_t pid;
      if (posix_spawn(&pid, argv[3], &actions, NULL, argv + 3, environ)) die(argv[3]);
      waitpid(pid, NULL, 0);
    }
    struct rusage usage;
    getrusage(RUSAGE_CHILDREN, &usage);
    printf("%.6f %.6f\n", (now() - start) / n * 1e3, (seconds(usage.ru_utime) + seconds(usage.ru_stime)) / n * 1e3);
    return 0;
  }
  fprintf(stderr, "usage: floor model|members|member|files|spawn ...\n");
  return 2;
}
