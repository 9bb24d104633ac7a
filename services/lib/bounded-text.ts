import { createReadStream } from "node:fs";
import { SluiceError } from "./errors.ts";

/** Reads UTF-8 text of a file, which may be a pipe or a device without an end. @throws SluiceError `too_large`. */
export async function readBoundedFile(path: string, limitBytes: number): Promise<string> {
	return await readBounded(createReadStream(path), path, limitBytes);
}

/** Reads a stream to its end, and no further than the limit. @param name for the error. */
export async function readBounded(
	stream: AsyncIterable<Uint8Array>,
	name: string,
	limitBytes: number,
): Promise<string> {
	const chunks: Uint8Array[] = [];
	let bytes = 0;
	for await (const chunk of stream) {
		bytes += chunk.length;
		if (bytes > limitBytes) {
			throw new SluiceError("too_large", `${name} has over ${limitBytes} bytes: name another file`);
		}
		chunks.push(chunk);
	}
	return Buffer.concat(chunks).toString("utf8");
}
