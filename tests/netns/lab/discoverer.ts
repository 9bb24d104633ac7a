/**
 * Runs inside a relay's namespace: with the credentials of a file, asks by the NATS project's own client what services
 * there are, and prints all that answered as `{ping, info, stats}`: what `nats micro` does.
 */
import { Svcm } from "@nats-io/services";
import { connectNats, readCredentials } from "@sluice/lib/connect";

const credentials = await readCredentials(process.argv[2] ?? "");
const connection = await connectNats({ url: credentials.url, credentials, name: credentials.name });
const client = new Svcm(connection).client();
const ping = await Array.fromAsync(await client.ping());
const info = await Array.fromAsync(await client.info());
const stats = await Array.fromAsync(await client.stats());
console.log(JSON.stringify({ ping, info, stats }));
await connection.close();
