/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Snapshots: encoding in the config role, decoding in every other.  Decoding
 * trusts nothing: the config role has read hostile text, so every length,
 * index, enumeration and range is checked here again, and what does not hold
 * is -EBADMSG.  Never follows a pointer that came in the bytes.
 */
#include "conf/wire.h"

#include <errno.h>
#include <linux/vm_sockets.h>
#include <stddef.h>
#include <string.h>

#define WIRE_ITEMS 65536 /* of any list */
#define WIRE_NULL  UINT32_MAX
/* Structs are larger than their bytes, but no honest snapshot needs more. */
#define WIRE_BUDGET(n) ((n)*32 + 65536)

#define FIELD(base, type, row) \
	((type *)(void *)((char *)(base) + (row)->offset))
#define FIELD_IN(base, type, row) \
	((type const *)(const void *)((const char *)(base) + (row)->offset))

/* ---- the hash over the rows -------------------------------------------------- */

static uint64_t
hash_bytes(uint64_t h, const void *p, size_t n)
{
	const unsigned char *s = p;

	while (n-- > 0)
		h = (h ^ *s++) * UINT64_C(0x100000001b3); /* FNV-1a */
	return h;
}

static uint64_t
hash_text(uint64_t h, const char *s)
{
	return hash_bytes(
	    h, s != NULL ? s : "\xff", s != NULL ? strlen(s) + 1 : 1);
}

static uint64_t
hash_group(uint64_t h, const struct cab_group *group)
{
	size_t i, w;

	for (i = 0; i < group->n_opts; i++) {
		const struct cab_opt *o = &group->opts[i];
		uint64_t numbers[] = { o->type, o->flags, (uint64_t)o->min,
			(uint64_t)o->max };

		h = hash_text(h, o->name);
		h = hash_bytes(h, numbers, sizeof(numbers));
		for (w = 0; o->words != NULL && o->words[w] != NULL; w++)
			h = hash_text(h, o->words[w]);
		if (o->sub != NULL)
			h = hash_group(h, o->sub);
	}
	return hash_text(h, "end");
}

uint64_t
wire_rows_hash(const struct cab_group *group)
{
	return hash_group(UINT64_C(0xcbf29ce484222325), group);
}

/* ---- encoding ----------------------------------------------------------------- */

struct out {
	struct cab_buf *buf;
	int error;
	bool places; /* file and line of entries too */
};

static void
put(struct out *o, const void *p, size_t n)
{
	if (o->error == 0)
		o->error = buf_append(o->buf, p, n);
}

static void
put_u8(struct out *o, uint8_t v)
{
	put(o, &v, sizeof(v));
}

static void
put_u32(struct out *o, uint32_t v)
{
	put(o, &v, sizeof(v));
}

static void
put_i64(struct out *o, int64_t v)
{
	put(o, &v, sizeof(v));
}

static void
put_text(struct out *o, const char *s)
{
	size_t n = s != NULL ? strlen(s) : 0;

	if (n >= WIRE_MAX)
		o->error = -EMSGSIZE;
	put_u32(o, s != NULL ? (uint32_t)n : WIRE_NULL);
	put(o, s, n);
}

static void
put_count(struct out *o, size_t n)
{
	if (n > WIRE_ITEMS)
		o->error = -EMSGSIZE;
	put_u32(o, (uint32_t)n);
}

static void
put_strings(struct out *o, const struct cab_strings *list)
{
	size_t i;

	put_count(o, list->n);
	for (i = 0; i < list->n; i++)
		put_text(o, list->v[i]);
}

static void
put_prefixes(struct out *o, const struct cab_prefixes *list)
{
	size_t i;

	put_u8(o, list->set);
	put_count(o, list->n);
	for (i = 0; i < list->n; i++) {
		put_u8(o, list->v[i].family);
		put_u8(o, list->v[i].bits);
		put(o, list->v[i].ip, sizeof(list->v[i].ip));
	}
}

static void
put_listens(struct out *o, const struct cab_listens *list)
{
	size_t i;

	put_count(o, list->n);
	for (i = 0; i < list->n; i++) {
		const struct cab_listen *l = &list->v[i];

		put_u8(o, (uint8_t)l->kind);
		put_u8(o, l->optional);
		put_text(o, l->text);
		put_text(o, l->name);
		put_u32(o, l->addr.len);
		put(o, &l->addr.ss, l->addr.len);
		if (o->places) {
			put_text(o, l->file);
			put_u32(o, (uint32_t)l->line);
		}
	}
}

static void put_group(struct out *, const struct cab_group *, const void *);

static void
put_groups(
    struct out *o, const struct cab_group *sub, const struct cab_groups *list)
{
	size_t i;

	put_count(o, list->n);
	for (i = 0; i < list->n; i++)
		put_group(o, sub, (const char *)list->v + i * sub->size);
}

static void
put_row(struct out *o, const struct cab_opt *row, const void *base)
{
	const void *sub;
	size_t i;

	switch (row->type) {
	case CAB_T_BOOL:
		put_u8(o, *FIELD_IN(base, bool, row));
		break;
	case CAB_T_INT:
	case CAB_T_SIZE:
	case CAB_T_TIME:
	case CAB_T_OCTAL:
		put_i64(o, *FIELD_IN(base, int64_t, row));
		break;
	case CAB_T_RATE:
		put_u32(o, FIELD_IN(base, struct cab_rate, row)->count);
		put_u32(o, FIELD_IN(base, struct cab_rate, row)->period_ms);
		break;
	case CAB_T_STRING:
	case CAB_T_PATH:
		put_text(o, *FIELD_IN(base, const char *, row));
		break;
	case CAB_T_ENUM:
		put_u32(o, (uint32_t)*FIELD_IN(base, int, row));
		break;
	case CAB_T_USER:
	case CAB_T_GROUP:
		put_text(o, FIELD_IN(base, struct cab_account, row)->name);
		put_u32(o, FIELD_IN(base, struct cab_account, row)->id);
		put_u32(o, FIELD_IN(base, struct cab_account, row)->gid);
		break;
	case CAB_T_STRINGS:
	case CAB_T_ENV:
		put_strings(o, FIELD_IN(base, struct cab_strings, row));
		break;
	case CAB_T_PREFIXES:
		put_prefixes(o, FIELD_IN(base, struct cab_prefixes, row));
		break;
	case CAB_T_LISTENS:
		put_listens(o, FIELD_IN(base, struct cab_listens, row));
		break;
	case CAB_T_IDS:
		put_count(o, FIELD_IN(base, struct cab_ids, row)->n);
		for (i = 0; i < FIELD_IN(base, struct cab_ids, row)->n; i++)
			put_u32(o, FIELD_IN(base, struct cab_ids, row)->v[i]);
		break;
	case CAB_T_SUB:
		put_group(o, row->sub, FIELD_IN(base, char, row));
		break;
	case CAB_T_SUBOPT:
		sub = *FIELD_IN(base, const void *, row);
		put_u8(o, sub != NULL);
		if (sub != NULL)
			put_group(o, row->sub, sub);
		break;
	case CAB_T_SUBS:
		put_groups(o, row->sub, FIELD_IN(base, struct cab_groups, row));
		break;
	}
}

static void
put_group(struct out *o, const struct cab_group *group, const void *base)
{
	size_t i;

	for (i = 0; i < group->n_opts; i++)
		put_row(o, &group->opts[i], base);
}

static void
put_service(struct out *o, const struct cab_service *service)
{
	uint64_t rows;

	put_group(o, &conf_group_service, service);
	put_u8(o, service->options != NULL);
	if (service->options != NULL) {
		rows = wire_rows_hash(service->desc->options);
		put(o, &rows, sizeof(rows));
		put_group(o, service->desc->options, service->options);
	}
	if (o->places) {
		put_text(o, service->file);
		put_u32(o, (uint32_t)service->line);
	}
}

int
conf_encode_service(const struct cab_service *service, struct cab_buf *out)
{
	struct out o = { .buf = out };

	put_service(&o, service);
	return o.error;
}

int
conf_service_equal(const struct cab_service *a, const struct cab_service *b)
{
	struct cab_buf one = CAB_BUF_INIT(0), two = CAB_BUF_INIT(0);
	int r;

	r = conf_encode_service(a, &one);
	if (r == 0)
		r = conf_encode_service(b, &two);
	if (r == 0)
		r = buf_len(&one) == buf_len(&two) &&
		    memcmp(buf_slice(&one).p, buf_slice(&two).p,
			buf_len(&one)) == 0;
	buf_release(&one);
	buf_release(&two);
	return r;
}

/* The rows that every configuration has, protocols' own apart. */
static uint64_t
wire_common_hash(void)
{
	return wire_rows_hash(&conf_group_top) ^
	    (wire_rows_hash(&conf_group_service) << 1);
}

int
conf_encode(const struct cab_conf *conf, struct cab_buf *out)
{
	struct cab_buf body = CAB_BUF_INIT(WIRE_MAX - sizeof(struct wire_head));
	struct wire_head head = { .magic = WIRE_MAGIC,
		.version = WIRE_VERSION,
		.rows = wire_common_hash() };
	struct out o = { .buf = &body, .places = true };
	size_t i;
	int r;

	put_text(&o, conf->path);
	put_group(&o, &conf_group_top, conf);
	put_count(&o, conf->n_services);
	for (i = 0; i < conf->n_services; i++)
		put_service(&o, &conf->services[i]);
	r = o.error;
	if (r < 0)
		goto out;
	head.n = buf_len(&body);
	r = buf_append(out, &head, sizeof(head));
	if (r == 0)
		r = buf_append(out, buf_slice(&body).p, buf_len(&body));
out:
	buf_release(&body);
	return r;
}

/* ---- decoding ----------------------------------------------------------------- */

struct in {
	const unsigned char *p;
	size_t n;
	struct cab_arena *arena;
	const struct cab_desc *const *descs;
	size_t budget; /* memory that these bytes may still ask for */
	int error;     /* sticky; everything read after it is zero */
};

static void
bad(struct in *in, int error)
{
	if (in->error == 0)
		in->error = error;
	in->n = 0;
}

static void
get(struct in *in, void *dst, size_t n)
{
	if (n > in->n) {
		bad(in, -EBADMSG);
		memset(dst, 0, n);
		return;
	}
	memcpy(dst, in->p, n);
	in->p += n;
	in->n -= n;
}

static uint8_t
get_u8(struct in *in)
{
	uint8_t v;

	get(in, &v, sizeof(v));
	return v;
}

static uint32_t
get_u32(struct in *in)
{
	uint32_t v;

	get(in, &v, sizeof(v));
	return v;
}

static bool
get_bool(struct in *in)
{
	uint8_t v = get_u8(in);

	if (v > 1)
		bad(in, -EBADMSG);
	return v == 1;
}

static int
get_line(struct in *in)
{
	uint32_t v = get_u32(in);

	if (v > INT32_MAX)
		bad(in, -EBADMSG);
	return in->error == 0 ? (int)v : 0;
}

static void *
get_memory(struct in *in, size_t n)
{
	void *p = NULL;

	if (in->error != 0)
		return NULL;
	if (n > in->budget) {
		bad(in, -EBADMSG);
		return NULL;
	}
	in->budget -= n;
	p = arena_alloc(in->arena, n);
	if (p == NULL)
		bad(in, -ENOMEM);
	return p;
}

static const char *
get_text(struct in *in)
{
	uint32_t n = get_u32(in);
	char *s;

	if (n == WIRE_NULL || in->error != 0)
		return NULL;
	if (n > in->n || memchr(in->p, '\0', n) != NULL) {
		bad(in, -EBADMSG);
		return NULL;
	}
	s = get_memory(in, (size_t)n + 1);
	if (s != NULL)
		get(in, s, n);
	return s;
}

static const char *
get_needed_text(struct in *in)
{
	const char *s = get_text(in);

	if (s == NULL)
		bad(in, -EBADMSG);
	return s;
}

/* A number of items that take at least one byte each, and memory for them. */
static void *
get_items(struct in *in, size_t size, size_t *ret_n)
{
	uint32_t n = get_u32(in);
	void *items;

	*ret_n = 0;
	if (n > WIRE_ITEMS || n > in->n)
		bad(in, -EBADMSG);
	if (n == 0 || in->error != 0)
		return NULL;
	items = get_memory(in, n * size);
	if (items != NULL)
		*ret_n = n;
	return items;
}

static void
get_strings(struct in *in, struct cab_strings *list)
{
	const char **v = get_items(in, sizeof(*v), &list->n);
	size_t i;

	for (i = 0; i < list->n; i++)
		v[i] = get_needed_text(in);
	list->v = v;
}

static void
get_prefixes(struct in *in, struct cab_prefixes *list)
{
	struct cab_prefix *v;
	size_t i;

	list->set = get_bool(in);
	v = get_items(in, sizeof(*v), &list->n);
	for (i = 0; i < list->n; i++) {
		v[i].family = get_u8(in);
		v[i].bits = get_u8(in);
		get(in, v[i].ip, sizeof(v[i].ip));
		if ((v[i].family != AF_INET && v[i].family != AF_INET6) ||
		    v[i].bits > (v[i].family == AF_INET ? 32 : 128))
			bad(in, -EBADMSG);
	}
	list->v = v;
	/* "set" without an entry would be an allow list that allows nobody. */
	if (list->set != (list->n > 0))
		bad(in, -EBADMSG);
}

/* True when the address is one that its kind of listener can be bound to. */
static bool
listen_valid(const struct cab_listen *l)
{
	const size_t path = offsetof(struct sockaddr_un, sun_path);

	switch (l->kind) {
	case CAB_TCP:
	case CAB_UDP:
		return (l->addr.sa.sa_family == AF_INET &&
			   l->addr.len == sizeof(l->addr.in)) ||
		    (l->addr.sa.sa_family == AF_INET6 &&
			l->addr.len == sizeof(l->addr.in6));
	case CAB_UNIX:
	case CAB_UNIXGRAM:
		return l->addr.sa.sa_family == AF_UNIX &&
		    l->addr.len > path + 1 && l->addr.len <= sizeof(l->addr.un);
	case CAB_VSOCK:
		return l->addr.sa.sa_family == AF_VSOCK &&
		    l->addr.len == sizeof(struct sockaddr_vm);
	case CAB_SYSTEMD:
		return l->addr.len == 0 && l->name != NULL;
	}
	return false;
}

static void
get_listens(struct in *in, struct cab_listens *list)
{
	struct cab_listen *v = get_items(in, sizeof(*v), &list->n);
	size_t i;

	for (i = 0; i < list->n; i++) {
		v[i].kind = (enum cab_listen_kind)get_u8(in);
		v[i].optional = get_bool(in);
		v[i].text = get_needed_text(in);
		v[i].name = get_text(in);
		v[i].addr.len = get_u32(in);
		if (v[i].addr.len > sizeof(v[i].addr.ss)) {
			bad(in, -EBADMSG);
			v[i].addr.len = 0;
		}
		get(in, &v[i].addr.ss, v[i].addr.len);
		v[i].file = get_text(in);
		v[i].line = get_line(in);
		if (!listen_valid(&v[i]))
			bad(in, -EBADMSG);
	}
	list->v = v;
}

static int64_t
get_number(struct in *in, const struct cab_opt *row)
{
	int64_t v;
	bool any = row->flags & CAB_F_COMPUTED, zero;

	get(in, &v, sizeof(v));
	/* Zero is also "not given" and "unlimited". */
	zero = v == 0 && (row->def == NULL || row->flags & CAB_F_UNLIMITED);
	if (!any && !zero && row->max > row->min && (v < row->min || v > row->max))
		bad(in, -EBADMSG);
	return v;
}

static int
get_enum(struct in *in, const struct cab_opt *row)
{
	uint32_t v = get_u32(in), n = 0;

	while (row->words[n] != NULL)
		n++;
	if (v >= n) {
		bad(in, -EBADMSG);
		return 0;
	}
	return (int)v;
}

static void get_group(struct in *, const struct cab_group *, void *);

static void
get_groups(struct in *in, const struct cab_group *sub, struct cab_groups *list)
{
	char *v = get_items(in, sub->size, &list->n);
	size_t i;

	for (i = 0; i < list->n; i++)
		get_group(in, sub, v + i * sub->size);
	list->v = v;
}

static void
get_row(struct in *in, const struct cab_opt *row, void *base)
{
	struct cab_account *account;
	uint32_t *ids;
	void *sub;
	size_t i;

	switch (row->type) {
	case CAB_T_BOOL:
		*FIELD(base, bool, row) = get_bool(in);
		break;
	case CAB_T_INT:
	case CAB_T_SIZE:
	case CAB_T_TIME:
	case CAB_T_OCTAL:
		*FIELD(base, int64_t, row) = get_number(in, row);
		break;
	case CAB_T_RATE:
		FIELD(base, struct cab_rate, row)->count = get_u32(in);
		FIELD(base, struct cab_rate, row)->period_ms = get_u32(in);
		if ((FIELD(base, struct cab_rate, row)->count == 0) !=
		    (FIELD(base, struct cab_rate, row)->period_ms == 0))
			bad(in, -EBADMSG);
		break;
	case CAB_T_STRING:
	case CAB_T_PATH:
		*FIELD(base, const char *, row) = row->flags & CAB_F_REQUIRED ?
		    get_needed_text(in) :
		    get_text(in);
		break;
	case CAB_T_ENUM:
		*FIELD(base, int, row) = get_enum(in, row);
		break;
	case CAB_T_USER:
	case CAB_T_GROUP:
		account = FIELD(base, struct cab_account, row);
		account->name = get_text(in);
		account->id = get_u32(in);
		account->gid = get_u32(in);
		break;
	case CAB_T_STRINGS:
	case CAB_T_ENV:
		get_strings(in, FIELD(base, struct cab_strings, row));
		break;
	case CAB_T_PREFIXES:
		get_prefixes(in, FIELD(base, struct cab_prefixes, row));
		break;
	case CAB_T_LISTENS:
		get_listens(in, FIELD(base, struct cab_listens, row));
		if (FIELD(base, struct cab_listens, row)->n == 0 &&
		    row->flags & CAB_F_REQUIRED)
			bad(in, -EBADMSG);
		break;
	case CAB_T_IDS:
		ids = get_items(
		    in, sizeof(*ids), &FIELD(base, struct cab_ids, row)->n);
		for (i = 0; i < FIELD(base, struct cab_ids, row)->n; i++)
			ids[i] = get_u32(in);
		FIELD(base, struct cab_ids, row)->v = ids;
		break;
	case CAB_T_SUB:
		get_group(in, row->sub, FIELD(base, char, row));
		break;
	case CAB_T_SUBOPT:
		if (!get_bool(in))
			break;
		sub = get_memory(in, row->sub->size);
		if (sub != NULL)
			get_group(in, row->sub, sub);
		*FIELD(base, void *, row) = sub;
		break;
	case CAB_T_SUBS:
		get_groups(in, row->sub, FIELD(base, struct cab_groups, row));
		break;
	}
}

static void
get_group(struct in *in, const struct cab_group *group, void *base)
{
	size_t i;

	for (i = 0; i < group->n_opts && in->error == 0; i++)
		get_row(in, &group->opts[i], base);
}

static const struct cab_desc *
find_desc(const struct cab_desc *const descs[], const char *name)
{
	for (; *descs != NULL; descs++)
		if (strcmp((*descs)->name, name) == 0)
			return *descs;
	return NULL;
}

static void
get_service(struct in *in, struct cab_service *s)
{
	uint64_t rows;

	get_group(in, &conf_group_service, s);
	if (in->error == 0 && s->protocol != NULL) {
		s->desc = find_desc(in->descs, s->protocol);
		if (s->desc == NULL)
			bad(in, -EBADMSG);
	}
	if (get_bool(in)) {
		get(in, &rows, sizeof(rows));
		if (s->desc == NULL || s->desc->options == NULL ||
		    rows != wire_rows_hash(s->desc->options)) {
			bad(in, -EBADMSG);
			return;
		}
		s->options = get_memory(in, s->desc->options->size);
		if (s->options != NULL)
			get_group(in, s->desc->options, s->options);
	}
	s->file = get_text(in);
	s->line = get_line(in);
	if (in->error != 0)
		return;
	if ((s->protocol != NULL) == (s->exec != NULL) ||
	    (s->options != NULL) != (s->desc != NULL && s->desc->options != NULL))
		bad(in, -EBADMSG);
}

static void
get_conf(struct in *in, struct cab_conf *conf)
{
	struct cab_service *services;
	size_t i;

	conf->path = get_text(in);
	get_group(in, &conf_group_top, conf);
	services = get_items(in, sizeof(*services), &conf->n_services);
	for (i = 0; i < conf->n_services && in->error == 0; i++)
		get_service(in, &services[i]);
	conf->services = services;
	if (in->n != 0)
		bad(in, -EBADMSG);
}

int
conf_decode(const struct cab_desc *const descs[], const void *bytes, size_t n,
    struct cab_conf **ret)
{
	struct in in = {
		.p = bytes, .n = n, .descs = descs, .budget = WIRE_BUDGET(n)
	};
	struct wire_head head;
	struct cab_conf *conf;

	get(&in, &head, sizeof(head));
	if (in.error != 0 ||
	    memcmp(head.magic, WIRE_MAGIC, sizeof(head.magic)) != 0 ||
	    head.version != WIRE_VERSION || head.pad != 0 ||
	    head.rows != wire_common_hash() || head.n != in.n || n > WIRE_MAX)
		return -EBADMSG;
	in.arena = arena_new();
	if (in.arena == NULL)
		return -ENOMEM;
	conf = get_memory(&in, sizeof(*conf));
	if (conf != NULL)
		get_conf(&in, conf);
	if (in.error != 0) {
		arena_free(in.arena);
		return in.error;
	}
	conf->arena = in.arena;
	*ret = conf;
	return 0;
}
