/**
 * Runs inside a relay's namespace: asks for all rules ten times a second on one connection, with the operator's
 * credential, until SIGTERM, and prints after how many milliseconds each answer came. The whole command takes
 * longer by the start of a process, which competes with whatever else a test runs.
 */
import { call } from "@sluice/lib/client";
import { connectNats, readCredentials } from "@sluice/lib/connect";
import { ListRulesRequestSchema, ListRulesResponseSchema } from "@sluice/proto/gen/rule";
import { requests } from "@sluice/proto/subjects";

const PAUSE_MS = 100;
const TIMEOUT_MS = 20_000;

const credentials = await readCredentials(process.argv[2] ?? "");
const connection = await connectNats({ url: credentials.url, credentials, name: credentials.name });
let asking = true;
process.on("SIGTERM", () => {
	asking = false;
});
while (asking) {
	const asked = performance.now();
	const { ruleList } = requests;
	await call(connection, ruleList, ListRulesRequestSchema, ListRulesResponseSchema, {}, TIMEOUT_MS);
	console.log(Math.round(performance.now() - asked));
	await Bun.sleep(PAUSE_MS);
}
await connection.close();
