// held MODE RATE_KIB_S SPAN_S SEED [FOLDER]: as held.py.
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
#include <sys/socket.h>
#include <sys/stat.h>
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

// Lets memory of many sizes come and go around a level.
static void churn(void) {
    static char *live[512];
    for (int i = 0; i < 40; i++) {
        int at = (int)(dice() * 512);
        free(live[at]);
        live[at] = dice() < 0.6 ? block((size_t)between(1000, 90000)) : NULL;
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
    for (int i = 0; i < 200; i++) block(100000);

    double begun = now_s(), owed = 0, next_stair = between(0.01, 0.03) * span;
    size_t mapped = 0, read_to = 0;
    char *map = NULL;
    int shm = is(mode, "memfd") ? memfd_create("held", 0) : -1;
    size_t shm_size = 0;
    int stepped = 0;
    char *step = NULL;
    size_t step_size = 30u << 20;
    if (is(mode, "step-down")) step = block(step_size);
    long names = 0;
    if (is(mode, "read-files") || is(mode, "leak-read")) {
        // A file on disk, written by another process before: only its reading is charged here.
        char name[512];
        snprintf(name, sizeof name, "%s/big", folder);
        int file = open(name, O_RDONLY);
        struct stat stat;
        if (file < 0 || fstat(file, &stat)) return 3;
        mapped = (size_t)stat.st_size;
        map = mmap(NULL, mapped, PROT_READ, MAP_SHARED, file, 0);
        if (map == MAP_FAILED) return 4;
        madvise(map, mapped, MADV_RANDOM);
    }
    for (long t = 0;; t++) {
        double now = now_s() - begun, part = now / span;
        owed += rate;
        if (is(mode, "steady")) {
            churn();
        } else if (is(mode, "leak") || is(mode, "leak-late")) {
            churn();
            if (is(mode, "leak-late") && part < 0.35) owed = 0;
            while (owed > 0) {
                size_t size = (size_t)between(500, 50000);
                block(size);
                owed -= (double)size;
            }
        } else if (is(mode, "stairs")) {
            churn();
            if (now >= next_stair) {
                block((size_t)owed);
                owed = 0;
                next_stair = now + between(0.015, 0.045) * span;
            }
        } else if (is(mode, "memfd")) {
            while (owed > 0) {
                char page[4096];
                memset(page, 7, sizeof page);
                if (pwrite(shm, page, sizeof page, (off_t)shm_size) != sizeof page) _exit(5);
                shm_size += sizeof page;
                owed -= sizeof page;
            }
        } else if (is(mode, "sockets")) {
            while (owed > 0) {
                int pair[2];
                char letter[30000];
                memset(letter, 1, sizeof letter);
                if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) break;
                if (write(pair[0], letter, sizeof letter) < 0) break;
                owed -= 34000;
            }
        } else if (is(mode, "pipes")) {
            while (owed > 0) {
                int ends[2];
                char letter[32768];
                memset(letter, 1, sizeof letter);
                if (pipe(ends) || write(ends[1], letter, sizeof letter) < 0) break;
                owed -= 34000;
            }
        } else if (is(mode, "read-files") || is(mode, "leak-read")) {
            volatile char sum = 0;
            double most = rate * now < (double)mapped ? rate * now : (double)mapped;
            for (; (double)read_to < most; read_to += 4096) sum += map[read_to];
            if (is(mode, "leak-read")) block((size_t)(rate / 3));
        } else if (is(mode, "dentries")) {
            // Names that do not exist are remembered by the kernel as well.
            for (int i = 0; i < (int)(rate / 210); i++) {
                char name[600];
                struct stat stat_;
                snprintf(name, sizeof name, "%s/a-name-that-is-not-there-%ld-%d", folder, names++, i);
                stat(name, &stat_);
            }
        } else if (is(mode, "step")) {
            churn();
            if (!stepped && part > 0.55) {
                block(step_size);
                stepped = 1;
            }
        } else if (is(mode, "step-down")) {
            churn();
            if (!stepped && part > 0.45) {
                free(step);
                stepped = 1;
            }
        }
        double next = begun + (double)(t + 1) - now_s();
        if (next > 0) {
            struct timespec pause = {(time_t)next, (long)((next - floor(next)) * 1e9)};
            nanosleep(&pause, NULL);
        }
    }
}
