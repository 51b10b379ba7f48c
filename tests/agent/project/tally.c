#include "tally.h"

static int is_space(char letter) {
    return letter == ' ' || letter == '\n';
}

int words(const char *text) {
    int count = 0;
    int inside = 0;
    for (; *text; text++) {
        int space = is_space(*text);
        count += !space && !inside;
        inside = !space;
    }
    return count;
}
