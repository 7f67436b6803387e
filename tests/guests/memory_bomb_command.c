/* Takes memory until there is none, and aborts. */
#include <stdlib.h>

static volatile char *taken;

int main(void) {
    for (;;) {
        taken = malloc(100000);
        if (taken == NULL) abort();
        *taken = 1;
    }
}
