/**
 * Runs inside a relay's namespace: sends each line of stdin, `{subject, payload}`, as it comes,
 * as one plain NATS request, one after the other, and prints each answer as a line
 * `{payload, code, error}`, until stdin ends. It is what `nats req` does, with the operator's credential.
 */
import { connectNats, readCredentials } from "@sluice/lib/connect";

const credentials = await readCredentials(process.argv[2] ?? "");
const connection = await connectNats({
	url: credentials.url ?? "nats://127.0.0.1:4222",
	credentials,
	name: credentials.name,
});
for await (const line of console) {
	const { subject, payload } = JSON.parse(line) as { subject: string; payload: string };
	const answer = await connection.request(subject, payload, { timeout: 10_000 });
	const code = answer.headers?.get("Nats-Service-Error-Code") || null;
	const error = answer.headers?.get("Nats-Service-Error") || null;
	console.log(JSON.stringify({ payload: answer.string(), code, error }));
}
await connection.close();
