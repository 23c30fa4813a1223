//! `npm run db:push`: brings the database's schema up to date by hand. The gateway also does so itself when it starts.

import { main, runVisibly } from "./command.mjs";
import { buildGateway, database, loadEnvFile, secrets } from "./local.mjs";

await main(async () => {
  loadEnvFile();
  const report = (line) => console.log(`> ${line}`);
  const binary = await buildGateway({ report });
  const db = await database({ report });
  try {
    await runVisibly(binary, ["migrate"], { env: { ...process.env, ...secrets(), DATABASE_URL: db.url } });
  } finally {
    await db.stop();
  }
});
