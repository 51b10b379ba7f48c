/* Writes so many files of 4 KiB into a directory, removes them, and says how many nanoseconds that
   took. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    static char block[4096];
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < atoi(argv[1]); i++) {
            char path[256];
            snprintf(path, sizeof path, "%s/agentguard-bench-file-%d", argv[2], i);
            if (round == 1) {
                if (unlink(path) != 0) return 1;
                continue;
            }
            int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
            if (file < 0 || write(file, block, sizeof block) != sizeof block) return 1;
            close(file);
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%lld\n", (end.tv_sec - start.tv_sec) * 1000000000LL + end.tv_nsec - start.tv_nsec);
    return 0;
}
