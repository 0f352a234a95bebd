/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Values: strict types, ranges, units.  Config role only.  A value that is not
 * exactly what its row wants is an error that says what was expected and what
 * was found; nothing is converted silently.
 */
#include "conf/value.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/address.h"

#define TEXT_MAX 65535 /* bytes of any string */

static const struct type {
	const char *name;
	const char *expected; /* after "expected " */
} types[] = {
	[CAB_T_BOOL] = { "bool", "true or false" },
	[CAB_T_INT] = { "int", "a whole number" },
	[CAB_T_SIZE] = { "size", "a size such as \"10M\"" },
	[CAB_T_TIME] = { "time", "a time such as \"30s\"" },
	[CAB_T_RATE] = { "rate", "a rate such as \"20/min\"" },
	[CAB_T_OCTAL] = { "octal",
	    "permissions as an octal number in quotes, such as \"0660\"" },
	[CAB_T_STRING] = { "string", "text in double quotes" },
	[CAB_T_ENUM] = { "enum", "one word" },
	[CAB_T_PATH] = { "path", "an absolute path" },
	[CAB_T_USER] = { "user", "the name of a user" },
	[CAB_T_GROUP] = { "group", "the name of a group" },
	[CAB_T_STRINGS] = { "strings", "a text or a list of texts" },
	[CAB_T_ENV] = { "env",
	    "a list of \"NAME=VALUE\", or a group such as { NAME = \"VALUE\"; "
	    "}" },
	[CAB_T_PREFIXES] = { "prefixes",
	    "an address or prefix such as \"10.0.0.0/8\", or a list of them" },
	[CAB_T_LISTENS] = { "listens",
	    "a port number, an address such as \"tcp://*:80\", or a list of "
	    "them" },
	[CAB_T_IDS] = { "ids", "nothing" },
	[CAB_T_SUB] = { "group", "a group of settings, { ... }" },
	[CAB_T_SUBOPT] = { "group", "a group of settings, { ... }" },
	[CAB_T_SUBS] = { "groups", "a list of groups, ( { ... }, { ... } )" },
};

const char *
value_type_name(enum cab_type type)
{
	return types[type].name;
}

const char *
value_found(const config_setting_t *setting, char dst[static CONF_SHOWN + 32])
{
	char text[CONF_SHOWN];
	const char *s;
	size_t cap = CONF_SHOWN + 32;

	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_GROUP:
		return "a group";
	case CONFIG_TYPE_LIST:
	case CONFIG_TYPE_ARRAY:
		return config_setting_length(setting) == 0 ? "an empty list" :
							     "a list";
	case CONFIG_TYPE_BOOL:
		return config_setting_get_bool(setting) ? "true" : "false";
	case CONFIG_TYPE_FLOAT:
		snprintf(dst, cap, "the number %g",
		    config_setting_get_float(setting));
		return dst;
	case CONFIG_TYPE_STRING:
		s = config_setting_get_string(setting);
		str_escape(text, sizeof(text), s, strlen(s));
		snprintf(dst, cap, "the text \"%s\"", text);
		return dst;
	default:
		snprintf(dst, cap, "the number %lld",
		    config_setting_get_int64(setting));
		return dst;
	}
}

/* One setting on its way to its value. */
struct item {
	struct conf_reading *r;
	const struct conf_key *key;
	const config_setting_t *setting;
	const struct cab_opt *row;
};

static const char *
words_text(const char *const *words, char *dst, size_t cap)
{
	size_t n = 0;

	dst[0] = '\0';
	for (; *words != NULL && n < cap; words++)
		n += (size_t)snprintf(dst + n, cap - n, "%s\"%s\"",
		    n == 0 ? "" : (words[1] == NULL ? " or " : ", "), *words);
	return dst;
}

/* The wrong kind of setting. */
static bool
mismatch(const struct item *it)
{
	char found[CONF_SHOWN + 32], words[256];
	int type = config_setting_type(it->setting);
	const char *expected = types[it->row->type].expected, *hint = "";

	if (it->row->type == CAB_T_ENUM)
		expected = words_text(it->row->words, words, sizeof(words));
	if (it->row->type == CAB_T_INT && type == CONFIG_TYPE_STRING)
		hint = " (a number stands without quotes)";
	else if ((it->row->type == CAB_T_STRING || it->row->type == CAB_T_STRINGS ||
		     it->row->type == CAB_T_ENV) &&
	    config_setting_is_number(it->setting))
		hint = " (write it in double quotes)";
	conf_complain(it->r, CAB_ERROR, conf_at(it->setting), it->key,
	    "expected %s, found %s%s", expected,
	    value_found(it->setting, found), hint);
	return false;
}

/* The right kind with the wrong contents; why follows the value. */
static bool
refuse(const struct item *it, const char *why)
{
	char found[CONF_SHOWN + 32];

	conf_complain(it->r, CAB_ERROR, conf_at(it->setting), it->key, "%s %s",
	    value_found(it->setting, found), why);
	return false;
}

static bool
no_memory(const struct item *it)
{
	conf_no_memory(it->r);
	return false;
}

/* ---- numbers -------------------------------------------------------------------- */

static const char *
number_text(const struct cab_opt *row, int64_t value, char *dst, size_t cap)
{
	if (row->type == CAB_T_TIME)
		return str_format_time(dst, cap, value);
	if (row->type == CAB_T_SIZE)
		return str_format_size(dst, cap, value);
	snprintf(dst, cap, row->type == CAB_T_OCTAL ? "0%" PRIo64 : "%" PRId64,
	    value);
	return dst;
}

static bool
in_range(const struct cab_opt *row, int64_t value)
{
	if (value == 0 && row->flags & CAB_F_UNLIMITED)
		return true;
	return row->max <= row->min || (value >= row->min && value <= row->max);
}

static bool
put_number(const struct item *it, int64_t value, void *field)
{
	char low[32], high[32], why[128];

	if (!in_range(it->row, value)) {
		snprintf(why, sizeof(why), "is out of range, from %s to %s",
		    number_text(it->row, it->row->min, low, sizeof(low)),
		    number_text(it->row, it->row->max, high, sizeof(high)));
		return refuse(it, why);
	}
	*(int64_t *)field = value;
	return true;
}

static int
parse_octal(struct cab_slice s, int64_t *ret)
{
	int64_t value = 0;
	size_t i;

	for (i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '7')
			return -EINVAL;
		if (value > INT32_MAX)
			return -ERANGE;
		value = value * 8 + (s.p[i] - '0');
	}
	if (s.n == 0)
		return -EINVAL;
	*ret = value;
	return 0;
}

/* The text of a number, with a unit where its type has some. */
static int
parse_number(const struct cab_opt *row, struct cab_slice text, int64_t *ret)
{
	if (row->flags & CAB_F_UNLIMITED && slice_eq(text, "unlimited")) {
		*ret = 0;
		return 0;
	}
	switch (row->type) {
	case CAB_T_TIME:
		return str_parse_time(text, ret);
	case CAB_T_SIZE:
		return str_parse_size(text, ret);
	case CAB_T_OCTAL:
		return parse_octal(text, ret);
	default:
		return str_to_i64(text, ret);
	}
}

static bool
read_number(const struct item *it, void *field)
{
	enum cab_type type = it->row->type;
	struct cab_slice text;
	int64_t value;
	int r;

	switch (config_setting_type(it->setting)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		if (type == CAB_T_OCTAL)
			return mismatch(it);
		value = config_setting_get_int64(it->setting);
		if (type == CAB_T_TIME) {
			/* A plain number is seconds; out of range either way. */
			if (value > INT64_MAX / 1000 || value < INT64_MIN / 1000)
				return refuse(it, "is out of range");
			value *= 1000;
		}
		return put_number(it, value, field);
	case CONFIG_TYPE_STRING:
		text.p = config_setting_get_string(it->setting);
		text.n = strlen(text.p);
		if (type == CAB_T_INT &&
		    !(it->row->flags & CAB_F_UNLIMITED &&
			slice_eq(text, "unlimited")))
			return mismatch(it);
		r = parse_number(it->row, text, &value);
		if (r == -ERANGE)
			return refuse(it, "is out of range");
		if (r < 0)
			return mismatch(it);
		return put_number(it, value, field);
	default:
		return mismatch(it);
	}
}

static bool
read_rate(const struct item *it, struct cab_rate *field)
{
	struct cab_slice text;
	struct cab_rate rate = { 0 };
	int r;

	switch (config_setting_type(it->setting)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		if (config_setting_get_int64(it->setting) != 0)
			return mismatch(it);
		break;
	case CONFIG_TYPE_STRING:
		text.p = config_setting_get_string(it->setting);
		text.n = strlen(text.p);
		r = str_parse_rate(text, &rate.count, &rate.period_ms);
		if (r == -ERANGE)
			return refuse(it, "is out of range");
		if (r < 0)
			return mismatch(it);
		break;
	default:
		return mismatch(it);
	}
	*field = rate;
	return true;
}

static bool
read_bool(const struct item *it, bool *field)
{
	if (config_setting_type(it->setting) != CONFIG_TYPE_BOOL)
		return mismatch(it);
	*field = config_setting_get_bool(it->setting);
	return true;
}

/* ---- texts --------------------------------------------------------------------------- */

static bool
has_control(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return true;
	return false;
}

/* One text within the row's rules, copied; NULL when it was reported. */
static const char *
take_text(const struct item *it, size_t max)
{
	const char *s;
	char *copy, why[64];

	if (config_setting_type(it->setting) != CONFIG_TYPE_STRING) {
		mismatch(it);
		return NULL;
	}
	s = config_setting_get_string(it->setting);
	if (s[0] == '\0' && it->row->flags & CAB_F_NONEMPTY) {
		conf_complain(it->r, CAB_ERROR, conf_at(it->setting), it->key,
		    "must not be empty");
		return NULL;
	}
	if (!(it->row->flags & CAB_F_TEXT) && has_control(s)) {
		refuse(it, "holds a line break or another control character");
		return NULL;
	}
	if (strlen(s) > max) {
		snprintf(why, sizeof(why), "is longer than %zu bytes", max);
		refuse(it, why);
		return NULL;
	}
	copy = arena_strdup(it->r->arena, s, strlen(s));
	if (copy == NULL)
		no_memory(it);
	return copy;
}

static bool
read_string(const struct item *it, const char **field)
{
	size_t max = it->row->max > 0 ? (size_t)it->row->max : TEXT_MAX;
	const char *s = take_text(it, max);

	if (s == NULL)
		return false;
	*field = s;
	return true;
}

static bool
read_path(const struct item *it, const char **field)
{
	size_t max = it->row->max > 0 ? (size_t)it->row->max : PATH_MAX - 1;
	const char *s = take_text(it, max);

	if (s == NULL)
		return false;
	if (s[0] != '/')
		return refuse(it,
		    "is not an absolute path: it must begin with "
		    "\"/\"");
	*field = s;
	return true;
}

static bool
read_enum(const struct item *it, int *field)
{
	struct cab_nearest near;
	char words[256], found[CONF_SHOWN + 32];
	const char *s;
	int i;

	if (config_setting_type(it->setting) != CONFIG_TYPE_STRING)
		return mismatch(it);
	s = config_setting_get_string(it->setting);
	near = (struct cab_nearest){ .want = s };
	for (i = 0; it->row->words[i] != NULL; i++) {
		if (strcmp(s, it->row->words[i]) == 0) {
			*field = i;
			return true;
		}
		nearest_offer(&near, it->row->words[i]);
	}
	conf_complain(it->r, CAB_ERROR, conf_at(it->setting), it->key,
	    "expected %s, found %s%s%s%s",
	    words_text(it->row->words, words, sizeof(words)),
	    value_found(it->setting, found),
	    near.best != NULL ? "; did you mean \"" : "",
	    near.best != NULL ? near.best : "", near.best != NULL ? "\"?" : "");
	return false;
}

/* The account is looked up when the whole is checked. */
static bool
read_account(const struct item *it, struct cab_account *field)
{
	const char *s = take_text(it, NAMES_TEXT - 1);

	if (s == NULL)
		return false;
	if (s[0] == '\0') {
		conf_complain(it->r, CAB_ERROR, conf_at(it->setting), it->key,
		    "must not be empty");
		return false;
	}
	*field = (struct cab_account){ .name = s };
	return true;
}

/* ---- lists ------------------------------------------------------------------------------ */

static bool
is_list(const config_setting_t *setting)
{
	return config_setting_type(setting) == CONFIG_TYPE_LIST ||
	    config_setting_type(setting) == CONFIG_TYPE_ARRAY;
}

/* How many items the setting stands for; one that is no list stands for itself. */
static size_t
count_items(const config_setting_t *setting)
{
	return is_list(setting) ? (size_t)config_setting_length(setting) : 1;
}

static struct item
nth_item(const struct item *it, size_t i)
{
	struct item one = *it;

	if (is_list(it->setting))
		one.setting = config_setting_get_elem(it->setting, (unsigned)i);
	return one;
}

/* Too many or too few; `max` of a list's row is a count. */
static bool
check_count(const struct item *it, size_t n, bool needed)
{
	if (n == 0 && needed) {
		conf_complain(it->r, CAB_ERROR, conf_at(it->setting), it->key,
		    "must not be empty");
		return false;
	}
	if (it->row->max > 0 && n > (size_t)it->row->max) {
		conf_complain(it->r, CAB_ERROR, conf_at(it->setting), it->key,
		    "has %zu items, and at most %" PRId64 " are allowed", n,
		    it->row->max);
		return false;
	}
	return true;
}

static bool
read_strings(const struct item *it, struct cab_strings *field)
{
	size_t n = count_items(it->setting), i;
	bool good = true;
	const char **v;

	if (!check_count(it, n, it->row->flags & CAB_F_NONEMPTY))
		return false;
	v = arena_alloc(it->r->arena, n * sizeof(*v));
	if (v == NULL)
		return no_memory(it);
	for (i = 0; i < n; i++) {
		struct item one = nth_item(it, i);

		if (conf_at(one.setting)->bad) {
			good = false;
			continue;
		}
		v[i] = take_text(&one, TEXT_MAX);
		good = good && v[i] != NULL;
	}
	if (good)
		*field = (struct cab_strings){ v, n };
	return good;
}

/* The length of the NAME before "=", 0 if there is none. */
static size_t
env_name(const char *s)
{
	size_t n = 0;

	while (((s[n] | 0x20) >= 'a' && (s[n] | 0x20) <= 'z') || s[n] == '_' ||
	    (n > 0 && s[n] >= '0' && s[n] <= '9'))
		n++;
	return s[n] == '=' ? n : 0;
}

/* NAME=VALUE of one item: a text that is all of it, or the value of a name. */
static const char *
take_env(const struct item *it, const char *name)
{
	const char *s;
	size_t n;
	char *text;

	if (config_setting_type(it->setting) != CONFIG_TYPE_STRING) {
		mismatch(it);
		return NULL;
	}
	s = config_setting_get_string(it->setting);
	n = strlen(s) + (name != NULL ? strlen(name) + 1 : 0) + 1;
	text = arena_alloc(it->r->arena, n);
	if (text == NULL) {
		no_memory(it);
		return NULL;
	}
	snprintf(text, n, "%s%s%s", name != NULL ? name : "",
	    name != NULL ? "=" : "", s);
	if (env_name(text) == 0) {
		refuse(it,
		    "is not NAME=VALUE with a name of letters, digits "
		    "and \"_\"");
		return NULL;
	}
	return text;
}

static bool
read_env(const struct item *it, struct cab_strings *field)
{
	bool group = config_setting_is_group(it->setting), good = true;
	size_t n = group ? (size_t)config_setting_length(it->setting) :
			   count_items(it->setting);
	size_t i, j, name;
	const char **v;

	if (!check_count(it, n, false))
		return false;
	v = arena_alloc(it->r->arena, n * sizeof(*v));
	if (v == NULL)
		return no_memory(it);
	for (i = 0; i < n; i++) {
		struct item one = nth_item(it, i);

		if (group)
			one.setting = config_setting_get_elem(
			    it->setting, (unsigned)i);
		v[i] = conf_at(one.setting)->bad ?
		    NULL :
		    take_env(
			&one, group ? config_setting_name(one.setting) : NULL);
		good = good && v[i] != NULL;
		name = v[i] != NULL ? env_name(v[i]) + 1 : 0;
		for (j = 0; good && j < i; j++)
			if (strncmp(v[i], v[j], name) == 0)
				good = refuse(&one,
				    "sets a variable that "
				    "was set before");
	}
	if (good)
		*field = (struct cab_strings){ v, n };
	return good;
}

static bool
read_prefixes(const struct item *it, struct cab_prefixes *field)
{
	size_t n = count_items(it->setting), i;
	struct cab_prefix *v;
	struct cab_slice text;
	const char *why;
	bool good = true;

	if (!check_count(it, n, true))
		return false;
	v = arena_alloc(it->r->arena, n * sizeof(*v));
	if (v == NULL)
		return no_memory(it);
	for (i = 0; i < n; i++) {
		struct item one = nth_item(it, i);

		if (conf_at(one.setting)->bad) {
			good = false;
		} else if (config_setting_type(one.setting) !=
		    CONFIG_TYPE_STRING) {
			good = mismatch(&one);
		} else {
			text.p = config_setting_get_string(one.setting);
			text.n = strlen(text.p);
			if (prefix_parse(text, &v[i], &why) < 0)
				good = refuse(&one, why);
		}
	}
	if (good)
		*field = (struct cab_prefixes){ v, n, true };
	return good;
}

/* One address of a listen option, which may make several listeners. */
static bool
read_listen(
    const struct item *it, struct cab_listen found[NAMES_HOSTS], size_t *n)
{
	const struct conf_at *at = conf_at(it->setting);
	struct conf_reading *r = it->r;
	char why[ADDRESS_WHY] = "";
	size_t i;
	int err;

	switch (config_setting_type(it->setting)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		err = address_parse_port(r->arena,
		    config_setting_get_int64(it->setting), found, n, why);
		break;
	case CONFIG_TYPE_STRING:
		if (has_control(config_setting_get_string(it->setting)))
			return refuse(it, "holds a control character");
		err = address_parse(r->names, r->arena,
		    config_setting_get_string(it->setting), found, n, why);
		break;
	default:
		return mismatch(it);
	}
	if (err == -ENOMEM)
		return no_memory(it);
	if (err < 0) {
		conf_complain(r, CAB_ERROR, at, it->key, "%s", why);
		return false;
	}
	for (i = 0; i < *n; i++) {
		found[i].file = at->file;
		found[i].line = at->line;
	}
	return true;
}

static bool
read_listens(const struct item *it, struct cab_listens *field)
{
	size_t items = count_items(it->setting), i, n = 0, more;
	struct cab_listen found[NAMES_HOSTS], *all, *v;
	bool good = true;

	if (!check_count(it, items, true))
		return false;
	all = calloc(items * NAMES_HOSTS, sizeof(*all));
	if (all == NULL)
		return no_memory(it);
	for (i = 0; i < items; i++) {
		struct item one = nth_item(it, i);

		more = 0;
		if (conf_at(one.setting)->bad ||
		    !read_listen(&one, found, &more)) {
			good = false;
			continue;
		}
		memcpy(all + n, found, more * sizeof(*all));
		n += more;
	}
	v = good ? arena_alloc(it->r->arena, n * sizeof(*v)) : NULL;
	if (v != NULL) {
		memcpy(v, all, n * sizeof(*v));
		*field = (struct cab_listens){ v, n };
	} else if (good) {
		good = no_memory(it);
	}
	free(all);
	return good;
}

/* ---- all of them ---------------------------------------------------------------------------- */

bool
value_read(struct conf_reading *r, const struct conf_key *key,
    const config_setting_t *setting, const struct cab_opt *row, void *base)
{
	struct item it = { r, key, setting, row };
	void *field = CONF_FIELD(base, row);

	if (conf_at(setting)->bad)
		return false;
	switch (row->type) {
	case CAB_T_BOOL:
		return read_bool(&it, field);
	case CAB_T_INT:
	case CAB_T_SIZE:
	case CAB_T_TIME:
	case CAB_T_OCTAL:
		return read_number(&it, field);
	case CAB_T_RATE:
		return read_rate(&it, field);
	case CAB_T_STRING:
		return read_string(&it, field);
	case CAB_T_PATH:
		return read_path(&it, field);
	case CAB_T_ENUM:
		return read_enum(&it, field);
	case CAB_T_USER:
	case CAB_T_GROUP:
		return read_account(&it, field);
	case CAB_T_STRINGS:
		return read_strings(&it, field);
	case CAB_T_ENV:
		return read_env(&it, field);
	case CAB_T_PREFIXES:
		return read_prefixes(&it, field);
	case CAB_T_LISTENS:
		return read_listens(&it, field);
	case CAB_T_SUB:
	case CAB_T_SUBOPT:
	case CAB_T_SUBS:
		/* The caller goes into groups itself; this is something else. */
		return mismatch(&it);
	case CAB_T_IDS:
		break;
	}
	assert(!"a row that has no text form was read");
	return false;
}

/* The words of a default such as "index.html, index.htm". */
static bool
default_strings(struct conf_reading *r, const char *def, struct cab_strings *field)
{
	size_t n = 1, i, length;
	const char *p, **v;

	for (p = def; *p != '\0'; p++)
		n += *p == ',';
	v = arena_alloc(r->arena, n * sizeof(*v));
	if (v == NULL)
		return false;
	for (i = 0, p = def; i < n; i++) {
		p += strspn(p, ", ");
		length = strcspn(p, ",");
		v[i] = arena_strdup(r->arena, p, length);
		if (v[i] == NULL)
			return false;
		p += length;
	}
	*field = (struct cab_strings){ v, n };
	return true;
}

bool
value_default(struct conf_reading *r, const struct cab_opt *row, void *base)
{
	void *field = CONF_FIELD(base, row);
	struct cab_slice def;
	struct cab_rate *rate = field;
	int i, failed = 0;

	if (row->def == NULL)
		return true;
	def = (struct cab_slice){ row->def, strlen(row->def) };
	switch (row->type) {
	case CAB_T_BOOL:
		*(bool *)field = slice_eq(def, "true");
		break;
	case CAB_T_INT:
	case CAB_T_SIZE:
	case CAB_T_TIME:
	case CAB_T_OCTAL:
		failed = parse_number(row, def, field);
		break;
	case CAB_T_RATE:
		failed = str_parse_rate(def, &rate->count, &rate->period_ms);
		break;
	case CAB_T_STRING:
	case CAB_T_PATH:
		*(const char **)field = row->def;
		break;
	case CAB_T_ENUM:
		for (i = 0; !slice_eq(def, row->words[i]); i++)
			assert(row->words[i + 1] != NULL);
		*(int *)field = i;
		break;
	case CAB_T_USER:
	case CAB_T_GROUP:
		*(struct cab_account *)field = (struct cab_account){
			.name = row->def
		};
		break;
	case CAB_T_STRINGS:
		return default_strings(r, row->def, field);
	default:
		failed = -EINVAL;
	}
	assert(failed == 0);
	return true;
}
