export interface RawMessage {
	readonly subject: string;
	/** Lines, without the one that names the protocol. */
	readonly headers: readonly string[];
	readonly reply?: string;
	readonly payload?: string;
}

/** Publishes headers byte for byte, which no client would send so. Resolves when the server has passed them on. */
export async function publishRaw(
	port: number,
	{ subject, headers, reply = "", payload = "" }: RawMessage,
): Promise<void> {
	const head = `NATS/1.0\r\n${headers.map((line) => `${line}\r\n`).join("")}\r\n`;
	const size = `${Buffer.byteLength(head)} ${Buffer.byteLength(head) + Buffer.byteLength(payload)}`;
	const served = Promise.withResolvers<void>();
	let heard = "";
	const socket = await Bun.connect({
		hostname: "127.0.0.1",
		port,
		socket: {
			data(_, bytes) {
				heard += bytes.toString();
				if (heard.includes("-ERR")) served.reject(new Error(heard));
				else if (heard.includes("PONG\r\n")) served.resolve();
			},
			close: () => served.reject(new Error(`closed: ${heard}`)),
		},
	});
	socket.write(
		`CONNECT {"headers":true,"verbose":false}\r\nHPUB ${subject} ${reply} ${size}\r\n${head}${payload}\r\nPING\r\n`,
	);
	await served.promise;
	socket.end();
}
