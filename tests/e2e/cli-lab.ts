import { afterAll, beforeEach } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { startNatsServer, type TestNatsServer } from "@sluice/lib/testing/nats-server";
import { until } from "@sluice/lib/testing/until";
import { HostRecordSchema } from "@sluice/proto/gen/host";
import { buckets, kvSubject } from "@sluice/proto/subjects";

const services = resolve(import.meta.dir, "../../services");
/** As people run it; from source it takes twice the time. */
const CLI = resolve(import.meta.dir, "../../build/cli.js");
const READY_TIMEOUT_MS = 60_000;
/** Of what is answered: a loaded machine takes its time. */
const ANSWER_LIMIT_SECONDS = 60;

export interface Outcome {
	exitCode: number;
	stdout: string;
	stderr: string;
}

/** A real nats-server with real services behind it, and the command line as a shell runs it. Hosts are played. */
export class CliLab {
	readonly #folder: string;
	readonly #nats: TestNatsServer;
	readonly #services = new Map<string, Bun.Subprocess<"pipe", "ignore", "pipe">>();

	private constructor(folder: string, nats: TestNatsServer) {
		this.#folder = folder;
		this.#nats = nats;
	}

	static async start(): Promise<CliLab> {
		const lab = new CliLab(await mkdtemp(join(tmpdir(), "sluice-e2e-")), await startNatsServer());
		const credentials = { ...credential(), name: "operator", url: lab.#nats.url };
		await writeFile(join(lab.#folder, "operator.json"), JSON.stringify(credentials), { mode: 0o600 });
		await lab.startService("control-api", { httpPort: 0, httpToken: "0123456789abcdef" });
		return lab;
	}

	get #env() {
		return { PATH: process.env["PATH"] ?? "", SLUICE_CREDENTIALS: join(this.#folder, "operator.json") };
	}

	/** For all tests of a file; each begins without rules. */
	static async ofFile(): Promise<CliLab> {
		const lab = await CliLab.start();
		beforeEach(async () => {
			await lab.must(["apply", "-f", "-", "--prune"], "{ rules: [] }");
		});
		afterAll(() => lab.stop());
		return lab;
	}

	/** Starts a service and waits until it says that it is ready. */
	async startService(service: string, more: Record<string, unknown> = {}): Promise<void> {
		const child = Bun.spawn([process.execPath, join(services, service, "main.ts")], {
			stdio: ["pipe", "ignore", "pipe"],
		});
		this.#services.set(service, child);
		const config = {
			service,
			hostId: "relay-a",
			incarnation: String(Date.now()),
			natsUrl: this.#nats.url,
			credentials: credential(),
		};
		child.stdin.write(`${JSON.stringify({ ...config, ...more })}\n`);
		child.stdin.flush();
		const log = child.stderr.getReader();
		let said = "";
		const deadline = setTimeout(() => child.kill("SIGKILL"), READY_TIMEOUT_MS);
		while (!said.includes('"ready":true')) {
			const { value, done } = await log.read();
			if (done) throw new Error(`${service} ended: ${said}`);
			said += new TextDecoder().decode(value);
		}
		clearTimeout(deadline);
		void (async () => {
			while (!(await log.read()).done);
		})();
	}

	async stopService(service: string): Promise<void> {
		const child = this.#services.get(service);
		if (!child) return;
		this.#services.delete(service);
		await child.stdin.end();
		await child.exited;
	}

	async killService(service: string): Promise<void> {
		const child = this.#services.get(service);
		this.#services.delete(service);
		child?.kill("SIGKILL");
		await child?.exited;
	}

	/** Until the bucket of rules holds some. */
	async untilRulesAreStored(): Promise<void> {
		const nc = await this.#nats.connect();
		await until(async () => {
			const info = await nc.request(`$JS.API.STREAM.INFO.KV_${buckets.rules}`, "", {
				timeout: ANSWER_LIMIT_SECONDS * 1_000,
			});
			return info.json<{ state: { messages: number } }>().state.messages > 0;
		});
	}

	/** And the services after it, which would wait for it when they are stopped in order. */
	async killNats(): Promise<void> {
		await this.#nats.kill();
		for (const service of Array.from(this.#services.keys())) await this.killService(service);
	}

	async stop(): Promise<void> {
		for (const service of Array.from(this.#services.keys())) await this.stopService(service);
		await this.#nats.stop();
		await rm(this.#folder, { recursive: true });
	}

	/** What a shell gets from the command, which waits long unless told otherwise; `input` is its standard input. */
	async run(args: string[], input = ""): Promise<Outcome> {
		const patience = args.includes("--timeout") ? [] : ["--timeout", `${ANSWER_LIMIT_SECONDS}`];
		const child = this.spawn([...patience, ...args], input);
		const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
		return { exitCode: await child.exited, stdout, stderr };
	}

	/** The same with its output in a file. */
	async runInto(path: string, args: string[]): Promise<Omit<Outcome, "stdout">> {
		const child = Bun.spawn([process.execPath, CLI, ...args], {
			env: this.#env,
			stdin: "ignore",
			stdout: Bun.file(path),
			stderr: "pipe",
		});
		return { exitCode: await child.exited, stderr: await child.stderr.text() };
	}

	/** What runs until it is told to end. */
	spawn(args: string[], input = ""): Bun.Subprocess<Blob, "pipe", "pipe"> {
		return Bun.spawn([process.execPath, CLI, ...args], {
			env: this.#env,
			stdin: new Blob([input]),
			stdout: "pipe",
			stderr: "pipe",
		});
	}

	/** `stats --watch` as somebody at a terminal of this size sees it. */
	watchOnTerminal(size: { cols: number; rows: number }, saw: (text: string) => void): Bun.Subprocess {
		const decoder = new TextDecoder();
		return Bun.spawn([process.execPath, CLI, "stats", "--watch"], {
			env: {
				PATH: process.env["PATH"] ?? "",
				TERM: "xterm",
				SLUICE_CREDENTIALS: join(this.#folder, "operator.json"),
			},
			terminal: { ...size, data: (_, bytes) => saw(decoder.decode(bytes, { stream: true })) },
		});
	}

	/** A command that has to succeed without a word on stderr; answers its stdout. */
	async must(args: string[], input = ""): Promise<string> {
		const outcome = await this.run(args, input);
		if (outcome.exitCode !== 0 || outcome.stderr !== "") {
			throw new Error(`sluice ${args.join(" ")}: exit ${outcome.exitCode}: ${outcome.stderr}`);
		}
		return outcome.stdout;
	}

	/** The same with --json, parsed. */
	async json<T>(args: string[]): Promise<T> {
		return JSON.parse(await this.must([...args, "--json"])) as T;
	}

	/** A host that says this of itself every half second, until the returned function is called. */
	async playHost(record: MessageInitShape<typeof HostRecordSchema>): Promise<() => void> {
		const connection = await this.#nats.connect();
		const subject = kvSubject(buckets.hosts, record.host ?? "");
		const write = () =>
			connection.request(subject, toBinary(HostRecordSchema, create(HostRecordSchema, record)), {
				timeout: ANSWER_LIMIT_SECONDS * 1_000,
			});
		await write();
		// One may be under way when the test ends.
		const beat = setInterval(() => void write().catch(() => {}), 500);
		return () => clearInterval(beat);
	}
}

/** The lab's server asks nobody who he is; the files must look right all the same. */
function credential() {
	return { kind: "nkey", seed: "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY" };
}

/** So many rules of a host that is not there, as `apply` reads them. */
export function rulesFile(count: number, ttl = 16): string {
	const rules = Array.from({ length: count }, (_, index) => ({
		name: `rule-${String(index).padStart(5, "0")}`,
		input: { interface: "r0", group: `239.1.${index >> 8}.${index & 255}`, port: 5001 },
		outputs: [{ interface: "r1", address: "239.10.1.1", port: 6001 + index, ttl }],
		hosts: ["nobody"],
	}));
	return JSON.stringify({ rules });
}
