/* roi.h: regions of interest, as RoiAlign and horizon's operators give them. */
#ifndef HB_ROI_H
#define HB_ROI_H

#include "ops/op.h"

enum { HB_ROI_MAPS = 5 };

/* n->aux of the three operators. */
typedef struct hb_roi {
	int maps;			/* inputs 0..maps-1 */
	int boxes;			/* the input with left, top, right, bottom a region; [R,4] or [1,R,4] */
	int batch;			/* the input with each region's image; -1: all of image 0 */
	int64_t height, width;		/* of the output */
	int64_t ratio;			/* samples a bin and direction; 0: as many as the bin is long */
	double scale[HB_ROI_MAPS];	/* of the boxes, a map */
	bool aligned;			/* half a pixel less; else no region is smaller than a pixel */
	bool max;			/* of the samples, not their mean */
	double canonical_scale;		/* several maps: side of a region that is read from ... */
	int canonical_level;		/* ... the map of this level; level k has 2^k pixels an element */
	int first_level;		/* of map 0; the next have one more each */
} hb_roi;

/* Regions whose area in pixels is at least this are read from map k (1..maps-1) or one after it. */
double hb_roi_area(const hb_roi *r, int k);

#endif
