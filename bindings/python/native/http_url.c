#include "http_url.h"

/* Whether all of it may stand in a path or a query. What may not is for Python to refuse. */
static int is_visible(const unsigned char *data, size_t len, int in_path)
{
    const unsigned char *end = data + len;
    for (; end - data >= WORD; data += WORD) {
        uint64_t word = word_at(data);
        if (has_invisible(word) || (in_path && (has_byte(word, '#') || has_byte(word, '?'))))
            return 0;
    }
    for (; data < end; data++)
        if (*data < 0x21 || *data > 0x7e || (in_path && (*data == '#' || *data == '?')))
            return 0;
    return 1;
}

/* ---- Host and path ---- */

int http_put_authority(struct http_writer *out, const unsigned char *data, size_t len, int is_secure)
{
    if (len == 0 || len > LONGEST_AUTHORITY)
        return 0;
    unsigned char *begin = out->at;
    size_t at = 0;
    if (data[0] == '[') {
        begin[at++] = '[';
        while (at < len && data[at] != ']') {
            unsigned char character = lower(data[at]);
            if (!((character >= '0' && character <= '9') || (character >= 'a' && character <= 'f') || character == ':' ||
                  character == '.'))
                return 0;
            begin[at++] = character;
        }
        if (at == len || at == 1)
            return 0;
        begin[at++] = ']';
    } else {
        while (at < len && data[at] != ':') {
            unsigned char character = lower(data[at]);
            if (!((character >= 'a' && character <= 'z') || (character >= '0' && character <= '9') || character == '.' ||
                  character == '_' || character == '~' || character == '-'))
                return 0;
            begin[at++] = character;
        }
    }
    size_t name_len = at;
    if (at < len) {
        /* A colon, or what does not belong there. */
        const char *usual = is_secure ? "443" : "80";
        if (data[at] != ':')
            return 0;
        size_t port_at = at + 1, port_len = len - port_at;
        for (size_t digit = port_at; digit < len; digit++)
            if (data[digit] < '0' || data[digit] > '9')
                return 0;
        if (port_len > 0 && !(port_len == strlen(usual) && memcmp(data + port_at, usual, port_len) == 0)) {
            memcpy(begin + at, data + at, len - at);
            name_len = len;
        }
    }
    out->at += name_len;
    return name_len > 0;
}

static inline int is_separator(unsigned char character)
{
    return character == '/' || character == '\\';
}

int http_put_path(struct http_writer *out, const unsigned char *data, size_t len)
{
    if (len == 0 || len > LONGEST_PATH || !is_visible(data, len, 1))
        return 0;
    http_put(out, data, len);
    return 1;
}

int http_is_plain_path(const unsigned char *path, size_t len)
{
    if (memchr(path, '.', len) == NULL && memchr(path, '%', len) == NULL)
        return 1;
    for (size_t begin = 0; begin < len; begin++) {
        if (begin > 0 && !is_separator(path[begin - 1]))
            continue;
        size_t at = begin;
        for (int dots = 0; dots < 2; dots++) {
            if (at < len && path[at] == '.')
                at++;
            else if (len - at >= 3 && path[at] == '%' && path[at + 1] == '2' && (path[at + 2] | 0x20) == 'e')
                at += 3;
        }
        /* A line feed at the end is no part of a line to a regular expression. */
        if (at > begin && (at == len || is_separator(path[at]) || (path[at] == '\n' && at + 1 == len)))
            return 0;
    }
    return 1;
}

static int hex_of(unsigned char character)
{
    if (character >= '0' && character <= '9')
        return character - '0';
    character |= 0x20;
    return character >= 'a' && character <= 'f' ? character - 'a' + 10 : -1;
}

int http_is_encoded(struct http_text raw, struct http_text path)
{
    if (memchr(raw.data, '%', raw.len) == NULL)
        return raw.len == path.len && memcmp(raw.data, path.data, raw.len) == 0;
    size_t at = 0, place = 0;
    while (at < raw.len && place < path.len) {
        unsigned char character = raw.data[at++];
        if (character == '%' && raw.len - at >= 2 && hex_of(raw.data[at]) >= 0 && hex_of(raw.data[at + 1]) >= 0) {
            character = (unsigned char)(hex_of(raw.data[at]) << 4 | hex_of(raw.data[at + 1]));
            at += 2;
        }
        if (character != path.data[place++])
            return 0;
    }
    return at == raw.len && place == path.len;
}

/* ---- Query ---- */

struct parameter {
    const unsigned char *data;
    size_t len, name_len;
};

static int compare_names(const struct parameter *one, const struct parameter *other)
{
    size_t shorter = one->name_len < other->name_len ? one->name_len : other->name_len;
    int order = memcmp(one->data, other->data, shorter);
    if (order != 0)
        return order;
    return one->name_len < other->name_len ? -1 : one->name_len > other->name_len;
}

int http_put_query(struct http_writer *out, const unsigned char *data, size_t len, const struct http_names *ignored)
{
    if (!is_visible(data, len, 0))
        return 0;
    struct parameter parameters[MOST_PARAMETERS];
    size_t count = 0, seen = 0;
    const unsigned char *end = data + len;
    for (;;) {
        struct parameter parameter = {data, 0, 0};
        const unsigned char *next = memchr(data, '&', (size_t)(end - data));
        parameter.len = (size_t)((next == NULL ? end : next) - data);
        const unsigned char *equals = memchr(data, '=', parameter.len);
        parameter.name_len = equals == NULL ? parameter.len : (size_t)(equals - data);
        if (++seen > MOST_PARAMETERS)
            return 0;
        if (http_names_find(ignored, parameter.data, parameter.name_len) == NULL) {
            size_t place = count++;
            while (place > 0 && compare_names(&parameter, &parameters[place - 1]) < 0) {
                parameters[place] = parameters[place - 1];
                place--;
            }
            parameters[place] = parameter;
        }
        if (next == NULL)
            break;
        data = next + 1;
    }
    unsigned char *begin = out->at, *limit = begin + 1 + LONGEST_QUERY;
    *out->at++ = '?';
    for (size_t at = 0; at < count; at++) {
        if ((size_t)(limit - out->at) < parameters[at].len + (at > 0))
            return 0;
        if (at > 0)
            *out->at++ = '&';
        http_put(out, parameters[at].data, parameters[at].len);
    }
    if (out->at == begin + 1)
        out->at = begin;
    return 1;
}
