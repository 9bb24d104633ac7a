import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { SluiceError } from "@sluice/lib/errors";
import { endpoint, serve } from "@sluice/lib/service";
import { until } from "@sluice/lib/testing/until";
import { GetStatsRequestSchema, GetStatsResponseSchema } from "@sluice/proto/gen/stats";
import {
	RestartWorkerRequestSchema,
	RestartWorkerResponseSchema,
	Worker_State,
} from "@sluice/proto/gen/worker";
import { hostRestartSubject, requests } from "@sluice/proto/subjects";
import { expectError, HttpLab, read, TOKEN } from "../testing/http-lab.ts";
import * as schemas from "./schemas.ts";

let lab: HttpLab;
beforeAll(async () => {
	lab = await HttpLab.start();
});
afterAll(() => lab.stop());
beforeEach(() => lab.removeAllRules());

test("statistics come from an aggregator over NATS, in one answer or in pages; without one it is a 503", async () => {
	await expectError(await lab.request("/v1/stats"), 503, /^nobody answers sluice\.v1\.stats\.get/);
	const metricsAlone = await (await lab.request("/metrics")).text();
	expect(metricsAlone).toContain("sluice_stats_available 0");
	const pages = ["a", "b", "c"];
	const aggregator = await serve(lab.cluster.nc, {
		name: "aggregator",
		version: "0.0.0",
		endpoints: [
			endpoint({
				name: "stats-get",
				subject: requests.statsGet,
				request: GetStatsRequestSchema,
				response: GetStatsResponseSchema,
				handle: ({ pageToken }) => {
					const k = pageToken === "" ? 0 : Number(pageToken);
					const output = {
						interface: "r1",
						address: "239.10.1.1",
						port: 6001,
						sentPackets: 10n,
						eligiblePackets: 15n,
						failedPackets: 5n,
						failedByReason: { QUEUE_FULL: 3n, UNUSABLE: 2n },
						unreachableAnswers: 4n,
					};
					const rule = {
						name: pages[k] ?? "",
						receivedPackets: 12n,
						forwardedPackets: 10n,
						droppedPackets: { NO_OUTPUT: 2n },
					};
					return create(GetStatsResponseSchema, {
						rules: [{ ...rule, outputs: [output] }],
						interfaces:
							k === 0 ? [{ host: "h", interface: "r0", capturedFrames: 12n, kernelDroppedFrames: 1n }] : [],
						nextPageToken: k < 2 ? String(k + 1) : "",
					});
				},
			}),
		],
	});
	const whole = await read(await lab.request("/v1/stats"), schemas.getStatsResponse);
	expect(whole.rules.map((rule) => rule.name)).toEqual(pages);
	expect(whole.interfaces).toHaveLength(1);
	const page = await read(await lab.request("/v1/stats?pageSize=1&pageToken=1"), schemas.getStatsResponse);
	expect([page.rules[0]?.name, page.nextPageToken]).toEqual(["b", "2"]);
	const metrics = await lab.request("/metrics");
	expect(metrics.headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
	const lines = (await metrics.text()).split("\n");
	expect(lines).toContain('sluice_rule_received_packets_total{rule="a"} 12');
	expect(lines).toContain('sluice_rule_dropped_packets_total{rule="b",reason="NO_OUTPUT"} 2');
	expect(lines).toContain(
		'sluice_output_sent_packets_total{rule="c",interface="r1",address="239.10.1.1",port="6001"} 10',
	);
	for (const [name, reason, value] of [
		["failed_packets", "", 5],
		["failed_by_reason_packets", ',reason="QUEUE_FULL"', 3],
		["failed_by_reason_packets", ',reason="UNUSABLE"', 2],
		["unreachable_answers", "", 4],
	]) {
		const labels = `rule="c",interface="r1",address="239.10.1.1",port="6001"${reason}`;
		expect(lines).toContain(`sluice_output_${name}_total{${labels}} ${value}`);
	}
	expect(lines).toContain('sluice_interface_kernel_dropped_frames_total{host="h",interface="r0"} 1');
	expect(lines).toContain("sluice_stats_available 1");
	// Scraped again, absolute values stay what they are.
	expect((await (await lab.request("/metrics")).text()).split("\n")).toContain(
		'sluice_rule_received_packets_total{rule="a"} 12',
	);
	await aggregator.stop();
});

test("hosts and workers are listed; those of a host that was stopped, or is gone, are not", async () => {
	const worker = { host: "relay-a", worker: 0, core: 1, pid: 42, state: 1, restarts: 2 };
	await lab.cluster.writeHost({ host: "relay-a", interfaces: [{ name: "r0", up: true }], workers: [worker] });
	await until(() => lab.api.hosts.snapshot.entries.has("relay-a"));
	const { hosts } = await read(await lab.request("/v1/hosts"), schemas.listHostsResponse);
	expect([hosts[0]?.host, hosts[0]?.interfaces[0]?.name]).toEqual(["relay-a", "r0"]);
	expect(hosts[0]?.lastSeenSeconds).toBeLessThan(2);
	const { workers } = await read(await lab.request("/v1/workers"), schemas.listWorkersResponse);
	expect([workers[0]?.pid, workers[0]?.state, workers[0]?.restarts]).toEqual([42, "RUNNING", 2]);
	const listed = async () =>
		(await read(await lab.request("/v1/workers"), schemas.listWorkersResponse)).workers;
	await lab.cluster.writeHost({ host: "relay-a", stopped: true, workers: [worker] });
	await until(() => lab.api.hosts.snapshot.entries.get("relay-a")?.value.stopped === true);
	expect(await listed()).toEqual([]);
	await lab.cluster.writeHost({ host: "relay-a", workers: [worker] });
	await until(async () => (await listed()).length === 1);
	await until(async () => (await listed()).length === 0);
	expect((await read(await lab.request("/v1/hosts"), schemas.listHostsResponse)).hosts).toHaveLength(1);
}, 60_000);

test("a worker is restarted by its host's supervisor, whose refusal is passed on", async () => {
	const restart = (host: string, worker: string, token = TOKEN) =>
		lab.request(`/v1/hosts/${host}/workers/${worker}/restart`, { method: "POST", token });
	await lab.cluster.writeHost({ host: "relay-b" });
	await until(() => lab.api.hosts.snapshot.entries.has("relay-b"));
	await expectError(await restart("relay-b", "0"), 504, /^host relay-b did not answer: /);
	const nc = await lab.cluster.server.connect();
	const supervisor = await serve(nc, {
		name: "supervisor",
		version: "1.0.0",
		endpoints: [
			endpoint({
				name: "restart",
				subject: hostRestartSubject("relay-b"),
				request: RestartWorkerRequestSchema,
				response: RestartWorkerResponseSchema,
				handle: ({ host, worker }) => {
					if (worker > 1) throw new SluiceError("conflict", "worker 0 of relay-b is BACKOFF: try again");
					const successor = { host, worker, pid: 43, state: Worker_State.RUNNING };
					return create(RestartWorkerResponseSchema, { worker: successor, formerPid: 42, tookMs: 7 });
				},
			}),
		],
	});
	const { worker, formerPid } = await read(await restart("relay-b", "1"), schemas.restartWorkerResponse);
	expect([worker.worker, worker.pid, worker.state, formerPid]).toEqual([1, 43, "RUNNING", 42]);
	await expectError(await restart("relay-b", "2"), 409, /^worker 0 of relay-b is BACKOFF: try again$/);
	await expectError(await restart("relay-b", "x"), 400, /^worker: "x" is not the number of a worker$/);
	await expectError(await restart("relay-z", "0"), 404, /^there is no host "relay-z": see sluice host list$/);
	await expectError(await restart("*", "0"), 404, /^there is no host/);
	await expectError(await restart("relay-b", "1", ""), 401, /token/);
	await supervisor.stop();
	await nc.close();
});
