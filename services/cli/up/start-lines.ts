import type { ServerTrust } from "@sluice/lib/config";
import { type RelaySettings, relaySettings } from "@sluice/lib/relay-settings";
import { WORKER_USER } from "./accounts.ts";
import type { ListenAddress } from "./listen-address.ts";

/** What the services of one host are all told. */
export interface StartHome {
	readonly hostId: string;
	/** Start of what began them all, Unix milliseconds. */
	readonly incarnation: string;
	readonly natsUrl: string;
	/** By what services know that server; absent: it speaks no TLS. */
	readonly trust?: ServerTrust;
	/** Touched while the service is well; absent: nobody looks. */
	readonly aliveFile?: string;
}

export interface ControlApiStart {
	readonly http: ListenAddress;
	readonly httpToken: string;
}

export interface SupervisorStart {
	readonly installation: string;
	/** What else it has is not told. */
	readonly relay: RelaySettings;
	readonly workerSeed: string;
	readonly trust?: ServerTrust;
	/** Holds bun, worker.js and libsluice.so, where the workers' user can read them. */
	readonly stageDir: string;
	readonly keepFile: string;
}

/** What only one kind of service is told, by the names of its configuration. */
export type OwnStart = Readonly<Record<string, unknown>>;

const LOG_LEVEL = "info";

export function controlApiStart({ http, httpToken }: ControlApiStart): OwnStart {
	return { httpAddress: http.address, httpPort: http.port, httpToken };
}

export function supervisorStart(settings: SupervisorStart): OwnStart {
	const { installation, relay, workerSeed, trust, stageDir, keepFile } = settings;
	return {
		installation,
		...relayStart(relay),
		workerCredentials: { kind: "nkey", seed: workerSeed, ...trust },
		stageDir,
		workerUser: WORKER_USER,
		keepFile,
	};
}

/** These alone: the supervisor refuses a name that it does not know. */
function relayStart(relay: RelaySettings): OwnStart {
	return Object.fromEntries(relaySettings.keyof().options.map((name) => [name, relay[name]]));
}

/** The line that a service reads from its standard input at its start; it holds its key. */
export function startLine(home: StartHome, service: string, seed: string, own: OwnStart): string {
	const { hostId, incarnation, natsUrl, aliveFile } = home;
	const credentials = { kind: "nkey", seed, ...home.trust };
	return JSON.stringify({
		service,
		hostId,
		incarnation,
		natsUrl,
		credentials,
		logLevel: LOG_LEVEL,
		aliveFile,
		...own,
	});
}
