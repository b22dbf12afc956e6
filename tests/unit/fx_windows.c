/* fx_windows: products, windows and rows of the lists, in fixed point against double. */
#include "tests/fx_table.h"

/* Weights as the fixed-point graph has them: [outputs, rest] times their scales, and the bias; NULL: no such node. */
typedef struct layer {
	double *w, *bias;
	int64_t outs, each;
} layer;

static layer
layer_of(const fx_run *r, double in_scale, int which)
{
	for (const hb_node *n = r->fixed->first; n; n = n->next) {
		hb_tensor *w = n->nin > 2 ? n->in[1] : NULL;

		if (!w || !w->is_const || w->dtype != HB_I8 || strcmp(n->domain, "hbcc") || which--)
			continue;
		const int8_t *q = w->data;
		const int32_t *rec = n->in[2]->data;
		int axis = w->q.axis;
		layer l = { .outs = n->in[2]->shape.dim[0] };
		int64_t inner = hb_shape_span(&w->shape, axis + 1, w->shape.rank);

		l.each = hb_tensor_elems(w) / l.outs;
		l.w = malloc(sizeof(double) * (size_t)hb_tensor_elems(w));
		l.bias = malloc(sizeof(double) * (size_t)l.outs);
		for (int64_t i = 0; i < hb_tensor_elems(w); i++)
			l.w[i] = q[i] * (double)hb_q_scale(&w->q, i / inner % l.outs);
		for (int64_t o = 0; o < l.outs; o++)
			l.bias[o] = rec[4 * o] * (in_scale * hb_q_scale(&w->q, o));
		return l;
	}
	fail_msg("no weights");
	return (layer){ 0 };
}

static void
layer_free(layer *l)
{
	free(l->w);
	free(l->bias);
}

/* ---- convolutions: three spatial dimensions, leading ones where there are less ---- */

typedef struct window {
	int64_t x[3], y[3], k[3], s[3], p[3], d[3];
	int64_t batch, ic, oc, group;
} window;

static void
three(const hb_node *n, const char *name, int ns, int64_t dflt, int64_t *to)
{
	size_t have = 0;
	const int64_t *v = hb_attr_ints(n, name, &have);

	for (int i = 0; i < 3; i++)
		to[i] = i < 3 - ns ? (dflt == 0 ? 0 : 1) : v ? v[i - (3 - ns)] : dflt;
}

static window
window_of(const hb_node *n, const hb_tensor *out)
{
	const hb_shape *x = &n->in[0]->shape, *k = n->nin > 1 && n->in[1] ? &n->in[1]->shape : NULL;
	int ns = x->rank - 2;
	window w = { .batch = x->dim[0], .ic = x->dim[1], .oc = out->shape.dim[1], .group = hb_attr_i(n, "group", 1) };

	for (int i = 0; i < 3; i++) {
		bool has = i >= 3 - ns;
		int at = i - (3 - ns) + 2;

		w.x[i] = has ? x->dim[at] : 1;
		w.y[i] = has ? out->shape.dim[at] : 1;
		w.k[i] = has && k ? k->dim[at] : 1;
	}
	three(n, "strides", ns, 1, w.s);
	three(n, "pads", ns, 0, w.p);
	three(n, "dilations", ns, 1, w.d);
	if (!k)
		three(n, "kernel_shape", ns, 1, w.k);
	return w;
}

static double
conv_at(const window *w, const layer *l, const double *x, int64_t b, int64_t o, const int64_t *at)
{
	int64_t each = w->ic / w->group, first = o / (w->oc / w->group) * each, taps = w->k[0] * w->k[1] * w->k[2];
	double sum = l->bias[o];

	for (int64_t c = 0; c < each; c++)
		for (int64_t t = 0; t < taps; t++) {
			const int64_t k[3] = { t / (w->k[1] * w->k[2]), t / w->k[2] % w->k[1], t % w->k[2] };
			int64_t off = b * w->ic + first + c;
			bool in = true;

			for (int i = 0; i < 3; i++) {
				int64_t v = at[i] * w->s[i] - w->p[i] + k[i] * w->d[i];

				in = in && v >= 0 && v < w->x[i];
				off = off * w->x[i] + v;
			}
			sum += in ? x[off] * l->w[(o * each + c) * taps + t] : 0;
		}
	return sum;
}

static const hb_node *
root_of(const fx_run *r, const char *op)
{
	for (const hb_node *n = r->g->first; n; n = n->next)
		if (!strcmp(n->op_type, op))
			return n;
	fail_msg("no %s", op);
	return NULL;
}

static void
conv_ref(const fx_run *r, double *y)
{
	const hb_node *n = root_of(r, "Conv");
	layer l = layer_of(r, n->in[0]->q.scale, 0);
	window w = window_of(n, r->out);
	bool relu = r->out->producer->op_type[0] == 'R';
	int64_t i = 0;

	for (int64_t b = 0; b < w.batch; b++)
		for (int64_t o = 0; o < w.oc; o++)
			for (int64_t p = 0; p < w.y[0] * w.y[1] * w.y[2]; p++, i++) {
				const int64_t at[3] = { p / (w.y[1] * w.y[2]), p / w.y[2] % w.y[1], p % w.y[2] };

				y[i] = conv_at(&w, &l, r->x[0], b, o, at);
				y[i] += r->x[1] ? r->x[1][i] : 0;
				y[i] = relu ? fmax(y[i], 0) : y[i];
			}
	layer_free(&l);
}

static hb_tensor *
image(hb_graph *g)
{
	return test_input(g, "x", test_shape(4, 2, 6, 9, 11));
}

static hb_tensor *
conv(hb_graph *g)
{
	hb_tensor *y = test_node(g, "Conv", "y", image(g), fx_const(g, "w", test_shape(4, 7, 6, 3, 3), 0.3, 0), fx_const(g, "b", test_shape(1, 7), 0.5, 0), NULL);

	fx_ints(g, y, "strides", FX_INTS(2, 1));
	return fx_ints(g, y, "pads", FX_INTS(1, 0, 1, 2));
}

static hb_tensor *
dilated(hb_graph *g)
{
	hb_tensor *y = test_node(g, "Conv", "y", image(g), fx_const(g, "w", test_shape(4, 4, 3, 3, 2), 0.3, 0), NULL, NULL);

	fx_int(g, y, "group", 2);
	return fx_ints(g, y, "dilations", FX_INTS(2, 3));
}

static hb_tensor *
sumin(hb_graph *g)
{
	hb_tensor *x = image(g), *a = test_input(g, "a", test_shape(4, 2, 6, 9, 11));
	hb_tensor *y = test_node(g, "Conv", "c", x, fx_const(g, "w", test_shape(4, 6, 6, 3, 3), 0.2, 0), NULL, NULL);

	fx_ints(g, y, "pads", FX_INTS(1, 1, 1, 1));
	return test_node(g, "Relu", "r", test_node(g, "Add", "y", y, a, NULL, NULL), NULL, NULL, NULL);
}

static hb_tensor *
conv3d(hb_graph *g)
{
	hb_tensor *x = test_input(g, "x", test_shape(5, 2, 3, 7, 6, 8));
	hb_tensor *y = test_node(g, "Conv", "y", x, fx_const(g, "w", test_shape(5, 5, 3, 3, 3, 2), 0.2, 0), fx_const(g, "b", test_shape(1, 5), 0.5, 0), NULL);

	fx_ints(g, y, "strides", FX_INTS(2, 2, 2));
	return fx_ints(g, y, "pads", FX_INTS(1, 0, 1, 1, 1, 0));
}

static hb_tensor *
sumin3d(hb_graph *g)
{
	hb_tensor *x = test_input(g, "x", test_shape(5, 1, 3, 4, 5, 6)), *a = test_input(g, "a", test_shape(5, 1, 3, 4, 5, 6));
	hb_tensor *y = test_node(g, "Conv", "c", x, fx_const(g, "w", test_shape(5, 3, 3, 1, 3, 3), 0.2, 0), NULL, NULL);

	fx_ints(g, y, "pads", FX_INTS(0, 1, 1, 0, 1, 1));
	return test_node(g, "Relu", "r", test_node(g, "Add", "y", y, a, NULL, NULL), NULL, NULL, NULL);
}

static hb_tensor *
norm_of(hb_graph *g, hb_tensor *x)
{
	int c = (int)x->shape.dim[1];
	hb_node *n = hb_node_new(g, NULL, "y", "", "BatchNormalization", 15, 5, 1);

	hb_node_set_in(g, n, 0, x);
	hb_node_set_in(g, n, 1, fx_const(g, "gamma", test_shape(1, c), 0.6, 0.2));
	hb_node_set_in(g, n, 2, fx_const(g, "beta", test_shape(1, c), 0.4, 0));
	hb_node_set_in(g, n, 3, fx_const(g, "mean", test_shape(1, c), 0.3, 0));
	hb_node_set_in(g, n, 4, fx_const(g, "var", test_shape(1, c), 0.2, 0.9));
	hb_node_set_out(n, 0, hb_tensor_new(g, "y", HB_NONE, NULL));
	return n->out[0];
}

static hb_tensor *
batch_norm_2d(hb_graph *g)
{
	return norm_of(g, image(g));
}

static hb_tensor *
batch_norm_3d(hb_graph *g)
{
	return norm_of(g, test_input(g, "x", test_shape(5, 2, 3, 4, 5, 6)));
}

/* The constants themselves; a norm that became a convolution has its weight in one of 255 steps. */
static void
batch_norm_ref(const fx_run *r, double *y)
{
	layer l = layer_of(r, r->g->inputs[0]->q.scale, 0);
	int64_t inner = hb_shape_span(&r->shape[0], 2, r->shape[0].rank);

	for (int64_t i = 0; i < hb_tensor_elems(r->out); i++)
		y[i] = r->x[0][i] * l.w[i / inner % l.outs] + l.bias[i / inner % l.outs];
	layer_free(&l);
}

static hb_tensor *
conv_transpose(hb_graph *g)
{
	hb_tensor *y = test_node(g, "ConvTranspose", "y", image(g), fx_const(g, "w", test_shape(4, 6, 2, 3, 4), 0.4, 0), fx_const(g, "b", test_shape(1, 4), 0.5, 0), NULL);

	fx_int(g, y, "group", 2);
	fx_ints(g, y, "strides", FX_INTS(2, 3));
	fx_ints(g, y, "output_padding", FX_INTS(1, 0));
	return fx_ints(g, y, "pads", FX_INTS(1, 2, 0, 1));
}

/* Weights [C, O/g, kh, kw]; its scales are one an output channel of all groups. */
static void
conv_transpose_ref(const fx_run *r, double *y)
{
	const hb_node *n = r->g->first, *f = NULL;
	const hb_shape *ws = &n->in[1]->shape, *xs = &r->shape[0], *ys = &r->out->shape;
	int64_t groups = hb_attr_i(n, "group", 1), per = ws->dim[1], each = xs->dim[1] / groups, s[3], p[3];

	for (f = r->fixed->first; f && strcmp(f->op_type, "ConvTranspose"); f = f->next)
		;
	const int8_t *q = f->in[1]->data;
	const int32_t *rec = f->in[2]->data;
	three(n, "strides", 2, 1, s);
	three(n, "pads", 2, 0, p);
	for (int64_t i = 0; i < hb_tensor_elems(r->out); i++) {
		int64_t o = i / (ys->dim[2] * ys->dim[3]) % ys->dim[1];

		y[i] = rec[4 * o] * ((double)n->in[0]->q.scale * hb_q_scale(&f->in[1]->q, o));
	}
	for (int64_t i = 0; i < hb_tensor_elems(n->in[0]); i++) {
		int64_t ix = i % xs->dim[3], iy = i / xs->dim[3] % xs->dim[2], c = i / (xs->dim[2] * xs->dim[3]) % xs->dim[1], b = i / (xs->dim[1] * xs->dim[2] * xs->dim[3]);

		for (int64_t k = 0; k < per * ws->dim[2] * ws->dim[3]; k++) {
			int64_t kx = k % ws->dim[3], ky = k / ws->dim[3] % ws->dim[2], o = c / each * per + k / (ws->dim[2] * ws->dim[3]);
			int64_t oy = iy * s[1] - p[1] + ky, ox = ix * s[2] - p[2] + kx;

			if (oy >= 0 && oy < ys->dim[2] && ox >= 0 && ox < ys->dim[3])
				y[((b * ys->dim[1] + o) * ys->dim[2] + oy) * ys->dim[3] + ox] +=
					r->x[0][i] * q[c * per * ws->dim[2] * ws->dim[3] + k] * hb_q_scale(&f->in[1]->q, o);
		}
	}
}

static hb_tensor *
linear(hb_graph *g)
{
	return fx_int(g, test_node(g, "Gemm", "y", test_input(g, "x", test_shape(2, 9, 50)), fx_const(g, "w", test_shape(2, 20, 50), 0.2, 0),
				   fx_const(g, "b", test_shape(1, 20), 1, 0), NULL), "transB", 1);
}

static void
linear_ref(const fx_run *r, double *y)
{
	layer l = layer_of(r, r->g->inputs[0]->q.scale, 0);

	for (int64_t i = 0; i < hb_tensor_elems(r->out); i++) {
		y[i] = l.bias[i % l.outs];
		for (int64_t k = 0; k < l.each; k++)
			y[i] += r->x[0][i / l.outs * l.each + k] * l.w[i % l.outs * l.each + k];
	}
	layer_free(&l);
}

static hb_tensor *
matmul(hb_graph *g)
{
	hb_tensor *a = test_input(g, "x", test_shape(4, 2, 3, 7, 20));

	return test_node(g, "MatMul", "y", a, test_input(g, "x2", test_shape(3, 3, 20, 6)), NULL, NULL);
}

static void
matmul_ref(const fx_run *r, double *y)
{
	for (int64_t i = 0; i < hb_tensor_elems(r->out); i++) {
		int64_t col = i % 6, row = i / 6 % 7, b = i / 42;

		y[i] = 0;
		for (int64_t k = 0; k < 20; k++)
			y[i] += r->x[0][(b * 7 + row) * 20 + k] * r->x[1][(b % 3 * 20 + k) * 6 + col];
	}
}

/* ---- pools and reductions ---- */

static hb_tensor *
average(hb_graph *g, int counts)
{
	hb_tensor *y = test_node(g, "AveragePool", "y", image(g), NULL, NULL, NULL);

	fx_ints(g, y, "kernel_shape", FX_INTS(3, 2));
	fx_ints(g, y, "strides", FX_INTS(2, 2));
	fx_int(g, y, "ceil_mode", 1);
	fx_int(g, y, "count_include_pad", counts);
	return fx_ints(g, y, "pads", FX_INTS(1, 0, 1, 1));
}

static hb_tensor *
average_pool(hb_graph *g)
{
	return average(g, 0);
}

static hb_tensor *
average_pool_counting_pads(hb_graph *g)
{
	return average(g, 1);
}

static void
average_ref(const fx_run *r, double *y)
{
	const hb_node *n = r->g->first;
	window w = window_of(n, r->out);
	int64_t end[2], counts = hb_attr_i(n, "count_include_pad", 0);
	size_t np;
	const int64_t *pads = hb_attr_ints(n, "pads", &np);

	for (int i = 0; i < 2; i++)
		end[i] = w.x[1 + i] + (counts ? pads[2 + i] : 0);
	for (int64_t i = 0; i < hb_tensor_elems(r->out); i++) {
		int64_t ox = i % w.y[2], oy = i / w.y[2] % w.y[1], plane = i / (w.y[1] * w.y[2]), cells = 0;
		double sum = 0;

		for (int64_t ky = 0; ky < w.k[1]; ky++)
			for (int64_t kx = 0; kx < w.k[2]; kx++) {
				int64_t iy = oy * w.s[1] - w.p[1] + ky, ix = ox * w.s[2] - w.p[2] + kx;
				bool in = iy >= 0 && iy < w.x[1] && ix >= 0 && ix < w.x[2];

				cells += counts ? iy < end[0] && ix < end[1] : in;
				sum += in ? r->x[0][(plane * w.x[1] + iy) * w.x[2] + ix] : 0;
			}
		y[i] = sum / (double)cells;
	}
}

static hb_tensor *
global_average_pool(hb_graph *g)
{
	return test_node(g, "GlobalAveragePool", "y", image(g), NULL, NULL, NULL);
}

static hb_tensor *
reduce(hb_graph *g, const char *op, const int64_t *axes, size_t n, bool keep)
{
	return fx_int(g, fx_ints(g, fx_since(test_node(g, op, "y", image(g), NULL, NULL, NULL), 11), "axes", axes, n), "keepdims", keep);
}

static hb_tensor *
mean(hb_graph *g)
{
	return reduce(g, "ReduceMean", FX_INTS(1), true);
}

static hb_tensor *
mean_of_image(hb_graph *g)
{
	return reduce(g, "ReduceMean", FX_INTS(2, 3), true);
}

static hb_tensor *
sum(hb_graph *g)
{
	return reduce(g, "ReduceSum", FX_INTS(3), true);
}

static hb_tensor *
greatest(hb_graph *g)
{
	return reduce(g, "ReduceMax", FX_INTS(2), true);
}

static hb_tensor *
least(hb_graph *g)
{
	return reduce(g, "ReduceMin", FX_INTS(1), true);
}

static void
reduce_ref(const fx_run *r, double *y)
{
	const hb_node *n = r->g->first;
	const hb_shape *x = &r->shape[0];
	size_t na;
	const int64_t *axes = hb_attr_ints(n, "axes", &na), hw[] = { 2, 3 };
	int64_t count = 1, outs = hb_tensor_elems(r->out);
	hb_shape kept = *x;

	axes = axes ? axes : hw;
	na = na ? na : 2;
	for (size_t i = 0; i < na; i++) {
		count *= x->dim[axes[i]];
		kept.dim[axes[i]] = 1;
	}
	memset(y, 0, sizeof(double) * (size_t)outs);
	for (int64_t i = 0; i < hb_shape_elems(x); i++)
		y[fx_at(x, &kept, i)] += r->x[0][i];
	for (int64_t i = 0; i < outs && strcmp(n->op_type, "ReduceSum"); i++)
		y[i] /= (double)count;
}

static hb_tensor *
arg_max(hb_graph *g)
{
	return fx_int(g, test_node(g, "ArgMax", "y", image(g), NULL, NULL, NULL), "axis", 1);
}

static hb_tensor *
arg_min(hb_graph *g)
{
	return fx_int(g, test_node(g, "ArgMin", "y", image(g), NULL, NULL, NULL), "axis", 3);
}

static hb_tensor *
top_k_of(hb_graph *g, int axis, bool largest)
{
	hb_node *n = hb_node_new(g, NULL, "y", "", "TopK", 11, 2, 2);

	hb_node_set_in(g, n, 0, image(g));
	hb_node_set_in(g, n, 1, hb_tensor_ints(g, "k", FX_INTS(4)));
	hb_node_set_out(n, 0, hb_tensor_new(g, "y", HB_NONE, NULL));
	hb_node_set_out(n, 1, hb_tensor_new(g, "places", HB_NONE, NULL));
	fx_int(g, n->out[0], "axis", axis);
	fx_int(g, n->out[0], "largest", largest);
	test_output(g, n->out[0]);
	test_output(g, n->out[1]);
	return n->out[0];
}

static hb_tensor *
top_k(hb_graph *g)
{
	return top_k_of(g, 1, true);
}

static hb_tensor *
bottom_k(hb_graph *g)
{
	return top_k_of(g, 3, false);
}

static hb_tensor *
max_pool(hb_graph *g)
{
	hb_tensor *y = test_node(g, "MaxPool", "y", image(g), NULL, NULL, NULL);

	fx_ints(g, y, "kernel_shape", FX_INTS(3, 2));
	fx_ints(g, y, "strides", FX_INTS(2, 2));
	return fx_ints(g, y, "pads", FX_INTS(1, 0, 1, 1));
}

/* ---- rows ---- */

static hb_tensor *
softmax(hb_graph *g)
{
	return fx_int(g, test_node(g, "Softmax", "y", image(g), NULL, NULL, NULL), "axis", 3);
}

static void
softmax_ref(const fx_run *r, double *y)
{
	for (int64_t i = 0; i < hb_tensor_elems(r->out); i += 11) {
		double s = 0;

		for (int64_t k = i; k < i + 11; k++)
			s += exp(r->x[0][k]);
		for (int64_t k = i; k < i + 11; k++)
			y[k] = exp(r->x[0][k]) / s;
	}
}

static hb_tensor *
layer_norm(hb_graph *g)
{
	return fx_since(test_node(g, "LayerNormalization", "y", image(g), fx_const(g, "scale", test_shape(1, 11), 1, 0.3), fx_const(g, "bias", test_shape(1, 11), 0.3, 0), NULL), 17);
}

static hb_tensor *
rms_norm(hb_graph *g)
{
	return fx_since(test_node(g, "RMSNormalization", "y", image(g), fx_const(g, "scale", test_shape(1, 11), 1, 0.3), NULL, NULL), 23);
}

static void
norm_ref(const fx_run *r, double *y)
{
	const hb_node *n = r->g->first;
	const float *scale = n->in[1]->data, *bias = n->nin > 2 ? n->in[2]->data : NULL;

	for (int64_t i = 0; i < hb_tensor_elems(r->out); i += 11) {
		double m = 0, v = 0;

		for (int64_t k = 0; k < 11 && bias; k++)
			m += r->x[0][i + k] / 11;
		for (int64_t k = 0; k < 11; k++)
			v += (r->x[0][i + k] - m) * (r->x[0][i + k] - m) / 11;
		for (int64_t k = 0; k < 11; k++)
			y[i + k] = (r->x[0][i + k] - m) / sqrt(v + (double)1e-5f) * scale[k] + (bias ? (double)bias[k] : 0);
	}
}

/* x * sigmoid(x'), halves of the channels */
static hb_tensor *
glu(hb_graph *g)
{
	hb_tensor *x = image(g);
	hb_node *n = hb_node_new(g, NULL, "halves", "", "Split", 11, 1, 2);

	hb_node_set_in(g, n, 0, x);
	hb_node_set_out(n, 0, hb_tensor_new(g, "a", HB_NONE, NULL));
	hb_node_set_out(n, 1, hb_tensor_new(g, "b", HB_NONE, NULL));
	fx_int(g, n->out[0], "axis", 1);
	fx_ints(g, n->out[0], "split", FX_INTS(3, 3));
	return test_node(g, "Mul", "y", n->out[0], test_node(g, "Sigmoid", "s", n->out[1], NULL, NULL, NULL), NULL, NULL);
}

static void
glu_ref(const fx_run *r, double *y)
{
	for (int64_t i = 0, half = 3 * 99; i < hb_tensor_elems(r->out); i++) {
		int64_t at = i / half * 2 * half + i % half;

		y[i] = r->x[0][at] / (1 + exp(-r->x[0][at + half]));
	}
}

static hb_tensor *
lstm_of(hb_graph *g, int steps, const char *way, bool states)
{
	int dirs = strcmp(way, "bidirectional") ? 1 : 2, inputs = 9, hidden = 6;
	hb_node *n = hb_node_new(g, NULL, "y", "", "LSTM", 14, states ? 7 : 4, 3);

	hb_node_set_in(g, n, 0, test_input(g, "x", test_shape(3, steps, 2, inputs)));
	hb_node_set_in(g, n, 1, fx_const(g, "w", test_shape(3, dirs, 4 * hidden, inputs), 0.5, 0));
	hb_node_set_in(g, n, 2, fx_const(g, "r", test_shape(3, dirs, 4 * hidden, hidden), 0.4, 0));
	hb_node_set_in(g, n, 3, fx_const(g, "b", test_shape(2, dirs, 8 * hidden), 0.3, 0));
	if (states) {
		hb_node_set_in(g, n, 5, test_input(g, "h", test_shape(3, dirs, 2, hidden)));
		hb_node_set_in(g, n, 6, test_input(g, "c", test_shape(3, dirs, 2, hidden)));
	}
	for (int i = 0; i < 3; i++) {
		hb_node_set_out(n, i, hb_tensor_new(g, i ? i > 1 ? "yc" : "yh" : "y", HB_NONE, NULL));
		test_output(g, n->out[i]);
	}
	hb_attr_set_s(g, n, "direction", way);
	return fx_int(g, n->out[0], "hidden_size", hidden);
}

static hb_tensor *
lstm_cell(hb_graph *g)
{
	return lstm_of(g, 1, "forward", true);
}

static hb_tensor *
lstm(hb_graph *g)
{
	return lstm_of(g, 6, "bidirectional", false);
}

static hb_tensor *
lstm_backwards(hb_graph *g)
{
	return lstm_of(g, 5, "reverse", true);
}

static double
sigmoid(double x)
{
	return 1 / (1 + exp(-x));
}

/* Y, and behind it in *yh, *yc the last states: weights as the fixed-point graph has them, all else in double. */
static void
lstm_run(const fx_run *r, double *y, double *yh, double *yc)
{
	const hb_node *n = r->g->first;
	int64_t steps = r->shape[0].dim[0], ins = r->shape[0].dim[2], hid = 6, dirs = n->in[2]->shape.dim[0];
	bool reverse = !strcmp(hb_attr_s(n, "direction", ""), "reverse");

	for (int64_t d = 0; d < dirs; d++) {
		/* of W, then of R a step, the first only where there is a state: rows i o f, rows c */
		int64_t per = 2 * (steps + (r->x[1] ? 1 : 0));
		layer w[2] = { layer_of(r, n->in[0]->q.scale, (int)(d * per)), layer_of(r, n->in[0]->q.scale, (int)(d * per + 1)) }, rec[2] = { { 0 } };
		double h[2][8] = { { 0 } }, c[2][8] = { { 0 } };

		for (int k = 0; k < 2 && per > 2; k++)
			rec[k] = layer_of(r, 1, (int)(d * per + 2 + k));
		for (int64_t b = 0; b < 2; b++)
			for (int64_t u = 0; u < hid && r->x[1]; u++) {
				h[b][u] = r->x[1][(d * 2 + b) * hid + u];
				c[b][u] = r->x[2][(d * 2 + b) * hid + u];
			}
		for (int64_t s = 0; s < steps; s++) {
			int64_t t = d == 1 || reverse ? steps - 1 - s : s;

			for (int64_t b = 0; b < 2; b++) {
				double gate[32];

				for (int64_t o = 0; o < 4 * hid; o++) {
					const layer *in = &w[o / (3 * hid)], *back = &rec[o / (3 * hid)];
					int64_t row = o % (3 * hid);

					gate[o] = in->bias[row];
					for (int64_t k = 0; k < ins; k++)
						gate[o] += in->w[row * ins + k] * r->x[0][(t * 2 + b) * ins + k];
					for (int64_t k = 0; k < hid && back->w; k++)
						gate[o] += back->w[row * hid + k] * h[b][k];
				}
				for (int64_t u = 0; u < hid; u++) {
					c[b][u] = sigmoid(gate[2 * hid + u]) * c[b][u] + sigmoid(gate[u]) * tanh(gate[3 * hid + u]);
					h[b][u] = sigmoid(gate[hid + u]) * tanh(c[b][u]);
					if (y)
						y[((t * dirs + d) * 2 + b) * hid + u] = h[b][u];
				}
			}
		}
		for (int64_t b = 0; b < 2; b++)
			for (int64_t u = 0; u < hid; u++) {
				if (yh)
					yh[(d * 2 + b) * hid + u] = h[b][u];
				if (yc)
					yc[(d * 2 + b) * hid + u] = c[b][u];
			}
		for (int k = 0; k < 2; k++) {
			layer_free(&w[k]);
			layer_free(&rec[k]);
		}
	}
}

static void
lstm_ref(const fx_run *r, double *y)
{
	bool first = r->out == r->g->outputs[0], second = r->out == r->g->outputs[1];

	lstm_run(r, first ? y : NULL, second ? y : NULL, first || second ? NULL : y);
}

/* ---- resize: corners and edges of its own formula ---- */

static hb_tensor *
resized(hb_graph *g, const char *mode, const char *coordinates)
{
	static const float scales[4] = { 1, 1, 2.0f, 1.5f };
	hb_tensor *y = test_node(g, "Resize", "y", image(g), fx_const(g, "roi", test_shape(1, 0), 0, 0), test_const(g, "s", test_shape(1, 4), scales), NULL);

	hb_attr_set_s(g, y->producer, "mode", mode);
	hb_attr_set_s(g, y->producer, "coordinate_transformation_mode", coordinates);
	return y;
}

static hb_tensor *
resize_linear(hb_graph *g)
{
	return resized(g, "linear", "half_pixel");
}

static hb_tensor *
resize_nearest(hb_graph *g)
{
	hb_tensor *y = resized(g, "nearest", "asymmetric");

	hb_attr_set_s(g, y->producer, "nearest_mode", "floor");
	return y;
}

static double
half_pixel(int64_t o, double scale, int64_t extent, int64_t *first, int64_t *next)
{
	double at = ((double)o + 0.5) / scale - 0.5, low = floor(at);

	*first = HB_MIN(HB_MAX((int64_t)low, 0), extent - 1);
	*next = HB_MIN(HB_MAX((int64_t)low + 1, 0), extent - 1);
	return at - low;
}

static void
resize_ref(const fx_run *r, double *y)
{
	const int64_t *x = r->shape[0].dim, *o = r->out->shape.dim;

	for (int64_t i = 0; i < hb_tensor_elems(r->out); i++) {
		const double *p = r->x[0] + i / (o[2] * o[3]) * x[2] * x[3];
		int64_t r0, r1, c0, c1;
		double v = half_pixel(i / o[3] % o[2], 2, x[2], &r0, &r1), u = half_pixel(i % o[3], 1.5, x[3], &c0, &c1);

		y[i] = (p[r0 * x[3] + c0] * (1 - u) + p[r0 * x[3] + c1] * u) * (1 - v) + (p[r1 * x[3] + c0] * (1 - u) + p[r1 * x[3] + c1] * u) * v;
	}
}

/* ---- the lists' rows ---- */

#define BY(id, row, by, mask, narrow, wide) { .rows = row, .name = #id, .build = id, .ref = by, .types = mask, .apart8 = narrow, .apart16 = wide }
#define MOVE(id, row) { .rows = row, .name = #id, .build = id, .types = FX_BOTH }

static const fx_case products[] = {
	BY(conv, "torch.nn.Conv2d", conv_ref, FX_ALL, 1, 1), BY(dilated, "torch.nn.Conv2d", conv_ref, FX_ALL, 1, 1), BY(sumin, "torch.nn.Conv2d", conv_ref, FX_ALL, 1, 1),
	BY(conv3d, "torch.nn.Conv3d", conv_ref, FX_8 | FX_8_16, 1, 1), BY(sumin3d, "torch.nn.Conv3d", conv_ref, FX_8, 1, 1),
	BY(conv_transpose, "torch.nn.ConvTranspose2d", conv_transpose_ref, FX_ALL, 1, 1), BY(linear, "torch.nn.Linear", linear_ref, FX_ALL, 1, 1),
	BY(matmul, "torch.matmul torch.nn.MultiheadAttention", matmul_ref, FX_ALL, 1, 1),
	BY(batch_norm_2d, "torch.nn.BatchNorm2d torch.nn.SyncBatchNorm", batch_norm_ref, FX_BOTH, 1, 1), BY(batch_norm_3d, "torch.nn.BatchNorm3d", batch_norm_ref, FX_BOTH, 1, 1),
};

static const fx_case windows[] = {
	BY(average_pool, "torch.nn.AvgPool2d", average_ref, FX_ALL, 1, 1), BY(average_pool_counting_pads, "torch.nn.AvgPool2d", average_ref, FX_ALL, 1, 1),
	BY(global_average_pool, "torch.nn.AdaptiveAvgPool2d", reduce_ref, FX_ALL, 1, 1), BY(mean, "torch.mean", reduce_ref, FX_ALL, 1, 1),
	BY(mean_of_image, "torch.mean", reduce_ref, FX_ALL, 1, 1), BY(sum, "torch.sum", reduce_ref, FX_ALL, 1, 1),
	MOVE(max_pool, "torch.nn.MaxPool2d"), MOVE(greatest, "torch.max torch.Tensor.max"), MOVE(least, "torch.min torch.Tensor.min"),
	MOVE(arg_max, "torch.argmax torch.Tensor.argmax torch.max torch.Tensor.max"), MOVE(arg_min, "torch.argmin torch.Tensor.argmin torch.min torch.Tensor.min"),
	MOVE(top_k, "torch.topk"), MOVE(bottom_k, "torch.topk"),
	BY(resize_linear, "torch.nn.functional.interpolate torch.nn.Upsample torch.nn.UpsamplingBilinear2d", resize_ref, FX_8, 1, 1),
	MOVE(resize_nearest, "torch.nn.functional.interpolate torch.nn.Upsample torch.nn.UpsamplingNearest2d"),
};

static const fx_case rows[] = {
	BY(softmax, "torch.nn.Softmax torch.nn.MultiheadAttention", softmax_ref, FX_ALL, 1, 2), BY(layer_norm, "torch.nn.LayerNorm", norm_ref, FX_ALL, 1, 2),
	BY(rms_norm, "", norm_ref, FX_ALL, 1, 2), BY(glu, "torch.nn.GLU", glu_ref, FX_BOTH, 1, 8),
	BY(lstm_cell, "torch.nn.LSTMCell", lstm_ref, FX_ALL, 1, 8), /* what a step errs enters the next */
	BY(lstm, "torch.nn.LSTMCell", lstm_ref, FX_ALL, 1, 12), BY(lstm_backwards, "torch.nn.LSTMCell", lstm_ref, FX_ALL, 1, 12),
};

#define AGAINST_DOUBLE(table)                           \
	static void                                     \
	table##_against_double(void **state)            \
	{                                               \
		(void)state;                            \
		fx_table(table, HB_LEN(table));         \
	}
AGAINST_DOUBLE(products)
AGAINST_DOUBLE(windows)
AGAINST_DOUBLE(rows)

/* With an argument: names the rows. */
int
main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1) {
		fx_print_rows(products, HB_LEN(products));
		fx_print_rows(windows, HB_LEN(windows));
		fx_print_rows(rows, HB_LEN(rows));
		return 0;
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(products_against_double), cmocka_unit_test(windows_against_double), cmocka_unit_test(rows_against_double),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
