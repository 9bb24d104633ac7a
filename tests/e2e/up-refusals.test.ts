import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Outcome } from "../netns/lab/commands.ts";
import { Namespace, temporaryFolder } from "../netns/lab/namespace.ts";
import { Relay } from "../netns/lab/relay.ts";

const ROOT = resolve(import.meta.dir, "../..");
const CLI = [`${ROOT}/.tools/bin/bun`, `${ROOT}/build/cli.js`];

let namespace: Namespace;
let relay: Relay;
let folder: string;

beforeAll(async () => {
	namespace = await Namespace.create("up");
	relay = new Relay(namespace);
	folder = temporaryFolder();
	await relay.up();
});

afterAll(async () => {
	await relay.remove();
	await namespace.remove();
	rmSync(folder, { recursive: true });
});

/** `up` beside the one that runs; the launcher's own checks left out. */
function up(...options: string[]): Promise<Outcome> {
	return namespace.run([...CLI, "up", "--host-id", "relay-b", ...options]);
}

const elsewhere = ["--nats-listen", "127.0.0.1:14222", "--http", "127.0.0.1:17080"];

/** One line on stderr, nothing on stdout, exit code 1. */
function refusal(line: string): Outcome {
	return { code: 1, stdout: "", stderr: `sluice: ${line}\n` };
}

describe("up refuses in one line", () => {
	test("a data directory that another up has, naming its pid", async () => {
		expect(await up("--data-dir", relay.dataDir, ...elsewhere)).toEqual(
			refusal(
				`${relay.dataDir} is in use by another sluice up (pid ${relay.pid}): ` +
					"stop it, or choose another directory with --data-dir",
			),
		);
	});

	test("a port that is taken, naming by whom", async () => {
		const dataDir = ["--data-dir", `${folder}/ports`];
		const nats = await up(...dataDir);
		expect(nats.stderr).toMatch(
			/^sluice: 127\.0\.0\.1:4222 is taken by nats-server \(pid \d+\): stop it, or choose another with --nats-listen\n$/,
		);
		const http = await up(...dataDir, "--nats-listen", "127.0.0.1:14222");
		expect(http.stderr).toMatch(
			/^sluice: 127\.0\.0\.1:7080 is taken by bun \(pid \d+\): stop it, or choose another with --http\n$/,
		);
		expect([nats.code, http.code, nats.stdout, http.stdout]).toEqual([1, 1, "", ""]);
	});

	test("addresses where no service could listen", async () => {
		const dataDir = ["--data-dir", `${folder}/ports`, "--nats-listen", "127.0.0.1:14222"];
		expect(await up(...dataDir, "--http", "10.9.9.9:7080")).toEqual(
			refusal("10.9.9.9:7080: this host has no such address: choose another with --http"),
		);
		expect(await up(...dataDir, "--http", "127.0.0.1:80")).toEqual(
			refusal(
				"127.0.0.1:80: ports below 1024 are for root, and services do not run as root: " +
					"choose another with --http",
			),
		);
	});

	test("a caller who is not root", async () => {
		// As a user who may read the build, wherever the checkout lies.
		const argv = [
			"setpriv",
			"--reuid=65534",
			"--inh-caps=+dac_read_search",
			"--ambient-caps=+dac_read_search",
		];
		const outcome = await namespace.run([...argv, ...CLI, "up", "--data-dir", `${folder}/user`]);
		expect(outcome).toEqual(
			refusal(
				"up needs root, since it opens packet sockets and starts services as their own users: " +
					"run sudo ./sluice up",
			),
		);
	});

	test("a nats-server that is too old, with both versions", async () => {
		const old = `${folder}/nats-server`;
		writeFileSync(old, "#!/bin/sh\necho nats-server: v2.9.10\n");
		chmodSync(old, 0o755);
		const outcome = await namespace.run([
			"env",
			`SLUICE_NATS_SERVER=${old}`,
			...CLI,
			...["up", "--data-dir", `${folder}/old`, ...elsewhere],
		]);
		expect(outcome.stderr).toMatch(/is version 2\.9\.10 and Sluice needs 2\.10\.27 or newer: .*\n$/);
		expect([outcome.code, outcome.stdout]).toEqual([1, ""]);
	});

	test("disks that are full or read-only", async () => {
		const mounted = async (options: string) => {
			const place = `${folder}/disk`;
			mkdirSync(place, { recursive: true });
			// The mount is seen by this command only, and goes with it.
			const script = `mount -t tmpfs -o ${options} none ${place} && exec "$@"`;
			const argv = ["unshare", "--mount", "sh", "-c", script, "sh", ...CLI, "up", "--data-dir", place];
			return namespace.run([...argv, ...elsewhere]);
		};
		const place = `data directory ${folder}/disk`;
		expect(await mounted("size=512k")).toEqual(
			refusal(`${place}: the disk is full: free some space, or choose another directory with --data-dir`),
		);
		expect(await mounted("ro")).toEqual(
			refusal(
				`${place}: the file system is read-only: make it writable, or choose another directory with --data-dir`,
			),
		);
	});

	test("a stage that cannot be a folder", async () => {
		const staging = (what: string) => {
			const script = `mount -t tmpfs none /opt && ${what} && exec "$@"`;
			const argv = ["unshare", "--mount", "sh", "-c", script, "sh", ...CLI, "up"];
			return namespace.run([...argv, "--data-dir", `${folder}/stage`, ...elsewhere]);
		};
		expect(await staging("touch /opt/sluice")).toEqual(
			refusal("/opt/sluice is no folder: move it away, and up makes it anew"),
		);
		expect(await staging("ln -s nowhere /opt/sluice")).toEqual(
			refusal("services cannot be staged in /opt/sluice: it is a link to nowhere: remove it"),
		);
	});

	test("credentials that are not this host's", async () => {
		const file = `${folder}/host.json`;
		const seed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
		const join = ["--data-dir", `${folder}/joined`, "--nats", "nats://127.0.0.1:4222", "--credentials", file];
		expect((await up(...join)).stderr).toContain(
			`credentials file ${file} does not exist: name another file`,
		);
		const credentials = { kind: "host", host: "relay-c", url: "nats://127.0.0.1:4222" };
		writeFileSync(
			file,
			JSON.stringify({ ...credentials, supervisor: { seed }, worker: { seed }, reader: { seed } }),
			{ mode: 0o600 },
		);
		expect(await up(...join)).toEqual(
			refusal(
				`credentials ${file} are for host relay-c and this is relay-b: ` +
					"use --host-id relay-c, or the file of relay-b",
			),
		);
	});
});

test("a supervisor that cannot start is given up, though its keeper would go on", async () => {
	// `up` itself has the library there, what it starts has nothing.
	const script = `exec 50<${ROOT}/build/libsluice.so && exec "$@"`;
	const broken = ["env", "SLUICE_LIB=/proc/self/fd/50", ...CLI, "up", "--host-id", "relay-b"];
	const words = [...broken, "--data-dir", `${folder}/broken`, ...elsewhere];
	const outcome = await namespace.run(["bash", "-c", script, "bash", ...words]);
	expect(outcome.stderr).toEndWith(
		"sluice: supervisor does not start: libsluice.so is not there: looked for /proc/self/fd/50: the log above says more\n",
	);
	expect(outcome.code).toBe(1);
});
