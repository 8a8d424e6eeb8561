// POST /payments on Fastify and node-postgres, written by an experienced user of both.
import cluster from "node:cluster";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import Fastify from "fastify";
import pg from "pg";

const [port, processes] = process.argv.slice(2).map(Number);
const connections = Number(process.env.PEER_CONNECTIONS ?? 10);
// The same statement as the other peer's.
const source = readFileSync(new URL("../payment_sql.py", import.meta.url), "utf8");
const text = source.match(/CREATE = """([^]*?)"""/)[1];

function uuid7() {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Date.now(), 0, 6);
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

const order = {
  type: "object",
  required: ["accountId", "amount"],
  properties: {
    accountId: { type: "string", pattern: "^[A-Za-z0-9_][A-Za-z0-9_.:@+-]{0,127}$" },
    amount: { type: "string", pattern: "^-?[0-9]{1,13}([.][0-9]{1,2})?$" }, // A number is made one.
    currency: { type: "string", pattern: "^[A-Z]{3}$", default: "USD" },
    description: { type: "string", maxLength: 500, default: "" },
  },
};
const string = { type: "string" };
const payment = {
  type: "object",
  properties: {
    id: string, accountId: string, amount: string, currency: string, description: string,
    status: string, createdAt: string,
  },
};
const headers = {
  type: "object",
  required: ["idempotency-key"],
  properties: { "idempotency-key": { type: "string", minLength: 1, maxLength: 255 } },
};

async function serve() {
  const pool = new pg.Pool({
    connectionString: process.env.DATABASE_URL, min: connections, max: connections,
  });
  const app = Fastify();
  app.get("/readyz", async () => ({ status: "ok" }));
  const schema = { body: order, headers, response: { 201: payment } };
  app.post("/payments", { schema }, async (request, reply) => {
    const { accountId, currency, description } = request.body;
    const [whole, cents = ""] = request.body.amount.split(".");
    const amount = `${whole}.${cents.padEnd(2, "0")}`;
    const fingerprint = createHash("sha256")
      .update([accountId, amount, currency, description].join("\x1f")).digest();
    const key = request.headers["idempotency-key"];
    const values = [uuid7(), key, fingerprint, accountId, amount, currency, description];
    const { rows } = await pool.query({ name: "create", text, values });
    const [row] = rows;
    if (!row.request_fingerprint.equals(fingerprint)) {
      return reply.code(422).send({ error: "the idempotency key was used for another payment" });
    }
    reply.code(201).header("location", `/payments/${row.id}`);
    return {
      id: row.id, accountId, amount, currency, description, status: "pending",
      createdAt: row.created_at.toISOString(),
    };
  });
  await app.listen({ port, host: "127.0.0.1" });
  process.on("SIGTERM", () => process.exit(0));
}

if (processes > 1 && cluster.isPrimary) {
  for (let n = 0; n < processes; n++) cluster.fork();
  process.on("SIGTERM", () => process.exit(0));
} else {
  await serve();
}
