/**
 * Runs inside a relay's namespace: does what each line of stdin says, one after the other, and prints for
 * each one line, an `Attempt`. Unlike `requester.ts` it sends any bytes, to any reply subject, and many at once.
 */
import { connectNats, readCredentials } from "@sluice/lib/connect";
import { errorText } from "@sluice/lib/errors";

export interface Assault {
	/** Whose credentials: a file in the data directory's folder, less ".json". */
	as: string;
	subject: string;
	/** In base64; "%k" in it is the number of the request, from 0. */
	payload: string;
	/** So many are sent before the first answer is awaited. */
	count?: number;
	/** Publishes with this reply subject, or with "" without one, and awaits no answer. */
	reply?: string;
	/** Sends what the server has said that it would not take. */
	oversize?: boolean;
}

export interface Attempt {
	/** How many answers came with each code; "" is a success, "none" is no answer. */
	codes: Record<string, number>;
	/** One message of each code. */
	errors: Record<string, string>;
	/** Numbers of the requests that succeeded. */
	accepted: number[];
	/** What the server said about the connection. */
	refused: string;
}

async function attempt(folder: string, assault: Assault): Promise<Attempt> {
	const { as, subject, payload, count = 1, reply, oversize = false } = assault;
	const result: Attempt = { codes: {}, errors: {}, accepted: [], refused: "" };
	const credentials = await readCredentials(`${folder}/${as}.json`);
	const nc = await connectNats({
		url: "nats://127.0.0.1:4222",
		credentials,
		name: credentials.name,
		waitOnFirstConnect: false,
	});
	void (async () => {
		for await (const status of nc.status()) {
			if (status.type === "error") result.refused = status.error.message;
		}
	})();
	if (oversize && nc.info) nc.info.max_payload = Number.MAX_SAFE_INTEGER;
	const bytes = Buffer.from(payload, "base64");
	const numbered = bytes.includes("%k");
	const content = (k: number) => (numbered ? bytes.toString().replaceAll("%k", `${k}`) : bytes);
	if (reply !== undefined) {
		nc.publish(subject, content(0), reply === "" ? {} : { reply });
		await nc.flush();
	} else {
		await Promise.all(Array.from({ length: count }, (_, k) => one(k)));
	}
	await nc.close();
	return result;

	async function one(k: number): Promise<void> {
		let code = "none";
		let error = "";
		try {
			const answer = await nc.request(subject, content(k), { timeout: oversize ? 2_000 : 60_000 });
			code = answer.headers?.get("Nats-Service-Error-Code") ?? "";
			error = answer.headers?.get("Nats-Service-Error") ?? "";
		} catch (thrown) {
			error = errorText(thrown);
		}
		result.codes[code] = (result.codes[code] ?? 0) + 1;
		result.errors[code] ??= error;
		if (code === "") result.accepted.push(k);
	}
}

const folder = process.argv[2] ?? "";
for (const line of (await Bun.stdin.text()).split("\n").filter(Boolean)) {
	const refusal = (thrown: unknown): Attempt => ({
		...{ codes: {}, errors: {}, accepted: [] },
		refused: errorText(thrown),
	});
	console.log(JSON.stringify(await attempt(folder, JSON.parse(line) as Assault).catch(refusal)));
}
process.exit(0);
