/* Listens on many destinations and tallies what arrives, until told enough. */
#ifndef SLUICE_TOOLS_RECEIVER_H
#define SLUICE_TOOLS_RECEIVER_H

#include "endpoint.h"
#include "tally.h"

#include <stdbool.h>
#include <stdint.h>

struct receiver_settings {
	struct endpoint in;
	union socket_address source; /* family AF_UNSPEC: any */
	unsigned destinations;
	bool copies;          /* every destination carries stream 0, else destination i stream i */
	bool merged;          /* takes several datagrams as the one that the kernel made of them */
	unsigned sample;      /* one of so many, at random; 0 and 1: all */
	uint64_t expect;      /* distinct datagrams of each stream; 0 = not known */
	uint64_t duration_ns; /* since listening; 0 = no limit */
	uint64_t idle_ns;     /* of silence after the first datagram; 0 = no limit */
	bool progress;        /* a line on stderr each second */
};

enum receiver_end {
	RECEIVER_RUNNING,
	RECEIVER_EXPECTED, /* every stream got what was expected, and 200 ms of silence followed */
	RECEIVER_DURATION,
	RECEIVER_IDLE,
	RECEIVER_SIGNAL, /* SIGINT or SIGTERM */
};

struct receiver {
	struct receiver_settings settings;
	int epoll_fd;
	int signal_fd;
	int *sockets;
	struct tally *tallies; /* one per destination */
	struct batch *batch;

	uint64_t started_ns;       /* all _ns: CLOCK_MONOTONIC */
	uint64_t first_arrival_ns; /* 0: none yet */
	uint64_t last_arrival_ns;
	uint64_t complete_ns; /* when the last stream got what was expected; 0: not yet */
	unsigned complete;    /* streams */
	bool hinted;          /* at the silence */
	enum receiver_end end;
};

/* Allocates everything, opens and joins all destinations. Ends the process if that is not possible. */
void receiver_open(struct receiver *receiver, const struct receiver_settings *settings);

/* Receives until one of the ends of enum receiver_end. Returns 0 or −errno. */
int receiver_run(struct receiver *receiver);

/* Says on stderr, once, what to look at if nothing came at all. Not an error: it may be what was to be shown. */
void receiver_hint_at_silence(struct receiver *receiver);

/* Datagrams the kernel dropped at one destination's socket. */
uint64_t receiver_drops(const struct receiver *receiver, unsigned destination);

void receiver_close(struct receiver *receiver);

#endif
