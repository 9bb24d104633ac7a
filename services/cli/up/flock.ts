/**
 * Advisory locks through util-linux's flock: the lock belongs to the open file description
 * that the child shares with us, stays when the child ends, and vanishes with our process
 * however that ends. It holds over network and PID namespaces (ADR 0021).
 */
export function tryLock(fd: number): boolean {
	return flock(["--exclusive", "--nonblock"], fd);
}

/** Waits until no one holds the lock alone. */
export function lockShared(fd: number): void {
	waitForLock("--shared", fd);
}

/** Waits until no one else holds the lock. */
export function lockExclusive(fd: number): void {
	waitForLock("--exclusive", fd);
}

/** Whoever holds a lock for long is stuck. */
const WAIT_SECONDS = 60;

function waitForLock(mode: string, fd: number): void {
	if (!flock([mode, "--wait", String(WAIT_SECONDS)], fd)) {
		throw new Error(`a lock was not free within ${WAIT_SECONDS} s`);
	}
}

function flock(args: string[], fd: number): boolean {
	const { exitCode, stderr } = Bun.spawnSync(["flock", ...args, "3"], {
		stdio: ["ignore", "ignore", "pipe", fd],
	});
	// 1: somebody else has it. Everything above is trouble of flock itself.
	if (exitCode > 1) {
		throw new Error(`flock: ${stderr?.toString().trim() ?? `exit code ${exitCode}`}`);
	}
	return exitCode === 0;
}
