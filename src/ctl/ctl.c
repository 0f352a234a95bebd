/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cabinetctl from its command line to its exit status.  Needs no privilege and
 * keeps no state: the daemon decides what is allowed, this shows what it says.
 */
#include "ctl/ctl.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/client.h"
#include "ctl/json.h"
#include "ctl/render.h"
#include "ctl/top.h"

#define OPTIONS "js:hV"

struct invocation {
	const char *socket;
	bool json;
	const char *const *words;
	size_t n;
};

/* ---- what a verb's reply looks like ---------------------------------------------------- */

/* "FILE:LINE: error: TEXT", as cabinetd --check prints it. */
static void
show_findings(FILE *out, const struct ctl_reply *reply)
{
	const struct ctl_data *data = ctl_reply_table(reply, "findings");
	struct render render = render_for(out);

	for (size_t i = 0;
	     data != NULL && data->n_columns == 4 && i < data->n_rows; i++) {
		const char *severity = ctl_field_at(data, i, 0)->text;

		if (!ctl_field_at(data, i, 1)->none) {
			render_text(&render, ctl_field_at(data, i, 1)->text);
			if (!ctl_field_at(data, i, 2)->none)
				fprintf(
				    out, ":%s", ctl_field_at(data, i, 2)->text);
			fputs(": ", out);
		}
		fputs(render_colour(&render, severity), out);
		render_text(&render, severity);
		fprintf(out, "%s: ", render_plain(&render));
		render_text(&render, ctl_field_at(data, i, 3)->text);
		fputc('\n', out);
	}
}

static void
show_change(const struct render *render, const struct ctl_data *data,
    const char *change)
{
	const char *before = "";

	fprintf(render->out, "%-8s ", change);
	for (size_t i = 0; i < data->n_rows; i++) {
		if (strcmp(ctl_field_at(data, i, 1)->text, change) != 0)
			continue;
		fputs(before, render->out);
		render_text(render, ctl_field_at(data, i, 0)->text);
		before = ", ";
	}
	fprintf(render->out, "%s\n", before[0] == '\0' ? "-" : "");
}

static void
show_reload(const struct render *render, const struct ctl_reply *reply)
{
	static const char *const changes[] = { "added", "changed", "dropped",
		"kept" };
	const struct ctl_data *data = ctl_reply_table(reply, "changes");

	if (data == NULL || data->n_columns != 2)
		return;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
		show_change(render, data, changes[i]);
	show_findings(stderr, reply);
}

/* The text as it is: it is for a program. */
static void
show_metrics(const struct render *render, const struct ctl_reply *reply)
{
	const struct ctl_data *data = ctl_reply_table(reply, "metrics");

	if (data != NULL)
		fwrite(ctl_field_at(data, 0, 0)->text, 1,
		    ctl_field_at(data, 0, 0)->n, render->out);
}

static void
show_tables(const struct render *render, const struct ctl_reply *reply)
{
	bool before = false;

	for (size_t i = 0; i < reply->n_tables; i++) {
		const struct ctl_data *data = &reply->tables[i];

		if (!data->record && data->n_rows == 0)
			continue;
		if (before)
			fputc('\n', render->out);
		render_data(render, data);
		before = true;
	}
}

static const struct {
	const char *verb;
	void (*show)(const struct render *, const struct ctl_reply *);
} shows[] = {
	{ "reload", show_reload },
	{ "metrics", show_metrics },
};

static void
show_reply(const char *verb, const struct ctl_reply *reply)
{
	struct render render = render_for(stdout);

	for (size_t i = 0; i < sizeof(shows) / sizeof(shows[0]); i++)
		if (strcmp(shows[i].verb, verb) == 0) {
			shows[i].show(&render, reply);
			return;
		}
	show_tables(&render, reply);
}

/* ---- running --------------------------------------------------------------------------- */

static void
complain(const char *text)
{
	struct render render = render_for(stderr);

	fputs("cabinetctl: ", stderr);
	render_text(&render, text);
	fputc('\n', stderr);
}

/* A full disk must not look like success. */
static int
finish(int code)
{
	if ((fflush(stdout) != 0 || ferror(stdout)) && code == CTL_OK) {
		perror("cabinetctl: cannot write");
		return CTL_REFUSED;
	}
	return code;
}

static int
run(const struct invocation *inv)
{
	struct ctl_reply reply = { .code = 0 };
	char why[CLIENT_WHY];
	int code = client_ask(inv->socket, inv->words, inv->n, &reply, why);

	if (code != 0) {
		if (inv->json)
			json_error(stdout, code, why);
		else
			complain(why);
		return finish(code);
	}
	code = reply.code;
	if (inv->json) {
		json_reply(stdout, &reply);
	} else if (reply.error != NULL) {
		show_findings(stderr, &reply);
		complain(reply.error);
	} else {
		show_reply(inv->words[0], &reply);
	}
	ctl_reply_release(&reply);
	return finish(code);
}

/* ---- the command line
 * --------------------------------------------------------------------- */

static void
help(void)
{
	char path[256];

	printf("usage: cabinetctl [--json] [--socket PATH] VERB [ARGUMENT...]\n"
	       "Look at a running cabinetd and operate it.\n\n");
	for (const struct ctl_verb *verb = ctl_verbs; verb->name != NULL; verb++)
		printf("  %-11s %-13s %s\n", verb->name, verb->arguments,
		    verb->summary);
	printf("\n"
	       "  -j, --json           one JSON document instead of tables\n"
	       "  -s, --socket PATH    the daemon's control socket, here\n"
	       "                       %s\n"
	       "  -h, --help           this text\n"
	       "  -V, --version        the version\n\n"
	       "Exit status: 0 done, 1 refused or the reload failed, 2 no daemon\n"
	       "or no permission, 64 wrong usage. See cabinetctl(1).\n",
	    client_default_path(path, sizeof(path)));
}

/* Says what is wrong; hint: where to read how it is right. */
static int
refuse(const struct invocation *inv, const char *text, bool hint)
{
	if (inv->json) {
		json_error(stdout, CTL_USAGE, text);
	} else if (hint) {
		complain(text);
		fputs("Try cabinetctl --help.\n", stderr);
	} else {
		fprintf(stderr, "%s\n", text);
	}
	return finish(CTL_USAGE);
}

/* What a "?" of getopt_long means, which may be seen before the option "json". */
static void
describe_option(char **argv, char *dst, size_t cap)
{
	if (optopt == 0)
		snprintf(dst, cap, "there is no option \"%s\"", argv[optind - 1]);
	else if (strchr(OPTIONS, optopt) != NULL)
		snprintf(dst, cap, "option \"-%c\" takes no value", optopt);
	else
		snprintf(dst, cap, "there is no option \"-%c\"", optopt);
}

/* 0, or what is wrong has been said. */
static int
check_words(const struct invocation *inv)
{
	const struct ctl_verb *verb;
	const char *near = NULL;
	char text[512];

	if (inv->n == 0)
		return refuse(inv, "which verb?", true);
	verb = ctl_verb_find(inv->words[0], &near);
	if (verb == NULL) {
		snprintf(text, sizeof(text), "there is no verb \"%s\"%s%s%s",
		    inv->words[0], near != NULL ? "; did you mean \"" : "",
		    near != NULL ? near : "", near != NULL ? "\"?" : "");
		return refuse(inv, text, true);
	}
	if (inv->n - 1 < verb->min || inv->n - 1 > verb->max) {
		snprintf(text, sizeof(text), "usage: cabinetctl %s%s%s",
		    verb->name, verb->arguments[0] != '\0' ? " " : "",
		    verb->arguments);
		return refuse(inv, text, false);
	}
	return 0;
}

int
ctl_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "socket", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	char path[256], wrong[256] = "";
	struct invocation inv = { .socket = client_default_path(
				      path, sizeof(path)) };
	int c, r;

	while ((c = getopt_long(argc, argv, ":" OPTIONS, options, NULL)) != -1) {
		switch (c) {
		case 'j':
			inv.json = true;
			break;
		case 's':
			inv.socket = optarg;
			break;
		case 'h':
			help();
			return finish(CTL_OK);
		case 'V':
			printf("cabinetctl %s\n", PACKAGE_VERSION);
			return finish(CTL_OK);
		case ':':
			snprintf(wrong, sizeof(wrong), "--socket takes a path");
			break;
		default:
			describe_option(argv, wrong, sizeof(wrong));
		}
	}
	if (wrong[0] != '\0')
		return refuse(&inv, wrong, true);
	inv.words = (const char *const *)(argv + optind);
	inv.n = (size_t)(argc - optind);
	r = check_words(&inv);
	if (r != 0)
		return r;
	if (strcmp(inv.words[0], "top") == 0 && !inv.json)
		return finish(top_run(inv.socket));
	return run(&inv);
}
