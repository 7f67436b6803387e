/* pulse: a page on which all users see each other move, whichever copy serves them, and how near that copy is.
 *
 * GET  /           the page
 * GET  /api/hello  who serves this
 * GET  /api/ping   as little as can be answered
 * WS   /live       {"ping": n} is answered with {"pong": n}; where a user is goes to all, on the topic "pulse"
 *
 * No state is kept: what users say is checked and passed on.
 */
#include "footloose.h"
#include "pulse.html.h"

#define MESSAGE_BYTES 512
#define TEXT_BYTES 96
#define NUMBER_BYTES 24

/* ---- Reading JSON: one flat object of known keys ------------------------------------------------------------------ */

typedef struct {
    const char *at;
    const char *end;
} scanner;

static void skip_space(scanner *in) {
    while (in->at < in->end && (*in->at == ' ' || *in->at == '\t' || *in->at == '\n' || *in->at == '\r')) in->at++;
}

static int take(scanner *in, char wanted) {
    if (in->at == in->end || *in->at != wanted) return 0;
    in->at++;
    return 1;
}

static int is_digit(char c) { return c >= '0' && c <= '9'; }

static int is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

static int take_digits(scanner *in) {
    const char *start = in->at;
    while (in->at < in->end && is_digit(*in->at)) in->at++;
    return in->at > start;
}

/* RFC 8259 section 6. */
static int take_number(scanner *in, footloose_text *number) {
    const char *start = in->at;
    take(in, '-');
    if (!take(in, '0') && !take_digits(in)) return 0;
    if (take(in, '.') && !take_digits(in)) return 0;
    if (take(in, 'e') || take(in, 'E')) {
        if (!take(in, '+')) take(in, '-');
        if (!take_digits(in)) return 0;
    }
    *number = (footloose_text){start, (size_t)(in->at - start)};
    return number->length <= NUMBER_BYTES;
}

static int take_escape(scanner *in) {
    static const char simple[] = "\"\\/bfnrt";
    for (const char *each = simple; *each != '\0'; each++)
        if (take(in, *each)) return 1;
    if (!take(in, 'u') || in->end - in->at < 4) return 0;
    for (int i = 0; i < 4; i++)
        if (!is_hex(*in->at++)) return 0;
    return 1;
}

/* RFC 8259 section 7. The text given is what stands between the quotes, escapes and all. */
static int take_string(scanner *in, footloose_text *string) {
    if (!take(in, '"')) return 0;
    const char *start = in->at;
    while (in->at < in->end && *in->at != '"') {
        if ((unsigned char)*in->at < ' ') return 0;
        if (take(in, '\\')) {
            if (!take_escape(in)) return 0;
        } else {
            in->at++;
        }
    }
    *string = (footloose_text){start, (size_t)(in->at - start)};
    return take(in, '"') && string->length <= TEXT_BYTES;
}

/* ---- What users may say --------------------------------------------------------------------------------------------- */

typedef struct {
    const char *key;
    char is_number;
} field;

static const field FIELDS[] = {
    {"ping", 1}, {"id", 0}, {"n", 1},      {"name", 0}, {"x", 1},
    {"y", 1},    {"colour", 0}, {"rtt_ms", 1}, {"site", 0},
};
enum { FIELD_COUNT = sizeof FIELDS / sizeof FIELDS[0] };
enum { PING = 1, PLACE = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 }; /* a place has at least id, name, x and y */

typedef struct {
    unsigned present; /* one bit for each field */
    footloose_text ping;
} said;

static int take_member(scanner *in, said *message) {
    footloose_text key, value;
    if (!take_string(in, &key)) return 0;
    skip_space(in);
    if (!take(in, ':')) return 0;
    skip_space(in);
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        if (!footloose_is(key, FIELDS[i].key)) continue;
        if (message->present & 1u << i) return 0; /* twice: receivers might not agree on which counts */
        message->present |= 1u << i;
        if (!(FIELDS[i].is_number ? take_number(in, &value) : take_string(in, &value))) return 0;
        if (i == 0) message->ping = value;
        return 1;
    }
    return 0;
}

/* Only known keys pass, so that no user can say to others what only their site may (such as "footloose"). */
static int understand(footloose_text text, said *message) {
    scanner in = {text.data, text.data + text.length};
    skip_space(&in);
    if (!take(&in, '{')) return 0;
    do {
        skip_space(&in);
        if (!take_member(&in, message)) return 0;
        skip_space(&in);
    } while (take(&in, ','));
    if (!take(&in, '}')) return 0;
    skip_space(&in);
    return in.at == in.end && (message->present == PING || (message->present & (PING | PLACE)) == PLACE);
}

static void answer_message(const footloose_request *request, footloose_response *response) {
    said message = {0, {NULL, 0}};
    footloose_text type = footloose_variable(request, "CONTENT_TYPE");
    int is_text = type.length >= 5 && footloose_same((footloose_text){type.data, 5}, footloose_text_of("text/"));
    if (!is_text || request->body.length > MESSAGE_BYTES || !understand(request->body, &message)) {
        footloose_print(response, "{\"error\":\"send a ping, or where you are, as one small JSON object\"}");
    } else if (message.present == PING) {
        footloose_print(response, "{\"pong\":");
        footloose_print_text(response, message.ping);
        footloose_print(response, "}");
    } else {
        footloose_header(response, "Footloose-Publish", "pulse");
        footloose_print_text(response, request->body);
    }
}

static void answer_event(const footloose_request *request, footloose_response *response) {
    footloose_text event = footloose_variable(request, "FOOTLOOSE_EVENT");
    if (!footloose_is(footloose_variable(request, "PATH_INFO"), "/live")) {
        footloose_status(response, 404);
    } else if (footloose_is(event, "open")) {
        footloose_header(response, "Footloose-Subscribe", "pulse");
    } else if (footloose_is(event, "message")) {
        answer_message(request, response);
    }
}

/* ---- HTTP ------------------------------------------------------------------------------------------------------------- */

static void print_json_char(footloose_response *response, char c) {
    static const char hex[] = "0123456789abcdef";
    unsigned char byte = (unsigned char)c;
    if (byte < ' ' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' || byte == 0x7f) {
        char escaped[] = {'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]};
        footloose_write(response, escaped, sizeof escaped);
    } else {
        footloose_write(response, &c, 1);
    }
}

static void print_json(footloose_response *response, footloose_text text) {
    footloose_print(response, "\"");
    for (size_t i = 0; i < text.length; i++) print_json_char(response, text.data[i]);
    footloose_print(response, "\"");
}

/* A variable as a JSON string, or null where there is none. */
static void print_variable(const footloose_request *request, footloose_response *response, const char *name) {
    footloose_text value = footloose_variable(request, name);
    if (value.data == NULL) {
        footloose_print(response, "null");
    } else {
        print_json(response, value);
    }
}

static int hex_value(char c) { return is_digit(c) ? c - '0' : (c | ' ') - 'a' + 10; }

/* Bytes that are not UTF-8 must not get into JSON, so all that is not ASCII is left out of an echoed name. */
static footloose_text decoded(footloose_text encoded) {
    char *data = footloose_alloc(encoded.length + 1);
    size_t length = 0;
    for (size_t i = 0; i < encoded.length && length < TEXT_BYTES; i++) {
        int c = (unsigned char)encoded.data[i];
        if (c == '+') c = ' ';
        if (c == '%' && i + 2 < encoded.length && is_hex(encoded.data[i + 1]) && is_hex(encoded.data[i + 2])) {
            c = hex_value(encoded.data[i + 1]) << 4 | hex_value(encoded.data[i + 2]);
            i += 2;
        }
        if (c < 0x80) data[length++] = (char)c;
    }
    return (footloose_text){data, length};
}

/* One parameter of the query, decoded; empty where there is none. */
static footloose_text parameter(const footloose_request *request, const char *name) {
    footloose_text query = footloose_variable(request, "QUERY_STRING");
    const char *at = query.data;
    const char *end = query.data + query.length;
    while (at < end) {
        const char *stop = at;
        while (stop < end && *stop != '&') stop++;
        const char *equals = at;
        while (equals < stop && *equals != '=') equals++;
        if (equals < stop && footloose_is((footloose_text){at, (size_t)(equals - at)}, name))
            return decoded((footloose_text){equals + 1, (size_t)(stop - equals - 1)});
        at = stop + 1;
    }
    return (footloose_text){"", 0};
}

static void answer_api(footloose_response *response, const char *type) {
    footloose_header(response, "Content-Type", type);
    footloose_header(response, "Cache-Control", "no-store");
    footloose_header(response, "X-Content-Type-Options", "nosniff");
    footloose_header(response, "Access-Control-Allow-Origin", "*"); /* a page that has moved asks from its old origin */
}

static void answer_hello(const footloose_request *request, footloose_response *response) {
    answer_api(response, "application/json");
    footloose_print(response, "{\"served_by\":");
    print_variable(request, response, "FOOTLOOSE_SITE");
    footloose_print(response, ",\"server\":");
    print_variable(request, response, "SERVER_NAME");
    footloose_print(response, ",\"hello\":");
    print_json(response, parameter(request, "name"));
    footloose_print(response, "}");
}

static void answer_page(footloose_response *response) {
    footloose_header(response, "Content-Type", "text/html; charset=utf-8");
    footloose_header(response, "Cache-Control", "no-cache");
    footloose_header(response, "X-Content-Type-Options", "nosniff");
    footloose_header(response, "Referrer-Policy", "no-referrer");
    footloose_header(response, "Content-Security-Policy",
                     "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
                     "connect-src http: https: ws: wss:; base-uri 'none'; form-action 'none'");
    footloose_write(response, pulse_html, sizeof pulse_html);
}

static void refuse(footloose_response *response, int status, const char *words) {
    footloose_status(response, status);
    footloose_header(response, "Content-Type", "text/plain; charset=utf-8");
    footloose_header(response, "Access-Control-Allow-Origin", "*");
    footloose_print(response, words);
}

/* The page's links are relative, so its address has to end in a slash. */
static void answer_bare(const footloose_request *request, footloose_response *response) {
    footloose_text script = footloose_variable(request, "SCRIPT_NAME");
    char *path = footloose_alloc(script.length + 1);
    if (script.length > 0) __builtin_memcpy(path, script.data, script.length);
    path[script.length] = '/';
    footloose_status(response, 308);
    footloose_header_text(response, "Location", (footloose_text){path, script.length + 1});
}

static void answer_get(const footloose_request *request, footloose_response *response) {
    footloose_text path = footloose_variable(request, "PATH_INFO");
    if (footloose_is(path, "/")) {
        answer_page(response);
    } else if (path.length == 0) {
        answer_bare(request, response);
    } else if (footloose_is(path, "/api/hello")) {
        answer_hello(request, response);
    } else if (footloose_is(path, "/api/ping")) {
        answer_api(response, "text/plain; charset=utf-8");
        footloose_print(response, "pong\n");
    } else {
        refuse(response, 404, "There is a page at / and an API at /api/hello and /api/ping.\n");
    }
}

static void footloose_answer(const footloose_request *request, footloose_response *response) {
    footloose_text method = footloose_variable(request, "REQUEST_METHOD");
    if (footloose_is(method, "WEBSOCKET")) {
        answer_event(request, response);
    } else if (footloose_is(method, "GET") || footloose_is(method, "HEAD")) {
        answer_get(request, response);
    } else {
        footloose_header(response, "Allow", "GET, HEAD");
        refuse(response, 405, "Only GET and HEAD are answered here.\n");
    }
}
