#include "succession.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "event_pipe.h"
#include "sluice.h"

struct order {
	uint32_t driver;
	uint32_t successor;
	struct sluice_attach_shard attach;
	int fds[SLUICE_SUCCESSOR_FDS]; /* the caller's */
};

#define MAX_ORDERS (SLUICE_MAX_WORKERS * SLUICE_MAX_INTERFACES)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct order orders[MAX_ORDERS];
static uint32_t order_count;

/* With the lock held. */
static struct order *find(uint32_t shard)
{
	for (uint32_t at = 0; at < order_count; at++)
		if (orders[at].attach.shard == shard)
			return &orders[at];
	return NULL;
}

/* With the lock held. */
static void forget(struct order *order)
{
	*order = orders[--order_count];
}

int sluice_successor_name(uint32_t driver, uint32_t successor,
			  const struct sluice_attach_shard *attach, const int *fds)
{
	int error = 0;

	if (!attach || !fds || attach->message.kind != SLUICE_MESSAGE_ATTACH_SHARD ||
	    attach->message.bytes != sizeof(*attach))
		return -EINVAL;
	pthread_mutex_lock(&lock);
	if (find(attach->shard))
		error = -EEXIST;
	else if (order_count == MAX_ORDERS)
		error = -ENOSPC;
	else
		orders[order_count++] = (struct order){
			.driver = driver,
			.successor = successor,
			.attach = *attach,
			.fds = { fds[SLUICE_SUCCESSOR_SOCKET], fds[SLUICE_SUCCESSOR_STATE],
				 fds[SLUICE_SUCCESSOR_COUNTERS] },
		};
	pthread_mutex_unlock(&lock);
	return error;
}

int sluice_successor_withdraw(uint32_t shard)
{
	struct order *order;

	pthread_mutex_lock(&lock);
	order = find(shard);
	if (order)
		forget(order);
	pthread_mutex_unlock(&lock);
	return order ? 0 : -ENOENT;
}

/* False: nobody could be told, so nothing was done. */
static bool carry_out(const struct order *order)
{
	struct sluice_event event = {
		.kind = SLUICE_EVENT_SUCCEEDED,
		.connection = order->successor,
		.a = order->attach.message.sequence,
		.b = order->attach.shard,
	};
	int error;

	if (!event_pipe_try(&event))
		return false;
	/* A state that makes no sense is for the supervisor to report; its successor goes on all the same. */
	(void)sluice_shard_settle(order->fds[SLUICE_SUCCESSOR_STATE],
				  order->fds[SLUICE_SUCCESSOR_COUNTERS]);
	/* Socket and state: the first two. */
	error = sluice_channel_send(order->successor, &order->attach, sizeof(order->attach),
				    order->fds, 2);
	if (!error)
		return true;
	/* As the worker itself would answer. */
	event.kind = SLUICE_EVENT_ACK;
	event.b = (uint64_t)(int64_t)error;
	(void)event_pipe_try(&event);
	return true;
}

void succession_carry_out(uint32_t driver)
{
	pthread_mutex_lock(&lock);
	for (uint32_t at = order_count; at-- > 0;) {
		/* What is left is withdrawn by the supervisor, when it hears GONE. */
		if (orders[at].driver == driver && carry_out(&orders[at]))
			forget(&orders[at]);
	}
	pthread_mutex_unlock(&lock);
}

void succession_forget_all(void)
{
	pthread_mutex_lock(&lock);
	order_count = 0;
	pthread_mutex_unlock(&lock);
}
