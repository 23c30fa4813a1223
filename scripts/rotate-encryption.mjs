//! `npm run rotate-encryption`: seals every credential with ENCRYPTION_KEY, so that ENCRYPTION_KEY_PREVIOUS can go.

import { main, runVisibly } from "./command.mjs";
import { buildGateway, database, loadEnvFile, secrets } from "./local.mjs";

await main(async () => {
  loadEnvFile();
  const report = (line) => console.log(`> ${line}`);
  const binary = await buildGateway({ report });
  const db = await database({ report });
  try {
    await runVisibly(binary, ["rotate-encryption"], { env: { ...process.env, ...secrets(), DATABASE_URL: db.url } });
  } finally {
    await db.stop();
  }
});
