/* Reads requests from WSGI environments (PEP 3333), as `wsgi_messages.request_of` does: for `http_key.c`. */
#include "http_key.h"
#include "http_text.h"

/* Text in an environment stands for bytes, each as the character of its number. */

enum part { PART_METHOD, PART_SCHEME, PART_SCRIPT, PART_PATH, PART_REQUEST_URI, PART_RAW_URI, PART_QUERY, PARTS };

static const char *const PART_NAMES[PARTS] = {"REQUEST_METHOD", "wsgi.url_scheme", "SCRIPT_NAME", "PATH_INFO",
                                              "REQUEST_URI",    "RAW_URI",         "QUERY_STRING"};

/* ---- Names ---- */

/* The variables of the client's body, which have no prefix. Servers set them to nothing when there is none. */
static int is_bare(const unsigned char *name, size_t len)
{
    return (len == 14 && memcmp(name, "content-length", 14) == 0) || (len == 12 && memcmp(name, "content-type", 12) == 0);
}

/* Writes the name of the variable that has a field. Its length; 0: there is none. */
static size_t put_variable(char *to, const struct http_name *field)
{
    size_t prefix = is_bare(field->data, field->len) ? 0 : 5;
    memcpy(to, "HTTP_", prefix);
    for (size_t at = 0; at < field->len; at++) {
        unsigned char character = field->data[at];
        /* No variable is read as a field with this in its name. */
        if (character == '_')
            return 0;
        if (character >= 'a' && character <= 'z')
            character -= 'a' - 'A';
        to[prefix + at] = character == '-' ? '_' : (char)character;
    }
    return prefix + field->len;
}

int http_environ_begin(struct http_key_maker *maker)
{
    size_t count = PARTS, room = 0;
    for (size_t slot = 0; slot <= maker->fields.mask; slot++) {
        count += maker->fields.slots[slot].data != NULL;
        room += maker->fields.slots[slot].len + 5;
    }
    maker->variable_names = PyMem_Malloc(room);
    if (maker->variable_names == NULL || http_names_begin(&maker->variables, count) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    char *to = maker->variable_names;
    for (size_t slot = 0; slot <= maker->fields.mask; slot++) {
        const struct http_name *field = &maker->fields.slots[slot];
        size_t len = field->data == NULL ? 0 : put_variable(to, field);
        if (len == 0)
            continue;
        struct http_name *variable = http_names_put(&maker->variables, to, len);
        variable->role = field->role;
        variable->number = field->number;
        to += len;
    }
    for (int part = 0; part < PARTS; part++) {
        struct http_name *variable = http_names_put(&maker->variables, PART_NAMES[part], strlen(PART_NAMES[part]));
        variable->role = ROLE_PART;
        variable->number = part;
    }
    return 0;
}

void http_environ_end(struct http_key_maker *maker)
{
    http_names_end(&maker->variables);
    PyMem_Free(maker->variable_names);
    maker->variable_names = NULL;
}

/* Whether a variable is not what a server makes of a field, but would be read as one. */
static int is_odd_field(const unsigned char *name, size_t len)
{
    if (len < 5 || memcmp(name, "HTTP_", 5) != 0)
        return 0;
    for (size_t at = 5; at < len; at++)
        if ((name[at] >= 'a' && name[at] <= 'z') || name[at] == '-' || name[at] >= 0x80)
            return 1;
    return 0;
}

/* ---- Values ---- */

/* Text as it lies in the object, where that is what it stands for. 0: it is none, or has more than ASCII. */
static int ascii_of(PyObject *object, struct http_text *text)
{
    Py_ssize_t len;
    if (!PyUnicode_CheckExact(object))
        return 0;
    const char *data = PyUnicode_AsUTF8AndSize(object, &len);
    if (data == NULL) {
        PyErr_Clear();
        return 0;
    }
    *text = (struct http_text){(const unsigned char *)data, (size_t)len};
    return PyUnicode_GetLength(object) == len;
}

/* Appends the bytes that text stands for. 0: it is none, or too long. */
static int put_path(struct http_writer *out, const unsigned char *limit, PyObject *object)
{
    Py_ssize_t len;
    if (object == NULL)
        return 1;
    const char *data = PyUnicode_CheckExact(object) ? PyUnicode_AsUTF8AndSize(object, &len) : NULL;
    if (data == NULL) {
        PyErr_Clear();
        return 0;
    }
    const unsigned char *at = (const unsigned char *)data, *end = at + len;
    while (at < end) {
        unsigned char character = *at++;
        if (out->at == limit)
            return 0;
        if (character >= 0x80) {
            /* Two bytes in UTF-8 below the character 256, which begin with one of these. */
            if (character > 0xC3)
                return 0;
            character = (unsigned char)(character << 6 | (*at++ & 0x3F));
        }
        *out->at++ = character;
    }
    return 1;
}

/* ---- The path as it came ---- */

/* Whether a path would be written as it is. */
static int is_written_so(struct http_text path)
{
    for (size_t at = 0; at < path.len; at++) {
        unsigned char character = path.data[at];
        if ((character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
            (character >= '0' && character <= '9'))
            continue;
        if (character == 0 || strchr("/:@!$&'()*+,;=~_.-", character) == NULL)
            return 0;
    }
    return 1;
}

/* The path as it came over the wire: where the server tells that of the very path that the application sees, so, else as it would be
 * written. 0: it has to be thought about. */
static int find_raw_path(PyObject *const *parts, struct http_text path, struct http_text *raw)
{
    for (int part = PART_REQUEST_URI; part <= PART_RAW_URI; part++) {
        if (parts[part] == NULL)
            continue;
        /* Nothing, the URL of another place to a proxy, and whatever else. */
        if (!ascii_of(parts[part], raw) || raw->len == 0 || raw->data[0] != '/')
            return 0;
        size_t len = 0;
        while (len < raw->len && raw->data[len] != '?' && raw->data[len] != '#')
            len++;
        raw->len = len;
        if (http_is_encoded(*raw, path))
            return 1;
    }
    *raw = path;
    return is_written_so(path);
}

/* ---- The environment ---- */

/* A variable. 0: the request is not an ordinary one. */
static int read_variable(const struct http_key_maker *maker, PyObject *name, PyObject *value, PyObject **parts,
                         struct http_request *request)
{
    Py_ssize_t len;
    if (!PyUnicode_CheckExact(name))
        return 0;
    const unsigned char *data = (const unsigned char *)PyUnicode_AsUTF8AndSize(name, &len);
    if (data == NULL) {
        PyErr_Clear();
        return 0;
    }
    const struct http_name *found = http_names_find(&maker->variables, data, (size_t)len);
    if (found == NULL)
        return !is_odd_field(data, (size_t)len);
    if (found->role == ROLE_PART) {
        parts[found->number] = value;
        return 1;
    }
    struct http_text text;
    if (!ascii_of(value, &text))
        return 0;
    /* CONTENT_LENGTH or CONTENT_TYPE that says nothing is not there. */
    return (text.len == 0 && data[0] == 'C') || http_request_add(request, found, text.data, text.len);
}

static int read_environ(const struct http_key_maker *maker, PyObject *environ, PyObject **parts, struct http_request *request)
{
    PyObject *name, *value;
    Py_ssize_t position = 0;
    while (PyDict_Next(environ, &position, &name, &value))
        if (!read_variable(maker, name, value, parts, request))
            return 0;
    return 1;
}

static int make(const struct http_key_maker *maker, PyObject *environ, struct http_key *key)
{
    unsigned char path_data[LONGEST_PATH];
    PyObject *parts[PARTS] = {NULL};
    struct http_request request;
    struct http_writer path = {path_data};
    http_request_begin(&request, key);
    if (!read_environ(maker, environ, parts, &request) || !http_request_line(&request, parts[PART_METHOD], parts[PART_SCHEME]) ||
        !put_path(&path, path_data + LONGEST_PATH, parts[PART_SCRIPT]) ||
        !put_path(&path, path_data + LONGEST_PATH, parts[PART_PATH]))
        return 0;
    struct http_text decoded = {path_data, (size_t)(path.at - path_data)};
    if (!http_is_plain_path(decoded.data, decoded.len) || !find_raw_path(parts, decoded, &request.raw_path) ||
        (parts[PART_QUERY] != NULL && !ascii_of(parts[PART_QUERY], &request.query)))
        return 0;
    return http_key_write(maker, &request, key);
}

int http_key_of_environ(const struct http_key_maker *maker, PyObject *environ, struct http_key *key)
{
    int made;
    if (!maker->is_usable || !PyDict_CheckExact(environ))
        return 0;
    BEGIN_READING(environ);
    made = make(maker, environ, key);
    END_READING();
    return made;
}
