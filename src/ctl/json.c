/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON from tables.  cabinetctl only.  Whatever bytes a reply holds, what comes
 * out is valid JSON in valid UTF-8.
 */
#include "ctl/json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Bytes of the UTF-8 character at s (RFC 3629), 0 if there is none. */
static size_t
utf8_length(const unsigned char *s, size_t n)
{
	size_t length = s[0] < 0x80 ? 1 :
	    s[0] < 0xc2             ? 0 :
	    s[0] < 0xe0             ? 2 :
	    s[0] < 0xf0             ? 3 :
	    s[0] < 0xf5             ? 4 :
				      0;

	if (length == 0 || length > n)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* Longer than need be, surrogates, beyond the last character. */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return length;
}

static void
put_string(FILE *out, const char *text, size_t n)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t length;

	fputc('"', out);
	for (; n > 0; s += length, n -= length) {
		length = utf8_length(s, n);
		if (length == 0) {
			fputs("\\ufffd", out);
			length = 1;
		} else if (s[0] == '"' || s[0] == '\\') {
			fprintf(out, "\\%c", s[0]);
		} else if (s[0] == '\n') {
			fputs("\\n", out);
		} else if (s[0] < ' ' || s[0] == 0x7f) {
			fprintf(out, "\\u%04x", s[0]);
		} else {
			fwrite(s, 1, length, out);
		}
	}
	fputc('"', out);
}

static void
put_list(FILE *out, const struct ctl_field *field)
{
	const char *before = "";

	fputc('[', out);
	for (size_t i = 0; i < field->n;) {
		size_t n = strlen(field->text + i);

		fputs(before, out);
		put_string(out, field->text + i, n);
		before = ", ";
		i += n + 1;
	}
	fputc(']', out);
}

static void
put_time(FILE *out, uint64_t ms)
{
	time_t seconds = (time_t)(ms / 1000);
	char text[64];
	struct tm tm;

	if (gmtime_r(&seconds, &tm) == NULL ||
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		fputs("null", out);
	else
		fprintf(out, "\"%s.%03uZ\"", text, (unsigned)(ms % 1000));
}

static void
put_field(FILE *out, enum ctl_type type, const struct ctl_field *field)
{
	uint64_t n;

	if (field->none) {
		fputs("null", out);
		return;
	}
	if (type == CTL_TEXT) {
		put_string(out, field->text, field->n);
		return;
	}
	if (type == CTL_LIST) {
		put_list(out, field);
		return;
	}
	n = strtoull(field->text, NULL, 10);
	if (type == CTL_TIME)
		put_time(out, n);
	else if (type == CTL_DURATION)
		fprintf(out, "%" PRIu64 ".%03u", n / 1000, (unsigned)(n % 1000));
	else
		fprintf(out, "%" PRIu64, n);
}

static void
put_row(FILE *out, const struct ctl_data *data, size_t row)
{
	fputc('{', out);
	for (size_t c = 0; c < data->n_columns; c++) {
		if (c > 0)
			fputs(", ", out);
		put_string(
		    out, data->columns[c].name, strlen(data->columns[c].name));
		fputs(": ", out);
		put_field(out, data->columns[c].type, ctl_field_at(data, row, c));
	}
	fputc('}', out);
}

static void
put_data(FILE *out, const struct ctl_data *data)
{
	fputs(",\n  ", out);
	put_string(out, data->name, strlen(data->name));
	fputs(": ", out);
	if (data->record) {
		put_row(out, data, 0);
		return;
	}
	fputc('[', out);
	for (size_t row = 0; row < data->n_rows; row++) {
		fputs(row > 0 ? ",\n    " : "\n    ", out);
		put_row(out, data, row);
	}
	fputs(data->n_rows > 0 ? "\n  ]" : "]", out);
}

static void
put_verdict(FILE *out, int code, const char *error)
{
	fprintf(out, "{\n  \"ok\": %s", error == NULL ? "true" : "false");
	if (error == NULL)
		return;
	fputs(",\n  \"error\": ", out);
	put_string(out, error, strlen(error));
	fprintf(out, ",\n  \"exit\": %d", code);
}

void
json_reply(FILE *out, const struct ctl_reply *reply)
{
	put_verdict(out, reply->code, reply->error);
	for (size_t i = 0; i < reply->n_tables; i++)
		put_data(out, &reply->tables[i]);
	fputs("\n}\n", out);
}

void
json_error(FILE *out, int code, const char *error)
{
	put_verdict(out, code, error);
	fputs("\n}\n", out);
}
