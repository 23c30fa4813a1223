//! The models that the fake lists, as either API describes one; calls may name any other.

use serde_json::json;

const ANTHROPIC: [(&str, &str); 4] = [
    ("claude-opus-5-5", "Claude Opus 5.5"),
    ("claude-sonnet-5-5", "Claude Sonnet 5.5"),
    ("claude-haiku-5-5", "Claude Haiku 5.5"),
    ("claude-fable-5-2", "Claude Fable 5.2"),
];

const GEMINI: [(&str, &str); 6] = [
    ("gemini-3.8-flash", "Gemini 3.8 Flash"),
    ("gemini-3.5-flash", "Gemini 3.5 Flash"),
    ("gemini-3.5-flash-lite", "Gemini 3.5 Flash-Lite"),
    ("gemini-2.5-pro", "Gemini 2.5 Pro"),
    ("gemini-2.5-flash", "Gemini 2.5 Flash"),
    ("gemini-embedding-001", "Gemini Embedding"),
];

fn anthropic_entry(id: &str, name: &str) -> String {
    format!(
        r#"{{"type":"model","id":"{id}","display_name":"{name}","created_at":"2026-09-29T00:00:00Z","max_input_tokens":1000000,"max_tokens":128000,"lifecycle":"active"}}"#
    )
}

/// The whole list, in one page.
pub(crate) fn anthropic_list() -> String {
    let entries: Vec<String> = ANTHROPIC.iter().map(|(id, name)| anthropic_entry(id, name)).collect();
    let (first, last) = (ANTHROPIC[0].0, ANTHROPIC[ANTHROPIC.len() - 1].0);
    format!(r#"{{"data":[{}],"has_more":false,"first_id":"{first}","last_id":"{last}"}}"#, entries.join(","))
}

/// One entry; `None` where there is no such model.
pub(crate) fn anthropic(id: &str) -> Option<String> {
    ANTHROPIC.iter().find(|(known, _)| *known == id).map(|(id, name)| anthropic_entry(id, name))
}

fn gemini_entry(id: &str, name: &str) -> serde_json::Value {
    let embeds = id.contains("embedding");
    let methods: &[&str] = match embeds {
        true => &["embedContent", "batchEmbedContents", "countTokens"],
        false => &["generateContent", "countTokens", "createCachedContent", "batchGenerateContent"],
    };
    json!({
        "name": format!("models/{id}"), "version": "001", "displayName": name,
        "description": format!("{name}, played by a fake"),
        "inputTokenLimit": if embeds { 2048 } else { 1_048_576 }, "outputTokenLimit": if embeds { 1 } else { 65_536 },
        "supportedGenerationMethods": methods, "temperature": 1, "topP": 0.95, "topK": 64, "maxTemperature": 2,
        "thinking": !embeds,
    })
}

/// The whole list, in one page.
pub(crate) fn gemini_list() -> String {
    let entries: Vec<_> = GEMINI.iter().map(|(id, name)| gemini_entry(id, name)).collect();
    json!({ "models": entries }).to_string()
}

/// One entry; `None` where there is no such model.
pub(crate) fn gemini(id: &str) -> Option<String> {
    GEMINI.iter().find(|(known, _)| *known == id).map(|(id, name)| gemini_entry(id, name).to_string())
}
