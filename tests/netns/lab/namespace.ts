import { mkdirSync } from "node:fs";
import { must, type Outcome, run } from "./commands.ts";

const live = new Set<Namespace>();

// A test file that is interrupted must leave nothing behind either.
process.on("exit", () => {
	for (const namespace of live) namespace.removeNow();
});

/** A network namespace of the test's own, with a random name and its loopback up. */
export class Namespace {
	readonly #children = new Set<Bun.Subprocess>();
	#prefix: readonly string[] = [];

	private constructor(readonly name: string) {
		live.add(this);
	}

	static async create(role: string): Promise<Namespace> {
		const random = crypto.randomUUID().slice(0, 8);
		const namespace = new Namespace(`slc-${random}-${role}`);
		await must(["ip", "netns", "add", namespace.name]);
		await namespace.ip("link", "set", "lo", "up");
		return namespace;
	}

	argv(...argv: string[]): string[] {
		return ["ip", "netns", "exec", this.name, ...this.#prefix, ...argv];
	}

	/** All that is started in here from now on stays on one CPU. */
	pin(cpu: number): void {
		this.#prefix = ["taskset", "-c", `${cpu}`];
	}

	/** All that is started in here from now on is started by this program. */
	startBy(...argv: string[]): void {
		this.#prefix = argv;
	}

	async ip(...words: string[]): Promise<string> {
		return must(["ip", "-n", this.name, ...words]);
	}

	async run(argv: string[], options: { input?: string; timeoutMs?: number } = {}): Promise<Outcome> {
		return run(this.argv(...argv), options);
	}

	async must(argv: string[], options: { input?: string; timeoutMs?: number } = {}): Promise<string> {
		return must(this.argv(...argv), options);
	}

	async sysctl(key: string, value: string | number): Promise<void> {
		await this.must(["sysctl", "-q", "-w", `${key}=${value}`]);
	}

	/** A file of /proc as the namespace sees it. */
	async read(path: string): Promise<string> {
		return this.must(["cat", path]);
	}

	/** Starts a program that runs beside the test; whoever starts it awaits or ends it. */
	start(
		argv: string[],
		stdin: "ignore" | "pipe" = "ignore",
	): Bun.Subprocess<"ignore" | "pipe", "pipe", "pipe"> {
		const child = Bun.spawn(this.argv(...argv), { stdin, stdout: "pipe", stderr: "pipe" });
		this.#children.add(child);
		void child.exited.then(() => this.#children.delete(child));
		return child;
	}

	/** Ends what still runs in here and removes the namespace. Nothing but the test's own lives in it. */
	async remove(): Promise<void> {
		for (const child of this.#children) child.kill("SIGTERM");
		const gone = Promise.all([...this.#children].map((child) => child.exited));
		await Promise.race([gone, Bun.sleep(8_000)]);
		this.removeNow();
	}

	removeNow(): void {
		if (!live.delete(this)) return;
		const pids = Bun.spawnSync(["ip", "netns", "pids", this.name])
			.stdout.toString()
			.split("\n")
			.filter(Boolean);
		for (const pid of pids) {
			try {
				process.kill(Number(pid), "SIGKILL");
			} catch {
				// It ended by itself meanwhile.
			}
		}
		Bun.spawnSync(["ip", "netns", "del", this.name]);
	}
}

/** Connects two namespaces by a veth pair; both ends up, addresses given with their prefix length. */
export async function connect(
	from: { namespace: Namespace; name: string; address?: string },
	to: { namespace: Namespace; name: string; address?: string },
	mtu = 1500,
): Promise<void> {
	await must([
		...["ip", "link", "add", from.name, "netns", from.namespace.name, "mtu", `${mtu}`, "type", "veth"],
		...["peer", "name", to.name, "netns", to.namespace.name, "mtu", `${mtu}`],
	]);
	for (const end of [from, to]) {
		if (end.address) await end.namespace.ip("address", "add", end.address, "dev", end.name);
		await end.namespace.ip("link", "set", end.name, "up");
		// Router solicitations and MLD reports would be foreign frames in exact counts.
		await end.namespace.must([
			"sh",
			"-c",
			`echo 1 > /proc/sys/net/ipv6/conf/${end.name}/disable_ipv6 || true`,
		]);
	}
}

/** A temporary folder that only root can enter, as most people's are. */
export function temporaryFolder(): string {
	const path = `/tmp/sluice-test-${crypto.randomUUID().slice(0, 8)}`;
	mkdirSync(path, { mode: 0o700 });
	return path;
}
