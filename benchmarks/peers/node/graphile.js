// graphile-worker's jobs: nothing, or a stamp of their delay. PEER_* can be tried otherwise.
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { Logger, makeWorkerUtils, run, runMigrations } from "graphile-worker";

const connectionString = process.env.DATABASE_URL;
const setting = (name, value) => Number(process.env[name] ?? value);
const silent = new Logger(() => () => {});
const [command, kind, ...numbers] = process.argv.slice(2);

async function install() {
  await runMigrations({ connectionString, logger: silent });
}

async function fill(jobs) {
  const utils = await makeWorkerUtils({ connectionString, logger: silent });
  for (let first = 1; first <= jobs; first += 5000) {
    const length = Math.min(5000, jobs - first + 1);
    const batch = Array.from({ length }, (_, i) => ({
      identifier: "job",
      payload: { payment: first + i },
    }));
    await utils.addJobs(batch);
  }
  await utils.withPgClient(async (client) => {
    await client.query("VACUUM ANALYZE");
    await client.query("CHECKPOINT");
  });
  await utils.release();
}

async function pace(jobs, rate) {
  const utils = await makeWorkerUtils({ connectionString, logger: silent });
  const begun = Date.now();
  const added = [];
  for (let number = 0; number < jobs; number++) {
    await sleep(Math.max(0, begun + (number * 1000) / rate - Date.now()));
    const askedAt = performance.timeOrigin + performance.now();
    added.push(utils.addJob("job", { askedAt }));
  }
  await Promise.all(added);
  await utils.release();
}

// A backlog is fetched and completed in batches; a single job is best taken and finished at once.
async function work() {
  console.log("ready");
  await once(process.stdin, "data");
  const delays = [];
  const stamp = (payload) => {
    delays.push((performance.timeOrigin + performance.now() - payload.askedAt) / 1000);
  };
  const batched = {
    concurrentJobs: setting("PEER_CONCURRENCY", 24),
    localQueue: { size: setting("PEER_BATCH", 500) },
    completeJobBatchDelay: setting("PEER_DELAY", 0),
  };
  const runner = await run({
    noHandleSignals: true,
    taskList: { job: kind === "stamp" ? stamp : () => {} },
    preset: {
      worker: {
        connectionString,
        maxPoolSize: setting("PEER_CONNECTIONS", 10),
        logger: silent,
        ...(kind === "stamp" ? { concurrentJobs: 4 } : batched),
      },
    },
  });
  process.on("SIGTERM", () => runner.stop());
  await runner.promise;
  process.stdin.destroy();
  console.log(JSON.stringify(delays));
}

const commands = { install, fill, pace, work };
await commands[command](...numbers.map(Number));
