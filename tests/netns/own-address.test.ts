import { expect, test } from "bun:test";
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
