/*
 * sluice-gen: sends patterned, sequence-stamped streams at an exact average rate.
 *
 * Every stream sends a burst each burst/rate seconds, streams spread evenly over that time. A generator
 * that was held up catches up at full speed, so that rate and count stay exact on average.
 */
#include "arguments.h"
#include "endpoint.h"
#include "sender.h"
#include "stream.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S     UINT64_C(1000000000)
#define TTL_DEFAULT  16
#define RATE_PPS_MAX 100000000
#define BURST_MAX    65536
#define PROGRESS_NS  NS_PER_S

static const char usage[] =
	"Usage: sluice gen --to IFACE:ADDR:PORT --rate PPS --size BYTES --count N [flags]\n"
	"\n"
	"Sends streams that `sluice recv` verifies. Stream i goes to group ADDR+i on the\n"
	"same port, or, if ADDR is unicast, to port PORT+i.\n"
	"\n"
	"  --to IFACE:ADDR:PORT   interface, first destination, port; IPv6 in brackets\n"
	"  --rate PPS             datagrams per second of each stream; 0 = as fast as\n"
	"                         possible\n"
	"  --size BYTES           UDP payload, 24 to 65507\n"
	"  --count N              datagrams of each stream; 0 = until stopped\n"
	"  --streams N            number of streams (1)\n"
	"  --burst N              datagrams of one stream sent back to back (1)\n"
	"  --source IP            source address, also one that this host does not have\n"
	"  --source-port PORT     source port (the kernel chooses)\n"
	"  --ttl N                time to live, 1 to 255 (16)\n"
	"  --first-sequence N     sequence of each stream's first datagram (0)\n"
	"  --no-segment           one send per datagram, even in bursts\n"
	"  --json                 report as JSON\n";

struct plan {
	struct sender_settings sending;
	uint64_t rate_pps; /* of each stream */
	uint64_t count;    /* of each stream; UINT64_MAX = until stopped */
	uint64_t first_sequence;
	bool json;
};

static volatile sig_atomic_t stop;

static void on_signal(int signal_number)
{
	(void)signal_number;
	stop = 1;
}

enum flag {
	FLAG_TO = 256,
	FLAG_RATE,
	FLAG_SIZE,
	FLAG_COUNT,
	FLAG_STREAMS,
	FLAG_BURST,
	FLAG_SOURCE,
	FLAG_SOURCE_PORT,
	FLAG_TTL,
	FLAG_FIRST_SEQUENCE,
	FLAG_NO_SEGMENT,
	FLAG_JSON,
	FLAG_HELP,
};

static const struct option flags[] = {
	{ "to", required_argument, NULL, FLAG_TO },
	{ "rate", required_argument, NULL, FLAG_RATE },
	{ "size", required_argument, NULL, FLAG_SIZE },
	{ "count", required_argument, NULL, FLAG_COUNT },
	{ "streams", required_argument, NULL, FLAG_STREAMS },
	{ "burst", required_argument, NULL, FLAG_BURST },
	{ "source", required_argument, NULL, FLAG_SOURCE },
	{ "source-port", required_argument, NULL, FLAG_SOURCE_PORT },
	{ "ttl", required_argument, NULL, FLAG_TTL },
	{ "first-sequence", required_argument, NULL, FLAG_FIRST_SEQUENCE },
	{ "no-segment", no_argument, NULL, FLAG_NO_SEGMENT },
	{ "json", no_argument, NULL, FLAG_JSON },
	{ "help", no_argument, NULL, FLAG_HELP },
	{ 0 },
};

static void take_flag(int flag, const char *value, struct plan *plan)
{
	struct sender_settings *sending = &plan->sending;
	const char *refusal = NULL;

	switch (flag) {
	case FLAG_TO:
		refusal = endpoint_parse(value, &sending->to);
		if (refusal)
			fail(EXIT_REFUSED, "--to %s: %s", value, refusal);
		break;
	case FLAG_RATE:
		plan->rate_pps = argument_number("--rate", value, 0, RATE_PPS_MAX);
		break;
	case FLAG_SIZE:
		sending->payload_bytes = argument_number("--size", value, STREAM_HEADER_BYTES,
							 STREAM_PAYLOAD_BYTES_MAX);
		break;
	case FLAG_COUNT:
		plan->count = argument_number("--count", value, 0, STREAM_SEQUENCE_LIMIT / 2);
		break;
	case FLAG_STREAMS:
		sending->streams =
			(unsigned)argument_number("--streams", value, 1, ENDPOINT_COUNT_MAX);
		break;
	case FLAG_BURST:
		sending->burst = (unsigned)argument_number("--burst", value, 1, BURST_MAX);
		break;
	case FLAG_SOURCE:
		if (!address_parse(value, &sending->source))
			fail(EXIT_REFUSED, "--source %s is not an address: give one like 10.0.0.5",
			     value);
		break;
	case FLAG_SOURCE_PORT:
		sending->source_port =
			(uint16_t)argument_number("--source-port", value, 1, UINT16_MAX);
		break;
	case FLAG_TTL:
		sending->ttl = (uint8_t)argument_number("--ttl", value, 1, UINT8_MAX);
		break;
	case FLAG_FIRST_SEQUENCE:
		plan->first_sequence = argument_number("--first-sequence", value, 0,
						       STREAM_SEQUENCE_LIMIT / 2 - 1);
		break;
	case FLAG_NO_SEGMENT:
		sending->segment = false;
		break;
	case FLAG_JSON:
		plan->json = true;
		break;
	default:
		fputs(usage, stdout);
		exit(EXIT_SUCCESS);
	}
}

static void require_given(uint32_t given, int flag, const char *name)
{
	if (!(given & 1u << (flag - FLAG_TO)))
		fail(EXIT_USAGE, "%s is missing: see sluice gen --help", name);
}

static struct plan read_plan(int argc, char *argv[])
{
	struct plan plan = {
		.sending = { .ttl = TTL_DEFAULT, .streams = 1, .burst = 1, .segment = true },
	};
	uint32_t given = 0;
	int flag = 0;

	while ((flag = argument_next(argc, argv, flags, "gen", &given)) != -1)
		take_flag(flag, optarg, &plan);
	require_given(given, FLAG_TO, "--to");
	require_given(given, FLAG_RATE, "--rate");
	require_given(given, FLAG_SIZE, "--size");
	require_given(given, FLAG_COUNT, "--count");

	const struct sender_settings *sending = &plan.sending;
	const char *refusal = endpoint_refuse_count(&sending->to, sending->streams);

	if (refusal)
		fail(EXIT_REFUSED, "--streams %u: %s", sending->streams, refusal);
	if (sending->source.any.sa_family != AF_UNSPEC &&
	    sending->source.any.sa_family != sending->to.first.any.sa_family)
		fail(EXIT_REFUSED, "--source and --to are of different IP versions: choose one");
	if (plan.count == 0)
		plan.count = STREAM_SEQUENCE_LIMIT / 2;
	return plan;
}

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void sleep_until(uint64_t deadline_ns)
{
	const struct timespec deadline = {
		.tv_sec = (time_t)(deadline_ns / NS_PER_S),
		.tv_nsec = (long)(deadline_ns % NS_PER_S),
	};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &deadline, NULL) == EINTR && !stop)
		;
}

static void show_progress(const struct sender *sender, uint64_t now_ns)
{
	static uint64_t last_ns, last_packets;
	const uint64_t packets = sender_counts(sender)->sent_packets;

	if (now_ns - last_ns < PROGRESS_NS)
		return;
	if (last_ns)
		fprintf(stderr, "\rsent %" PRIu64 " datagrams, %.0f/s \033[K", packets,
			(double)(packets - last_packets) * (double)NS_PER_S /
				(double)(now_ns - last_ns));
	last_ns = now_ns;
	last_packets = packets;
}

/*
 * When burst number index (over all streams, in turn) is due after the start. 128 bits, so that the
 * average stays exact however long it runs.
 */
static uint64_t due_ns(const struct plan *plan, uint64_t index)
{
	const unsigned __int128 time = (unsigned __int128)index * plan->sending.burst * NS_PER_S;

	return (uint64_t)(time / (plan->rate_pps * plan->sending.streams));
}

/* Queues the bursts that are due, up to one full batch, and sends them. Returns 0 or −errno. */
static int send_due(const struct plan *plan, struct sender *sender, uint64_t *next, uint64_t end,
		    uint64_t elapsed_ns)
{
	const unsigned streams = plan->sending.streams;
	const unsigned burst = plan->sending.burst;
	bool flushed = false;
	int result = 0;

	do {
		const uint64_t first = *next / streams * burst;
		const uint64_t left = plan->count - first;

		result = sender_queue(sender, (unsigned)(*next % streams),
				      plan->first_sequence + first,
				      left < burst ? (unsigned)left : burst, &flushed);
		++*next;
	} while (result == 0 && !stop && *next < end && !flushed &&
		 (plan->rate_pps == 0 || due_ns(plan, *next) <= elapsed_ns));
	/* At full speed the rest of this batch is better sent together with what follows. */
	if (result == 0 && (plan->rate_pps || *next == end))
		result = sender_flush(sender);
	return result;
}

/* Sends the whole plan. Returns 0 or −errno. */
static int run(const struct plan *plan, struct sender *sender, uint64_t start_ns)
{
	const bool terminal = isatty(STDERR_FILENO);
	const uint64_t bursts = (plan->count + plan->sending.burst - 1) / plan->sending.burst;
	const unsigned streams = plan->sending.streams;
	/* Until stopped is more of each stream than all of them together can be counted. */
	const uint64_t end = bursts > UINT64_MAX / streams ? UINT64_MAX : bursts * streams;
	uint64_t next = 0;
	int result = 0;

	while (next < end && !stop && result == 0) {
		if (plan->rate_pps)
			sleep_until(start_ns + due_ns(plan, next));
		if (stop)
			break;

		const uint64_t now_ns = monotonic_ns();

		result = send_due(plan, sender, &next, end, now_ns - start_ns);
		if (terminal)
			show_progress(sender, now_ns);
	}
	if (terminal)
		fputs("\r\033[K", stderr);
	return result;
}

static void report(const struct plan *plan, const struct sender *sender, uint64_t elapsed_ns)
{
	const struct sender_counts *counts = sender_counts(sender);
	const double seconds = (double)elapsed_ns / (double)NS_PER_S;
	const double pps = seconds > 0 ? (double)counts->sent_packets / seconds : 0;

	if (plan->json)
		printf("{\"sentPackets\":\"%" PRIu64 "\",\"sentBytes\":\"%" PRIu64
		       "\",\"seconds\":%.6f,\"packetsPerSecond\":%.1f,\"streams\":%u,"
		       "\"retries\":\"%" PRIu64 "\",\"segmented\":%s}\n",
		       counts->sent_packets, counts->sent_bytes, seconds, pps,
		       plan->sending.streams, counts->retries,
		       sender_segments(sender) ? "true" : "false");
	else
		printf("sent %" PRIu64 " datagrams (%" PRIu64 " bytes of payload) in %u %s, "
		       "%.3f s, %.0f/s, %" PRIu64 " retries%s\n",
		       counts->sent_packets, counts->sent_bytes, plan->sending.streams,
		       plan->sending.streams == 1 ? "stream" : "streams", seconds, pps,
		       counts->retries, sender_segments(sender) ? ", bursts by UDP_SEGMENT" : "");
}

int main(int argc, char *argv[])
{
	const struct plan plan = read_plan(argc, argv);
	const struct sigaction action = { .sa_handler = on_signal };
	struct sender *sender = sender_open(&plan.sending, &stop);

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	/* The default slack lets the kernel wake this process 50 µs late. */
	prctl(PR_SET_TIMERSLACK, 1UL);

	const uint64_t start_ns = monotonic_ns();
	const int result = run(&plan, sender, start_ns);

	report(&plan, sender, monotonic_ns() - start_ns);
	sender_close(sender);
	if (result < 0)
		fail(EXIT_REFUSED,
		     "cannot send on %s: %s: check that it is up, its addresses and routes",
		     plan.sending.to.interface, strerror(-result));
	return EXIT_SUCCESS;
}
