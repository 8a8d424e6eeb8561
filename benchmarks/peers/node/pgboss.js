// pg-boss' jobs, which do nothing: its own `fetch` and `complete` in a loop, since its `work` sleeps
// for at least half a second after each batch. PEER_* can be tried otherwise.
import { once } from "node:events";
import pg from "pg";
import PgBoss from "pg-boss";

const connectionString = process.env.DATABASE_URL;
const setting = (name, value) => Number(process.env[name] ?? value);
const [command, , ...numbers] = process.argv.slice(2);

const boss = new PgBoss({ connectionString, supervise: false, schedule: false });
boss.on("error", console.error);
await boss.start();

async function install() {
  await boss.createQueue("job");
}

async function fill(jobs) {
  for (let first = 1; first <= jobs; first += 5000) {
    const length = Math.min(5000, jobs - first + 1);
    const batch = Array.from({ length }, (_, i) => ({ name: "job", data: { payment: first + i } }));
    await boss.insert(batch);
  }
  const client = new pg.Client({ connectionString });
  await client.connect();
  await client.query("VACUUM ANALYZE");
  await client.query("CHECKPOINT");
  await client.end();
}

async function work() {
  let stopping = false;
  process.on("SIGTERM", () => (stopping = true));
  console.log("ready");
  await once(process.stdin, "data");
  const lane = async () => {
    while (!stopping) {
      const jobs = await boss.fetch("job", { batchSize: setting("PEER_BATCH", 1000) });
      if (jobs.length === 0) await new Promise((resolve) => setTimeout(resolve, 50));
      else await boss.complete("job", jobs.map((job) => job.id));
    }
  };
  await Promise.all(Array.from({ length: setting("PEER_CONCURRENCY", 2) }, lane));
}

const commands = { install, fill, work };
await commands[command](...numbers.map(Number));
process.stdin.destroy();
await boss.stop({ graceful: false });
