/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads configuration text token by token, follows @include, and writes out
 * what libconfig is to parse: the same settings without comments, every token
 * on an output line that is known by file and line.  Config role only.  Knows
 * no option; must never hand on a token that libconfig could misread.
 *
 * A slip inside a value (an unquoted word, a number too large) is reported and
 * a marked stand-in takes its place, so that one run reports all of them; only
 * where the structure is lost does reading stop.
 */
#include "conf/lex.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "conf/token.h"

#define SHOWN 64 /* bytes of a token in a message, escapes included */

enum want {
	WANT_NAME,
	WANT_EQUALS,
	WANT_VALUE,
	WANT_END
};

struct level {
	char open;      /* '{', '(' or, for the file itself, 0 */
	size_t names;   /* its first entry in lexer.names */
	enum want want; /* what comes next */
	struct lex_line at;
};

struct name {
	struct cab_slice text;
	struct lex_line at;
};

/* One file while it is read. */
struct frame {
	struct frame *outer;
	uint32_t file;
	const char *text;
	size_t n, i;
	uint32_t line;
	bool begun; /* a token stands before i on this line */
};

struct lexer {
	struct lex_unit *unit;
	const struct cab_conf_source *source;
	struct cab_arena *arena;
	struct cab_diag *diag;
	struct frame *frame;
	struct level levels[LEX_NEST_MAX + 1];
	unsigned depth;
	struct name *names; /* of all open groups, innermost last */
	size_t n_names, cap_names, cap_lines, cap_scalars, cap_files;
	size_t values, twins, loaded;
	bool comma;       /* one is due before the next value of the list */
	bool string_open; /* the value before was a string, another one joins it */
	bool lost;        /* nothing more can be made of the text */
	struct lex_line last,
	    broken; /* of the last token; of a string with a line break */
};

/* ---- findings ------------------------------------------------------------------ */

static struct lex_line
here(const struct lexer *lx)
{
	return (struct lex_line){ lx->frame->file, lx->frame->line };
}

static void __attribute__((format(printf, 5, 0)))
reportv(struct lexer *lx, enum cab_severity severity, struct lex_line at,
    const char *note, const char *fmt, va_list ap)
{
	char text[1024];

	vsnprintf(text, sizeof(text), fmt, ap);
	diag_add(lx->diag, severity, lx->unit->files[at.file].path,
	    (int)at.line, "%s%s", text, note);
}

static void __attribute__((format(printf, 4, 5))) report(struct lexer *lx,
    enum cab_severity severity, struct lex_line at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	reportv(lx, severity, at, "", fmt, ap);
	va_end(ap);
}

#define slip(lx, at, ...) report(lx, CAB_ERROR, at, __VA_ARGS__)

/* The structure is lost: one finding, and the end. */
static void __attribute__((format(printf, 3, 4)))
lose(struct lexer *lx, struct lex_line at, const char *fmt, ...)
{
	char note[128] = "";
	va_list ap;

	if (lx->lost)
		return;
	lx->lost = true;
	/* From a quote that is missing on, texts and settings change places. */
	if (lx->broken.line != 0)
		snprintf(note, sizeof(note),
		    " (is a quote missing? The string that begins in line %u "
		    "holds a line break)",
		    lx->broken.line);
	va_start(ap, fmt);
	reportv(lx, CAB_ERROR, at, note, fmt, ap);
	va_end(ap);
}

static const char *
shown(char dst[static SHOWN], const char *p, size_t n)
{
	str_escape(dst, SHOWN, p, n);
	return dst;
}

static void
no_memory(struct lexer *lx)
{
	if (!lx->lost)
		diag_add(lx->diag, CAB_ERROR, NULL, 0, "out of memory");
	lx->lost = true;
}

/* Room for one more item of an array that doubles. */
static bool
grow(struct lexer *lx, void **items, size_t n, size_t *cap, size_t size)
{
	size_t more = *cap == 0 ? 64 : *cap * 2;
	void *p;

	if (n < *cap)
		return true;
	p = realloc(*items, more * size);
	if (p == NULL) {
		no_memory(lx);
		return false;
	}
	*items = p;
	*cap = more;
	return true;
}

#define GROW(lx, items, n, cap) \
	grow(lx, (void **)&(items), n, &(cap), sizeof(*(items)))

/* ---- output --------------------------------------------------------------------- */

static void
emit(struct lexer *lx, const char *p, size_t n)
{
	int r = buf_append(&lx->unit->text, p, n);

	if (r == -EMSGSIZE)
		lose(lx, here(lx),
		    "with its @include files this is more than "
		    "%zu MiB of configuration",
		    LEX_TEXT_MAX >> 20);
	else if (r < 0)
		no_memory(lx);
}

static void
emit_line(struct lexer *lx, struct lex_line at)
{
	struct lex_unit *unit = lx->unit;

	if (unit->n_lines > 0)
		emit(lx, "\n", 1);
	if (GROW(lx, unit->lines, unit->n_lines, lx->cap_lines))
		unit->lines[unit->n_lines++] = at;
}

/* A token, on an output line that stands for the line it was written on. */
static void
emit_token(struct lexer *lx, struct lex_line at, const char *p, size_t n)
{
	const struct lex_unit *unit = lx->unit;
	const char *lf;

	if (unit->n_lines == 0 ||
	    memcmp(&unit->lines[unit->n_lines - 1], &at, sizeof(at)) != 0)
		emit_line(lx, at);
	else
		emit(lx, " ", 1);
	while ((lf = memchr(p, '\n', n)) != NULL && !lx->lost) {
		emit(lx, p, (size_t)(lf - p));
		at.line++;
		emit_line(lx, at);
		n -= (size_t)(lf - p) + 1;
		p = lf + 1;
	}
	emit(lx, p, n);
	lx->last = at;
}

/* Counts what libconfig makes a setting of: it checks no allocation. */
static void
count_value(struct lexer *lx, struct lex_line at)
{
	if (++lx->values > LEX_VALUES_MAX)
		lose(lx, at, "more than %d values in one configuration",
		    LEX_VALUES_MAX);
}

/* ---- values ------------------------------------------------------------------------ */

static struct level *
level(struct lexer *lx)
{
	return &lx->levels[lx->depth];
}

static bool
in_list(struct lexer *lx)
{
	return level(lx)->open == '(';
}

/* Whatever the value is: it may stand here, or a separator was forgotten. */
static void
begin_value(struct lexer *lx, struct lex_line at, const char *p, size_t n)
{
	char text[SHOWN];

	if (level(lx)->want == WANT_EQUALS) {
		lose(lx, at, "expected \"=\" before %s", shown(text, p, n));
	} else if (level(lx)->want == WANT_END && in_list(lx)) {
		slip(lx, at, "expected \",\" or \")\" before %s",
		    shown(text, p, n));
		lx->comma = true;
	} else if (level(lx)->want != WANT_VALUE) {
		lose(lx, at,
		    "expected the name of a setting, found %s (several values "
		    "stand in parentheses, with commas between them)",
		    shown(text, p, n));
	}
	if (in_list(lx) && lx->comma)
		emit_token(lx, at, ",", 1);
	lx->comma = false;
	lx->string_open = false;
	count_value(lx, at);
}

static void
scalar(struct lexer *lx, struct lex_line at, const char *p, size_t n, bool bad)
{
	struct lex_unit *unit = lx->unit;

	begin_value(lx, at, p, n);
	if (lx->lost ||
	    !GROW(lx, unit->scalars, unit->n_scalars, lx->cap_scalars))
		return;
	if (bad)
		emit_token(lx, at, "\"\"", 2);
	else
		emit_token(lx, at, p, n);
	unit->scalars[unit->n_scalars++] = (struct lex_scalar){
		.line = (uint32_t)unit->n_lines,
		.bad = bad,
	};
	level(lx)->want = WANT_END;
}

static void
word_fault(struct lexer *lx, struct lex_line at, const char *p, size_t n)
{
	static const char *const switches[] = { "yes", "no", "on", "off" };
	struct cab_slice word = { p, n };
	char text[SHOWN];
	size_t i;

	for (i = 0; i < CAB_N(switches); i++)
		if (slice_ieq(word, switches[i])) {
			slip(lx, at, "%s is not a value: write true or false",
			    shown(text, p, n));
			return;
		}
	/* The usual other quotes: '...' and what word processors make. */
	while (word.n > 0 && (word.p[0] == '\'' || (word.p[0] & 0x80))) {
		word.p++;
		word.n--;
	}
	while (word.n > 0 &&
	    (word.p[word.n - 1] == '\'' || (word.p[word.n - 1] & 0x80)))
		word.n--;
	slip(lx, at, "text must stand in double quotes: \"%s\"",
	    shown(text, word.p, word.n));
}

static void
bare_value(struct lexer *lx, const char *p, size_t n)
{
	enum token_kind kind = token_kind((struct cab_slice){ p, n });
	struct lex_line at = here(lx);
	const char *fault = NULL;
	char text[SHOWN];

	if (kind == TOKEN_WORD) {
		word_fault(lx, at, p, n);
		scalar(lx, at, p, n, true);
		return;
	}
	if (kind == TOKEN_INTEGER || kind == TOKEN_WIDE)
		fault = token_integer_fault((struct cab_slice){ p, n });
	if (fault != NULL)
		slip(lx, at, "the number %s %s", shown(text, p, n), fault);
	scalar(lx, at, p, n, fault != NULL);
}

/* ---- strings ------------------------------------------------------------------------- */

/*
 * An escape: its length, 0 for one that has been reported.  libconfig takes what
 * it does not know for a plain backslash, and its versions know different ones.
 */
static size_t
escape(struct lexer *lx, struct lex_line at, const char *p, size_t n)
{
	size_t length = token_escape_length(p, n);
	char text[SHOWN];

	if (length > 0)
		return length;
	if (n >= 4 && strncasecmp(p, "\\x00", 4) == 0)
		slip(lx, at, "a string cannot hold a NUL (\\x00)");
	else
		slip(lx, at,
		    "%s is not an escape: use \\n \\r \\t \\f \\xHH \\\" or, "
		    "for a backslash, \\\\",
		    shown(text, p, n < 2 || p[1] == '\n' ? 1 : 2));
	return 0;
}

/* The string that begins at i; its length with both quotes, 0 if it never ends. */
static size_t
string_length(struct lexer *lx, const char *p, size_t n, bool *ret_bad)
{
	struct lex_line at = here(lx);
	size_t i = 1, step;

	while (i < n && p[i] != '"') {
		step = 1;
		if (p[i] == '\\') {
			step = escape(lx, at, p + i, n - i);
			if (step == 0) {
				*ret_bad = true;
				step = i + 1 < n && p[i + 1] != '\n' ? 2 : 1;
			}
		} else if (p[i] == '\n') {
			if (lx->broken.line == 0)
				lx->broken = here(lx);
			at.line++;
		}
		i += step;
	}
	return i < n ? i + 1 : 0;
}

static void
string(struct lexer *lx)
{
	struct frame *f = lx->frame;
	const char *p = f->text + f->i;
	struct lex_line at = here(lx);
	bool bad = false;
	size_t n, i;

	n = string_length(lx, p, f->n - f->i, &bad);
	if (n == 0) {
		lose(lx, at, "this string has no closing quote");
		return;
	}
	if (lx->string_open && level(lx)->want == WANT_END) {
		if (in_list(lx))
			report(lx, CAB_WARNING, at,
			    "two strings without a comma between them are one "
			    "string");
		emit_token(lx, at, bad ? "\"\"" : p, bad ? 2 : n);
		if (bad)
			lx->unit->scalars[lx->unit->n_scalars - 1].bad = true;
	} else {
		scalar(lx, at, p, n, bad);
	}
	lx->string_open = true;
	for (i = 0; i < n; i++)
		f->line += p[i] == '\n';
	f->i += n;
}

/* ---- structure --------------------------------------------------------------------------- */

static void
open_bracket(struct lexer *lx, char c)
{
	struct lex_line at = here(lx);

	begin_value(lx, at, &c, 1);
	if (lx->depth == LEX_NEST_MAX)
		lose(lx, at, "more than %d brackets inside each other",
		    LEX_NEST_MAX);
	if (lx->lost)
		return;
	level(lx)->want = WANT_END;
	/* An array is a list whose items libconfig wants to be of one kind. */
	if (c == '[')
		c = '(';
	emit_token(lx, at, &c, 1);
	lx->depth++;
	*level(lx) = (struct level){ .open = c,
		.names = lx->n_names,
		.want = c == '{' ? WANT_NAME : WANT_VALUE,
		.at = at };
}

static void
missing_value(struct lexer *lx)
{
	const struct name *name = &lx->names[lx->n_names - 1];
	char text[SHOWN];

	slip(lx, here(lx), "%s has no value",
	    shown(text, name->text.p, name->text.n));
	scalar(lx, here(lx), "", 0, true);
}

static void
close_bracket(struct lexer *lx, char c)
{
	struct lex_line at = here(lx);
	char open = c == '}' ? '{' : '(', out = c == ']' ? ')' : c;

	if (level(lx)->open == 0) {
		lose(lx, at, "\"%c\" closes nothing", c);
		return;
	}
	if (level(lx)->open != open) {
		lose(lx, at, "\"%c\" does not close the \"%c\" of line %u", c,
		    level(lx)->open, level(lx)->at.line);
		return;
	}
	if (open == '{' && level(lx)->want == WANT_EQUALS) {
		lose(lx, at, "expected \"=\" and a value before \"}\"");
		return;
	}
	if (open == '{' && level(lx)->want == WANT_VALUE)
		missing_value(lx);
	lx->n_names = level(lx)->names;
	emit_token(lx, at, &out, 1);
	lx->depth--;
	lx->comma = lx->string_open = false;
}

/* ";" and ",". */
static void
separator(struct lexer *lx, char c)
{
	struct lex_line at = here(lx);
	struct level *l = level(lx);

	if (l->want == WANT_END && l->open == '(') {
		if (c == ';')
			slip(lx, at,
			    "expected \",\" between the items of a "
			    "list, found \";\"");
		lx->comma = true;
		l->want = WANT_VALUE;
		return;
	}
	if (l->open == '(') {
		slip(lx, at, "expected a value before \"%c\"", c);
		return;
	}
	if (l->want == WANT_VALUE)
		missing_value(lx);
	if (l->want == WANT_END) {
		emit_token(lx, at, ";", 1);
		l->want = WANT_NAME;
	} else if (l->want == WANT_EQUALS) {
		lose(lx, at, "expected \"=\" and a value before \"%c\"", c);
	} else if (c == ',') {
		lose(lx, at, "expected the name of a setting, found \",\"");
	}
	/* A second ";" is harmless, though libconfig would not have it. */
}

static void
add_name(struct lexer *lx, struct lex_line at, struct cab_slice name)
{
	const struct level *l = level(lx);
	char text[SHOWN], twin[sizeof(LEX_TWIN) + 24];
	size_t i;

	for (i = l->names; i < lx->n_names; i++)
		if (lx->names[i].text.n == name.n &&
		    memcmp(lx->names[i].text.p, name.p, name.n) == 0)
			break;
	if (i < lx->n_names) {
		slip(lx, at, "%s is set a second time here, first in %s:%u",
		    shown(text, name.p, name.n),
		    lx->unit->files[lx->names[i].at.file].path,
		    lx->names[i].at.line);
		snprintf(twin, sizeof(twin), LEX_TWIN "%zu", ++lx->twins);
		emit_token(lx, at, twin, strlen(twin));
	} else {
		emit_token(lx, at, name.p, name.n);
	}
	if (lx->n_names - l->names == LEX_NAMES_MAX)
		lose(lx, at, "more than %d settings in one group", LEX_NAMES_MAX);
	if (GROW(lx, lx->names, lx->n_names, lx->cap_names))
		lx->names[lx->n_names++] = (struct name){ name, at };
}

static void
setting_name(struct lexer *lx, const char *p, size_t n)
{
	struct lex_line at = here(lx);
	char text[SHOWN];

	if (level(lx)->want == WANT_END && memcmp(&lx->last, &at, sizeof(at)) == 0)
		slip(lx, at, "expected \";\" before %s", shown(text, p, n));
	if (level(lx)->want == WANT_EQUALS) {
		lose(lx, at, "expected \"=\" before %s", shown(text, p, n));
		return;
	}
	if (token_kind((struct cab_slice){ p, n }) == TOKEN_BOOL) {
		lose(lx, at, "expected the name of a setting, found %s",
		    shown(text, p, n));
		return;
	}
	count_value(lx, at);
	add_name(lx, at, (struct cab_slice){ p, n });
	level(lx)->want = WANT_EQUALS;
}

static void
equals(struct lexer *lx, char c)
{
	if (level(lx)->want != WANT_EQUALS) {
		lose(lx, here(lx), "\"%c\" stands where %s", c,
		    in_list(lx) ? "an item of a list is expected (settings in "
				  "a list stand in braces)" :
				  "no name of a setting is before it");
		return;
	}
	emit_token(lx, here(lx), "=", 1);
	level(lx)->want = WANT_VALUE;
}

/* ---- files ----------------------------------------------------------------------------------- */

static void read_text(struct lexer *lx);

/* Opens and keeps a file; at is where it is asked for, NULL for the first one. */
static int
load_file(struct lexer *lx, const char *path, const struct lex_line *at)
{
	struct lex_unit *unit = lx->unit;
	struct lex_file file = { .path = path };
	const char *why = NULL;
	struct stat st;
	int fd = -1, r;

	if (unit->n_files == LEX_FILES_MAX || lx->loaded > LEX_TEXT_MAX) {
		lose(lx, *at, "too many @include files");
		return -EINVAL;
	}
	if (!GROW(lx, unit->files, unit->n_files, lx->cap_files))
		return -ENOMEM;
	fd = lx->source->open(lx->source->arg, path, &why);
	r = fd < 0 ? fd : 0;
	if (r == 0 && fstat(fd, &st) < 0)
		r = -errno;
	if (r == 0) {
		file.dev = st.st_dev;
		file.ino = st.st_ino;
		r = fd_read_all(fd, LEX_FILE_MAX, &file.text, &file.n);
		if (r == -EFBIG)
			why = "is larger than 1 MiB";
	}
	fd_close(fd);
	if (r == 0) {
		unit->files[unit->n_files++] = file;
		lx->loaded += file.n;
		return 0;
	}
	if (at != NULL)
		slip(lx, *at, "@include of %s: %s%s", path,
		    why != NULL ? "it " : "", why != NULL ? why : strerror(-r));
	else
		diag_add(lx->diag, CAB_ERROR, path, 0, "this file %s%s",
		    why != NULL ? why : "cannot be read: ",
		    why != NULL ? "" : strerror(-r));
	return r;
}

/* Reads the newest file as a whole; what follows the @include comes after it. */
static void
enter_file(struct lexer *lx)
{
	const struct lex_file *file = &lx->unit->files[lx->unit->n_files - 1];
	struct frame frame = { .outer = lx->frame,
		.file = (uint32_t)(lx->unit->n_files - 1),
		.text = file->text,
		.n = file->n,
		.line = 1 };
	const char *nul = file->n > 0 ? memchr(file->text, '\0', file->n) : NULL;
	const char *p;

	lx->frame = &frame;
	if (nul != NULL) {
		for (p = file->text; p < nul; p++)
			frame.line += *p == '\n';
		lose(lx, here(lx), "holds a NUL byte: this is not a text file");
	}
	/* Some editors begin a file with a byte order mark. */
	if (frame.n >= 3 && memcmp(frame.text, "\xef\xbb\xbf", 3) == 0)
		frame.i = 3;
	read_text(lx);
	lx->frame = frame.outer;
}

static bool
includes_itself(const struct lexer *lx, const struct lex_file *file)
{
	const struct frame *f;

	for (f = lx->frame; f != NULL; f = f->outer) {
		const struct lex_file *open = &lx->unit->files[f->file];

		if (strcmp(open->path, file->path) == 0 ||
		    (open->dev == file->dev && open->ino == file->ino))
			return true;
	}
	return false;
}

/* A path as it is written, relative to the file that it is written in. */
static const char *
include_path(struct lexer *lx, const char *p, size_t n)
{
	const char *base = lx->unit->files[lx->frame->file].path;
	const char *slash = strrchr(base, '/');
	size_t dir = p[0] != '/' && slash != NULL ? (size_t)(slash - base) + 1 :
						    0;
	char *path = arena_alloc(lx->arena, dir + n + 1), *w;
	size_t i;

	if (path == NULL) {
		no_memory(lx);
		return NULL;
	}
	memcpy(path, base, dir);
	w = path + dir;
	for (i = 0; i < n; i++) {
		if (p[i] == '\\' && i + 1 < n)
			i++;
		*w++ = p[i];
	}
	return path;
}

static void
include(struct lexer *lx, const char *p, size_t n)
{
	struct lex_line at = here(lx);
	const struct frame *f;
	unsigned depth = 0;
	const char *path;

	for (f = lx->frame; f != NULL; f = f->outer)
		depth++;
	if (depth >= LEX_DEPTH_MAX) {
		slip(lx, at, "more than %d files inside each other",
		    LEX_DEPTH_MAX);
		return;
	}
	path = include_path(lx, p, n);
	if (path == NULL || load_file(lx, path, &at) < 0)
		return;
	if (includes_itself(lx, &lx->unit->files[lx->unit->n_files - 1])) {
		slip(lx, at, "@include of %s: this file includes itself", path);
		return;
	}
	enter_file(lx);
	lx->string_open = false;
}

/* At an "@": takes the directive with its file name, or reports and takes the line. */
static void
directive(struct lexer *lx)
{
	struct frame *f = lx->frame;
	const char *p = f->text + f->i, *name;
	const char *lf = memchr(p, '\n', f->n - f->i);
	size_t line = lf != NULL ? (size_t)(lf - p) : f->n - f->i, i = 8, n = 0;

	if (line < 8 || memcmp(p, "@include", 8) != 0 || f->begun) {
		lose(lx, here(lx), "unexpected \"@\"%s",
		    f->begun ? ": @include begins a line" : "");
		return;
	}
	while (i < line && (p[i] == ' ' || p[i] == '\t'))
		i++;
	name = p + i + 1;
	if (i > 8 && i < line && p[i] == '"')
		while (i + 1 + n < line && name[n] != '"')
			n += name[n] == '\\' ? 2 : 1;
	if (n == 0 || i + 1 + n >= line || n > 4000) {
		slip(lx, here(lx),
		    "@include needs the name of a file in double quotes");
		f->i += line;
		return;
	}
	f->i += i + 1 + n + 1;
	include(lx, name, n);
}

/* ---- tokens ----------------------------------------------------------------------------------- */

/* Spaces, line ends and comments before the next token; false at the end. */
static bool
skip_blank(struct lexer *lx)
{
	struct frame *f = lx->frame;
	const char *p, *end;

	while (f->i < f->n && !lx->lost) {
		p = f->text + f->i;
		if (*p == '\n') {
			f->line++;
			f->i++;
			f->begun = false;
		} else if (strchr(" \t\r\f", *p) != NULL) {
			f->i++;
		} else if (*p == '#' ||
		    (f->n - f->i > 1 && memcmp(p, "//", 2) == 0)) {
			end = memchr(p, '\n', f->n - f->i);
			f->i = end != NULL ? (size_t)(end - f->text) : f->n;
		} else if (f->n - f->i > 1 && memcmp(p, "/*", 2) == 0) {
			end = memmem(p + 2, f->n - f->i - 2, "*/", 2);
			if (end == NULL) {
				lose(lx, here(lx),
				    "this comment has no closing */");
				return false;
			}
			for (; p < end; p++)
				f->line += *p == '\n';
			f->i = (size_t)(end - f->text) + 2;
			f->begun = true;
		} else {
			return true;
		}
	}
	return false;
}

/* Anything that does not begin with a bracket, a separator or a quote. */
static void
bare_token(struct lexer *lx)
{
	struct frame *f = lx->frame;
	const char *p = f->text + f->i;
	bool value = level(lx)->want == WANT_VALUE || in_list(lx);
	char text[SHOWN];
	size_t n;

	n = value ? token_bare_length(p, f->n - f->i) :
		    token_name_length(p, f->n - f->i);
	if (n == 0) {
		lose(lx, here(lx), "unexpected %s", shown(text, p, 1));
		return;
	}
	f->i += n;
	if (value)
		bare_value(lx, p, n);
	else
		setting_name(lx, p, n);
}

static void
token(struct lexer *lx)
{
	struct frame *f = lx->frame;
	char c = f->text[f->i];

	switch (c) {
	case '"':
		string(lx);
		return;
	case '@':
		if (f->begun && level(lx)->want == WANT_VALUE)
			bare_token(lx);
		else
			directive(lx);
		return;
	case '{':
	case '(':
	case '[':
		open_bracket(lx, c);
		break;
	case '}':
	case ')':
	case ']':
		close_bracket(lx, c);
		break;
	case ';':
	case ',':
		separator(lx, c);
		break;
	case '=':
		equals(lx, c);
		break;
	case ':':
		if (level(lx)->want == WANT_EQUALS) {
			equals(lx, c);
			break;
		}
		/* fall through */
	default:
		bare_token(lx);
		return;
	}
	f->i++;
}

static void
read_text(struct lexer *lx)
{
	while (skip_blank(lx)) {
		token(lx);
		lx->frame->begun = true;
	}
}

/* The end of the first file: everything that was begun must be complete. */
static void
at_end(struct lexer *lx)
{
	const struct level *l = level(lx);
	const struct name *name;
	char text[SHOWN];

	if (l->open != 0) {
		lose(lx, l->at, "this \"%c\" is never closed", l->open);
	} else if (l->want == WANT_EQUALS || l->want == WANT_VALUE) {
		name = &lx->names[lx->n_names - 1];
		lose(lx, name->at, "%s has no value",
		    shown(text, name->text.p, name->text.n));
	}
}

int
lex_load(struct lex_unit *unit, const char *path,
    const struct cab_conf_source *source, struct cab_arena *arena,
    struct cab_diag *diag)
{
	struct lexer lx = {
		.unit = unit, .source = source, .arena = arena, .diag = diag
	};

	*unit = (struct lex_unit){ .text = CAB_BUF_INIT(LEX_TEXT_MAX) };
	if (load_file(&lx, path, NULL) < 0)
		return -EINVAL;
	enter_file(&lx);
	if (!lx.lost)
		at_end(&lx);
	/* The last line's end, and the NUL that config_read_string wants. */
	if (!lx.lost && buf_append(&unit->text, "\n", 2) < 0)
		lose(&lx, ((struct lex_line){ 0, 1 }), "too long");
	free(lx.names);
	return lx.lost ? -EINVAL : 0;
}

void
lex_place(const struct lex_unit *unit, size_t line, const char **ret_file,
    int *ret_line)
{
	const struct lex_line *at;

	if (unit->n_lines == 0) {
		*ret_file = unit->files[0].path;
		*ret_line = 1;
		return;
	}
	at = &unit->lines[line > 0 && line <= unit->n_lines ? line - 1 : 0];
	*ret_file = unit->files[at->file].path;
	*ret_line = (int)at->line;
}

void
lex_release(struct lex_unit *unit)
{
	size_t i;

	for (i = 0; i < unit->n_files; i++)
		free(unit->files[i].text);
	free(unit->files);
	free(unit->lines);
	free(unit->scalars);
	buf_release(&unit->text);
	*unit = (struct lex_unit){ 0 };
}
