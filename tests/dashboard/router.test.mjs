//! Addresses of views.

import assert from "node:assert/strict";
import { test } from "node:test";

import { address, match, parse } from "../../public/js/router.js";

test("an address falls into path and query", () => {
  const table = [
    ["", [], {}],
    ["#/", [], {}],
    ["#/accounts", ["accounts"], {}],
    ["#/keys/key_1?span=7d&cursor=a%3Db", ["keys", "key_1"], { span: "7d", cursor: "a=b" }],
    ["#/accounts/acc%2F1/", ["accounts", "acc/1"], {}],
    ["#/accounts/%zz", ["accounts", "%zz"], {}],
  ];
  for (const [hash, path, query] of table) assert.deepEqual(parse(hash), { path, query }, hash);
});

test("what is empty stays out of an address, and an address reads back", () => {
  assert.equal(address("requests", { status: "", key: null, account: undefined }), "#/requests");
  const query = { provider: "gemini", cursor: "a&b=c" };
  assert.deepEqual(parse(address("requests", query)), { path: ["requests"], query });
});

test("the first route that fits is taken, with its parameters; else the first of all", () => {
  const table = [{ path: "overview", page: 1 }, { path: "keys", page: 2 }, { path: "keys/:id", page: 3 }];
  assert.deepEqual(match(table, "#/keys?x=1"), { path: "keys", page: 2, params: {}, query: { x: "1" } });
  assert.deepEqual(match(table, "#/keys/key_1"), { path: "keys/:id", page: 3, params: { id: "key_1" }, query: {} });
  assert.equal(match(table, "#/keys/a/b").page, 1);
  assert.equal(match(table, "#/nonsense?span=1h").page, 1);
  assert.equal(match(table, "").page, 1);
});
