/**
 * Stands in for the `nats` command line tool where that cannot be had: `req SUBJECT BODY` and `sub SUBJECT` with the
 * flags that docs/ uses. What goes where, and with which exit code, is as in the tool's source (docs/adr/0103).
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { connectNats } from "@sluice/lib/connect";

const { values, positionals } = parseArgs({
	options: {
		// No file of settings is read here either.
		"no-context": { type: "boolean" },
		server: { type: "string", default: "nats://127.0.0.1:4222" },
		nkey: { type: "string", default: "" },
		tlsca: { type: "string" },
		"inbox-prefix": { type: "string" },
	},
	allowPositionals: true,
});
const TIMEOUT_MS = 5_000;
const [command, subject = "", body = ""] = positionals;
const connection = await connectNats({
	url: values.server,
	credentials: {
		kind: "nkey",
		seed: readFileSync(values.nkey, "utf8").trim(),
		// It knows the server by the address of the URL alone.
		...(values.tlsca === undefined ? {} : { ca: readFileSync(values.tlsca, "utf8") }),
	},
	// An inbox of its own, random unless told otherwise.
	name: values["inbox-prefix"]?.replace("_INBOX.", "") ?? `tool-${crypto.randomUUID()}`,
	waitOnFirstConnect: false,
}).catch((thrown: Error) => {
	console.error(`nats: error: ${thrown.message}`);
	process.exit(1);
});
if (command === "sub") {
	// Said before the server knows of it.
	log(`Subscribing on ${subject} `);
	let count = 0;
	connection.subscribe(subject, {
		callback: (_, message) => {
			count += 1;
			console.log(`[#${count}] Received on "${message.subject}"`);
			for (const line of lines(message.headers)) console.log(line);
			if (message.headers !== undefined) console.log();
			printBody(message.string());
		},
	});
} else {
	await request();
	await connection.close();
}

/** Its words, as opposed to what was answered. */
function log(text: string): void {
	console.error(`${new Date().toTimeString().slice(0, 8)} ${text}`);
}

type Answer = Awaited<ReturnType<typeof connection.request>>;

function lines(headers: Answer["headers"]): string[] {
	return (headers?.keys() ?? []).map((key) => `${key}: ${headers?.get(key)}`);
}

function printBody(text: string): void {
	console.log(`${text || "nil body"}\n\n`);
}

/** Ends with 0 whether it was answered or not. */
async function request(): Promise<void> {
	log(`Sending request on "${subject}"`);
	const sentMs = performance.now();
	try {
		const answer = await connection.request(subject, body, { timeout: TIMEOUT_MS });
		log(`Received with rtt ${(performance.now() - sentMs).toFixed(3)}ms`);
		for (const line of lines(answer.headers)) log(line);
		if (answer.headers !== undefined) log("");
		printBody(answer.string());
	} catch (thrown) {
		// What came of the request, within the error that says which one.
		const cause = (thrown instanceof Error && thrown.cause) || thrown;
		const what = cause instanceof Error ? cause.name : "";
		if (what === "NoRespondersError") log("No responders are available");
		// Of a time that passes it says nothing.
		else if (what !== "TimeoutError") log(`Unexpected NATS error: ${String(cause)}`);
	}
}
