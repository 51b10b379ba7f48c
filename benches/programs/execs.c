/* Runs /bin/true so many times, one after the other, with the same arguments or each time with others, and says
   how many nanoseconds that took. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    int is_distinct = strcmp(argv[2], "distinct") == 0;
    for (int i = 0; i < atoi(argv[1]); i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", is_distinct ? i : 0);
        char *command[] = {"true", number, NULL};
        pid_t child = fork();
        if (child == 0) {
            execv("/bin/true", command);
            _exit(1);
        }
        int status;
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0) return 1;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%lld\n", (end.tv_sec - start.tv_sec) * 1000000000LL + end.tv_nsec - start.tv_nsec);
    return 0;
}
