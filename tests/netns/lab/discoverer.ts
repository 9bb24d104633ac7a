/**
 * Runs inside a relay's namespace: with the credentials of a file, asks each subject of the command line once and
 * prints the answers of both services, a line each: what `nats micro` does.
 */
import { connectNats, readCredentials } from "@sluice/lib/connect";

const SERVICES = 2;

const credentials = await readCredentials(process.argv[2] ?? "");
const connection = await connectNats({ url: credentials.url, credentials, name: credentials.name });
for (const subject of process.argv.slice(3)) {
	const all = { strategy: "count", maxMessages: SERVICES, maxWait: 10_000 } as const;
	for await (const answer of await connection.requestMany(subject, "", all)) console.log(answer.string());
}
await connection.close();
