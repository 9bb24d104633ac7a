/**
 * Runs inside a relay's namespace: with the credentials of a file, subscribes to each subject of the command line
 * and prints a line `{subject, type, text}` for each message, `ready` before them: `nats sub` for a test.
 */
import { connectNats, readCredentials } from "@sluice/lib/connect";

const credentials = await readCredentials(process.argv[2] ?? "");
const connection = await connectNats({ url: credentials.url, credentials, name: credentials.name });
for (const subject of process.argv.slice(3)) {
	connection.subscribe(subject, {
		callback: (error, message) => {
			if (error) throw error;
			const type = message.headers?.get("Content-Type") ?? "";
			console.log(JSON.stringify({ subject: message.subject, type, text: message.string() }));
		},
	});
}
await connection.flush();
console.log(JSON.stringify("ready"));
