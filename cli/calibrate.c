/* calibrate.c: hbcc calibrate: the fake-quantized ONNX model, what compile --emit qdq gives. */
#include "cli/cli.h"

static hb_status
run(cli *c)
{
	c->a.emit = "qdq";
	return command_compile.run(c);
}

const command command_calibrate = {
	.name = "calibrate",
	.files = "MODEL.onnx [STATS...]",
	.summary = "Choose scales from samples and write the model with quantize and dequantize pairs, as ONNX.",
	.min_files = 1,
	.max_files = 65536,
	.options = (const opt_id[]){O_march, O_calib, O_output, O_all_outputs, O_run_on_bpu, O_run_on_cpu, O_dtype,
				    O_observer, O_weight_observer, O_percentile, O_averaging_constant, O_per_channel, O_per_tensor, O_round, O_scale_divisor, O_int8_outputs, O_affine, O_no_bias_correction, O_refine, O_round_weights, O_auto_int16, O_min_cosine, O_save_ranges, O_load_ranges,
				    O_save_stats, O_merge, O_print_config, O_END},
	.run = run,
};
