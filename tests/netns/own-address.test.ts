import { expect, test } from "bun:test";
import { until } from "./lab/commands.ts";
import { relayOnChain } from "./lab/relay-on-chain.ts";
import { faults, gen, NO_FAULTS, recv } from "./lab/traffic.ts";

const { lab, relay } = await relayOnChain(["--workers", "1"]);

const input = ["--in", "r0:239.1.1.1:5001"];

test("an output to the relay's own address is refused where its own socket would take it all", async () => {
	const added = await relay.cli("rule", "add", "home", ...input, "--out", "r1:10.2.0.1:6001");
	expect(added).toMatchObject({
		code: 1,
		stdout:
			"rule home: FAILED on relay-a: output r1: 10.2.0.1 is its own address, and source port 6001 takes what is sent there: set another sourcePort, or another address\n",
	});
});

test("from another port it reaches programs on the relay", async () => {
	const out = ["--out", "r1:10.2.0.1:6001,source-port=7001"];
	expect(await relay.cli("rule", "set", "home", ...input, ...out)).toMatchObject({
		code: 0,
		stdout: "rule home: ACTIVE on relay-a\n",
	});
	const receiver = await recv(lab.relay, { in: "r1:10.2.0.1:6001", expect: 200 });
	await gen(lab.src, { to: "s0:239.1.1.1:5001", rate: 1_000, count: 200 });
	expect(faults(await receiver.report())).toEqual(NO_FAULTS);
});

test("an output to the subnet's broadcast address is refused, and a rule's other outputs are sent to", async () => {
	const outs = ["--out", "r1:10.2.0.255:6002", "--out", "r1:239.10.1.1:6002"];
	expect(await relay.cli("rule", "set", "home", ...input, ...outs)).toMatchObject({
		code: 1,
		stdout:
			"rule home: FAILED on relay-a: output r1: 10.2.0.255 is its broadcast address, to which nothing is sent: give a multicast group, or an address\n",
	});
	const receiver = await recv(lab.dst, { in: "d0:239.10.1.1:6002", expect: 200 });
	await gen(lab.src, { to: "s0:239.1.1.1:5001", rate: 1_000, count: 200 });
	expect(faults(await receiver.report())).toEqual(NO_FAULTS);
	// The address is the subnet's as long as the interface has it: with another one it is a host's.
	await lab.relay.must(["ip", "addr", "del", "10.2.0.1/24", "dev", "r1"]);
	await lab.relay.must(["ip", "addr", "add", "10.2.0.3/16", "dev", "r1"]);
	await until("the rule is ACTIVE", async () =>
		(await relay.rules())[0]?.hosts[0]?.state === "ACTIVE" ? true : undefined,
	);
});
