import type { Host } from "@sluice/proto/gen/host";
import type { GetStatsResponse, InterfaceStats, RuleStats } from "@sluice/proto/gen/stats";
import { type Worker, Worker_State } from "@sluice/proto/gen/worker";
import { Counter, Gauge, Registry } from "prom-client";

export interface MetricsInput {
	/** Absent: no aggregator answered. */
	readonly stats: GetStatsResponse | undefined;
	readonly hosts: readonly Host[];
	readonly workers: readonly Worker[];
	readonly ruleCount: number;
}

type Labels = Record<string, string | number>;

/**
 * One exposition, made anew for each scrape: the counters live in the workers and
 * arrive as absolute values, so nothing is kept here that could drift from them.
 */
class Exposition {
	readonly #registry = new Registry();

	counter(
		name: string,
		help: string,
		labelNames: readonly string[],
	): (labels: Labels, value: bigint | number) => void {
		const metric = new Counter({ name, help, labelNames: [...labelNames], registers: [this.#registry] });
		return (labels, value) => metric.inc(labels, Number(value));
	}

	gauge(
		name: string,
		help: string,
		labelNames: readonly string[],
	): (labels: Labels, value: bigint | number) => void {
		const metric = new Gauge({ name, help, labelNames: [...labelNames], registers: [this.#registry] });
		return (labels, value) => metric.set(labels, Number(value));
	}

	text(): Promise<string> {
		return this.#registry.metrics();
	}
}

export const METRICS_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

/** Prometheus text of everything that is known. */
export function metricsText(input: MetricsInput): Promise<string> {
	const exposition = new Exposition();
	exposition.gauge("sluice_rules", "Rules of the cluster.", [])({}, input.ruleCount);
	exposition.gauge(
		"sluice_stats_available",
		"1 when a stats-aggregator answered this scrape.",
		[],
	)({}, input.stats === undefined ? 0 : 1);
	exposeHosts(exposition, input.hosts);
	exposeWorkers(exposition, input.workers);
	if (input.stats !== undefined) {
		exposeRules(exposition, input.stats.rules);
		exposeOutputs(exposition, input.stats.rules);
		exposeInterfaces(exposition, input.stats.interfaces);
	}
	return exposition.text();
}

function exposeRules(exposition: Exposition, rules: readonly RuleStats[]): void {
	const prefix = "sluice_rule";
	const received = exposition.counter(
		`${prefix}_received_packets_total`,
		"Datagrams that the rule received.",
		["rule"],
	);
	const bytes = exposition.counter(
		`${prefix}_received_bytes_total`,
		"Payload bytes that the rule received.",
		["rule"],
	);
	const forwarded = exposition.counter(`${prefix}_forwarded_packets_total`, "Received and sent on.", [
		"rule",
	]);
	const dropped = exposition.counter(`${prefix}_dropped_packets_total`, "Received and not sent on.", [
		"rule",
		"reason",
	]);
	const silent = exposition.gauge(
		`${prefix}_silent_seconds`,
		"Since the last datagram; absent before the first.",
		["rule"],
	);
	for (const stats of rules) {
		const labels = { rule: stats.name };
		received(labels, stats.receivedPackets);
		bytes(labels, stats.receivedBytes);
		forwarded(labels, stats.forwardedPackets);
		for (const [reason, packets] of Object.entries(stats.droppedPackets))
			dropped({ ...labels, reason }, packets);
		if (stats.silentSeconds !== undefined) silent(labels, stats.silentSeconds);
	}
}

function exposeOutputs(exposition: Exposition, rules: readonly RuleStats[]): void {
	const prefix = "sluice_output";
	const names = ["rule", "interface", "address", "port"];
	const eligible = exposition.counter(
		`${prefix}_eligible_packets_total`,
		"Forwarded since the output was added.",
		names,
	);
	const sent = exposition.counter(`${prefix}_sent_packets_total`, "Datagrams sent.", names);
	const bytes = exposition.counter(`${prefix}_sent_bytes_total`, "Payload bytes sent.", names);
	const failed = exposition.counter(
		`${prefix}_failed_packets_total`,
		"Datagrams that the kernel refused, or that had no interface to leave by.",
		names,
	);
	const failedByReason = exposition.counter(
		`${prefix}_failed_by_reason_packets_total`,
		"The same by reason; reasons that never happened are left out.",
		[...names, "reason"],
	);
	const limited = exposition.counter(
		`${prefix}_limited_packets_total`,
		"Datagrams over the output's rate.",
		names,
	);
	const answers = exposition.counter(
		`${prefix}_unreachable_answers_total`,
		'ICMP "unreachable" messages of sent datagrams; their senders limit their rate.',
		names,
	);
	for (const rule of rules) {
		for (const output of rule.outputs) {
			const { address, port } = output;
			const labels = { rule: rule.name, interface: output.interface, address, port };
			eligible(labels, output.eligiblePackets);
			sent(labels, output.sentPackets);
			bytes(labels, output.sentBytes);
			failed(labels, output.failedPackets);
			for (const [reason, packets] of Object.entries(output.failedByReason))
				failedByReason({ ...labels, reason }, packets);
			limited(labels, output.limitedPackets);
			answers(labels, output.unreachableAnswers);
		}
	}
}

function exposeInterfaces(exposition: Exposition, interfaces: readonly InterfaceStats[]): void {
	const prefix = "sluice_interface";
	const names = ["host", "interface"];
	const captured = exposition.counter(
		`${prefix}_captured_frames_total`,
		"Frames taken from the interface.",
		names,
	);
	const kernel = exposition.counter(
		`${prefix}_kernel_dropped_frames_total`,
		"Frames lost before they were taken.",
		names,
	);
	const unmatched = exposition.counter(`${prefix}_unmatched_packets_total`, "Datagrams of no rule.", names);
	const dropped = exposition.counter(`${prefix}_dropped_packets_total`, "Dropped before any rule matched.", [
		...names,
		"reason",
	]);
	for (const stats of interfaces) {
		const labels = { host: stats.host, interface: stats.interface };
		captured(labels, stats.capturedFrames);
		kernel(labels, stats.kernelDroppedFrames);
		unmatched(labels, stats.unmatchedPackets);
		for (const [reason, packets] of Object.entries(stats.droppedPackets))
			dropped({ ...labels, reason }, packets);
	}
}

function exposeHosts(exposition: Exposition, hosts: readonly Host[]): void {
	const seen = exposition.gauge("sluice_host_last_seen_seconds", "Since the host last wrote its record.", [
		"host",
	]);
	const applied = exposition.gauge(
		"sluice_host_applied_sequence",
		"Revision of the rules that the host has applied.",
		["host"],
	);
	const ring = exposition.gauge("sluice_host_ring_bytes", "Kernel memory held by receive rings.", ["host"]);
	for (const host of hosts) {
		seen({ host: host.host }, host.lastSeenSeconds);
		applied({ host: host.host }, host.appliedSequence);
		ring({ host: host.host }, host.ringBytes);
	}
}

function exposeWorkers(exposition: Exposition, workers: readonly Worker[]): void {
	const up = exposition.gauge("sluice_worker_running", "1 when the worker runs.", ["host", "worker"]);
	const restarts = exposition.counter("sluice_worker_restarts_total", "Since the host's `up` started.", [
		"host",
		"worker",
	]);
	for (const worker of workers) {
		const labels = { host: worker.host, worker: worker.worker };
		up(labels, worker.state === Worker_State.RUNNING ? 1 : 0);
		restarts(labels, worker.restarts);
	}
}
