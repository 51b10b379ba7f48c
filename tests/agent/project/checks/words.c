#include <stdio.h>

#include "tally.h"

int main(void) {
    int passed = words("") == 0 && words("one") == 1 && words("one two\nthree") == 3;
    printf("words: %s\n", passed ? "passed" : "failed");
    return !passed;
}
