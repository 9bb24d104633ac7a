import { afterAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { until } from "./lab/commands.ts";
import { frame } from "./lab/frames.ts";
import { relayOnChain } from "./lab/relay-on-chain.ts";

const INJECT = resolve(import.meta.dir, "../../build/test-tools/inject");
const GROUP = "239.2.2.2";
const PORT = 5001;

/** struct virtio_net_hdr, in hexadecimal. */
const PLAIN = "00".repeat(10);
/** NEEDS_CSUM, GSO_UDP, 42 bytes of headers, fragments of 1,480, a checksum at 34 + 6. */
const FRAGMENTATION_OFFLOAD = "01032a00c80522000600";

const { lab, relay } = await relayOnChain(["--workers", "1"]);

/** As a virtual machine on this host sends. */
const machine = existsSync("/dev/net/tun") ? lab.relay.start([INJECT, "--tap", "vm0"], "pipe") : undefined;
afterAll(() => machine?.kill("SIGTERM"));

async function send(header: string, payloadBytes: number): Promise<void> {
	const stdin = machine?.stdin;
	if (stdin === undefined || typeof stdin === "number") throw new Error("nothing to send with");
	const payload = new Uint8Array(payloadBytes);
	stdin.write(`${header}${frame({ destination: GROUP, port: PORT, payload })}\n`);
	await stdin.flush();
}

async function setUp(): Promise<boolean> {
	return (await lab.relay.run(["ip", "link", "set", "vm0", "up"])).code === 0;
}

async function input() {
	const { interfaces, rules } = await relay.figures();
	const { kernelDroppedFrames = 0, droppedPackets = {} } =
		interfaces.find((entry) => entry.interface === "vm0") ?? {};
	const truncated = droppedPackets["TRUNCATED"] ?? 0;
	return { forwarded: rules[0]?.forwardedPackets ?? 0, kernelDroppedFrames, truncated };
}

test.skipIf(machine === undefined)(
	"a super-packet that the kernel can't describe stops a ring: it is opened anew, and such come to nothing from then on",
	async () => {
		await until("a tap", async () => (await setUp()) || undefined);
		await relay.sluice("rule", "add", "vm", "--in", `vm0:${GROUP}:${PORT}`, "--out", "r1:239.10.1.1:6001");
		await send(PLAIN, 100);
		await until("the first datagram", async () => (await input()).forwarded === 1 || undefined);
		const before = await relay.workers();
		await send(FRAGMENTATION_OFFLOAD, 3000);
		const after = await until("datagrams again", async () => {
			await send(PLAIN, 100);
			const now = await input();
			return now.forwarded > 1 ? now : undefined;
		});
		expect(after.kernelDroppedFrames).toBeGreaterThan(0);
		await send(FRAGMENTATION_OFFLOAD, 3000);
		await send(PLAIN, 100);
		await until("the super-packet's end", async () => {
			const { forwarded, truncated } = await input();
			return (truncated === 1 && forwarded > after.forwarded) || undefined;
		});
		expect((await relay.workers()).map(({ pid, restarts }) => ({ pid, restarts }))).toEqual(
			before.map(({ pid, restarts }) => ({ pid, restarts })),
		);
	},
);
