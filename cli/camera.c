/* camera.c: pictures as values of an input that takes what a camera gives: bytes less 128, channels first. */
#include "cli/cli.h"

#include "ops/horizon.h"

#include <math.h>

#define KEY "hbcc.input."

char *
camera_key(cli *c, const char *input)
{
	return hb_arena_printf(c->arena, KEY "%s", input);
}

bool
camera_is_key(const char *key)
{
	return !strncmp(key, KEY, strlen(KEY));
}

char *
camera_text(cli *c, const hb_camera *k, const char *layout)
{
	return hb_arena_printf(c->arena, "%s %s %s", hb_pixels_name(k->rt), k->video ? "bt601_video" : "regular", layout);
}

hb_status
camera_port(cli *c, const hb_meta *meta, port *p)
{
	const char *said = hb_meta_get(meta, camera_key(c, p->name));
	char word[16], text[HB_SHAPE_TEXT];
	size_t n = said ? strcspn(said, " ") : 0;

	p->camera = NULL;
	if (!said || n >= sizeof(word))
		return HB_OK;
	memcpy(word, said, n);
	word[n] = 0;
	hb_camera *k = HB_NEW(c->arena, hb_camera);
	if (!k)
		return hb_nomem(c->cx, p->name);
	if (!hb_pixels_of(word, &k->rt) || !hb_pixels_fit(k->rt, &p->shape))
		return hb_error(c->cx, HB_ERR_INPUT, p->name, "input-type", "the file says it takes '%s'; its shape, %s, is not that of such pictures", said,
				hb_shape_text(&p->shape, text));
	k->video = strstr(said, "bt601_video");
	k->nhwc = !strstr(said, "NCHW");
	k->train = k->rt;
	p->camera = k;
	return HB_OK;
}

typedef struct picture {
	int64_t n, ch, h, w;		/* of the input */
	const hb_camera *k;
	bool nhwc;			/* the source has channels last */
	hb_pixels from;			/* what the source has */
} picture;

static int64_t
bytes_of(const picture *p)
{
	return p->from == HB_PIXELS_NV12 ? p->n * p->h * p->w * 3 / 2 : p->n * p->h * p->w * p->ch;
}

static picture
picture_of(const port *p)
{
	return (picture){
		.n = p->shape.dim[0], .ch = p->shape.dim[1], .h = p->shape.dim[2], .w = p->shape.dim[3], .k = p->camera,
		.nhwc = p->camera->nhwc, .from = p->train ? p->camera->train : p->camera->rt,
	};
}

static double
byte_of(double v)
{
	return fmin(fmax(floor(v + 0.5), 0), 255);
}

/* Pixel values of `from` colours as those of the input. */
static void
convert(const picture *p, const double in[3], float out[3])
{
	bool rgb_in = p->from == HB_PIXELS_RGB || p->from == HB_PIXELS_BGR, rgb_out = p->k->rt == HB_PIXELS_RGB || p->k->rt == HB_PIXELS_BGR;
	hb_yuv yuv;

	for (int o = 0; o < 3; o++)
		out[o] = (float)in[rgb_in && rgb_out && p->from != p->k->rt ? 2 - o : o];
	if (!rgb_in || rgb_out)
		return;
	hb_yuv_of(!p->k->video, &yuv);
	for (int o = 0; o < 3; o++) {
		double sum = yuv.offset[o];

		for (int c = 0; c < 3; c++)
			sum += yuv.rgb[o][c] / 256.0 * in[p->from == HB_PIXELS_BGR ? 2 - c : c];
		out[o] = (float)byte_of(sum);
	}
}

/* Value c of pixel (y, x) of picture n. */
static double
pixel(const picture *p, const void *data, hb_dtype dt, int64_t n, int64_t y, int64_t x, int64_t c)
{
	int64_t plane = p->h * p->w, at;

	if (p->from == HB_PIXELS_NV12) {
		at = n * plane * 3 / 2;
		at += c == 0 ? y * p->w + x : plane + y / 2 * p->w + x / 2 * 2 + (c - 1);
	} else {
		at = p->nhwc ? ((n * p->h + y) * p->w + x) * p->ch + c : ((n * p->ch + c) * p->h + y) * p->w + x;
	}
	return dt == HB_F32 ? (double)((const float *)data)[at] : ((const uint8_t *)data)[at];
}

static void
fill(const picture *p, const void *data, hb_dtype dt, float *out)
{
	int64_t plane = p->h * p->w;

	for (int64_t n = 0; n < p->n; n++)
		for (int64_t y = 0; y < p->h; y++)
			for (int64_t x = 0; x < p->w; x++) {
				double in[3] = {0};
				float v[3];

				for (int64_t c = 0; c < p->ch; c++)
					in[c] = pixel(p, data, dt, n, y, x, c);
				if (p->ch == 3)
					convert(p, in, v);
				else
					v[0] = (float)in[0];
				for (int64_t c = 0; c < p->ch; c++)
					out[(n * p->ch + c) * plane + y * p->w + x] = v[c] - 128;
			}
}

/* NV12 has one chroma for four pixels. */
static void
share_chroma(const picture *p, float *out)
{
	int64_t plane = p->h * p->w;

	for (int64_t c = 1; c < 3; c++)
		for (int64_t y = 0; y < p->h; y += 2)
			for (int64_t x = 0; x < p->w; x += 2) {
				float *at = out + c * plane + y * p->w + x;
				float mean = (float)byte_of(128 + (at[0] + at[1] + at[p->w] + at[p->w + 1]) / 4.0) - 128;

				at[0] = at[1] = at[p->w] = at[p->w + 1] = mean;
			}
}

static hb_status
wrong(cli *c, const array *a, const port *p, const picture *pic)
{
	return hb_error(c->cx, HB_ERR_INPUT, a->path, "sample", "is no picture for input '%s': %lldx%lld %s, %s%lld bytes or a .jpg or .png", p->name,
			(long long)pic->w, (long long)pic->h, hb_pixels_name(pic->from), p->train ? "an array of it, " : "", (long long)bytes_of(pic));
}

bool
camera_takes(const array *a, const port *p)
{
	return p->camera && (a->image || a->raw || p->train);
}

hb_status
camera_count(cli *c, const array *a, const port *p, int64_t *n)
{
	picture pic = picture_of(p);
	int64_t elems = bytes_of(&pic);

	*n = 1;
	if (a->image)
		return a->shape.dim[0] == pic.h && a->shape.dim[1] == pic.w && pic.n == 1 ? HB_OK : wrong(c, a, p, &pic);
	int64_t size = a->raw && p->train && !config_raw_uint8(c) ? 4 : 1, have = a->raw ? a->shape.dim[0] : hb_shape_elems(&a->shape);
	if ((!a->raw && a->dtype != HB_F32 && a->dtype != HB_U8) || !elems || !have || have % (elems * size))
		return wrong(c, a, p, &pic);
	/* an array's last dimensions are the picture's */
	const int64_t want[3] = {pic.nhwc ? pic.h : pic.ch, pic.nhwc ? pic.w : pic.h, pic.nhwc ? pic.ch : pic.w};
	if (!a->raw && (a->shape.rank < 3 || memcmp(a->shape.dim + a->shape.rank - 3, want, sizeof(want))))
		return wrong(c, a, p, &pic);
	*n = have / (elems * size);
	return HB_OK;
}

hb_status
camera_sample(cli *c, const array *a, const port *p, int64_t k, float *out)
{
	picture pic = picture_of(p);
	int64_t n;

	HB_TRY(camera_count(c, a, p, &n));
	if (!a->image) {
		hb_dtype dt = a->raw && p->train && !config_raw_uint8(c) ? HB_F32 : a->raw ? HB_U8 : a->dtype;

		fill(&pic, (const uint8_t *)a->data + k * bytes_of(&pic) * (dt == HB_F32 ? 4 : 1), dt, out);
		return HB_OK;
	}
	bool nv12 = !p->train && pic.k->rt == HB_PIXELS_NV12;
	pic.from = HB_PIXELS_RGB;
	pic.nhwc = true;
	if (pic.ch == 3) {
		fill(&pic, a->data, HB_U8, out);
		if (nv12)
			share_chroma(&pic, out);
		return HB_OK;
	}
	for (int64_t i = 0; i < pic.h * pic.w; i++) {
		const uint8_t *q = (const uint8_t *)a->data + i * 3;

		out[i] = (float)byte_of(0.299 * q[0] + 0.587 * q[1] + 0.114 * q[2]) - 128;
	}
	return HB_OK;
}
