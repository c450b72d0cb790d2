#include "http_conditions.h"

#include "http_text.h"

/* ---- What the request says ---- */

static const unsigned char *past_blanks(const unsigned char *at, const unsigned char *end, int also_commas)
{
    while (at < end && (is_blank(*at) || (also_commas && *at == ',')))
        at++;
    return at;
}

/* What may stand between the quotes (RFC 9110 section 8.8.3). */
static int is_of_tag(unsigned char character)
{
    return character == 0x21 || (character >= 0x23 && character != 0x7f);
}

/* The whole of a line is `*`. */
static int is_star(const unsigned char *at, const unsigned char *end)
{
    at = past_blanks(at, end, 0);
    return at < end && *at == '*' && past_blanks(at + 1, end, 0) == end;
}

int http_conditions_add_tags(struct http_conditions *conditions, const unsigned char *data, size_t len)
{
    const unsigned char *at = data, *end = data + len;
    if (conditions->is_any)
        return 0;
    if (is_star(at, end))
        return conditions->is_any = conditions->tag_lines++ == 0;
    conditions->tag_lines++;
    while ((at = past_blanks(at, end, 1)) < end) {
        if (end - at >= 2 && at[0] == 'W' && at[1] == '/')
            at += 2;
        const unsigned char *begin = at;
        if (at == end || *at++ != '"')
            return 0;
        while (at < end && is_of_tag(*at))
            at++;
        if (at == end || *at++ != '"')
            return 0;
        size_t tag_len = (size_t)(at - begin);
        if (tag_len > LONGEST_TAGS - conditions->tags_len)
            return 0;
        memcpy(conditions->tags + conditions->tags_len, begin, tag_len);
        conditions->tags_len += tag_len;
        at = past_blanks(at, end, 0);
        if (at < end && *at != ',')
            return 0;
    }
    return 1;
}

void http_conditions_add_since(struct http_conditions *conditions, const unsigned char *data, size_t len)
{
    /* Of another length it is none, nor will this be found to be one. */
    if (len == DATE_LEN)
        memcpy(conditions->since, data, DATE_LEN);
    else
        memset(conditions->since, 0, DATE_LEN);
    conditions->since_lines++;
}

/* The number of so many digits; or -1. */
static int number_of(const unsigned char *at, int digits)
{
    int number = 0;
    for (; digits > 0; digits--, at++) {
        if (*at < '0' || *at > '9')
            return -1;
        number = 10 * number + (*at - '0');
    }
    return number;
}

/* The place of three letters among names of as many; or -1. */
static int name_at(const char *names, const unsigned char *letters)
{
    for (int number = 0; names[3 * number] != 0; number++)
        if (memcmp(names + 3 * number, letters, 3) == 0)
            return number;
    return -1;
}

/* A date of the form that is sent today: `fields.date`, but for the last days of a month that not every year has. */
static int is_date(const unsigned char *text)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    /* What a digit or a letter stands for is a zero here. */
    static const char form[] = "000, 00 000 0000 00:00:00 GMT";
    for (int at = 0; at < DATE_LEN; at++)
        if (form[at] != '0' && text[at] != (unsigned char)form[at])
            return 0;
    int day = number_of(text + 5, 2), month = name_at("JanFebMarAprMayJunJulAugSepOctNovDec", text + 8);
    int hour = number_of(text + 17, 2), minute = number_of(text + 20, 2), second = number_of(text + 23, 2);
    return name_at("MonTueWedThuFriSatSun", text) >= 0 && month >= 0 && day >= 1 && day <= days[month] &&
           number_of(text + 12, 4) >= 0 && hour >= 0 && hour <= 23 && minute >= 0 && minute <= 59 && second >= 0 && second <= 60;
}

int http_conditions_are_ordinary(const struct http_conditions *conditions)
{
    /* Where there are tags, dates say nothing (RFC 9110 section 13.2.2). */
    return conditions->tag_lines > 0 || conditions->since_lines == 0 ||
           (conditions->since_lines == 1 && is_date(conditions->since));
}

/* ---- What the response is ---- */

static enum http_verdict judge_tags(const struct http_conditions *conditions, const unsigned char *data,
                                    const struct http_stored *stored)
{
    const unsigned char *tag;
    size_t len;
    if (!http_stored_entity_tag(data, stored, &tag, &len))
        return VERDICT_UNKNOWN;
    if (conditions->is_any)
        return SEND_NOT_MODIFIED;
    if (len >= 2 && tag[0] == 'W' && tag[1] == '/') {
        tag += 2;
        len -= 2;
    }
    const unsigned char *at = conditions->tags, *end = at + conditions->tags_len;
    while (at < end) {
        const unsigned char *next = (const unsigned char *)memchr(at + 1, '"', (size_t)(end - at - 1)) + 1;
        if ((size_t)(next - at) == len && memcmp(at, tag, len) == 0)
            return SEND_NOT_MODIFIED;
        at = next;
    }
    return SEND_ALL;
}

/* Clients send back the date that they were sent. Whether another one is before or after it is for Python to find out. */
static enum http_verdict judge_since(const struct http_conditions *conditions, const unsigned char *data,
                                     const struct http_stored *stored)
{
    static const char name[] = "last-modified";
    const unsigned char *at = data + STORED_HEAD, *end = data + stored->fields_end;
    enum http_verdict verdict = VERDICT_UNKNOWN;
    struct http_stored_field field;
    int lines = 0;
    while (at < end) {
        if (!http_stored_field(&at, end, &field))
            return VERDICT_UNKNOWN;
        if (field.name_len != sizeof name - 1 || memcmp(field.name, name, sizeof name - 1) != 0)
            continue;
        lines++;
        if (field.value_len == DATE_LEN && memcmp(field.value, conditions->since, DATE_LEN) == 0)
            verdict = SEND_NOT_MODIFIED;
    }
    return lines == 1 ? verdict : VERDICT_UNKNOWN;
}

enum http_verdict http_conditions_judge(const struct http_conditions *conditions, const unsigned char *data,
                                        const struct http_stored *stored)
{
    if ((conditions->tag_lines == 0 && conditions->since_lines == 0) || stored->status < 200 || stored->status > 299)
        return SEND_ALL;
    return conditions->tag_lines > 0 ? judge_tags(conditions, data, stored) : judge_since(conditions, data, stored);
}
