/* ranges.c: calibration's files: ranges as JSON (--save-ranges, --load-ranges), statistics of a part of the samples
 * (--save-stats, --merge). Both hold the CRC32 of the model they are of. */
#include "cli/cli.h"

#include <math.h>
#include <stdlib.h>
#include <zlib.h>

bool
calib_given(const cli *c)
{
	return c->a.calib.n || c->a.merge || c->a.load_ranges;
}

hb_status
calib_check(cli *c)
{
	static const char *const says[] = { "--calib", "--merge", "--load-ranges" };
	bool given[] = { c->a.calib.n > 0, c->a.merge, c->a.load_ranges != NULL };
	const char *first = NULL;

	/* the words of hb_mapper for where ranges come from */
	if (c->a.observer && (!strcmp(c->a.observer, "skip") || !strcmp(c->a.observer, "load")))
		c->a.calib.n = 0;
	if (!c->a.merge && c->nfiles > 1)
		return hb_error(c->cx, HB_ERR_USAGE, c->files[1], "option", "one model is taken; more files go with --merge");
	if (c->a.merge && c->nfiles < 2)
		return hb_error(c->cx, HB_ERR_USAGE, "--merge", "option", "takes files that --save-stats wrote, behind the model");
	for (size_t i = 0; i < HB_LEN(says); i++) {
		if (!given[i])
			continue;
		if (first)
			return hb_error(c->cx, HB_ERR_USAGE, says[i], "option", "does not go with %s: each says what the ranges are from", first);
		first = says[i];
	}
	if ((c->a.save_ranges || c->a.save_stats) && !c->a.calib.n && !c->a.merge)
		return hb_error(c->cx, HB_ERR_USAGE, c->a.save_stats ? "--save-stats" : "--save-ranges", "option", "needs samples (--calib)");
	if (c->a.save_ranges && c->a.save_stats)
		return hb_error(c->cx, HB_ERR_USAGE, "--save-stats", "option", "chooses no ranges to save: --save-ranges goes with --merge");
	const char *alone = c->a.print_config ? "--print-config" : c->a.save_stats ? "--save-stats" : NULL;
	if (alone && c->a.output && config_said(c, O_output))
		return hb_error(c->cx, HB_ERR_USAGE, "--output", "option", "does not go with %s, which makes no model", alone);
	if (c->a.print_config && (c->a.save_ranges || c->a.save_stats))
		return hb_error(c->cx, HB_ERR_USAGE, "--print-config", "option", "does not go with %s: it looks at no samples",
				c->a.save_stats ? "--save-stats" : "--save-ranges");
	return HB_OK;
}

static hb_status
model_crc(cli *c, uint32_t *crc)
{
	hb_file *f;

	HB_TRY(hb_file_map(c->cx, c->files[0], &f));
	*crc = (uint32_t)crc32_z(0, f->p, f->size);
	return HB_OK;
}

/* ---- statistics: magic, version, model, samples, the library's part, CRC32 of all before it ---- */

static const char magic[8] = "\x89HBSTAT";
enum { VERSION = 1, HEAD_BYTES = 8 + 4 + 4 + 8 + 8 + 4, TAIL_BYTES = 4 };

static hb_status
stats_write(cli *c, const hb_buf *stats)
{
	hb_buf b = {.cx = c->cx};
	uint32_t crc = 0;
	hb_status st = model_crc(c, &crc);

	hb_buf_add(&b, magic, sizeof(magic));
	hb_buf_u32(&b, VERSION);
	hb_buf_u32(&b, crc);
	hb_buf_u64(&b, (uint64_t)c->nsamples);
	hb_buf_u64(&b, c->samples_bytes);
	hb_buf_u32(&b, c->samples_crc);
	hb_buf_add(&b, stats->p, stats->len);
	hb_buf_u32(&b, b.p ? (uint32_t)crc32_z(0, (const uint8_t *)b.p, b.len) : 0);
	if (st == HB_OK && (b.bad || stats->bad))
		st = hb_nomem(c->cx, c->a.save_stats);
	if (st == HB_OK)
		st = hb_file_write(c->cx, c->a.save_stats, b.p, b.len);
	hb_buf_free(&b);
	return st;
}

static hb_status
stats_read(cli *c, const char *path, uint32_t model, hb_stats *out)
{
	hb_file *f;

	HB_TRY(hb_file_map(c->cx, path, &f));
	if (f->size < HEAD_BYTES + TAIL_BYTES || memcmp(f->p, magic, sizeof(magic)))
		return hb_error(c->cx, HB_ERR_INPUT, path, "stats", "is no file that --save-stats wrote");
	hb_cursor in = {.p = f->p + sizeof(magic), .end = f->p + f->size - TAIL_BYTES}, tail = {.p = in.end, .end = in.end + TAIL_BYTES};
	uint32_t version = hb_get_u32(&in), crc = hb_get_u32(&in);
	uint64_t n = hb_get_u64(&in), bytes = hb_get_u64(&in);
	uint32_t part = hb_get_u32(&in);
	if (version != VERSION)
		return hb_error(c->cx, HB_ERR_INPUT, path, "stats", "has version %u; %d is taken", version, VERSION);
	if (hb_get_u32(&tail) != (uint32_t)crc32_z(0, f->p, f->size - TAIL_BYTES))
		return hb_error(c->cx, HB_ERR_INPUT, path, "stats", "is damaged: its CRC32 does not fit");
	if (crc != model)
		return hb_error(c->cx, HB_ERR_INPUT, path, "stats", "is of another model: CRC32 %08lx, that of %s is %08lx", (unsigned long)crc,
				c->files[0], (unsigned long)model);
	if (n > INT64_MAX - (uint64_t)c->nsamples || bytes > INT64_MAX - c->samples_bytes)
		return hb_error(c->cx, HB_ERR_INPUT, path, "stats", "counts more samples than there can be");
	c->samples_crc = (uint32_t)crc32_combine(c->samples_crc, part, (z_off_t)bytes);
	c->samples_bytes += bytes;
	c->nsamples += (int64_t)n;
	*out = (hb_stats){.path = path, .bytes = in};
	return HB_OK;
}

/* ---- ranges ---- */

static json_t *
floats(const float *v, int64_t n)
{
	json_t *a = json_array();

	for (int64_t i = 0; i < n; i++)
		json_array_append_new(a, json_real(v[i]));
	return a;
}

static json_t *
reals(const double *v, int64_t n)
{
	json_t *a = json_array();

	for (int64_t i = 0; i < n; i++)
		json_array_append_new(a, json_real(v[i]));
	return a;
}

static json_t *
row_json(cli *c, const hb_range_row *r)
{
	json_t *j = json_object(), *clip = json_object();

	json_object_set_new(j, "tensor", js(c, r->name));
	json_object_set_new(j, "min", json_real(r->min));
	json_object_set_new(j, "max", json_real(r->max));
	json_object_set_new(clip, "qint8", json_real(r->clip8));
	json_object_set_new(clip, "qint16", json_real(r->clip16));
	json_object_set_new(j, "clip", clip);
	json_object_set_new(j, "observer", js(c, r->observer));
	if (r->nonfinite)
		json_object_set_new(j, "nonfinite", json_integer(r->nonfinite));
	if (r->nchannels)
		json_object_set_new(j, "channels", floats(r->channels, r->nchannels));
	if (r->nmeans) {
		json_t *m = json_object(), *quantized = json_array();

		json_object_set_new(m, "dim", json_integer(r->means_dim));
		json_object_set_new(m, "float", reals(r->means[0].v, r->nmeans));
		for (int k = 0; k < 2 && r->means[k].v; k++) {
			json_t *q = json_object();

			json_object_set_new(q, "type", json_string(r->means[k].dtype == HB_I16 ? "qint16" : "qint8"));
			if (r->means[k].nscales > 1)
				json_object_set_new(q, "scales", floats(r->means[k].scales, r->means[k].nscales));
			else
				json_object_set_new(q, "scale", json_real(r->means[k].scales[0]));
			json_object_set_new(q, "values", reals(r->means[k].v + r->nmeans, r->nmeans));
			json_array_append_new(quantized, q);
		}
		json_object_set_new(m, "quantized", quantized);
		json_object_set_new(j, "means", m);
	}
	return j;
}

static void
add_json(hb_buf *b, json_t *j)
{
	char *s = json_dumps(j, JSON_COMPACT | JSON_ENSURE_ASCII);

	b->bad |= !s;
	hb_buf_str(b, s ? s : "");
	free(s);
	json_decref(j);
}

/* One line a tensor, so that a diff shows what moved. */
static hb_status
ranges_write(cli *c, const hb_ranges *r)
{
	hb_buf b = {.cx = c->cx};
	uint32_t crc = 0;
	hb_status st = model_crc(c, &crc);

	hb_buf_printf(&b, "{\n\"schema\": \"hbcc.ranges/1\",\n\"model\": {\"crc32\": \"%08lx\"},\n", (unsigned long)crc);
	hb_buf_printf(&b, "\"samples\": {\"crc32\": \"%08lx\", \"count\": %lld},\n\"tensors\": [", (unsigned long)c->samples_crc, (long long)c->nsamples);
	for (const hb_range_row *row = r->first; row; row = row->next) {
		hb_buf_str(&b, row == r->first ? "\n" : ",\n");
		add_json(&b, row_json(c, row));
	}
	hb_buf_str(&b, "\n]\n}\n");
	if (st == HB_OK)
		st = b.bad ? hb_nomem(c->cx, c->a.save_ranges) : hb_file_write(c->cx, c->a.save_ranges, b.p, b.len);
	hb_buf_free(&b);
	return st;
}

static hb_status
ranges_error(cli *c, const char *tensor, const char *what)
{
	return hb_error(c->cx, HB_ERR_INPUT, c->a.load_ranges, "ranges", "%s%s%s%s", tensor ? "tensor '" : "", tensor ? tensor : "", tensor ? "': " : "",
			what);
}

/* A finite number at `key` of j, as float, not below `least`. */
static bool
get_real(const json_t *j, const char *key, double least, float *out)
{
	const json_t *v = json_object_get(j, key);
	double x = json_number_value(v);

	*out = (float)x;
	return json_is_number(v) && x >= least && x <= 3.402823466e38 && x >= -3.402823466e38;
}

static bool
get_doubles(const json_t *j, double *to, size_t n)
{
	if (json_array_size(j) != n)
		return false;
	for (size_t i = 0; i < n; i++) {
		const json_t *v = json_array_get(j, i);

		if (!json_is_number(v))
			return false;
		to[i] = json_number_value(v);
	}
	return true;
}

/* *v: the n numbers of a, which are ok from 0 on, as float. */
static hb_status
read_magnitudes(cli *c, hb_ranges *to, const json_t *a, const float **v, int64_t *n, bool *ok)
{
	float *x = HB_NEW_N(to->arena, float, HB_MAX(json_array_size(a), 1));

	if (!x)
		return hb_nomem(c->cx, c->a.load_ranges);
	*v = x;
	*n = (int64_t)json_array_size(a);
	*ok = json_is_array(a);
	for (int64_t i = 0; i < *n; i++) {
		double m = json_number_value(json_array_get(a, (size_t)i));

		*ok = *ok && m >= 0 && m <= 3.402823466e38;
		x[i] = (float)m;
	}
	return HB_OK;
}

/* "scale" is one for all, "scales" one a channel. */
static hb_status
read_scales(cli *c, hb_ranges *to, const json_t *q, hb_range_row *row, size_t k, bool *ok)
{
	const json_t *many = json_object_get(q, "scales");

	if (many)
		return read_magnitudes(c, to, many, &row->means[k].scales, &row->means[k].nscales, ok);
	float *one = HB_NEW(to->arena, float);

	if (!one)
		return hb_nomem(c->cx, c->a.load_ranges);
	*ok = get_real(q, "scale", 0, one);
	row->means[k].scales = one;
	row->means[k].nscales = 1;
	return HB_OK;
}

static hb_status
read_means(cli *c, hb_ranges *to, hb_range_row *row, const json_t *m)
{
	json_int_t dim = json_integer_value(json_object_get(m, "dim"));
	const json_t *f = json_object_get(m, "float"), *quantized = json_object_get(m, "quantized");
	size_t n = json_array_size(f), nq = json_array_size(quantized);
	bool ok = n && dim >= 0 && dim < HB_MAX_RANK && nq >= 1 && nq <= HB_LEN(row->means);

	for (size_t k = 0; k < nq && ok; k++) {
		const json_t *q = json_array_get(quantized, k);
		const char *type = json_string_value(json_object_get(q, "type"));
		double *v = HB_NEW_N(to->arena, double, 2 * n);

		if (!v)
			return hb_nomem(c->cx, c->a.load_ranges);
		HB_TRY(read_scales(c, to, q, row, k, &ok));
		ok = ok && type && get_doubles(f, v, n) && get_doubles(json_object_get(q, "values"), v + n, n);
		row->means[k].dtype = type && !strcmp(type, "qint16") ? HB_I16 : HB_I8;
		row->means[k].v = v;
	}
	row->means_dim = (int)dim;
	row->nmeans = (int64_t)n;
	return ok ? HB_OK : ranges_error(c, row->name, "\"means\" are not as --save-ranges writes them");
}

static hb_status
read_row(cli *c, hb_ranges *to, const json_t *j)
{
	static const char *const chosen_by = "a range of the file";
	const char *name = json_string_value(json_object_get(j, "tensor")), *by = json_string_value(json_object_get(j, "observer"));
	const json_t *clip = json_object_get(j, "clip"), *ch = json_object_get(j, "channels"), *means = json_object_get(j, "means");
	hb_observer_kind kind;

	if (!name)
		return ranges_error(c, NULL, "a row of \"tensors\" names no tensor");
	if (hb_ranges_find(to, name))
		return ranges_error(c, name, "has two rows");
	hb_range_row *row = hb_ranges_add(to, name);
	if (!row)
		return hb_nomem(c->cx, c->a.load_ranges);
	row->observer = by && hb_observer_kind_of(by, &kind) ? hb_observer_name(kind) : chosen_by;
	row->nonfinite = json_integer_value(json_object_get(j, "nonfinite"));
	if (!get_real(j, "min", -HUGE_VAL, &row->min) || !get_real(j, "max", row->min, &row->max))
		return ranges_error(c, name, "\"min\" and \"max\" are no range");
	if (!get_real(clip, "qint8", 0, &row->clip8) || !get_real(clip, "qint16", 0, &row->clip16))
		return ranges_error(c, name, "\"clip\" has not \"qint8\" and \"qint16\", numbers from 0 on");
	if (ch) {
		bool ok;

		HB_TRY(read_magnitudes(c, to, ch, &row->channels, &row->nchannels, &ok));
		if (!ok)
			return ranges_error(c, name, "\"channels\" are no magnitudes");
	}
	return means ? read_means(c, to, row, means) : HB_OK;
}

static hb_status
ranges_take(cli *c, const json_t *j, hb_ranges *to)
{
	const char *schema = json_string_value(json_object_get(j, "schema"));
	const char *crc = json_string_value(json_object_get(json_object_get(j, "model"), "crc32"));
	const json_t *part = json_object_get(j, "samples"), *rows = json_object_get(j, "tensors");
	const char *samples_crc = json_string_value(json_object_get(part, "crc32"));
	uint32_t model;

	if (!schema || strcmp(schema, "hbcc.ranges/1"))
		return ranges_error(c, NULL, "is no file that --save-ranges wrote: \"schema\" is not \"hbcc.ranges/1\"");
	HB_TRY(model_crc(c, &model));
	if (!crc || strtoul(crc, NULL, 16) != model)
		return hb_error(c->cx, HB_ERR_INPUT, c->a.load_ranges, "ranges", "is of another model: CRC32 %s, that of %s is %08lx", crc ? crc : "missing",
				c->files[0], (unsigned long)model);
	c->samples_crc = samples_crc ? (uint32_t)strtoul(samples_crc, NULL, 16) : 0;
	c->nsamples = json_integer_value(json_object_get(part, "count"));
	for (size_t i = 0; i < json_array_size(rows); i++)
		HB_TRY(read_row(c, to, json_array_get(rows, i)));
	return HB_OK;
}

static hb_status
ranges_read(cli *c, const hb_ranges **out)
{
	hb_ranges *to = hb_ranges_new(c->arena);
	json_error_t e;
	hb_file *f;

	HB_TRY(hb_file_map(c->cx, c->a.load_ranges, &f));
	if (!to)
		return hb_nomem(c->cx, c->a.load_ranges);
	json_t *j = json_loadb(f->p ? (const char *)f->p : "", f->size, JSON_REJECT_DUPLICATES, &e);
	if (!j)
		return hb_error(c->cx, HB_ERR_INPUT, c->a.load_ranges, "ranges", "line %d: is no JSON: %s", e.line, e.text);
	hb_status st = ranges_take(c, j, to);
	json_decref(j);
	*out = to;
	return st;
}

/* ---- for the pipeline ---- */

hb_status
calib_load(cli *c, hb_calib_options *o)
{
	uint32_t model;

	if (c->a.load_ranges)
		return ranges_read(c, &o->ranges);
	if (!c->a.merge)
		return HB_OK;
	size_t n = (size_t)c->nfiles - 1;
	hb_stats *s = HB_NEW_N(c->arena, hb_stats, n);
	if (!s)
		return hb_nomem(c->cx, NULL);
	HB_TRY(model_crc(c, &model));
	for (size_t i = 0; i < n; i++)
		HB_TRY(stats_read(c, c->files[i + 1], model, &s[i]));
	o->stats = s;
	o->nstats = n;
	return HB_OK;
}

hb_status
calib_open(cli *c, hb_calib_options *o)
{
	if (c->a.save_ranges && !(o->save_ranges = hb_ranges_new(c->arena)))
		return hb_nomem(c->cx, NULL);
	if (!c->a.save_stats)
		return HB_OK;
	o->save_stats = HB_NEW(c->arena, hb_buf);
	if (!o->save_stats)
		return hb_nomem(c->cx, NULL);
	o->save_stats->cx = c->cx;
	return HB_OK;
}

hb_status
calib_save(cli *c, hb_calib_options *o, hb_status st)
{
	if (st == HB_OK && o->save_ranges)
		st = ranges_write(c, o->save_ranges);
	if (st == HB_OK && o->save_stats)
		st = stats_write(c, o->save_stats);
	if (o->save_stats)
		hb_buf_free(o->save_stats);
	return st;
}
