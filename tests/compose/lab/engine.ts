import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { must, type Outcome, run, until } from "../../netns/lab/commands.ts";
import type { Namespace } from "../../netns/lab/namespace.ts";

export const ROOT = resolve(import.meta.dir, "../../..");
/** What fetch.sh brought. */
export const FETCHED = `${ROOT}/.tools/engine`;
const PROGRAMS = `${FETCHED}/bin`;

/** Why there can be no engine here; undefined: there can. What it takes is fetched, once for a checkout. */
export async function whyNoEngine(): Promise<string | undefined> {
	if (process.getuid?.() !== 0) return "a Docker engine needs root";
	if (Bun.which("debootstrap") === null) return "debootstrap is not installed";
	const fetched = await run([`${import.meta.dir}/fetch.sh`], { timeoutMs: 600_000 });
	if (fetched.code === 0) return undefined;
	return `no engine could be fetched: ${fetched.stderr.trim().split("\n").at(-1)}`;
}

const live = new Set<Engine>();

// A test file that is interrupted must leave nothing behind either.
process.on("exit", () => {
	for (const engine of live) engine.removeNow();
});

/**
 * A Docker engine of the test's own: its own storage, socket and control groups, neither bridge nor packet filter. In
 * a network namespace that one is its containers' "host network", so that no packet reaches the machine's.
 */
export class Engine {
	readonly #name = `slc-${crypto.randomUUID().slice(0, 8)}`;
	readonly #folder = `/tmp/sluice-engine-${this.#name}`;
	/** Has the mount namespace in which all is mounted, whichever daemon runs: mounts end with it. */
	readonly #mounts: Bun.Subprocess;
	#daemon: Bun.Subprocess | undefined;

	constructor() {
		live.add(this);
		mkdirSync(this.#folder, { mode: 0o700 });
		this.#mounts = Bun.spawn(["unshare", "--mount", "--propagation", "private", "sleep", "infinity"]);
	}

	/** The daemon's log. */
	get log(): string {
		return readFileSync(this.#file("log"), "utf8");
	}

	/** @param namespace undefined: the machine's own network, for what must reach a package registry. */
	async start(namespace?: Namespace): Promise<void> {
		const mounts = await this.#mountNamespace();
		this.#daemon = Bun.spawn(
			[
				...["nsenter", `--mount=${mounts}`],
				...(namespace === undefined ? [] : [`--net=/run/netns/${namespace.name}`]),
				`${PROGRAMS}/dockerd`,
				...["--data-root", this.#file("data"), "--exec-root", this.#file("exec")],
				...["--pidfile", this.#file("pid"), "--host", this.#socket, "--cgroup-parent", `/${this.#name}`],
				...[
					"--bridge=none",
					"--iptables=false",
					"--ip6tables=false",
					"--ip-forward=false",
					"--userland-proxy=false",
				],
			],
			{
				env: environment(),
				stdin: "ignore",
				stdout: Bun.file(this.#file("log")),
				stderr: Bun.file(this.#file("log")),
			},
		);
		const daemon = this.#daemon;
		await until("the engine answers", async () => {
			if (daemon.exitCode !== null) throw new Error(`dockerd ended:\n${this.log}`);
			return (await this.try("version")).code === 0 || undefined;
		});
	}

	/** As systemd stops it, or, with SIGKILL, as nobody should. */
	async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
		this.#daemon?.kill(signal);
		await this.#daemon?.exited;
		this.#daemon = undefined;
	}

	async docker(...words: string[]): Promise<string> {
		return must([`${PROGRAMS}/docker`, "--host", this.#socket, ...words], { timeoutMs: 120_000 });
	}

	async try(...words: string[]): Promise<Outcome> {
		return run([`${PROGRAMS}/docker`, "--host", this.#socket, ...words]);
	}

	/** What a person types at the host, in that folder. */
	async shell(namespace: Namespace, folder: string, script: string): Promise<string> {
		const inside = namespace.argv("env", "-C", folder, `DOCKER_HOST=${this.#socket}`, `HOME=${FETCHED}`);
		const path = `PATH=${PROGRAMS}:${process.env["PATH"]}`;
		return must([...inside, path, "bash", "-euo", "pipefail", "-c", script], { timeoutMs: 120_000 });
	}

	/** docker compose, in the checkout's root unless -f says otherwise. */
	async compose(settings: Readonly<Record<string, string>>, ...words: string[]): Promise<Outcome> {
		const child = Bun.spawn(
			[`${PROGRAMS}/docker-compose`, "--ansi", "never", "--progress", "plain", ...words],
			{
				cwd: ROOT,
				env: { ...environment(), DOCKER_HOST: this.#socket, ...settings },
				stdio: ["ignore", "pipe", "pipe"],
				timeout: 300_000,
			},
		);
		const [stdout, stderr, code] = await Promise.all([
			child.stdout.text(),
			child.stderr.text(),
			child.exited,
		]);
		return { code, stdout, stderr };
	}

	/** Sizes of the files in which it keeps what a container printed. */
	logFiles(container: string): number[] {
		const folder = this.#file(`data/containers/${container}/local-logs`);
		return readdirSync(folder).map((name) => statSync(`${folder}/${name}`).size);
	}

	/** Gives one of its images to another engine. */
	async share(image: string, other: Engine): Promise<void> {
		const file = this.#file("image.tar");
		await this.docker("save", "--output", file, image);
		await other.docker("load", "--input", file);
		rmSync(file);
	}

	/** Ends it with all containers, and removes all that it stored. */
	async remove(): Promise<void> {
		const containers = (await this.try("ps", "--all", "--quiet")).stdout.split("\n").filter(Boolean);
		if (containers.length > 0) await this.try("rm", "--force", ...containers);
		await this.stop();
		this.removeNow();
	}

	removeNow(): void {
		if (!live.delete(this)) return;
		this.#daemon?.kill("SIGKILL");
		this.#mounts.kill("SIGKILL");
		this.#removeGroups();
		rmSync(this.#folder, { recursive: true, force: true });
	}

	/** What still runs in them is a container's, whose engine was killed. */
	#removeGroups(): void {
		const found = Bun.spawnSync([
			"find",
			"/sys/fs/cgroup",
			"-depth",
			"-type",
			"d",
			"-path",
			`*/${this.#name}*`,
		]);
		const groups = found.stdout.toString().split("\n").filter(Boolean);
		for (const group of groups) {
			for (const pid of processesOf(group)) {
				try {
					process.kill(pid, "SIGKILL");
				} catch {
					// It ended by itself.
				}
			}
		}
		for (const group of groups) Bun.spawnSync(["rmdir", group]);
	}

	/** Its own, once `unshare` has made it. */
	async #mountNamespace(): Promise<string> {
		const path = `/proc/${this.#mounts.pid}/ns/mnt`;
		const ours = readlinkSync("/proc/self/ns/mnt");
		await until("the mount namespace is there", () => readlinkSync(path) !== ours || undefined);
		return path;
	}

	get #socket(): string {
		return `unix://${this.#file("socket")}`;
	}

	#file(name: string): string {
		return `${this.#folder}/${name}`;
	}
}

/** None of a control group that went with what ran in it. */
function processesOf(group: string): number[] {
	try {
		return readFileSync(`${group}/cgroup.procs`, "utf8").split("\n").filter(Boolean).map(Number);
	} catch {
		return [];
	}
}

function environment(): Record<string, string> {
	const proxies = Object.entries(process.env).filter(([name]) => /^(https?|no)_proxy$/i.test(name));
	return {
		...(Object.fromEntries(proxies) as Record<string, string>),
		HOME: FETCHED,
		PATH: `${PROGRAMS}:${process.env["PATH"]}`,
	};
}
