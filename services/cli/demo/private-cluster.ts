import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { z } from "zod";
import { CommandFailure, exitCodes } from "../failure.ts";
import type { Processes, Program } from "./processes.ts";
import type { Place } from "./topology.ts";

const READY_TIMEOUT_MS = 30_000;

/** A `sluice up` of the demo's own, in a namespace, with its own state; and the command line to it. */
export class PrivateCluster {
	private constructor(
		readonly processes: Processes,
		readonly place: Place,
		readonly dataDir: string,
	) {}

	/** Starts it and waits until it serves. What has to be removed after its end goes to `removals`. */
	static async start(
		processes: Processes,
		place: Place,
		removals: (() => Promise<void>)[],
	): Promise<PrivateCluster> {
		const dataDir = await mkdtemp(join(tmpdir(), "sluice-demo-"));
		removals.push(() => rm(dataDir, { recursive: true, force: true }));
		const cluster = new PrivateCluster(processes, place, dataDir);
		await cluster.#up();
		return cluster;
	}

	async #up(): Promise<void> {
		const ready = Promise.withResolvers<void>();
		const flags = ["--host-id", "relay", "--workers", "2"];
		const program = this.processes.start(this.argv(["up", ...flags]), {
			onOutput: (line) => {
				if (line.startsWith("sluice ready")) ready.resolve();
			},
		});
		const ended = program.exited.then(() => {
			throw new CommandFailure(exitCodes.failed, `sluice up ended: ${reasonOf(program)}`);
		});
		const late = Bun.sleep(READY_TIMEOUT_MS).then(() => {
			throw new CommandFailure(
				exitCodes.failed,
				`sluice up is not ready after ${READY_TIMEOUT_MS / 1_000} s`,
			);
		});
		await Promise.race([ready.promise, ended, late]);
	}

	/** This same program, there. */
	argv(args: string[]): string[] {
		const program = process.argv[1] ?? "";
		return this.place.inside([
			process.execPath,
			...process.execArgv,
			program,
			...args,
			"--data-dir",
			this.dataDir,
		]);
	}

	async command(args: string[]): Promise<string> {
		return await this.processes.run(this.argv(args));
	}

	async ask<Schema extends z.ZodType>(schema: Schema, args: string[]): Promise<z.output<Schema>> {
		return schema.parse(JSON.parse(await this.command([...args, "--json"])));
	}
}

/** The last line of its log, without the JSON around it. */
function reasonOf(program: Program): string {
	const line = program.lastWords();
	try {
		const parsed: unknown = JSON.parse(line);
		if (typeof parsed === "object" && parsed !== null && "msg" in parsed) return String(parsed.msg);
	} catch {
		// Not every line is JSON: an early refusal is plain text.
	}
	return line.replace(/^sluice: /, "");
}
