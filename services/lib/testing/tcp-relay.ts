import { connect, createServer, type Socket } from "node:net";

export interface TcpRelay {
	readonly url: string;
	/** Ends what goes through it, and takes nothing until it is mended. */
	cut(): void;
	mend(): void;
	stop(): void;
}

/** A way to a port of the loopback that can be cut while others go on. */
export async function startTcpRelay(port: number): Promise<TcpRelay> {
	const sockets = new Set<Socket>();
	let whole = true;
	const server = createServer((near) => {
		if (!whole) return void near.destroy();
		const far = connect(port, "127.0.0.1");
		for (const [from, to] of [
			[near, far],
			[far, near],
		] as const) {
			sockets.add(from);
			from.pipe(to);
			from.on("error", () => {});
			from.on("close", () => {
				sockets.delete(from);
				to.destroy();
			});
		}
	});
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	const address = server.address();
	if (address === null || typeof address === "string") throw new Error("the loopback gives no port");
	const cut = () => {
		whole = false;
		for (const socket of sockets) socket.destroy();
	};
	return {
		url: `nats://127.0.0.1:${address.port}`,
		cut,
		mend: () => {
			whole = true;
		},
		stop: () => {
			cut();
			server.close();
		},
	};
}
