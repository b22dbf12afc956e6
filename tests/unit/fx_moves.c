/* fx_moves: operators of the lists that move elements: in fixed point they give what float does. */
#include "tests/fx_table.h"

static hb_tensor *
image(hb_graph *g)
{
	return test_input(g, "x", test_shape(4, 2, 6, 9, 11));
}

static hb_tensor *
concat(hb_graph *g)
{
	hb_tensor *a = image(g), *b = test_input(g, "x2", test_shape(4, 2, 3, 9, 11));

	return fx_int(g, test_node(g, "Concat", "y", a, b, NULL, NULL), "axis", 1);
}

static hb_tensor *
split(hb_graph *g)
{
	hb_node *n = hb_node_new(g, NULL, "y", "", "Split", 11, 1, 2);

	hb_node_set_in(g, n, 0, image(g));
	for (int i = 0; i < 2; i++) {
		hb_node_set_out(n, i, hb_tensor_new(g, i ? "z" : "y", HB_NONE, NULL));
		test_output(g, n->out[i]);
	}
	fx_ints(g, n->out[0], "split", FX_INTS(2, 4));
	return fx_int(g, n->out[0], "axis", 1);
}

static hb_tensor *
slice(hb_graph *g)
{
	hb_node *n = hb_node_new(g, NULL, "y", "", "Slice", 13, 5, 1);

	hb_node_set_in(g, n, 0, image(g));
	hb_node_set_in(g, n, 1, hb_tensor_ints(g, "starts", FX_INTS(1, -8)));
	hb_node_set_in(g, n, 2, hb_tensor_ints(g, "ends", FX_INTS(5, 100)));
	hb_node_set_in(g, n, 3, hb_tensor_ints(g, "axes", FX_INTS(1, 3)));
	hb_node_set_in(g, n, 4, hb_tensor_ints(g, "steps", FX_INTS(2, 3)));
	hb_node_set_out(n, 0, hb_tensor_new(g, "y", HB_NONE, NULL));
	return n->out[0];
}

static hb_tensor *
gather(hb_graph *g)
{
	return fx_int(g, test_node(g, "Gather", "y", image(g), hb_tensor_ints(g, "i", FX_INTS(4, -1, 0, 3, 3)), NULL, NULL), "axis", 2);
}

static hb_tensor *
gather_elements(hb_graph *g)
{
	hb_shape s = test_shape(4, 2, 6, 4, 11);
	hb_tensor *i = hb_tensor_const(g, "i", HB_I64, &s, NULL);

	for (int64_t k = 0; k < hb_shape_elems(&s); k++)
		((int64_t *)(uintptr_t)i->data)[k] = k * k % 17 - 8;
	return fx_int(g, test_node(g, "GatherElements", "y", image(g), i, NULL, NULL), "axis", 2);
}

static hb_tensor *
padded(hb_graph *g, const char *mode)
{
	hb_tensor *y = test_node(g, "Pad", "y", image(g), hb_tensor_ints(g, "p", FX_INTS(0, 0, 1, 2, 0, 0, 3, 1)), NULL, NULL);

	hb_attr_set_s(g, y->producer, "mode", mode);
	return y;
}

static hb_tensor *
pad_constant(hb_graph *g)
{
	return padded(g, "constant");
}

static hb_tensor *
pad_edge(hb_graph *g)
{
	return padded(g, "edge");
}

static hb_tensor *
expand(hb_graph *g)
{
	return test_node(g, "Expand", "y", test_input(g, "x", test_shape(4, 2, 1, 9, 1)), hb_tensor_ints(g, "s", FX_INTS(2, 5, 9, 4)), NULL, NULL);
}

static hb_tensor *
tile(hb_graph *g)
{
	return test_node(g, "Tile", "y", image(g), hb_tensor_ints(g, "r", FX_INTS(1, 2, 1, 3)), NULL, NULL);
}

static hb_tensor *
reshape(hb_graph *g)
{
	return test_node(g, "Reshape", "y", image(g), hb_tensor_ints(g, "s", FX_INTS(2, 3, 2, 99)), NULL, NULL);
}

static hb_tensor *
transpose(hb_graph *g)
{
	return fx_ints(g, test_node(g, "Transpose", "y", image(g), NULL, NULL, NULL), "perm", FX_INTS(0, 3, 1, 2));
}

static hb_tensor *
channel_shuffle(hb_graph *g)
{
	hb_tensor *a = test_node(g, "Reshape", "a", image(g), hb_tensor_ints(g, "s", FX_INTS(2, 2, 3, 9, 11)), NULL, NULL);

	a = fx_ints(g, test_node(g, "Transpose", "t", a, NULL, NULL, NULL), "perm", FX_INTS(0, 2, 1, 3, 4));
	return test_node(g, "Reshape", "y", a, hb_tensor_ints(g, "s2", FX_INTS(2, 6, 9, 11)), NULL, NULL);
}

static hb_tensor *
pixel_shuffle(hb_graph *g)
{
	hb_tensor *y = fx_int(g, test_node(g, "DepthToSpace", "y", test_input(g, "x", test_shape(4, 2, 12, 3, 4)), NULL, NULL, NULL), "blocksize", 2);

	hb_attr_set_s(g, y->producer, "mode", "CRD");
	return y;
}

static hb_tensor *
pixel_unshuffle(hb_graph *g)
{
	return fx_int(g, test_node(g, "SpaceToDepth", "y", test_input(g, "x", test_shape(4, 2, 3, 4, 6)), NULL, NULL, NULL), "blocksize", 2);
}

static hb_tensor *
identity(hb_graph *g)
{
	return test_node(g, "Identity", "y", image(g), NULL, NULL, NULL);
}

static hb_tensor *
dropout(hb_graph *g)
{
	return test_node(g, "Dropout", "y", image(g), NULL, NULL, NULL);
}

/* ---- the lists' rows ---- */

#define MOVE(id, row) { .rows = row, .name = #id, .build = id, .types = FX_BOTH }

static const fx_case moves[] = {
	{ .rows = "torch.cat", .name = "concat", .build = concat, .types = FX_BOTH, .apart8 = 1, .apart16 = 1, .lo2 = -1, .hi2 = 0.7 }, MOVE(split, "torch.split"), MOVE(slice, "torch.Tensor.__getitem__"), MOVE(gather, "torch.gather torch.Tensor.__getitem__"),
	MOVE(gather_elements, "torch.gather"), MOVE(pad_constant, "torch.nn.functional.pad torch.nn.ConstantPad2d torch.nn.ZeroPad2d"),
	MOVE(pad_edge, "torch.nn.functional.pad torch.nn.ReplicationPad2d"), MOVE(expand, "torch.Tensor.expand"), MOVE(tile, "torch.Tensor.repeat torch.Tensor.tile"),
	MOVE(reshape, "torch.Tensor.reshape"), MOVE(transpose, "torch.Tensor.transpose"), MOVE(channel_shuffle, "torch.nn.ChannelShuffle"),
	MOVE(pixel_shuffle, "torch.nn.PixelShuffle"), MOVE(pixel_unshuffle, "torch.nn.PixelUnshuffle"), MOVE(identity, "torch.nn.Identity torch.quantization.QuantStub torch.quantization.DeQuantStub"),
	MOVE(dropout, "torch.nn.Dropout torch.nn.Dropout2d"),
};


static void
moves_give_what_float_gives(void **state)
{
	(void)state;
	fx_table(moves, HB_LEN(moves));
}

/* With an argument: names the rows. */
int
main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1) {
		fx_print_rows(moves, HB_LEN(moves));
		return 0;
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(moves_give_what_float_gives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
