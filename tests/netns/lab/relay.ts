import { rmSync } from "node:fs";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import type { Outcome } from "./commands.ts";
import { until } from "./commands.ts";
import { numbers } from "./figures.ts";
import { type Namespace, temporaryFolder } from "./namespace.ts";
import { publications } from "./publications.ts";

const ROOT = resolve(import.meta.dir, "../../..");
const LAUNCHER = resolve(ROOT, "sluice");

interface Output {
	interface: string;
	address: string;
	port: number;
	eligiblePackets: number;
	sentPackets: number;
	sentBytes: number;
	failedPackets: number;
	limitedPackets: number;
	failedByReason: Record<string, number>;
	unreachableAnswers: number;
}

export interface RuleFigures {
	name: string;
	receivedPackets: number;
	receivedBytes: number;
	forwardedPackets: number;
	droppedPackets: Record<string, number>;
	outputs: Output[];
	hosts?: { receivedPackets: number }[];
	/** Of runs that are over. */
	former?: { receivedPackets: number };
}

export interface InterfaceFigures {
	interface: string;
	capturedFrames: number;
	kernelDroppedFrames: number;
	unmatchedPackets: number;
	droppedPackets: Record<string, number>;
}

export interface Figures {
	rules: RuleFigures[];
	interfaces: InterfaceFigures[];
}

export interface RuleState {
	name: string;
	uid: string;
	revision: string;
	hosts: { host: string; state: string; reason: string }[];
}

export interface WorkerFigures {
	core: number;
	pid: number;
	state: string;
	restarts: number;
	lastExit: string;
}

export interface Answer {
	payload: string;
	code: string | null;
	error: string | null;
}

/** What `sluice credentials` says of the file that it wrote. */
export interface IssuedFile {
	kind: string;
	name: string;
	url: string;
	file: string;
}

/** One `sluice up` in a namespace, with a data directory of its own that only root can enter. */
export class Relay {
	readonly dataDir: string;
	/** What the user types before everything else. */
	readonly command = [LAUNCHER];
	readonly #home: string;
	#up: Bun.Subprocess<"ignore" | "pipe", "pipe", "pipe"> | undefined;
	log = "";

	constructor(
		readonly namespace: Namespace,
		readonly hostId = "relay-a",
	) {
		this.#home = temporaryFolder();
		this.dataDir = `${this.#home}/data`;
	}

	/** Starts it and waits for `sluice ready`. */
	async up(...options: string[]): Promise<void> {
		const child = this.namespace.start([
			LAUNCHER,
			"up",
			"--host-id",
			this.hostId,
			"--data-dir",
			this.dataDir,
			...options,
		]);
		this.#up = child;
		let ready: (line: string) => void = () => {};
		const said = new Promise<string>((resolve) => {
			ready = resolve;
		});
		const follow = async (stream: ReadableStream<Uint8Array>, onText: (text: string) => void) => {
			const decoder = new TextDecoder();
			for await (const bytes of stream) onText(decoder.decode(bytes, { stream: true }));
		};
		let out = "";
		void follow(child.stdout, (text) => {
			out += text;
			const line = /^sluice ready.*$/m.exec(out)?.[0];
			if (line) ready(line);
		});
		void follow(child.stderr, (text) => {
			this.log += text;
		});
		const ended = child.exited.then((code) => `ended with ${code}`);
		const late = Bun.sleep(60_000).then(() => "not ready after 60 s");
		const answer = await Promise.race([said, ended, late]);
		if (!answer.startsWith("sluice ready")) throw new Error(`sluice up ${answer}\n${this.log.slice(-4000)}`);
	}

	get pid(): number {
		if (!this.#up) throw new Error("not up");
		return this.#up.pid;
	}

	/** SIGTERM, and wait until it has gone. Answers its exit code. */
	async down(): Promise<number> {
		const child = this.#up;
		if (!child) return 0;
		this.#up = undefined;
		child.kill("SIGTERM");
		await child.exited;
		return child.exitCode ?? 128;
	}

	/** As when its machine loses power: everything that runs in its namespace is gone at once. */
	async kill(): Promise<void> {
		const pids = (await this.namespace.run(["ip", "netns", "pids", this.namespace.name])).stdout.split("\n");
		for (const pid of pids.filter(Boolean)) {
			try {
				process.kill(Number(pid), "SIGKILL");
			} catch {
				// It ended by itself: the one that listed them, for instance.
			}
		}
		await this.#up?.exited;
		this.#up = undefined;
	}

	async remove(): Promise<void> {
		await this.down();
		rmSync(this.#home, { recursive: true, force: true });
	}

	async cli(...words: string[]): Promise<Outcome> {
		return this.namespace.run([LAUNCHER, ...words, "--data-dir", this.dataDir]);
	}

	async cliWith(input: string, ...words: string[]): Promise<Outcome> {
		return this.namespace.run([LAUNCHER, ...words, "--data-dir", this.dataDir], { input });
	}

	/** A command that has to succeed, however long a loaded machine takes; answers what it printed. */
	async sluice(...words: string[]): Promise<string> {
		const patience = words.includes("--timeout") ? [] : ["--timeout", "45"];
		const outcome = await this.cli(...words, ...patience);
		if (outcome.code !== 0)
			throw new Error(
				`sluice ${words.join(" ")}: exit ${outcome.code}\n${outcome.stderr}${this.log.slice(-4000)}`,
			);
		return outcome.stdout;
	}

	async issue(kind: "host" | "orchestrator", name: string, ...options: string[]): Promise<IssuedFile> {
		// nats-server reads its users anew for each, beside whatever else the machine does.
		const words = ["credentials", kind, name, "--json", "--timeout", "30", ...options];
		return JSON.parse(await this.sluice(...words)) as IssuedFile;
	}

	/** Starts it as a further host of another one's cluster. */
	async join(first: Relay, ...options: string[]): Promise<void> {
		const { file } = await first.issue("host", this.hostId);
		await this.up("--credentials", file, "--workers", "1", ...options);
	}

	async applyRules(rules: unknown[], ...options: string[]): Promise<string> {
		const outcome = await this.cliWith(
			JSON.stringify({ rules }),
			"apply",
			"-f",
			"-",
			"--timeout",
			"30",
			...options,
		);
		if (outcome.code !== 0) throw new Error(`sluice apply: exit ${outcome.code}\n${outcome.stderr}`);
		return outcome.stdout;
	}

	/** Plain NATS requests, one after the other, each answered before the next is sent. */
	async request(requests: { subject: string; payload: unknown }[]): Promise<Answer[]> {
		const conversation = new Conversation(this);
		const answers: Answer[] = [];
		for (const { subject, payload } of requests) answers.push(await conversation.ask(subject, payload));
		await conversation.end();
		return answers;
	}

	/** Puts or removes rules one request at a time; every one of them must succeed. */
	async eachRule(rules: { name: string }[], what: "put" | "remove"): Promise<void> {
		const answers = await this.request(
			rules.map((rule) => ({
				subject: `sluice.v1.rule.${what}`,
				payload: what === "put" ? { rule } : { name: rule.name },
			})),
		);
		const refused = answers.find((answer) => answer.code !== null);
		if (refused) throw new Error(`rule ${what}: ${refused.code} ${refused.error}`);
	}

	/** Asks for all rules again and again on one connection; answers how long each answer took once it is told to end. */
	listRulesUntilEnded(): { end(): Promise<number[]> } {
		const credentials = `${this.dataDir}/credentials/operator.json`;
		const bun = `${ROOT}/.tools/bin/bun`;
		const child = this.namespace.start([bun, `${import.meta.dir}/rule-lister.ts`, credentials]);
		const text = new Response(child.stdout).text();
		const complaints = new Response(child.stderr).text();
		return {
			async end() {
				child.kill("SIGTERM");
				if ((await child.exited) !== 0) throw new Error(`rule-lister: ${await complaints}`);
				return (await text).split("\n").filter(Boolean).map(Number);
			},
		};
	}

	async rules(): Promise<RuleState[]> {
		return (JSON.parse(await this.sluice("rule", "list", "--json")) as { rules: RuleState[] }).rules;
	}

	async figures(): Promise<Figures> {
		return numbers(JSON.parse(await this.sluice("stats", "--json"))) as Figures;
	}

	/** Figures are published each second: waits until the rules have received so much in all. */
	async figuresAfter(receivedPackets: number): Promise<Figures> {
		return until(`the rules have received ${receivedPackets} datagrams`, async () => {
			const figures = await this.figures();
			const received = figures.rules.reduce((sum, rule) => sum + rule.receivedPackets, 0);
			return received >= receivedPackets ? figures : undefined;
		});
	}

	/** Waits until each worker has published so many times more. */
	async publications(count: number): Promise<void> {
		await publications(() => this.sluice("stats", "--json"), count);
	}

	async workers(): Promise<WorkerFigures[]> {
		const text = await this.sluice("worker", "list", "--json");
		return (JSON.parse(text) as { workers: WorkerFigures[] }).workers;
	}
}

/** One NATS connection with the operator's credential, for a test whose questions must cost little CPU. */
export class Conversation {
	readonly #child: ReturnType<Namespace["start"]>;
	readonly #answers: AsyncIterator<string>;

	constructor({ namespace, dataDir }: Relay) {
		const bun = `${ROOT}/.tools/bin/bun`;
		const credentials = `${dataDir}/credentials/operator.json`;
		this.#child = namespace.start([bun, `${import.meta.dir}/requester.ts`, credentials], "pipe");
		const lines = createInterface({ input: Readable.fromWeb(this.#child.stdout) });
		this.#answers = lines[Symbol.asyncIterator]();
	}

	/** `payload` goes out as JSON, or as it is if it is text. */
	async ask(subject: string, payload: unknown): Promise<Answer> {
		const text = typeof payload === "string" ? payload : JSON.stringify(payload);
		this.#input.write(`${JSON.stringify({ subject, payload: text })}\n`);
		await this.#input.flush();
		const { value, done } = await this.#answers.next();
		if (done) throw new Error(`no answer from ${subject}: ${await this.#child.stderr.text()}`);
		return JSON.parse(value) as Answer;
	}

	/** Like ask(), where any refusal is an error; answers the payload's JSON. */
	async read(subject: string): Promise<unknown> {
		const { payload, code, error } = await this.ask(subject, {});
		if (code !== null) throw new Error(`${subject}: ${code} ${error}`);
		return numbers(JSON.parse(payload));
	}

	async figures(): Promise<Figures> {
		return (await this.read("sluice.v1.stats.get")) as Figures;
	}

	async workers(): Promise<WorkerFigures[]> {
		return ((await this.read("sluice.v1.worker.list")) as { workers: WorkerFigures[] }).workers;
	}

	async end(): Promise<void> {
		await this.#input.end();
		await this.#child.exited;
	}

	get #input(): Bun.FileSink {
		const { stdin } = this.#child;
		if (stdin === undefined) throw new Error("started without a pipe");
		return stdin;
	}
}

/** What CONTRACT promises of every set of figures, whatever was sent. */
export function assertAccounts(figures: Figures): void {
	for (const rule of figures.rules) {
		const dropped = Object.values(rule.droppedPackets).reduce((sum, count) => sum + count, 0);
		if (rule.receivedPackets !== rule.forwardedPackets + dropped) {
			throw new Error(`rule ${rule.name}: received ≠ forwarded + dropped: ${JSON.stringify(rule)}`);
		}
		const parts = [...(rule.hosts ?? []), ...(rule.former === undefined ? [] : [rule.former])];
		const sum = parts.reduce((all, { receivedPackets }) => all + receivedPackets, 0);
		if (rule.hosts !== undefined && rule.receivedPackets !== sum) {
			throw new Error(`rule ${rule.name}: received ≠ Σ hosts + former: ${JSON.stringify(rule)}`);
		}
		for (const output of rule.outputs) {
			const accounted = output.sentPackets + output.failedPackets + output.limitedPackets;
			if (output.eligiblePackets !== accounted) {
				throw new Error(`rule ${rule.name}: eligible ≠ sent + failed + limited: ${JSON.stringify(output)}`);
			}
			const failed = Object.values(output.failedByReason).reduce((sum, count) => sum + count, 0);
			if (output.failedPackets !== failed) {
				throw new Error(`rule ${rule.name}: failed ≠ Σ by reason: ${JSON.stringify(output)}`);
			}
		}
	}
}
