/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Both ends of the control socket's language.  Supervisor and cabinetctl.
 * Neither trusts the other's bytes: requests may come from any local user, and
 * a reply from whatever listens at the path that a user named.
 */
#include "ipc/ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- verbs ------------------------------------------------------------------ */

const struct ctl_verb ctl_verbs[] = {
	{ "status", "", 0, 0, false, "the daemon, its processes and its state" },
	{ "services", "", 0, 0, false,
	    "every service, its listeners and its counts" },
	{ "connections", "[NAME]", 0, 1, false,
	    "open connections, of one service or all" },
	{ "reload", "", 0, 0, true,
	    "read the configuration again and tell what changed" },
	{ "drain", "NAME", 1, 1, true,
	    "refuse new clients of a service, let others finish" },
	{ "enable", "NAME", 1, 1, true,
	    "serve again what was drained or disabled" },
	{ "disable", "NAME", 1, 1, true,
	    "close the listeners of a service until it is enabled" },
	{ "kill", "ID", 1, 1, true, "end one connection" },
	{ "metrics", "", 0, 0, false, "counters for Prometheus" },
	{ "explain", "ADDRESS NAME", 2, 2, false,
	    "what would happen to a client of that address, and why" },
	{ "log-level", "LEVEL", 1, 1, true,
	    "error, warning, notice, info or debug, until the next reload" },
	{ "top", "", 0, 0, false, "a live view; q ends it" },
	{ .name = NULL },
};

const struct ctl_verb *
ctl_verb_find(const char *name, const char **nearest)
{
	struct cab_nearest near = { .want = name };
	const struct ctl_verb *verb;

	for (verb = ctl_verbs; verb->name != NULL; verb++) {
		if (strcmp(verb->name, name) == 0)
			return verb;
		nearest_offer(&near, verb->name);
	}
	if (nearest != NULL)
		*nearest = near.best;
	return NULL;
}

/* ---- requests ----------------------------------------------------------------- */

/* Words are names, addresses and numbers: printable ASCII without a space. */
static bool
is_word(const char *word, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (word[i] <= ' ' || word[i] > '~')
			return false;
	return n > 0;
}

int
ctl_request_write(struct cab_buf *out, const char *const words[], size_t n)
{
	size_t total = 0;
	int r = 0;

	if (n == 0 || n > CTL_WORDS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		if (!is_word(words[i], strlen(words[i])))
			return -EINVAL;
		total += strlen(words[i]) + 1;
	}
	if (total > CTL_REQUEST_MAX)
		return -E2BIG;
	for (size_t i = 0; i < n && r == 0; i++)
		r = buf_printf(out, "%s%c", words[i], i + 1 < n ? ' ' : '\n');
	return r;
}

int
ctl_request_parse(const char *line, size_t n, struct ctl_request *ret)
{
	char *at = ret->text, *end = ret->text + n;

	ret->n = 0;
	if (n == 0 || n >= sizeof(ret->text))
		return -EINVAL;
	memcpy(ret->text, line, n);
	*end = '\0';
	while (at <= end) {
		char *space = memchr(at, ' ', (size_t)(end - at));

		if (space == NULL)
			space = end;
		if (ret->n == CTL_WORDS_MAX || !is_word(at, (size_t)(space - at)))
			return -EINVAL;
		*space = '\0';
		ret->words[ret->n++] = at;
		at = space + 1;
	}
	return 0;
}

/* ---- writing a reply ------------------------------------------------------------ */

static const char *const type_names[CTL_TYPES] = { "text", "int", "size",
	"duration", "time", "list" };

static void
put(struct ctl_writer *w, const char *s, size_t n)
{
	if (w->error == 0)
		w->error = buf_append(w->out, s, n);
}

static void
put_str(struct ctl_writer *w, const char *s)
{
	put(w, s, strlen(s));
}

/* The byte as an escape, or NULL when it may stand as it is. */
static const char *
escape_of(unsigned char c, bool in_list, char hex[5])
{
	static const char digits[] = "0123456789abcdef";

	switch (c) {
	case '\t':
		return "\\t";
	case '\n':
		return "\\n";
	case '\\':
		return "\\\\";
	default:
		if (c >= ' ' && c != 0x7f && !(in_list && c == ','))
			return NULL;
		hex[0] = '\\';
		hex[1] = 'x';
		hex[2] = digits[c >> 4];
		hex[3] = digits[c & 15];
		hex[4] = '\0';
		return hex;
	}
}

static void
put_escaped(struct ctl_writer *w, const char *s, size_t n, bool in_list)
{
	size_t from = 0;
	char hex[5];

	for (size_t i = 0; i < n; i++) {
		const char *escape = escape_of((unsigned char)s[i], in_list, hex);

		if (escape == NULL)
			continue;
		put(w, s + from, i - from);
		put_str(w, escape);
		from = i + 1;
	}
	put(w, s + from, n - from);
}

void
ctl_ok(struct ctl_writer *w)
{
	put_str(w, "ok\n");
}

void
ctl_error(struct ctl_writer *w, enum ctl_exit code, const char *fmt, ...)
{
	char text[1024], head[32];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(head, sizeof(head), "error %d ", (int)code);
	put_str(w, head);
	put_escaped(w, text, strlen(text), false);
	put_str(w, "\n");
}

static void
begin(struct ctl_writer *w, const char *kind, const char *name,
    const char *columns)
{
	const char *const parts[] = { kind, " ", name, " ", columns, "\n" };

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		put_str(w, parts[i]);
	w->in_row = w->in_list = false;
}

void
ctl_table(struct ctl_writer *w, const char *name, const char *columns)
{
	begin(w, "table", name, columns);
}

void
ctl_record(struct ctl_writer *w, const char *name, const char *columns)
{
	begin(w, "record", name, columns);
}

static void
field(struct ctl_writer *w)
{
	if (w->in_row)
		put(w, "\t", 1);
	w->in_row = true;
	w->in_list = false;
}

void
ctl_text_n(struct ctl_writer *w, const char *text, size_t n)
{
	field(w);
	put_escaped(w, text, n, false);
}

void
ctl_text(struct ctl_writer *w, const char *text)
{
	if (text == NULL)
		ctl_none(w);
	else
		ctl_text_n(w, text, strlen(text));
}

void
ctl_number(struct ctl_writer *w, uint64_t number)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%" PRIu64, number);
	field(w);
	put_str(w, digits);
}

void
ctl_none(struct ctl_writer *w)
{
	field(w);
	put_str(w, "\\-");
}

void
ctl_list(struct ctl_writer *w)
{
	field(w);
}

void
ctl_item(struct ctl_writer *w, const char *text)
{
	if (w->in_list)
		put(w, ",", 1);
	w->in_list = true;
	put_escaped(w, text, strlen(text), true);
}

void
ctl_row_end(struct ctl_writer *w)
{
	put(w, "\n", 1);
	w->in_row = w->in_list = false;
}

void
ctl_table_end(struct ctl_writer *w)
{
	put(w, "\n", 1);
}

void
ctl_end(struct ctl_writer *w)
{
	put_str(w, "end\n");
}

/* ---- reading a reply ------------------------------------------------------------ */

/* The reader changes its own copy of the text in place: decoded is never longer. */
struct reader {
	char *at, *end;
	struct ctl_reply *reply;
};

/* The next line, terminated, without its LF; NULL at the end. */
static char *
next_line(struct reader *r, size_t *n)
{
	char *line = r->at, *lf;

	lf = line < r->end ? memchr(line, '\n', (size_t)(r->end - line)) : NULL;
	if (lf == NULL)
		return NULL;
	*lf = '\0';
	r->at = lf + 1;
	*n = (size_t)(lf - line);
	return memchr(line, '\0', *n) == NULL ? line : NULL;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* The byte that an escape stands for, and the escape's length; -EBADMSG for none. */
static int
unescape(const char *s, size_t n, size_t *ret_n)
{
	static const char from[] = "tn\\", to[] = "\t\n\\";
	const char *known;
	int high, low;

	if (n < 2)
		return -EBADMSG;
	*ret_n = 2;
	known = s[1] != '\0' ? strchr(from, s[1]) : NULL;
	if (known != NULL)
		return to[known - from];
	if (s[1] != 'x' || n < 4)
		return -EBADMSG;
	*ret_n = 4;
	high = hex_digit(s[2]);
	low = hex_digit(s[3]);
	/* A NUL would cut the text short. */
	return high < 0 || low < 0 || (high | low) == 0 ? -EBADMSG :
							  high << 4 | low;
}

/* Decodes in place; the items of a list get a NUL each. */
static int
decode(char *s, size_t n, bool list, struct ctl_field *ret)
{
	size_t out = 0;

	*ret = (struct ctl_field){ .text = s };
	if (n == 2 && memcmp(s, "\\-", 2) == 0) {
		ret->none = true;
		s[0] = '\0';
		return 0;
	}
	for (size_t i = 0, used = 1; i < n; i += used) {
		int c = (unsigned char)s[i];

		used = 1;
		if (c == '\\')
			c = unescape(s + i, n - i, &used);
		else if (list && c == ',')
			c = '\0';
		if (c < 0)
			return c;
		s[out++] = (char)c;
	}
	/* The separator after the field is free for the last NUL. */
	s[out] = '\0';
	ret->n = list && n > 0 ? out + 1 : out;
	return 0;
}

static bool
is_number(const struct ctl_field *field)
{
	return field->none ||
	    (field->n > 0 && field->n <= 20 &&
		strspn(field->text, "0123456789") == field->n);
}

static int
parse_row(struct ctl_data *table, char *line, size_t n)
{
	struct ctl_field *fields = realloc(table->fields,
	    (table->n_rows + 1) * table->n_columns * sizeof(*fields));
	struct ctl_field *row;

	if (fields == NULL)
		return -ENOMEM;
	table->fields = fields;
	row = fields + table->n_rows * table->n_columns;
	for (size_t i = 0; i < table->n_columns; i++) {
		enum ctl_type type = table->columns[i].type;
		char *tab = memchr(line, '\t', n);
		size_t length = tab != NULL ? (size_t)(tab - line) : n;

		if ((tab == NULL) != (i + 1 == table->n_columns) ||
		    decode(line, length, type == CTL_LIST, &row[i]) < 0)
			return -EBADMSG;
		if (type != CTL_TEXT && type != CTL_LIST && !is_number(&row[i]))
			return -EBADMSG;
		if (tab == NULL)
			break;
		line = tab + 1;
		n -= length + 1;
	}
	table->n_rows++;
	return 0;
}

static int
parse_column(struct ctl_data *table, char *word)
{
	char *colon = strchr(word, ':');

	if (colon == NULL || colon == word || table->n_columns == CTL_COLUMNS_MAX)
		return -EBADMSG;
	*colon = '\0';
	for (unsigned i = 0; i < CTL_TYPES; i++)
		if (strcmp(colon + 1, type_names[i]) == 0) {
			table->columns[table->n_columns++] = (struct ctl_column){
				word, (enum ctl_type)i
			};
			return 0;
		}
	return -EBADMSG;
}

/* "table NAME COLUMN:TYPE ..." */
static int
parse_head(struct ctl_data *table, char *line)
{
	char *save = NULL, *word = strtok_r(line, " ", &save);
	int r = 0;

	if (word == NULL ||
	    (strcmp(word, "table") != 0 && strcmp(word, "record") != 0))
		return -EBADMSG;
	table->record = word[0] == 'r';
	table->name = strtok_r(NULL, " ", &save);
	while (r == 0 && (word = strtok_r(NULL, " ", &save)) != NULL)
		r = parse_column(table, word);
	return r == 0 && table->n_columns > 0 ? 0 : -EBADMSG;
}

static int
parse_table(struct reader *r, char *head)
{
	struct ctl_reply *reply = r->reply;
	struct ctl_data *tables = realloc(
	    reply->tables, (reply->n_tables + 1) * sizeof(*tables));
	struct ctl_data *table;
	char *line;
	size_t n;
	int error;

	if (tables == NULL)
		return -ENOMEM;
	reply->tables = tables;
	table = &tables[reply->n_tables++];
	*table = (struct ctl_data){ .name = NULL };
	error = parse_head(table, head);
	while (error == 0) {
		line = next_line(r, &n);
		if (line == NULL)
			return -EBADMSG;
		if (n == 0)
			break;
		error = parse_row(table, line, n);
	}
	if (error == 0 && table->record && table->n_rows != 1)
		error = -EBADMSG;
	return error;
}

/* "ok" or "error EXIT-CODE TEXT" */
static int
parse_verdict(struct ctl_reply *reply, char *line, size_t n)
{
	struct ctl_field text;
	char *end;

	if (strcmp(line, "ok") == 0)
		return 0;
	if (strncmp(line, "error ", 6) != 0 || line[6] < '1' || line[6] > '9')
		return -EBADMSG;
	reply->code = (int)strtol(line + 6, &end, 10);
	if (*end != ' ' || reply->code < 1 || reply->code > 125 ||
	    decode(end + 1, n - (size_t)(end + 1 - line), false, &text) < 0)
		return -EBADMSG;
	reply->error = text.text;
	return 0;
}

int
ctl_reply_parse(const char *text, size_t n, struct ctl_reply *ret)
{
	struct ctl_reply reply = { .code = 0 };
	struct reader r = { .reply = &reply };
	char *line;
	int error;

	reply.memory = malloc(n + 1);
	if (reply.memory == NULL)
		return -ENOMEM;
	memcpy(reply.memory, text, n);
	r.at = reply.memory;
	r.end = reply.memory + n;
	line = next_line(&r, &n);
	error = line != NULL ? parse_verdict(&reply, line, n) : -EBADMSG;
	while (error == 0) {
		line = next_line(&r, &n);
		if (line == NULL)
			error = -EBADMSG;
		else if (strcmp(line, "end") == 0)
			break;
		else
			error = parse_table(&r, line);
	}
	if (error == 0 && r.at == r.end)
		*ret = reply;
	else
		ctl_reply_release(&reply);
	return error == 0 && r.at != r.end ? -EBADMSG : error;
}

void
ctl_reply_release(struct ctl_reply *reply)
{
	for (size_t i = 0; i < reply->n_tables; i++)
		free(reply->tables[i].fields);
	free(reply->tables);
	free(reply->memory);
	*reply = (struct ctl_reply){ .code = 0 };
}

const struct ctl_data *
ctl_reply_table(const struct ctl_reply *reply, const char *name)
{
	for (size_t i = 0; i < reply->n_tables; i++)
		if (strcmp(reply->tables[i].name, name) == 0)
			return &reply->tables[i];
	return NULL;
}

size_t
ctl_column_find(const struct ctl_data *table, const char *name)
{
	size_t i = 0;

	while (i < table->n_columns && strcmp(table->columns[i].name, name) != 0)
		i++;
	return i;
}
