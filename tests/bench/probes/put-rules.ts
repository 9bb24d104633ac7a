/**
 * Runs inside the relay's namespace: puts each rule of stdin, an array, and removes it after a moment, one after
 * the other, and prints for each a line `{atMs, answeredMs}`: the wall clock before the put and after its answer.
 */
import { connectNats, readCredentials } from "@sluice/lib/connect";
import type { RuleText } from "../peers/sluice.ts";

/** Long enough for a datagram of it to come out. */
const STAYS_MS = 150;

const credentials = await readCredentials(process.argv[2] ?? "");
const connection = await connectNats({
	url: credentials.url ?? "nats://127.0.0.1:4222",
	credentials,
	name: credentials.name,
});
const now = () => performance.timeOrigin + performance.now();

async function ask(what: "put" | "remove", payload: unknown): Promise<void> {
	const answer = await connection.request(`sluice.v1.rule.${what}`, JSON.stringify(payload), {
		timeout: 10_000,
	});
	const error = answer.headers?.get("Nats-Service-Error");
	if (error) throw new Error(`rule ${what}: ${error}`);
}

for (const rule of (await Bun.stdin.json()) as RuleText[]) {
	const atMs = now();
	await ask("put", { rule });
	const answeredMs = now();
	await Bun.sleep(STAYS_MS);
	await ask("remove", { name: rule.name });
	console.log(JSON.stringify({ atMs, answeredMs }));
}
await connection.close();
