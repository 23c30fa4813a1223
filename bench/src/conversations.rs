//! Requests and answers such as coding clients and their providers send.

use serde_json::{Value, json};

const TURNS: usize = 40;
const TOOLS: usize = 20;

/// A line of code, as tools show it: with quotes, tabs and other signs that JSON escapes.
fn code(turn: usize, lines: usize) -> String {
    (0..lines).map(|line| format!("{line:>5}\tlet value_{turn} = \"{line} \\u{{e9}}\\n\"; // é\n")).collect()
}

fn schema() -> Value {
    let field =
        json!({ "type": "string", "description": "The absolute path of the file, or a pattern that its name matches" });
    json!({ "type": "object", "properties": { "path": field, "pattern": field }, "required": ["path"] })
}

/// Claude Code in the middle of a task: each turn reads a file.
pub(crate) fn anthropic() -> Value {
    let tools: Vec<_> = (0..TOOLS)
        .map(|n| json!({ "name": format!("tool_{n}"), "description": "Reads a file. ".repeat(60), "input_schema": schema() }))
        .collect();
    let mut messages =
        vec![json!({ "role": "user", "content": [{ "type": "text", "text": "Mend the failing test." }] })];
    for turn in 0..TURNS {
        let id = format!("toolu_{turn:024}");
        messages.push(json!({ "role": "assistant", "content": [
            { "type": "thinking", "thinking": "What does the file say? ".repeat(4), "signature": "c2lnbmF0dXJl".repeat(10) },
            { "type": "tool_use", "id": id, "name": "tool_1", "input": { "path": format!("/src/{turn}.rs") } },
        ] }));
        messages.push(json!({ "role": "user", "content": [
            { "type": "tool_result", "tool_use_id": id, "content": [{ "type": "text", "text": code(turn, 32) }] },
        ] }));
    }
    json!({
        "model": "claude-opus-5", "max_tokens": 32_000, "stream": true,
        "system": [{ "type": "text", "text": "You help with code. ".repeat(600), "cache_control": { "type": "ephemeral" } }],
        "tools": tools, "messages": messages,
        "metadata": { "user_id": "user_0_account__session_00000000-0000-4000-8000-000000000000" },
    })
}

/// Gemini CLI at the same.
pub(crate) fn gemini() -> Value {
    let tools: Vec<_> = (0..TOOLS)
        .map(|n| json!({ "name": format!("tool_{n}"), "description": "Reads a file. ".repeat(60), "parameters": schema() }))
        .collect();
    let mut contents = vec![json!({ "role": "user", "parts": [{ "text": "Mend the failing test." }] })];
    for turn in 0..TURNS {
        let args = json!({ "path": format!("/src/{turn}.rs") });
        contents.push(json!({ "role": "model", "parts": [
            { "text": "What does the file say? ".repeat(4), "thought": true },
            { "functionCall": { "name": "tool_1", "args": args }, "thoughtSignature": "c2lnbmF0dXJl".repeat(10) },
        ] }));
        let response = json!({ "name": "tool_1", "response": { "output": code(turn, 32) } });
        contents.push(json!({ "role": "user", "parts": [{ "functionResponse": response }] }));
    }
    json!({
        "contents": contents, "tools": [{ "functionDeclarations": tools }],
        "systemInstruction": { "parts": [{ "text": "You help with code. ".repeat(600) }] },
        "generationConfig": { "maxOutputTokens": 32_000, "temperature": 0, "thinkingConfig": { "includeThoughts": true } },
    })
}

/// A stream of so many events.
pub(crate) fn anthropic_events(count: usize) -> Vec<String> {
    let usage = json!({ "input_tokens": 12, "cache_read_input_tokens": 80_000, "cache_creation_input_tokens": 900, "output_tokens": 1 });
    let message = json!({ "id": "msg_01", "type": "message", "role": "assistant", "model": "claude-opus-5", "content": [], "usage": usage });
    let event = |data: Value| format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default());
    let deltas = (0..count - 5).map(|n| {
        let delta = json!({ "type": "text_delta", "text": format!(" word \"{n}\"\n") });
        json!({ "type": "content_block_delta", "index": 0, "delta": delta })
    });
    let begin = [
        json!({ "type": "message_start", "message": message }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
    ];
    let end = [
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": 950 } }),
        json!({ "type": "message_stop" }),
    ];
    begin.into_iter().chain(deltas).chain(end).map(event).collect()
}

/// A stream of so many events; each brings the counts so far.
pub(crate) fn gemini_events(count: usize) -> Vec<String> {
    let event = |n: usize| {
        let mut candidate =
            json!({ "index": 0, "content": { "role": "model", "parts": [{ "text": format!(" word \"{n}\"\n") }] } });
        if n + 1 == count {
            candidate["finishReason"] = json!("STOP");
        }
        let usage = json!({
            "promptTokenCount": 81_000, "cachedContentTokenCount": 80_000, "candidatesTokenCount": 9 * n,
            "thoughtsTokenCount": 120, "totalTokenCount": 81_120 + 9 * n,
            "promptTokensDetails": [{ "modality": "TEXT", "tokenCount": 81_000 }],
        });
        let data = json!({
            "candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-3.8-pro", "responseId": "response",
        });
        format!("data: {data}\r\n\r\n")
    };
    (0..count).map(event).collect()
}
