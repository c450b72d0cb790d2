#include "http_key.h"

#include "http_text.h"

/* How the value of a key field is normalised: `normalised_value` in `keys.py`. */
enum form { FORM_AS_IT_IS, FORM_WITHOUT_BLANKS, FORM_LOWER_WITHOUT_BLANKS };

/* Requests with one of these are for Python to think about. */
static const char *const REFUSED[] = {
    "authorization",
    "cache-control",
    "expect",
    "forwarded",
    "if-match",
    "if-range",
    "if-unmodified-since",
    "pragma",
    "range",
    "transfer-encoding",
    "upgrade",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
};

/* The others that are looked at, whether they are part of the key or not. */
static const struct {
    const char *name;
    enum http_role role;
} OTHERS[] = {
    {"content-length", ROLE_LENGTH},
    {"host", ROLE_HOST},
    {"if-modified-since", ROLE_SINCE},
    {"if-none-match", ROLE_TAGS},
};

enum { REFUSED_COUNT = sizeof REFUSED / sizeof REFUSED[0], OTHERS_COUNT = sizeof OTHERS / sizeof OTHERS[0] };

/* ---- What is made once ---- */

static int put_all(struct http_names *names, PyObject *iterable)
{
    PyObject *iterator = PyObject_GetIter(iterable), *name;
    if (iterator == NULL)
        return -1;
    while ((name = PyIter_Next(iterator)) != NULL) {
        int is_bytes = PyBytes_CheckExact(name);
        if (is_bytes)
            http_names_put(names, PyBytes_AsString(name), (size_t)PyBytes_Size(name));
        Py_DECREF(name);
        if (!is_bytes) {
            PyErr_SetString(PyExc_TypeError, "the names of fields and parameters are bytes");
            break;
        }
    }
    Py_DECREF(iterator);
    return PyErr_Occurred() ? -1 : 0;
}

static enum form form_of(const char *name)
{
    static const char *const lists[] = {"accept-charset", "accept-encoding", "accept-language"};
    for (size_t at = 0; at < sizeof lists / sizeof lists[0]; at++)
        if (strcmp(name, lists[at]) == 0)
            return FORM_LOWER_WITHOUT_BLANKS;
    return strcmp(name, "accept") == 0 ? FORM_WITHOUT_BLANKS : FORM_AS_IT_IS;
}

int http_key_begin(struct http_key_maker *maker, PyObject *prefix, PyObject *key_fields, PyObject *ignored)
{
    Py_INCREF(prefix);
    maker->prefix = prefix;
    Py_INCREF(key_fields);
    maker->key_fields = key_fields;
    Py_INCREF(ignored);
    maker->ignored_names = ignored;
    Py_ssize_t count = PyTuple_Size(key_fields);
    maker->prefix_data = PyBytes_AsString(prefix);
    maker->prefix_len = (size_t)PyBytes_Size(prefix);
    maker->is_usable = maker->prefix_len <= LONGEST_PREFIX && count <= MOST_KEY_FIELDS;
    maker->forms = PyMem_Malloc((size_t)count + 1);
    if (maker->forms == NULL || http_names_begin(&maker->fields, (size_t)count + REFUSED_COUNT + OTHERS_COUNT) < 0 ||
        http_names_begin(&maker->ignored, (size_t)PyObject_Size(ignored)) < 0 || http_tails_begin(&maker->tails) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    if (put_all(&maker->fields, key_fields) < 0 || put_all(&maker->ignored, ignored) < 0)
        return -1;
    for (Py_ssize_t number = 0; number < count; number++) {
        PyObject *name = PyTuple_GetItem(key_fields, number);
        http_names_put(&maker->fields, PyBytes_AsString(name), (size_t)PyBytes_Size(name))->number = (int)number;
        maker->forms[number] = (unsigned char)form_of(PyBytes_AsString(name));
    }
    for (size_t at = 0; at < REFUSED_COUNT; at++)
        http_names_put(&maker->fields, REFUSED[at], strlen(REFUSED[at]))->role = ROLE_REFUSED;
    for (size_t at = 0; at < OTHERS_COUNT; at++)
        http_names_put(&maker->fields, OTHERS[at].name, strlen(OTHERS[at].name))->role = OTHERS[at].role;
    return http_environ_begin(maker);
}

void http_key_end(struct http_key_maker *maker)
{
    http_environ_end(maker);
    http_names_end(&maker->fields);
    http_names_end(&maker->ignored);
    http_tails_end(&maker->tails);
    PyMem_Free(maker->forms);
    maker->forms = NULL;
    Py_CLEAR(maker->prefix);
    Py_CLEAR(maker->key_fields);
    Py_CLEAR(maker->ignored_names);
}

/* ---- Fields ---- */

void http_request_begin(struct http_request *request, struct http_key *key)
{
    request->lines = 0;
    request->host.data = NULL;
    request->query.len = 0;
    request->conditions = &key->conditions;
    http_conditions_begin(&key->conditions);
}

int http_request_line(struct http_request *request, PyObject *method, PyObject *scheme)
{
    request->is_head = !http_is_text(method, WORD_GET);
    request->is_secure = scheme != NULL && !http_is_text(scheme, WORD_HTTP);
    return (!request->is_head || http_is_text(method, WORD_HEAD)) && (!request->is_secure || http_is_text(scheme, WORD_HTTPS));
}

int http_request_add(struct http_request *request, const struct http_name *field, const unsigned char *data, size_t len)
{
    switch (field->role) {
    case ROLE_REFUSED:
        return 0;
    case ROLE_HOST:
        if (request->host.data != NULL)
            return 0;
        request->host = (struct http_text){data, len};
        break;
    case ROLE_LENGTH:
        if (len != 1 || data[0] != '0')
            return 0;
        break;
    case ROLE_TAGS:
        if (!http_conditions_add_tags(request->conditions, data, len))
            return 0;
        break;
    case ROLE_SINCE:
        http_conditions_add_since(request->conditions, data, len);
        break;
    default:
        break;
    }
    if (field->number == NO_NUMBER)
        return 1;
    if (request->lines == MOST_LINES)
        return 0;
    /* By number, and lines of one field in the order in which they came. */
    size_t place = request->lines++;
    while (place > 0 && request->line[place - 1].number > field->number) {
        request->line[place] = request->line[place - 1];
        place--;
    }
    request->line[place] = (struct http_line){{data, len}, field->number};
    return 1;
}

/* The value of one line, normalised, into so many bytes. Its length; or -1: too long. */
static Py_ssize_t put_value(unsigned char *to, size_t room, const struct http_line *line, enum form form)
{
    const unsigned char *data = line->value.data, *end = data + line->value.len;
    while (data < end && is_space(*data))
        data++;
    while (end > data && is_space(end[-1]))
        end--;
    if (form == FORM_AS_IT_IS) {
        size_t len = (size_t)(end - data);
        if (len > room)
            return -1;
        memcpy(to, data, len);
        return (Py_ssize_t)len;
    }
    int is_lower = form == FORM_LOWER_WITHOUT_BLANKS;
    size_t len = 0;
    while (end - data >= WORD && room - len >= WORD) {
        uint64_t word = word_at(data), blanks = has_blank(word);
        word = is_lower ? lower_word(word) : word;
        memcpy(to + len, &word, WORD);
        /* Up to the next blank, and it; what was written of the rest is written over. */
        size_t run = blanks == 0 ? WORD : first_blank(data, blanks);
        len += run;
        data += run + (blanks != 0);
    }
    for (; data < end; data++) {
        if (is_blank(*data))
            continue;
        if (len == room)
            return -1;
        to[len++] = is_lower ? lower(*data) : *data;
    }
    return (Py_ssize_t)len;
}

static size_t put_number(unsigned char *to, size_t number)
{
    if (number < 10) {
        to[0] = (unsigned char)('0' + number);
        return 1;
    }
    size_t len = put_number(to, number / 10);
    to[len] = (unsigned char)('0' + number % 10);
    return len + 1;
}

static size_t digits_of(size_t number)
{
    size_t digits = 1;
    while ((number /= 10) != 0)
        digits++;
    return digits;
}

/* The lines of one field, from `*at` on, as one normalised value. Its length; or -1: too long. */
static Py_ssize_t put_combined(unsigned char *to, size_t room, const struct http_line *first, const struct http_line *end, enum form form)
{
    size_t len = 0;
    for (const struct http_line *line = first; line < end; line++) {
        if (line > first) {
            if (room - len < 2)
                return -1;
            to[len++] = ',';
            if (form == FORM_AS_IT_IS)
                to[len++] = ' ';
        }
        Py_ssize_t added = put_value(to + len, room - len, line, form);
        if (added < 0)
            return -1;
        len += (size_t)added;
    }
    return (Py_ssize_t)len;
}

/* The values of the key fields: `_selecting` in `keys.py`. 0: too long. */
static int put_fields(struct http_writer *out, const struct http_key_maker *maker, const struct http_request *request)
{
    const struct http_line *line = request->line, *last = line + request->lines;
    unsigned char *to = out->at, *limit = to + LONGEST_FIELDS;
    while (line < last) {
        const struct http_line *first = line;
        size_t longest = 0;
        for (; line < last && line->number == first->number; line++)
            longest += line->value.len + 2;
        longest -= 2;
        /* Up to the value a few bytes may be beyond the limit, where there is room for them. */
        if (to != out->at)
            *to++ = ',';
        to += put_number(to, (size_t)first->number);
        *to++ = '=';
        if (to > limit)
            return 0;
        /* The length stands before the value. It is rarely of fewer digits than it can be; then what was written moves. */
        size_t expected = digits_of(longest < LONGEST_FIELDS ? longest : LONGEST_FIELDS);
        unsigned char *value = to + expected + 1;
        Py_ssize_t len = put_combined(value, (size_t)(limit - to), first, line, maker->forms[first->number]);
        if (len < 0)
            return 0;
        size_t digits = put_number(to, (size_t)len);
        to += digits;
        *to++ = ':';
        if (digits < expected)
            memmove(to, value, (size_t)len);
        to += len;
        if (to > limit)
            return 0;
    }
    out->at = to;
    return 1;
}

/* ---- The key ---- */

/* Everything that the tail of a key is made of. 0: that is too long. */
static int tell(struct http_told *told, const struct http_request *request)
{
    http_told_begin(told, request->is_secure);
    int fits = http_told_add(told, 0, request->host.data, request->host.len);
    for (size_t at = 0; fits && at < request->lines; at++)
        fits = http_told_add(told, (unsigned)request->line[at].number + 1, request->line[at].value.data, request->line[at].value.len);
    return fits;
}

/* What stands behind the query: scheme, host, and the values of the key fields. 0: they are not ordinary ones. */
static int put_tail(struct http_writer *out, const struct http_key_maker *maker, const struct http_request *request)
{
    if (request->is_secure)
        http_put(out, " https://", 9);
    else
        http_put(out, " http://", 8);
    if (!http_put_authority(out, request->host.data, request->host.len, request->is_secure))
        return 0;
    *out->at++ = ' ';
    return put_fields(out, maker, request);
}

int http_key_write(const struct http_key_maker *maker, const struct http_request *request, struct http_key *key)
{
    struct http_writer out = {key->data};
    key->is_head = request->is_head;
    if (request->host.data == NULL || !http_conditions_are_ordinary(request->conditions))
        return 0;
    http_put(&out, maker->prefix_data, maker->prefix_len);
    http_put(&out, "GET ", 4);
    if (!http_put_path(&out, request->raw_path.data, request->raw_path.len))
        return 0;
    if (request->query.len > 0 && !http_put_query(&out, request->query.data, request->query.len, &maker->ignored))
        return 0;
    struct http_told told;
    int can_be_kept = tell(&told, request);
    if (!can_be_kept || !http_tails_find(&maker->tails, &told, &out)) {
        const unsigned char *tail = out.at;
        if (!put_tail(&out, maker, request))
            return 0;
        if (can_be_kept)
            http_tails_keep(&maker->tails, &told, tail, (size_t)(out.at - tail));
    }
    key->len = out.at - key->data;
    return 1;
}
