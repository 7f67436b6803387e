/* Uses what footloose.h offers. */
#include "footloose.h"

static void footloose_answer(const footloose_request *request, footloose_response *response) {
    footloose_log("one");
    footloose_log("two\n");
    footloose_status(response, 404);
    footloose_header_text(response, "Location", footloose_variable(request, "PATH_INFO"));
    if (footloose_variable(request, "EMPTY").data != NULL) footloose_print(response, "EMPTY is there");
    if (footloose_variable(request, "MISSING").data == NULL) footloose_print(response, ", MISSING is not");
    if (!footloose_is(request->body, "-12")) footloose_print(response, ", the body is wrong");
    footloose_print(response, ", ");
    footloose_print_number(response, -0x7fffffffffffffff - 1);
    footloose_print(response, " ");
    footloose_print_number(response, 0);
    footloose_print(response, " ");
    footloose_print_number(response, 42);
    footloose_print(response, "\n");
    for (int i = 0; i < 100000; i++) footloose_write(response, "x", 1);
}
