/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a supervisor leaves to the next one besides descriptors: the
 * configuration that is in use, as it was read, and what is known of its
 * services.  Supervisor only: the file that holds it reaches no other role, so
 * what it says can be believed.
 */
#ifndef CAB_SUPERVISOR_ESTATE_H
#define CAB_SUPERVISOR_ESTATE_H

#include <stddef.h>
#include <stdint.h>

struct estate {
	uint64_t generation;
	uint32_t *slots; /* of the scoreboard, by service */
	size_t n_slots;
	char **off; /* services switched off by hand */
	size_t n_off;
	char *conf; /* see conf_decode */
	size_t n_conf;
};

/*
 * As a sealed memory file: descriptor or -errno.  It can be read by the same
 * program only; another build has its own idea of all this.
 */
int estate_encode(const struct estate *estate);

/* 0, -EXDEV when another build wrote it, -EBADMSG or -errno. */
int estate_decode(int fd, struct estate *ret);

/* Accepts a zeroed one. */
void estate_release(struct estate *estate);

#endif
