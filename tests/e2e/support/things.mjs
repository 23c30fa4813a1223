//! What lives on an account, through the official SDKs: made, listed, used and deleted by one caller, beside another.

import assert from "node:assert/strict";

import Anthropic, { toFile } from "@anthropic-ai/sdk";
import { GoogleGenAI } from "@google/genai";

const CLAUDE_MODEL = "claude-haiku-4-5";
const GEMINI_MODEL = "gemini-2.5-flash";

async function all(pages) {
  const items = [];
  for await (const item of pages) items.push(item);
  return items;
}

/** Anthropic's files and message batches. */
export async function anthropicThings(gateway, [ours, theirs]) {
  const [own, other] = [ours, theirs].map((apiKey) => new Anthropic({ baseURL: gateway.address, apiKey, maxRetries: 0 }));
  const files = [];
  for (const number of [1, 2, 3]) {
    files.push(await own.files.upload({ file: await toFile(Buffer.from(`text ${number}`), `${number}.txt`, { type: "text/plain" }) }));
  }
  await other.files.upload({ file: await toFile(Buffer.from("secret"), "theirs.txt") });
  assert.deepEqual((await all(own.files.list({ limit: 2 }))).map((file) => file.filename), ["3.txt", "2.txt", "1.txt"]);
  assert.equal((await all(other.files.list())).length, 1);
  assert.equal(await (await own.files.download(files[0].id)).text(), "text 1");
  const document = (file) => ({ type: "document", source: { type: "file", file_id: file.id } });
  const ask = { model: CLAUDE_MODEL, max_tokens: 100, messages: [{ role: "user", content: files.map(document) }] };
  assert.equal((await own.messages.create(ask)).stop_reason, "end_turn");
  await assert.rejects(other.messages.create(ask), Anthropic.NotFoundError);
  await assert.rejects(other.files.retrieveMetadata(files[0].id), Anthropic.NotFoundError);
  await own.files.delete(files[2].id);
  await assert.rejects(own.files.download(files[2].id), Anthropic.NotFoundError);

  const requests = ["a", "b"].map((custom_id) => ({ custom_id, params: { ...ask, messages: [{ role: "user", content: `[[say ${custom_id}]]` }] } }));
  const batch = await own.messages.batches.create({ requests });
  assert.equal(batch.processing_status, "in_progress");
  const results = await all(await own.messages.batches.results(batch.id));
  assert.deepEqual(results.map(({ custom_id, result }) => [custom_id, result.message.content.at(-1).text]), [["a", "a"], ["b", "b"]]);
  assert.deepEqual((await all(own.messages.batches.list({ limit: 1 }))).map(({ id }) => id), [batch.id]);
  assert.deepEqual(await all(other.messages.batches.list()), []);
  await assert.rejects(other.messages.batches.results(batch.id), Anthropic.NotFoundError);
  await assert.rejects(other.messages.batches.cancel(batch.id), Anthropic.NotFoundError);
  await own.messages.batches.delete(batch.id);
  return batch.id;
}

/** Gemini's files, cached contents and batches. */
export async function geminiThings(gateway, [ours, theirs]) {
  const clients = [ours, theirs].map((apiKey) => new GoogleGenAI({ apiKey, httpOptions: { baseUrl: gateway.address } }));
  const [own, other] = clients;
  const missing = (error) => error.status === 404;
  const file = await own.files.upload({ file: new Blob(["hello"]), config: { mimeType: "text/plain", displayName: "ours" } });
  assert.equal(file.sizeBytes, "5");
  const secret = await other.files.upload({ file: new Blob(["secret"]), config: { mimeType: "text/plain" } });
  assert.deepEqual((await all(await own.files.list())).map(({ name }) => name), [file.name]);
  assert.equal((await own.files.get({ name: file.name })).displayName, "ours");
  await assert.rejects(own.files.get({ name: secret.name }), missing);
  const contents = [{ role: "user", parts: [{ fileData: { fileUri: file.uri, mimeType: file.mimeType } }, { text: "[[say read]]" }] }];
  assert.equal((await own.models.generateContent({ model: GEMINI_MODEL, contents })).text, "read");
  await assert.rejects(other.models.generateContent({ model: GEMINI_MODEL, contents }), missing);

  const cache = await own.caches.create({ model: GEMINI_MODEL, config: { contents, ttl: "300s" } });
  const cached = { model: GEMINI_MODEL, contents: "[[say cached]]", config: { cachedContent: cache.name } };
  assert.equal((await own.models.generateContent(cached)).text, "cached");
  await assert.rejects(other.models.generateContent(cached), missing);
  await own.caches.update({ name: cache.name, config: { ttl: "600s" } });
  assert.deepEqual((await all(await own.caches.list())).map(({ name }) => name), [cache.name]);
  await assert.rejects(other.caches.delete({ name: cache.name }), missing);
  await own.caches.delete({ name: cache.name });

  const batch = await own.batches.create({ model: GEMINI_MODEL, src: [{ contents: [{ parts: [{ text: "[[say batched]]" }] }] }] });
  const done = await own.batches.get({ name: batch.name });
  assert.equal(done.state, "JOB_STATE_SUCCEEDED");
  assert.equal(done.dest.inlinedResponses[0].response.candidates[0].content.parts.at(-1).text, "batched");
  assert.deepEqual((await all(await own.batches.list())).map(({ name }) => name), [batch.name]);
  assert.deepEqual(await all(await other.batches.list()), []);
  await assert.rejects(other.batches.get({ name: batch.name }), missing);
  await own.batches.cancel({ name: batch.name });
  await own.batches.delete({ name: batch.name });
  await own.files.delete({ name: file.name });
  assert.deepEqual(await all(await own.files.list()), []);
  return batch.name;
}
