/** A process that writes no line end must not fill our memory. */
const LINE_LIMIT_BYTES = 256_000;

/** Calls back for each line of a stream, until it ends. */
export async function readLines(
	stream: ReadableStream<Uint8Array>,
	onLine: (line: string) => void,
): Promise<void> {
	const decoder = new TextDecoder();
	let rest = "";
	for await (const bytes of stream) {
		const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
		rest = lines.pop() ?? "";
		for (const line of lines) {
			if (line !== "") onLine(line);
		}
		if (rest.length > LINE_LIMIT_BYTES) {
			onLine(rest);
			rest = "";
		}
	}
	if (rest !== "") onLine(rest);
}
