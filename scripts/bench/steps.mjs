//! The loads: how requests come, what they carry, and what the fake upstream answers.

const STAMP = "{sent_at_micros}"; // the fake writes the time of sending over it
const MODEL = "claude-sonnet-5-5";
const USAGE = { input: 1200, output: 107 };

/** The steps, in their order; quick ones measure for a second. */
export function steps(quick) {
  const measure_ms = quick ? 1_000 : 2_000;
  const warm_up_ms = quick ? 300 : 700;
  const plain = { answer: [message()], usage: USAGE, body: request(1_000, false), warm_up_ms };
  const streamed = (events, gap) => ({ answer: stream(events), gap, usage: USAGE, body: request(1_000, true), warm_up_ms });
  return [
    { name: "64 connections", shows: "throughput", load: { closed: { connections: 64, measure_ms } }, ...plain },
    { name: "1 connection", shows: "latency", load: { closed: { connections: 1, measure_ms } }, ...plain },
    { name: "200 requests/s", shows: "latency", load: { open: { per_second: 200, measure_ms: 2 * measure_ms } }, ...plain },
    {
      name: "400 kB bodies, 1 connection", shows: "latency", load: { closed: { connections: 1, measure_ms } },
      ...plain, body: request(400_000, false),
    },
    {
      name: "50 streams/s of 100 events, 5 ms apart", shows: "stream", perEvent: true,
      load: { open: { per_second: 50, measure_ms: 2 * measure_ms } }, ...streamed(100, 5),
    },
    {
      name: `${quick ? 200 : 2_000} streams at once, 50 ms between events`, shows: "crowd", perEvent: true, rounds: quick ? 1 : 3,
      load: { together: { count: quick ? 200 : 2_000, ramp_ms: 1_000 } }, ...streamed(60, 50), warm_up_ms: 0,
    },
  ];
}

/** What the fake is told: these pieces, one after the other. A single piece is sent with its length, as a plain answer is. */
export function script({ answer, gap = 0 }) {
  const head = answer.length === 1 ? [["content-type", "application/json"]] : [];
  return { answer: { headers: head, body: { chunks: answer.map((data, index) => ({ after_ms: index > 0 ? gap : 0, data })) } } };
}

/** A prompt of so many bytes. */
function request(bytes, stream) {
  return JSON.stringify({ model: MODEL, max_tokens: 1024, stream, messages: [{ role: "user", content: "word ".repeat(bytes / 5) }] });
}

function message() {
  return JSON.stringify({
    id: "msg_01Bench", type: "message", role: "assistant", model: MODEL, content: [{ type: "text", text: "word ".repeat(80) }],
    stop_reason: "end_turn", stop_sequence: null, usage: { input_tokens: USAGE.input, output_tokens: USAGE.output },
  });
}

/** A stream of so many events, each of which tells when it was sent. */
function stream(events) {
  const usage = { input_tokens: USAGE.input, output_tokens: 1 };
  const message = { id: "msg_01Bench", type: "message", role: "assistant", model: MODEL, content: [], stop_reason: null, usage };
  const deltas = Array.from({ length: events - 5 }, (_, index) =>
    event("content_block_delta", { index: 0, delta: { type: "text_delta", text: ` ${index} ${STAMP}` } }));
  return [
    event("message_start", { message }),
    event("content_block_start", { index: 0, content_block: { type: "text", text: "" } }),
    ...deltas,
    event("content_block_stop", { index: 0 }),
    event("message_delta", { delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: USAGE.output } }),
    event("message_stop", {}),
  ];
}

function event(type, fields) {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`;
}
