#include "keeper_notify.h"
#include "keeper_log.h"
#include "keeper_time.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* systemd's limits. */
#define TEXT_BYTES      4096
#define MESSAGE_MAX_FDS 253u
/* The name that sd_notify(3) promises to what comes without one. */
#define DEFAULT_NAME    "stored"
/* More than the queue holds, and yet an end: whoever floods it can't keep us here. */
#define DRAIN_MESSAGES  1024
#define TELL_EVERY_MS   1000

struct notice {
	char text[TEXT_BYTES + 1];
	int fds[MESSAGE_MAX_FDS];
	unsigned fd_count;
	pid_t sender;
	const char *fault; /* why it is refused, or NULL */
};

int notify_open(char name[NOTIFY_NAME_BYTES])
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t length = sizeof(address);
	const int one = 1;
	const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error;

	if (fd < 0)
		return -errno;
	/* A family alone lets the kernel choose a free abstract name. */
	if (bind(fd, (struct sockaddr *)&address, sizeof(address.sun_family)) ||
	    setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) ||
	    getsockname(fd, (struct sockaddr *)&address, &length)) {
		error = -errno;
		close(fd);
		return error;
	}
	snprintf(name, NOTIFY_NAME_BYTES, "@%.*s",
		 (int)(length - offsetof(struct sockaddr_un, sun_path) - 1), address.sun_path + 1);
	return fd;
}

static void take_control(struct notice *notice, struct msghdr *message)
{
	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
	     header = CMSG_NXTHDR(message, header)) {
		const size_t bytes = header->cmsg_len - CMSG_LEN(0);

		if (header->cmsg_level != SOL_SOCKET)
			continue;
		if (header->cmsg_type == SCM_CREDENTIALS && bytes == sizeof(struct ucred)) {
			struct ucred sender;

			memcpy(&sender, CMSG_DATA(header), sizeof(sender));
			notice->sender = sender.pid;
		} else if (header->cmsg_type == SCM_RIGHTS && !notice->fd_count) {
			/* One such header in a message, and never more than there is room for. */
			memcpy(notice->fds, CMSG_DATA(header), bytes);
			notice->fd_count = (unsigned)(bytes / sizeof(int));
		}
	}
}

/* False: nothing more has arrived. */
static bool receive(int socket, struct notice *notice)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(MESSAGE_MAX_FDS * sizeof(int)) +
			   CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec text = { .iov_base = notice->text, .iov_len = TEXT_BYTES };
	struct msghdr message = { .msg_iov = &text,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	ssize_t bytes;

	do
		bytes = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (bytes < 0 && errno == EINTR);
	if (bytes < 0)
		return false;
	notice->text[bytes] = 0;
	notice->fd_count = 0;
	notice->sender = 0;
	notice->fault = NULL;
	take_control(notice, &message);
	if (message.msg_flags & MSG_TRUNC)
		notice->fault = "it is longer than 4096 bytes";
	else if (message.msg_flags & MSG_CTRUNC)
		notice->fault = "not all of its descriptors can be opened";
	else if (memchr(notice->text, 0, (size_t)bytes))
		notice->fault = "it is no text";
	return true;
}

static void close_from(struct notice *notice, unsigned first)
{
	while (first < notice->fd_count)
		close(notice->fds[first++]);
	notice->fd_count = 0;
}

/* Lines of NAME=value; those that are not about the store are for other readers of the protocol. */
static void obey(struct notice *notice, struct fd_store *store)
{
	const char *name = NULL;
	bool add = false, remove = false, is_barrier = false;
	unsigned lines = 0;
	char *rest = NULL;

	for (char *line = strtok_r(notice->text, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		lines++;
		if (strcmp(line, "BARRIER=1") == 0)
			is_barrier = true;
		else if (strcmp(line, "FDSTORE=1") == 0)
			add = true;
		else if (strcmp(line, "FDSTOREREMOVE=1") == 0)
			remove = true;
		else if (!name && strncmp(line, "FDNAME=", 7) == 0)
			name = line + 7;
	}
	if (is_barrier) {
		/* Messages are obeyed in their order: its descriptor, closed with it, is the answer. */
		if (lines != 1)
			notice->fault = "BARRIER does not come alone";
		else if (notice->fd_count != 1)
			notice->fault = "BARRIER needs one descriptor";
	} else if (name && !store_is_name(name)) {
		notice->fault = "its FDNAME is no name";
	} else if (remove) {
		if (name)
			store_remove(store, name);
		else
			notice->fault = "FDSTOREREMOVE comes without FDNAME";
	} else if (add) {
		const unsigned before = store->count;
		unsigned done = 0;

		while (done < notice->fd_count && !notice->fault)
			if (store_add(store, name ? name : DEFAULT_NAME, notice->fds[done++]))
				notice->fault = "the store is full";
		close_from(notice, done);
		/* What belongs together and is there in part is worse than nothing. */
		if (notice->fault)
			store_shrink(store, before);
	}
}

static void tell_refused(const char *fault, pid_t sender)
{
	static int64_t told_ms = INT64_MIN / 2;
	static unsigned untold;
	const int64_t now_ms = keeper_now_ms(CLOCK_MONOTONIC);

	if (now_ms - told_ms < TELL_EVERY_MS) {
		untold++;
		return;
	}
	keeper_log("warn",
		   "\"msg\":\"a message is refused: %s\",\"sender\":%d,\"refusedBefore\":%u", fault,
		   (int)sender, untold);
	told_ms = now_ms;
	untold = 0;
}

void notify_drain(int socket, pid_t command, struct fd_store *store)
{
	static struct notice notice;

	for (unsigned i = 0; i < DRAIN_MESSAGES && receive(socket, &notice); i++) {
		if (command == 0 || notice.sender != command)
			notice.fault = "it is not the command's";
		if (!notice.fault)
			obey(&notice, store);
		if (notice.fault)
			tell_refused(notice.fault, notice.sender);
		/* What was stored is no longer the notice's. */
		close_from(&notice, 0);
	}
}
