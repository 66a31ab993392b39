// What runs a sandboxed filter's script: QuickJS, and the functions of ../wit/filter.wit over it, written out by the
// canonical ABI (component model, "Canonical ABI"). It is compiled with the engine as one unit: texts cross where they
// lie, which takes its strings' layout.
//
// Every allocation may fail: the proxy bounds the memory. What the script can catch is thrown there; where no script
// runs, the guest traps.
#include "quickjs.c"

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))
#define HOST "vespid:filter/host@2.0.0"
#define HANDLER "vespid:filter/handler@2.0.0#"
/** The module of what the engine does for the SDK. */
#define ENGINE "vespid:engine"

/** The guest's side of `result<string, string>` and `result<list<u8>, string>`. */
struct result {
    uint8_t is_error;
    uint8_t *data;
    uint32_t length;
};

IMPORT(HOST, "log") void host_log(int32_t level, const char *, size_t, const char *, size_t);
IMPORT(HOST, "start") uint32_t host_start(uint32_t call, const char *, size_t, const char *, size_t, const uint8_t *, size_t);
IMPORT(HOST, "stop") void host_stop(uint32_t operation);
IMPORT(HOST, "emit") void host_emit(uint32_t call, int32_t side, const uint8_t *, size_t);
IMPORT(HOST, "settle") void host_settle(uint32_t call, const char *, size_t);
IMPORT(HOST, "text") void host_text(const char *, size_t, const char *, size_t, const uint8_t *, size_t, struct result *);
IMPORT(HOST, "bytes") void host_bytes(const char *, size_t, const char *, size_t, const uint8_t *, size_t, struct result *);

/** In allocate.c. */
void clear_freed(void);

/** JavaScript's stack; beyond it the script gets an error, before the module's own stack of 512 KiB ends. */
#define STACK_BYTES (256 * 1024)
/** What large texts and the allocator's own pieces take beside the script's. */
#define SPARE_BYTES (256 * 1024)
/** A list of nothing still has an address. */
#define NOWHERE ((void *)1)
/** Rejected promises that nobody looked at, beyond which the rest counts as looked at. */
#define UNHANDLED_MAX 1000

/* The order of the WIT's enums. */
enum { LEVEL_ERROR = 3, LEVELS };
static const char *const LEVEL_NAMES[LEVELS] = {"debug", "info", "warn", "error"};
enum { SIDES = 2 };
static const char *const SIDE_NAMES[SIDES] = {"downstream", "upstream"};
enum { PHASES = 11 };
static const char *const PHASE_NAMES[PHASES] = {
    "request", "response", "request-trailers", "response-trailers", "log", "setup",
    "timer",   "connection", "check", "quota", "report",
};

static JSContext *context;
/** What the script exports, and its functions. */
static JSValue handler;
static JSValue on_configure, on_begin[PHASES], on_chunk, on_cancel, on_over, on_failed, on_unhandled, on_measured;
/** What the handler says of itself, and the name by which it says that there are measurements. */
static JSValue after;
static JSAtom is_due;
static JSValue sides[SIDES];
/** A payload of nothing, which most calls have. */
static JSValue no_bytes;
/** The answer of a call that waits. */
static JSValue pending;

/* Texts that go out */

/** A text in UTF-8. It is the string's own where that is ASCII, and lives as long. */
struct text {
    const char *data;
    size_t length;
    /** To be freed, where it is not the string's own. */
    const char *owned;
};

static bool is_ascii(const uint8_t *bytes, size_t length)
{
    uint64_t all = 0;
    size_t at = 0;
    for (; at + 8 <= length; at += 8) all |= get_u64(bytes + at);
    for (; at < length; at++) all |= bytes[at];
    return (all & 0x8080808080808080u) == 0;
}

/** Halves of surrogate pairs have no UTF-8: each becomes U+FFFD, which takes as many bytes. */
static void replace_surrogates(uint8_t *bytes, size_t length)
{
    for (size_t at = 0; at + 2 < length; at++) {
        if (bytes[at] != 0xed || bytes[at + 1] < 0xa0) continue;
        bytes[at] = 0xef;
        bytes[at + 1] = 0xbf;
        bytes[at + 2] = 0xbd;
    }
}

/** False where an exception was thrown. */
static bool read_text(JSContext *ctx, JSValueConst value, struct text *text)
{
    text->owned = NULL;
    if (JS_VALUE_GET_TAG(value) == JS_TAG_STRING) {
        JSString *string = JS_VALUE_GET_STRING(value);
        if (!string->is_wide_char && is_ascii(str8(string), string->len)) {
            text->data = (const char *)str8(string);
            text->length = string->len;
            return true;
        }
    }
    text->data = text->owned = JS_ToCStringLen(ctx, &text->length, value);
    if (text->owned == NULL) return false;
    replace_surrogates((uint8_t *)text->owned, text->length);
    return true;
}

static void free_text(JSContext *ctx, struct text *text)
{
    if (text->owned != NULL) JS_FreeCString(ctx, text->owned);
}

/** The bytes of a Uint8Array where they lie; they move when the script runs. False where an exception was thrown. */
static bool read_bytes(JSContext *ctx, JSValueConst value, const uint8_t **data, size_t *length)
{
    *data = JS_GetUint8Array(ctx, length, value);
    if (*data == NULL && JS_HasException(ctx)) return false;
    if (*length == 0) *data = NOWHERE;
    return true;
}

/** The number of a case, by its name; below zero an exception was thrown. */
static int read_case(JSContext *ctx, JSValueConst value, const char *const *names, int count)
{
    struct text text;
    if (!read_text(ctx, value, &text)) return -1;
    int found = -1;
    for (int at = 0; at < count && found < 0; at++) {
        if (strlen(names[at]) == text.length && memcmp(names[at], text.data, text.length) == 0) found = at;
    }
    free_text(ctx, &text);
    if (found < 0) JS_ThrowTypeError(ctx, "is not one of the enumeration's names");
    return found;
}

/* What waits, by the proxy's numbers */

/** An operation: its promise, what reads its outcome, and its call. Or a call: its promise, what renders its answer, and about what. */
struct waiting {
    uint32_t number, call;
    bool is_there;
    JSValue promise, function, about;
};

/** By open addressing: places are a power of two, and half of them are free. */
struct table {
    struct waiting *places;
    uint32_t size, count;
};

static struct table operations, calls;

static struct waiting *place_of(const struct table *table, uint32_t number)
{
    uint32_t at = number & (table->size - 1);
    while (table->places[at].is_there && table->places[at].number != number) at = (at + 1) & (table->size - 1);
    return &table->places[at];
}

/** NULL where it does not wait. */
static struct waiting *find(const struct table *table, uint32_t number)
{
    if (table->count == 0) return NULL;
    struct waiting *place = place_of(table, number);
    return place->is_there ? place : NULL;
}

static void free_waiting(JSContext *ctx, struct waiting *waiting)
{
    JS_FreeValue(ctx, waiting->promise);
    JS_FreeValue(ctx, waiting->function);
    JS_FreeValue(ctx, waiting->about);
}

/** Takes one out: whoever asks frees it. The places behind move up, so that each is found from where its number says. */
static struct waiting take(struct table *table, struct waiting *place)
{
    struct waiting taken = *place;
    uint32_t mask = table->size - 1, hole = place - table->places;
    for (uint32_t at = (hole + 1) & mask; table->places[at].is_there; at = (at + 1) & mask) {
        if (((at - table->places[at].number) & mask) < ((at - hole) & mask)) continue;
        table->places[hole] = table->places[at];
        hole = at;
    }
    table->places[hole].is_there = false;
    table->count--;
    return taken;
}

/** Makes room for one more. False where an exception was thrown. */
static bool reserve(JSContext *ctx, struct table *table)
{
    if (2 * (table->count + 1) <= table->size) return true;
    struct table larger = {.size = table->size == 0 ? 16 : 2 * table->size, .count = table->count};
    larger.places = js_mallocz(ctx, larger.size * sizeof(*larger.places));
    if (larger.places == NULL) return false;
    for (uint32_t at = 0; at < table->size; at++) {
        const struct waiting *place = &table->places[at];
        if (place->is_there) *place_of(&larger, place->number) = *place;
    }
    js_free(ctx, table->places);
    *table = larger;
    return true;
}

/** Adds one, for which there is room; one of that number goes. */
static void add(JSContext *ctx, struct table *table, struct waiting waiting)
{
    struct waiting *place = place_of(table, waiting.number);
    if (place->is_there) free_waiting(ctx, place);
    else table->count++;
    waiting.is_there = true;
    *place = waiting;
}

static void forget(JSContext *ctx, struct table *table, uint32_t number)
{
    struct waiting *place = find(table, number);
    if (place == NULL) return;
    struct waiting taken = take(table, place);
    free_waiting(ctx, &taken);
}

/* Functions of the host */

static JSValue js_host_log(JSContext *ctx, JSValueConst this, int count, JSValueConst *given)
{
    struct text message, fields;
    int level = read_case(ctx, given[0], LEVEL_NAMES, LEVELS);
    if (level < 0 || !read_text(ctx, given[1], &message)) return JS_EXCEPTION;
    bool is_read = read_text(ctx, given[2], &fields);
    if (is_read) {
        host_log(level, message.data, message.length, fields.data, fields.length);
        free_text(ctx, &fields);
    }
    free_text(ctx, &message);
    return is_read ? JS_UNDEFINED : JS_EXCEPTION;
}

static JSValue js_host_emit(JSContext *ctx, JSValueConst this, int count, JSValueConst *given)
{
    const uint8_t *bytes;
    size_t length;
    uint32_t call;
    if (JS_ToUint32(ctx, &call, given[0]) < 0) return JS_EXCEPTION;
    int side = read_case(ctx, given[1], SIDE_NAMES, SIDES);
    if (side < 0 || !read_bytes(ctx, given[2], &bytes, &length)) return JS_EXCEPTION;
    host_emit(call, side, bytes, length);
    return JS_UNDEFINED;
}

/** The error of a result is thrown, as an `Error`. */
static JSValue throw_told(JSContext *ctx, const struct result *result)
{
    JSValue message = JS_NewStringLen(ctx, (const char *)result->data, result->length);
    if (JS_IsException(message)) return message;
    JSValue error = JS_NewError(ctx);
    if (JS_DefinePropertyValueStr(ctx, error, "message", message, JS_PROP_WRITABLE | JS_PROP_CONFIGURABLE) < 0) {
        JS_FreeValue(ctx, error);
        return JS_EXCEPTION;
    }
    return JS_Throw(ctx, error);
}

static void *reallocate_bytes(JSRuntime *runtime, void *opaque, void *bytes, size_t size)
{
    if (size > 0) return realloc(bytes, size);
    if (bytes != NOWHERE) free(bytes);
    return NULL;
}

/** Takes bytes that the host made room for. */
static JSValue take_bytes(JSContext *ctx, uint8_t *bytes, size_t length)
{
    return length == 0 ? JS_DupValue(ctx, no_bytes)
                       : JS_NewUint8Array(ctx, bytes, length, reallocate_bytes, NULL, false);
}

/** `text` and `bytes`, which differ in what they answer. */
static JSValue ask_host(JSContext *ctx, JSValueConst *given, bool is_bytes)
{
    struct text name, request;
    struct result result = {0};
    const uint8_t *payload;
    size_t length;
    if (!read_text(ctx, given[0], &name)) return JS_EXCEPTION;
    bool is_read = read_text(ctx, given[1], &request);
    if (is_read) {
        is_read = read_bytes(ctx, given[2], &payload, &length);
        if (is_read)
            (is_bytes ? host_bytes : host_text)(
                name.data, name.length, request.data, request.length, payload, length, &result);
        free_text(ctx, &request);
    }
    free_text(ctx, &name);
    if (!is_read) return JS_EXCEPTION;
    if (is_bytes && !result.is_error) return take_bytes(ctx, result.data, result.length);
    JSValue value = result.is_error ? throw_told(ctx, &result)
                                    : JS_NewStringLen(ctx, (const char *)result.data, result.length);
    if (result.length > 0) free(result.data);
    return value;
}

static JSValue js_host_text(JSContext *ctx, JSValueConst this, int count, JSValueConst *given)
{
    return ask_host(ctx, given, false);
}

static JSValue js_host_bytes(JSContext *ctx, JSValueConst this, int count, JSValueConst *given)
{
    return ask_host(ctx, given, true);
}

static const JSCFunctionListEntry HOST_FUNCTIONS[] = {
    JS_CFUNC_DEF("log", 3, js_host_log),
    JS_CFUNC_DEF("emit", 3, js_host_emit),
    JS_CFUNC_DEF("text", 3, js_host_text),
    JS_CFUNC_DEF("bytes", 3, js_host_bytes),
};

/* Operations */

/** The call that the proxy has entered for, and what it is answered; undefined while it waits. */
static uint32_t entered;
static JSValue own;

/**
 * An operation that the answer starts, which costs less than a call of the host's: the one that most calls begin with,
 * and wait for. Others after it begin in their order, so that it is started as they are.
 */
static struct {
    bool is_there;
    uint32_t number, call;
    JSValue kind, request;
} held;
/** Numbers of the guest's own are above all of the proxy's. */
#define OWN_NUMBERS 0x80000000u
static uint32_t last_own;

static bool start_now(JSContext *ctx, uint32_t call, JSValueConst kind, JSValueConst request, JSValueConst payload, uint32_t *number)
{
    struct text name, text;
    const uint8_t *data;
    size_t size;
    if (!read_text(ctx, kind, &name)) return false;
    bool is_read = read_text(ctx, request, &text);
    if (is_read) {
        is_read = read_bytes(ctx, payload, &data, &size);
        if (is_read) *number = host_start(call, name.data, name.length, text.data, text.length, data, size);
        free_text(ctx, &text);
    }
    free_text(ctx, &name);
    return is_read;
}

static void drop_held(JSContext *ctx)
{
    held.is_there = false;
    JS_FreeValue(ctx, held.kind);
    JS_FreeValue(ctx, held.request);
}

/** Starts what was held back; false where an exception was thrown. */
static bool start_held(JSContext *ctx)
{
    struct waiting *place = find(&operations, held.number);
    bool is_started = true;
    if (place != NULL) {
        struct waiting operation = take(&operations, place);
        is_started = start_now(ctx, operation.call, held.kind, held.request, no_bytes, &operation.number);
        if (is_started) add(ctx, &operations, operation);
        else free_waiting(ctx, &operation);
    }
    drop_held(ctx);
    return is_started;
}

/** Keeps an operation back, for which there is room. */
static uint32_t hold(JSContext *ctx, uint32_t call, JSValueConst kind, JSValueConst request)
{
    held.is_there = true;
    held.number = OWN_NUMBERS | ++last_own;
    held.call = call;
    held.kind = JS_DupValue(ctx, kind);
    held.request = JS_DupValue(ctx, request);
    return held.number;
}

/** `operate(call, kind, request, payload, read)`: the promise of what `read` makes of the outcome. */
static JSValue js_operate(JSContext *ctx, JSValueConst this, int count, JSValueConst *given)
{
    const uint8_t *payload;
    size_t size;
    uint32_t call, number;
    // No script runs from here to `add`: it could begin others, and take the room that is made for this one.
    if (!JS_IsNumber(given[0]) || !JS_IsString(given[1]) || !JS_IsString(given[2]))
        return JS_ThrowTypeError(ctx, "an operation has a call, a kind and a request");
    bool is_first = !held.is_there;
    if (JS_ToUint32(ctx, &call, given[0]) < 0 || !read_bytes(ctx, given[3], &payload, &size)) return JS_EXCEPTION;
    if (!reserve(ctx, &operations) || (!is_first && !start_held(ctx))) return JS_EXCEPTION;
    JSValue promise = js_promise_new_bare(ctx, JS_UNDEFINED);
    if (JS_IsException(promise)) return promise;
    if (is_first && size == 0 && call == entered) {
        number = hold(ctx, call, given[1], given[2]);
    } else if (!start_now(ctx, call, given[1], given[2], given[3], &number)) {
        JS_FreeValue(ctx, promise);
        return JS_EXCEPTION;
    }
    add(ctx, &operations,
        (struct waiting){
            .number = number,
            .call = call,
            .promise = JS_DupValue(ctx, promise),
            .function = JS_DupValue(ctx, given[4]),
            .about = JS_UNDEFINED,
        });
    return promise;
}

/** False where the proxy does not know of it yet. */
static bool reject_operation(JSContext *ctx, struct waiting *place, JSValueConst reason)
{
    struct waiting operation = take(&operations, place);
    bool is_held = held.is_there && held.number == operation.number;
    if (is_held) drop_held(ctx);
    fulfill_or_reject_promise(ctx, operation.promise, reason, true);
    free_waiting(ctx, &operation);
    return !is_held;
}

/** `giveUp(promise, reason)`: of an operation, which the proxy ends. */
static JSValue js_give_up(JSContext *ctx, JSValueConst this, int count, JSValueConst *given)
{
    for (uint32_t at = 0; at < operations.size; at++) {
        struct waiting *place = &operations.places[at];
        if (!place->is_there || !js_same_value(ctx, place->promise, given[0])) continue;
        uint32_t number = place->number;
        if (reject_operation(ctx, place, given[1])) host_stop(number);
        break;
    }
    return JS_UNDEFINED;
}

/** `abort(call, reason)`: the proxy has ended the call's operations, and nobody waits for its answer. */
static JSValue js_abort(JSContext *ctx, JSValueConst this, int count, JSValueConst *given)
{
    uint32_t call;
    if (JS_ToUint32(ctx, &call, given[0]) < 0) return JS_EXCEPTION;
    forget(ctx, &calls, call);
    for (uint32_t at = 0; at < operations.size;) {
        struct waiting *place = &operations.places[at];
        // Where one goes, another may take its place.
        if (place->is_there && place->call == call) reject_operation(ctx, place, given[1]);
        else at++;
    }
    return JS_UNDEFINED;
}

/* Heads: the WIT's lines `name: value`, and edits to them as a flat list of kind, name and value */

/** The text where each character is a byte; NULL where it is none such. */
static JSString *narrow(JSValueConst value)
{
    if (JS_VALUE_GET_TAG(value) != JS_TAG_STRING) return NULL;
    JSString *string = JS_VALUE_GET_STRING(value);
    return string->is_wide_char ? NULL : string;
}

/** Where the line at `at` ends: its LF, or the text's end. */
static uint32_t line_end(const uint8_t *text, uint32_t at, uint32_t length)
{
    for (; at + 16 <= length; at += 16) {
        uint32_t found = wasm_i8x16_bitmask(wasm_i8x16_eq(wasm_v128_load(text + at), wasm_u8x16_const_splat('\n')));
        if (found != 0) return at + __builtin_ctz(found);
    }
    while (at < length && text[at] != '\n') at++;
    return at;
}

/** The only field whose values are not joined by the proxy. */
#define SET_COOKIE "set-cookie"

/**
 * `field(lines, name, edits)`: the value of the line of that name, null where there is none. Undefined where it cannot tell:
 * of heads that were edited, of a field that may have several lines, and of other characters than bytes.
 */
static JSValue js_field(JSContext *ctx, JSValueConst this, int count, JSValueConst *given)
{
    JSString *lines = narrow(given[0]), *name = narrow(given[1]);
    JSValue *edits;
    uint32_t edited;
    if (lines == NULL || name == NULL || !js_get_fast_array(ctx, given[2], &edits, &edited) || edited > 0) return JS_UNDEFINED;
    if (name->len == strlen(SET_COOKIE) && memcmp(str8(name), SET_COOKIE, name->len) == 0) return JS_UNDEFINED;
    const uint8_t *text = str8(lines), *sought = str8(name);
    uint32_t length = lines->len, behind = name->len + 2;
    for (uint32_t at = 0, end; at + behind <= length; at = end + 1) {
        const uint8_t *line = text + at;
        end = line_end(text, at, length);
        if (at + behind > end || line[name->len] != ':' || line[name->len + 1] != ' ') continue;
        if (memcmp(line, sought, name->len) == 0) return js_sub_string(ctx, lines, at + behind, end);
    }
    return JS_NULL;
}

/** `addEdit(edits, kind, name, value)`; false where that would not be a line, and is not added. */
static JSValue js_add_edit(JSContext *ctx, JSValueConst this, int count, JSValueConst *given)
{
    for (int at = 2; at < 4; at++) {
        JSString *text = narrow(given[at]);
        if (text == NULL || line_end(str8(text), 0, text->len) < text->len) return JS_FALSE;
    }
    JSValue length = js_array_push(ctx, given[0], 3, given + 1, 0);
    if (JS_IsException(length)) return length;
    JS_FreeValue(ctx, length);
    return JS_TRUE;
}

/** Appends an element of a list. A value that is no text runs what an author gave it to become one, which may change the list. */
static void concat_element(JSContext *ctx, StringBuffer *lines, JSValueConst list, uint32_t at)
{
    string_buffer_concat_value_free(lines, JS_GetPropertyUint32(ctx, list, at));
}

/** `renderEdits(answer, edits)`: the answer and a line for each edit. */
static JSValue js_render_edits(JSContext *ctx, JSValueConst this, int count, JSValueConst *given)
{
    StringBuffer lines;
    JSValue *edits;
    uint32_t length;
    if (!js_get_fast_array(ctx, given[1], &edits, &length)) return JS_ThrowTypeError(ctx, "edits are a list");
    if (length == 0) return JS_DupValue(ctx, given[0]);
    string_buffer_init(ctx, &lines, 64);
    string_buffer_concat_value(&lines, given[0]);
    for (uint32_t at = 0; at + 3 <= length; at += 3) {
        int kind_at = lines.len;
        concat_element(ctx, &lines, given[1], at);
        // Only `remove` has no value.
        bool is_removal = kind_at < lines.len && string_get(lines.str, kind_at) == 'r';
        string_buffer_putc8(&lines, ' ');
        concat_element(ctx, &lines, given[1], at + 1);
        if (!is_removal) {
            string_buffer_puts8(&lines, ": ");
            concat_element(ctx, &lines, given[1], at + 2);
        }
        string_buffer_putc8(&lines, '\n');
    }
    return string_buffer_end(&lines);
}

static const JSCFunctionListEntry ENGINE_FUNCTIONS[] = {
    JS_CFUNC_DEF("operate", 5, js_operate),
    JS_CFUNC_DEF("giveUp", 2, js_give_up),
    JS_CFUNC_DEF("abort", 2, js_abort),
    JS_CFUNC_DEF("field", 3, js_field),
    JS_CFUNC_DEF("addEdit", 4, js_add_edit),
    JS_CFUNC_DEF("renderEdits", 2, js_render_edits),
};

/* Answers */

/** Tells what was thrown where nobody can catch it, and traps. */
static _Noreturn void give_up(void)
{
    JSValue thrown = JS_GetException(context);
    struct text text;
    if (read_text(context, thrown, &text)) host_log(LEVEL_ERROR, text.data, text.length, "", 0);
    __builtin_trap();
}

static JSValue checked(JSValue value)
{
    if (JS_IsException(value)) give_up();
    return value;
}

/** Calls a function of the handler's and frees what it was given. */
static JSValue call_handler(JSValueConst function, int count, JSValue *given)
{
    JSValue value = JS_Call(context, function, handler, count, (JSValueConst *)given);
    for (int at = 0; at < count; at++) JS_FreeValue(context, given[at]);
    return value;
}

/** The answer of a call that failed. */
static JSValue failed(JSValue reason, uint32_t call)
{
    return checked(call_handler(on_failed, 2, (JSValue[]){reason, JS_NewUint32(context, call)}));
}

/** The answer of a call whose handler came to `value`. */
static JSValue render(JSValueConst function, JSValueConst value, JSValueConst about, uint32_t call)
{
    JSValue text = JS_Call(context, function, handler, 2, (JSValueConst[]){value, about});
    return JS_IsException(text) ? failed(JS_GetException(context), call) : text;
}

static void settle_call(uint32_t call, JSValue text)
{
    struct text answer;
    if (call == entered && JS_IsUndefined(own)) {
        own = text;
        return;
    }
    if (!read_text(context, text, &answer)) give_up();
    host_settle(call, answer.data, answer.length);
    free_text(context, &answer);
    JS_FreeValue(context, text);
}

/** Of the handlers of promises that calls wait for. */
static JSClassID call_class;

/** Such a promise has settled. Of a call that nobody waits for there is no answer. */
static JSValue js_answer_call(JSContext *ctx, JSValueConst self, JSValueConst this, int count, JSValueConst *given, int flags)
{
    uint32_t number = (uintptr_t)JS_GetOpaque(self, call_class);
    struct waiting *place = find(&calls, number);
    if (place == NULL || JS_PromiseState(ctx, place->promise) == JS_PROMISE_PENDING) return JS_UNDEFINED;
    struct waiting call = take(&calls, place);
    settle_call(number, JS_PromiseState(ctx, call.promise) == JS_PROMISE_REJECTED
                            ? failed(JS_DupValue(ctx, given[0]), number)
                            : render(call.function, given[0], call.about, number));
    free_waiting(ctx, &call);
    return JS_UNDEFINED;
}

/** Has the call wait for a promise. */
static void wait_for(struct waiting call)
{
    JSValue settled = checked(JS_NewObjectClass(context, call_class));
    JS_SetOpaque(settled, (void *)(uintptr_t)call.number);
    if (!reserve(context, &calls)) give_up();
    add(context, &calls, call);
    if (perform_promise_then(context, call.promise, (JSValueConst[]){settled, settled},
            (JSValueConst[]){JS_UNDEFINED, JS_UNDEFINED}) != 0)
        give_up();
    JS_FreeValue(context, settled);
}

/** What the handler returned: a text; or a tuple of a value, or the promise of it, what renders it, and about what. */
static void take_returned(JSValue returned)
{
    if (JS_IsException(returned)) {
        own = failed(JS_GetException(context), entered);
        return;
    }
    if (!JS_IsArray(returned)) {
        own = returned;
        return;
    }
    struct waiting call = {
        .number = entered,
        .promise = checked(JS_GetPropertyUint32(context, returned, 0)),
        .function = checked(JS_GetPropertyUint32(context, returned, 1)),
        .about = checked(JS_GetPropertyUint32(context, returned, 2)),
    };
    JS_FreeValue(context, returned);
    if (JS_IsPromise(call.promise)) {
        wait_for(call);
        return;
    }
    own = render(call.function, call.promise, call.about, entered);
    free_waiting(context, &call);
}

/** Promises that were rejected, and nobody has looked at them yet. */
static JSValue unhandled[UNHANDLED_MAX];
static size_t unhandled_count;

static void track_rejection(JSContext *ctx, JSValueConst promise, JSValueConst reason, bool is_handled, void *opaque)
{
    if (!is_handled) {
        if (unhandled_count < UNHANDLED_MAX) unhandled[unhandled_count++] = JS_DupValue(ctx, promise);
        return;
    }
    for (size_t at = 0; at < unhandled_count; at++) {
        if (!js_same_value(ctx, unhandled[at], promise)) continue;
        JS_FreeValue(ctx, unhandled[at]);
        memmove(&unhandled[at], &unhandled[at + 1], (--unhandled_count - at) * sizeof(*unhandled));
        return;
    }
}

/** Nobody awaited what went wrong: the call that ran meanwhile fails, and where there is none the log says so. */
static void tell_unhandled(void)
{
    JSValue reason = JS_PromiseResult(context, unhandled[0]);
    while (unhandled_count > 0) JS_FreeValue(context, unhandled[--unhandled_count]);
    JSValue text = checked(call_handler(on_unhandled, 1, &reason));
    if (!JS_IsUndefined(own) || find(&calls, entered) != NULL) {
        forget(context, &calls, entered);
        JS_FreeValue(context, own);
        own = text;
        return;
    }
    struct text message;
    if (!read_text(context, text, &message)) give_up();
    host_log(LEVEL_ERROR, message.data, message.length, "", 0);
    free_text(context, &message);
    JS_FreeValue(context, text);
}

/** Runs what is due, and what becomes due by it. */
static void run_jobs(void)
{
    JSRuntime *runtime = JS_GetRuntime(context);
    JSContext *of;
    int ran;
    while ((ran = JS_ExecutePendingJob(runtime, &of)) > 0) continue;
    if (ran == 0) return;
    // Promises catch for themselves, so it was a job of the author's; what is left must not run in another call.
    JS_FreeValue(context, own);
    own = failed(JS_GetException(context), entered);
    struct list_head *link, *next;
    list_for_each_safe(link, next, &runtime->job_list) {
        JSJobEntry *job = list_entry(link, JSJobEntry, link);
        list_del(link);
        for (int at = 0; at < job->argc; at++) JS_FreeValue(context, job->argv[at]);
        js_free(context, job);
    }
}

/** What an export answers: its text lies in the string, which stays until the host enters again. */
static struct {
    struct result result;
    struct text text;
    JSValue value;
} answer;

static void drop_answer(void)
{
    free_text(context, &answer.text);
    JS_FreeValue(context, answer.value);
    answer.text.owned = NULL;
    answer.value = JS_UNDEFINED;
}

static void enter(uint32_t call)
{
    drop_answer();
    entered = call;
    own = JS_UNDEFINED;
}

/** Does what the script has left to do before the proxy goes on. */
static void leave(void)
{
    if (JS_IsJobPending(JS_GetRuntime(context))) run_jobs();
    if (unhandled_count > 0) tell_unhandled();
}

/** The answer of a call that waits, with the operation that it starts. */
static JSValue start_in_answer(void)
{
    StringBuffer text;
    char number[16];
    string_buffer_init(context, &text, 64);
    string_buffer_puts8(&text, "pending ");
    string_buffer_write8(&text, (const uint8_t *)number, u32toa(number, held.number));
    string_buffer_putc8(&text, ' ');
    string_buffer_concat_value(&text, held.kind);
    string_buffer_putc8(&text, '\n');
    string_buffer_concat_value(&text, held.request);
    drop_held(context);
    return checked(string_buffer_end(&text));
}

/* Loading, which the build does */

static int fill_host(JSContext *ctx, JSModuleDef *module)
{
    JSValue host = JS_NewObject(ctx);
    JS_SetPropertyFunctionList(ctx, host, HOST_FUNCTIONS, countof(HOST_FUNCTIONS));
    return JS_SetModuleExport(ctx, module, "default", host);
}

static int fill_engine(JSContext *ctx, JSModuleDef *module)
{
    return JS_SetModuleExportList(ctx, module, ENGINE_FUNCTIONS, countof(ENGINE_FUNCTIONS));
}

/** The bundle imports the host and the engine, and nothing else. */
static JSModuleDef *load_module(JSContext *ctx, const char *name, void *opaque)
{
    JSModuleDef *module = NULL;
    if (strcmp(name, HOST) == 0) {
        module = JS_NewCModule(ctx, name, fill_host);
        if (module != NULL) JS_AddModuleExport(ctx, module, "default");
    } else if (strcmp(name, ENGINE) == 0) {
        module = JS_NewCModule(ctx, name, fill_engine);
        if (module != NULL) JS_AddModuleExportList(ctx, module, ENGINE_FUNCTIONS, countof(ENGINE_FUNCTIONS));
    } else {
        JS_ThrowReferenceError(ctx, "there is no module %s", name);
    }
    return module;
}

/** Strings of names as property names have them: to compare two of those is to compare their addresses. */
static void name_all(JSValue *values, const char *const *names, int count)
{
    for (int at = 0; at < count; at++) values[at] = checked(JS_AtomToString(context, JS_NewAtom(context, names[at])));
}

/**
 * Loads the script, once: what the memory holds then is where every instance begins. The script ends with a NUL that
 * `length` does not count. Answers how far down the stack was used, at least: below lies nothing that is needed.
 */
EXPORT("load") void *load(char *script, size_t length)
{
    JSRuntime *runtime = JS_NewRuntime();
    // The engine has no limit of its own on WASI.
    runtime->stack_limit = (uintptr_t)__builtin_frame_address(0) - STACK_BYTES;
    context = JS_NewContext(runtime);
    JS_SetModuleLoaderFunc(runtime, NULL, load_module, NULL);
    JS_SetHostPromiseRejectionTracker(runtime, track_rejection, NULL);
    JS_NewClassID(runtime, &call_class);
    JS_NewClass(runtime, call_class, &(JSClassDef){"Call", .call = js_answer_call});
    pending = checked(JS_NewString(context, "pending\n"));
    no_bytes = checked(JS_NewUint8ArrayCopy(context, NULL, 0));
    name_all(sides, SIDE_NAMES, SIDES);

    JSValue compiled = JS_Eval(context, script, length, "filter.js", JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY);
    memset(script, 0, length);
    free(script);
    checked(compiled);
    JSModuleDef *module = JS_VALUE_GET_PTR(compiled);
    JSValue loaded = checked(JS_EvalFunction(context, compiled));
    JSContext *of;
    while (JS_ExecutePendingJob(runtime, &of) > 0) continue;
    JSPromiseStateEnum state = JS_PromiseState(context, loaded);
    if (state == JS_PROMISE_PENDING) JS_ThrowTypeError(context, "waits while it loads for what does not come");
    else if (state == JS_PROMISE_REJECTED) JS_Throw(context, JS_PromiseResult(context, loaded));
    if (state != JS_PROMISE_FULFILLED) give_up();
    JS_FreeValue(context, loaded);

    JSValue exports = checked(JS_GetModuleNamespace(context, module));
    handler = checked(JS_GetPropertyStr(context, exports, "handler"));
    on_configure = checked(JS_GetPropertyStr(context, handler, "configure"));
    JSValue begin = checked(JS_GetPropertyStr(context, handler, "begin"));
    for (int at = 0; at < PHASES; at++) on_begin[at] = checked(JS_GetPropertyStr(context, begin, PHASE_NAMES[at]));
    JS_FreeValue(context, begin);
    on_chunk = checked(JS_GetPropertyStr(context, handler, "chunk"));
    on_cancel = checked(JS_GetPropertyStr(context, handler, "cancel"));
    on_over = checked(JS_GetPropertyStr(context, handler, "over"));
    on_failed = checked(JS_GetPropertyStr(context, handler, "failed"));
    on_unhandled = checked(JS_GetPropertyStr(context, handler, "unhandled"));
    on_measured = checked(JS_GetPropertyStr(context, handler, "measured"));
    after = checked(JS_GetPropertyStr(context, handler, "after"));
    is_due = JS_NewAtom(context, "isDue");
    JS_FreeValue(context, exports);
    JS_RunGC(runtime);
    size_t used = runtime->malloc_state.malloc_size;
    JS_SetGCThreshold(runtime, used + used / 2);
    // Room until the next collection: an instance whose memory has not grown can be put back to where it began.
    free(malloc(used / 2 + SPARE_BYTES));
    clear_freed();
    return __builtin_frame_address(0);
}

/* Functions of the handler */

EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_size, size_t alignment, size_t size)
{
    if (size == 0) {
        // An encoding that is tried first may leave nothing.
        if (old_size > 0) free(old);
        return (void *)alignment;
    }
    void *made = realloc(old_size == 0 ? NULL : old, size);
    if (made == NULL) __builtin_trap();
    return made;
}

static void keep_answer(JSValue value)
{
    if (JS_VALUE_GET_TAG(value) == JS_TAG_STRING_ROPE) value = js_linearize_string_rope(context, value);
    if (!read_text(context, checked(value), &answer.text)) give_up();
    answer.value = value;
    answer.result.data = (uint8_t *)answer.text.data;
    answer.result.length = answer.text.length;
}

/** A text that came in. */
static JSValue take_text(char *data, size_t length)
{
    JSValue value = checked(JS_NewStringLen(context, data, length));
    if (length > 0) free(data);
    return value;
}

/** The call's answer as an export returns it: a pointer and a length. */
static void *answered(void)
{
    leave();
    // What was held back when another call had been answered already is that one's.
    if (held.is_there && (!JS_IsUndefined(own) || held.call != entered) && !start_held(context)) give_up();
    if (JS_IsUndefined(own)) own = held.is_there ? start_in_answer() : JS_DupValue(context, pending);
    JSValue due = checked(JS_GetProperty(context, after, is_due));
    if (JS_ToBool(context, due)) own = checked(call_handler(on_measured, 1, &own));
    keep_answer(own);
    return &answer.result.data;
}

EXPORT(HANDLER "configure") void *handler_configure(char *config, size_t length)
{
    JSValue given[] = {take_text(config, length)};
    enter(0);
    JSValue value = call_handler(on_configure, 1, given);
    answer.result.is_error = JS_IsException(value);
    if (answer.result.is_error) {
        JSValue thrown = JS_GetException(context);
        // Texts are thrown on purpose.
        if (!JS_IsString(thrown)) {
            JS_Throw(context, thrown);
            give_up();
        }
        keep_answer(thrown);
    } else {
        answer.text.owned = NULL;
        answer.value = value;
    }
    return &answer.result;
}

EXPORT(HANDLER "begin") void *handler_begin(uint32_t call, uint32_t phase, char *head, size_t length)
{
    JSValue given[] = {JS_NewUint32(context, call), take_text(head, length)};
    enter(call);
    take_returned(call_handler(on_begin[phase], countof(given), given));
    return answered();
}

EXPORT(HANDLER "resume")
void *handler_resume(uint32_t call, uint32_t number, char *outcome, size_t length, uint8_t *payload, size_t size)
{
    JSValue given[] = {take_text(outcome, length), checked(take_bytes(context, payload, size))};
    enter(call);
    struct waiting *place = find(&operations, number);
    // One that is not known was given up meanwhile.
    if (place != NULL) {
        struct waiting operation = take(&operations, place);
        JSValue value = JS_Call(context, operation.function, JS_UNDEFINED, countof(given), (JSValueConst *)given);
        bool is_thrown = JS_IsException(value);
        if (is_thrown) value = JS_GetException(context);
        fulfill_or_reject_promise(context, operation.promise, value, is_thrown);
        JS_FreeValue(context, value);
        free_waiting(context, &operation);
    }
    for (size_t at = 0; at < countof(given); at++) JS_FreeValue(context, given[at]);
    return answered();
}

EXPORT(HANDLER "chunk") void *handler_chunk(uint32_t call, uint32_t side, uint8_t *bytes, size_t length, uint32_t is_end)
{
    JSValue given[] = {
        JS_NewUint32(context, call),
        JS_DupValue(context, sides[side]),
        checked(take_bytes(context, bytes, length)),
        JS_NewBool(context, is_end),
    };
    enter(call);
    take_returned(call_handler(on_chunk, countof(given), given));
    return answered();
}

EXPORT(HANDLER "cancel") void handler_cancel(uint32_t call)
{
    JSValue given = JS_NewUint32(context, call);
    enter(call);
    JS_FreeValue(context, checked(call_handler(on_cancel, 1, &given)));
    leave();
    if (held.is_there && !start_held(context)) give_up();
    given = JS_NewUint32(context, call);
    JS_FreeValue(context, checked(call_handler(on_over, 1, &given)));
    JS_FreeValue(context, own);
}
