/* bayes.h: bayes' rows, which meta is built from too. */
#ifndef HB_MARCH_BAYES_H
#define HB_MARCH_BAYES_H

#include "march/march.h"

extern const hb_march_op hb_bayes_ops[];
extern const hb_rule hb_bayes_rules[], hb_bayes_cpu_rules[];
extern const char *const hb_bayes_cpu_ops[];
extern const hb_figure_source hb_bayes_figure_sources[];

#define HB_BAYES_LIST "RDK Ultra list"

#define HB_BAYES_FIGURES(march)                                                                     \
	{                                                                                           \
		.name = march, .cores = 2, .clock_ghz = 1.0, .sram_bytes = 3000 * 1024,             \
		.c_align = 16, .granule = 64,                                                       \
		.mac_h = 2, .mac_w = 2, .mac_c = 8, .mac_n = 64, .macs_per_cycle = 8192,            \
		.k0_percent = 67, .dw_h = 1, .dw_w = 1, .dw_c = 16, .dw_macs_per_cycle = 1490,      \
		.start_mac = 65, .start_vec = 8250, .start_dma = 64,                                \
		.vec_x100 = 3500, .lut_x100 = 9800, .copy_x100 = 5075, .dma_bytes_x100 = 1170,      \
		.int16 = true,                                                                      \
	}

#endif
