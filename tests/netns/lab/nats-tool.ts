/**
 * What of the `nats` command line tool docs/examples uses, where that cannot be had: `--server URL --nkey FILE`, then
 * `req SUBJECT BODY`, whose headers go to standard error, or `sub SUBJECT`.
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { connectNats } from "@sluice/lib/connect";

const { values, positionals } = parseArgs({
	options: {
		server: { type: "string" },
		nkey: { type: "string" },
		tlsca: { type: "string" },
	},
	allowPositionals: true,
});
const [command, subject = "", body = ""] = positionals;
const seed = readFileSync(values.nkey ?? "", "utf8").trim();
const connection = await connectNats({
	url: values.server ?? "",
	credentials: {
		kind: "nkey",
		seed,
		...(values.tlsca === undefined ? {} : { ca: readFileSync(values.tlsca, "utf8") }),
	},
	// The tool takes a random inbox.
	name: `tool-${crypto.randomUUID()}`,
});
if (command === "sub") {
	connection.subscribe(subject, {
		callback: (_, message) => console.log(`[#1] Received on "${message.subject}"\n\n${message.string()}\n`),
	});
	await connection.flush();
	console.error(`Subscribing on ${subject}`);
} else {
	await request();
	await connection.close();
}

async function request(): Promise<void> {
	console.error(`Sending request on "${subject}"`);
	try {
		const answer = await connection.request(subject, body, { timeout: 5_000 });
		for (const key of answer.headers?.keys() ?? []) console.error(`${key}: ${answer.headers?.get(key)}`);
		console.log(answer.string());
	} catch (thrown) {
		console.error(String(thrown));
	}
}
