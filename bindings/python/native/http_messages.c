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
enum { OWN_FIELDS = 4 };

static PyObject *str_type, *str_status, *str_headers, *str_body;
static PyObject *start_type, *bytes_age, *bytes_x_cache_time, *bytes_cache_status;
/* {"type": "http.response.body"} */
static PyObject *body_message;

static PyObject *new_reference(PyObject *object)
{
    Py_XINCREF(object);
    return object;
}

/* ---- What is made once ---- */

int http_messages_begin(struct http_messages *messages, PyObject *cache_name)
{
    messages->ready = PyMem_Calloc(READY, sizeof *messages->ready);
    if (messages->ready == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    messages->hit = Py_BuildValue("(yy)", "x-cache", "HIT");
    Py_INCREF(cache_name);
    messages->status_begin = cache_name;
    PyBytes_ConcatAndDel(&messages->status_begin, PyBytes_FromString("; hit; ttl="));
    return messages->hit == NULL || messages->status_begin == NULL ? -1 : 0;
}

void http_messages_end(struct http_messages *messages)
{
    for (int at = 0; messages->ready != NULL && at < READY; at++) {
        Py_XDECREF(messages->ready[at].block);
        Py_XDECREF(messages->ready[at].start);
        Py_XDECREF(messages->ready[at].fields);
    }
    PyMem_Free(messages->ready);
    messages->ready = NULL;
    for (int at = 0; at < NAMES; at++)
        Py_CLEAR(messages->names[at]);
    Py_CLEAR(messages->hit);
    Py_CLEAR(messages->status_begin);
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

static PyObject *digits(int64_t number)
{
    char text[24];
    char *at = text + sizeof text;
    do
        *--at = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    return PyBytes_FromStringAndSize(at, text + sizeof text - at);
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
static int fill_own(struct http_messages *messages, PyObject *fields, Py_ssize_t at, const struct http_ready *said)
{
    PyObject *left = digits(said->left), *status = new_reference(messages->status_begin);
    if (left == NULL) {
        Py_DECREF(status);
        return -1;
    }
    PyBytes_ConcatAndDel(&status, left);
    PyObject *own[OWN_FIELDS] = {
        field_of(bytes_age, digits(said->age)),
        new_reference(messages->hit),
        field_of(bytes_x_cache_time, digits(said->since)),
        field_of(bytes_cache_status, status),
    };
    int failed = 0;
    for (int place = 0; place < OWN_FIELDS; place++) {
        failed |= own[place] == NULL;
        if (PyList_SetItem(fields, at + place, own[place]) < 0)
            return -1;
    }
    return failed ? -1 : 0;
}

/* The stored fields, and room behind them. NULL without an exception: they do not add up. */
static PyObject *read_fields(struct http_messages *messages, const struct http_stored *stored, const unsigned char *block)
{
    const unsigned char *at = block + STORED_HEAD, *end = block + stored->fields_end;
    struct http_stored_field field;
    /* Each has a head of its own, so the number of them is bounded before anything is made. */
    if (stored->lines > (stored->fields_end - STORED_HEAD) / STORED_FIELD_HEAD)
        return NULL;
    PyObject *fields = PyList_New((Py_ssize_t)stored->lines + OWN_FIELDS);
    for (uint32_t line = 0; fields != NULL && line < stored->lines; line++) {
        PyObject *made = NULL;
        if (http_stored_field(&at, end, &field)) {
            PyObject *name = name_of(messages, field.name, field.name_len);
            made = field_of(name, PyBytes_FromStringAndSize((const char *)field.value, (Py_ssize_t)field.value_len));
            Py_XDECREF(name);
        }
        if (made == NULL || PyList_SetItem(fields, (Py_ssize_t)line, made) < 0)
            Py_CLEAR(fields);
    }
    if (fields != NULL && at != end)
        Py_CLEAR(fields);
    return fields;
}

/* ---- What is kept ready ---- */

static void drop(struct http_ready *ready)
{
    Py_XDECREF(ready->block);
    Py_XDECREF(ready->start);
    Py_XDECREF(ready->fields);
}

/* Takes what is kept of this very head, with references of its own. Whether it is worth to be kept: served before. */
static int find_ready(struct http_messages *messages, struct http_ready *slot, const struct http_stored *stored,
                      const unsigned char *block, struct http_ready *found)
{
    int was_seen;
    HOLD(messages);
    was_seen = slot->seen == stored->stored_at;
    slot->seen = stored->stored_at;
    *found = *slot;
    Py_XINCREF(found->block);
    Py_XINCREF(found->start);
    Py_XINCREF(found->fields);
    LET_GO(messages);
    if (found->block != NULL && ((size_t)PyBytes_Size(found->block) != stored->fields_end ||
                                 memcmp(PyBytes_AsString(found->block), block, stored->fields_end) != 0)) {
        drop(found);
        found->block = NULL;
    }
    if (found->block == NULL)
        found->start = found->fields = NULL;
    return was_seen || found->block != NULL;
}

static void keep_ready(struct http_messages *messages, struct http_ready *slot, const struct http_ready *made)
{
    struct http_ready before;
    Py_INCREF(made->block);
    Py_INCREF(made->start);
    Py_INCREF(made->fields);
    HOLD(messages);
    before = *slot;
    *slot = *made;
    LET_GO(messages);
    drop(&before);
}

/* The start of a message that has everything but its fields. */
static PyObject *start_of(unsigned status)
{
    PyObject *start = PyDict_New(), *number = PyLong_FromLong((long)status);
    if (start == NULL || number == NULL || PyDict_SetItem(start, str_type, start_type) < 0 ||
        PyDict_SetItem(start, str_status, number) < 0)
        Py_CLEAR(start);
    Py_XDECREF(number);
    return start;
}

/* The fields as they are sent now: the caller's own list. `made` has what is ready, and then what there is to keep. NULL as in
 * `read_fields`. */
static PyObject *fields_now(struct http_messages *messages, struct http_ready *slot, int is_kept,
                            const struct http_stored *stored, const unsigned char *block, int64_t now, struct http_ready *made)
{
    int64_t age = whole_seconds(stored->born, now), since = whole_seconds(stored->stored_at, now),
            left = whole_seconds(now, stored->fresh_until);
    Py_ssize_t stored_lines = (Py_ssize_t)stored->lines;
    if (made->fields != NULL && made->age == age && made->since == since && made->left == left)
        return PyList_GetSlice(made->fields, 0, stored_lines + OWN_FIELDS);
    PyObject *fields =
        made->fields != NULL ? PyList_GetSlice(made->fields, 0, stored_lines + OWN_FIELDS) : read_fields(messages, stored, block);
    if (fields == NULL)
        return NULL;
    made->age = age;
    made->since = since;
    made->left = left;
    if (fill_own(messages, fields, stored_lines, made) < 0) {
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
    keep_ready(messages, slot, made);
    return PyList_GetSlice(fields, 0, stored_lines + OWN_FIELDS);
}

/* ---- Messages ---- */

static PyObject *body_of(PyObject *body)
{
    PyObject *message = PyDict_Copy(body_message);
    if (message != NULL && PyDict_SetItem(message, str_body, body) < 0)
        Py_CLEAR(message);
    return message;
}

PyObject *http_messages_make(struct http_messages *messages, const struct http_stored *stored, const unsigned char *block,
                             PyObject *body, int64_t now)
{
    /* Times of storing tell responses apart. Any odd number whose bits look random. */
    struct http_ready *slot = &messages->ready[((uint64_t)stored->stored_at * UINT64_C(0x9e3779b97f4a7c15)) >> 32 & (READY - 1)];
    struct http_ready made = {.seen = 0};
    PyObject *start = NULL, *message = NULL, *pair = NULL, *fields = NULL;
    int is_kept = stored->fields_end <= LONGEST_READY && stored->lines <= MOST_READY_LINES &&
                  find_ready(messages, slot, stored, block, &made);
    if (made.start == NULL && (made.start = start_of(stored->status)) == NULL)
        goto done;
    made.seen = stored->stored_at;
    fields = fields_now(messages, slot, is_kept, stored, block, now, &made);
    if (fields == NULL)
        goto done;
    start = PyDict_Copy(made.start);
    message = body_of(body);
    if (start != NULL && message != NULL && PyDict_SetItem(start, str_headers, fields) == 0)
        pair = PyTuple_Pack(2, start, message);
done:
    drop(&made);
    Py_XDECREF(fields);
    Py_XDECREF(start);
    Py_XDECREF(message);
    Py_DECREF(body);
    return pair;
}

int http_messages_prepare(void)
{
    const struct {
        PyObject **string;
        const char *text;
    } strings[] = {
        {&str_type, "type"},
        {&str_status, "status"},
        {&str_headers, "headers"},
        {&str_body, "body"},
        {&start_type, "http.response.start"},
    };
    const struct {
        PyObject **bytes;
        const char *text;
    } names[] = {{&bytes_age, "age"}, {&bytes_x_cache_time, "x-cache-time"}, {&bytes_cache_status, "cache-status"}};
    for (size_t at = 0; at < sizeof strings / sizeof strings[0]; at++)
        if (*strings[at].string == NULL && (*strings[at].string = PyUnicode_InternFromString(strings[at].text)) == NULL)
            return -1;
    for (size_t at = 0; at < sizeof names / sizeof names[0]; at++)
        if (*names[at].bytes == NULL && (*names[at].bytes = PyBytes_FromString(names[at].text)) == NULL)
            return -1;
    if (body_message == NULL && (body_message = Py_BuildValue("{ss}", "type", "http.response.body")) == NULL)
        return -1;
    return 0;
}
