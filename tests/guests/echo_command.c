/* Answers with all variables, one NAME=VALUE NUL after another, and then the body. */
#include <stdio.h>
#include <string.h>

extern char **environ;

int main(void) {
    char buffer[4096];
    size_t count;
    printf("Content-Type: application/octet-stream\r\n\r\n");
    for (char **variable = environ; *variable != NULL; variable++) fwrite(*variable, 1, strlen(*variable) + 1, stdout);
    putchar('\0');
    while ((count = fread(buffer, 1, sizeof buffer, stdin)) > 0) fwrite(buffer, 1, count, stdout);
    fprintf(stderr, "echoed\n");
    return 0;
}
