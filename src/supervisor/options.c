/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line.  Supervisor only, before anything else happens: reads no
 * file and changes nothing.
 */
#include "supervisor/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/str.h"

static const struct option longs[] = {
	{ "check", no_argument, NULL, OPTIONS_CHECK },
	{ "config", required_argument, NULL, 'c' },
	{ "help", no_argument, NULL, OPTIONS_HELP },
	{ "print-config", no_argument, NULL, OPTIONS_PRINT },
	{ "version", no_argument, NULL, OPTIONS_VERSION },
	/* For the project's own tools: says what the man page must describe. */
	{ "dump-schema", no_argument, NULL, OPTIONS_SCHEMA },
	{ NULL, 0, NULL, 0 },
};

void
options_help(void)
{
	fputs("usage: cabinetd [-c FILE] [--check | --print-config | --version "
	      "| --help]\n"
	      "Serves the network services of its configuration, in the "
	      "foreground.\n"
	      "\n"
	      "  -c, --config FILE  the configuration (" CAB_CONFIG_FILE ")\n"
	      "      --check        print every error in the configuration and "
	      "exit: 0 or 78\n"
	      "      --print-config print the settings in force and where each "
	      "comes from\n"
	      "      --version      print the version\n"
	      "      --help         print this\n"
	      "\n"
	      "Signals: HUP reads the configuration again, TERM drains and "
	      "ends, a second\n"
	      "TERM ends at once.  See cabinetd(8) and cabinetd.conf(5).\n",
	    stdout);
}

void
options_version(void)
{
	fputs("cabinetd " PACKAGE_VERSION "\n"
	      "License GPLv2+: GNU GPL version 2 or later.\n"
	      "This is free software, with no warranty, to the extent permitted "
	      "by law.\n",
	    stdout);
}

/* Shows the word only as far as it can be shown. */
static int
usage(const char *what, const char *word, const char *hint)
{
	char shown[128];

	str_escape(shown, sizeof(shown), word, strlen(word));
	fprintf(stderr, "cabinetd: %s %s", what, shown);
	if (hint != NULL)
		fprintf(stderr, "; did you mean --%s?", hint);
	fputs("\ncabinetd --help lists the options\n", stderr);
	return EX_USAGE;
}

/* getopt_long has just refused argv[index]. */
static int
unknown(char **argv, int index)
{
	const char *word = argv[index];
	struct cab_nearest near = { .want = word + 2 };
	char letter[] = { '-', (char)optopt, '\0' };

	if (strncmp(word, "--", 2) != 0)
		return usage("unknown option", letter, NULL);
	/* Set when the name is known: then it is the value that is too much. */
	if (optopt != 0)
		return usage("option takes no value:", word, NULL);
	for (size_t i = 0; longs[i].name != NULL; i++)
		if (longs[i].val != OPTIONS_SCHEMA)
			nearest_offer(&near, longs[i].name);
	return usage("unknown option", word, near.best);
}

/* A reload must find the file whatever the working directory is then. */
static int
absolute(const char *path, char **ret)
{
	char *cwd, *full = NULL;

	if (path[0] == '/') {
		full = strdup(path);
	} else {
		cwd = getcwd(NULL, 0);
		if (cwd != NULL && asprintf(&full, "%s/%s", cwd, path) < 0)
			full = NULL;
		free(cwd);
	}
	if (full == NULL) {
		fprintf(stderr, "cabinetd: %s: %s\n", path, strerror(errno));
		return EX_OSERR;
	}
	*ret = full;
	return 0;
}

int
options_parse(int argc, char **argv, struct options *ret)
{
	enum options_mode mode = OPTIONS_RUN;
	const char *config = CAB_CONFIG_FILE;
	int c, r;

	opterr = 0;
	for (;;) {
		/* Where a refused long option stands: getopt_long has not moved on before. */
		int at = optind > 0 ? optind : 1;

		optopt = 0;
		c = getopt_long(argc, argv, "+:c:", longs, NULL);
		if (c == -1)
			break;
		if (c == ':')
			return usage(
			    "a file name is missing after", argv[at], NULL);
		if (c == '?')
			return unknown(argv, at);
		if (c == 'c')
			config = optarg;
		else
			mode = (enum options_mode)c;
	}
	if (optind < argc)
		return usage("unexpected argument", argv[optind], NULL);
	if (config[0] == '\0')
		return usage("a file name is missing after", "-c", NULL);
	r = absolute(config, &ret->config);
	if (r == 0)
		ret->mode = mode;
	return r;
}

void
options_release(struct options *options)
{
	free(options->config);
	options->config = NULL;
}
