// Sends charging sessions to Carbonflow: NDJSON on standard input, a session a line in the fields of
// the Avro schema whose file is the only argument. It ends with 0 when the broker has acknowledged
// all of them, and with 1 at the first line that is no session.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import process, { argv, env, exit, stdin } from "node:process";
import avro from "avsc";
import { CompressionTypes, Kafka, Partitioners, logLevel } from "kafkajs";

// The id of charging_session.v1 in schemas/catalogue.json: no registry is needed to know it.
const CATALOGUE_ID = 1;
const BATCH = 1000;
const REGISTRY_MS_MAX = 10_000;

/** Return the id of the schema: the registry's where there is one. */
async function schemaId(topic, text) {
  if (!env.CARBONFLOW_SCHEMA_REGISTRY_URL) return CATALOGUE_ID;
  const url = `${env.CARBONFLOW_SCHEMA_REGISTRY_URL.replace(/\/+$/, "")}/subjects/${topic}-value`;
  const answer = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/vnd.schemaregistry.v1+json" },
    body: JSON.stringify({ schema: text }),
    signal: AbortSignal.timeout(REGISTRY_MS_MAX),
  });
  const said = await answer.text();
  const id = answer.ok ? JSON.parse(said).id : undefined;
  if (!Number.isInteger(id)) throw new Error(`the registry answers ${answer.status}: ${said}`);
  return id;
}

/** Return the five bytes before a record: zero, and the id of its schema. */
function frame(id) {
  const bytes = Buffer.alloc(5);
  bytes.writeUInt32BE(id, 1);
  return bytes;
}

/** Return a session as a message: its account is the key, the value is frame and Avro. */
function messageOf(type, head, line) {
  const session = JSON.parse(line);
  type.isValid(session, {
    noUndeclaredFields: true,
    errorHook: (path, any) => {
      throw new Error(`${path.join(".") || "it"} is wrong: ${JSON.stringify(any)}`);
    },
  });
  return { key: session.account_id, value: Buffer.concat([head, type.toBuffer(session)]) };
}

/** Send every line; `delivered` is told how many records the broker has acknowledged. */
async function send(path, delivered) {
  const text = readFileSync(path, "utf-8");
  const type = avro.Type.forSchema(JSON.parse(text), { wrapUnions: false });
  const topic = `${env.CARBONFLOW_PREFIX ?? ""}charging-sessions`;
  const head = frame(await schemaId(topic, text));
  const kafka = new Kafka({
    clientId: "carbonflow-producer",
    brokers: (env.CARBONFLOW_BOOTSTRAP || "127.0.0.1:9092").split(","),
    logLevel: logLevel.ERROR,
  });
  const producer = kafka.producer({
    idempotent: true,
    createPartitioner: Partitioners.DefaultPartitioner, // murmur2, as the Java client has it
  });
  let waiting = [];
  const flush = async () => {
    const messages = waiting.splice(0);
    if (messages.length === 0) return;
    await producer.send({ topic, messages, acks: -1, compression: CompressionTypes.GZIP });
    delivered(messages.length);
  };
  await producer.connect();
  try {
    let number = 0;
    for await (const line of createInterface({ input: stdin, crlfDelay: Infinity })) {
      number += 1;
      try {
        waiting.push(messageOf(type, head, line));
      } catch (error) {
        await flush();
        throw new Error(`line ${number}: ${error.message}`);
      }
      if (waiting.length === BATCH) await flush();
    }
    await flush();
  } finally {
    await producer.disconnect();
  }
}

if (argv.length !== 3) {
  console.error("usage: node producer.js SCHEMA < sessions.ndjson");
  exit(2);
}
let acknowledged = 0;
try {
  await send(argv[2], (count) => (acknowledged += count));
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
console.log(`${acknowledged} records acknowledged`);
