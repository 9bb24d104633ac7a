/** What a worker's lines are marked with on their way into the host's one log. */
export interface LineOrigin {
	readonly host: string;
	readonly worker: number;
	readonly core: number;
}

/** Longer lines are cut: nobody's log grows without a limit. */
const LINE_LIMIT = 16_384;

/** Passes a worker's standard error on, line by line, each as JSON with its origin. */
export async function relayLines(
	stream: ReadableStream<Uint8Array>,
	origin: LineOrigin,
	write: (line: string) => void,
): Promise<void> {
	const decoder = new TextDecoder();
	let rest = "";
	for await (const chunk of stream) {
		rest += decoder.decode(chunk, { stream: true });
		const lines = rest.split("\n");
		rest = (lines.pop() ?? "").slice(0, LINE_LIMIT);
		for (const line of lines) if (line.trim() !== "") write(markLine(line, origin));
	}
	if (rest.trim() !== "") write(markLine(rest, origin));
}

/** What is not JSON is the runtime's own: a crash report, for instance. */
export function markLine(line: string, origin: LineOrigin): string {
	const fields = parseObject(line) ?? {
		level: "error",
		time: Date.now(),
		service: "worker",
		facility: "runtime",
		msg: line.slice(0, LINE_LIMIT),
	};
	return JSON.stringify({ ...fields, ...origin });
}

function parseObject(line: string): object | undefined {
	if (!line.startsWith("{")) return undefined;
	try {
		const value: unknown = JSON.parse(line);
		return typeof value === "object" && value !== null ? value : undefined;
	} catch {
		return undefined;
	}
}
