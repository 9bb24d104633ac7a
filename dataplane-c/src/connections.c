#include "connections.h"
#include "channel.h"
#include "sluice.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct connection connections[MAX_CONNECTIONS];
static uint32_t last_id;

/* With the lock held. */
static struct connection *find(uint32_t id)
{
	for (uint32_t i = 0; i < MAX_CONNECTIONS && id; i++)
		if (connections[i].id == id)
			return &connections[i];
	return NULL;
}

uint32_t connections_add(int fd, pid_t pid)
{
	uint32_t id = 0;

	pthread_mutex_lock(&lock);
	for (uint32_t i = 0; i < MAX_CONNECTIONS && !id; i++) {
		if (connections[i].id)
			continue;
		id = ++last_id;
		connections[i] = (struct connection){ .id = id, .fd = fd, .pid = pid };
	}
	pthread_mutex_unlock(&lock);
	if (!id)
		close(fd);
	return id;
}

bool connections_find(uint32_t id, struct connection *connection)
{
	const struct connection *found;

	pthread_mutex_lock(&lock);
	found = find(id);
	if (found)
		*connection = *found;
	pthread_mutex_unlock(&lock);
	return found;
}

void connections_set_greeted(uint32_t id)
{
	struct connection *found;

	pthread_mutex_lock(&lock);
	found = find(id);
	if (found)
		found->greeted = true;
	pthread_mutex_unlock(&lock);
}

/* With the lock held. */
static void close_connection(struct connection *connection)
{
	close(connection->fd);
	memset(connection, 0, sizeof(*connection));
}

void connections_remove(uint32_t id)
{
	struct connection *found;

	pthread_mutex_lock(&lock);
	found = find(id);
	if (found)
		close_connection(found);
	pthread_mutex_unlock(&lock);
}

void connections_remove_all(void)
{
	pthread_mutex_lock(&lock);
	for (uint32_t i = 0; i < MAX_CONNECTIONS; i++)
		if (connections[i].id)
			close_connection(&connections[i]);
	pthread_mutex_unlock(&lock);
}

static int send_with_descriptors(int fd, const void *message, uint32_t bytes, const int *fds,
				 uint32_t fd_count)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(CHANNEL_MAX_FDS * sizeof(int))];
	} control;
	struct iovec part = { .iov_base = (void *)message, .iov_len = bytes };
	struct msghdr envelope = { .msg_iov = &part, .msg_iovlen = 1 };

	if (fd_count) {
		memset(&control, 0, sizeof(control));
		envelope.msg_control = &control;
		envelope.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, fd_count * sizeof(int));
	}
	if (sendmsg(fd, &envelope, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return 0;
	/* The peer is gone; GONE follows when the event thread has seen it too. */
	return errno == EPIPE || errno == ECONNRESET ? -ENOTCONN : -errno;
}

int sluice_channel_send(uint32_t connection, const void *message, uint32_t bytes, const int *fds,
			uint32_t fd_count)
{
	struct sluice_message header;
	const struct connection *found;
	int error = -ENOTCONN;

	if (!message || bytes < sizeof(header) || bytes > SLUICE_MAX_MESSAGE_BYTES ||
	    fd_count > CHANNEL_MAX_FDS || (fd_count && !fds))
		return -EINVAL;
	memcpy(&header, message, sizeof(header));
	if (header.bytes != bytes)
		return -EINVAL;
	pthread_mutex_lock(&lock);
	found = find(connection);
	if (found)
		error = send_with_descriptors(found->fd, message, bytes, fds, fd_count);
	pthread_mutex_unlock(&lock);
	return error;
}

void sluice_channel_disconnect(uint32_t connection)
{
	const struct connection *found;

	pthread_mutex_lock(&lock);
	found = find(connection);
	/* Not closed here: the event thread reads the end, says GONE and closes. */
	if (found)
		shutdown(found->fd, SHUT_RDWR);
	pthread_mutex_unlock(&lock);
}
