import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { ServiceInfo, ServiceStats } from "@nats-io/services";
import { standStill } from "@sluice/lib/testing/signals";
import { argvOf, childrenOf, processesIn } from "../e2e/up-processes.ts";
import { until } from "./lab/commands.ts";
import { NATS, natsTools } from "./lab/nats-tools.ts";
import { relayOnChain } from "./lab/relay-on-chain.ts";

const ROOT = resolve(import.meta.dir, "../..");
const EXAMPLE = join(ROOT, "docs/examples/place-rule.sh");
const RULE = ["--in", "r0:239.1.1.1:5001", "--out", "r1:239.10.1.1:6001"];

const scratch = mkdtempSync(join(tmpdir(), "sluice-nats-tool-"));
const { lab, relay } = await relayOnChain(["--workers", "1"]);
/** Credentials of a program that places rules. */
const robot = (await relay.issue("orchestrator", "robot")).file;
const seed = join(scratch, "robot.nk");
await Bun.write(seed, JSON.parse(readFileSync(robot, "utf8")).seed);

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const jq = Bun.which("jq");
if (jq === null) console.log("skipped: the shell example needs jq, which is not installed here");
async function revisionAfterNext(): Promise<number> {
	await relay.sluice("rule", "add", "last", ...RULE);
	const [rule] = await relay.rules();
	await relay.sluice("rule", "remove", "last");
	return Number(rule?.revision) + 2;
}

async function nobodyWatches(): Promise<void> {
	await until("the example's watcher has ended", async () => {
		const commands = (await processesIn(lab.relay)).map(argvOf);
		return commands.every((argv) => !argv.includes("sub")) || undefined;
	});
}

const WITHDRAWN = '{"name":"video","host":"relay-a","state":"ACTIVE","withdrawn":false}';

for (const { tool, path } of natsTools(scratch)) {
	const run = (...argv: string[]) => lab.relay.run(["env", `PATH=${path}`, ...argv]);
	const example = (output = "r1") => run(EXAMPLE, robot, "r0", output);

	describe.skipIf(path === null || jq === null)(`the shell example, with ${tool},`, () => {
		test("does what it says", async () => {
			const revision = await revisionAfterNext();
			const { code, stdout, stderr } = await example();
			expect({ code, stderr }).toEqual({
				code: 0,
				stderr: expect.stringMatching(/^sluice\.v1\.rule\.put refused: 409 .*video.*\n$/),
			});
			for (const line of [
				`put: revision ${revision}`,
				"relay-a: ACTIVE",
				"video: 0 received, 0 forwarded",
				`removed: revision ${revision + 1}`,
				'{"name":"video","change":"ADDED"}',
				WITHDRAWN,
				'{"name":"video","change":"REMOVED"}',
			])
				expect(stdout.split("\n")).toContain(line);
			await nobodyWatches();
		});

		test("leaves no rule behind when it fails, and nobody else's rule changed", async () => {
			expect(await example("r9")).toMatchObject({
				code: 1,
				stdout: expect.stringContaining("PENDING, no output interface r9 here"),
			});
			expect(await relay.rules()).toEqual([]);
			await relay.sluice("rule", "add", "video", ...RULE);
			expect(await example("r9")).toMatchObject({
				code: 1,
				stderr: expect.stringMatching(/put refused: 409 rule video exists/),
			});
			expect((await relay.rules()).map((rule) => rule.name)).toEqual(["video"]);
			await relay.sluice("rule", "remove", "video");
			await nobodyWatches();
		});

		test("says what came of a request that nobody answers", async () => {
			const api = childrenOf(relay.pid).get("control-api") ?? 0;
			await standStill(api);
			const { code, stderr } = await example();
			process.kill(api, "SIGCONT");
			expect([code, stderr]).toEqual([1, "sluice.v1.rule.put not answered: nothing came in time\n"]);
			// What was asked for is done all the same.
			await until("the rule is there", async () => ((await relay.rules()).length === 1 ? true : undefined));
			await relay.sluice("rule", "remove", "video");
		});
	});

	test.skipIf(path === null)(`README's requests are answered, with ${tool}`, async () => {
		const readme = readFileSync(join(ROOT, "README.md"), "utf8");
		const block = /^```sh\n(K=.*?)^```$/ms.exec(readme)?.[1] ?? "";
		const { stdout, stderr } = await run(
			...["sh", "-euc", block.replaceAll("/var/lib/sluice", relay.dataDir)],
		);
		expect(stderr).not.toContain("Nats-Service-Error");
		const [listed, put, removed] = stdout.split("\n").filter(Boolean);
		expect(JSON.parse(listed ?? "").rules).toEqual([]);
		expect(JSON.parse(put ?? "").rule).toMatchObject({ name: "video" });
		expect(Number(JSON.parse(removed ?? "").revision)).toBeGreaterThan(0);
		expect(await relay.rules()).toEqual([]);
	});
}

describe.skipIf(NATS === null)("the nats tool's micro", () => {
	const micro = (...words: string[]) =>
		lab.relay.must([NATS ?? "", "--no-context", "--nkey", seed, "micro", ...words]);
	const services = ["sluice-control-api", "sluice-stats-aggregator"];

	test("ls and ping show each service", async () => {
		const [table, listed, answers] = [await micro("ls"), await micro("ls", "--json"), await micro("ping")];
		const infos = JSON.parse(listed) as ServiceInfo[];
		expect(infos.map(({ name }) => name).sort()).toEqual(services);
		for (const { name, id, description } of infos) {
			expect(table).toMatch(new RegExp(`${name} .* ${id} .* ${description} `));
			expect(answers).toMatch(new RegExp(`^${name} ${id} +rtt=`, "m"));
		}
	});

	test.each(services)("info shows the endpoints of %s, with what each takes and answers", async (service) => {
		const text = await micro("info", service);
		const [info] = (JSON.parse(await micro("ls", "--json")) as ServiceInfo[]).filter(
			({ name }) => name === service,
		);
		expect(info?.endpoints.length).toBeGreaterThan(0);
		for (const { name, subject, queue_group = "", metadata = {} } of info?.endpoints ?? []) {
			const shown = new RegExp(`Name: ${name}\n +Subject: (.+)\n +Queue Group: (.+)\n`).exec(text);
			expect(shown?.slice(1)).toEqual([subject, queue_group]);
			expect(Object.keys(metadata)).toEqual(["encodings", "request", "request_limit_bytes", "response"]);
			for (const [key, value] of Object.entries(metadata)) expect(text).toContain(` ${key}: ${value}\n`);
		}
	});

	test("request reaches an endpoint, and stats counts it", async () => {
		const counted = async () => {
			const [stats] = JSON.parse(await micro("stats", "sluice-control-api", "--json")) as ServiceStats[];
			return stats?.endpoints?.find(({ name }) => name === "rule-list")?.num_requests ?? Number.NaN;
		};
		const before = await counted();
		const answer = await micro("request", "sluice-control-api", "rule-list", "{}");
		expect(JSON.parse(answer).rules).toEqual([]);
		expect(await counted()).toBe(before + 1);
	});
});
