/* file.c: files mapped for reading, files written whole or not at all. */
#include "lib/base/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

hb_status
hb_file_map(hb_ctx *cx, const char *path, hb_file **out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0) {
		int err = errno;
		if (fd >= 0)
			close(fd);
		return hb_error(cx, HB_ERR_SYSTEM, NULL, "open", "cannot open '%s': %s", path, strerror(err));
	}
	if (!S_ISREG(st.st_mode)) {
		close(fd);
		return hb_error(cx, HB_ERR_SYSTEM, NULL, "open", "'%s' is not a regular file", path);
	}
	hb_file *f = HB_NEW(cx->arena, hb_file);
	char *name = hb_arena_str(cx->arena, path);
	if (!f || !name) {
		close(fd);
		return hb_nomem(cx, path);
	}
	*f = (hb_file){ .size = (size_t)st.st_size, .path = name };
	if (f->size) {
		void *p = mmap(NULL, f->size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (p == MAP_FAILED) {
			int err = errno;
			close(fd);
			return hb_error(cx, HB_ERR_SYSTEM, NULL, "read", "cannot read '%s': %s", path, strerror(err));
		}
		f->p = p;
		f->next = cx->files;
		cx->files = f;
	}
	close(fd);
	*out = f;
	return HB_OK;
}

void
hb_files_unmap(hb_ctx *cx)
{
	for (hb_file *f = cx->files; f; f = f->next)
		munmap((void *)(uintptr_t)f->p, f->size);
	cx->files = NULL;
}

static bool
write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t k = write(fd, p, n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

hb_status
hb_file_write(hb_ctx *cx, const char *path, const void *p, size_t n)
{
	struct stat st;
	if (!stat(path, &st) && !S_ISREG(st.st_mode)) {	/* a device or pipe: nothing to rename over */
		int fd = open(path, O_WRONLY | O_CLOEXEC);
		bool ok = fd >= 0 && write_all(fd, p, n);
		int err = errno;
		if (fd >= 0)
			close(fd);
		return ok ? HB_OK : hb_error(cx, HB_ERR_SYSTEM, NULL, "write", "cannot write '%s': %s", path, strerror(err));
	}
	char *temp = hb_arena_printf(cx->arena, "%s.XXXXXX", path);
	if (!temp)
		return hb_nomem(cx, path);
	int fd = mkstemp(temp);
	bool ok = fd >= 0;
	if (ok) {
		mode_t mask = umask(0);
		umask(mask);
		ok = !fchmod(fd, 0666 & ~mask) && write_all(fd, p, n);
		ok = !close(fd) && ok;
		ok = ok && !rename(temp, path);
		if (!ok) {
			int err = errno;
			unlink(temp);
			errno = err;
		}
	}
	return ok ? HB_OK : hb_error(cx, HB_ERR_SYSTEM, NULL, "write", "cannot write '%s': %s", path, strerror(errno));
}
