import { until } from "./commands.ts";
import type { Namespace } from "./namespace.ts";

const ROOT = `${import.meta.dir}/../../..`;

interface Message {
	subject: string;
	type: string;
	/** Of its JSON. */
	body: Record<string, unknown>;
}

/** What somebody hears who has a credentials file and subscribes, as `nats sub` would. */
export class Watching {
	readonly heard: Message[] = [];
	readonly #child: Bun.Subprocess<"ignore" | "pipe", "pipe", "pipe">;

	private constructor(child: Bun.Subprocess<"ignore" | "pipe", "pipe", "pipe">) {
		this.#child = child;
	}

	static async start(namespace: Namespace, credentials: string, ...subjects: string[]): Promise<Watching> {
		const program = [`${ROOT}/.tools/bin/bun`, `${import.meta.dir}/watcher.ts`];
		const watching = new Watching(namespace.start([...program, credentials, ...subjects]));
		let ready = false;
		void watching.#follow(() => {
			ready = true;
		});
		await until("the watcher listens", () => ready || undefined);
		return watching;
	}

	/** The first message from `mark` on that fits. */
	async next(what: string, fits: (message: Message) => boolean, mark = 0): Promise<Message> {
		return await until(what, () => this.heard.slice(mark).find(fits)).catch((late: Error) => {
			const subjects = this.heard
				.slice(mark)
				.map(({ subject, body }) => `${subject} ${JSON.stringify(body)}`);
			throw new Error(`${late.message}; heard:\n${subjects.join("\n")}`);
		});
	}

	stop(): void {
		this.#child.kill("SIGTERM");
	}

	async #follow(onReady: () => void): Promise<void> {
		const decoder = new TextDecoder();
		let rest = "";
		for await (const bytes of this.#child.stdout) {
			const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
			rest = lines.pop() ?? "";
			for (const line of lines) {
				const message = JSON.parse(line) as "ready" | { subject: string; type: string; text: string };
				if (message === "ready") onReady();
				else this.heard.push({ ...message, body: JSON.parse(message.text) as Record<string, unknown> });
			}
		}
	}
}
