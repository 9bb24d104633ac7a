import { expect, test } from "bun:test";
import { until } from "./lab/commands.ts";
import { connect } from "./lab/namespace.ts";
import { relayOnChain } from "./lab/relay-on-chain.ts";
import { faults, gen, NO_FAULTS, recv } from "./lab/traffic.ts";

const { lab, relay } = await relayOnChain(["--workers", "2"]);

async function state(): Promise<{ state: string; reason: string } | undefined> {
	return (await relay.rules()).find((rule) => rule.name === "later")?.hosts[0];
}

/** When the relay's own log says that the rule became so; its clock is this machine's. */
async function loggedAt(state: string): Promise<number> {
	return until(`the log says that rule later is ${state}`, () => {
		for (const line of relay.log.split("\n").reverse()) {
			if (!line.includes('"rule":"later"') || !line.includes(`"state":"${state}"`)) continue;
			return (JSON.parse(line) as { time: number }).time;
		}
		return undefined;
	});
}

async function plugIn(address?: string): Promise<void> {
	await connect(
		{ namespace: lab.relay, name: "r9", ...(address === undefined ? {} : { address }) },
		{ namespace: lab.src, name: "s9", address: "10.9.0.2/24" },
	);
}

async function flows(): Promise<void> {
	const receiver = await recv(lab.dst, { in: "d0:239.10.1.1:6001", expect: 500 });
	await gen(lab.src, { to: "s9:239.1.1.1:5001", rate: 1_000, count: 500 });
	expect(faults(await receiver.report())).toEqual(NO_FAULTS);
}

test("a rule for an interface that does not exist is PENDING and says so", async () => {
	const added = await relay.cli(
		"rule",
		"add",
		"later",
		"--in",
		"r9:239.1.1.1:5001",
		"--out",
		"r1:239.10.1.1:6001",
	);
	expect(added.code).toBe(0);
	expect(added.stdout).toContain("PENDING");
	expect(added.stdout).toContain("r9");
	expect(await state()).toMatchObject({ state: "PENDING" });
});

test("it is ACTIVE within 300 ms of the interface's appearance, and flows", async () => {
	await plugIn("10.9.0.1/24");
	const appeared = Date.now();
	const active = await loggedAt("ACTIVE");
	expect(active - appeared).toBeLessThanOrEqual(300);
	expect(await state()).toMatchObject({ state: "ACTIVE" });
	await flows();
});

test("it goes back to PENDING when the interface goes, and to ACTIVE when one of that name comes again", async () => {
	await lab.relay.ip("link", "del", "r9");
	await until("PENDING again", async () => ((await state())?.state === "PENDING" ? true : undefined));
	// Also in what is published without it, the rule still shows what it received.
	await relay.publications(2);
	expect((await relay.figures()).rules[0]?.receivedPackets).toBe(500);
	await plugIn();
	await until("ACTIVE again", async () => ((await state())?.state === "ACTIVE" ? true : undefined));
	await flows();
	// The figures belong to the rule, not to the interface: they went on, and never were less.
	expect((await relay.figuresAfter(1_000)).rules[0]?.receivedPackets).toBe(1_000);
});
