//! Reads of a Messages request what decides the answer, and is content with anything else in it.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::Refusal;
use crate::{json, turn::Heard};

#[derive(Deserialize)]
pub(super) struct Request {
    #[serde(default)]
    pub(super) model: String,
    #[serde(default)]
    pub(super) stream: Option<bool>,
    messages: Option<Vec<Message>>,
    tools: Option<Vec<Tool>>,
    thinking: Option<Thinking>,
    output_config: Option<OutputConfig>,
    output_format: Option<Format>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: Box<RawValue>,
}

#[derive(Deserialize)]
struct Tool {
    name: Option<String>,
}

#[derive(Deserialize)]
struct Thinking {
    r#type: String,
    display: Option<String>,
}

#[derive(Deserialize)]
struct OutputConfig {
    format: Option<Format>,
}

#[derive(Deserialize)]
struct Format {
    schema: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Blocks(Vec<Block>),
}

#[derive(Deserialize)]
struct Block {
    r#type: String,
    text: Option<String>,
    content: Option<Content>,
}

impl Request {
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        let request: Self = json::read(body)
            .map_err(|error| Refusal::invalid(format!("The request body is not valid JSON: {error}")))?;
        match (request.model.is_empty(), &request.messages) {
            (true, _) => Err(Refusal::invalid("model: Field required")),
            (false, None) => Err(Refusal::invalid("messages: Field required")),
            (false, Some(_)) => Ok(request),
        }
    }

    /// How many times the user spoke; tool results count.
    pub(super) fn turns(&self) -> usize {
        self.messages.iter().flatten().filter(|message| message.role == "user").count()
    }

    /// Whether the text of thinking is wanted, not just its signature.
    pub(super) fn shows_thinking(&self) -> bool {
        self.thinking.as_ref().is_some_and(|thinking| thinking.display.as_deref() != Some("omitted"))
    }

    pub(super) fn heard(&self) -> Heard {
        let last = self.messages.iter().flatten().rfind(|message| message.role == "user");
        let content = last.and_then(|message| serde_json::from_str::<Content>(message.content.get()).ok());
        let format = self.output_config.as_ref().and_then(|config| config.format.as_ref());
        Heard {
            prompt: content.as_ref().map(Content::text).unwrap_or_default(),
            tool_result: content.as_ref().and_then(Content::tool_result),
            schema: format.or(self.output_format.as_ref()).and_then(|format| format.schema.clone()),
            tools: self.tools.iter().flatten().filter_map(|tool| tool.name.clone()).collect(),
            thinks: self.thinking.as_ref().is_some_and(|thinking| matches!(&*thinking.r#type, "enabled" | "adaptive")),
        }
    }
}

impl Content {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Blocks(blocks) => {
                let texts: Vec<&str> = blocks.iter().filter_map(|block| block.text.as_deref()).collect();
                texts.join("\n")
            }
        }
    }

    fn tool_result(&self) -> Option<String> {
        let Self::Blocks(blocks) = self else { return None };
        let result = blocks.iter().find(|block| block.r#type == "tool_result")?;
        Some(result.content.as_ref().map(Self::text).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(body: &str) -> Heard {
        Request::read(body.as_bytes()).map(|request| request.heard()).unwrap_or_default()
    }

    #[test]
    fn the_prompt_is_the_last_user_message_wherever_the_client_puts_it() {
        let claude_code = r#"{"model":"m","stream":true,"x":1e999,"messages":[
            {"role":"user","content":"old"},{"role":"assistant","content":[{"type":"thinking","thinking":"t"}]},
            {"role":"user","content":[{"type":"text","text":"<system-reminder>"},{"type":"text","text":"new"}]},
            {"role":"system","content":[{"type":"text","text":"s"}],"output_config":{"effort":"medium"}}],
            "tools":[{"name":"Bash","input_schema":{}},{"type":"web_search_20250305","name":"web_search"}],
            "thinking":{"type":"adaptive","display":"omitted"}}"#;
        let heard = heard(claude_code);
        assert_eq!(heard.prompt, "<system-reminder>\nnew");
        assert_eq!(heard.tools, ["Bash", "web_search"]);
        assert!(heard.thinks && heard.tool_result.is_none() && heard.schema.is_none());
    }

    #[test]
    fn a_tool_result_and_a_schema_are_found() {
        let result = r#"{"model":"m","messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t",
            "content":[{"type":"text","text":"42"}]}]}],"output_config":{"format":{"type":"json_schema","schema":{}}}}"#;
        let heard = heard(result);
        assert_eq!(heard.tool_result.as_deref(), Some("42"));
        assert!(heard.schema.is_some());
    }
}
