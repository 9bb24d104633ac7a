/**
 * Runs inside a relay's namespace: writes what each line of stdin says to control-api's HTTP port, byte for byte, and
 * prints for each one line, a `Conversation`. With `hold` it opens connections, says so, and keeps them until they close.
 */
export interface Utterance {
	/** Latin-1; a server's own client would refuse most of it. */
	text: string;
	/** Written so often, and as many answers awaited. Default 1. */
	times?: number;
	/** So many connections do the same at once. Default 1. */
	connections?: number;
	/** Awaits no answer: keeps the connections, adding this text each second, until the server closes them. */
	hold?: string;
}

export interface Conversation {
	/** How many answers came with each status. */
	statuses: Record<string, number>;
	/** Body of the last answer. */
	body: string;
	/** Connections that the server closed before everything was answered. */
	closed: number;
}

const STATUS = /HTTP\/1\.1 (\d{3}) /g;

async function speak({ text, times = 1, hold }: Utterance, into: Conversation): Promise<void> {
	const ended = Promise.withResolvers<void>();
	let rest = Buffer.from(text.repeat(times), "latin1");
	let answers = 0;
	let tail = "";
	const write = (socket: Bun.Socket) => {
		rest = rest.subarray(socket.write(rest));
	};
	const socket = await Bun.connect({
		hostname: "127.0.0.1",
		port: 7080,
		socket: {
			open: write,
			drain: write,
			data(socket, chunk) {
				// A status line may come in two pieces; what has been counted must not come again.
				tail += chunk.toString("latin1");
				const found = [...tail.matchAll(STATUS)];
				for (const { 1: status = "" } of found) into.statuses[status] = (into.statuses[status] ?? 0) + 1;
				answers += found.length;
				const last = found.at(-1);
				if (last) tail = tail.slice(last.index + last[0].length);
				into.body = tail.slice(tail.indexOf("\r\n\r\n") + 4);
				if (hold === undefined && answers === times && /content-length: (\d+)/i.test(tail)) {
					const length = Number(/content-length: (\d+)/i.exec(tail)?.[1]);
					if (into.body.length >= length) socket.end();
				}
			},
			close() {
				if (answers < times) into.closed += 1;
				ended.resolve();
			},
			error() {},
		},
	});
	const drip = hold ? setInterval(() => socket.write(hold), 1_000) : undefined;
	await ended.promise;
	clearInterval(drip);
}

for (const line of (await Bun.stdin.text()).split("\n").filter(Boolean)) {
	const utterance = JSON.parse(line) as Utterance;
	const conversation: Conversation = { statuses: {}, body: "", closed: 0 };
	const all = Array.from({ length: utterance.connections ?? 1 }, () => speak(utterance, conversation));
	if (utterance.hold !== undefined) console.error("holding");
	await Promise.all(all);
	console.log(JSON.stringify(conversation));
}
