/*
 * libsluice: the packet path of a Sluice relay host.
 *
 * One header, two users, both reaching it through dataplane-c/binding:
 *
 *   supervisor  makes every kernel object that needs a capability (capture
 *               sockets, filters, memberships, egress sockets), builds tables,
 *               and hands the results to workers over a channel.
 *   worker      holds no capability. One pinned thread takes frames from the
 *               rings it was handed, matches them and sends them on.
 *
 * Conventions
 *   Return values   0 or a count or a file descriptor; failure is -errno.
 *                   Nothing here exits, prints, or installs a signal handler.
 *   Ownership       A returned file descriptor belongs to the caller, who closes
 *                   it with sluice_close(). All are CLOEXEC. Descriptors passed
 *                   in stay the caller's unless the comment says "takes".
 *   Threads         The supervisor half is called from one thread, the worker
 *                   half from one thread (not the packet thread).
 *   Byte order      Fields named _be are in network order, all others in host order.
 *   Bad packets     are never errors: each increments one named drop counter.
 *
 *   object            made by               capability    held by
 *   capture socket    sluice_shards_open    CAP_NET_RAW   supervisor and worker (dup)
 *   capture filter    sluice_filter_create  CAP_BPF       supervisor
 *   membership socket sluice_membership_*   none          supervisor
 *   egress socket     sluice_egress_open    CAP_NET_RAW,  worker (supervisor closes its own)
 *                                           CAP_NET_ADMIN
 *   table, counters   sluice_table_build,   none          table: worker; counters: both
 *                     sluice_counters_create
 */
#ifndef SLUICE_H
#define SLUICE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SLUICE_API __attribute__((visibility("default")))

/* Raised whenever a structure, message or function below changes. Checked at load and in HELLO. */
#define SLUICE_ABI_VERSION 4u

/* ---- limits ------------------------------------------------------------- */

#define SLUICE_MAX_WORKERS          64u
/* Input interfaces of one host. */
#define SLUICE_MAX_INTERFACES       64u
#define SLUICE_MAX_RULES            20000u
#define SLUICE_MAX_OUTPUTS_PER_RULE 256u
#define SLUICE_MAX_OUTPUTS          262144u
#define SLUICE_MAX_SOURCES          131072u
/* Egress sockets of one worker: (output interface, source port, cast). */
#define SLUICE_MAX_EGRESS           16384u
/* u64 of one worker slot: every block above at once, with room for blocks that wait to be reused. */
#define SLUICE_MAX_COUNTERS         8388608u
/* Messages on the channel are at most this long. */
#define SLUICE_MAX_MESSAGE_BYTES    8192u
#define SLUICE_INTERFACE_NAME_BYTES 16u

/* ---- drop reasons: the order of Drop.Reason in proto/sluice/v1/stats.proto - */

enum sluice_drop {
	SLUICE_DROP_SHORT_FRAME = 0,
	SLUICE_DROP_BAD_IP_HEADER,
	SLUICE_DROP_BAD_IP_CHECKSUM,
	SLUICE_DROP_FRAGMENT,
	SLUICE_DROP_NOT_UDP,
	SLUICE_DROP_BAD_UDP_LENGTH,
	SLUICE_DROP_BAD_UDP_CHECKSUM,
	SLUICE_DROP_TRUNCATED,
	SLUICE_DROP_DOUBLE_TAGGED,
	SLUICE_DROP_BAD_SEGMENT_SIZE,
	SLUICE_DROP_SOURCE_FILTERED,
	SLUICE_DROP_NO_OUTPUT,
	SLUICE_DROP_COUNT
};

/* ---- why an output failed: the order of Failure.Reason in proto/sluice/v1/stats.proto - */

enum sluice_failure {
	/* EAGAIN, ENOBUFS: the socket's send buffer or the interface's queue is full. */
	SLUICE_FAILURE_QUEUE_FULL = 0,
	/* ENETUNREACH, ENETDOWN, ENODEV, ENXIO, EADDRNOTAVAIL: down, gone, or the address gone. */
	SLUICE_FAILURE_INTERFACE_DOWN,
	/* EHOSTUNREACH, ECONNREFUSED and the like: what an ICMP message says of the way. */
	SLUICE_FAILURE_UNREACHABLE,
	/* EPERM, EACCES: a packet filter's rule, a broadcast address. */
	SLUICE_FAILURE_NOT_PERMITTED,
	SLUICE_FAILURE_TOO_LONG, /* EMSGSIZE */
	/* SLUICE_OUTPUT_UNUSABLE, or no socket in the egress slot: never handed to the kernel. */
	SLUICE_FAILURE_UNUSABLE,
	SLUICE_FAILURE_OTHER,
	SLUICE_FAILURE_COUNT
};

/* ---- counters -------------------------------------------------------------
 *
 * One flat array of aligned u64 per worker slot, in a memfd that the supervisor
 * makes and keeps, so that a successor goes on where a dead worker stopped. The
 * packet thread is the only writer; readers may be a few packets behind within
 * one batch. Blocks start at indices that the supervisor assigns, multiples of 8
 * (one cache line). Block 0 is the worker's own.
 *
 *   per interface  captured frames = Σ received by rules + unmatched + Σ dropped
 *                  (as long as no super-packets come: those are one frame, many
 *                  datagrams); kernel-dropped frames come on top
 *   per rule       received = forwarded + Σ dropped
 *   per output     eligible = sent + failed + limited, failed = Σ failed by reason
 */

enum sluice_rule_counter {
	SLUICE_RULE_RECEIVED_PACKETS = 0,
	SLUICE_RULE_RECEIVED_BYTES, /* payload */
	SLUICE_RULE_FORWARDED_PACKETS,
	SLUICE_RULE_LAST_RECEIVED_UNIX_MS, /* time of the batch, 0: never */
	SLUICE_RULE_DROPPED,               /* SLUICE_DROP_COUNT of them */
	SLUICE_RULE_COUNTERS = SLUICE_RULE_DROPPED + SLUICE_DROP_COUNT /* 16 */
};

enum sluice_output_counter {
	SLUICE_OUTPUT_ELIGIBLE_PACKETS = 0,
	SLUICE_OUTPUT_SENT_PACKETS,
	SLUICE_OUTPUT_SENT_BYTES, /* payload */
	SLUICE_OUTPUT_FAILED_PACKETS,
	SLUICE_OUTPUT_LIMITED_PACKETS,
	/*
	 * ICMP messages that say "unreachable" of the destination. Those datagrams were
	 * sent; hosts and routers answer a few a second at most, however many come.
	 */
	SLUICE_OUTPUT_UNREACHABLE_ANSWERS,
	SLUICE_OUTPUT_FAILED_BY_REASON = 8, /* SLUICE_FAILURE_COUNT of them */
	SLUICE_OUTPUT_COUNTERS = 16
};

enum sluice_interface_counter {
	SLUICE_INTERFACE_CAPTURED_FRAMES = 0,
	SLUICE_INTERFACE_KERNEL_DROPPED_FRAMES,
	SLUICE_INTERFACE_UNMATCHED_PACKETS,
	SLUICE_INTERFACE_DROPPED, /* SLUICE_DROP_COUNT of them */
	SLUICE_INTERFACE_COUNTERS = 16
};

#define SLUICE_HISTOGRAM_STEPS 12u

enum sluice_worker_counter {
	SLUICE_WORKER_BATCHES = 0,
	SLUICE_WORKER_WAKEUPS,
	SLUICE_WORKER_SEGMENTATION_FALLBACKS,
	SLUICE_WORKER_BATCH_FRAMES = 8,       /* histogram: 1, 2, 3-4, 5-8, … */
	SLUICE_WORKER_SEGMENTS_PER_SEND = 24, /* histogram in the same steps */
	/*
	 * CLOCK_MONOTONIC when the packet thread last began a round: each batch, each 100 ms for
	 * a second after the last one, at each full half second from then on. One that stands
	 * still tells of a worker that hangs.
	 */
	SLUICE_WORKER_HEARTBEAT_NS = 40,
	/* No counter: the futex by which sluice_life_watch() sees its packet thread end. */
	SLUICE_WORKER_LIFE = 41,
	SLUICE_WORKER_COUNTERS = 64
};

/* ---- resolved records: what the supervisor writes, engine-neutral ----------- */

#define SLUICE_ANY_PREFIX_BITS 0u

/* 56 bytes. */
struct sluice_rule_record {
	uint8_t uid[16];
	uint32_t input_ifindex;
	uint32_t group_be; /* destination of the datagrams, IPv4 */
	uint16_t port_be;
	uint16_t vlan;         /* 0: untagged (or priority-tagged) frames only */
	uint32_t source_first; /* into the source records */
	uint32_t source_count; /* 0: any source */
	uint32_t output_first; /* into the output records */
	uint32_t output_count;
	uint32_t counter_index; /* block of SLUICE_RULE_COUNTERS */
	uint32_t reserved[2];
};

/* 8 bytes. */
struct sluice_source_record {
	uint32_t network_be;
	uint32_t prefix_bits; /* 0 … 32 */
};

enum sluice_output_flag {
	/*
	 * The output can't be used now (interface gone or down): what the rule forwards
	 * to its others counts as failed here. Without any other, nothing is forwarded.
	 */
	SLUICE_OUTPUT_UNUSABLE = 1u
};

/* 48 bytes. */
struct sluice_output_record {
	uint64_t key; /* proto/output-key.ts */
	uint32_t ifindex;
	uint32_t egress_slot; /* which of the worker's egress sockets */
	uint32_t destination_be;
	uint32_t source_be; /* an address of the interface */
	uint16_t port_be;
	uint8_t ttl;
	uint8_t tos;            /* DSCP << 2 */
	uint32_t mtu;           /* of the output interface, bytes */
	uint32_t counter_index; /* block of SLUICE_OUTPUT_COUNTERS */
	uint32_t flags;         /* enum sluice_output_flag */
	uint32_t reserved[2];   /* rate limit and priority, later; 0 */
};

/* 24 bytes. */
struct sluice_interface_record {
	char name[SLUICE_INTERFACE_NAME_BYTES]; /* NUL-padded; a label for the statistics */
	uint32_t ifindex;
	uint32_t counter_index; /* block of SLUICE_INTERFACE_COUNTERS */
};

/*
 * Builds the finished lookup table in a sealed memfd (sealed against writing,
 * growing and shrinking), to be handed to every worker. The records are copied
 * in, a hash index over (ifindex, vlan, group, port) is added; several rules may
 * share one such key with different source prefixes, the longest match wins. Each
 * output belongs to exactly one rule; the outputs of a rule are put in the order of
 * their egress slots.
 *
 * Returns the memfd, or -EINVAL (index or limit out of range, prefix with host
 * bits, two rules with one key and prefix: *bad_rule then says which record),
 * -ENOMEM, or what memfd_create and mmap return.
 */
SLUICE_API int sluice_table_build(uint64_t generation, const struct sluice_rule_record *rules,
				  uint32_t rule_count, const struct sluice_source_record *sources,
				  uint32_t source_count, const struct sluice_output_record *outputs,
				  uint32_t output_count,
				  const struct sluice_interface_record *interfaces,
				  uint32_t interface_count, uint32_t *bad_rule);

/* ---- supervisor: host ------------------------------------------------------ */

struct sluice_features {
	uint32_t kernel_major, kernel_minor;
	uint8_t unique_fanout; /* PACKET_FANOUT_FLAG_UNIQUEID */
	uint8_t udp_segment;   /* UDP_SEGMENT on UDP sockets */
	uint8_t vnet_udp;      /* virtio_net_hdr describes UDP super-packets: 6.2 */
	uint8_t ebpf_filter;   /* SO_ATTACH_BPF with a hash map */
	uint8_t reserved[4];
};

/* Tries each feature once. 0 or -errno when nothing could be tried. */
SLUICE_API int sluice_probe(struct sluice_features *features);

enum sluice_link_flag {
	SLUICE_LINK_UP = 1u,      /* administratively up */
	SLUICE_LINK_RUNNING = 2u, /* with carrier */
	SLUICE_LINK_LOOPBACK = 4u
};

#define SLUICE_MAX_ADDRESSES_PER_LINK 16u

/* 104 bytes. */
struct sluice_link {
	char name[SLUICE_INTERFACE_NAME_BYTES];
	uint32_t ifindex;
	uint32_t mtu;
	uint32_t flags;       /* enum sluice_link_flag */
	uint32_t carrier_ups; /* how often carrier came; 0 before Linux 4.16 */
	uint8_t mac[6];
	uint16_t address_count;
	uint32_t address_be[SLUICE_MAX_ADDRESSES_PER_LINK]; /* IPv4, primary addresses first */
};

/*
 * Dumps links and IPv4 addresses by rtnetlink. Returns how many links there are;
 * at most `capacity` are written. -EAGAIN: they changed during each of ten dumps;
 * what was known before is the better answer until the next LINKS event.
 */
SLUICE_API int sluice_links(struct sluice_link *links, uint32_t capacity);

/* A driver's name and its NUL: ETHTOOL_BUSINFO_LEN. */
#define SLUICE_DRIVER_NAME_BYTES 32u

/*
 * The driver of a link, by ETHTOOL_GDRVINFO: "mlx5_core", "veth". Empty when it has none, as the
 * loopback. 0 or -errno; -ENODEV when there is no such link.
 */
SLUICE_API int sluice_link_driver(const char *name, char driver[SLUICE_DRIVER_NAME_BYTES]);

/*
 * Unix socket, SEQPACKET, that workers connect to: abstract name, so that it
 * leaves no file and lives in the network namespace. Starts one thread that
 * waits on it, on its connections and on rtnetlink, and writes what happens as
 * struct sluice_event into a pipe. Only peers with uid `worker_uid` (or 0) are
 * accepted. Returns the pipe's read end, non-blocking; events are written whole
 * (each is smaller than PIPE_BUF). Nothing is dropped: while the pipe is full the
 * thread waits. One per process: -EBUSY otherwise. -EADDRINUSE: the name is taken.
 */
SLUICE_API int sluice_events_start(const char *channel_name, uint32_t worker_uid);
/*
 * The same in two steps, for a listener that outlives this process: workers whose
 * supervisor died connect to it meanwhile, and are accepted by the next one. Takes it.
 */
SLUICE_API int sluice_channel_listen(const char *channel_name);
SLUICE_API int sluice_events_start_on(int listener, uint32_t worker_uid);
/* Ends the thread, closes listener and connections. The pipe then ends. */
SLUICE_API void sluice_events_stop(void);

enum sluice_event_kind {
	SLUICE_EVENT_LINKS = 1, /* links or addresses changed: dump again */
	SLUICE_EVENT_HELLO =
		2, /* a worker connected: connection, pid, a = worker slot, b = ABI version | n << 32 */
	SLUICE_EVENT_ACK =
		3, /* connection, a = sequence of the command, b = 0 or -errno (as u64) */
	SLUICE_EVENT_GONE = 4,   /* connection closed */
	SLUICE_EVENT_FAILED = 5, /* worker says its packet thread failed: a = -errno */
	SLUICE_EVENT_HOLDS =
		6, /* after HELLO, n times: it drives shard a, given by another supervisor */
	SLUICE_EVENT_SUCCEEDED =
		7, /* connection, named for shard b, is sent the command of sequence a; then ACK */
	SLUICE_EVENT_HANGS =
		8, /* its packet thread does not work: a = enum sluice_hang, b = the last heartbeat */
	/*
	 * The ring of shard a, which it drives, takes nothing any more: the kernel stumbled over
	 * a super-packet of a kind that virtio_net_hdr has no word for. Open others in its
	 * place, without vnet_header, which cannot happen to those. Comes again until then.
	 */
	SLUICE_EVENT_DEAF = 9
};

enum sluice_hang {
	SLUICE_HANG_STOPPED = 1,     /* its process, by a signal */
	SLUICE_HANG_STANDS_STILL = 2 /* no round of its duty cycle for a second */
};

/* 32 bytes. */
struct sluice_event {
	uint32_t kind;
	uint32_t connection;
	uint32_t pid;
	uint32_t at_us; /* when it was seen: CLOCK_MONOTONIC in microseconds, modulo 2^32 */
	uint64_t a;
	uint64_t b;
};

/*
 * Sends one command with up to 4 descriptors to a worker. Non-blocking: -EAGAIN
 * when its queue is full, -ENOTCONN when it is gone. The worker answers each
 * with SLUICE_EVENT_ACK carrying the header's sequence. A connection's number is
 * never given again in the life of the process.
 */
SLUICE_API int sluice_channel_send(uint32_t connection, const void *message, uint32_t bytes,
				   const int *fds, uint32_t fd_count);
/* GONE follows, once what the worker had sent before is reported. */
SLUICE_API void sluice_channel_disconnect(uint32_t connection);

/*
 * From now on, GONE comes as soon as that worker's packet thread has ended, however it did
 * and though its process may not have: nothing of it touches rings or counters any more. To
 * be called once the worker has acknowledged its COUNTERS; takes no descriptor. 0, -ENOSPC,
 * -EPERM (no such memory), or what mmap and pthread_create say. Before Linux 5.16 it comes
 * with the next look, and for workers that are not watched when the process has closed the
 * connection.
 *
 * Looks come each 25 ms for a second after each packet, and while a heart (SLUICE_WORKER_HEARTBEAT_NS)
 * stands still for longer than one that idles; else each 500 ms, a moment after those that idle
 * have beaten. HANGS comes with each look that finds the worker hung.
 */
SLUICE_API int sluice_life_watch(uint32_t connection, int counters_fd);

/* ---- supervisor: what outlives it ---------------------------------------------
 *
 * Descriptors are kept by the process that started the supervisor (sluice-keeper, or
 * systemd) in systemd's conventions: sd_notify(3) FDSTORE=1, FDSTOREREMOVE=1, FDNAME=,
 * BARRIER=1, sd_listen_fds(3). Stored is a reference of its own: the sender may close its descriptor.
 */

/* Descriptors of one message: the kernel's limit. */
#define SLUICE_NOTIFY_MAX_FDS   253u
/* Text of one message; a longer one would be refused. */
#define SLUICE_NOTIFY_MAX_BYTES 4096u
#define SLUICE_LISTEN_MAX_FDS   4096

/*
 * Sends `message` (lines of NAME=value, `bytes` long) with `count` descriptors to the
 * socket that the environment names in NOTIFY_SOCKET. 1: sent, and the kernel holds the
 * descriptors even when the caller dies now. 0: there is no NOTIFY_SOCKET. -EAGAIN: nobody
 * read it for 1 s. -ECONNREFUSED: nobody listens. -EINVAL: a limit, or a bad name.
 */
SLUICE_API int sluice_notify_send(const char *message, uint32_t bytes, const int *fds,
				  uint32_t count);
/*
 * Asks whether everything that was sent before has been done (BARRIER=1). A descriptor, the
 * caller's, on which nothing ever arrives, and which hangs up when it has, or when nobody is
 * left to do it. Never waits. -EAGAIN: there is no room for the question now. -ECONNREFUSED:
 * nobody listens. -ENOTCONN: there is no NOTIFY_SOCKET. Or what pipe2 says.
 */
SLUICE_API int sluice_notify_barrier(void);
/*
 * How many descriptors, from 3 on, this process was started with (LISTEN_FDS, LISTEN_PID);
 * their names are in LISTEN_FDNAMES. Makes them CLOEXEC, so call it before anything is
 * started. -EBADF: one of them is not open. -EINVAL: more than SLUICE_LISTEN_MAX_FDS.
 */
SLUICE_API int sluice_listen_fds(void);
/* Empty memory that grows as it is written: what a supervisor notes for the next one. A memfd. */
SLUICE_API int sluice_memory_create(void);
/* A process as a descriptor, readable when it has ended: a worker may be another's child. */
SLUICE_API int sluice_process_open(int32_t pid);
SLUICE_API int sluice_process_has_ended(int fd); /* 1, 0, or -errno */
/*
 * How it ended, as wait(2) says it. -EAGAIN: its parent has not waited for it yet.
 * Another error: this kernel does not tell (before 6.15).
 */
SLUICE_API int sluice_process_exit_status(int fd);
SLUICE_API int sluice_process_signal(int fd, int32_t signal);
/*
 * Lets a thread of whatever process run before all that is not real-time (SCHED_RR, the least
 * priority); what it starts is not. -EPERM without CAP_SYS_NICE, or where its control group
 * has no share of real-time. -ESRCH: it has ended.
 */
SLUICE_API int sluice_thread_realtime(int32_t thread);

/* ---- supervisor: capture ---------------------------------------------------- */

/*
 * An eBPF hash map of destination addresses, and the socket filter that reads it:
 * passes IPv4 frames (untagged, or with one tag left in the frame) whose destination
 * is in the map and that were neither sent by this host nor addressed to another
 * host's MAC (a promiscuous NIC shows those); everything else never enters a ring.
 * Frames with two tags left pass likewise, so that the worker can count them. The
 * map may change while the filter is locked.
 *
 * vnet_header: as in struct sluice_ring of the shards that it is for. With 0, of a super-packet
 * the headers alone pass, which the worker counts as TRUNCATED: nothing in such a ring says
 * where its datagrams end.
 *
 * Returns the program's descriptor; *map_fd gets the map's. -EPERM without CAP_BPF
 * and CAP_NET_ADMIN.
 */
SLUICE_API int sluice_filter_create(uint32_t capacity, uint32_t vnet_header, int *map_fd);
/* Adding what is there is no error. -E2BIG: `capacity` addresses are in it. */
SLUICE_API int sluice_filter_add(int map_fd, uint32_t address_be);
/* -ENOENT: was not in it. */
SLUICE_API int sluice_filter_remove(int map_fd, uint32_t address_be);
/* The addresses in it, at most `capacity`. How many were written. */
SLUICE_API int sluice_filter_list(int map_fd, uint32_t *addresses_be, uint32_t capacity);
/* What the kernel's verifier said when sluice_filter_create last failed; else empty. Static. */
SLUICE_API const char *sluice_filter_log(void);

struct sluice_ring {
	uint32_t block_bytes, block_count;
	uint32_t frame_bytes, frame_count;
	/* 1: PACKET_VNET_HDR is on, 10 bytes precede each frame. See SLUICE_EVENT_DEAF. */
	uint32_t vnet_header;
	uint32_t reserved;
};

/*
 * The geometry for an interface: slots that hold MTU-sized frames, about
 * `target_bytes` of ring (TPACKET_V2). frame_bytes is a power of two that divides
 * block_bytes: slot i is at i × frame_bytes of the map. A slot is 2 to 16 KiB;
 * frames that are longer (MTU beyond 16,290, super-packets) arrive whole through
 * the socket's queue, marked TP_STATUS_COPY. Never less than 64 slots. Pure.
 * -EINVAL: mtu not in 68 … 65536, or more than 1 GiB.
 */
SLUICE_API int sluice_ring_plan(uint32_t mtu, uint64_t target_bytes, uint32_t vnet_header,
				struct sluice_ring *ring);

/*
 * Makes `count` capture sockets on one interface, in one fanout group (HASH, a
 * unique id), each with a TPACKET_V2 ring, PACKET_COPY_THRESH, the filter
 * attached and locked. The order is that of DATAPLANE: no socket ever sees a
 * frame that the filter would not pass, and none joins traffic before all are in
 * the group. fds[] gets the sockets. 0 or -errno; on failure nothing is left open.
 * -ENETDOWN: the interface is down; -ENODEV: it is gone.
 */
SLUICE_API int sluice_shards_open(uint32_t ifindex, uint32_t count, const struct sluice_ring *ring,
				  int filter_fd, int *fds);
/*
 * Index of the interface that a capture socket is bound to. -ENODEV: that was taken out of the
 * network namespace, and the socket captures nothing for ever, whoever has the index now.
 */
SLUICE_API int sluice_shard_interface(int fd);

/*
 * What a shard's next owner must know, in a memfd of its own: where in the ring to go
 * on, and how far the batch came that was being sent. Written by the packet thread.
 */
SLUICE_API int sluice_shard_state_create(void); /* memfd */
/*
 * After a worker's death, before its shard goes to another: puts those counters in
 * place that it was just about to change. `counters_fd` is that of the worker's slot.
 * To be repeated as often as one likes. -EINVAL: the state is none, or names counters
 * that are not there (only a worker in foreign hands writes such).
 */
SLUICE_API int sluice_shard_settle(int state_fd, int counters_fd);
/* Slot of the worker that drives the shard, or was the last to. -ENOENT: nobody ever did. -EINVAL: as above. */
SLUICE_API int sluice_shard_driver(int state_fd);

/*
 * Counter memory of one worker slot: `count` u64, all 0, in a memfd, sealed against
 * growing and shrinking (not against writing): its mappings stay valid. Pages come
 * with the first write, so ask for what may ever be needed.
 */
SLUICE_API int sluice_counters_create(uint32_t count);
/* Sets `count` counters to 0. Only for blocks that no installed table names. -EINVAL: beyond the end. */
SLUICE_API int sluice_counters_zero(int fd, uint32_t index, uint32_t count);

/* ---- supervisor: memberships -------------------------------------------------
 *
 * Join sockets: UDP, unbound, IP_MULTICAST_ALL=0, with a filter that drops all, so
 * that nothing is ever queued. A socket holds at most igmp_max_memberships (20)
 * groups: the caller pools. Several sources of one group on one interface must be
 * joined on one socket; a (*,G) and an (S,G) of one group must not share one.
 * IGMP needs no capability.
 */
SLUICE_API int sluice_membership_open(void);
/* source_be 0: (*,G). -ENOBUFS: this socket (or igmp_max_msf) is full. */
SLUICE_API int sluice_membership_join(int fd, uint32_t ifindex, uint32_t group_be,
				      uint32_t source_be);
/*
 * -EADDRNOTAVAIL: it was not joined, or went with another source of its group: one that is
 * left after its link is gone takes all of them along.
 */
SLUICE_API int sluice_membership_leave(int fd, uint32_t ifindex, uint32_t group_be,
				       uint32_t source_be);
/*
 * For a unicast input: keeps the kernel from answering "port unreachable". Takes no datagram.
 * -EADDRINUSE: another socket has the port, so nothing is answered anyway; no failure of the rule.
 */
SLUICE_API int sluice_drain_open(uint32_t ifindex, uint32_t address_be, uint16_t port_be);

/* ---- supervisor: egress ------------------------------------------------------- */

/*
 * One unconnected, non-blocking UDP socket that sends from `source_port_be` out of
 * one interface: SO_BINDTODEVICE, IP_MULTICAST_IF, IP_MULTICAST_LOOP 0, IP_RECVERR,
 * IP_MTU_DISCOVER DONT (the kernel fragments what is too long), a filter that drops
 * all input, SO_REUSEADDR so that every worker can have the same port, a large send
 * buffer. For multicast outputs `bind_be` is 0: the socket is then bound to 224.0.0.0,
 * a group that is never assigned, so that it takes no unicast datagram away from
 * an application on that port. For unicast outputs it is the source address, so that
 * ICMP errors find their way to the error queue; datagrams to that address and port then
 * end here instead of at an application that shares the port.
 *
 * -EADDRINUSE: an application has the port on every address without SO_REUSEADDR. Nor can
 * such a one start beside this socket: choose another source port.
 */
SLUICE_API int sluice_egress_open(uint32_t ifindex, uint32_t bind_be, uint16_t source_port_be);

SLUICE_API int sluice_close(int fd);

/* ---- the channel: messages supervisor → worker ---------------------------------
 *
 * Each begins with struct sluice_message; each is answered by one ACK with the
 * same sequence once it holds. Descriptors travel with it; the worker owns
 * what it received. -EMFILE in an ACK: the worker's RLIMIT_NOFILE is too low.
 *
 * Shards may come before the table: their frames wait in the ring until a table names
 * their interface. An output whose egress slot holds no socket counts as failed.
 */

enum sluice_message_kind {
	SLUICE_MESSAGE_COUNTERS = 1,      /* fd: counter memory. First message. */
	SLUICE_MESSAGE_ATTACH_SHARD = 2,  /* fds: socket, state; struct sluice_attach_shard */
	SLUICE_MESSAGE_DETACH_SHARD = 3,  /* struct sluice_detach_shard */
	SLUICE_MESSAGE_ADD_EGRESS = 4,    /* fd: socket; struct sluice_egress_slot */
	SLUICE_MESSAGE_REMOVE_EGRESS = 5, /* struct sluice_egress_slot */
	SLUICE_MESSAGE_INSTALL_TABLE = 6, /* fd: table. ACK means: at a batch boundary, in force. */
	SLUICE_MESSAGE_NOTE = 7, /* 1 byte or more, opaque, for the worker's process (log levels) */
	SLUICE_MESSAGE_STOP = 8  /* finish the batch, ACK, end the thread */
};

/* 16 bytes. */
struct sluice_message {
	uint32_t kind;
	uint32_t bytes;    /* of the whole message, this header included */
	uint64_t sequence; /* chosen by the sender, echoed by the ACK */
};

/* 48 bytes. */
struct sluice_attach_shard {
	struct sluice_message message;
	uint32_t shard; /* unique on this host while it lives */
	uint32_t ifindex;
	struct sluice_ring ring;
};

/* 24 bytes. */
struct sluice_detach_shard {
	struct sluice_message message;
	uint32_t shard;
	uint32_t reserved;
};

enum sluice_egress_option {
	/* Never use UDP_SEGMENT here (forced fallback). */
	SLUICE_EGRESS_NO_SEGMENTATION = 1u
};

/* 32 bytes. */
struct sluice_egress_slot {
	struct sluice_message message;
	uint32_t slot;
	uint32_t ifindex;
	uint32_t options; /* enum sluice_egress_option */
	uint32_t reserved;
};

/* ---- supervisor: successors ------------------------------------------------------- */

/* fds of sluice_successor_name. */
enum sluice_successor_fd {
	SLUICE_SUCCESSOR_SOCKET = 0,   /* of the shard, as with ATTACH_SHARD */
	SLUICE_SUCCESSOR_STATE = 1,    /* likewise */
	SLUICE_SUCCESSOR_COUNTERS = 2, /* memory of the driver's slot, for sluice_shard_settle */
	SLUICE_SUCCESSOR_FDS = 3
};

/*
 * Decides beforehand who goes on in a shard when the packet thread of the worker on
 * `driver` ends: whoever watches its life (sluice_life_watch) settles the shard then and sends
 * `attach` to `successor`, without asking anybody. SUCCEEDED says so, before the ACK of that
 * command (which tells a failure to send as well) and before the GONE of `driver`. One decision
 * for each shard. The descriptors stay the caller's, and open until it was withdrawn or
 * SUCCEEDED was read. 0, -EEXIST (withdraw the other first), -ENOSPC, -EINVAL.
 */
SLUICE_API int sluice_successor_name(uint32_t driver, uint32_t successor,
				     const struct sluice_attach_shard *attach, const int *fds);
/* From now on it will not be carried out. -ENOENT: it was, and SUCCEEDED can be read; or there was none. */
SLUICE_API int sluice_successor_withdraw(uint32_t shard);

/* ---- worker ---------------------------------------------------------------------- */

struct sluice_worker;

enum sluice_worker_state {
	SLUICE_WORKER_BOOT = 0, /* connecting */
	SLUICE_WORKER_RUN = 1,
	SLUICE_WORKER_HALT = 2, /* stopped as asked, or without a supervisor (see start) */
	SLUICE_WORKER_FAIL = 3
};

/*
 * Starts the packet thread, pinned to `core` (-1: not pinned), all signals blocked. It
 * connects to the supervisor's channel, for up to 5 s (BOOT), and says HELLO (RUN).
 * When the channel closes and it was given counters before, it goes on with all it holds,
 * connects again and says what that is; 60 s without a command from anybody end it.
 * Returns 0 and sets *worker, which the caller frees with sluice_worker_stop();
 * -EINVAL (name, slot or core), -ENOMEM.
 */
SLUICE_API int sluice_worker_start(const char *channel_name, uint32_t slot, int32_t core,
				   struct sluice_worker **worker);
/* What the packet thread does when nothing is ready. */
enum sluice_idle {
	/* Looks again for up to 20 µs as long as that pays, then sleeps. From the start. */
	SLUICE_IDLE_ADAPTIVE = 0,
	/* Sleeps at once: the least CPU when datagrams are rare, a wake-up for each batch. */
	SLUICE_IDLE_BLOCK = 1,
	/* Never sleeps: the least latency, and a whole core for it. */
	SLUICE_IDLE_SPIN = 2
};

/* At any time, of the running thread. 0, or -EINVAL. */
SLUICE_API int sluice_worker_set_idle(struct sluice_worker *worker, uint32_t idle);

/*
 * Confines the whole process, all its threads, for the rest of its life: a seccomp filter
 * (x86_64, aarch64) that answers EPERM to every system call a worker does not need, and
 * no core file, no tracing by the same uid, and faults (SIGSEGV and the like) end it at once. What stays allowed: its descriptors, memory, threads,
 * reading files, new TCP and UDP sockets (NATS, DNS), a SEQPACKET connection to the supervisor.
 * Gone: raw, packet and netlink sockets, bind and listen, files for writing, processes,
 * signals to others, namespaces, BPF, io_uring, ptrace, modules, changes of identity.
 * Call it after sluice_worker_start, which pins the thread, and before anything hostile is read.
 * Needs no capability but NoNewPrivs: -EACCES without. -ENOSYS or -EINVAL: a kernel without
 * seccomp filters. -ESRCH: a thread has another filter of its own.
 */
SLUICE_API int sluice_worker_confine(void);
/* enum sluice_worker_state; for FAIL *error gets the -errno. */
SLUICE_API int sluice_worker_state(const struct sluice_worker *worker, int32_t *error);
/* Ends the thread at a batch boundary, unmaps, closes, frees. */
SLUICE_API void sluice_worker_stop(struct sluice_worker *worker);

/*
 * Copies the labels of the table in force and the values of its counters into
 * `buffer`: a struct sluice_snapshot, then its columns in this order, each of
 * u64 unless said:
 *   rule_uids            16 bytes × rules
 *   rule counters        SLUICE_RULE_COUNTERS × rules (row by row)
 *   output_rule          u64 × outputs: row of its rule
 *   output_keys          u64 × outputs
 *   output counters      SLUICE_OUTPUT_COUNTERS × outputs
 *   interface names      16 bytes × interfaces
 *   interface counters   SLUICE_INTERFACE_COUNTERS × interfaces
 *   worker counters      SLUICE_WORKER_COUNTERS
 * Returns the bytes written, or the bytes needed when that is more than `capacity`
 * (nothing is written then). 0 before counters and a table were installed.
 */
/* 24 bytes. */
struct sluice_snapshot {
	uint64_t table_generation;
	uint32_t rule_count, output_count, interface_count;
	uint32_t reserved;
};
SLUICE_API int64_t sluice_worker_snapshot(struct sluice_worker *worker, void *buffer,
					  uint64_t capacity);

/*
 * The next note of the supervisor, or the next log line of the packet thread
 * (cold path only: attach, detach, table, errors). Returns its length, 0 when
 * there is none. Lines: byte 0 level (1 trace … 5 error), byte 1 facility
 * (enum sluice_facility), text from byte 2. Bounded: the oldest are dropped and
 * counted in a line of their own.
 */
enum sluice_facility {
	SLUICE_FACILITY_CHANNEL = 0,
	SLUICE_FACILITY_CAPTURE = 1,
	SLUICE_FACILITY_EGRESS = 2,
	SLUICE_FACILITY_TABLE = 3
};
/*
 * Where to wait for them: a pipe that becomes readable when a first note or line has come,
 * and when the packet thread has ended. What is read says nothing more. It stays the worker's.
 */
SLUICE_API int sluice_worker_news(const struct sluice_worker *worker);
SLUICE_API int sluice_worker_take_note(struct sluice_worker *worker, void *buffer,
				       uint32_t capacity);
SLUICE_API int sluice_worker_take_line(struct sluice_worker *worker, void *buffer,
				       uint32_t capacity);

/* ---- layout ------------------------------------------------------------------------ */

SLUICE_API uint32_t sluice_abi_version(void);
/*
 * Sizes and offsets of every structure above as text lines "struct.field=offset"
 * and "struct=size", for the binding to compare at load. Static.
 */
SLUICE_API const char *sluice_layout(void);
/* Static text for an errno value (positive or negative). */
SLUICE_API const char *sluice_error_text(int error);

#ifdef __cplusplus
}
#endif
#endif
