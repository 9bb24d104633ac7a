/* The dump of links and addresses is what the kernel has. */
#include "expect.h"
#include "sluice.h"
#include "veth_pair.h"

#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define MANY     150 /* veth pairs: two links each, so that a dump takes several messages */
#define CAPACITY 1024u
#define DUMPS    300

static struct veth_pair pair;
static struct sluice_link links[CAPACITY];

static int dump(void)
{
	int found = sluice_links(links, CAPACITY);

	if (found < 0)
		give_up("sluice_links: %s", strerror(-found));
	return found;
}

static const struct sluice_link *named(const char *name, int found)
{
	for (int i = 0; i < found; i++)
		if (strcmp(links[i].name, name) == 0)
			return &links[i];
	give_up("no link %s", name);
}

static void a_link_has_its_index_mtu_mac_flags_and_addresses(void)
{
	static const uint8_t mac[] = NEAR_MAC_BYTES;
	const int found = dump();
	const struct sluice_link *lo = named("lo", found), *near = named("near0", found);

	EXPECT_EQUAL(lo->flags, SLUICE_LINK_UP | SLUICE_LINK_RUNNING | SLUICE_LINK_LOOPBACK);
	EXPECT_EQUAL(lo->mtu, 65536);
	EXPECT_EQUAL(lo->address_count, 1);
	EXPECT_EQUAL(lo->address_be[0], be("127.0.0.1"));

	EXPECT_EQUAL(near->ifindex, if_nametoindex("near0"));
	EXPECT_EQUAL(near->flags, SLUICE_LINK_UP | SLUICE_LINK_RUNNING);
	EXPECT_EQUAL(near->mtu, 1500);
	EXPECT(memcmp(near->mac, mac, sizeof(mac)) == 0);
	EXPECT_EQUAL(near->address_count, 2);
	EXPECT_EQUAL(near->address_be[0], be(NEAR_ADDRESS));
	EXPECT_EQUAL(near->address_be[1], be(NEAR_SECOND_ADDRESS));
}

static void primary_addresses_come_before_secondary_ones(void)
{
	const struct sluice_link *link;

	ip("link add x0 type veth peer name x1");
	ip("addr add 10.1.0.1/24 dev x0");
	ip("addr add 10.1.0.2/24 dev x0");
	ip("addr add 10.2.0.1/24 dev x0");
	/* On a point-to-point link the address is the local one, not the peer's. */
	ip("addr add 10.3.0.1 peer 10.3.0.2/32 dev x0");
	link = named("x0", dump());
	EXPECT_EQUAL(link->address_count, 4);
	EXPECT_EQUAL(link->address_be[0], be("10.1.0.1"));
	EXPECT_EQUAL(link->address_be[1], be("10.2.0.1"));
	EXPECT_EQUAL(link->address_be[2], be("10.3.0.1"));
	EXPECT_EQUAL(link->address_be[3], be("10.1.0.2"));
	ip("link del x0");
}

static void more_addresses_than_fit_are_cut(void)
{
	const struct sluice_link *link;

	ip("link add x0 type veth peer name x1");
	for (unsigned i = 1; i <= SLUICE_MAX_ADDRESSES_PER_LINK + 4; i++)
		ip("addr add 10.4.%u.1/24 dev x0", i);
	link = named("x0", dump());
	EXPECT_EQUAL(link->address_count, SLUICE_MAX_ADDRESSES_PER_LINK);
	EXPECT_EQUAL(link->address_be[15], be("10.4.16.1"));
	ip("link del x0");
}

static void carrier_and_administrative_state_are_told_apart(void)
{
	const struct sluice_link *link;
	uint32_t ups;

	ip("link add x0 type veth peer name x1");
	link = named("x0", dump());
	EXPECT_EQUAL(link->flags, 0);
	ip("link set x0 up");
	link = named("x0", dump());
	EXPECT_EQUAL(link->flags, SLUICE_LINK_UP);
	ip("link set x1 up");
	/* At once: the operational state (IFF_RUNNING) may follow a second later. */
	link = named("x0", dump());
	EXPECT_EQUAL(link->flags, SLUICE_LINK_UP | SLUICE_LINK_RUNNING);
	ups = link->carrier_ups;
	ip_batch("link set x1 down\nlink set x1 up\n");
	/* Nothing else tells that the carrier was away. */
	link = named("x0", dump());
	EXPECT_EQUAL(link->flags, SLUICE_LINK_UP | SLUICE_LINK_RUNNING);
	EXPECT_EQUAL(link->carrier_ups, ups + 1);
	ip("link del x0");
}

static void a_link_has_the_driver_that_ethtool_names(void)
{
	char driver[SLUICE_DRIVER_NAME_BYTES];

	EXPECT_EQUAL(sluice_link_driver("near0", driver), 0);
	EXPECT(strcmp(driver, "veth") == 0);
	EXPECT_EQUAL(sluice_link_driver("lo", driver), 0);
	EXPECT(strcmp(driver, "") == 0);
	EXPECT_EQUAL(sluice_link_driver("absent0", driver), -ENODEV);
	EXPECT_EQUAL(sluice_link_driver("longer-than-a-name", driver), -ENODEV);
	EXPECT_EQUAL(sluice_link_driver(NULL, driver), -EINVAL);
}

/* ---- many links, while others come and go ---- */

static void add_many(void)
{
	char *text = calloc(MANY, 64);
	size_t used = 0;

	for (int i = 0; i < MANY; i++)
		used += (size_t)sprintf(text + used, "link add many%d type veth peer name peer%d\n",
					i, i);
	ip_batch(text);
	free(text);
}

static void all_links_are_counted_and_no_more_written_than_fit(void)
{
	struct sluice_link few[4] = { 0 };
	const int found = dump();

	EXPECT_EQUAL(found, 2 + 2 * MANY);
	EXPECT_EQUAL(sluice_links(few, 3), found);
	EXPECT_EQUAL(few[3].ifindex, 0);
	EXPECT_EQUAL(sluice_links(NULL, 0), found);
	EXPECT_EQUAL(sluice_links(NULL, 1), -EINVAL);
}

static atomic_bool churning;

static void *churn(void *unused)
{
	(void)unused;
	enter_near(&pair);
	while (atomic_load(&churning)) {
		ip("link add come type veth peer name go");
		ip("addr add 10.5.0.1/24 dev come");
		ip("link del come");
	}
	return NULL;
}

static void links_that_stay_are_there_once_whatever_comes_and_goes(void)
{
	pthread_t thread;

	atomic_store(&churning, true);
	if (pthread_create(&thread, NULL, churn, NULL))
		give_up("no thread");
	for (int i = 0; i < DUMPS; i++) {
		const int found = dump();
		int stayed = 0;

		for (int k = 0; k < found; k++)
			stayed += strncmp(links[k].name, "many", 4) == 0 ||
				  strncmp(links[k].name, "peer", 4) == 0;
		EXPECT_EQUAL(stayed, 2 * MANY);
		EXPECT_EQUAL(named("near0", found)->address_count, 2);
	}
	atomic_store(&churning, false);
	pthread_join(thread, NULL);
}

static void it_leaves_nothing_open(void)
{
	const unsigned before = count_descriptors();

	dump();
	EXPECT_EQUAL(count_descriptors(), before);
}

int main(void)
{
	if (!veth_pair_possible()) {
		fputs("needs root for network namespaces\n", stderr);
		return EXIT_SKIPPED;
	}
	veth_pair_open(&pair);
	a_link_has_its_index_mtu_mac_flags_and_addresses();
	primary_addresses_come_before_secondary_ones();
	more_addresses_than_fit_are_cut();
	carrier_and_administrative_state_are_told_apart();
	a_link_has_the_driver_that_ethtool_names();
	it_leaves_nothing_open();
	add_many();
	all_links_are_counted_and_no_more_written_than_fit();
	links_that_stay_are_there_once_whatever_comes_and_goes();
	return failures != 0;
}
