/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target of the configuration reader: files in memory, accounts and hosts
 * that exist nowhere.  What is taken must survive the snapshot unchanged, and
 * what --print-config says of it must read back to the same.
 *
 * Input: the text of the main file; a line "=== NAME" begins another file of
 * that name in the same directory, such as "cabinetd.conf.d/x.conf".
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/proto.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/conf_fake.h"

#define MAX_INPUT 65536
#define MARK      "\n=== "

const char *__lsan_default_suppressions(void);

/* libconfig 1.5 leaks in each parse that fails. */
const char *
__lsan_default_suppressions(void)
{
	return "leak:libconfig\n";
}

/* The real protocols, and those of the tests with an option of every type. */
static const struct cab_desc *const *
descs(void)
{
	static const struct cab_desc *all[64];
	size_t n = 0, i;

	for (i = 0; cab_descs[i] != NULL; i++)
		all[n++] = cab_descs[i];
	for (i = 0; fake_descs[i] != NULL; i++)
		if (strcmp(fake_descs[i]->name, "echo") != 0)
			all[n++] = fake_descs[i];
	return all;
}

static bool
equal(const struct cab_buf *a, const struct cab_buf *b)
{
	return buf_len(a) == buf_len(b) &&
	    memcmp(buf_slice(a).p, buf_slice(b).p, buf_len(a)) == 0;
}

static void
check_snapshot(const struct cab_conf *conf)
{
	struct cab_buf bytes = CAB_BUF_INIT(0), again = CAB_BUF_INIT(0);
	struct cab_conf *copy = NULL;

	must(conf_encode(conf, &bytes) == 0);
	must(conf_decode(
		  descs(), buf_slice(&bytes).p, buf_len(&bytes), &copy) == 0);
	must(conf_encode(copy, &again) == 0);
	must(equal(&bytes, &again));
	conf_free(copy);
	buf_release(&bytes);
	buf_release(&again);
}

/* Services are compared one by one: places differ, contents may not. */
static void
check_dump(const struct cab_conf *conf, struct cab_buf *dump, bool privileged)
{
	struct cab_buf a = CAB_BUF_INIT(0), b = CAB_BUF_INIT(0);
	struct cab_diag diag = { 0 };
	struct cab_conf *again;
	struct fake fake;
	size_t i;

	fake_init(&fake, privileged);
	fake_add_bytes(&fake, FAKE_MAIN, buf_slice(dump).p, buf_len(dump));
	again = conf_read(FAKE_MAIN, descs(), &fake.source, &diag, NULL);
	if (again == NULL) {
		fprintf(stderr, "%s\n%.*s\n", fake_findings(&diag),
		    (int)buf_len(dump), buf_slice(dump).p);
		abort();
	}
	must(again->n_services == conf->n_services);
	for (i = 0; i < conf->n_services; i++) {
		buf_clear(&a);
		buf_clear(&b);
		must(conf_encode_service(&conf->services[i], &a) == 0);
		must(conf_encode_service(&again->services[i], &b) == 0);
		must(equal(&a, &b));
	}
	conf_free(again);
	diag_release(&diag);
	buf_release(&a);
	buf_release(&b);
}

/* Cuts the input into files; names and texts point into the copy. */
static void
add_files(struct fake *fake, char *text, size_t n)
{
	static char paths[8][96];
	size_t files = 0, name_n, text_n;
	const char *path = FAKE_MAIN;
	char *mark, *name, *lf;

	for (;;) {
		mark = memmem(text, n, MARK, sizeof(MARK) - 1);
		text_n = mark != NULL ? (size_t)(mark - text) + 1 : n;
		fake_add_bytes(fake, path, text, text_n);
		if (mark == NULL || files == 8)
			return;
		name = mark + sizeof(MARK) - 1;
		n -= (size_t)(name - text);
		lf = memchr(name, '\n', n);
		if (lf == NULL)
			return;
		name_n = (size_t)(lf - name);
		snprintf(paths[files], sizeof(paths[files]), "/etc/%.*s",
		    (int)(name_n < 80 ? name_n : 80), name);
		path = paths[files++];
		text = lf + 1;
		n -= name_n + 1;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct cab_buf dump = CAB_BUF_INIT(0);
	struct cab_diag diag = { 0 };
	bool privileged = len & 1;
	struct cab_conf *conf;
	struct fake fake;
	char *copy;
	size_t i;

	if (len > MAX_INPUT)
		return 0;
	copy = malloc(len + 1);
	must(copy != NULL);
	if (len > 0)
		memcpy(copy, data, len);
	fake_init(&fake, privileged);
	add_files(&fake, copy, len);
	conf = conf_read(FAKE_MAIN, descs(), &fake.source, &diag, &dump);
	must((conf == NULL) == (diag.errors > 0));
	for (i = 0; i < diag.n; i++)
		must(diag.findings[i].line >= 0 && diag.findings[i].text[0]);
	if (conf != NULL) {
		check_snapshot(conf);
		check_dump(conf, &dump, privileged);
	}
	conf_free(conf);
	diag_release(&diag);
	buf_release(&dump);
	free(copy);
	return 0;
}
