import { expect, test } from "bun:test";
import { CliLab, rulesFile } from "./cli-lab.ts";

test("stats --watch says clearly that the connection is lost, and goes on watching", async () => {
	const lab = await CliLab.start();
	try {
		await lab.startService("stats-aggregator");
		const child = lab.spawn(["stats", "--watch"]);
		const out = child.stdout.getReader();
		await out.read();
		await lab.killNats();
		let said = "";
		const decoder = new TextDecoder();
		for await (const bytes of child.stderr) {
			said += decoder.decode(bytes, { stream: true });
			if (said.split("\n").length > 2) break;
		}
		expect(said).toMatch(
			/^sluice: no figures for \d+ s: the connection to NATS at nats:\S+ is lost: is sluice up still running there\?\n/,
		);
		expect(child.exitCode).toBeNull();
		child.kill("SIGINT");
		expect(await child.exited).toBe(0);
	} finally {
		await lab.stop();
	}
});

test.each([
	[
		"control-api was killed",
		(lab: CliLab) => lab.killService("control-api"),
		/^sluice: control-api ended amid the apply, and all or a part of it may stand: run the same apply again\n$/,
	],
	[
		"NATS was ended",
		(lab: CliLab) => lab.killNats(),
		/^sluice: the connection to NATS at nats:\S+ was lost amid the apply, and all or a part of it may stand: run the same apply again\n$/,
	],
] as const)(
	"apply says at once that %s amid it, and that all or a part of it may stand",
	async (_, end, line) => {
		const lab = await CliLab.start();
		try {
			const child = lab.spawn(["apply", "-f", "-", "--timeout", "60"], rulesFile(10_000));
			await lab.untilRulesAreStored();
			await end(lab);
			expect(await child.stderr.text()).toMatch(line);
			expect(await child.exited).toBe(1);
		} finally {
			await lab.stop();
		}
	},
	60_000,
);
