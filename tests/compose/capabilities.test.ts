// Each capability that compose.yaml gives the relay is taken from its container: what docs/security.md says comes of it.

import { expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { getPriority } from "node:os";
import { SUPERVISOR_CAPABILITIES } from "../../services/cli/up/launch.ts";
import { until } from "../netns/lab/commands.ts";
import { Deployment } from "./lab/deployment.ts";
import type { Engine } from "./lab/engine.ts";
import type { RelayHosts } from "./lab/hosts.ts";
import { allowRealtime, commandOf, processIds, rightsOf } from "./lab/processes.ts";
import { describeOnEngine, withRelayHost } from "./lab/relay-host.ts";

type Capability = (typeof SUPERVISOR_CAPABILITIES)[number];

const ACTIVE = { state: "ACTIVE", reason: "" };
const NO_WORKER = { state: "PENDING", reason: "no worker is running" };
const NEEDED = "the supervisor needs CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF";
const NO_REALTIME = "packet threads are as without --priority realtime";
const RUNNING = '"msg":"worker is running"';
const SCHED_OTHER = "0";
const SCHED_RR = "2";

let lab: RelayHosts;
let engine: Engine;
let host: Deployment;
let folder: string;

/** The relay's container anew, with all but these. */
async function without(...taken: Capability[]): Promise<void> {
	const left = SUPERVISOR_CAPABILITIES.filter((name) => !taken.includes(name));
	const file = `${folder}/without.yaml`;
	writeFileSync(file, `services:\n  relay:\n    cap_add: !override [${left.join(", ").toUpperCase()}]\n`);
	const before = await host.idOf("relay");
	const changed = new Deployment(engine, host.settings, "compose.yaml", file);
	await changed.compose("up", "--detach", "--no-build", "--no-deps", "relay");
	const id = await host.idOf("relay");
	expect(id).not.toBe(before);
	const added = await engine.docker("inspect", "--format", "{{json .HostConfig.CapAdd}}", id);
	expect(JSON.parse(added)).toHaveLength(left.length);
}

interface Told {
	state: string;
	reason: string;
}

/** By rule, what control-api says of this host. */
async function states(): Promise<Record<string, Told>> {
	const text = await lab.a.must(["curl", "-s", "http://127.0.0.1:7080/v1/rules"]);
	const { rules } = JSON.parse(text) as {
		rules: { name: string; hosts: Partial<Told>[] }[];
	};
	return Object.fromEntries(
		rules.map(({ name, hosts: [told] }) => [name, { state: told?.state ?? "", reason: told?.reason ?? "" }]),
	);
}

/** Waits until the relay of this container, not an earlier one, has brought its rules there. */
async function become(expected: Record<string, Told>): Promise<void> {
	let last: Record<string, Told> = {};
	await until(
		"the rules are as expected",
		async () => {
			last = await states();
			return Bun.deepEquals(last, expected) || undefined;
		},
		undefined,
		100,
	).catch(() => expect(last).toEqual(expected));
}

const logged = (text: string) =>
	until(`the relay says: ${text}`, async () => (await log()).includes(text) || undefined, undefined, 100);

/** Of this container alone. */
const log = () => host.compose("logs", "--no-log-prefix", "relay");

/** Not what is still to become one: nice, then setpriv. */
async function workers(): Promise<number[]> {
	const all = processIds(await host.pidOf("relay"));
	return all.filter((pid) => /^[^\0]*\/bun\0.*worker\.js/.test(commandOf(pid)));
}

/** Empty for a thread that ended after it was listed. */
function nameOf(thread: string): string {
	try {
		return readFileSync(`${thread}/comm`, "utf8");
	} catch {
		return "";
	}
}

/** proc(5): the field 41 of a thread's stat. Undefined: there is no such thread yet. */
function packetPolicy(pid: number): string | undefined {
	const task = `/proc/${pid}/task`;
	const packets = readdirSync(task).find((thread) => nameOf(`${task}/${thread}`) === "sluice-packets\n");
	if (packets === undefined) return undefined;
	return readFileSync(`${task}/${packets}/stat`, "utf8").split(") ")[1]?.split(" ")[38];
}

const all = (state: Told) => ({ "low-port": state, "low-unicast": state, video: state });

describeOnEngine("the relay's capabilities", () => {
	withRelayHost(
		async (relayHost) => {
			({ lab, engine, host, folder } = relayHost);
			await relayHost.up();
			for (const [name, from, to] of [
				["low-port", "r0:239.1.1.2:501", "r1:239.10.1.2:601"],
				["low-unicast", "r0:10.1.0.1:501", "r1:239.10.1.3:6001"],
			] as const)
				await host.sluice(
					...["control-api", "--timeout", "60", "rule", "add", name],
					"--in",
					from,
					"--out",
					to,
				);
		},
		{ SLUICE_PRIORITY: "realtime" },
	);

	test("with all of them nothing of what follows is so", async () => {
		await become(all(ACTIVE));
		await lab.flows();
		const [victim = 0, ...others] = await workers();
		for (const pid of [victim, ...others]) {
			expect(getPriority(pid)).toBe(-10);
			expect(rightsOf(pid).bounding).toBe("0000000000000000");
		}
		allowRealtime(victim);
		process.kill(victim, "SIGSTOP");
		const successor = await until("it is ended, and another one started", async () =>
			(await workers()).find((pid) => pid !== victim && !others.includes(pid)),
		);
		expect(await workers()).not.toContain(victim);
		const comesFirst = () => packetPolicy(successor) === SCHED_RR || undefined;
		await until("its packets come first", comesFirst);
	});

	test.each([
		["bpf", "load capture filter"],
		["net_admin", "open capture sockets"],
		["net_raw", "open capture sockets"],
	] as const)("without %s all rules FAIL: capture is refused", async (capability, what) => {
		await without(capability);
		await logged('"rule":"video","state":"FAILED"');
		const refused = `capture on r0: ${what}: Operation not permitted (EPERM): ${NEEDED}`;
		await become(all({ state: "FAILED", reason: refused }));
		expect(NEEDED).toContain(`CAP_${capability.toUpperCase()}`);
	});

	test("without net_bind_service outputs from a port below 1024 FAIL, and unicast inputs there; others flow", async () => {
		await without("net_bind_service");
		await logged('"rule":"video","state":"ACTIVE"');
		const refused = (what: string) => ({
			state: "FAILED",
			reason: expect.stringMatching(
				new RegExp(`^${what}: .*\\(EACCES\\): the supervisor needs CAP_NET_BIND_SERVICE$`),
			),
		});
		const now = await until("low ports fail, and others do not", async () => {
			const told = await states();
			const wanted = { "low-port": "FAILED", "low-unicast": "FAILED", video: "ACTIVE" };
			return Object.entries(wanted).every(([name, state]) => told[name]?.state === state) ? told : undefined;
		});
		expect(now).toEqual({
			"low-port": refused("output r1: source port 601"),
			"low-unicast": refused("input port 501"),
			video: ACTIVE,
		});
		await lab.flows();
	});

	test.each([
		["setgid", "setresgid"],
		["setuid", "setresuid"],
	] as const)("without %s no worker starts", async (capability, call) => {
		await without(capability);
		await logged(`setpriv: ${call} failed: Operation not permitted`);
		await become(all(NO_WORKER));
		expect(await workers()).toEqual([]);
		expect(await log()).not.toContain(RUNNING);
	});

	test("without setpcap workers keep the supervisor's bounding set", async () => {
		await without("setpcap");
		await logged('"ready":true');
		await become(all(ACTIVE));
		const supervisors = rightsOf(await host.pidOf("relay")).bounding;
		expect(supervisors).toBe("00000080008034e0");
		const pids = await workers();
		expect(pids.map((pid) => rightsOf(pid))).toEqual(
			pids.map(() => ({ uid: "65524", bounding: supervisors, newPrivileges: "no" })),
		);
		expect(pids).toHaveLength(2);
	});

	test("without sys_nice workers come before nobody, and realtime is said not to be so", async () => {
		await without("sys_nice");
		await logged(
			`${NO_REALTIME} (make a thread real-time: Operation not permitted (EPERM)): give the supervisor CAP_SYS_NICE`,
		);
		await logged('"ready":true');
		const before = await workers();
		// As above, so that nothing but the right is missing.
		allowRealtime(before[0] ?? 0);
		process.kill(before[0] ?? 0, "SIGKILL");
		await until("its successor runs", async () => (await log()).split(RUNNING).length > 3 || undefined);
		const pids = await workers();
		expect(pids).not.toEqual(before);
		expect(pids.map((pid) => [getPriority(pid), packetPolicy(pid)])).toEqual([
			[0, SCHED_OTHER],
			[0, SCHED_OTHER],
		]);
		await become(all(ACTIVE));
		await lab.flows();
	});

	test("without kill a worker that hangs stays, and the supervisor ends each time it tries", async () => {
		await without("kill");
		await logged('"ready":true');
		await become(all(ACTIVE));
		const before = await workers();
		const [victim = 0] = before;
		process.kill(victim, "SIGSTOP");
		try {
			await logged("send SIGKILL: Operation not permitted (EPERM)");
			await until(
				"its successor tries too",
				async () => (await log()).split("send SIGKILL: ").length > 2 || undefined,
			);
			await until("the host is not seen", async () => {
				const told = Object.values(await states());
				return told.some(({ reason }) => /^host not seen for \d+ s$/.test(reason)) || undefined;
			});
			expect(await workers()).toEqual(before);
		} finally {
			process.kill(victim, "SIGCONT");
		}
		await become(all(ACTIVE));
		expect(await workers()).toEqual(before);
		await lab.flows();
	});
});
