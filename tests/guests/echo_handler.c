/* Answers with all variables, sorted by nobody, one NAME=VALUE NUL after another, and then the body. */
#include "footloose.h"

static void footloose_answer(const footloose_request *request, footloose_response *response) {
    footloose_header(response, "Content-Type", "application/octet-stream");
    const char *at = request->variables.data;
    const char *end = at + request->variables.length;
    while (at < end) {
        footloose_text name = footloose_text_of(at);
        footloose_text value = footloose_text_of(at + name.length + 1);
        footloose_print_text(response, name);
        footloose_print(response, "=");
        footloose_write(response, value.data, value.length + 1);
        at = value.data + value.length + 1;
    }
    footloose_write(response, "", 1);
    footloose_print_text(response, request->body);
    footloose_log("echoed");
}
