//! Reads of a generateContent request what decides the answer, in camelCase or in `snake_case`.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::Refusal;
use crate::{json, turn::Heard};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    contents: Option<Vec<Content>>,
    tools: Option<Vec<Tool>>,
    #[serde(alias = "generation_config")]
    generation_config: Option<GenerationConfig>,
    #[serde(alias = "cached_content")]
    cached_content: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    role: Option<String>,
    parts: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tool {
    #[serde(alias = "function_declarations")]
    function_declarations: Option<Vec<Declaration>>,
}

#[derive(Deserialize)]
struct Declaration {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GenerationConfig {
    #[serde(alias = "response_schema")]
    response_schema: Option<Value>,
    #[serde(alias = "response_json_schema")]
    response_json_schema: Option<Value>,
    #[serde(alias = "thinking_config")]
    thinking_config: Option<ThinkingConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ThinkingConfig {
    #[serde(alias = "include_thoughts", default)]
    include_thoughts: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    text: Option<String>,
    #[serde(alias = "function_response")]
    function_response: Option<FunctionResponse>,
}

#[derive(Deserialize)]
struct FunctionResponse {
    response: Option<Value>,
}

impl Request {
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        let request: Self =
            json::read(body).map_err(|error| Refusal::invalid(format!("Invalid JSON payload received. {error}")))?;
        match &request.contents {
            Some(contents) if !contents.is_empty() => Ok(request),
            _ => Err(Refusal::invalid("* GenerateContentRequest.contents: contents is not specified\n")),
        }
    }

    /// By its name, or implicitly as in every turn but the first.
    pub(super) fn reads_a_cache(&self) -> bool {
        self.cached_content.is_some() || self.contents.as_ref().is_some_and(|contents| contents.len() > 1)
    }

    pub(super) fn heard(&self) -> Heard {
        let mut contents = self.contents.iter().flatten();
        let last = contents.rfind(|content| content.role.as_deref() != Some("model"));
        let parts = last.and_then(|content| content.parts.as_ref());
        let parts: Vec<Part> = parts.and_then(|parts| serde_json::from_str(parts.get()).ok()).unwrap_or_default();
        let texts: Vec<&str> = parts.iter().filter_map(|part| part.text.as_deref()).collect();
        let declared = self.tools.iter().flatten().filter_map(|tool| tool.function_declarations.as_ref()).flatten();
        let config = self.generation_config.as_ref();
        let schema = config.and_then(|config| config.response_json_schema.as_ref().or(config.response_schema.as_ref()));
        let thinking = config.and_then(|config| config.thinking_config.as_ref());
        Heard {
            prompt: texts.join("\n"),
            tool_result: parts.iter().find_map(|part| part.function_response.as_ref().map(result)),
            schema: schema.cloned(),
            tools: declared.map(|declaration| declaration.name.clone()).collect(),
            thinks: thinking.is_some_and(|thinking| thinking.include_thoughts),
        }
    }
}

/// What the tool said: its `output` by custom, else all of it.
fn result(response: &FunctionResponse) -> String {
    let response = response.response.clone().unwrap_or_default();
    match response.get("output").and_then(Value::as_str) {
        Some(output) => output.to_owned(),
        None => response.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(body: &str) -> Heard {
        Request::read(body.as_bytes()).map(|request| request.heard()).unwrap_or_default()
    }

    #[test]
    fn prompt_tools_and_schema_are_found_in_both_spellings() {
        let camel = heard(
            r#"{"contents":[{"role":"user","parts":[{"text":"context"},{"text":"hi"}]}],
            "tools":[{"googleSearch":{}},{"functionDeclarations":[{"name":"read_file"}]}],
            "generationConfig":{"responseJsonSchema":{"type":"object"},"thinkingConfig":{"includeThoughts":true}}}"#,
        );
        let snake = heard(
            r#"{"contents":[{"parts":[{"text":"context"},{"text":"hi"}]}],
            "tools":[{"function_declarations":[{"name":"read_file"}]}],
            "generation_config":{"response_schema":{"type":"object"},"thinking_config":{"include_thoughts":true}}}"#,
        );
        for heard in [camel, snake] {
            assert_eq!((heard.prompt.as_str(), heard.thinks), ("context\nhi", true));
            assert_eq!((heard.tools, heard.schema.is_some()), (vec!["read_file".to_owned()], true));
        }
    }

    #[test]
    fn a_function_response_is_quoted() {
        let answered = |response: &str| {
            let part = format!(r#"{{"functionResponse":{{"name":"f","response":{response}}}}}"#);
            heard(&format!(r#"{{"contents":[{{"role":"user","parts":[{part}]}}]}}"#)).tool_result
        };
        assert_eq!(answered(r#"{"output":"42"}"#).as_deref(), Some("42"));
        assert_eq!(answered(r#"{"n":[1]}"#).as_deref(), Some(r#"{"n":[1]}"#));
    }
}
