/* The smallest useful handler: says which method and path it was asked for. */
#include "footloose.h"

static void footloose_answer(const footloose_request *request, footloose_response *response) {
    footloose_header(response, "Content-Type", "text/plain; charset=utf-8");
    footloose_print(response, "Hello from a handler: ");
    footloose_print_text(response, footloose_variable(request, "REQUEST_METHOD"));
    footloose_print(response, " ");
    footloose_print_text(response, footloose_variable(request, "PATH_INFO"));
    footloose_print(response, "\n");
    if (request->body.length > 0) {
        footloose_print(response, "You sent ");
        footloose_print_number(response, (long long)request->body.length);
        footloose_print(response, " bytes.\n");
    }
}
