/* config.h: what the configuration's files share: config.c reads the groups of keys, qconfig.c has the rules of which
 * node or tensor gets what. */
#ifndef HBCC_CONFIG_H
#define HBCC_CONFIG_H

#include "cli/cli.h"

#include <yaml.h>

typedef struct qrule qrule;

struct config {
	cli *c; /* of the first context: its arena outlives the second */
	yaml_document_t *doc;
	const char *path;
	bool said[O_COUNT]; /* on the command line */
	strings names, train_types, train_layouts, norm_types, means, scales, shapes, folders;
	const char *prefix, *working_dir, *calibration_type, *cal_data_type;
	bool percentile_given, no_samples;
	strings cameras; /* inputs that take a camera's pixels */
	strings rt_types, spaces, output_nodes, remove_types, remove_names;
	hb_qconfig base; /* what rules change */
	qrule *rules;
	size_t nrules, cap_rules;
	uint32_t crc;
};

typedef struct key_row key_row;
typedef hb_status key_fn(config *g, const key_row *k, yaml_node_t *n, const char *s);

struct key_row {
	const char *group, *key;
	key_fn *fn;
	opt_id option;    /* of set_option, set_list, set_flag */
	const char *only; /* of take_only: the one value taken; of warn and refuse: why */
	size_t at;        /* of keep, keep_list: the field of config */
};

/* Reports an error at a place of the file; HB_ERR_USAGE. */
hb_status config_error(config *g, const yaml_node_t *at, const char *key, const char *fmt, ...) HB_PRINTF(4, 5);
yaml_node_t *config_node(config *g, int index);
const char *config_scalar(const yaml_node_t *n); /* NULL where it is none */
/* "a; b" or a sequence of scalars. */
hb_status config_list(config *g, yaml_node_t *n, const char *key, strings *out);

key_fn qrules_op, qrules_node, qrules_tensor, qrules_node_info, qrules_data_type, qrules_weight_dtype;
/* set_model_output_int16, set_Softmax_input_int8, ... */
hb_status qrules_optimization(config *g, const yaml_node_t *at, const char *key, const char *word);

#endif
