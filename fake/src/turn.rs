//! Decides what the model says: words in the last prompt steer it, so that real clients can be driven.

use std::time::Duration;

use serde_json::{Deserializer, Value};

use crate::{schema, script::Lifelike};

/// What a request said that decides the answer, the same for both APIs.
#[derive(Default)]
pub(crate) struct Heard {
    /// All text of the last user message.
    pub(crate) prompt: String,
    /// The text of the tool result that the conversation ends with.
    pub(crate) tool_result: Option<String>,
    /// The JSON schema that the answer has to follow.
    pub(crate) schema: Option<Value>,
    /// The tools that may be called.
    pub(crate) tools: Vec<String>,
    /// Whether thinking is asked for.
    pub(crate) thinks: bool,
}

/// What the model says.
#[derive(Debug, PartialEq)]
pub(crate) enum Say {
    /// Text, in the pieces in which it streams.
    Text(Vec<String>),
    Tool {
        name: String,
        arguments: Value,
    },
}

/// One answer of the model, before it is put into either API's words.
pub(crate) struct Turn {
    pub(crate) thinking: Option<&'static str>,
    pub(crate) say: Say,
    /// Web searches that the provider made on the way.
    pub(crate) searches: u64,
    pub(crate) gap: Duration,
}

/// How much of a tool's result is quoted.
const QUOTED_CHARS: usize = 200;

impl Turn {
    /// A schema comes first, then the end of a tool turn, then what the script says, then words in the prompt:
    /// `[[tool NAME {…}]]`, `[[say TEXT]]`, `[[words N]]`, and beside any of them `[[gap MS]]` and `[[search N]]`.
    /// A tool's result may ask for the next tool, so that a task takes several turns.
    pub(crate) fn answering(heard: &Heard, bent: &Lifelike) -> Self {
        let prompt = heard.prompt.as_str();
        let gap = bent.gap_ms.or_else(|| number(prompt, "gap")).unwrap_or(0);
        let thinking = heard.thinks.then_some("Let me think about that for a moment.");
        let searches = number(prompt, "search").unwrap_or(0);
        Self { thinking, say: say(heard, bent), searches, gap: Duration::from_millis(gap) }
    }

    /// What the answer counts as: a token is a piece of text, and for a tool call four bytes of its arguments.
    pub(crate) fn tokens(&self) -> (u64, u64) {
        let thinking = self.thinking.map_or(0, |text| text.split(' ').count() as u64);
        let said = match &self.say {
            Say::Text(pieces) => pieces.len() as u64 + 1,
            Say::Tool { arguments, .. } => arguments.to_string().len() as u64 / 4 + 8,
        };
        (said + thinking, thinking)
    }
}

fn say(heard: &Heard, bent: &Lifelike) -> Say {
    let prompt = heard.prompt.as_str();
    if let Some(schema) = &heard.schema {
        return Say::Text(pieces(&schema::instance(schema).to_string()));
    }
    if let Some(result) = &heard.tool_result {
        if let Some((name, arguments)) = offered(heard, result) {
            return Say::Tool { name, arguments };
        }
        let quoted: String = result.chars().take(QUOTED_CHARS).collect();
        return Say::Text(pieces(&format!("The tool answered: {quoted}")));
    }
    if let Some(count) = bent.words {
        return Say::Text(words(count));
    }
    if let Some((name, arguments)) = offered(heard, prompt) {
        return Say::Tool { name, arguments };
    }
    if let Some(text) = directive(prompt, "say").and_then(|rest| rest.split_once("]]")) {
        return Say::Text(pieces(text.0));
    }
    match number(prompt, "words") {
        Some(count) => Say::Text(words(count as usize)),
        None => Say::Text(pieces("Hello! This is the fake upstream, and it has read your message.")),
    }
}

/// What follows the last `[[word ` in the prompt: the last, since clients put their own text before the user's.
fn directive<'a>(prompt: &'a str, word: &str) -> Option<&'a str> {
    prompt.rsplit_once(&format!("[[{word} ")).map(|(_, rest)| rest)
}

fn number(prompt: &str, word: &str) -> Option<u64> {
    directive(prompt, word)?.split_once("]]")?.0.trim().parse().ok()
}

/// The tool that a text asks for, if the client has it.
fn offered(heard: &Heard, text: &str) -> Option<(String, Value)> {
    tool(text).filter(|(name, _)| heard.tools.contains(name))
}

/// The arguments are read as JSON, for they may contain `]]` themselves.
fn tool(prompt: &str) -> Option<(String, Value)> {
    let rest = directive(prompt, "tool")?;
    let name_ends = rest.find([' ', ']'])?;
    let (name, rest) = rest.split_at(name_ends);
    let arguments = Deserializer::from_str(rest).into_iter::<Value>().next().and_then(Result::ok);
    Some((name.to_owned(), arguments.filter(Value::is_object).unwrap_or_else(|| Value::Object(Default::default()))))
}

fn pieces(text: &str) -> Vec<String> {
    text.split_inclusive(' ').map(str::to_owned).collect()
}

fn words(count: usize) -> Vec<String> {
    (1..=count).map(|word| format!("word{word} ")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(prompt: &str, expect: &str) {
        let heard = Heard { prompt: prompt.to_owned(), tools: vec!["Bash".to_owned()], ..Heard::default() };
        let got = match Turn::answering(&heard, &Lifelike::default()).say {
            Say::Text(pieces) => pieces.concat(),
            Say::Tool { name, arguments } => format!("{name} {arguments}"),
        };
        assert_eq!(got, expect, "{prompt}");
    }

    #[test]
    fn words_in_the_prompt_steer() {
        check("hi", "Hello! This is the fake upstream, and it has read your message.");
        check("please [[say one  two]] now", "one  two");
        check("[[words 3]]", "word1 word2 word3 ");
        check("[[say old]] [[say new]]", "new");
        check(r#"[[tool Bash {"command":"echo [[1]]"}]]"#, r#"Bash {"command":"echo [[1]]"}"#);
        check("[[tool Bash]]", "Bash {}");
        check("[[tool Bash ]]", "Bash {}");
        check("[[tool Unknown {}]] [[say no such tool]]", "no such tool");
    }

    #[test]
    fn schema_then_result_then_script_come_before_the_prompt() {
        let mut heard = Heard {
            prompt: "[[say no]] [[gap 5]]".to_owned(),
            tool_result: Some("x".repeat(300)),
            schema: Some(json!({"const": 1})),
            ..Heard::default()
        };
        let bent = Lifelike { words: Some(2), ..Lifelike::default() };
        let answer = |heard: &Heard| Turn::answering(heard, &bent).say;
        assert_eq!(answer(&heard), Say::Text(pieces("1")));
        heard.schema = None;
        assert_eq!(answer(&heard), Say::Text(pieces(&format!("The tool answered: {}", "x".repeat(200)))));
        heard.tools.push("Bash".to_owned());
        heard.tool_result = Some("so far so good [[tool Bash {}]]".to_owned());
        assert_eq!(answer(&heard), Say::Tool { name: "Bash".to_owned(), arguments: json!({}) });
        heard.tool_result = None;
        assert_eq!(answer(&heard), Say::Text(words(2)));
        assert_eq!(Turn::answering(&heard, &bent).gap, Duration::from_millis(5));
    }
}
