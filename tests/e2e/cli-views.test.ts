import { describe, expect, test } from "bun:test";
import { until } from "@sluice/lib/testing/until";
import { CliLab, rulesFile } from "./cli-lab.ts";

const lab = await CliLab.ofFile();

const interfaces = [
	{ name: "r0", up: true },
	{ name: "r1", up: true },
];
const video = ["--in", "r0:239.1.1.1:5001", "--out", "r1:239.10.1.1:6001"];
const nobody = ["--host", "nobody"];

describe("views", () => {
	test("hosts and workers are listed as tables and as JSON", async () => {
		const workers = [
			{ host: "relay-e", worker: 0, core: 0, pid: 4242, state: 1, restarts: 2, lastExit: "signal SIGKILL" },
		];
		const stop = await lab.playHost({ host: "relay-e", interfaces, workers, labels: { site: "north" } });
		try {
			// Hosts of other tests have gone: stderr says so, and is not looked at.
			expect((await lab.run(["host", "list"])).stdout).toMatch(/^relay-e {2}r0, r1 +site=north .*s ago/m);
			const listed = JSON.parse((await lab.run(["host", "list", "--json"])).stdout);
			const host = listed.hosts.find((each: { host: string }) => each.host === "relay-e");
			expect(host.interfaces).toHaveLength(2);
			expect((await lab.run(["worker", "list"])).stdout).toMatch(
				/^relay-e +0 +0 +4242 {2}RUNNING +2 {2}signal SIGKILL$/m,
			);
			const list = JSON.parse((await lab.run(["worker", "list", "--json"])).stdout);
			expect(list.workers.find((worker: { host: string }) => worker.host === "relay-e")).toMatchObject({
				worker: 0,
				pid: 4242,
				state: "RUNNING",
				restarts: 2,
			});
		} finally {
			stop();
		}
	});

	test("a host that has gone silent is named instead of its workers", async () => {
		const workers = [{ host: "relay-s", worker: 0, core: 0, pid: 4242, state: 1 }];
		const stop = await lab.playHost({ host: "relay-s", interfaces, workers });
		stop();
		const isSilent = (stderr: string) =>
			/^sluice: host relay-s not seen for \d+ s: .*sluice up.*$/m.test(stderr);
		await until(async () => isSilent((await lab.run(["worker", "list"])).stderr));
		const outcome = await lab.run(["worker", "list"]);
		expect(outcome.exitCode).toBe(0);
		expect(outcome.stdout).not.toContain("no worker is known yet");
		expect(isSilent((await lab.run(["host", "list"])).stderr)).toBe(true);
		expect(isSilent((await lab.run(["worker", "list", "--json"])).stderr)).toBe(true);
	});

	test("levels are set and shown", async () => {
		await lab.must(["log", "level", "debug", "--service", "worker", "--facility", "capture"]);
		expect(await lab.must(["log", "level"])).toMatch(/^worker +capture +debug$/m);
		expect(await lab.json<unknown>(["log", "level"])).toMatchObject({
			settings: [{ service: "worker", facility: "capture", level: "DEBUG" }],
		});
	});

	test("statistics without an aggregator are exit code 3; the list of rules does without", async () => {
		await lab.must(["rule", "add", "video", ...video, ...nobody]);
		const outcome = await lab.run(["stats"]);
		expect(outcome).toMatchObject({ exitCode: 3, stdout: "" });
		expect(outcome.stderr).toBe(
			"sluice: nobody answers sluice.v1.stats.get: the service is not running: " +
				"sluice up starts it again, so try in a few seconds, or look at its log\n",
		);
		expect(await lab.must(["rule", "list"])).toMatch(/–\s+–\n$/);
	});

	test("statistics have every rule, zeros included", async () => {
		await lab.must(["rule", "add", "video", ...video, ...nobody]);
		await lab.startService("stats-aggregator");
		try {
			expect(await lab.must(["stats", "video"])).toMatch(/^video +0 +0 +0 +0 +0 b\/s +never$/m);
			const { rules } = await lab.json<{ rules: unknown[] }>(["stats"]);
			expect(rules).toMatchObject([
				{ name: "video", receivedPackets: "0", outputs: [{ address: "239.10.1.1" }] },
			]);
		} finally {
			await lab.stopService("stats-aggregator");
		}
	});

	test("--watch goes on each second until interrupted, one object a line with --json", async () => {
		await lab.must(["rule", "add", "video", ...video, ...nobody]);
		await lab.startService("stats-aggregator");
		try {
			const child = lab.spawn(["stats", "video", "--watch", "--json"]);
			let text = "";
			for await (const bytes of child.stdout) {
				text += new TextDecoder().decode(bytes);
				if (text.split("\n").length > 2) break;
			}
			child.kill("SIGINT");
			expect(await child.exited).toBe(0);
			// Of those that came by then the first two; who reads late gets more at once.
			const lines = text.split("\n").slice(0, 2);
			for (const line of lines) expect(JSON.parse(line)).toMatchObject({ rules: [{ name: "video" }] });
		} finally {
			await lab.stopService("stats-aggregator");
		}
	});

	test("--watch on a terminal shows what fits, and in an outage no figures but the reason", async () => {
		await lab.must(["apply", "-f", "-"], rulesFile(40));
		await lab.startService("stats-aggregator");
		let screen = "";
		const child = lab.watchOnTerminal({ cols: 60, rows: 12 }, (text) => {
			screen = (screen + text).slice(-20_000);
		});
		/** The last whole picture. */
		const picture = () => screen.split("\x1b[H\x1b[J").at(-2) ?? "";
		try {
			await until(() => picture().includes("rule-00000"));
			const lines = Bun.stripANSI(picture()).trimEnd().split("\r\n");
			expect(lines).toHaveLength(11);
			expect(lines[0]).toStartWith("RULE");
			expect(lines[10]).toMatch(/^… \d+ more lines: make the terminal taller, or name a ru/);
			for (const line of lines) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(60);
			await lab.stopService("stats-aggregator");
			await until(() => picture().includes("no figures for "));
			expect(picture()).not.toContain("rule-00000");
		} finally {
			child.kill("SIGINT");
			expect(await child.exited).toBe(0);
			await lab.stopService("stats-aggregator");
		}
	});
});
