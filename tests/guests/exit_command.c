/* Complains and exits with status 3. */
#include <stdio.h>
#include <stdlib.h>

int main(void) {
    printf("\r\nhalf an answer");
    fprintf(stderr, "something is missing\n");
    exit(3);
}
