/* replay.h: without libFuzzer a fuzz target is a program that runs the files it is given,
 * or those of its CORPUS. Included at the end of a target. */
#ifndef HB_LIBFUZZER
#include "lib/base/base.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

static int
replay(const char *path)
{
	struct stat st;
	DIR *d = stat(path, &st) || !S_ISDIR(st.st_mode) ? NULL : opendir(path);
	int n = 0;
	if (d) {
		for (struct dirent *e; (e = readdir(d));) {
			char sub[4096];
			snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name);
			n += e->d_name[0] == '.' ? 0 : replay(sub);
		}
		closedir(d);
		return n;
	}
	hb_ctx *cx = hb_ctx_new(NULL);
	hb_file *f;
	if (cx && hb_file_map(cx, path, &f) == HB_OK) {
		LLVMFuzzerTestOneInput(f->p, f->size);
		n = 1;
	}
	hb_ctx_free(cx);
	return n;
}

int
main(int argc, char **argv)
{
	int n = 0;
	for (int i = 1; i < argc; i++)
		n += replay(argv[i]);
	if (argc < 2)
		n = replay(CORPUS);
	printf("%d files\n", n);
	return n ? 0 : 1;
}
#endif
