import { expect, test } from "bun:test";
import { standStill } from "@sluice/lib/testing/signals";
import { childrenOf, parentOf } from "../e2e/up-processes.ts";
import { until } from "./lab/commands.ts";
import { assertAccounts, type Figures } from "./lab/relay.ts";
import { relayOnChain } from "./lab/relay-on-chain.ts";
import { faults, NO_FAULTS, sendWhile } from "./lab/traffic.ts";

const RATE_PPS = 5_000;
const STREAM = { rate: RATE_PPS, size: 200 };
const FROZEN_MS = 20_000;
/** How soon the command line works again. */
const BACK_LIMIT_MS = 5_000;
const UNREACHABLE = 3;

const { lab, relay } = await relayOnChain(["--workers", "2"], async ({ relay }) => {
	await relay.sluice("rule", "add", "video", "--in", "r0:239.1.1.1:5001", "--out", "r1:239.10.1.1:6001");
});

let received = 0;

/** Rules and figures are answered as they should be, or the cluster is said to be unreachable. */
async function look(): Promise<boolean> {
	const ask = (...words: string[]) => relay.cli(...words, "--json", "--timeout", "1");
	const [list, stats] = await Promise.all([ask("rule", "list"), ask("stats")]);
	for (const { code, stderr } of [list, stats]) {
		if (code !== 0) expect([code, stderr]).toEqual([UNREACHABLE, expect.stringMatching(/^sluice: .+\n$/)]);
	}
	if (list.code !== 0 || stats.code !== 0) return false;
	const figures = JSON.parse(stats.stdout) as Figures;
	const now = Number(figures.rules[0]?.receivedPackets ?? 0);
	expect(now).toBeGreaterThanOrEqual(received);
	received = now;
	return list.stdout.includes('"ACTIVE"');
}

/** Milliseconds until the command line works again. */
async function backAfterMs(): Promise<number> {
	const start = performance.now();
	await until("rules and figures are answered", async () => ((await look()) ? true : undefined));
	return Math.round(performance.now() - start);
}

test("each of the others killed, and NATS frozen for 20 s: no datagram is lost, no figure steps back", async () => {
	const backMs: Record<string, number> = {};
	const act = async () => {
		for (const name of ["nats-server", "control-api", "stats-aggregator"]) {
			const before = childrenOf(relay.pid).get(name) ?? 0;
			process.kill(before, "SIGKILL");
			backMs[name] = await backAfterMs();
			expect(childrenOf(relay.pid).get(name)).not.toBe(before);
		}
		const nats = childrenOf(relay.pid).get("nats-server") ?? 0;
		await standStill(nats);
		const thaw = performance.now() + FROZEN_MS;
		while (performance.now() < thaw) expect(await look()).toBeFalse();
		process.kill(nats, "SIGCONT");
		backMs["frozen nats-server"] = await backAfterMs();
	};
	const {
		sent: { sentPackets: sent },
		known: figures,
		report,
	} = await sendWhile(lab, STREAM, act, (count) => relay.figuresAfter(count));
	console.log(`measured: ${sent} sent, ${report.lostPackets} lost; back after ms: ${JSON.stringify(backMs)}`);
	expect(figures.rules[0]).toMatchObject({ receivedPackets: sent, forwardedPackets: sent });
	expect(figures.rules[0]?.outputs[0]?.sentPackets).toBe(sent);
	assertAccounts(figures);
	expect([faults(report), report.receivedPackets]).toEqual([NO_FAULTS, sent]);
	for (const ms of Object.values(backMs)) expect(ms).toBeLessThan(BACK_LIMIT_MS);
	// Killed once each, and started once.
	expect(relay.log.match(/ended, it is started again/g)).toHaveLength(3);
});

test("sluice-keeper killed while NATS stands still: figures go on where they were, to the datagram", async () => {
	const before = (await relay.figuresAfter(received)).rules[0]?.outputs[0]?.sentPackets ?? 0;
	const act = async () => {
		await relay.figuresAfter(received + RATE_PPS);
		const nats = childrenOf(relay.pid).get("nats-server") ?? 0;
		await standStill(nats);
		// A second at least, whose figures nobody but the keeper's processes has.
		expect(await look()).toBeFalse();
		const active = () => relay.log.match(/"rule":"video"[^\n]*ACTIVE/g)?.length ?? 0;
		const activeBefore = active();
		process.kill(parentOf(childrenOf(relay.pid).get("supervisor") ?? 0), "SIGKILL");
		await until("the rules last known flow", async () => (active() > activeBefore ? true : undefined));
		expect(relay.log).toContain("NATS is not there: the rules last known flow");
		// The stream of counters was in its memory.
		process.kill(nats, "SIGKILL");
		await backAfterMs();
	};
	const { sent, report } = await sendWhile(lab, STREAM, act, () => relay.publications(1));
	console.log(
		`measured: keeper killed: ${sent.sentPackets} sent, ${report.lostPackets} lost while there were no rings`,
	);
	const figures = await until("each datagram that came out is counted", async () => {
		const now = await relay.figures();
		return now.rules[0]?.outputs[0]?.sentPackets === before + report.receivedPackets ? now : undefined;
	});
	const { receivedPackets, forwardedPackets } = figures.rules[0] ?? {};
	expect([receivedPackets, forwardedPackets]).toEqual([
		before + report.receivedPackets,
		before + report.receivedPackets,
	]);
	expect(figures.interfaces[0]?.capturedFrames).toBe(before + report.receivedPackets);
	assertAccounts(figures);
	expect({ ...faults(report), lost: 0 }).toEqual(NO_FAULTS);
});
