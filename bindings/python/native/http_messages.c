#include "http_messages.h"

#include "http_names.h"

#ifdef Py_GIL_DISABLED
#define HOLD(messages) PyMutex_Lock(&(messages)->guard)
#define LET_GO(messages) PyMutex_Unlock(&(messages)->guard)
#else
#define HOLD(messages) ((void)(messages))
#define LET_GO(messages) ((void)(messages))
#endif

enum { MICRO = 1000000 };
enum { STATUSES = 1000, NOT_MODIFIED = 304 };
enum { MOST_OWN_FIELDS = 4 };

/* The fields that are said of a hit, beside x-cache: their names as ASGI and WSGI have them. */
enum own { OWN_AGE, OWN_SINCE, OWN_STATUS, OWN_NAMES };
static PyObject *own_names[OWN_NAMES], *own_name_texts[OWN_NAMES];

static PyObject *new_reference(PyObject *object)
{
    Py_XINCREF(object);
    return object;
}

static void drop(struct http_ready *ready)
{
    Py_XDECREF(ready->block);
    Py_XDECREF(ready->fields);
    Py_XDECREF(ready->body);
    http_lent_end(&ready->lent);
}

/* ---- What is made once ---- */

/* The lines of all statuses below 1000, as Python has them. */
static PyObject *status_lines_of_python(void)
{
    PyObject *module = PyImport_ImportModule("catzilla_cache.http.wsgi_messages");
    PyObject *lines = module == NULL ? NULL : PyObject_GetAttrString(module, "STATUS_LINES");
    Py_XDECREF(module);
    if (lines != NULL && (!PyTuple_CheckExact(lines) || PyTuple_Size(lines) != STATUSES)) {
        PyErr_SetString(PyExc_TypeError, "STATUS_LINES is a tuple of 1000 lines");
        Py_CLEAR(lines);
    }
    return lines;
}

int http_messages_begin(struct http_messages *messages, PyObject *cache_name, unsigned tells)
{
    messages->ready = PyMem_Calloc(READY, sizeof *messages->ready);
    if (messages->ready == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    Py_INCREF(cache_name);
    messages->cache_name = cache_name;
    messages->tells = tells;
    messages->own_fields = 1 + (tells & TELLS_X_CACHE ? 2 : 0) + (tells & TELLS_STATUS ? 1 : 0);
    messages->hit = Py_BuildValue("(yy)", "x-cache", "HIT");
    messages->hit_text = Py_BuildValue("(ss)", "x-cache", "HIT");
    messages->status_lines = status_lines_of_python();
    return messages->hit == NULL || messages->hit_text == NULL || messages->status_lines == NULL ? -1 : 0;
}

void http_messages_end(struct http_messages *messages)
{
    for (int at = 0; messages->ready != NULL && at < READY; at++)
        drop(&messages->ready[at]);
    PyMem_Free(messages->ready);
    messages->ready = NULL;
    for (int at = 0; at < NAMES; at++)
        Py_CLEAR(messages->names[at]);
    Py_CLEAR(messages->cache_name);
    Py_CLEAR(messages->status_lines);
    Py_CLEAR(messages->hit);
    Py_CLEAR(messages->hit_text);
}

int http_messages_traverse(struct http_messages *messages, visitproc visit, void *arg)
{
    int outcome = 0;
    for (int at = 0; messages->ready != NULL && at < READY && outcome == 0; at++)
        outcome = http_lent_traverse(&messages->ready[at].lent, visit, arg);
    return outcome;
}

void http_messages_break_cycles(struct http_messages *messages)
{
    for (int at = 0; messages->ready != NULL && at < READY; at++)
        http_lent_end(&messages->ready[at].lent);
}

/* ---- Seconds ---- */

static int64_t whole_seconds(int64_t from, int64_t to)
{
    /* The difference of what a foreign cache has stored may be beyond a number. */
    int64_t difference;
    if (__builtin_sub_overflow(to, from, &difference))
        return from < to ? INT64_MAX / MICRO : 0;
    return difference > 0 ? difference / MICRO : 0;
}

static struct http_seconds seconds_of(const struct http_stored *stored, int64_t now)
{
    return (struct http_seconds){whole_seconds(stored->born, now), whole_seconds(stored->stored_at, now),
                                 whole_seconds(now, stored->fresh_until)};
}

static int are_same(struct http_seconds one, struct http_seconds other)
{
    return one.age == other.age && one.since == other.since && one.left == other.left;
}

/* Bytes, or the text that stands for them in WSGI. */
static PyObject *said(unsigned kind, const void *data, size_t len)
{
    return kind & KIND_WSGI ? PyUnicode_DecodeLatin1(data, (Py_ssize_t)len, NULL)
                            : PyBytes_FromStringAndSize(data, (Py_ssize_t)len);
}

static PyObject *digits(unsigned kind, int64_t number)
{
    char text[24];
    char *at = text + sizeof text;
    do
        *--at = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    return said(kind, at, (size_t)(text + sizeof text - at));
}

/* What Cache-Status says. */
static PyObject *status_of(const struct http_messages *messages, unsigned kind, int64_t left)
{
    const char *name = PyBytes_AsString(messages->cache_name);
    return kind & KIND_WSGI ? PyUnicode_FromFormat("%s; hit; ttl=%lld", name, (long long)left)
                            : PyBytes_FromFormat("%s; hit; ttl=%ld", name, (long)left);
}

/* ---- Fields ---- */

/* (name, value); takes the value over. */
static PyObject *field_of(PyObject *name, PyObject *value)
{
    if (name == NULL || value == NULL) {
        Py_XDECREF(value);
        return NULL;
    }
    PyObject *field = PyTuple_Pack(2, name, value);
    Py_DECREF(value);
    return field;
}

/* A name, shared with other responses. */
static PyObject *name_of(struct http_messages *messages, const unsigned char *data, size_t len)
{
    if (len > LONGEST_NAME)
        return PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)len);
    PyObject **slot = &messages->names[http_hash(data, len) % NAMES], *name;
    HOLD(messages);
    name = new_reference(*slot);
    LET_GO(messages);
    if (name != NULL && (size_t)PyBytes_Size(name) == len && memcmp(PyBytes_AsString(name), data, len) == 0)
        return name;
    Py_XDECREF(name);
    name = PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)len);
    if (name != NULL) {
        PyObject *before;
        Py_INCREF(name);
        HOLD(messages);
        before = *slot;
        *slot = name;
        LET_GO(messages);
        Py_XDECREF(before);
    }
    return name;
}

/* Fills the end of a list, from `at`, with what is said of this hit. */
static int fill_own(struct http_messages *messages, PyObject *fields, Py_ssize_t at, const struct http_ready *ready)
{
    unsigned kind = ready->kind;
    PyObject *const *names = kind & KIND_WSGI ? own_name_texts : own_names;
    PyObject *own[MOST_OWN_FIELDS] = {field_of(names[OWN_AGE], digits(kind, ready->seconds.age))};
    Py_ssize_t count = 1;
    if (messages->tells & TELLS_X_CACHE) {
        own[count++] = new_reference(kind & KIND_WSGI ? messages->hit_text : messages->hit);
        own[count++] = field_of(names[OWN_SINCE], digits(kind, ready->seconds.since));
    }
    if (messages->tells & TELLS_STATUS)
        own[count++] = field_of(names[OWN_STATUS], status_of(messages, kind, ready->seconds.left));
    int failed = 0;
    for (Py_ssize_t place = 0; place < count; place++) {
        failed |= own[place] == NULL;
        if (PyList_SetItem(fields, at + place, own[place]) < 0)
            failed = 1;
    }
    return failed ? -1 : 0;
}

static int is_one_of(const char *const *names, const struct http_stored_field *field)
{
    for (; *names != NULL; names++)
        if (strlen(*names) == field->name_len && memcmp(*names, field->name, field->name_len) == 0)
            return 1;
    return 0;
}

/* Whether a stored field is not sent. */
static int is_left_out(unsigned kind, const struct http_stored_field *field)
{
    /* `_OF_THE_BODY` in `validation.py`, and `_HOP_BY_HOP` in `wsgi_messages.py`. */
    static const char *const of_the_body[] = {
        "content-length", "content-type", "content-encoding", "content-language", "content-range", "content-md5",
        "digest",         "content-digest", "repr-digest",    "accept-ranges",    NULL,
    };
    static const char *const hop_by_hop[] = {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te",
        "trailer",    "trailers",   "transfer-encoding",  "upgrade",             NULL,
    };
    return (kind & KIND_NOT_MODIFIED && is_one_of(of_the_body, field)) || (kind & KIND_WSGI && is_one_of(hop_by_hop, field));
}

/* (name, value) */
static PyObject *read_field(struct http_messages *messages, unsigned kind, const struct http_stored_field *field)
{
    PyObject *name = kind & KIND_WSGI ? said(kind, field->name, field->name_len) : name_of(messages, field->name, field->name_len);
    PyObject *made = field_of(name, said(kind, field->value, field->value_len));
    Py_XDECREF(name);
    return made;
}

/* How many of the stored fields are sent; or -1: they do not add up. */
static Py_ssize_t count_fields(unsigned kind, const struct http_stored *stored, const unsigned char *block)
{
    const unsigned char *at = block + STORED_HEAD, *end = block + stored->fields_end;
    struct http_stored_field field;
    Py_ssize_t count = 0;
    for (uint32_t line = 0; line < stored->lines; line++) {
        if (!http_stored_field(&at, end, &field))
            return -1;
        count += !is_left_out(kind, &field);
    }
    return at == end ? count : -1;
}

/* The stored fields, and room behind them. NULL without an exception: they do not add up. */
static PyObject *read_fields(struct http_messages *messages, unsigned kind, const struct http_stored *stored,
                             const unsigned char *block)
{
    const unsigned char *at = block + STORED_HEAD, *end = block + stored->fields_end;
    struct http_stored_field field;
    Py_ssize_t count = count_fields(kind, stored, block);
    PyObject *fields = count < 0 ? NULL : PyList_New(count + messages->own_fields);
    for (Py_ssize_t place = 0; fields != NULL && place < count;) {
        http_stored_field(&at, end, &field);
        if (is_left_out(kind, &field))
            continue;
        PyObject *made = read_field(messages, kind, &field);
        if (made == NULL || PyList_SetItem(fields, place++, made) < 0)
            Py_CLEAR(fields);
    }
    return fields;
}

/* ---- What is kept ready ---- */

static struct http_ready *slot_of(struct http_messages *messages, unsigned kind, const struct http_stored *stored)
{
    /* Times of storing tell responses apart. Any odd number whose bits look random. */
    uint64_t hash = ((uint64_t)stored->stored_at * UINT64_C(0x9e3779b97f4a7c15)) >> 32;
    return &messages->ready[(hash ^ kind) & (READY - 1)];
}

PyObject *http_messages_body(struct http_messages *messages, unsigned kind, const struct http_stored *stored, const void *data,
                             size_t len)
{
    if (len > 0 && len <= LONGEST_READY_BODY) {
        struct http_ready *slot = slot_of(messages, kind, stored);
        PyObject *body;
        HOLD(messages);
        body = new_reference(slot->body);
        LET_GO(messages);
        /* To compare costs less than to copy, and whatever led here, what is sent is what is stored. */
        if (body != NULL && (size_t)PyBytes_Size(body) == len && memcmp(PyBytes_AsString(body), data, len) == 0)
            return body;
        Py_XDECREF(body);
    }
    return PyBytes_FromStringAndSize(data, (Py_ssize_t)len);
}

static int is_of(const struct http_ready *ready, unsigned kind, const struct http_stored *stored, const unsigned char *block)
{
    return ready->block != NULL && ready->kind == kind && (size_t)PyBytes_Size(ready->block) == stored->fields_end &&
           memcmp(PyBytes_AsString(ready->block), block, stored->fields_end) == 0;
}

/* Takes what is kept of this very head, with references of its own. Whether it is worth to be kept: served before. */
static int find_ready(struct http_messages *messages, struct http_ready *slot, unsigned kind, const struct http_stored *stored,
                      const unsigned char *block, struct http_ready *found)
{
    int was_seen;
    HOLD(messages);
    was_seen = slot->seen == stored->stored_at;
    slot->seen = stored->stored_at;
    *found = *slot;
    found->lent = (struct http_lent){.is_over = slot->lent.is_over};
    Py_XINCREF(found->block);
    Py_XINCREF(found->fields);
    Py_XINCREF(found->body);
    LET_GO(messages);
    if (is_of(found, kind, stored, block))
        return 1;
    drop(found);
    *found = (struct http_ready){.seen = stored->stored_at};
    return was_seen;
}

static void keep_ready(struct http_messages *messages, struct http_ready *slot, const struct http_ready *made)
{
    struct http_ready before;
    Py_INCREF(made->block);
    Py_INCREF(made->fields);
    Py_XINCREF(made->body);
    HOLD(messages);
    before = *slot;
    *slot = *made;
    LET_GO(messages);
    drop(&before);
}

/* ---- The answer ---- */

static PyObject *copy_of(PyObject *fields)
{
    return PyList_GetSlice(fields, 0, PyList_Size(fields));
}

/* The fields as they are sent now: the caller's own list. `made` has what is ready, and then what there is to keep; `has_news`
 * says when that is something else. NULL as in `read_fields`. */
static PyObject *fields_now(struct http_messages *messages, int is_kept, const struct http_stored *stored,
                            const unsigned char *block, int64_t now, struct http_ready *made, int *has_news)
{
    struct http_seconds seconds = seconds_of(stored, now);
    if (made->fields != NULL && are_same(made->seconds, seconds))
        return copy_of(made->fields);
    PyObject *fields = made->fields != NULL ? copy_of(made->fields) : read_fields(messages, made->kind, stored, block);
    if (fields == NULL)
        return NULL;
    made->seconds = seconds;
    if (fill_own(messages, fields, PyList_Size(fields) - messages->own_fields, made) < 0) {
        Py_DECREF(fields);
        return NULL;
    }
    if (!is_kept)
        return fields;
    /* What is kept is nobody's to change, so the caller has a copy. */
    Py_XDECREF(made->fields);
    made->fields = fields;
    if (made->block == NULL &&
        (made->block = PyBytes_FromStringAndSize((const char *)block, (Py_ssize_t)stored->fields_end)) == NULL)
        return NULL;
    *has_news = 1;
    return copy_of(fields);
}

/* Keeps a body that is short enough; but not an empty one, which HEAD is sent: it would take the place of what GET is sent. */
static void keep_body(struct http_ready *made, PyObject *body, int *has_news)
{
    Py_ssize_t len = PyBytes_Size(body);
    if (made->body == body || len == 0 || len > LONGEST_READY_BODY)
        return;
    Py_XDECREF(made->body);
    made->body = new_reference(body);
    *has_news = 1;
}

/* The messages that the slot has lent, if they are what answers this and have come back. */
static int find_lent(struct http_ready *slot, unsigned kind, const struct http_stored *stored, const unsigned char *block,
                     PyObject *body, int64_t now, struct http_answer *answer)
{
    if (!HTTP_CAN_LEND || slot->lent.start == NULL || !is_of(slot, kind, stored, block) ||
        !are_same(slot->seconds, seconds_of(stored, now)) ||
        !http_lent_again(&slot->lent, slot->fields, body, &answer->start, &answer->body))
        return 0;
    slot->seen = stored->stored_at;
    answer->fields = NULL;
    return 1;
}

/* Lends the messages of an answer, if their parts are kept. */
static void lend(struct http_ready *slot, const struct http_ready *made, PyObject *body, PyObject *start, PyObject *message)
{
    if (HTTP_CAN_LEND && made->fields != NULL && slot->fields == made->fields && PyBytes_Size(body) <= LONGEST_READY_BODY)
        http_lent_begin(&slot->lent, made->fields, body, start, message);
}

int http_messages_make(struct http_messages *messages, unsigned kind, const struct http_stored *stored, const unsigned char *block,
                       PyObject *body, int64_t now, struct http_answer *answer)
{
    struct http_ready *slot = slot_of(messages, kind, stored);
    if (find_lent(slot, kind, stored, block, body, now, answer)) {
        Py_DECREF(body);
        return 1;
    }
    struct http_ready made = {.seen = 0};
    PyObject *start = NULL, *message = NULL;
    unsigned status = kind & KIND_NOT_MODIFIED ? NOT_MODIFIED : stored->status;
    int has_news = 0, is_kept = stored->fields_end <= LONGEST_READY && stored->lines <= MOST_READY_LINES &&
                                find_ready(messages, slot, kind, stored, block, &made);
    made.kind = kind;
    made.seen = stored->stored_at;
    PyObject *fields = fields_now(messages, is_kept, stored, block, now, &made, &has_news);
    if (fields != NULL && kind & KIND_WSGI) {
        start = new_reference(PyTuple_GetItem(messages->status_lines, (Py_ssize_t)status));
        message = start == NULL ? NULL : new_reference(body);
    } else if (fields != NULL) {
        start = http_asgi_start(status, fields);
        message = start == NULL ? NULL : http_asgi_body(body);
        Py_CLEAR(fields);
    }
    if (message != NULL && is_kept) {
        keep_body(&made, body, &has_news);
        if (has_news)
            keep_ready(messages, slot, &made);
        if (!(kind & KIND_WSGI))
            lend(slot, &made, body, start, message);
    }
    drop(&made);
    Py_DECREF(body);
    *answer = (struct http_answer){start, fields, message};
    if (message != NULL)
        return 1;
    Py_XDECREF(start);
    Py_XDECREF(fields);
    return PyErr_Occurred() ? -1 : 0;
}

int http_messages_prepare(void)
{
    static const char *const own[OWN_NAMES] = {"age", "x-cache-time", "cache-status"};
    for (int at = 0; at < OWN_NAMES; at++)
        if ((own_names[at] == NULL && (own_names[at] = PyBytes_FromString(own[at])) == NULL) ||
            (own_name_texts[at] == NULL && (own_name_texts[at] = PyUnicode_InternFromString(own[at])) == NULL))
            return -1;
    return http_asgi_prepare();
}
