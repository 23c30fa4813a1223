//! Asks for streams and reads them as they come, noting when each event was there.

/** Asks for a streamed message as Anthropic's API has it. */
export function streamedMessage(gateway, key, prompt) {
  return fetch(`${gateway.address}/v1/messages`, {
    method: "POST",
    headers: { "content-type": "application/json", "anthropic-version": "2023-06-01", "x-api-key": key },
    body: JSON.stringify({ model: "claude-sonnet-5-5", max_tokens: 100, stream: true, messages: [{ role: "user", content: prompt }] }),
  });
}

/** Asks for a stream of server-sent events as Google's API has it. */
export function streamedContent(gateway, key, prompt) {
  return fetch(`${gateway.address}/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-goog-api-key": key },
    body: JSON.stringify({ contents: [{ role: "user", parts: [{ text: prompt }] }] }),
  });
}

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
