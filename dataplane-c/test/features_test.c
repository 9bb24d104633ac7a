/* The probe says what this kernel does, whoever asks and wherever. */
#include "expect.h"
#include "sluice.h"
#include "veth_pair.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct sluice_features probe(void)
{
	struct sluice_features features;

	memset(&features, 0xff, sizeof(features));
	EXPECT_EQUAL(sluice_probe(&features), 0);
	return features;
}

/* A relay needs all but vnet_udp, and every kernel from 5.15 has them. */
static void root_finds_everything(const struct sluice_features *features)
{
	EXPECT(features->kernel_major >= 5);
	EXPECT_EQUAL(features->unique_fanout, 1);
	EXPECT_EQUAL(features->udp_segment, 1);
	EXPECT_EQUAL(features->ebpf_filter, 1);
	EXPECT_EQUAL(features->vnet_udp,
		     features->kernel_major * 100 + features->kernel_minor >= 602);
}

static void a_loopback_that_is_down_changes_nothing(void)
{
	const struct sluice_features up = probe();
	struct sluice_features down;

	ip("link set lo down");
	down = probe();
	ip("link set lo up");
	EXPECT(memcmp(&up, &down, sizeof(up)) == 0);
}

static void nothing_stays_open(void)
{
	const unsigned before = count_descriptors();

	(void)probe();
	EXPECT_EQUAL(count_descriptors(), before);
	EXPECT_EQUAL(sluice_probe(NULL), -EINVAL);
}

static void without_capabilities_what_needs_them_is_missing(void)
{
	const pid_t child = fork();
	int status = -1;

	if (child == 0) {
		struct sluice_features features;

		if (setresuid(65534, 65534, 65534) || sluice_probe(&features))
			_exit(2);
		_exit(features.unique_fanout || features.ebpf_filter || !features.udp_segment);
	}
	EXPECT(waitpid(child, &status, 0) == child && status == 0);
}

int main(void)
{
	struct veth_pair pair;
	struct sluice_features features;

	if (!veth_pair_possible()) {
		fputs("needs root to be allowed everything\n", stderr);
		return EXIT_SKIPPED;
	}
	veth_pair_open(&pair);
	features = probe();
	root_finds_everything(&features);
	a_loopback_that_is_down_changes_nothing();
	nothing_stays_open();
	without_capabilities_what_needs_them_is_missing();
	return failures != 0;
}
