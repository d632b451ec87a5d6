// service MODE RATE_KIB_S SPAN_S SEED [FOLDER]: as service.py.
#define _GNU_SOURCE
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static uint64_t state;

static double dice(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (double)(state >> 11) / 9007199254740992.0;
}

static double between(double low, double high) { return low + dice() * (high - low); }

static char *block(size_t size) {
    char *memory = malloc(size);
    if (!memory) _exit(1);
    memset(memory, 1 + (int)(dice() * 200), size);
    return memory;
}

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// Requests: memory of many sizes that lives for some of them.
static void serve(int many) {
    static char *live[256];
    for (int i = 0; i < many; i++) {
        int at = (int)(dice() * 256);
        free(live[at]);
        live[at] = block((size_t)exp(between(6, 10.5)));
    }
}

static int is(const char *a, const char *b) { return strcmp(a, b) == 0; }

int main(int count, char **args) {
    if (count < 5) return 2;
    const char *mode = args[1], *folder = count > 5 ? args[5] : "/tmp";
    double rate = atof(args[2]) * 1024, span = atof(args[3]);
    state = strtoull(args[4], NULL, 10) * 0x9E3779B97F4A7C15ull + 1;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    for (int i = 0; i < (int)between(60, 300); i++) block(100000);
    double begun = now_s(), owed = 0, period = span / between(3, 7);
    size_t huge = 2u << 20;
    long names = 0;
    for (long t = 0;; t++) {
        double now = now_s() - begun;
        serve(10 + (int)(dice() * 30));
        owed += rate;
        if (is(mode, "leak")) {
            while (owed > 0) {
                size_t size = (size_t)exp(between(5, 10));
                block(size);
                owed -= (double)size + 16;
            }
        } else if (is(mode, "beat-leak")) {
            // A third of the time it works, and only then it loses.
            serve(10 + (int)(60 * (1 + sin(2 * M_PI * now / period))));
            if (fmod(now, period) > period / 3) owed = 0;
            for (; owed > 0; owed -= 9000) block(9000);
        } else if (is(mode, "sparse")) {
            // A page of each two megabytes: the tables that map them grow as well.
            while (owed > 0) {
                char *map = mmap(NULL, huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
                if (map == MAP_FAILED) break;
                madvise(map, huge, MADV_NOHUGEPAGE);
                map[(size_t)(dice() * (double)(huge - 1))] = 1;
                owed -= 8192;
            }
        } else if (is(mode, "huge")) {
            while (owed > (double)huge) {
                char *map = aligned_alloc(huge, huge);
                if (!map) break;
                madvise(map, huge, MADV_HUGEPAGE);
                memset(map, 1, huge);
                owed -= (double)huge;
            }
        } else if (is(mode, "descriptors")) {
            for (; owed > 0; owed -= 700)
                if (eventfd(0, 0) < 0) break;
        } else if (is(mode, "touch")) {
            // Small files that stay: the kernel remembers their names and inodes.
            for (; owed > 0; owed -= 1500) {
                char name[600];
                snprintf(name, sizeof name, "%s/session-%ld", folder, names++);
                int file = open(name, O_WRONLY | O_CREAT, 0600);
                if (file >= 0) close(file);
            }
        } else if (is(mode, "ring")) {
            // A buffer that is written around and around: full once, and never larger.
            static char *ring;
            static size_t at;
            size_t size = (size_t)(rate * span * 0.3);
            if (!ring) ring = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            for (; owed > 0; owed -= 4096, at += 4096) ring[at % size] = 1;
        }
        double next = begun + (double)(t + 1) - now_s();
        if (next > 0) {
            struct timespec pause = {(time_t)next, (long)((next - floor(next)) * 1e9)};
            nanosleep(&pause, NULL);
        }
    }
}
