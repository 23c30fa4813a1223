//! The grammar, by table and by chance: what a full parser finds, the scanner finds, and nothing makes it panic.

use serde_json::Value;

use super::*;

fn accepts(json: &str) -> bool {
    Scanner::run(json.as_bytes(), Scanner::skip).is_ok()
}

/// The last `model` of an object, and where it stands.
fn model(json: &[u8]) -> Result<Option<(String, Range<usize>)>> {
    let mut found = None;
    Scanner::run(json, |scanner| {
        scanner
            .object(|scanner, key| {
                let span = scanner.value()?;
                if key == "model" {
                    found = text_of(&json[span.clone()]).map(|text| (text.into_owned(), span));
                }
                Ok(())
            })
            .map(drop)
    })?;
    Ok(found)
}

#[test]
fn what_is_json() {
    for json in [
        "null",
        " true\n",
        "false",
        "0",
        "-0",
        "10",
        "1.5",
        "1e400",
        "-1E-999",
        "0.1e+2",
        "\"\"",
        "[]",
        "{}",
        "[ ]",
        "{ }",
        "[[],{},[1,2]]",
        "{\"a\":{\"b\":[null]}}",
        "\"\\ud800\"",
        "\"\\u00e9\\n\\/\"",
        "\"\u{e9}\u{10348}\"",
        "123456789012345678901234567890",
        "{\"a\":1,\"a\":2}",
        "{\"\":{}}",
        "\t[\r1 , 2\n]",
    ] {
        assert!(accepts(json), "{json}");
    }
}

#[test]
fn what_is_not() {
    for json in [
        "",
        " ",
        "nul",
        "nulll",
        "True",
        "NaN",
        "Infinity",
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x1",
        "\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\n\"",
        "\"\u{0}\"",
        "[",
        "]",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{",
        "}",
        "{1:2}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\":1 \"b\":2}",
        "{,}",
        "[}",
        "{]",
        "1 2",
        "[]x",
        "'a'",
        "\u{feff}{}",
        "{\"a\":1}}",
        "-01",
    ] {
        assert!(!accepts(json), "{json}");
        assert!(serde_json::from_str::<Value>(json).is_err(), "{json}");
    }
}

#[test]
fn a_broken_body_is_told_where() {
    let error = model(br#"{"model":"x",}"#).unwrap_err();
    assert_eq!(
        (error.kind, error.message.as_ref()),
        (Kind::InvalidRequest, "the request body is not JSON: see byte 13")
    );
}

#[test]
fn depth_has_a_bound() {
    let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
    let skip = |json: &[u8]| Scanner::run(json, Scanner::skip).map(drop);
    assert!(skip(&nested(MAX_DEPTH)).is_ok());
    let error = skip(&nested(MAX_DEPTH + 1)).unwrap_err();
    assert!(error.message.contains("nested deeper than 512 levels"), "{error}");
    assert!(skip(&vec![b'['; 1 << 20]).is_err());
    let walked = |depth| model(&[b"{\"a\":".as_slice(), &nested(depth), b"}"].concat()).map(drop);
    assert!(walked(MAX_DEPTH - 1).is_ok());
    assert!(walked(MAX_DEPTH).is_err());
}

#[test]
fn escapes() {
    for (raw, text) in [
        (r#""plain""#, "plain"),
        (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
        (r#""\u0041\u00e9""#, "A\u{e9}"),
        (r#""\ud83d\ude00x""#, "\u{1f600}x"),
        (r#""\ud83dx""#, "\u{fffd}x"),
        ("\"\u{1f600}\\n\"", "\u{1f600}\n"),
    ] {
        assert_eq!(text_of(raw.as_bytes()).as_deref(), Some(text), "{raw}");
    }
    assert_eq!(text_of(b"12"), None);
    assert_eq!(text_of(b"null"), None);
}

#[test]
fn counts() {
    for (raw, count) in [
        ("0", Some(0)),
        ("4096", Some(4096)),
        ("4096.0", Some(4096)),
        ("4.096e3", Some(4096)),
        ("1e30", Some(u64::MAX)),
        ("1e400", None),
        ("-1", None),
        ("\"5\"", None),
        ("null", None),
    ] {
        assert_eq!(count_of(raw.as_bytes()), count, "{raw}");
    }
}

#[test]
fn blobs_are_long_and_have_no_space() {
    let run = |text: String| Scanner::run(format!("[\"{text}\"]").as_bytes(), Scanner::skip);
    assert_eq!(run("A".repeat(5000)).unwrap(), 5002);
    assert_eq!(run("A".repeat(500)).unwrap(), 0);
    assert_eq!(run("word ".repeat(5000)).unwrap(), 0);
}

/// Numbers that look like chance and are the same in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    fn space(&mut self) -> &'static str {
        self.pick(&["", "", "", " ", "\n\t", "\r\n  "])
    }

    fn string(&mut self) -> String {
        let pieces = [
            "",
            "a",
            "model",
            "\\\"",
            "\\\\",
            "\\u0041",
            "\\ud83d\\ude00",
            "é",
            "😀",
            "{",
            "]",
            ",",
            "\\n",
            " ",
            "\u{2028}",
        ];
        let count = self.below(5);
        let inner: String = (0..count).map(|_| self.pick(&pieces)).collect();
        format!("\"{inner}\"")
    }

    fn value(&mut self, depth: usize) -> String {
        match self.below(if depth == 0 { 4 } else { 6 }) {
            0 => self.pick(&["0", "-0", "1.5e3", "-12", "1e-999", "12345678901234567890123", "0.000"]).to_owned(),
            1 => self.pick(&["true", "false", "null"]).to_owned(),
            2 | 3 => self.string(),
            4 => {
                let count = self.below(4);
                let inner: Vec<_> = (0..count).map(|_| format!("{}{}", self.value(depth - 1), self.space())).collect();
                format!("[{}{}]", self.space(), inner.join(","))
            }
            _ => self.object(depth - 1),
        }
    }

    fn object(&mut self, depth: usize) -> String {
        let count = self.below(6);
        let members: Vec<_> = (0..count)
            .map(|_| {
                let key = match self.below(3) {
                    0 => self.pick(&["\"model\"", "\"mod\\u0065l\"", "\"stream\""]).to_owned(),
                    _ => self.string(),
                };
                format!("{}{key}{}:{}{}", self.space(), self.space(), self.space(), self.value(depth))
            })
            .collect();
        format!("{{{}{}}}", members.join(","), self.space())
    }
}

#[test]
fn it_finds_what_a_full_parser_finds() {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let (mut found, mut streams) = (0, 0);
    for _ in 0..20_000 {
        let json = chance.object(3);
        let parsed: Value = serde_json::from_str(&json).expect("the generator writes JSON");
        let reading = crate::protocol::anthropic::read(json.as_bytes()).expect("so does a dialect");
        assert_eq!(reading.stream, parsed["stream"] == true, "{json}");
        assert_eq!(reading.model.as_deref(), parsed["model"].as_str().filter(|model| !model.is_empty()), "{json}");
        streams += usize::from(reading.stream);
        let model = model(json.as_bytes()).expect("and the scanner reads it");
        assert_eq!(model.as_ref().map(|(text, _)| text.as_str()), parsed["model"].as_str(), "{json}");
        if let Some((text, span)) = model {
            assert_eq!(serde_json::from_str::<String>(&json[span]).unwrap(), text, "{json}");
            found += 1;
        }
    }
    assert!(found > 1000 && streams > 100, "{found} {streams}");
}

#[test]
fn no_mutation_makes_it_panic_or_take_what_is_not_json() {
    let mut chance = Chance(42);
    let mut refused = 0;
    for _ in 0..20_000 {
        let mut json = chance.object(3).into_bytes();
        for _ in 0..=chance.below(3) {
            let at = chance.below(json.len());
            match chance.below(3) {
                0 => json[at] = chance.below(256) as u8,
                1 => json.truncate(at.max(1)),
                _ => json.insert(at, b"\"{}[]:,\\u0-e."[chance.below(13)]),
            }
        }
        let ours = Scanner::run(&json, Scanner::skip);
        // Of what it cannot read a full parser refuses numbers too large and surrogates alone; both pass here.
        if let Err(error) = serde_json::from_slice::<Value>(&json) {
            let lenient = ["number out of range", "surrogate", "hex escape", "unicode"];
            let said = error.to_string();
            assert!(ours.is_err() || lenient.iter().any(|word| said.contains(word)), "{said}: {json:?}");
            refused += 1;
        } else {
            assert!(ours.is_ok(), "{json:?}");
        }
        let _ = crate::protocol::anthropic::read(&json);
        let _ = crate::protocol::gemini::read(&json);
    }
    assert!(refused > 1000, "{refused}");
}
