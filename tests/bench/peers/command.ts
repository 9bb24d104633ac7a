/** Whatever the user names: a process for each stream and output, by a template. */

import { ADDRESSES } from "../network.ts";
import { fillTemplate } from "../template.ts";
import { IN, OUT, type Peer, pairs } from "./peer.ts";
import { startProcesses } from "./process-peer.ts";

export function commandPeer(template: string): Peer {
	return {
		name: "command",
		about: template,
		absent: () => undefined,
		unable: (task) => (task.idleRules > 0 ? "it has no rules" : undefined),
		version: async () => undefined,
		async start(network, task) {
			const commands = pairs(task).map(({ group, to }) =>
				fillTemplate(template, {
					...{ in: IN.interface, group, port: `${IN.port}`, "in-address": ADDRESSES.input },
					...{ out: OUT.interface, to, "to-port": `${OUT.port}`, "out-address": ADDRESSES.output },
				}),
			);
			return startProcesses(
				network,
				commands.map((command) => ["sh", "-c", command]),
			);
		},
	};
}
