#include "http_key.h"

#include "http_text.h"

#ifdef Py_GIL_DISABLED
#define BEGIN_READING(object) Py_BEGIN_CRITICAL_SECTION(object)
#define END_READING() Py_END_CRITICAL_SECTION()
/* A list within a list could be changed by another thread: only what cannot change is read. */
#define CAN_BE_LIST 0
#else
#define BEGIN_READING(object) {
#define END_READING() }
#define CAN_BE_LIST 1
#endif

/* How the value of a key field is normalised: `normalised_value` in `keys.py`. */
enum form { FORM_AS_IT_IS, FORM_WITHOUT_BLANKS, FORM_LOWER_WITHOUT_BLANKS };

/* Requests with one of these are for Python to think about. */
static const char *const REFUSED[] = {
    "authorization",
    "cache-control",
    "expect",
    "forwarded",
    "if-match",
    "if-modified-since",
    "if-none-match",
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

enum part { PART_TYPE, PART_METHOD, PART_SCHEME, PART_PATH, PART_RAW_PATH, PART_QUERY, PART_HEADERS, PARTS };

static const char *const PART_NAMES[PARTS] = {"type", "method", "scheme", "path", "raw_path", "query_string", "headers"};
static PyObject *part_names[PARTS];

/* The line of a key field. Its bytes belong to the scope. */
struct line {
    const unsigned char *value;
    size_t len;
    int number;
};

struct lines {
    size_t count;
    struct line of[MOST_LINES];
    const unsigned char *host;
    size_t host_len;
};

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
    size_t refused = sizeof REFUSED / sizeof REFUSED[0];
    maker->forms = PyMem_Malloc((size_t)count + 1);
    if (maker->forms == NULL || http_names_begin(&maker->fields, (size_t)count + refused + 2) < 0 ||
        http_names_begin(&maker->ignored, (size_t)PyObject_Size(ignored)) < 0) {
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
    for (size_t at = 0; at < refused; at++)
        http_names_put(&maker->fields, REFUSED[at], strlen(REFUSED[at]))->role = ROLE_REFUSED;
    http_names_put(&maker->fields, "host", 4)->role = ROLE_HOST;
    http_names_put(&maker->fields, "content-length", 14)->role = ROLE_LENGTH;
    return 0;
}

void http_key_end(struct http_key_maker *maker)
{
    http_names_end(&maker->fields);
    http_names_end(&maker->ignored);
    PyMem_Free(maker->forms);
    maker->forms = NULL;
    Py_CLEAR(maker->prefix);
    Py_CLEAR(maker->key_fields);
    Py_CLEAR(maker->ignored_names);
}

/* ---- Fields ---- */

/* A field line of the request. 0: it is not an ordinary one. */
static int read_line(const struct http_key_maker *maker, PyObject *name, PyObject *value, struct lines *lines)
{
    char *name_data, *data;
    Py_ssize_t name_len, len;
    if (!PyBytes_CheckExact(name) || !PyBytes_CheckExact(value))
        return 0;
    PyBytes_AsStringAndSize(name, &name_data, &name_len);
    const struct http_name *found = http_names_find(&maker->fields, (unsigned char *)name_data, (size_t)name_len);
    if (found == NULL)
        return !has_capitals((unsigned char *)name_data, (size_t)name_len);
    if (found->role == ROLE_REFUSED)
        return 0;
    PyBytes_AsStringAndSize(value, &data, &len);
    if (found->role == ROLE_HOST) {
        if (lines->host != NULL)
            return 0;
        lines->host = (unsigned char *)data;
        lines->host_len = (size_t)len;
    } else if (found->role == ROLE_LENGTH && (len != 1 || data[0] != '0')) {
        return 0;
    }
    if (found->number == NO_NUMBER)
        return 1;
    if (lines->count == MOST_LINES)
        return 0;
    /* By number, and lines of one field in the order in which they came. */
    size_t place = lines->count++;
    while (place > 0 && lines->of[place - 1].number > found->number) {
        lines->of[place] = lines->of[place - 1];
        place--;
    }
    lines->of[place] = (struct line){(unsigned char *)data, (size_t)len, found->number};
    return 1;
}

static int read_pair(const struct http_key_maker *maker, PyObject *pair, struct lines *lines)
{
    if (PyTuple_CheckExact(pair))
        return PyTuple_Size(pair) == 2 && read_line(maker, PyTuple_GetItem(pair, 0), PyTuple_GetItem(pair, 1), lines);
    if (CAN_BE_LIST && PyList_CheckExact(pair))
        return PyList_Size(pair) == 2 && read_line(maker, PyList_GetItem(pair, 0), PyList_GetItem(pair, 1), lines);
    return 0;
}

static int read_lines(const struct http_key_maker *maker, PyObject *headers, struct lines *lines)
{
    lines->count = 0;
    lines->host = NULL;
    if (PyList_CheckExact(headers)) {
        Py_ssize_t count = PyList_Size(headers);
        for (Py_ssize_t at = 0; at < count; at++)
            if (!read_pair(maker, PyList_GetItem(headers, at), lines))
                return 0;
    } else if (PyTuple_CheckExact(headers)) {
        Py_ssize_t count = PyTuple_Size(headers);
        for (Py_ssize_t at = 0; at < count; at++)
            if (!read_pair(maker, PyTuple_GetItem(headers, at), lines))
                return 0;
    } else {
        return 0;
    }
    return lines->host != NULL;
}

/* The value of one line, normalised, into so many bytes. Its length; or -1: too long. */
static Py_ssize_t put_value(unsigned char *to, size_t room, const struct line *line, enum form form)
{
    const unsigned char *data = line->value, *end = data + line->len;
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
    while (data < end) {
        uint64_t word;
        for (; end - data >= WORD && room - len >= WORD && !has_blank(word = word_at(data)); data += WORD, len += WORD) {
            word = is_lower ? lower_word(word) : word;
            memcpy(to + len, &word, WORD);
        }
        /* Up to the next blank, and it. */
        for (int left = WORD; left > 0 && data < end; left--, data++) {
            if (is_blank(*data)) {
                data++;
                break;
            }
            if (len == room)
                return -1;
            to[len++] = is_lower ? lower(*data) : *data;
        }
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
static Py_ssize_t put_combined(unsigned char *to, size_t room, const struct line *first, const struct line *end, enum form form)
{
    size_t len = 0;
    for (const struct line *line = first; line < end; line++) {
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
static int put_fields(struct http_writer *out, const struct http_key_maker *maker, const struct lines *lines)
{
    const struct line *line = lines->of, *last = lines->of + lines->count;
    unsigned char *to = out->at, *limit = to + LONGEST_FIELDS;
    while (line < last) {
        const struct line *first = line;
        size_t longest = 0;
        for (; line < last && line->number == first->number; line++)
            longest += line->len + 2;
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

/* ---- The scope ---- */

/* A new reference to a part of the scope; NULL when there is none. */
static PyObject *part_of(PyObject *scope, enum part part)
{
    PyObject *found;
#ifdef Py_GIL_DISABLED
    if (PyDict_GetItemRef(scope, part_names[part], &found) < 0)
        PyErr_Clear();
#else
    found = PyDict_GetItemWithError(scope, part_names[part]);
    if (found != NULL)
        Py_INCREF(found);
    else if (PyErr_Occurred())
        PyErr_Clear();
#endif
    return found;
}

static inline int is_text(PyObject *object, const char *text)
{
    return object != NULL && PyUnicode_CheckExact(object) && PyUnicode_CompareWithASCIIString(object, text) == 0;
}

/* What stands before the fields: the path and the query, then the origin. */
static int put_target(struct http_writer *out, const struct http_key_maker *maker, PyObject *const *parts, int is_secure,
                      const struct lines *lines)
{
    char *data;
    Py_ssize_t len;
    http_put(out, maker->prefix_data, maker->prefix_len);
    http_put(out, "GET ", 4);
    PyBytes_AsStringAndSize(parts[PART_RAW_PATH], &data, &len);
    if (!http_put_path(out, (unsigned char *)data, (size_t)len))
        return 0;
    if (parts[PART_QUERY] != NULL) {
        PyBytes_AsStringAndSize(parts[PART_QUERY], &data, &len);
        if (len > 0 && !http_put_query(out, (unsigned char *)data, (size_t)len, &maker->ignored))
            return 0;
    }
    if (is_secure)
        http_put(out, " https://", 9);
    else
        http_put(out, " http://", 8);
    if (!http_put_authority(out, lines->host, lines->host_len, is_secure))
        return 0;
    *out->at++ = ' ';
    return 1;
}

static int make(const struct http_key_maker *maker, PyObject *const *parts, struct http_key *key)
{
    if (!is_text(parts[PART_TYPE], "http"))
        return 0;
    key->is_head = is_text(parts[PART_METHOD], "HEAD");
    if (!key->is_head && !is_text(parts[PART_METHOD], "GET"))
        return 0;
    int is_secure = is_text(parts[PART_SCHEME], "https");
    if (!is_secure && parts[PART_SCHEME] != NULL && !is_text(parts[PART_SCHEME], "http"))
        return 0;
    PyObject *path = parts[PART_PATH], *raw_path = parts[PART_RAW_PATH], *query = parts[PART_QUERY],
             *headers = parts[PART_HEADERS];
    if (path == NULL || !PyUnicode_CheckExact(path) || raw_path == NULL || !PyBytes_CheckExact(raw_path) || headers == NULL ||
        (query != NULL && !PyBytes_CheckExact(query)))
        return 0;
    Py_ssize_t len;
    const char *data = PyUnicode_AsUTF8AndSize(path, &len);
    if (data == NULL) {
        PyErr_Clear();
        return 0;
    }
    if (!http_is_plain_path((const unsigned char *)data, (size_t)len))
        return 0;
    struct http_writer out = {key->data};
    struct lines lines;
    int made;
    BEGIN_READING(headers);
    made = read_lines(maker, headers, &lines) && put_target(&out, maker, parts, is_secure, &lines);
    made = made && put_fields(&out, maker, &lines);
    END_READING();
    key->len = out.at - key->data;
    return made;
}

int http_key_make(const struct http_key_maker *maker, PyObject *scope, struct http_key *key)
{
    PyObject *parts[PARTS];
    if (!maker->is_usable || !PyDict_CheckExact(scope))
        return 0;
    for (int part = 0; part < PARTS; part++)
        parts[part] = part_of(scope, part);
    int made = make(maker, parts, key);
    for (int part = 0; part < PARTS; part++)
        Py_XDECREF(parts[part]);
    return made;
}

int http_key_prepare(void)
{
    for (int part = 0; part < PARTS; part++)
        if (part_names[part] == NULL && (part_names[part] = PyUnicode_InternFromString(PART_NAMES[part])) == NULL)
            return -1;
    return 0;
}
