import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { createServer } from "node:net";
import { CommandFailure, exitCodes } from "../failure.ts";
import { formatListenAddress, type ListenAddress } from "./listen-address.ts";

/**
 * Makes sure that a service, which has no privileges, can listen there.
 * @param flag what the user changes to have it elsewhere, e.g. "--http".
 * @throws CommandFailure naming whoever has the port.
 */
export async function checkPort(flag: string, listen: ListenAddress): Promise<void> {
	const where = formatListenAddress(listen);
	const firstUnprivileged = Number(readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8"));
	if (listen.port < firstUnprivileged) {
		throw new CommandFailure(
			exitCodes.failed,
			`${where}: ports below ${firstUnprivileged} are for root, and services do not run as root: ` +
				`choose another with ${flag}`,
		);
	}
	const code = await tryForAWhile(listen);
	if (code === "EADDRINUSE") {
		throw new CommandFailure(
			exitCodes.failed,
			`${where} is taken by ${describeOwner(listen.port)}: stop it, or choose another with ${flag}`,
		);
	}
	if (code !== undefined) {
		const why = code === "EADDRNOTAVAIL" ? "this host has no such address" : code;
		throw new CommandFailure(exitCodes.failed, `${where}: ${why}: choose another with ${flag}`);
	}
}

/** A process that is just ending, of an `up` that was killed for instance, gets the time to. */
const PATIENCE_MS = 1000;
const RETRY_MS = 50;

async function tryForAWhile(listen: ListenAddress): Promise<string | undefined> {
	const deadline = performance.now() + PATIENCE_MS;
	for (;;) {
		const code = await tryToListen(listen);
		if (code !== "EADDRINUSE" || performance.now() > deadline) return code;
		await Bun.sleep(RETRY_MS);
	}
}

function tryToListen({ address, port }: ListenAddress): Promise<string | undefined> {
	return new Promise((resolve) => {
		const server = createServer();
		server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
		server.listen({ host: address, port, exclusive: true }, () => server.close(() => resolve(undefined)));
	});
}

function describeOwner(port: number): string {
	const inodes = listeningInodes(port);
	for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
		if (socketsOf(pid).some((inode) => inodes.has(inode))) {
			return `${readFileSync(`/proc/${pid}/comm`, "utf8").trim()} (pid ${pid})`;
		}
	}
	return "a process that is not visible from here";
}

/** State of a listening socket in /proc/net/tcp. */
const LISTEN = "0A";

/** Inodes of this network namespace's sockets that listen on the port, at whatever address. */
function listeningInodes(port: number): Set<string> {
	const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
	const inodes = new Set<string>();
	for (const table of ["/proc/self/net/tcp", "/proc/self/net/tcp6"]) {
		for (const line of readTable(table)) {
			// sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode
			const [, local = "", , state, , , , , , inode = ""] = line.trim().split(/\s+/);
			if (state === LISTEN && local.endsWith(suffix)) inodes.add(inode);
		}
	}
	return inodes;
}

function readTable(path: string): string[] {
	try {
		return readFileSync(path, "utf8").trim().split("\n").slice(1);
	} catch {
		// No IPv6 in this kernel.
		return [];
	}
}

/** Empty when the process ended meanwhile. */
function socketsOf(pid: string): string[] {
	try {
		return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
			try {
				return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? [];
			} catch {
				return [];
			}
		});
	} catch {
		return [];
	}
}
