import { resolve } from "node:path";
import { until } from "./commands.ts";
import { numbers } from "./figures.ts";
import type { Namespace } from "./namespace.ts";
import type { Chain } from "./topology.ts";

const BUILD = resolve(import.meta.dir, "../../../build");

export interface GenOptions {
	to: string;
	rate: number;
	count: number;
	size?: number;
	streams?: number;
	burst?: number;
	source?: string;
	ttl?: number;
	/** Goes on where another run of the generator ended. */
	firstSequence?: number;
	/** Leave segmentation to the kernel, so that super-packets cross the veth pair. */
	segment?: boolean;
}

export interface GenReport {
	sentPackets: number;
	packetsPerSecond: number;
}

function genArgv(options: GenOptions): string[] {
	const argv = [`${BUILD}/sluice-gen`, "--json", "--to", options.to];
	argv.push("--rate", `${options.rate}`, "--count", `${options.count}`, "--size", `${options.size ?? 1400}`);
	if (options.streams !== undefined) argv.push("--streams", `${options.streams}`);
	if (options.firstSequence !== undefined) argv.push("--first-sequence", `${options.firstSequence}`);
	if (options.burst !== undefined) argv.push("--burst", `${options.burst}`);
	if (options.source !== undefined) argv.push("--source", options.source);
	if (options.ttl !== undefined) argv.push("--ttl", `${options.ttl}`);
	if (!options.segment) argv.push("--no-segment");
	return argv;
}

/** Sends `count` datagrams per stream and answers how many went out; all of them must. */
export async function gen(namespace: Namespace, options: GenOptions): Promise<GenReport> {
	const text = await namespace.must(genArgv(options), { timeoutMs: 300_000 });
	const report = JSON.parse(text) as Record<string, string | number>;
	const sentPackets = Number(report["sentPackets"]);
	const asked = options.count * (options.streams ?? 1);
	if (sentPackets !== asked) throw new Error(`the generator sent ${sentPackets} of ${asked}`);
	return { sentPackets, packetsPerSecond: Number(report["packetsPerSecond"]) };
}

function startGen(namespace: Namespace, options: Omit<GenOptions, "count">): () => Promise<GenReport> {
	// The generator's word for without end.
	const child = namespace.start(genArgv({ ...options, count: 0 }));
	return async () => {
		child.kill("SIGTERM");
		return numbers(JSON.parse(await child.stdout.text())) as GenReport;
	};
}

/** Sends until it is told to stop, and answers then how many datagrams went out in all. */
export function genUntilStopped(
	namespace: Namespace,
	options: Omit<GenOptions, "count">,
): () => Promise<number> {
	const stop = startGen(namespace, options);
	return async () => (await stop()).sentPackets;
}

export interface RecvOptions {
	in: string;
	streams?: number;
	copies?: number;
	expect?: number;
	/** Ends it after so much silence, which whoever else keeps the machine busy can make. Default 20. */
	idleSeconds?: number;
	seconds?: number;
	/** Takes as one what the kernel merged; receiverDroppedPackets then counts so many as one. */
	merged?: boolean;
	/** Takes one of so many, at random; the others count as lost and dropped. */
	sample?: number;
	/** Takes only the CPU time that nobody else wants, and gives it back at once. */
	yields?: boolean;
}

export interface StreamReport {
	destination: string;
	receivedPackets: number;
	lostPackets: number;
	duplicatedPackets: number;
	reorderedPackets: number;
	corruptPackets: number;
	foreignPackets: number;
	receiverDroppedPackets: number;
	sourceAddress: string;
	sourcePort: number;
	sourceChanges: number;
	ttl: number;
	dscp: number;
	payloadBytesMin: number;
	payloadBytesMax: number;
}

export interface RecvReport extends Omit<StreamReport, "destination"> {
	streams: StreamReport[];
	/** "expect", "seconds", "idle" or "signal". */
	endedBy: string;
	/** Of distinct datagrams; null: none came. */
	latencyMicroseconds: { min: number; p50: number; p99: number; p999: number; max: number } | null;
}

export interface Receiver {
	/** The report, once everything expected came, or silence or time ended it. */
	report(): Promise<RecvReport>;
	/** Waits until so many datagrams have been read, whatever they were, in its namespace where it is alone. */
	hasRead(packets: number): Promise<boolean>;
	/** Ends it then. */
	reportAfter(packets: number): Promise<RecvReport>;
	/** When nothing can come any more: ends it once it has read what came, and answers that. */
	complete(): Promise<RecvReport>;
	/** Ends it now and answers what came so far. */
	stop(): Promise<RecvReport>;
}

/** Bytes that lie in the namespace's sockets of this UDP port. */
async function unread(namespace: Namespace, port: number): Promise<number> {
	const hex = port.toString(16).toUpperCase().padStart(4, "0");
	const sockets = (await namespace.read("/proc/net/udp")).matchAll(
		/^ *\d+: [0-9A-F]{8}:([0-9A-F]{4}) \S+ \S+ [0-9A-F]{8}:([0-9A-F]{8}) /gm,
	);
	return Array.from(sockets, ([, at, queued = ""]) => (at === hex ? Number.parseInt(queued, 16) : 0)).reduce(
		(sum, bytes) => sum + bytes,
		0,
	);
}

/** Datagrams that programs in the namespace have read so far. */
async function readIn(namespace: Namespace): Promise<number> {
	const figures = /^Udp: (\d+)/m.exec(await namespace.read("/proc/net/snmp"));
	if (figures === null) throw new Error("no figures of UDP");
	return Number(figures[1]);
}

/** Starts a receiver and resolves once it is a member of all its groups. */
export async function recv(namespace: Namespace, options: RecvOptions): Promise<Receiver> {
	const argv = options.yields ? ["chrt", "--idle", "0"] : [];
	argv.push(`${BUILD}/sluice-recv`, "--json", "--in", options.in);
	if (options.streams !== undefined) argv.push("--streams", `${options.streams}`);
	if (options.copies !== undefined) argv.push("--copies", `${options.copies}`);
	if (options.expect !== undefined) argv.push("--expect", `${options.expect}`);
	if (options.seconds !== undefined) argv.push("--seconds", `${options.seconds}`);
	if (options.merged) argv.push("--merged");
	if (options.sample !== undefined) argv.push("--sample", `${options.sample}`);
	argv.push("--idle", `${options.idleSeconds ?? 20}`);
	const readBefore = await readIn(namespace);
	const child = namespace.start(argv);
	const stdout = new Response(child.stdout).text();
	const errors = child.stderr.getReader();
	let said = "";
	while (!said.includes("listening")) {
		const { value, done } = await errors.read();
		if (done) throw new Error(`${argv.join(" ")} ended: ${said}`);
		said += new TextDecoder().decode(value);
	}
	void (async () => {
		for (let read = await errors.read(); !read.done; read = await errors.read())
			said += new TextDecoder().decode(read.value);
	})();
	const port = Number(options.in.split(":").at(-1));
	const report = async () => {
		const text = await stdout;
		if ((await child.exited) !== 0) throw new Error(`${argv.join(" ")} ended: ${said}`);
		return numbers(JSON.parse(text)) as RecvReport;
	};
	const stop = () => {
		child.kill("SIGTERM");
		return report();
	};
	const hasRead = (packets: number) => {
		const all = async () => (await readIn(namespace)) - readBefore >= packets || undefined;
		// What is missing the report says.
		return until(`${packets} datagrams have come`, all).catch(() => false);
	};
	return {
		report,
		hasRead,
		async reportAfter(packets) {
			await hasRead(packets);
			return stop();
		},
		async complete() {
			// Whoever gets little of the CPU may not have read all of it.
			await until(
				"the receiver has read all",
				async () => (await unread(namespace, port)) === 0 || undefined,
			);
			return stop();
		},
		stop,
	};
}

/** What takes one of the streams of sendWhile() through, from 0. */
export function streamRule(stream: number) {
	return {
		name: `stream-${stream}`,
		input: { interface: "r0", group: `239.1.1.${stream + 1}`, port: 5001 },
		outputs: [{ interface: "r1", address: `239.10.1.${stream + 1}`, port: 6001 }],
	};
}

/**
 * A stream through a chain for as long as `act` lasts. `through` waits until all that went out has been sent on, and
 * may answer how it knows; then the receiver has it too.
 */
export async function sendWhile<Known>(
	{ src, dst }: Pick<Chain, "src" | "dst">,
	stream: Omit<GenOptions, "to" | "count">,
	act: () => Promise<void>,
	through: (sentPackets: number) => Promise<Known>,
): Promise<{ sent: GenReport; known: Known; report: RecvReport }> {
	const receiver = await recv(dst, {
		in: "d0:239.10.1.1:6001",
		streams: stream.streams ?? 1,
		// It is told when to end.
		idleSeconds: 120,
	});
	const stop = startGen(src, { ...stream, to: "s0:239.1.1.1:5001" });
	await act();
	const sent = await stop();
	const known = await through(sent.sentPackets);
	return { sent, known, report: await receiver.complete() };
}

/** The figures that must be zero when nothing went wrong, and the receiver's own losses. */
export function faults(report: RecvReport) {
	return {
		lost: report.lostPackets,
		duplicated: report.duplicatedPackets,
		reordered: report.reorderedPackets,
		corrupt: report.corruptPackets,
		foreign: report.foreignPackets,
		droppedByReceiver: report.receiverDroppedPackets,
	};
}

export const NO_FAULTS = {
	lost: 0,
	duplicated: 0,
	reordered: 0,
	corrupt: 0,
	foreign: 0,
	droppedByReceiver: 0,
};
