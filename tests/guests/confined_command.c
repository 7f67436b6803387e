/* Tries to reach what a command has no business with, and answers with what it was allowed: nothing. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct stat status;
    struct timespec now;
    unsigned char random[16] = {0};
    int sum = 0;
    printf("\r\n");
    if (open("/etc/passwd", O_RDONLY) >= 0) puts("opened a file");
    if (open("file", O_CREAT | O_WRONLY, 0600) >= 0) puts("made a file");
    if (stat(".", &status) == 0) puts("saw a folder");
    if (mkdir("folder", 0700) == 0) puts("made a folder");
    if (lseek(STDOUT_FILENO, 0, SEEK_SET) >= 0) puts("went back in its output");
    if (isatty(STDOUT_FILENO)) puts("has a terminal");
    if (clock_gettime(CLOCK_REALTIME, &now) != 0 || now.tv_sec < 1700000000) puts("does not know the time");
    if (getentropy(random, sizeof random) != 0) puts("has no randomness");
    for (int i = 0; i < 16; i++) sum += random[i];
    if (sum == 0) puts("has poor randomness");
    if (argc != 1) puts("has arguments");
    printf("I am %s\n", argv[0]);
    return 0;
}
