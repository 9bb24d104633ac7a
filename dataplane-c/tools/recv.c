/* sluice-recv: receives the streams of sluice-gen and says what became of every datagram. */
#include "arguments.h"
#include "endpoint.h"
#include "receive_report.h"
#include "receiver.h"
#include "stream.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SAMPLE_MAX 10000

static const char usage[] =
	"Usage: sluice recv --in IFACE:ADDR:PORT [flags]\n"
	"\n"
	"Receives what `sluice gen` sends and reports received, lost, duplicated,\n"
	"reordered, corrupt and foreign datagrams and their latency. Destination i is\n"
	"group ADDR+i on the same port, or, if ADDR is unicast, port PORT+i. A line that\n"
	"begins `listening` on stderr says that every group is joined.\n"
	"\n"
	"  --in IFACE:ADDR:PORT  interface, first destination, port; IPv6 in brackets\n"
	"  --streams N           N destinations, destination i carries stream i (1)\n"
	"  --copies N            N destinations, each carries stream 0 (fan-out)\n"
	"  --source IP           join the groups for this source only\n"
	"  --expect N            end when every stream has N distinct datagrams and\n"
	"                        200 ms of silence have passed; what lacks of N is lost\n"
	"  --seconds S           end after S seconds\n"
	"  --idle S              end after S seconds of silence, which count from the\n"
	"                        first datagram: until that comes, it waits\n"
	"  --merged              take as one what the kernel merged (GRO): less CPU, but\n"
	"                        of what the receiver has no room for, so many datagrams\n"
	"                        count as one\n"
	"  --sample N            take one of N at random: for latency where a receiver\n"
	"                        cannot follow; the others count as dropped and lost\n"
	"  --json                report as JSON\n"
	"\n"
	"Without --expect, lost is what lacks up to the highest sequence seen.\n";

enum flag {
	FLAG_IN = 256,
	FLAG_STREAMS,
	FLAG_COPIES,
	FLAG_SOURCE,
	FLAG_EXPECT,
	FLAG_SECONDS,
	FLAG_IDLE,
	FLAG_MERGED,
	FLAG_SAMPLE,
	FLAG_JSON,
	FLAG_HELP,
};

static const struct option flags[] = {
	{ "in", required_argument, NULL, FLAG_IN },
	{ "streams", required_argument, NULL, FLAG_STREAMS },
	{ "copies", required_argument, NULL, FLAG_COPIES },
	{ "source", required_argument, NULL, FLAG_SOURCE },
	{ "expect", required_argument, NULL, FLAG_EXPECT },
	{ "seconds", required_argument, NULL, FLAG_SECONDS },
	{ "idle", required_argument, NULL, FLAG_IDLE },
	{ "merged", no_argument, NULL, FLAG_MERGED },
	{ "sample", required_argument, NULL, FLAG_SAMPLE },
	{ "json", no_argument, NULL, FLAG_JSON },
	{ "help", no_argument, NULL, FLAG_HELP },
	{ 0 },
};

struct request {
	struct receiver_settings receiving;
	unsigned streams; /* 0: not given */
	unsigned copies;  /* 0: not given */
	bool json;
};

static void take_flag(int flag, const char *value, struct request *request)
{
	struct receiver_settings *receiving = &request->receiving;
	const char *refusal = NULL;

	switch (flag) {
	case FLAG_IN:
		refusal = endpoint_parse(value, &receiving->in);
		if (refusal)
			fail(EXIT_REFUSED, "--in %s: %s", value, refusal);
		break;
	case FLAG_STREAMS:
		request->streams =
			(unsigned)argument_number("--streams", value, 1, ENDPOINT_COUNT_MAX);
		break;
	case FLAG_COPIES:
		request->copies =
			(unsigned)argument_number("--copies", value, 1, ENDPOINT_COUNT_MAX);
		break;
	case FLAG_SOURCE:
		if (!address_parse(value, &receiving->source))
			fail(EXIT_REFUSED, "--source %s is not an address: give one like 10.0.0.5",
			     value);
		break;
	case FLAG_EXPECT:
		receiving->expect = argument_number("--expect", value, 1, STREAM_SEQUENCE_LIMIT);
		break;
	case FLAG_SECONDS:
		receiving->duration_ns = argument_seconds_ns("--seconds", value);
		break;
	case FLAG_IDLE:
		receiving->idle_ns = argument_seconds_ns("--idle", value);
		break;
	case FLAG_MERGED:
		receiving->merged = true;
		break;
	case FLAG_SAMPLE:
		receiving->sample = (unsigned)argument_number("--sample", value, 1, SAMPLE_MAX);
		break;
	case FLAG_JSON:
		request->json = true;
		break;
	default:
		fputs(usage, stdout);
		exit(EXIT_SUCCESS);
	}
}

static void check(const struct receiver_settings *receiving)
{
	const char *refusal = endpoint_refuse_count(&receiving->in, receiving->destinations);

	if (refusal)
		fail(EXIT_REFUSED, "%s %u: %s", receiving->copies ? "--copies" : "--streams",
		     receiving->destinations, refusal);
	if (receiving->source.any.sa_family == AF_UNSPEC)
		return;
	if (!receiving->in.multicast)
		fail(EXIT_REFUSED, "--source belongs to a group: leave it out for a unicast --in");
	if (receiving->source.any.sa_family != receiving->in.first.any.sa_family)
		fail(EXIT_REFUSED, "--source and --in are of different IP versions: choose one");
}

static struct request read_request(int argc, char *argv[])
{
	struct request request = { 0 };
	uint32_t given = 0;
	int flag = 0;

	while ((flag = argument_next(argc, argv, flags, "recv", &given)) != -1)
		take_flag(flag, optarg, &request);
	if (!request.receiving.in.ifindex)
		fail(EXIT_USAGE, "--in is missing: see sluice recv --help");
	if (request.streams && request.copies)
		fail(EXIT_REFUSED, "--streams and --copies exclude each other: give one of them");
	request.receiving.copies = request.copies > 0;
	request.receiving.destinations = request.copies    ? request.copies
					 : request.streams ? request.streams
							   : 1;
	request.receiving.progress = isatty(STDERR_FILENO);
	check(&request.receiving);
	return request;
}

int main(int argc, char *argv[])
{
	const struct request request = read_request(argc, argv);
	char text[ADDRESS_TEXT_BYTES];
	struct receiver receiver;

	receiver_open(&receiver, &request.receiving);
	address_format(&request.receiving.in.first, text);
	fprintf(stderr, "listening on %s %s, %u %s\n", request.receiving.in.interface, text,
		request.receiving.destinations,
		request.receiving.destinations == 1 ? "destination" : "destinations");

	const int result = receiver_run(&receiver);

	if (request.json)
		receive_report_json(&receiver);
	else
		receive_report_text(&receiver);
	receiver_close(&receiver);
	if (result < 0)
		fail(EXIT_REFUSED, "cannot receive on %s: %s: check the interface",
		     request.receiving.in.interface, strerror(-result));
	receiver_hint_at_silence(&receiver);
	return EXIT_SUCCESS;
}
