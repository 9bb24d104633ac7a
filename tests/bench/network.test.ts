import { expect, test } from "bun:test";
import { describeWire, Network, UNPINNED } from "./network.ts";

const ethtool = Bun.which("ethtool") !== null;
if (!ethtool) console.log("skipped: ethtool, which switches GRO on, is not installed here");

test("a wire says in words how bursts cross it", () => {
	expect(describeWire({ ingress: "GRO", egress: "super-packets" })).toBe(
		"individual packets that GRO merges into super-packets in, super-packets (the device segments) out",
	);
});

test.skipIf(!ethtool)("with GRO the relay's interface merges what comes in", async () => {
	const network = await Network.create({ ingress: "GRO", egress: "packets" }, UNPINNED);
	try {
		const features = await network.relay.must(["ethtool", "-k", "r0"]);
		expect(features).toMatch(/^generic-receive-offload: on$/m);
		expect(features).toMatch(/^rx-udp-gro-forwarding: on$/m);
		expect(await network.src.ip("-d", "link", "show", "s0")).toContain("gso_max_segs 1 ");
	} finally {
		await network.remove();
	}
});
