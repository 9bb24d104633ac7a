/**
 * Runs inside the sink's namespace: listens to a group, `IFACE-ADDRESS GROUP PORT`, says "listening", and prints for
 * each stream of the generator, when its first datagram comes, a line `{stream, atMs}`, by the wall clock.
 */
import { createSocket } from "node:dgram";

const [address = "", group = "", port = ""] = process.argv.slice(2);
/** dataplane-c/tools/stream.h: where the stream's number stands. */
const STREAM_OFFSET = 4;
const HEADER_BYTES = 24;

const seen = new Set<number>();
const socket = createSocket({ type: "udp4", reuseAddr: true });
socket.on("message", (payload) => {
	if (payload.length < HEADER_BYTES) return;
	const stream = payload.readUInt32LE(STREAM_OFFSET);
	if (seen.has(stream)) return;
	seen.add(stream);
	console.log(JSON.stringify({ stream, atMs: performance.timeOrigin + performance.now() }));
});
socket.bind(Number(port), group, () => {
	socket.addMembership(group, address);
	console.error("listening");
});
