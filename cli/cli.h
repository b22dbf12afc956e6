/* cli.h: what the subcommands share: options, files in and out, reports.
 *
 * A subcommand is one row: its name, the options it takes, and a function that
 * gets everything parsed and validated. It returns a status; main() turns that
 * into the exit code. Results go to stdout, everything else to stderr. */
#ifndef HBCC_CLI_H
#define HBCC_CLI_H

#include "lib/base/base.h"
#include "lib/onnx/onnx.h"
#include "lib/pass/pass.h"
#include "lib/run/run.h"
#include "lib/sched/sched.h"

#include <jansson.h>
#include <stdio.h>

/* ---- options: one row each in options.def ---- */

typedef struct strings {
	const char **v;
	size_t n, cap;
} strings;

typedef struct args {
	const char *config, *output, *march, *name, *emit, *format, *input_layout, *output_layout;
	const char *stats, *trace, *dump, *baseline, *observer, *weight_observer, *dtype, *round, *affine, *scale_divisor, *list, *save_ranges, *load_ranges, *save_stats;
	strings calib, input, input_shape, input_source, run_on_bpu, run_on_cpu;
	int64_t jobs, max_memory, bench, core_num, level;
	double min_cosine, max_latency, min_fps, max_ddr, tolerance, advice, percentile, averaging_constant;
	bool strict, verify, vendor_cpu, debug, no_progress, all_outputs, raw_int, check_hazards, int8_outputs, no_bias_correction, refine, round_weights, auto_int16, blame, by_layer, json, ops, deflate, merge, per_channel, per_tensor, print_config;
	bool help, version;
} args;

typedef enum opt_kind {
	OPT_FLAG,			/* bool */
	OPT_TEXT,			/* const char * */
	OPT_LIST,			/* strings; may be repeated */
	OPT_CHOICE,			/* const char *, one of limits "a|b|c" */
	OPT_INT,			/* int64_t, limits "lo..hi" */
	OPT_REAL,			/* double, limits "lo..hi" */
	OPT_SIZE,			/* int64_t bytes; K, M, G suffix */
	OPT_LEVEL,			/* int64_t; O0, 1, fast ... */
} opt_kind;

typedef enum opt_id {
	O_END,
#define OPTION(id, letter, name, kind, field, arg, limits, help) O_##id,
#include "cli/options.def"
#undef OPTION
	O_COUNT
} opt_id;

typedef struct option_row {
	opt_id id;
	char letter;			/* 0: none */
	const char *name;
	opt_kind kind;
	size_t at;			/* of the field in args */
	const char *arg;		/* as --help prints it */
	const char *limits;
	const char *help;
} option_row;

extern const option_row option_rows[O_COUNT];

typedef struct cli cli;
typedef struct config config;

typedef struct command {
	const char *name;
	const char *files;		/* as --help prints them: "MODEL.onnx" */
	const char *summary;		/* one line */
	int min_files, max_files;	/* the first may come from --config where it names onnx_model */
	const opt_id *options;		/* ends with O_END; the shared ones are added */
	hb_status (*run)(cli *c);
} command;

#define COMMAND(name) extern const command command_##name;
#include "cli/commands.def"
#undef COMMAND
extern const command *const commands[];	/* ends with NULL */

struct cli {
	const command *cmd;
	hb_ctx *cx;
	hb_arena *arena;		/* the context's */
	args a;
	bool set[O_COUNT];		/* said on the command line or in the configuration */
	const char **files;
	int nfiles;
	config *cfg;			/* NULL without --config */
	bool progress_shown;
	bool sampled;			/* the model was calibrated with samples, or with what was kept of them: */
	uint32_t samples_crc;
	uint64_t samples_bytes;
	int64_t nsamples;
};

/* The command line into c->a. Reported; HB_ERR_USAGE. */
hb_status options_parse(cli *c, int argc, char **argv);
/* One option's value; `where` is what a message calls it: "--jobs", "m.yaml:12: jobs". */
hb_status option_set(cli *c, opt_id id, const char *value, const char *where);
bool command_takes(const command *cmd, opt_id id);
void help_print(const command *cmd, FILE *f);
void help_commands(FILE *f);
hb_status strings_add(cli *c, strings *s, const char *v);

/* --march: HB_ERR_USAGE where it is not said (required) or unknown. NULL where it is not said. */
hb_status march_get(cli *c, bool required, const hb_march **out);
/* Options against each other and the march, before any work; m may be NULL. */
hb_status options_check(cli *c, const hb_march *m);
/* --print-config: what every quantized edge gets and from which rule. */
hb_status print_config(cli *c, hb_graph *g, const hb_calib_options *o);
/* The highest --O level that exists. */
#define LEVEL_MAX 1

/* ---- what a fake-quantized model tells of its making (origin.c) ---- */

/* Into qdq's metadata: record (an .hbm's), the model's name, requests to place nodes. */
hb_status origin_put(cli *c, const hb_graph *g, hb_graph *qdq, const hb_meta *record);
/* From g's metadata: the name; what an .hbm records, first what the command line may replace, then what it may not;
 * requests to place nodes, before o's, and the rounding. */
const char *origin_name(cli *c, const hb_graph *g);
hb_status origin_recall(cli *c, const hb_graph *g, hb_program *p, bool first);
hb_status origin_requests(cli *c, const hb_graph *g, hb_place_options *o);

/* ---- configuration (config.c) ---- */

/* Reads --config, sets the options it names that the command line did not. */
hb_status config_read(cli *c);
void config_free(cli *c);
/* CRC32 of the file where it has rules of quant_parameters; false where it has none. */
bool config_crc(const cli *c, uint32_t *crc);
/* The default that quant_parameters' rules change. */
void config_base(cli *c, const hb_qconfig *q);
/* What rules say about tensor t that node n (or NULL) yields; NULL: nothing. For hb_calib_options.config. */
const hb_qconfig *config_quant(void *arg, const hb_node *n, const hb_tensor *t);

/* Other inputs and outputs, as model_parameters say. */
hb_status config_edit(cli *c, hb_graph *g);
/* Did the command line say it, not the configuration? */
bool config_said(const cli *c, opt_id id);
/* Warns of rules that match nothing in g; HB_ERR_USAGE where the march cannot do what one says. */
hb_status config_rules_check(cli *c, const hb_graph *g, const hb_march *m);
/* Nodes that rules leave in float, by name. */
hb_status config_excluded(cli *c, const hb_graph *g, strings *out);

/* ---- names that are not there (near.c) ---- */

typedef struct near_names {
	const char *wanted;
	const char *name[3];		/* nearest first */
	int distance[3];
	size_t n;
} near_names;

/* Holds one more name against what is wanted. */
void names_near(near_names *near, const char *name);
/* "; the nearest are 'a', 'b'", or nothing; into buf, which it returns. */
const char *near_text(const near_names *near, char *buf, size_t size);

/* Of input `name`, number i: false where input_type_rt says nothing. */
bool config_camera(const cli *c, const char *name, size_t i, hb_camera *out);

/* What input_parameters say about how an image becomes an input's values. */
typedef struct input_norm {
	bool nhwc;			/* input_layout_train */
	bool bgr;
	float mean[4], scale[4];	/* (x - mean) * scale */
	int nmean, nscale;		/* 0: none; 1: for all channels */
} input_norm;
/* Of input i; the default (RGB, NCHW, 0..255) without configuration. */
void config_norm(const cli *c, size_t i, input_norm *out);
/* calibration_parameters: raw samples are uint8. */
bool config_raw_uint8(const cli *c);

/* ---- arrays in files (arrays.c) ---- */

typedef struct array {
	const char *path;
	hb_dtype dtype;
	hb_shape shape;
	const void *data;		/* as the file has it where it can be used in place */
	bool image;			/* rows, columns, RGB bytes */
	bool raw;			/* .bin: bytes, dtype HB_U8, rank 1 */
	void *map;			/* what array_free gives back */
	size_t map_bytes;
	void *big;
	size_t big_bytes;
} array;

/* Reads .npy, .npz (member NULL: the only one), .pb, .bin, .jpg, .png by the file's name.
 * HB_ERR_INPUT, HB_ERR_SYSTEM, HB_ERR_NOMEM; reported. */
hb_status array_read(hb_ctx *cx, const char *path, const char *member, array *out);
void array_free(hb_ctx *cx, array *a);
/* Samples before number `at` of `count` are no longer needed: their part of a mapped file leaves memory. */
void array_passed(const array *a, int64_t at, int64_t count);
/* Names of the arrays in an .npz. */
hb_status npz_names(hb_ctx *cx, const char *path, hb_arena *a, const char ***names, size_t *n);
bool is_image(const char *path);

/* Writes v as FORMAT npy, pb, raw; whole or not at all. */
hb_status array_write(hb_ctx *cx, const char *path, const char *format, const char *name, const hb_val *v);
const char *array_suffix(const char *format);	/* "npy", "pb", "bin" */

/* What an input wants. */
typedef struct port {
	const char *name;
	hb_dtype dtype;
	hb_shape shape;			/* valid where known */
	bool known;
	const hb_q *q;			/* of a fixed-point input, or NULL: float values are quantized */
	const hb_camera *camera;	/* an input that takes pictures as a camera gives them, or NULL */
	bool train;			/* samples are as the model was trained, not as the camera gives them */
} port;

/* Sample k of array a as a value for port p, converted where that is allowed; buf holds it: hb_port_bytes.
 * HB_ERR_INPUT saying what was found and what is taken. */
hb_status array_sample(cli *c, const array *a, const port *p, size_t input, int64_t k, void *buf, hb_val *out);
/* How many samples of p's shape array a holds. */
hb_status array_count(cli *c, const array *a, const port *p, int64_t *n);

/* ---- cameras (camera.c) ---- */

/* Metadata of an input that takes a camera's pixels: hbcc.input.NAME = "nv12 regular NHWC". */
char *camera_key(cli *c, const char *input);
bool camera_is_key(const char *key);
char *camera_text(cli *c, const hb_camera *k, const char *layout);
/* p->camera, where the metadata say so. */
hb_status camera_port(cli *c, const hb_meta *meta, port *p);
/* Is a a picture, rather than the values of p themselves? */
bool camera_takes(const array *a, const port *p);
hb_status camera_count(cli *c, const array *a, const port *p, int64_t *n);
hb_status camera_sample(cli *c, const array *a, const port *p, int64_t k, float *out);

/* Element i as a number. */
double value_at(const hb_val *v, int64_t i);
/* Integers of q as floats. */
hb_status value_dequantize(cli *c, const hb_val *v, const hb_q *q, float *out);

/* ---- samples (samples.c) ---- */

typedef struct samples samples;

/* --calib's paths for these inputs. *out NULL where none were given. */
hb_status samples_open(cli *c, const strings *paths, const port *ports, size_t nports, samples **out);
/* Sample k, false in *more past the last; values live until the next call. For hb_calib_options.sample. */
hb_status samples_get(void *arg, int64_t k, hb_val *in, bool *more);
/* CRC32, bytes and number of the samples given so far, into c. */
void samples_count(const samples *s, cli *c);
void samples_close(samples *s);

/* The ports of a graph's inputs. */
hb_status graph_ports(cli *c, const hb_graph *g, port **out);

/* ---- what calibration leaves behind (ranges.c) ---- */

/* Samples, ranges and statistics against each other. */
hb_status calib_check(cli *c);
/* Are there samples, or what is kept of them? */
bool calib_given(const cli *c);
/* --load-ranges and --merge's files into o. */
hb_status calib_load(cli *c, hb_calib_options *o);
/* --save-ranges and --save-stats: before and after hb_pass_calibrate. */
hb_status calib_open(cli *c, hb_calib_options *o);
hb_status calib_save(cli *c, hb_calib_options *o, hb_status st);

/* ---- the way of a model (pipeline.c) ---- */

typedef enum form { FORM_ONNX, FORM_FUSED, FORM_QDQ, FORM_HBIR, FORM_PLAN, FORM_HBM } form;

bool is_hbm(const char *path);			/* by its suffix or its first bytes */
hb_status onnx_check(cli *c, const char *path);	/* HB_ERR_INPUT for an .hbm */
/* A result never takes the place of a file it is made from, nor of another result. */
hb_status output_check(cli *c, const char *option, const char *out);
hb_status outputs_check(cli *c);
/* --input-shape's as hb_import_options. */
hb_status import_options(cli *c, hb_import_options *out);
/* Reads a model whose shapes must come out; `in` (of `nin`, may be NULL) fixes symbolic dimensions and is
 * bound where a shape depends on contents. */
hb_status model_read(cli *c, const char *path, hb_graph **out);
/* HB_ERR_NO where a placed graph cannot be compiled: a limit of m on the model as a whole, a node
 * that runs nowhere, or nothing for the BPU. */
hb_status model_refuse(cli *c, hb_graph *g, const hb_march *m);
/* Simplify, fuse, place. */
hb_status model_place(cli *c, hb_graph *g, const hb_march *m);
/* --affine, --round. */
hb_affine affine(const cli *c);
hb_round rounding(const cli *c);
/* Calibrates with --calib's samples. */
hb_status model_calibrate(cli *c, hb_graph *g, const hb_march *m);
/* What --refine, --round-weights and --auto-int16 ask, after calibration with options o (accuracy.c). */
hb_status model_improve(cli *c, hb_graph *g, const hb_march *m, const hb_calib_options *o);
hb_status improve_check(cli *c, const hb_march *m);
/* Converts and constrains. */
hb_status model_convert(cli *c, hb_graph *g, const hb_march *m, hb_graph **fixed);
hb_status model_schedule(cli *c, hb_graph *fixed, const hb_march *m, hb_program **out);
/* All of it. */
hb_status model_compile(cli *c, const char *path, const hb_march *m, hb_program **out);
/* --min-cosine: holds the fixed-point graph against the float one over --calib's samples; HB_ERR_NO where an output
 * is below. */
hb_status verify_fixed(cli *c, hb_graph *g, hb_graph *fixed);

/* ---- --verify (proof.c) ---- */

typedef struct proof proof;

/* Reads the model a second time; nothing changes that one. proof_close(NULL) is nothing. */
hb_status proof_open(cli *c, proof **out);
void proof_close(proof *p);
/* The placed, uncalibrated graph g against it: each float tensor that both have. HB_ERR_NO where one differs; says what holds. */
hb_status proof_rewrites(proof *p, hb_graph *g);
/* The .hbm in `file` against the fixed-point graph, bit for bit, and that against float: as above. */
hb_status proof_program(proof *p, hb_graph *fixed, const hb_march *m, const hb_buf *file);

/* Reads an .hbm; the one program in it or the one that --name names. */
hb_status hbm_open(cli *c, const char *path, const hb_march **m, hb_program **out);

/* Whether an open graph holds hbcc's fixed-point operators, or QuantizeLinear. */
form graph_form(const hb_graph *g);
const char *form_name(form f);		/* as --emit takes it */

/* ---- reports (report.c) ---- */

typedef struct table table;

/* Columns by their heads, ending with NULL. */
table *table_new(cli *c, ...);
void table_cell(table *t, const char *text);
void table_cellf(table *t, const char *fmt, ...) HB_PRINTF(2, 3);
void table_text(const table *t, FILE *f);
void table_markdown(const table *t, FILE *f);
hb_arena *table_arena(const table *t);
void table_html(const table *t, hb_buf *b);
bool table_has_rows(const table *t);	/* beside the heads */

/* Text that may stand in JSON or on a terminal: invalid UTF-8 and control characters replaced. */
const char *clean(cli *c, const char *s);
json_t *js(cli *c, const char *s);		/* a string; null for NULL */
json_t *js_real(double v);			/* null where not finite */
json_t *js_shape(const hb_shape *s);
/* An object whose first key is "schema". */
json_t *json_report(const char *schema);
/* Prints to stdout, or writes `path`; releases j. */
hb_status json_out(cli *c, json_t *j, const char *path);
/* --output goes with a report's --format json or html; else HB_ERR_USAGE. */
hb_status report_output_check(cli *c);

/* A name made fit to be a file name (DESIGN 4); unique among those in `used`. */
const char *file_name_of(cli *c, const char *name, hb_map *used);
/* The model's name: the last part of a path without its suffix. */
const char *model_name_of(cli *c, const char *path);
hb_status make_folder(cli *c, const char *path);
const char *dtype_word(const hb_q *q, hb_dtype dt);	/* "int8", "float32" */

#endif
