#include "http_stored.h"

#include "codec_format.h"

enum { MARK = 0xC7, VERSION = 1, KIND_RESPONSE = 1 };

/* Compilers make one load of each. */
static inline uint32_t number16(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8;
}

static inline uint32_t number32(const unsigned char *at)
{
    return number16(at) | number16(at + 2) << 16;
}

static inline int64_t number64(const unsigned char *at)
{
    return (int64_t)((uint64_t)number32(at) | (uint64_t)number32(at + 4) << 32);
}

int http_stored_read(const unsigned char *data, size_t len, struct http_stored *stored)
{
    if (len < STORED_HEAD || data[0] != TAG_BYTES || data[1] != MARK || data[2] != VERSION || data[3] != KIND_RESPONSE)
        return 0;
    size_t fields_len = number32(data + 60), texts_len = number32(data + 64), rest = len - STORED_HEAD;
    if (fields_len > rest || texts_len > rest - fields_len)
        return 0;
    stored->status = number16(data + 4);
    stored->rule = number16(data + 6);
    stored->flags = number32(data + 8);
    stored->stored_at = number64(data + 16);
    stored->born = number64(data + 24);
    stored->fresh_until = number64(data + 32);
    stored->lines = number32(data + 56);
    stored->fields_end = STORED_HEAD + fields_len;
    stored->body_at = stored->fields_end + texts_len;
    return stored->status >= 100 && stored->status <= 999;
}

int http_stored_field(const unsigned char **at, const unsigned char *end, struct http_stored_field *field)
{
    size_t left = (size_t)(end - *at);
    if (left < STORED_FIELD_HEAD)
        return 0;
    field->name_len = number16(*at);
    field->value_len = number32(*at + 2);
    left -= STORED_FIELD_HEAD;
    if (field->name_len > left || field->value_len > left - field->name_len)
        return 0;
    field->name = *at + STORED_FIELD_HEAD;
    field->value = field->name + field->name_len;
    *at = field->value + field->value_len;
    return 1;
}

/* A list of one text: steps behind it. */
static int read_text(const unsigned char **at, const unsigned char *end, const unsigned char **text, size_t *len)
{
    enum { LIST_HEAD = 6 };
    size_t left = (size_t)(end - *at);
    if (left < LIST_HEAD || number16(*at) != 1)
        return 0;
    *len = number32(*at + 2);
    if (*len > left - LIST_HEAD)
        return 0;
    *text = *at + LIST_HEAD;
    *at = *text + *len;
    return 1;
}

int http_stored_entity_tag(const unsigned char *data, const struct http_stored *stored, const unsigned char **tag, size_t *len)
{
    const unsigned char *at = data + stored->fields_end, *end = data + stored->body_at;
    return read_text(&at, end, tag, len) && read_text(&at, end, tag, len);
}
