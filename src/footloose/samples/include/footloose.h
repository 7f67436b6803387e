/* Write a Footloose handler in C without a C library.
 *
 * Define footloose_answer(); this header exports what a site calls (footloose_alloc, footloose_handle) and reads the
 * request (SCGI form) for you. Build with samples/build.sh, which shows the compiler options.
 *
 * Include it in exactly one file of a module. Every request runs in a fresh instance, so nothing is ever freed, and a
 * static variable starts from its first value each time. A fault (memory used up, a request in no known form) traps,
 * which the site reports as a failed request.
 */
#ifndef FOOTLOOSE_H
#define FOOTLOOSE_H

#include <stddef.h>
#include <stdint.h>

/* A piece of text that is not ended by a NUL. data is NULL where there is none. */
typedef struct {
    const char *data;
    size_t length;
} footloose_text;

typedef struct {
    footloose_text variables; /* NAME NUL VALUE NUL, repeated */
    footloose_text body;
} footloose_request;

typedef struct {
    char *data;
    size_t length;
    size_t capacity;
    int in_body;
} footloose_response;

/* Yours to write: answer one request (or one WebSocket event). The status is 200 unless you say otherwise. */
static void footloose_answer(const footloose_request *request, footloose_response *response);

/* ---- Text ------------------------------------------------------------------------------------------------------ */

static inline size_t footloose_length(const char *text) {
    size_t length = 0;
    while (text[length] != '\0') length++;
    return length;
}

static inline footloose_text footloose_text_of(const char *text) {
    return (footloose_text){text, footloose_length(text)};
}

static inline int footloose_same(footloose_text left, footloose_text right) {
    if (left.length != right.length) return 0;
    for (size_t i = 0; i < left.length; i++)
        if (left.data[i] != right.data[i]) return 0;
    return 1;
}

/* Whether a piece of text is exactly this string. */
static inline int footloose_is(footloose_text text, const char *string) {
    return footloose_same(text, footloose_text_of(string));
}

/* ---- Memory ---------------------------------------------------------------------------------------------------- */

extern unsigned char __heap_base; /* set by the linker: the first byte after static data and stack */
static uintptr_t footloose_next_free;

/* size bytes that stay until the answer is given. Exported: the site puts the request here. */
__attribute__((export_name("footloose_alloc"))) void *footloose_alloc(size_t size) {
    if (footloose_next_free == 0) footloose_next_free = (uintptr_t)&__heap_base;
    uintptr_t start = (footloose_next_free + 15) & ~(uintptr_t)15;
    uintptr_t end = start + size;
    if (end < start) __builtin_trap();
    size_t pages = __builtin_wasm_memory_size(0);
    size_t wanted = (end + 65535) / 65536;
    if (wanted > pages && __builtin_wasm_memory_grow(0, wanted - pages) == (size_t)-1) __builtin_trap();
    footloose_next_free = end;
    return (void *)start;
}

/* ---- Log ------------------------------------------------------------------------------------------------------- */

__attribute__((import_module("footloose"), import_name("log"))) void footloose_log_bytes(const char *data, size_t length);

/* One line for the operator's log. */
static inline void footloose_log(const char *text) {
    footloose_log_bytes(text, footloose_length(text));
}

/* ---- The request ----------------------------------------------------------------------------------------------- */

/* A CGI meta-variable (RFC 3875 section 4.1), e.g. REQUEST_METHOD or HTTP_USER_AGENT. data is NULL if it is not set. */
static inline footloose_text footloose_variable(const footloose_request *request, const char *name) {
    footloose_text wanted = footloose_text_of(name);
    const char *at = request->variables.data;
    const char *end = at + request->variables.length;
    while (at < end) {
        footloose_text key = footloose_text_of(at);
        footloose_text value = footloose_text_of(key.data + key.length + 1);
        if (footloose_same(key, wanted)) return value;
        at = value.data + value.length + 1;
    }
    return (footloose_text){NULL, 0};
}

/* ---- The response ---------------------------------------------------------------------------------------------- */

static inline void footloose_append(footloose_response *response, const char *data, size_t length) {
    if (length > response->capacity - response->length) {
        size_t capacity = response->capacity * 2 + length + 1024;
        char *moved = footloose_alloc(capacity);
        __builtin_memcpy(moved, response->data, response->length);
        response->data = moved;
        response->capacity = capacity;
    }
    __builtin_memcpy(response->data + response->length, data, length);
    response->length += length;
}

static inline void footloose_append_line_safe(footloose_response *response, footloose_text text) {
    for (size_t i = 0; i < text.length; i++) /* a line break here would begin a new header */
        if ((unsigned char)text.data[i] >= ' ') footloose_append(response, text.data + i, 1);
}

/* A header line. Must come before the body; control characters are left out. */
static inline void footloose_header_text(footloose_response *response, const char *name, footloose_text value) {
    if (response->in_body) __builtin_trap();
    footloose_append_line_safe(response, footloose_text_of(name));
    footloose_append(response, ": ", 2);
    footloose_append_line_safe(response, value);
    footloose_append(response, "\r\n", 2);
}

/* The same for an ordinary string. */
static inline void footloose_header(footloose_response *response, const char *name, const char *value) {
    footloose_header_text(response, name, footloose_text_of(value));
}

static inline footloose_text footloose_digits(long long number, char buffer[20]) {
    unsigned long long rest = number < 0 ? -(unsigned long long)number : (unsigned long long)number;
    size_t at = 20;
    do buffer[--at] = (char)('0' + rest % 10);
    while ((rest /= 10) != 0);
    if (number < 0) buffer[--at] = '-';
    return (footloose_text){buffer + at, 20 - at};
}

/* The HTTP status, e.g. 404. Must come before the body. */
static inline void footloose_status(footloose_response *response, int status) {
    char buffer[20];
    footloose_header_text(response, "Status", footloose_digits(status, buffer));
}

/* Bytes of the body. The first of them ends the headers. */
static inline void footloose_write(footloose_response *response, const char *data, size_t length) {
    if (!response->in_body) {
        footloose_append(response, "\r\n", 2);
        response->in_body = 1;
    }
    footloose_append(response, data, length);
}

static inline void footloose_print_text(footloose_response *response, footloose_text text) {
    footloose_write(response, text.data, text.length);
}

static inline void footloose_print(footloose_response *response, const char *text) {
    footloose_print_text(response, footloose_text_of(text));
}

static inline void footloose_print_number(footloose_response *response, long long number) {
    char buffer[20];
    footloose_print_text(response, footloose_digits(number, buffer));
}

/* ---- What the site calls --------------------------------------------------------------------------------------- */

/* The request is a netstring of variables ("LENGTH:…,") followed by the body. Returns where the answer is. */
__attribute__((export_name("footloose_handle"))) uint64_t footloose_handle(const char *data, size_t length) {
    size_t at = 0;
    size_t size = 0;
    while (at < length && data[at] >= '0' && data[at] <= '9') size = size * 10 + (size_t)(data[at++] - '0');
    if (at == length || data[at++] != ':' || size >= length - at || data[at + size] != ',') __builtin_trap();
    footloose_request request = {{data + at, size}, {data + at + size + 1, length - at - size - 1}};
    footloose_response response = {NULL, 0, 0, 0};
    footloose_answer(&request, &response);
    footloose_write(&response, "", 0); /* ends the headers of an answer without a body */
    return (uint64_t)(uintptr_t)response.data << 32 | response.length;
}

#endif
