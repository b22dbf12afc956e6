/* tables.h: shorthand for the march files' rows. */
#ifndef HB_MARCH_TABLES_H
#define HB_MARCH_TABLES_H

#include "march/march.h"

#define I8 HB_BIT(HB_I8)
#define I16 HB_BIT(HB_I16)
#define I32 HB_BIT(HB_I32)
#define QBOOL HB_BIT(HB_BOOL)
#define I8_16 (I8 | I16)
#define I8_32 (I8 | I32)
#define I8_16_32 (I8 | I16 | I32)

#define PLUGIN "plugin list"	/* operators of the quantization plugin for torch */

#endif
