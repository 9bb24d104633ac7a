import { afterEach, beforeEach, expect, test } from "bun:test";
import { join } from "node:path";
import { nkeys } from "@nats-io/transport-node";
import { startNatsServer, type TestNatsServer } from "@sluice/lib/testing/nats-server";
import { handlesSignal } from "@sluice/lib/testing/signals";
import { until } from "@sluice/lib/testing/until";
import { Waiters } from "@sluice/lib/waiters";
import { requests } from "@sluice/proto/subjects";

interface LogLine {
	readonly level: string;
	readonly service: string;
	readonly facility: string;
	readonly msg: string;
	readonly ready?: boolean;
	readonly http?: string;
	readonly subject?: string;
}

const LINE_LIMIT_MS = 30_000;
const SIGTERM = 15;

let server: TestNatsServer;
beforeEach(async () => {
	server = await startNatsServer();
});
afterEach(async () => {
	await server.stop();
});

function configuration(more: object = {}) {
	return {
		service: "control-api",
		hostId: "relay-a",
		incarnation: String(Date.now()),
		natsUrl: server.url,
		credentials: { kind: "nkey", seed: new TextDecoder().decode(nkeys.createUser().getSeed()) },
		logLevel: "info",
		httpPort: 0,
		httpToken: "a-token-of-the-tests",
		...more,
	};
}

/** The real process, told its configuration on standard input. */
class Service {
	readonly #process: Bun.Subprocess<"pipe", "ignore", "pipe">;
	readonly lines: LogLine[] = [];
	readonly #reading: Promise<void>;
	readonly #news = new Waiters();
	#isOver = false;

	constructor(firstLine: string) {
		this.#process = Bun.spawn([process.execPath, join(import.meta.dir, "main.ts")], {
			stdin: "pipe",
			stdout: "ignore",
			stderr: "pipe",
		});
		this.#process.stdin.write(`${firstLine}\n`);
		this.#process.stdin.flush();
		this.#reading = this.#read();
	}

	async #read(): Promise<void> {
		let text = "";
		const decoder = new TextDecoder();
		for await (const chunk of this.#process.stderr) {
			text += decoder.decode(chunk, { stream: true });
			const parts = text.split("\n");
			text = parts.pop() ?? "";
			for (const part of parts) this.lines.push(JSON.parse(part) as LogLine);
			this.#news.wake();
		}
		this.#isOver = true;
		this.#news.wake();
	}

	async line(wanted: (line: LogLine) => boolean): Promise<LogLine> {
		const find = () => this.lines.find(wanted);
		await this.#news.until(() => this.#isOver || find() !== undefined, performance.now() + LINE_LIMIT_MS);
		const found = find();
		if (found === undefined) throw new Error(JSON.stringify(this.lines));
		return found;
	}

	async exit(): Promise<number> {
		const code = await this.#process.exited;
		await this.#reading;
		return code;
	}

	closeInput(): void {
		this.#process.stdin.end();
	}

	get handlesTerminate(): boolean {
		return handlesSignal(this.#process.pid, SIGTERM);
	}

	terminate(): void {
		this.#process.kill("SIGTERM");
	}
}

const isReady = (line: LogLine) => line.ready === true;

test("started with its configuration on standard input it says ready, serves, and ends on SIGTERM with 0", async () => {
	const service = new Service(JSON.stringify(configuration()));
	const ready = await service.line(isReady);
	expect(ready).toMatchObject({ level: "info", service: "control-api", facility: "main", msg: "ready" });
	const answer = await fetch(`${ready.http}/readyz`);
	expect([answer.status, await answer.text()]).toEqual([200, "ok\n"]);
	service.terminate();
	expect(await service.exit()).toBe(0);
}, 60_000);

test("an open event stream does not keep it from ending", async () => {
	const service = new Service(JSON.stringify(configuration()));
	const { http } = await service.line(isReady);
	const events = await fetch(`${http}/v1/events`);
	service.terminate();
	expect(await service.exit()).toBe(0);
	expect(await events.text()).toStartWith("event: ready");
}, 60_000);

test("it ends when its parent is gone", async () => {
	const service = new Service(JSON.stringify(configuration()));
	await service.line(isReady);
	service.closeInput();
	expect(await service.exit()).toBe(0);
}, 60_000);

test("while it waits for NATS it ends on SIGTERM, and when its parent is gone, with 0", async () => {
	await server.kill();
	for (const end of [(service: Service) => service.terminate(), (service: Service) => service.closeInput()]) {
		const service = new Service(JSON.stringify(configuration()));
		// It has read its configuration, and signals are handled from then on.
		await until(() => service.handlesTerminate);
		end(service);
		expect(await service.exit()).toBe(0);
	}
}, 60_000);

test("once NATS is gone it ends on SIGTERM with 0", async () => {
	const service = new Service(JSON.stringify(configuration()));
	await service.line(isReady);
	await server.kill();
	service.terminate();
	expect(await service.exit()).toBe(0);
}, 60_000);

test("credentials that NATS refuses are told in its log", async () => {
	const other = nkeys.createUser().getPublicKey();
	const strict = await startNatsServer({ more: `authorization { users = [ { nkey: ${other} } ] }` });
	const service = new Service(JSON.stringify(configuration({ natsUrl: strict.url })));
	const line = await service.line(({ level }) => level === "error");
	expect(line.msg).toBe(`NATS at ${strict.url} refuses these credentials: use those of this cluster`);
	service.terminate();
	expect(await service.exit()).toBe(0);
	await strict.stop();
}, 60_000);

test("the level changes while it runs, for one facility alone", async () => {
	const service = new Service(JSON.stringify(configuration()));
	await service.line(isReady);
	const nc = await server.connect();
	const setting = { service: "control-api", facility: "nats", level: "DEBUG" };
	const set = await nc.request(requests.logLevel, JSON.stringify(setting), { timeout: 20_000 });
	expect(set.json<{ settings: object[] }>().settings).toEqual([setting]);
	await nc.request(requests.ruleList, "{}", { timeout: 20_000 });
	const line = await service.line((each) => each.subject === requests.ruleList);
	expect(line).toMatchObject({ level: "debug", facility: "nats", msg: "request" });
	service.terminate();
	await service.exit();
}, 60_000);

test("a configuration that is wrong ends it with 1 and a line that shows no secret", async () => {
	for (const [line, reason] of [
		["{", "configuration: the line on standard input is not JSON"],
		[JSON.stringify(configuration({ httpPort: 70_000 })), "configuration: httpPort:"],
		[JSON.stringify(configuration({ colour: "red" })), 'configuration: Unrecognized key: "colour"'],
	] as const) {
		const service = new Service(line);
		expect(await service.exit()).toBe(1);
		expect(service.lines).toHaveLength(1);
		expect(service.lines[0]).toMatchObject({ level: "fatal" });
		expect(service.lines[0]?.msg).toStartWith(reason);
		expect(JSON.stringify(service.lines)).not.toContain("a-token-of-the-tests");
	}
}, 60_000);

test("a server that takes too small messages is refused with what to set", async () => {
	const small = await startNatsServer({ maxPayload: "1MB" });
	const service = new Service(JSON.stringify(configuration({ natsUrl: small.url })));
	expect(await service.exit()).toBe(1);
	expect(service.lines.at(-1)?.msg).toBe(
		"nats-server takes messages of 1048576 bytes: set max_payload to 4MB, at least 2000000",
	);
	await small.stop();
}, 60_000);
