/* near.c: of many names those that are nearest to one that is none of them. */
#include "cli/cli.h"

enum { LONGEST = 200 };

/* Edits of one letter that make a into b; lengths beyond LONGEST are not looked at. */
static int
edit_distance(const char *a, const char *b)
{
	size_t n = strnlen(a, LONGEST), m = strnlen(b, LONGEST);
	int row[LONGEST + 1];

	for (size_t j = 0; j <= m; j++)
		row[j] = (int)j;
	for (size_t i = 1; i <= n; i++) {
		int diagonal = row[0];

		row[0] = (int)i;
		for (size_t j = 1; j <= m; j++) {
			int above = row[j], change = diagonal + (a[i - 1] != b[j - 1]);

			row[j] = HB_MIN(change, HB_MIN(above, row[j - 1]) + 1);
			diagonal = above;
		}
	}
	return row[m];
}

void
names_near(near_names *near, const char *name)
{
	int d = edit_distance(near->wanted, name);
	size_t at = near->n;

	for (size_t i = 0; i < near->n; i++)
		if (!strcmp(near->name[i], name))
			return;
	while (at && near->distance[at - 1] > d)
		at--;
	if (at == HB_LEN(near->name))
		return;
	near->n = HB_MIN(near->n + 1, HB_LEN(near->name));
	for (size_t i = near->n - 1; i > at; i--) {
		near->name[i] = near->name[i - 1];
		near->distance[i] = near->distance[i - 1];
	}
	near->name[at] = name;
	near->distance[at] = d;
}

const char *
near_text(const near_names *near, char *buf, size_t size)
{
	size_t len = 0;

	buf[0] = 0;
	for (size_t i = 0; i < near->n && len < size; i++)
		len += (size_t)snprintf(buf + len, size - len, "%s'%.200s'", i ? ", " : near->n > 1 ? "; the nearest are " : "; the nearest is ", near->name[i]);
	return buf;
}
