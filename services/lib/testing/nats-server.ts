import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NatsConnection } from "@nats-io/transport-node";
import { connectNats } from "../connect.ts";
import { standStill } from "./signals.ts";

export interface TestNatsServer {
	readonly url: string;
	readonly port: number;
	/** Holds configuration and store. */
	readonly folder: string;
	/** A connection that `stop` closes; without a name, a new one each time. */
	connect(name?: string): Promise<NatsConnection>;
	/** Ends the process, at once unless told otherwise, and keeps store and port: `start` brings the same server back. */
	kill(signal?: NodeJS.Signals): Promise<void>;
	start(): Promise<void>;
	/** The process answers nothing more until `goOn`. */
	standStill(): Promise<void>;
	goOn(): void;
	/** Closes connections, ends the process, removes the store. */
	stop(): Promise<void>;
}

const START_TIMEOUT_MS = 30_000;

/** A real nats-server with JetStream on a free port of the loopback, with a store of its own. */
export async function startNatsServer(
	options: { readonly maxPayload?: string; readonly more?: string } = {},
): Promise<TestNatsServer> {
	const folder = await mkdtemp(join(tmpdir(), "sluice-nats-"));
	const server = new Server(await freePort(), folder);
	await writeFile(server.configFile, configuration(server, options));
	await server.start();
	return server;
}

/** The binary for tests: `SLUICE_NATS_SERVER`, the checkout's own, or the one on PATH. */
export function findNatsServer(): string {
	const own = join(import.meta.dir, "../../../.tools/bin/nats-server");
	const found = process.env["SLUICE_NATS_SERVER"] ?? (existsSync(own) ? own : Bun.which("nats-server"));
	if (found === null) {
		throw new Error("no nats-server: run ./sluice once, or name one in SLUICE_NATS_SERVER");
	}
	return found;
}

/** A TCP port of the loopback that was free a moment ago. */
export async function freePort(): Promise<number> {
	const probe = createServer();
	await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
	const address = probe.address();
	await new Promise<void>((resolve) => probe.close(() => resolve()));
	if (address === null || typeof address === "string") throw new Error("the loopback gives no port");
	return address.port;
}

function configuration({ port, folder }: TestNatsServer, { maxPayload = "4MB", more = "" }): string {
	return `listen: "127.0.0.1:${port}"\nmax_payload: ${maxPayload}\njetstream { store_dir: "${folder}/store" }\n${more}\n`;
}

class Server implements TestNatsServer {
	readonly port: number;
	readonly folder: string;
	readonly configFile: string;
	readonly url: string;
	#process: Bun.Subprocess | undefined;
	readonly #connections: NatsConnection[] = [];

	constructor(port: number, folder: string) {
		this.port = port;
		this.folder = folder;
		this.configFile = join(folder, "nats.conf");
		this.url = `nats://127.0.0.1:${port}`;
	}

	async start(): Promise<void> {
		const argv = [findNatsServer(), "-c", this.configFile, "-l", join(this.folder, "nats.log")];
		this.#process = Bun.spawn(argv, { stdio: ["ignore", "ignore", "ignore"] });
		const deadline = Date.now() + START_TIMEOUT_MS;
		while (!(await accepts(this.port))) {
			if (Date.now() > deadline || this.#process.exitCode !== null) {
				throw new Error(`nats-server did not start: ${await Bun.file(join(this.folder, "nats.log")).text()}`);
			}
			await Bun.sleep(10);
		}
	}

	async connect(name = `test-${this.#connections.length}`): Promise<NatsConnection> {
		const connection = await connectNats({ url: this.url, name });
		this.#connections.push(connection);
		return connection;
	}

	async standStill(): Promise<void> {
		if (this.#process !== undefined) await standStill(this.#process.pid);
	}

	goOn(): void {
		this.#process?.kill("SIGCONT");
	}

	async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
		this.#process?.kill(signal);
		await this.#process?.exited;
	}

	async stop(): Promise<void> {
		await Promise.all(this.#connections.map((connection) => connection.close()));
		await this.kill();
		await rm(this.folder, { recursive: true, force: true });
	}
}

async function accepts(port: number): Promise<boolean> {
	try {
		const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
		socket.end();
		return true;
	} catch {
		return false;
	}
}
