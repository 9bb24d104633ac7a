import { expect, test } from "bun:test";
import { assertAccounts } from "./lab/relay.ts";
import { relayOnChain } from "./lab/relay-on-chain.ts";
import { faults, gen, NO_FAULTS, recv } from "./lab/traffic.ts";

const { lab, relay } = await relayOnChain(["--workers", "2"]);

test("two-way bridging of one group works in both directions and never storms", async () => {
	await relay.sluice("rule", "add", "east", "--in", "r0:239.1.1.1:5001", "--out", "r1:239.1.1.1:5001");
	const west = await relay.cli(
		"rule",
		"add",
		"west",
		"--in",
		"r1:239.1.1.1:5001",
		"--out",
		"r0:239.1.1.1:5001",
	);
	expect(west.code).toBe(0);
	// Accepted, with a warning that names both.
	expect(west.stderr).toContain("east");

	const count = 5_000;
	const right = await recv(lab.dst, { in: "d0:239.1.1.1:5001", expect: count });
	await gen(lab.src, { to: "s0:239.1.1.1:5001", rate: 5_000, count });
	const eastward = await right.report();
	expect(faults(eastward)).toEqual(NO_FAULTS);
	expect(eastward.receivedPackets).toBe(count);

	const left = await recv(lab.src, { in: "s0:239.1.1.1:5001", expect: count });
	await gen(lab.dst, { to: "d0:239.1.1.1:5001", rate: 5_000, count });
	const westward = await left.report();
	expect(faults(westward)).toEqual(NO_FAULTS);
	expect(westward.receivedPackets).toBe(count);

	// Exactly what was sent went through, once: the relay never hears itself.
	const figures = await relay.figuresAfter(2 * count);
	assertAccounts(figures);
	for (const rule of figures.rules)
		expect(rule).toMatchObject({ receivedPackets: count, forwardedPackets: count });
	for (const entry of figures.interfaces) expect(entry.capturedFrames).toBe(count);
});
