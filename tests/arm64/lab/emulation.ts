/** Programs for arm64 on a machine that has another processor: made by Debian's cross compiler, run by qemu, one at a time. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { asOwner, checkout } from "../../../scripts/owner.ts";
import { must, type Outcome, run } from "../../netns/lab/commands.ts";

/** What is made by build() lies there. */
export const BUILD = join(checkout, "build/arm64");

const CROSS = "aarch64-linux-gnu";
/** The C library of Debian's cross compilers. */
const SYSROOT = `/usr/${CROSS}`;
const qemu = Bun.which("qemu-aarch64") ?? Bun.which("qemu-aarch64-static") ?? "";

/** Why nothing can be emulated here; undefined: it can. */
export function whyNoEmulation(): string | undefined {
	if (process.arch === "arm64") return "this machine is arm64 itself";
	const isThere = Bun.which(`${CROSS}-gcc`) !== null && existsSync(`${SYSROOT}/include/stdio.h`);
	return isThere && qemu !== ""
		? undefined
		: "install gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user";
}

/** The data plane and its tests, by the flags that they always have. */
export async function build(): Promise<Outcome> {
	const tools = [`CC=${CROSS}-gcc`, `AR=${CROSS}-ar`];
	const make = ["make", "-C", join(checkout, "dataplane-c"), "-j2", `BUILD=${BUILD}`, ...tools];
	return run(asOwner([...make, "all", "test-programs"]), { timeoutMs: 300_000 });
}

/** Whether `pageBytes` can be had: from 9.0 on qemu's programs see the pages of the machine. */
export async function emulatesPages(): Promise<boolean> {
	const version = /version (\d+)\./.exec(await must([qemu, "--version"]))?.[1];
	return Number(version) < 9;
}

export interface Emulated {
	readonly pageBytes?: number;
	/** Beside what this process has. */
	readonly environment?: Readonly<Record<string, string>>;
	readonly timeoutMs?: number;
}

export async function emulate(argv: readonly string[], options: Emulated = {}): Promise<Outcome> {
	const { pageBytes, environment = {}, timeoutMs = 110_000 } = options;
	const pages = pageBytes === undefined ? [] : ["-p", String(pageBytes)];
	const variables = Object.entries(environment).flatMap(([name, value]) => ["-E", `${name}=${value}`]);
	return run([qemu, "-L", SYSROOT, ...pages, ...variables, ...argv], { timeoutMs });
}

/** The program of Bun for arm64, fetched once for a checkout; an Error says why there is none. */
export async function fetchBun(): Promise<string | Error> {
	const fetched = await run([`${import.meta.dir}/fetch-bun.sh`], { timeoutMs: 300_000 });
	if (fetched.code === 0) return fetched.stdout.trim();
	return new Error(`Bun for arm64 could not be fetched: ${fetched.stderr.trim().split("\n").at(-1)}`);
}
