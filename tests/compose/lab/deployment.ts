import { type Outcome, until } from "../../netns/lab/commands.ts";
import type { Engine } from "./engine.ts";

interface Listed {
	readonly Service: string;
	readonly State: string;
	readonly Health: string;
	readonly ID: string;
}

/** What `docker compose up` made. */
export class Deployment {
	readonly #files: string[];

	/** @param changes a compose file that changes what `file` says */
	constructor(
		readonly engine: Engine,
		readonly settings: Readonly<Record<string, string>>,
		file = "compose.yaml",
		...changes: string[]
	) {
		this.#files = [file, ...changes].flatMap((each) => ["--file", each]);
	}

	try(...words: string[]): Promise<Outcome> {
		return this.engine.compose(this.settings, ...this.#files, ...words);
	}

	async compose(...words: string[]): Promise<string> {
		const { code, stdout, stderr } = await this.try(...words);
		if (code === 0) return stdout;
		const log = (await this.try("logs", "--tail", "20")).stdout;
		throw new Error(`compose ${words.join(" ")}: exit ${code}\n${stderr}${stdout}\n${log}`);
	}

	/** `sluice` in one of the containers. */
	sluice(service: string, ...words: string[]): Promise<string> {
		return this.compose("exec", "--no-TTY", service, "sluice", ...words);
	}

	async containers(): Promise<Listed[]> {
		const lines = (await this.compose("ps", "--all", "--format", "json")).trim().split("\n").filter(Boolean);
		return lines.map((line) => JSON.parse(line) as Listed);
	}

	/** Waits until each service that stays is healthy. */
	async healthy(): Promise<void> {
		let last = "";
		await until(
			"all containers are healthy",
			async () => {
				const states = (await this.containers()).filter(({ Service }) => Service !== "init");
				last = JSON.stringify(states.map(({ Service, State, Health }) => [Service, State, Health]));
				return (states.length > 0 && states.every(({ Health }) => Health === "healthy")) || undefined;
			},
			undefined,
			100,
		).catch(async (error: Error) => {
			throw new Error(`${error.message}: ${last}\n${(await this.try("logs", "--tail", "20")).stdout}`);
		});
	}

	/** The container's. */
	async idOf(service: string): Promise<string> {
		const [id = ""] = (await this.compose("ps", "--all", "--quiet", service)).trim().split("\n");
		return id;
	}

	/** As the machine sees it: the container's process 1. */
	async pidOf(service: string): Promise<number> {
		const id = await this.idOf(service);
		return Number(await this.engine.docker("inspect", "--format", "{{.State.Pid}}", id));
	}

	/** Waits until the rule is ACTIVE somewhere. */
	async active(rule: string): Promise<void> {
		let last = "";
		await until(
			`${rule} is ACTIVE`,
			async () => {
				const { code, stdout, stderr } = await this.try(
					"exec",
					"--no-TTY",
					"control-api",
					"sluice",
					"--json",
					"rule",
					"list",
				);
				last = stderr;
				if (code !== 0) return undefined;
				const { rules } = JSON.parse(stdout) as { rules: { name: string; hosts: { state: string }[] }[] };
				return (
					rules.find(({ name }) => name === rule)?.hosts.some(({ state }) => state === "ACTIVE") || undefined
				);
			},
			undefined,
			100,
		).catch((error: Error) => {
			throw new Error(`${error.message}: ${last}`);
		});
	}
}
