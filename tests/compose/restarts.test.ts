// compose.yaml as it is, on a real engine: what dies and is started anew there.

import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { until } from "../netns/lab/commands.ts";
import { Deployment } from "./lab/deployment.ts";
import type { Engine } from "./lab/engine.ts";
import type { RelayHosts } from "./lab/hosts.ts";
import { supervisorOf } from "./lab/processes.ts";
import { describeOnEngine, withRelayHost } from "./lab/relay-host.ts";

let lab: RelayHosts;
let engine: Engine;
let host: Deployment;

describeOnEngine("what is started anew", () => {
	withRelayHost(async (relayHost) => {
		({ lab, engine, host } = relayHost);
		await relayHost.up();
	});

	test.each(["nats", "control-api", "stats-aggregator", "credentials"])(
		"a restart of %s costs no datagram",
		async (service) => {
			await lab.flowThrough(host, async () => {
				await host.compose("restart", service);
				await host.healthy();
			});
			await host.active("video");
		},
	);

	test("after a restart of the relay the rule flows without being asked", async () => {
		await host.compose("restart", "relay");
		await lab.flowsAgain();
		await host.healthy();
		await host.active("video");
		await lab.flows();
	});

	test("a relay container whose keeper is killed comes back", async () => {
		const before = await host.pidOf("relay");
		process.kill(before, "SIGKILL");
		await lab.flowsAgain();
		expect(await host.pidOf("relay")).not.toBe(before);
		await host.healthy();
		await host.active("video");
		await lab.flows();
	});

	test.each(["SIGTERM", "SIGKILL"] as const)(
		"after %s to the engine the rules are back and flow",
		async (signal) => {
			await engine.stop(signal);
			await engine.start(lab.a);
			await lab.flowsAgain();
			await host.healthy();
			await host.active("video");
			await lab.flows();
		},
	);

	test("a supervisor that is killed costs no datagram", async () => {
		const keeper = await host.pidOf("relay");
		const kept = () => readdirSync(`/proc/${keeper}/fd`).length;
		const before = kept();
		await lab.flowThrough(host, async () => {
			for (let times = 0; times < 3; times += 1) {
				const pid = await until("a supervisor runs", () => supervisorOf(keeper));
				process.kill(pid, "SIGKILL");
				const hasTakenOver = async () => {
					const lines = (await host.compose("logs", "--no-log-prefix", "relay")).split("\n");
					const taken = lines.filter((line) => line.includes('"msg":"worker is taken over"')).length;
					return taken >= 2 * (times + 1) || undefined;
				};
				await until("its successor has taken over", hasTakenOver);
			}
		});
		// Each death adds what is let go when the successor has settled.
		await until("its keeper holds as much as before", () => kept() === before || undefined);
	});

	test("a relay that ran out of memory comes back when there is some", async () => {
		const short = new Deployment(engine, { ...host.settings, SLUICE_RELAY_MEMORY: "32m" });
		await short.compose("up", "--detach", "--no-build", "--no-deps", "relay");
		const id = await host.idOf("relay");
		const isShort = async () => {
			const state = await engine.docker("inspect", "--format", "{{.State.OOMKilled}} {{.RestartCount}}", id);
			return state.startsWith("true") || Number(state.split(" ")[1]) > 0 || undefined;
		};
		await until("the kernel ends something of it", isShort);
		await engine.docker("update", "--memory", "4g", "--memory-swap", "4g", id);
		await lab.flowsAgain();
		await host.compose("up", "--detach", "--no-build", "relay");
		await host.healthy();
		await host.active("video");
	});
});
