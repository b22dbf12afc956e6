/* pool.c: worker threads that live as long as their context. */
#include "lib/base/internal.h"

#include <pthread.h>
#include <stdlib.h>

struct hb_pool {
	hb_ctx *cx;
	pthread_mutex_t lock;
	pthread_cond_t start, done;
	pthread_t threads[HB_MAX_JOBS];
	int nthreads;			/* beside the caller */
	int next_worker;		/* number that the next thread takes */
	uint64_t round;			/* grows with each job; threads wait for it to change */
	int busy;			/* threads still at the job */
	bool quit;

	/* the job */
	int64_t n, grain, next;		/* next: atomic */
	void (*fn)(void *arg, int64_t begin, int64_t end, int worker);
	void *arg;
};

static void
work(struct hb_pool *p, int worker)
{
	for (;;) {
		int64_t begin = __atomic_fetch_add(&p->next, p->grain, __ATOMIC_RELAXED);
		if (begin >= p->n)
			return;
		p->fn(p->arg, begin, HB_MIN(begin + p->grain, p->n), worker);
	}
}

static void *
thread_main(void *arg)
{
	struct hb_pool *p = arg;
	pthread_mutex_lock(&p->lock);
	int worker = ++p->next_worker;
	uint64_t seen = 0;
	for (;;) {
		while (p->round == seen && !p->quit)
			pthread_cond_wait(&p->start, &p->lock);
		if (p->quit)
			break;
		seen = p->round;
		pthread_mutex_unlock(&p->lock);
		work(p, worker);
		pthread_mutex_lock(&p->lock);
		if (!--p->busy)
			pthread_cond_signal(&p->done);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* Threads that cannot be made are done without: the caller works in any case. */
static struct hb_pool *
pool_new(hb_ctx *cx)
{
	struct hb_pool *p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->cx = cx;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->start, NULL);
	pthread_cond_init(&p->done, NULL);
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
	p->quit = true;
	pthread_cond_broadcast(&p->start);
	pthread_mutex_unlock(&p->lock);
	for (int i = 0; i < p->nthreads; i++)
		pthread_join(p->threads[i], NULL);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->start);
	pthread_cond_destroy(&p->done);
	free(p);
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
	pthread_mutex_lock(&p->lock);
	p->n = n;
	p->grain = grain;
	p->next = 0;
	p->fn = fn;
	p->arg = arg;
	p->busy = p->nthreads;
	p->round++;
	pthread_cond_broadcast(&p->start);
	pthread_mutex_unlock(&p->lock);
	work(p, 0);
	pthread_mutex_lock(&p->lock);
	while (p->busy)
		pthread_cond_wait(&p->done, &p->lock);
	pthread_mutex_unlock(&p->lock);
}
