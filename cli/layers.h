/* layers.h: each layer by itself: the float model's layer on the operands that the compiled form's has. */
#ifndef HBCC_LAYERS_H
#define HBCC_LAYERS_H

#include "cli/cli.h"

typedef struct layers layers;

hb_status layers_new(cli *c, hb_graph *g, layers **out);
void layers_free(layers *l);
/* The compiled form's value of g's tensor t for this sample, dequantized where it has integers. */
hb_status layers_saw(layers *l, const hb_tensor *t, const float *v, bool integers);
/* What integers the compiled form makes of the float t that it takes or the CPU yields, dequantized. */
hb_status layers_saw_border(layers *l, const hb_tensor *t, const float *v);
/* Runs g's layers, one by one, on what was seen of the sample with these inputs. */
hb_status layers_run(layers *l, const hb_val *in);
const hb_measure *layers_measure(const layers *l, const hb_tensor *t);

#endif
