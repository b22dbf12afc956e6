/* arrays.c: arrays in files: .npy, .npz, .pb (TensorProto), raw .bin, .jpg and .png in; .npy, .pb, raw out.
 * Everything a file says is bounded by its size and by --max-memory before it is used. */
#include "cli/cli.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#ifdef HB_HAVE_JPEG
#include <jpeglib.h>
#endif
#ifdef HB_HAVE_PNG
#include <png.h>
#endif

/* Images and inflated arrays are held in memory: their limit besides --max-memory. */
#define MAX_IMAGE_SIDE 65535

static hb_status bad(hb_ctx *cx, const char *path, const char *fmt, ...) HB_PRINTF(3, 4);
static hb_status
bad(hb_ctx *cx, const char *path, const char *fmt, ...)
{
	const char *was = cx->file;
	va_list ap;

	cx->file = path;
	va_start(ap, fmt);
	hb_vdiag(cx, HB_ERROR, HB_ERR_INPUT, NULL, "sample", fmt, ap);
	va_end(ap);
	cx->file = was;
	return HB_ERR_INPUT;
}

static hb_status
system_error(hb_ctx *cx, const char *path, const char *what)
{
	const char *was = cx->file;
	int e = errno;

	cx->file = path;
	hb_error(cx, HB_ERR_SYSTEM, NULL, what, "%s", strerror(e));
	cx->file = was;
	return HB_ERR_SYSTEM;
}

static bool
ends_with(const char *s, const char *suffix)
{
	size_t n = strlen(s), k = strlen(suffix);

	return n > k && !strcasecmp(s + n - k, suffix);
}

bool
is_image(const char *path)
{
	return ends_with(path, ".jpg") || ends_with(path, ".jpeg") || ends_with(path, ".png");
}

static hb_status
map_file(hb_ctx *cx, const char *path, array *out)
{
	struct stat sb;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return system_error(cx, path, "open");
	if (fstat(fd, &sb)) {
		close(fd);
		return system_error(cx, path, "read");
	}
	if (!S_ISREG(sb.st_mode)) {
		close(fd);
		return bad(cx, path, "is no regular file");
	}
	if (sb.st_size > 0) {
		out->map = mmap(NULL, (size_t)sb.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (out->map == MAP_FAILED) {
			out->map = NULL;
			close(fd);
			return system_error(cx, path, "read");
		}
		out->map_bytes = (size_t)sb.st_size;
	}
	close(fd);
	return HB_OK;
}

static hb_status
hold(hb_ctx *cx, array *a, size_t bytes)
{
	a->big = hb_big_alloc(cx, bytes ? bytes : 1);
	if (!a->big)
		return hb_nomem(cx, a->path);
	a->big_bytes = bytes ? bytes : 1;
	return HB_OK;
}

void
array_free(hb_ctx *cx, array *a)
{
	if (a->map)
		munmap(a->map, a->map_bytes);
	if (a->big)
		hb_big_free(cx, a->big, a->big_bytes);
	*a = (array){0};
}

void
array_passed(const array *a, int64_t at, int64_t count)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), passed = a->map_bytes / (size_t)count * (size_t)at;

	if (a->map && passed >= page)
		madvise(a->map, passed / page * page, MADV_DONTNEED);
}

/* ---- npy ---- */

typedef enum convert_kind { AS_IS, HALF, DOUBLE } convert_kind;

/* numpy's type characters; the bytes an element takes tell which. */
static bool
npy_type(const char *descr, hb_dtype *dt, convert_kind *how, bool *swap)
{
	static const struct {
		const char *code;
		hb_dtype dt;
		convert_kind how;
	} rows[] = {
		{"f4", HB_F32, AS_IS}, {"f2", HB_F32, HALF},  {"f8", HB_F32, DOUBLE}, {"i1", HB_I8, AS_IS},
		{"u1", HB_U8, AS_IS},  {"i2", HB_I16, AS_IS}, {"u2", HB_U16, AS_IS},  {"i4", HB_I32, AS_IS},
		{"u4", HB_U32, AS_IS}, {"i8", HB_I64, AS_IS}, {"u8", HB_U64, AS_IS},  {"b1", HB_BOOL, AS_IS},
	};

	*swap = descr[0] == '>';
	if (strchr("<>|=", descr[0]) && descr[0])
		descr++;
	for (size_t i = 0; i < HB_LEN(rows); i++) {
		if (!strcmp(descr, rows[i].code)) {
			*dt = rows[i].dt;
			*how = rows[i].how;
			return true;
		}
	}
	return false;
}

static float
half_to_float(uint16_t h)
{
	int e = h >> 10 & 31, f = h & 1023;
	float v = e == 31 ? (f ? NAN : INFINITY) : e ? ldexpf((float)(1024 + f), e - 25) : ldexpf((float)f, -24);

	return h & 0x8000 ? -v : v;
}

/* The value of `key` in the header's dictionary, up to what ends it. */
static const char *
header_find(const char *h, const char *key)
{
	const char *p = strstr(h, key);

	if (!p)
		return NULL;
	p += strlen(key);
	p += strspn(p, " :");
	return p;
}

static hb_status
npy_parse(hb_ctx *cx, array *a, const uint8_t *p, size_t n)
{
	hb_cursor cur = {p, p + n, false};
	const uint8_t *magic = hb_get_bytes(&cur, 6);
	uint8_t major = hb_get_u8(&cur);
	char *h, descr[16] = "";
	convert_kind how = AS_IS;
	bool swap = false;

	hb_get_u8(&cur);
	if (!magic || memcmp(magic, "\x93NUMPY", 6))
		return bad(cx, a->path, "is no .npy file: it does not begin with \\x93NUMPY");
	uint64_t hlen = major == 1 ? hb_get_u16(&cur) : hb_get_u32(&cur);
	const uint8_t *head = hlen < 1 << 20 ? hb_get_bytes(&cur, hlen) : NULL;
	if (!head)
		return bad(cx, a->path, "ends inside the .npy header");
	h = malloc(hlen + 1);
	if (!h)
		return hb_nomem(cx, a->path);
	memcpy(h, head, hlen);
	h[hlen] = 0;

	hb_status st = HB_OK;
	const char *d = header_find(h, "'descr'"), *fo = header_find(h, "'fortran_order'"),
		   *sh = header_find(h, "'shape'");
	if (!d || !fo || !sh || *sh != '(' || *d != '\'')
		st = bad(cx, a->path, "has a .npy header without descr, fortran_order and shape of one array");
	if (st == HB_OK) {
		snprintf(descr, sizeof(descr), "%.*s", (int)HB_MIN(strcspn(d + 1, "'"), sizeof(descr) - 1), d + 1);
		if (!npy_type(descr, &a->dtype, &how, &swap))
			st = bad(cx, a->path, "holds type '%s'; float16, float32, float64, integers and bool are taken",
				 descr);
	}
	if (st == HB_OK) {
		sh++;
		while (*sh != ')') {
			char *end;

			sh += strspn(sh, " ,L");
			if (*sh == ')')
				break;
			errno = 0;
			long long v = strtoll(sh, &end, 10);
			if (end == sh || v < 0 || errno || a->shape.rank == HB_MAX_RANK) {
				st = bad(cx, a->path, "has a .npy header whose shape is no list of at most %d sizes",
					 HB_MAX_RANK);
				break;
			}
			a->shape.dim[a->shape.rank++] = v;
			sh = end;
		}
	}
	bool fortran = st == HB_OK && !strncmp(fo, "True", 4) && a->shape.rank > 1;
	free(h);
	HB_TRY(st);

	size_t size = how == HALF ? 2 : how == DOUBLE ? 8 : hb_dtype_size(a->dtype);
	int64_t elems = 1, bytes;
	char text[HB_SHAPE_TEXT];
	for (int i = 0; i < a->shape.rank; i++)
		if (!hb_mul64(elems, a->shape.dim[i], &elems))
			return bad(cx, a->path, "says shape %s, more than can be", hb_shape_text(&a->shape, text));
	if (!hb_mul64(elems, (int64_t)size, &bytes) || bytes != cur.end - cur.p)
		return bad(cx, a->path, "holds %lld bytes of data; shape %s of %s takes %lld",
			   (long long)(cur.end - cur.p), hb_shape_text(&a->shape, text), descr, (long long)bytes);
	if (how == AS_IS && !swap && !fortran && (uintptr_t)cur.p % size == 0) {
		a->data = cur.p;
		return HB_OK;
	}

	/* Anything else is brought into C order, this machine's byte order, and float32. */
	size_t to = hb_dtype_size(a->dtype);
	array raw = *a;
	if (raw.big) /* an inflated member: it moves to a new block */
		a->big = NULL;
	st = hold(cx, a, (size_t)elems * to);
	if (st != HB_OK) {
		a->big = raw.big;
		a->big_bytes = raw.big_bytes;
		return st;
	}
	for (int64_t i = 0; i < elems; i++) {
		int64_t from = i;
		uint8_t e[8];

		if (fortran) {
			int64_t rest = i, step = 1;
			int64_t at[HB_MAX_RANK];

			for (int k = a->shape.rank; k-- > 0; rest /= a->shape.dim[k])
				at[k] = rest % a->shape.dim[k];
			from = 0;
			for (int k = 0; k < a->shape.rank; step *= a->shape.dim[k], k++)
				from += at[k] * step;
		}
		for (size_t k = 0; k < size; k++)
			e[k] = cur.p[(size_t)from * size + (swap ? size - 1 - k : k)];
		if (how == HALF) {
			((float *)a->big)[i] = half_to_float((uint16_t)(e[0] | e[1] << 8));
		} else if (how == DOUBLE) {
			double v;

			memcpy(&v, e, 8);
			((float *)a->big)[i] = (float)v;
		} else {
			memcpy((uint8_t *)a->big + (size_t)i * size, e, size);
		}
	}
	if (raw.big)
		hb_big_free(cx, raw.big, raw.big_bytes);
	a->data = a->big;
	return HB_OK;
}

/* ---- npz: a zip of .npy, stored or deflated ---- */

typedef struct zip_member {
	const char *name; /* in the file, not terminated */
	size_t name_len;  /* without ".npy" */
	int method;       /* 0 stored, 8 deflated */
	uint32_t crc;
	uint64_t packed, size, at; /* at: of the local header */
} zip_member;

/* Calls fn for each member of the central directory until it returns true. */
static hb_status
zip_walk(hb_ctx *cx, const array *a, bool (*fn)(void *arg, const zip_member *m), void *arg)
{
	const uint8_t *p = a->map;
	size_t n = a->map_bytes, end = 0;

	/* the end record is 22 bytes and a comment of at most 65535 */
	for (size_t back = 22; back <= n && back <= 22 + 65535; back++) {
		if (!memcmp(p + n - back, "PK\5\6", 4)) {
			end = n - back;
			break;
		}
	}
	if (n < 22 || memcmp(p + end, "PK\5\6", 4))
		return bad(cx, a->path, "is no .npz file: it has no zip directory");
	hb_cursor c = {p + end + 10, p + n, false};
	uint64_t count = hb_get_u16(&c);
	hb_get_u32(&c);
	uint64_t at = hb_get_u32(&c);
	if (at > end)
		return bad(cx, a->path, "has a zip directory outside the file; zip64 is not taken");
	c = (hb_cursor){p + at, p + end, false};
	for (uint64_t i = 0; i < count; i++) {
		zip_member m = {0};

		if (hb_get_u32(&c) != 0x02014b50)
			return bad(cx, a->path, "has a damaged zip directory");
		hb_get_bytes(&c, 6);
		m.method = hb_get_u16(&c);
		hb_get_u32(&c);
		m.crc = hb_get_u32(&c);
		m.packed = hb_get_u32(&c);
		m.size = hb_get_u32(&c);
		uint16_t nlen = hb_get_u16(&c), xlen = hb_get_u16(&c), clen = hb_get_u16(&c);
		hb_get_bytes(&c, 8);
		m.at = hb_get_u32(&c);
		m.name = (const char *)hb_get_bytes(&c, nlen);
		hb_get_bytes(&c, xlen);
		hb_get_bytes(&c, clen);
		if (c.bad || !m.name)
			return bad(cx, a->path, "has a damaged zip directory");
		m.name_len = nlen > 4 && !memcmp(m.name + nlen - 4, ".npy", 4) ? nlen - 4u : nlen;
		if (fn(arg, &m))
			break;
	}
	return HB_OK;
}

struct find {
	const char *want;
	zip_member got;
	size_t count;
};

static bool
find_member(void *arg, const zip_member *m)
{
	struct find *f = arg;

	f->count++;
	if (f->want && (strlen(f->want) != m->name_len || memcmp(f->want, m->name, m->name_len)))
		return false;
	f->got = *m;
	return f->want != NULL;
}

static hb_status
npz_parse(hb_ctx *cx, array *a, const char *member)
{
	struct find f = {.want = member};

	HB_TRY(zip_walk(cx, a, find_member, &f));
	if (!f.got.name && member)
		return bad(cx, a->path, "has no array '%s'", member);
	if (!f.got.name || (!member && f.count > 1))
		return bad(cx, a->path, "holds %zu arrays; one is taken where an input is named", f.count);
	zip_member *m = &f.got;
	hb_cursor c = {(const uint8_t *)a->map + HB_MIN(m->at, a->map_bytes), (const uint8_t *)a->map + a->map_bytes,
		       false};
	if (hb_get_u32(&c) != 0x04034b50)
		return bad(cx, a->path, "has a damaged zip member");
	hb_get_bytes(&c, 22);
	uint16_t nlen = hb_get_u16(&c), xlen = hb_get_u16(&c);
	hb_get_bytes(&c, (uint64_t)nlen + xlen);
	const uint8_t *packed = hb_get_bytes(&c, m->packed);
	if (c.bad || (!packed && m->packed))
		return bad(cx, a->path, "ends inside a zip member");
	if (m->method == 0)
		return npy_parse(cx, a, packed, m->packed);
	if (m->method != 8)
		return bad(cx, a->path, "has a zip member of method %d; stored and deflated are taken", m->method);
	/* deflate packs at most 1032 to 1 */
	if (m->size / 1032 > m->packed + 16)
		return bad(cx, a->path, "has a zip member that says more bytes than it can hold");
	HB_TRY(hold(cx, a, m->size));
	z_stream z = {.next_in = (Bytef *)(uintptr_t)packed,
		      .avail_in = (uInt)m->packed,
		      .next_out = a->big,
		      .avail_out = (uInt)m->size};
	int rc = inflateInit2(&z, -MAX_WBITS);
	if (rc == Z_OK) {
		rc = inflate(&z, Z_FINISH);
		inflateEnd(&z);
	}
	if (rc != Z_STREAM_END || z.total_out != m->size || crc32(0, a->big, (uInt)m->size) != m->crc)
		return bad(cx, a->path, "has a damaged zip member");
	return npy_parse(cx, a, a->big, m->size);
}

struct names {
	hb_arena *a;
	const char **v;
	size_t n, cap;
	bool nomem;
};

static bool
add_name(void *arg, const zip_member *m)
{
	struct names *s = arg;

	s->nomem =
		!HB_GROW(s->a, &s->v, &s->cap, s->n + 1) || !(s->v[s->n++] = hb_arena_strn(s->a, m->name, m->name_len));
	return s->nomem;
}

hb_status
npz_names(hb_ctx *cx, const char *path, hb_arena *arena, const char ***names, size_t *n)
{
	struct names s = {.a = arena};
	array a = {.path = path};
	hb_status st = map_file(cx, path, &a);

	if (st == HB_OK)
		st = zip_walk(cx, &a, add_name, &s);
	array_free(cx, &a);
	if (st == HB_OK && s.nomem)
		st = hb_nomem(cx, path);
	*names = s.v;
	*n = s.n;
	return st;
}

/* ---- TensorProto ---- */

static hb_status
pb_parse(hb_ctx *cx, array *a)
{
	const char *was = cx->file;
	hb_graph *g = hb_graph_new(cx);
	hb_tensor *t = NULL;
	hb_status st;

	if (!g)
		return hb_nomem(cx, a->path);
	cx->file = a->path;
	st = hb_onnx_parse_tensor(g, a->map, a->map_bytes, &t);
	const void *p = NULL;
	if (st == HB_OK) {
		p = hb_tensor_data(g, t);
		if (!p && hb_tensor_elems(t) > 0)
			st = HB_ERR_NOMEM;
	}
	if (st == HB_OK) {
		a->dtype = t->dtype;
		a->shape = t->shape;
		st = hold(cx, a, hb_tensor_bytes(t));
	}
	if (st == HB_OK) {
		if (p)
			memcpy(a->big, p, hb_tensor_bytes(t));
		a->data = a->big;
	}
	hb_graph_free(g);
	cx->file = was;
	return st;
}

/* ---- images: rows, columns, RGB bytes ---- */

static hb_status
image_shape(hb_ctx *cx, array *a, int64_t h, int64_t w)
{
	a->image = true;
	a->dtype = HB_U8;
	a->shape = (hb_shape){.rank = 3, .dim = {h, w, 3}};
	HB_TRY(hold(cx, a, (size_t)(h * w * 3)));
	a->data = a->big;
	return HB_OK;
}

#ifdef HB_HAVE_JPEG
struct jpeg_fail {
	struct jpeg_error_mgr mgr;
	jmp_buf back;
	char text[JMSG_LENGTH_MAX];
};

static void
jpeg_leave(j_common_ptr j)
{
	struct jpeg_fail *f = (struct jpeg_fail *)j->err;

	j->err->format_message(j, f->text);
	longjmp(f->back, 1);
}

static void
jpeg_quiet(j_common_ptr j, int level)
{
	(void)j, (void)level;
}

static void
damaged(hb_ctx *cx, const char *path)
{
	const char *was = cx->file;

	cx->file = path;
	hb_warn(cx, NULL, "sample", "is a damaged JPEG: parts of the picture may be missing");
	cx->file = was;
}

static hb_status
jpeg_parse(hb_ctx *cx, array *a)
{
	struct jpeg_decompress_struct j;
	struct jpeg_fail f;
	volatile hb_status st = HB_OK;

	j.err = jpeg_std_error(&f.mgr);
	f.mgr.error_exit = jpeg_leave;
	f.mgr.emit_message = jpeg_quiet;
	if (setjmp(f.back)) {
		jpeg_destroy_decompress(&j);
		return bad(cx, a->path, "is no JPEG that can be read: %s", f.text);
	}
	jpeg_create_decompress(&j);
	jpeg_mem_src(&j, a->map, a->map_bytes);
	jpeg_read_header(&j, TRUE);
	j.out_color_space = JCS_RGB;
	j.dct_method = JDCT_ISLOW;
	jpeg_start_decompress(&j);
	st = image_shape(cx, a, j.output_height, j.output_width);
	while (st == HB_OK && j.output_scanline < j.output_height) {
		JSAMPROW row = (JSAMPROW)a->big + (size_t)j.output_scanline * j.output_width * 3;

		jpeg_read_scanlines(&j, &row, 1);
	}
	if (st == HB_OK)
		jpeg_finish_decompress(&j);
	if (st == HB_OK && j.err->num_warnings)
		damaged(cx, a->path);
	jpeg_destroy_decompress(&j);
	return st;
}
#else
static hb_status
jpeg_parse(hb_ctx *cx, array *a)
{
	return bad(cx, a->path, "is a JPEG; this hbcc was built without libjpeg");
}
#endif

#ifdef HB_HAVE_PNG
static hb_status
png_parse(hb_ctx *cx, array *a)
{
	png_image im = {.version = PNG_IMAGE_VERSION};
	hb_status st;

	if (!png_image_begin_read_from_memory(&im, a->map, a->map_bytes))
		return bad(cx, a->path, "is no PNG that can be read: %s", im.message);
	im.format = PNG_FORMAT_RGB;
	if (im.width > MAX_IMAGE_SIDE || im.height > MAX_IMAGE_SIDE) {
		png_image_free(&im);
		return bad(cx, a->path, "is %ux%u; at most %d a side are taken", im.width, im.height, MAX_IMAGE_SIDE);
	}
	st = image_shape(cx, a, im.height, im.width);
	if (st != HB_OK) {
		png_image_free(&im);
		return st;
	}
	if (!png_image_finish_read(&im, &(png_color){0, 0, 0}, a->big, 0, NULL))
		return bad(cx, a->path, "is no PNG that can be read: %s", im.message);
	return HB_OK;
}
#else
static hb_status
png_parse(hb_ctx *cx, array *a)
{
	return bad(cx, a->path, "is a PNG; this hbcc was built without libpng");
}
#endif

/* ---- reading ---- */

hb_status
array_read(hb_ctx *cx, const char *path, const char *member, array *out)
{
	hb_status st;

	*out = (array){.path = path};
	HB_TRY(map_file(cx, path, out));
	if (!out->map_bytes)
		return bad(cx, path, "is empty");
	if (ends_with(path, ".npy")) {
		st = npy_parse(cx, out, out->map, out->map_bytes);
	} else if (ends_with(path, ".npz")) {
		st = npz_parse(cx, out, member);
	} else if (ends_with(path, ".pb")) {
		st = pb_parse(cx, out);
	} else if (ends_with(path, ".jpg") || ends_with(path, ".jpeg")) {
		st = jpeg_parse(cx, out);
	} else if (ends_with(path, ".png")) {
		st = png_parse(cx, out);
	} else if (ends_with(path, ".bin") || ends_with(path, ".raw") || ends_with(path, ".nv12") || ends_with(path, ".yuv")) {
		out->raw = true;
		out->dtype = HB_U8;
		out->shape = (hb_shape){.rank = 1, .dim = {(int64_t)out->map_bytes}};
		out->data = out->map;
		st = HB_OK;
	} else {
		st = bad(cx, path, "has none of the suffixes .npy, .npz, .pb, .bin, .jpg, .png");
	}
	if (st != HB_OK)
		array_free(cx, out);
	return st;
}

/* Leading ones removed, so that [3,64,64] is a sample of [1,3,64,64]. */
static hb_shape
stripped(const hb_shape *s)
{
	hb_shape r = *s;

	while (r.rank > 0 && r.dim[0] == 1) {
		r.rank--;
		memmove(r.dim, r.dim + 1, sizeof(r.dim[0]) * (size_t)r.rank);
	}
	return r;
}

static const char *
port_text(const port *p, char buf[HB_SHAPE_TEXT + 64])
{
	char shape[HB_SHAPE_TEXT];

	snprintf(buf, HB_SHAPE_TEXT + 64, "%s %s", hb_dtype_name(p->dtype), hb_shape_text(&p->shape, shape));
	return buf;
}

static hb_status
wrong_shape(hb_ctx *cx, const array *a, const port *p)
{
	char have[HB_SHAPE_TEXT], want[HB_SHAPE_TEXT + 64];

	return bad(cx, a->path, "holds %s %s; input '%s' takes %s", a->image ? "an image," : hb_dtype_name(a->dtype),
		   hb_shape_text(&a->shape, have), p->name, port_text(p, want));
}

/* Rows, columns and channels that an image must have for p; false where p takes no image. */
static bool
image_of(const port *p, const input_norm *norm, int64_t *h, int64_t *w, int64_t *ch)
{
	const int64_t *d = p->shape.dim + p->shape.rank - 3;

	if (p->shape.rank < 3 || hb_shape_span(&p->shape, 0, p->shape.rank - 3) != 1)
		return false;
	*ch = norm->nhwc ? d[2] : d[0];
	*h = norm->nhwc ? d[0] : d[1];
	*w = norm->nhwc ? d[1] : d[2];
	return *ch == 1 || *ch == 3;
}

hb_status
array_count(cli *c, const array *a, const port *p, int64_t *n)
{
	*n = 1;
	if (camera_takes(a, p))
		return camera_count(c, a, p, n);
	if (!p->known || a->image)
		return HB_OK;
	int64_t elems = hb_shape_elems(&p->shape);
	if (a->raw) {
		int64_t size = config_raw_uint8(c) && p->dtype == HB_F32 ? 1 : (int64_t)hb_dtype_size(p->dtype);

		if (!elems || a->shape.dim[0] % (elems * size))
			return bad(c->cx, a->path, "holds %lld bytes; input '%s' takes %lld a sample",
				   (long long)a->shape.dim[0], p->name, (long long)(elems * size));
		*n = a->shape.dim[0] / (elems * size);
		return HB_OK;
	}
	if (a->shape.rank == p->shape.rank && a->shape.rank > 0 && p->shape.dim[0] > 0 &&
	    a->shape.dim[0] % p->shape.dim[0] == 0 && a->shape.dim[0] > 0 &&
	    !memcmp(a->shape.dim + 1, p->shape.dim + 1, sizeof(int64_t) * (size_t)(a->shape.rank - 1))) {
		*n = a->shape.dim[0] / p->shape.dim[0];
		return HB_OK;
	}
	hb_shape x = stripped(&a->shape), y = stripped(&p->shape);
	if (!hb_shape_eq(&x, &y))
		return wrong_shape(c->cx, a, p);
	return HB_OK;
}

static void
image_fill(const array *a, const input_norm *norm, int64_t ch, float *out)
{
	int64_t h = a->shape.dim[0], w = a->shape.dim[1];
	const uint8_t *px = a->data;

	for (int64_t i = 0; i < h * w; i++) {
		for (int64_t k = 0; k < ch; k++) {
			const uint8_t *q = px + i * 3;
			float v = ch == 1 ? 0.299f * q[0] + 0.587f * q[1] + 0.114f * q[2] : q[norm->bgr ? 2 - k : k];

			if (norm->nmean)
				v -= norm->mean[norm->nmean > 1 ? k : 0];
			if (norm->nscale)
				v *= norm->scale[norm->nscale > 1 ? k : 0];
			out[norm->nhwc ? i * ch + k : k * h * w + i] = v;
		}
	}
}

hb_status
array_sample(cli *c, const array *a, const port *p, size_t input, int64_t k, void *buf, hb_val *out)
{
	int64_t count, h, w, ch;
	int64_t elems = hb_shape_elems(&p->shape);

	out->dtype = p->dtype;
	out->shape = p->shape;
	out->data = buf;
	if (camera_takes(a, p))
		return camera_sample(c, a, p, k, buf);
	if (a->image) {
		input_norm norm;

		config_norm(c, input, &norm);
		if (p->dtype != HB_F32 || !image_of(p, &norm, &h, &w, &ch) || h != a->shape.dim[0] ||
		    w != a->shape.dim[1])
			return wrong_shape(c->cx, a, p);
		image_fill(a, &norm, ch, buf);
		return HB_OK;
	}
	HB_TRY(array_count(c, a, p, &count));
	size_t size = hb_dtype_size(p->dtype);
	if (a->raw && config_raw_uint8(c) && p->dtype == HB_F32) {
		const uint8_t *from = (const uint8_t *)a->data + k * elems;

		for (int64_t i = 0; i < elems; i++)
			((float *)buf)[i] = from[i];
		return HB_OK;
	}
	if (!a->raw && a->dtype != p->dtype) {
		if (!p->q || p->q->dtype != p->dtype || a->dtype != HB_F32 || p->q->nscales > 1)
			return wrong_shape(c->cx, a, p);
		/* a fixed-point input given in float */
		hb_quantize_n(c->cx, (const float *)a->data + k * elems, p->q->scale, p->dtype, HB_HALF_EVEN, buf,
			      elems);
		return HB_OK;
	}
	if (elems)
		memcpy(buf, (const uint8_t *)a->data + (size_t)(k * elems) * size, (size_t)elems * size);
	if (p->dtype == HB_BOOL)
		for (int64_t i = 0; i < elems; i++)
			((uint8_t *)buf)[i] = ((uint8_t *)buf)[i] != 0;
	return HB_OK;
}

double
value_at(const hb_val *v, int64_t i)
{
	switch (v->dtype) {
	case HB_F32:
		return ((const float *)v->data)[i];
	case HB_I8:
		return ((const int8_t *)v->data)[i];
	case HB_U8:
	case HB_BOOL:
		return ((const uint8_t *)v->data)[i];
	case HB_I16:
		return ((const int16_t *)v->data)[i];
	case HB_U16:
		return ((const uint16_t *)v->data)[i];
	case HB_I32:
		return ((const int32_t *)v->data)[i];
	case HB_U32:
		return ((const uint32_t *)v->data)[i];
	case HB_I64:
		return (double)((const int64_t *)v->data)[i];
	case HB_U64:
		return (double)((const uint64_t *)v->data)[i];
	default:
		return 0;
	}
}

hb_status
value_dequantize(cli *c, const hb_val *v, const hb_q *q, float *out)
{
	int64_t n = hb_shape_elems(&v->shape);

	if (!q || q->dtype != v->dtype ||
	    (q->nscales > 1 && (q->axis >= v->shape.rank || v->shape.dim[q->axis] != q->nscales)))
		return hb_error(c->cx, HB_ERR_INPUT, NULL, "scale", "%s values have no scale that fits",
				hb_dtype_name(v->dtype));
	if (q->nscales <= 1) {
		hb_dequantize_n(c->cx, v->data, v->dtype, q->scale, out, n);
		return HB_OK;
	}
	int64_t inner = hb_shape_span(&v->shape, q->axis + 1, v->shape.rank);
	for (int64_t i = 0; i < n; i += inner)
		hb_dequantize_n(c->cx, (const uint8_t *)v->data + (size_t)i * hb_dtype_size(v->dtype), v->dtype,
				q->scales[i / inner % q->nscales], out + i, inner);
	return HB_OK;
}

/* ---- writing ---- */

const char *
array_suffix(const char *format)
{
	return !strcmp(format, "raw") ? "bin" : format;
}

static const char *
npy_code(hb_dtype dt)
{
	static const char *const codes[HB_NDTYPES] = {
		[HB_F32] = "<f4", [HB_I8] = "|i1",  [HB_U8] = "|u1",  [HB_I16] = "<i2", [HB_U16] = "<u2",
		[HB_I32] = "<i4", [HB_U32] = "<u4", [HB_I64] = "<i8", [HB_U64] = "<u8", [HB_BOOL] = "|b1",
	};

	return codes[dt];
}

static void
npy_head(hb_buf *b, const hb_val *v)
{
	hb_buf h = {.cx = b->cx};

	hb_buf_printf(&h, "{'descr': '%s', 'fortran_order': False, 'shape': (", npy_code(v->dtype));
	for (int i = 0; i < v->shape.rank; i++)
		hb_buf_printf(&h, "%s%lld%s", i ? " " : "", (long long)v->shape.dim[i],
			      i + 1 < v->shape.rank || i == 0 ? "," : "");
	hb_buf_str(&h, "), }");
	while ((10 + h.len + 1) % 64)
		hb_buf_str(&h, " ");
	hb_buf_str(&h, "\n");
	hb_buf_add(b, "\x93NUMPY\1", 8);
	hb_buf_u16(b, (uint16_t)h.len);
	hb_buf_add(b, h.p, h.len);
	b->bad |= h.bad;
	hb_buf_free(&h);
}

hb_status
array_write(hb_ctx *cx, const char *path, const char *format, const char *name, const hb_val *v)
{
	hb_buf b = {.cx = cx};
	hb_status st = HB_OK;
	size_t bytes = (size_t)hb_shape_elems(&v->shape) * hb_dtype_size(v->dtype);

	if (!strcmp(format, "pb")) {
		st = hb_onnx_tensor_bytes(cx, name, v->dtype, &v->shape, v->data, &b);
	} else {
		if (!strcmp(format, "npy"))
			npy_head(&b, v);
		hb_buf_add(&b, v->data, bytes);
	}
	if (st == HB_OK)
		st = b.bad ? hb_nomem(cx, path) : hb_file_write(cx, path, b.p, b.len);
	hb_buf_free(&b);
	return st;
}
