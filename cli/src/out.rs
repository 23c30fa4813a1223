//! What the commands say: lines and tables to people, JSON to scripts. Nothing else prints, so nothing that a stranger named
//! can steer a terminal.

use std::io::{self, IsTerminal, Write};

use gateway::{Error, Result, config::Terminal};
use serde_json::Value;

use crate::{
    show,
    table::{Column, Table},
};

/// Standard output and the ways to write to it.
pub(crate) struct Out {
    json: bool,
    colours: bool,
}

/// How something is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Careful,
    Bad,
}

impl Out {
    /// `json`: for scripts. Colours only come where somebody can see them and has not declined.
    pub(crate) fn new(json: bool, terminal: &Terminal) -> Self {
        Self { json, colours: terminal.colours && !json && io::stdout().is_terminal() }
    }

    /// Whether scripts read this.
    pub(crate) fn is_for_scripts(&self) -> bool {
        self.json
    }

    /// One value as JSON, or in `words` of people.
    pub(crate) fn answer(&self, value: &Value, words: impl FnOnce() -> Result<()>) -> Result<()> {
        if self.json { self.json(value) } else { words() }
    }

    /// A list as a JSON array, or as a table.
    pub(crate) fn list(&self, rows: &[Value], columns: &[Column]) -> Result<()> {
        if self.json {
            return self.json(&Value::from(rows.to_vec()));
        }
        let mut table = Table::new(columns);
        for row in rows {
            table.add(row);
        }
        self.raw(&table.render(self.colours))
    }

    /// One thing, field by field.
    pub(crate) fn thing(&self, thing: &Value) -> Result<()> {
        self.answer(thing, || {
            let fields = show::fields(thing);
            let width = fields.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
            let lines = fields.iter().map(|(name, value)| format!("{:width$}  {}\n", plain(name), plain(value)));
            self.raw(&lines.collect::<String>())
        })
    }

    /// A line for people.
    pub(crate) fn line(&self, text: &str) -> Result<()> {
        self.raw(&(plain(text) + "\n"))
    }

    /// A line that begins with a word in colour, which is as wide as `width`.
    pub(crate) fn marked(&self, (word, tone): (&str, Tone), width: usize, text: &str) -> Result<()> {
        let padding = " ".repeat(width.saturating_sub(word.len()));
        self.raw(&format!("{}{padding}{}\n", coloured(word, tone, self.colours), plain(text)))
    }

    /// JSON, indented.
    pub(crate) fn json(&self, value: &Value) -> Result<()> {
        self.raw(&(pretty(value)? + "\n"))
    }

    /// A piece of a file.
    pub(crate) fn bytes(&self, piece: &[u8]) -> Result<()> {
        io::stdout().lock().write_all(piece).map_err(Error::internal)
    }

    /// Text as it is: made by one of the above, or by ourselves alone.
    pub(crate) fn raw(&self, text: &str) -> Result<()> {
        say(text)
    }
}

/// Writes to standard output, at once.
pub(crate) fn say(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::internal)
}

/// Something beside the answer, for whoever watches: to standard error, which scripts do not read.
pub(crate) fn remark(text: &str) {
    let _nobody_left_to_tell = writeln!(io::stderr(), "{}", plain(text));
}

/// JSON that no terminal takes for commands: what JSON leaves as it is of control characters is escaped too.
pub(crate) fn pretty(value: &Value) -> Result<String> {
    let text = serde_json::to_string_pretty(value).map_err(Error::internal)?;
    let escaped = |c: char| if c != '\n' && is_tricky(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    Ok(if text.chars().any(|c| c != '\n' && is_tricky(c)) { text.chars().map(escaped).collect() } else { text })
}

/// One line of text without anything that moves the cursor, colours, or turns the direction of writing.
pub(crate) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_tricky(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

fn is_tricky(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A word in the colour of its tone.
pub(crate) fn coloured(word: &str, tone: Tone, colours: bool) -> String {
    let code = match tone {
        Tone::Good => 32,
        Tone::Careful => 33,
        Tone::Bad => 31,
        Tone::Plain => 0,
    };
    if colours && code != 0 { format!("\u{1b}[{code}m{word}\u{1b}[0m") } else { word.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_that_was_named_moves_the_cursor() {
        assert_eq!(plain("a\u{1b}[2J\r\nb\u{9b}31m \u{202e}txt"), r"a\u{1b}[2J\u{d}\u{a}b\u{9b}31m \u{202e}txt");
        assert_eq!(plain("日本語 = cmd"), "日本語 = cmd");
        let told = pretty(&json!({ "name": "a\u{1b}\u{9b}\u{7f}\u{202e}\nb" })).unwrap();
        assert!(told.chars().all(|c| c == '\n' || !is_tricky(c)), "{told}");
        let back: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(back["name"], "a\u{1b}\u{9b}\u{7f}\u{202e}\nb");
    }

    #[test]
    fn a_colour_is_there_only_where_it_is_wanted() {
        assert_eq!(coloured("ok", Tone::Good, true), "\u{1b}[32mok\u{1b}[0m");
        assert_eq!(coloured("ok", Tone::Good, false), "ok");
        assert_eq!(coloured("ok", Tone::Plain, true), "ok");
    }
}
