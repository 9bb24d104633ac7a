import { join } from "node:path";

/** Made by openssl, as an operator would. */
export class Certificates {
	constructor(readonly folder: string) {}

	path(file: string): string {
		return join(this.folder, file);
	}

	/** NAME.pem and NAME.key: who signs. */
	async authority(name: string): Promise<void> {
		await this.#openssl(
			...["req", "-x509", ...NEW_KEY, "-keyout", `${name}.key`, "-out", `${name}.pem`],
			...["-days", "30", "-subj", `/CN=${name}`],
		);
	}

	/** NAME.pem and NAME.key, signed by an authority. @param names "IP:127.0.0.1,DNS:nats.example" */
	async server(name: string, names: string, authority: string, days = 30): Promise<void> {
		await Bun.write(this.path(`${name}.ext`), `subjectAltName=${names}\n`);
		await this.#openssl(
			...["req", ...NEW_KEY, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`],
		);
		await this.#openssl(
			...["x509", "-req", "-in", `${name}.csr`, "-CA", `${authority}.pem`, "-CAkey", `${authority}.key`],
			...["-CAcreateserial", "-out", `${name}.pem`, "-days", `${days}`, "-extfile", `${name}.ext`],
		);
	}

	async #openssl(...argv: string[]): Promise<void> {
		const job = Bun.spawn(["openssl", ...argv], {
			cwd: this.folder,
			stdio: ["ignore", "ignore", "pipe"],
		});
		const complaints = await new Response(job.stderr).text();
		if ((await job.exited) !== 0) throw new Error(`openssl ${argv.join(" ")}: ${complaints}`);
	}
}

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
