/**
 * Runs inside a relay's namespace: with the credentials of a file, subscribes to each subject
 * of the command line, and prints a line `{subject, error}` for each; error null: it hears.
 */
import { connectNats, readCredentials } from "@sluice/lib/connect";

const credentials = await readCredentials(process.argv[2] ?? "");
const connection = await connectNats({
	url: credentials.url ?? "nats://127.0.0.1:4222",
	credentials,
	name: credentials.name,
});
for (const subject of process.argv.slice(3)) {
	const refused = Promise.withResolvers<string>();
	connection.subscribe(subject, {
		callback: (error) => {
			if (error) refused.resolve(error.message);
		},
	});
	// The server answers in order: what it refuses it has said by the time it answers the ping.
	const heard = connection.flush().then(() => Bun.sleep(0).then(() => null));
	console.log(JSON.stringify({ subject, error: await Promise.race([refused.promise, heard]) }));
}
await connection.close();
