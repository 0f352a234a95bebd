/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Findings about a configuration.  Made in the config role, shown by the
 * supervisor.  Texts quote configuration files, which may hold anything: what
 * is kept is one line of printable ASCII.  An error that cannot be stored is
 * still counted, so that no memory shortage turns a refusal into an acceptance.
 */
#include "base/diag.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define DIAG_TEXT 2048 /* bytes of one finding before escaping */

/* A fresh copy with everything but printable ASCII as \xNN. */
static char *
diag_copy(const char *s)
{
	char *copy, *w;

	copy = malloc(strlen(s) * 4 + 1);
	if (copy == NULL)
		return NULL;
	for (w = copy; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;

		if (c >= 0x20 && c < 0x7f)
			*w++ = *s;
		else
			w += snprintf(w, 5, "\\x%02x", c);
	}
	*w = '\0';
	return copy;
}

/* Room for one more, doubling; false without memory or beyond the maximum. */
static bool
diag_grow(struct cab_diag *diag)
{
	struct cab_finding *more;
	size_t cap;

	if (diag->n >= CAB_DIAG_MAX)
		return false;
	if ((diag->n & (diag->n - 1)) != 0)
		return true;
	cap = diag->n == 0 ? 1 : diag->n * 2;
	more = realloc(diag->findings, cap * sizeof(*more));
	if (more == NULL)
		return false;
	diag->findings = more;
	return true;
}

void
diag_add(struct cab_diag *diag, enum cab_severity severity, const char *file,
    int line, const char *fmt, ...)
{
	struct cab_finding finding = { .severity = severity, .line = line };
	char text[DIAG_TEXT];
	va_list ap;

	if (severity == CAB_ERROR)
		diag->errors++;
	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	finding.text = diag_copy(text);
	finding.file = file != NULL ? diag_copy(file) : NULL;
	if (finding.text == NULL || (file != NULL && finding.file == NULL) ||
	    !diag_grow(diag)) {
		free(finding.text);
		free(finding.file);
		diag->truncated = true;
		return;
	}
	diag->findings[diag->n++] = finding;
}

void
diag_print(const struct cab_diag *diag, FILE *out)
{
	size_t i;

	for (i = 0; i < diag->n; i++) {
		const struct cab_finding *f = &diag->findings[i];

		if (f->file != NULL && f->line > 0)
			fprintf(out, "%s:%d: ", f->file, f->line);
		else if (f->file != NULL)
			fprintf(out, "%s: ", f->file);
		fprintf(out, "%s: %s\n",
		    f->severity == CAB_ERROR ? "error" : "warning", f->text);
	}
	if (diag->truncated)
		fprintf(out,
		    "error: there are more findings than the %zu shown\n",
		    diag->n);
}

void
diag_release(struct cab_diag *diag)
{
	size_t i;

	for (i = 0; i < diag->n; i++) {
		free(diag->findings[i].file);
		free(diag->findings[i].text);
	}
	free(diag->findings);
	*diag = (struct cab_diag){ 0 };
}
