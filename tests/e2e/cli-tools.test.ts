import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { freePort } from "@sluice/lib/testing/nats-server";
import { until } from "@sluice/lib/testing/until";

const cli = resolve(import.meta.dir, "../../services/cli/main.ts");

function start(...args: string[]) {
	return Bun.spawn([process.execPath, cli, ...args], { stdio: ["ignore", "pipe", "pipe"] });
}

/** A receiver on the loopback that has joined what it listens to. */
async function startReceiver(endpoint: string) {
	const receiver = start("recv", "--in", endpoint, "--json");
	const errors = receiver.stderr.getReader();
	let said = "";
	while (!said.includes("listening")) {
		const { value, done } = await errors.read();
		if (done) throw new Error(`recv ended: ${said}`);
		said += new TextDecoder().decode(value);
	}
	return receiver;
}

/** Bytes that lie in sockets of that port. */
function unread(endpoint: string): number {
	const hex = Number(endpoint.split(":").at(-1)).toString(16).toUpperCase().padStart(4, "0");
	const sockets = readFileSync("/proc/net/udp", "utf8").matchAll(/^ *\d+: \S+:(\S+) \S+ \S+ \S+:(\S+) /gm);
	return Array.from(sockets).reduce(
		(sum, [, at, bytes = ""]) => sum + (at === hex ? Number.parseInt(bytes, 16) : 0),
		0,
	);
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
	test(`gen and recv work through the command line, and ${signal} ends recv with its report`, async () => {
		const endpoint = `lo:127.0.0.1:${await freePort()}`;
		const receiver = await startReceiver(endpoint);
		const generator = start(
			"--json",
			"gen",
			"--to",
			endpoint,
			"--rate",
			"5000",
			"--size",
			"100",
			"--count",
			"500",
		);
		expect(JSON.parse(await generator.stdout.text())).toMatchObject({ sentPackets: "500" });
		expect(await generator.exited).toBe(0);
		// Whoever gets little of the CPU may not have read all of it.
		await until(() => unread(endpoint) === 0);
		receiver.kill(signal);
		expect(JSON.parse(await receiver.stdout.text())).toMatchObject({
			receivedPackets: "500",
			lostPackets: "0",
		});
		expect(await receiver.exited).toBe(0);
	});
}

test("the exit code is the tool's own", async () => {
	for (const [args, exitCode] of [
		[["gen"], 2],
		[["recv", "--foo"], 2],
		[["recv", "--in", "lo:239.1.1.1:1", "--in", "lo:239.1.1.2:1"], 2],
		[["gen", "--rate", "1", "--to", "lo:239.1.1.1:1", "--rate", "2"], 2],
		[["recv", "--in", "no-such-one:239.1.1.1:1"], 1],
	] as const) {
		const child = start(...args);
		expect(await child.stderr.text()).toMatch(/^sluice: .*\n$/);
		expect(await child.exited).toBe(exitCode);
	}
});

test("recv that received nothing says in one line what to look at, and only then", async () => {
	const endpoint = `lo:127.0.0.1:${await freePort()}`;
	const silent = start("recv", "--in", endpoint, "--seconds", "0.1", "--json");
	expect(await silent.stderr.text()).toMatch(
		/^listening .*\nnothing came: is the sender on, is this the right interface\? .*\n$/,
	);
	expect(JSON.parse(await silent.stdout.text())).toMatchObject({ receivedPackets: "0" });
	expect(await silent.exited).toBe(0);

	const receiver = start("recv", "--in", endpoint, "--expect", "10", "--seconds", "60");
	const sent: Promise<number>[] = [];
	let said = "";
	for await (const bytes of receiver.stderr) {
		said += new TextDecoder().decode(bytes);
		if (sent.length > 0 || !said.includes("listening")) continue;
		sent.push(start("gen", "--to", endpoint, "--rate", "1000", "--size", "100", "--count", "10").exited);
	}
	expect(said).toMatch(/^listening .*\n$/);
	expect(await Promise.all([...sent, receiver.exited])).toEqual([0, 0]);
});

test("recv to which nothing comes says so once after 5 s, waits on, and still takes what comes", async () => {
	const endpoint = `lo:127.0.0.1:${await freePort()}`;
	const receiver = start("recv", "--in", endpoint, "--expect", "10", "--json");
	const sent: Promise<number>[] = [];
	let said = "";
	for await (const bytes of receiver.stderr) {
		said += new TextDecoder().decode(bytes);
		if (sent.length > 0 || !said.includes("nothing came")) continue;
		sent.push(start("gen", "--to", endpoint, "--rate", "1000", "--size", "100", "--count", "10").exited);
	}
	expect(said).toMatch(
		/^listening .*\nnothing came yet: is the sender on, is this the right interface\? .*\n$/,
	);
	expect(JSON.parse(await receiver.stdout.text())).toMatchObject({ receivedPackets: "10" });
	expect(await Promise.all([...sent, receiver.exited])).toEqual([0, 0]);
});

test("help of gen and recv fits 80 columns", async () => {
	for (const tool of ["gen", "recv"]) {
		const help = await start(tool, "--help").stdout.text();
		expect(help).toStartWith(`Usage: sluice ${tool} `);
		expect(help.split("\n").filter((line) => line.length > 80)).toEqual([]);
	}
});

test("gen and recv take the global flags, which change nothing for them", async () => {
	const global = ["--data-dir", "/nonexistent", "--debug", "--nats=nats://127.0.0.1:1", "--timeout", "1"];
	const child = start("recv", ...global, "--in", "lo:239.1.1.1:5001", "--seconds", "0.1");
	expect(await child.stdout.text()).toStartWith("received 0");
	expect(await child.exited).toBe(0);
});
