//! The loads: how requests come, what they carry, and what the fake upstream answers.

const STAMP = "{sent_at_micros}"; // the fake writes the time of sending over it
const MODEL = "claude-sonnet-5-5";
const USAGE = { input: 1200, output: 107 };

/** Who is measured; the function only where a request is all there is to it. */
export const TARGETS = ["direct", "nginx", "gateway", "function"];
const WITHOUT_FUNCTION = TARGETS.filter((target) => target !== "function");

/** The steps by their names, in their order; each measures for so long, or a multiple of it, and has a crowd of so many streams. */
export function steps({ measure_ms, crowd, crowdRounds }) {
  const warm_up_ms = Math.round(Math.min(700, measure_ms / 3));
  const closed = (connections) => ({ closed: { connections, measure_ms } });
  const open = (per_second) => ({ open: { per_second, measure_ms: 2 * measure_ms } });
  const plain = { shows: "latency", targets: TARGETS, answer: [message()], usage: USAGE, body: request(1_000, false), warm_up_ms };
  const streamed = (events, gap) => ({
    perEvent: true, targets: WITHOUT_FUNCTION, answer: stream(events), gap, usage: USAGE, body: request(1_000, true), warm_up_ms,
  });
  return {
    busy: { ...plain, name: "64 connections", shows: "throughput", load: closed(64) },
    alone: { ...plain, name: "1 connection", load: closed(1) },
    rate: { ...plain, name: "200 requests/s", load: open(200) },
    large: { ...plain, name: "400 kB bodies, 1 connection", targets: WITHOUT_FUNCTION, load: closed(1), body: request(400_000, false) },
    streams: { ...streamed(100, 5), name: "50 streams/s of 100 events, 5 ms apart", shows: "stream", load: open(50) },
    dense: { ...streamed(100, 0), name: "16 streams of 100 events, back to back", shows: "cost", load: closed(16) },
    crowd: {
      ...streamed(60, 50), name: `${crowd.toLocaleString("en")} streams at once, 50 ms between events`, shows: "crowd", rounds: crowdRounds,
      load: { together: { count: crowd, ramp_ms: 1_000 } }, warm_up_ms: 0,
    },
  };
}

/** Loads that tell how many requests one statement carries. */
export function batchLoads({ measure_ms }) {
  const { busy, rate, alone } = steps({ measure_ms, crowd: 0 });
  const crowded = { ...busy, name: "256 connections", load: { closed: { connections: 256, measure_ms } } };
  return [alone, rate, busy, crowded];
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
