//! Reads a stream as it comes, and tells when each event was there.

const EVENT_END = /\r?\n\r?\n/;

/** Yields each server-sent event of a response body with the time, in milliseconds, at which its last byte was read. */
export async function* eventsOf(response) {
  const decoder = new TextDecoder();
  let pending = "";
  for await (const chunk of response.body) {
    const at = performance.now();
    const events = (pending + decoder.decode(chunk, { stream: true })).split(EVENT_END);
    pending = events.pop();
    for (const text of events) yield { text, at };
  }
  if (pending.trim()) throw new Error(`the stream ended within an event: ${pending}`);
}

/** The waits before each event, but for the first. */
export function gapsOf(events) {
  return events.slice(1).map((event, index) => event.at - events[index].at);
}
