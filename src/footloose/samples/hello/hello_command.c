/* The same as a WASI command, which any language that targets WASI can write: CGI (RFC 3875) on stdin and stdout.
 *
 * It writes with writev() and reads with read() rather than through stdio, which would more than double its size.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static struct iovec piece(const char *text) {
    return (struct iovec){(void *)text, strlen(text)};
}

static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value != NULL ? value : "";
}

static size_t read_body(void) {
    static char buffer[4096];
    size_t total = 0;
    ssize_t count;
    while ((count = read(STDIN_FILENO, buffer, sizeof buffer)) > 0) total += (size_t)count;
    return total;
}

static const char *digits(size_t number, char buffer[21]) {
    char *at = buffer + 20;
    *at = '\0';
    do *--at = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    return at;
}

int main(void) {
    char buffer[21];
    size_t body = read_body();
    struct iovec answer[] = {
        piece("Content-Type: text/plain; charset=utf-8\r\n\r\nHello from a command: "),
        piece(variable("REQUEST_METHOD")),
        piece(" "),
        piece(variable("PATH_INFO")),
        piece("\n"),
        piece("You sent "),
        piece(digits(body, buffer)),
        piece(" bytes.\n"),
    };
    return writev(STDOUT_FILENO, answer, body > 0 ? 8 : 5) < 0;
}
