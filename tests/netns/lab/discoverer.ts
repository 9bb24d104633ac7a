/**
 * Runs inside a relay's namespace: `FILE [NAME [ID]]`, with the credentials of a file, asks by the NATS project's own client
 * what services there are, of that name and id alone if given, and prints all that answered as `{ping, info, stats}`:
 * what `nats micro` does.
 */
import { Svcm } from "@nats-io/services";
import { connectNats, readCredentials } from "@sluice/lib/connect";

const [file = "", name = "", id = ""] = process.argv.slice(2);
const credentials = await readCredentials(file);
const connection = await connectNats({ url: credentials.url, credentials, name: credentials.name });
const client = new Svcm(connection).client();
const ping = await Array.fromAsync(await client.ping(name, id));
const info = await Array.fromAsync(await client.info(name, id));
const stats = await Array.fromAsync(await client.stats(name, id));
console.log(JSON.stringify({ ping, info, stats }));
await connection.close();
