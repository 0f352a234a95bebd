/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Words of a configuration file: numbers, names, escapes.  Config role only;
 * pure.  Stricter than any libconfig where its versions differ, or where one of
 * them takes a slip for something else.
 */
#include "conf/token.h"

#include <string.h>
#include <strings.h>

static bool
digits_only(const char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (p[i] < '0' || p[i] > '9')
			return false;
	return n > 0;
}

/* "1.5", "1e3", ".5": what libconfig takes for a float.  No option wants one. */
static bool
is_float(const char *p, size_t n)
{
	size_t i = 0, digits = 0;
	bool mark = false;

	if (i < n && (p[i] == '+' || p[i] == '-'))
		i++;
	for (; i < n && ((p[i] >= '0' && p[i] <= '9') || p[i] == '.'); i++) {
		if (p[i] != '.')
			digits++;
		else if (mark)
			return false;
		else
			mark = true;
	}
	if (digits == 0)
		return false;
	if (i == n)
		return mark;
	if (p[i] != 'e' && p[i] != 'E')
		return false;
	i++;
	if (i < n && (p[i] == '+' || p[i] == '-'))
		i++;
	return digits_only(p + i, n - i);
}

static bool
is_hex(const char *p, size_t n)
{
	return n > 2 && p[0] == '0' && (p[1] == 'x' || p[1] == 'X') &&
	    strspn(p + 2, "0123456789abcdefABCDEF") >= n - 2;
}

/* How many bytes are left without the L or LL of a wide integer. */
static size_t
without_suffix(struct cab_slice s)
{
	size_t n = s.n;

	while (n > 0 && s.n - n < 2 && s.p[n - 1] == 'L')
		n--;
	return n;
}

enum token_kind
token_kind(struct cab_slice s)
{
	size_t digits = without_suffix(s), sign;

	if (slice_ieq(s, "true") || slice_ieq(s, "false"))
		return TOKEN_BOOL;
	sign = digits > 0 && (s.p[0] == '+' || s.p[0] == '-');
	if (is_hex(s.p, digits) || digits_only(s.p + sign, digits - sign))
		return digits < s.n ? TOKEN_WIDE : TOKEN_INTEGER;
	return is_float(s.p, s.n) ? TOKEN_FLOAT : TOKEN_WORD;
}

/* -1 when it does not fit. */
static int64_t
hex_value(const char *p, size_t n)
{
	int64_t value = 0;
	int digit;
	size_t i;

	for (i = 2; i < n; i++) {
		if (value >> 59 != 0)
			return -1;
		digit = p[i] <= '9' ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10;
		value = value * 16 + digit;
	}
	return value;
}

const char *
token_integer_fault(struct cab_slice s)
{
	struct cab_slice digits = { s.p, without_suffix(s) };
	bool wide = digits.n < s.n, sign;
	int64_t value;

	if (is_hex(digits.p, digits.n)) {
		value = hex_value(digits.p, digits.n);
		if (value < 0)
			return "is too large for any setting";
	} else {
		if (digits.p[0] == '+') {
			digits.p++;
			digits.n--;
		}
		sign = digits.p[0] == '-';
		if (digits.n > sign + 1u && digits.p[sign] == '0')
			return "begins with a 0: write octal numbers in quotes, "
			       "as in \"022\", and others without the 0";
		if (str_to_i64(digits, &value) < 0)
			return "is too large for any setting";
	}
	if (!wide && (value > INT32_MAX || value < INT32_MIN))
		return "does not fit into 32 bits: write it with a unit, as in "
		       "\"4G\", or with an L behind it";
	return NULL;
}

size_t
token_bare_length(const char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (strchr(" \t\r\n\f,;(){}[]\"=#", p[i]) != NULL)
			break;
		/* "30//..." is a number and a comment, "tcp://..." is one word. */
		if (p[i] == '/' && i + 1 < n &&
		    ((p[i + 1] == '*' && (i == 0 || p[i - 1] != '/')) ||
			(p[i + 1] == '/' &&
			    (i == 0 ||
				token_kind((struct cab_slice){ p, i }) !=
				    TOKEN_WORD))))
			break;
	}
	return i;
}

size_t
token_name_length(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n &&
	    (((p[i] | 0x20) >= 'a' && (p[i] | 0x20) <= 'z') ||
		(i > 0 &&
		    ((p[i] >= '0' && p[i] <= '9') || p[i] == '_' || p[i] == '-'))))
		i++;
	return i;
}

static bool
hex_digit(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

size_t
token_escape_length(const char *p, size_t n)
{
	if (n >= 2 && p[1] != '\0' && strchr("nrtf\\\"", p[1]) != NULL)
		return 2;
	if (n >= 4 && (p[1] | 0x20) == 'x' && hex_digit(p[2]) &&
	    hex_digit(p[3]) && (p[2] != '0' || p[3] != '0'))
		return 4;
	return 0;
}
