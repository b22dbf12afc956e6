/* pool.c: worker threads that live as long as their context. A job is claimed part by part; the caller
 * takes part and waits only for parts that a thread has claimed, never for a thread that is late. */
#include "lib/base/internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* Looks at a shared variable before a thread sleeps: some tens of microseconds, as long as nodes are apart. */
enum { LOOKS = 4000 };

struct hb_pool {
	pthread_mutex_t lock;
	pthread_cond_t start, done;
	pthread_t threads[HB_MAX_JOBS];
	int nthreads;			/* beside the caller */
	int next_worker;		/* number that the next thread takes */
	int looks;
	int sleepers;			/* threads that wait for start; changed under the lock */
	bool waits;			/* the caller waits for done */
	bool quit;

	/* The job. It changes only while its round is closed, so what a thread read of it holds if its claim succeeds. */
	int64_t n, grain, share;	/* share: pieces of a part */
	void (*fn)(void *arg, int64_t begin, int64_t end, int worker);
	void *arg;
	uint32_t parts;
	/* Apart from what is only read during a job. */
	_Alignas(64) uint64_t turn;	/* round << 32 | next part */
	_Alignas(64) uint32_t finished;	/* parts of this round */
};

#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define STORE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELEASE)
#define CLOSED UINT32_MAX		/* a next part that no job has */

static void
look_again(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#endif
}

static void
run_part(int64_t part, int64_t share, int64_t n, int64_t grain, void (*fn)(void *, int64_t, int64_t, int), void *arg, int worker)
{
	int64_t first = part * share * grain, end = n - first > share * grain ? first + share * grain : n;
	for (int64_t i = first; i < end; i += grain)
		fn(arg, i, HB_MIN(i + grain, n), worker);
}

/* Claims and runs parts until none is left. */
static void
work(struct hb_pool *p, int worker)
{
	uint64_t turn = LOAD(p->turn);
	for (;;) {
		int64_t n = LOAD(p->n), grain = LOAD(p->grain), share = LOAD(p->share);
		void (*fn)(void *, int64_t, int64_t, int) = LOAD(p->fn);
		void *arg = LOAD(p->arg);
		uint32_t parts = LOAD(p->parts);
		if ((uint32_t)turn >= parts)
			return;
		if (!__atomic_compare_exchange_n(&p->turn, &turn, turn + 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			continue;
		run_part((int64_t)(uint32_t)turn, share, n, grain, fn, arg, worker);
		if (__atomic_add_fetch(&p->finished, 1, __ATOMIC_SEQ_CST) == parts &&
		    __atomic_load_n(&p->waits, __ATOMIC_SEQ_CST)) {
			pthread_mutex_lock(&p->lock);
			pthread_cond_signal(&p->done);
			pthread_mutex_unlock(&p->lock);
		}
		turn = LOAD(p->turn);
	}
}

/* Returns once the round is not `seen`, or at quit. */
static void
await_round(struct hb_pool *p, uint32_t seen)
{
	for (int i = 0; i < p->looks; i++) {
		if ((uint32_t)(LOAD(p->turn) >> 32) != seen || LOAD(p->quit))
			return;
		look_again();
	}
	pthread_mutex_lock(&p->lock);
	__atomic_add_fetch(&p->sleepers, 1, __ATOMIC_SEQ_CST);
	while ((uint32_t)(__atomic_load_n(&p->turn, __ATOMIC_SEQ_CST) >> 32) == seen && !LOAD(p->quit))
		pthread_cond_wait(&p->start, &p->lock);
	__atomic_sub_fetch(&p->sleepers, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&p->lock);
}

static void *
thread_main(void *arg)
{
	struct hb_pool *p = arg;
	int worker = __atomic_add_fetch(&p->next_worker, 1, __ATOMIC_RELAXED);
	for (uint32_t seen = 0;;) {
		await_round(p, seen);
		if (LOAD(p->quit))
			return NULL;
		seen = (uint32_t)(LOAD(p->turn) >> 32);
		work(p, worker);
	}
}

/* Threads that cannot be made are done without: the caller works in any case. */
static struct hb_pool *
pool_new(hb_ctx *cx)
{
	struct hb_pool *p = aligned_alloc(_Alignof(struct hb_pool), sizeof(*p));
	if (!p)
		return NULL;
	memset(p, 0, sizeof(*p));
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->start, NULL);
	pthread_cond_init(&p->done, NULL);
	p->turn = CLOSED;
	p->looks = cx->jobs <= sysconf(_SC_NPROCESSORS_ONLN) ? LOOKS : 0;
	while (p->nthreads < cx->jobs - 1) {
		if (pthread_create(&p->threads[p->nthreads], NULL, thread_main, p))
			break;
		p->nthreads++;
	}
	return p;
}

void
hb_pool_free(struct hb_pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	STORE(p->quit, true);
	pthread_cond_broadcast(&p->start);
	pthread_mutex_unlock(&p->lock);
	for (int i = 0; i < p->nthreads; i++)
		pthread_join(p->threads[i], NULL);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->start);
	pthread_cond_destroy(&p->done);
	free(p);
}

static void
start_round(struct hb_pool *p)
{
	uint64_t round = (LOAD(p->turn) >> 32) + 1;
	STORE(p->finished, 0);
	__atomic_store_n(&p->turn, round << 32, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&p->sleepers, __ATOMIC_SEQ_CST))
		return;
	pthread_mutex_lock(&p->lock);
	pthread_cond_broadcast(&p->start);
	pthread_mutex_unlock(&p->lock);
}

static void
await_parts(struct hb_pool *p, uint32_t parts)
{
	for (int i = 0; i < p->looks; i++) {
		if (LOAD(p->finished) == parts)
			return;
		look_again();
	}
	pthread_mutex_lock(&p->lock);
	__atomic_store_n(&p->waits, true, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&p->finished, __ATOMIC_SEQ_CST) != parts)
		pthread_cond_wait(&p->done, &p->lock);
	STORE(p->waits, false);
	pthread_mutex_unlock(&p->lock);
}

void
hb_parallel(hb_ctx *cx, int64_t n, int64_t grain,
	    void (*fn)(void *arg, int64_t begin, int64_t end, int worker), void *arg)
{
	if (n <= 0)
		return;
	if (grain < 1)
		grain = 1;
	if (cx->jobs > 1 && n > grain && !cx->pool)
		cx->pool = pool_new(cx);
	struct hb_pool *p = cx->pool;
	if (cx->jobs <= 1 || n <= grain || !p || !p->nthreads) {
		for (int64_t i = 0; i < n; i += grain)
			fn(arg, i, HB_MIN(i + grain, n), 0);
		return;
	}
	int64_t pieces = hb_ceil_div(n, grain), share = hb_ceil_div(pieces, INT32_MAX);
	uint32_t parts = (uint32_t)hb_ceil_div(pieces, share);
	__atomic_or_fetch(&p->turn, CLOSED, __ATOMIC_SEQ_CST);
	STORE(p->n, n);
	STORE(p->grain, grain);
	STORE(p->share, share);
	STORE(p->fn, fn);
	STORE(p->arg, arg);
	STORE(p->parts, parts);
	start_round(p);
	work(p, 0);
	await_parts(p, parts);
}
