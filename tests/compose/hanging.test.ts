// compose.yaml as it is, on a real engine: what hangs is seen, and what is printed without end has its limit.

import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { until } from "../netns/lab/commands.ts";
import { Deployment } from "./lab/deployment.ts";
import type { Engine } from "./lab/engine.ts";
import type { RelayHosts } from "./lab/hosts.ts";
import { supervisorOf } from "./lab/processes.ts";
import { describeOnEngine, withRelayHost } from "./lab/relay-host.ts";

let lab: RelayHosts;
let engine: Engine;
let host: Deployment;
let folder: string;

/** How many datagrams `video` sent on, as the statistics say. */
async function forwarded(): Promise<number> {
	const { rules } = JSON.parse(await host.sluice("control-api", "--json", "stats", "video"));
	return Number(rules[0].forwardedPackets);
}

async function becomeUnhealthy(...services: string[]): Promise<void> {
	// Three checks, ten seconds apart.
	await until(
		`${services} are unhealthy`,
		async () => {
			const states = (await host.containers()).filter(({ Service }) => services.includes(Service));
			return states.every(({ Health }) => Health === "unhealthy") || undefined;
		},
		180_000,
		500,
	);
}

describeOnEngine("with compose", () => {
	withRelayHost(async (relayHost) => {
		({ lab, engine, host, folder } = relayHost);
		await relayHost.up();
	});

	test("what hangs is unhealthy until it goes on, and costs no datagram", async () => {
		const hanging = ["nats", "control-api", "stats-aggregator", "credentials"];
		const others = await Promise.all(hanging.map((service) => host.pidOf(service)));
		const keeper = await host.pidOf("relay");
		const relays = supervisorOf(keeper);
		if (relays === undefined) throw new Error("no supervisor runs");
		const stopped = [relays];
		await lab.flowThrough(host, async () => {
			try {
				process.kill(relays, "SIGSTOP");
				// Of the relay's hanging others tell, and count what flows on.
				const isUnseen = async () => {
					const listed = await host.sluice("control-api", "rule", "list");
					return / PENDING on relay-a: host not seen for \d+ s /.test(listed) || undefined;
				};
				await until("its host is not seen", isUnseen);
				const before = await forwarded();
				const goOn = async () => (await forwarded()) > before + 1_000 || undefined;
				await until("the statistics go on", goOn);
				const add = ["rule", "add", "later", "--in", "r0:239.1.1.2:5001", "--out", "r1:239.10.1.2:6001"];
				const late = await host.try("exec", "-T", "control-api", "sluice", "--timeout", "3", ...add);
				expect(late.code).toBe(1);
				expect(late.stdout).toMatch(/^rule later: PENDING on relay-a: host not seen for \d+ s\n$/);
				stopped.push(...others);
				for (const pid of others) process.kill(pid, "SIGSTOP");
				await becomeUnhealthy("relay", ...hanging);
			} finally {
				for (const pid of stopped) process.kill(pid, "SIGCONT");
			}
			await host.healthy();
		});
		await host.active("video");
		await host.active("later");
		// Nobody was started anew for it.
		expect([await host.pidOf("relay"), supervisorOf(keeper)]).toEqual([keeper, relays]);
		expect(await Promise.all(hanging.map((service) => host.pidOf(service)))).toEqual(others);
	}, 400_000);

	test("a log ends at its limit, and its newest lines are shown", async () => {
		// A service of the file, in a project of its own; what it prints is what no packing makes smaller.
		const LINES = 75_000;
		const print = `head -c ${LINES * 600} /dev/urandom | base64 --wrap 800 | nl --body-numbering a`;
		const service = {
			...{ entrypoint: ["sh", "-c"], command: [print], restart: "no" },
			...{ healthcheck: { disable: true }, depends_on: {} },
		};
		const file = `${folder}/chatter.yaml`;
		writeFileSync(file, JSON.stringify({ services: { "stats-aggregator": service } }));
		const settings = { ...host.settings, COMPOSE_PROJECT_NAME: "chatter" };
		const chatter = new Deployment(engine, settings, "compose.yaml", file);
		await chatter.compose("up", "--detach", "--no-build", "--no-deps", "stats-aggregator");
		const id = await chatter.idOf("stats-aggregator");
		expect(await engine.docker("wait", id)).toBe("0\n");
		// 61 MB were printed. What was filled is packed beside, and then takes its place.
		const sizes = await until("nothing is packed any more", () => {
			const files = engine.logFiles(id);
			return files.length <= 5 ? files : undefined;
		});
		expect(sizes).toHaveLength(5);
		expect(Math.max(...sizes)).toBeLessThanOrEqual(10e6);
		const shown = await chatter.compose("logs", "--no-log-prefix", "--tail", "1000");
		const numbers = Array.from(shown.matchAll(/(\d+)\t/g), ([, number]) => Number(number));
		expect(numbers).toEqual(Array.from({ length: 1_000 }, (_, index) => LINES - 999 + index));
		await chatter.compose("down", "--volumes");
	});
});
