//! Finds the things that a request's body names.

use std::borrow::Cow;

use url::Url;

use super::{Kind, Thing, is_id};
use crate::{error::Result, protocol::peek::Scanner};

/// Things that a body names, each once.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::protocol) struct Names(Vec<Thing>);

impl Names {
    pub(in crate::protocol) fn add(&mut self, thing: Option<Thing>) {
        if let Some(thing) = thing.filter(|thing| !self.0.contains(thing)) {
            self.0.push(thing);
        }
    }

    pub(in crate::protocol) fn extend(&mut self, others: Self) {
        others.0.into_iter().for_each(|thing| self.add(Some(thing)));
    }

    pub(in crate::protocol) fn into_vec(self) -> Vec<Thing> {
        self.0
    }

    /// Notes what a member of a request to Anthropic names.
    pub(in crate::protocol) fn anthropic(&mut self, key: &str, text: &str) {
        self.add(match key {
            "file_id" => Some(Thing::new(Kind::File, text)),
            _ => None,
        });
    }

    /// Notes what a member of a request to Gemini names.
    pub(in crate::protocol) fn gemini(&mut self, key: &str, text: &str) {
        self.add(match key {
            "fileUri" | "file_uri" => file_of(text),
            "fileName" | "file_name" => Some(Thing::new(Kind::File, within("files", text))),
            "cachedContent" | "cached_content" => Some(Thing::new(Kind::Cache, within("cachedContents", text))),
            _ => None,
        });
    }
}

/// Takes any value and tells of each string under one of the `wanted` names, however deep; but not under names whose
/// values are the caller's own data and mean nothing to the provider.
pub(in crate::protocol) fn search(
    json: &mut Scanner<'_>,
    wanted: &[&str],
    own: &[&str],
    found: &mut dyn FnMut(&str, Cow<'_, str>),
) -> Result<()> {
    match json.next_byte() {
        Some(b'{') => json
            .object(|json, key| match json.next_byte() {
                Some(b'{' | b'[') if !own.contains(&key) => search(json, wanted, own, found),
                Some(b'"') if wanted.contains(&key) => {
                    if let Some(text) = json.text()? {
                        found(key, text);
                    }
                    Ok(())
                }
                _ => json.skip(),
            })
            .map(drop),
        Some(b'[') => json.array(|json| search(json, wanted, own, found)).map(drop),
        _ => json.skip(),
    }
}

/// The name of a thing of Gemini's, with its collection.
fn within(collection: &str, text: &str) -> String {
    match text.strip_prefix(collection).is_some_and(|rest| rest.starts_with('/')) {
        true => text.to_owned(),
        false => format!("{collection}/{text}"),
    }
}

/// The file that a `fileUri` means; `None` for addresses of other things, such as videos. On Google's own hosts any
/// `files/…` in the path is taken for one, however it is written; elsewhere only the very path that a file has.
fn file_of(uri: &str) -> Option<Thing> {
    let file = |id: &str| Thing::new(Kind::File, format!("files/{id}"));
    let Ok(url) = Url::parse(uri.trim()) else {
        // No address, so a name.
        return Some(file(uri.trim().trim_start_matches('/').trim_start_matches("files/")));
    };
    let segments: Vec<String> = url.path_segments()?.filter(|it| !it.is_empty()).map(unescaped).collect();
    let segments: Vec<&str> = segments.iter().flat_map(|it| it.split('/')).collect();
    let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    if host == "googleapis.com" || host.ends_with(".googleapis.com") {
        let at = segments.iter().position(|segment| segment.eq_ignore_ascii_case("files"))?;
        return Some(file(segments.get(at + 1).copied().unwrap_or_default()));
    }
    match segments[..] {
        ["v1" | "v1beta" | "v1alpha", "files", id] if is_id(id) => Some(file(id)),
        _ => None,
    }
}

fn unescaped(segment: &str) -> String {
    // The form decoder alone turns a plus into a space, which no name has.
    let pair = segment.replace('+', "%2B");
    url::form_urlencoded::parse(pair.as_bytes()).map(|(name, value)| format!("{name}{value}")).collect()
}

/// Whether a server's tool may run code, and so make a container and files.
pub(in crate::protocol) fn code_file(tool_type: &str) -> bool {
    !tool_type.is_empty() && tool_type != "custom"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, expect: Option<&str>) {
        assert_eq!(file_of(uri).map(|thing| thing.name).as_deref(), expect, "{uri}");
    }

    #[test]
    fn a_file_is_known_however_its_address_is_written() {
        let host = "https://generativelanguage.googleapis.com";
        check(&format!("{host}/v1beta/files/abc-1"), Some("files/abc-1"));
        check("HTTPS://GenerativeLanguage.GoogleAPIs.com.:443/v1beta/files/abc-1", Some("files/abc-1"));
        check(&format!("{host}/v1beta/x/../%66iles%2Fabc"), Some("files/abc"));
        check(&format!("{host}//v2//files//abc?alt=media#x"), Some("files/abc"));
        check("http://127.0.0.1:9/v1beta/files/abc", Some("files/abc"));
        check("files/abc", Some("files/abc"));
        check("abc", Some("files/abc"));
        for other in ["https://www.youtube.com/watch?v=abc", "gs://bucket/files/abc", "https://example.com/files/a.pdf"]
        {
            check(other, None);
        }
    }

    #[test]
    fn what_is_the_callers_own_data_names_nothing() {
        let body = br#"[{"source":{"file_id":"file_a"}},{"input":{"file_id":"file_no"}},{"content":[[{"file_id":"file_b"}]]}]"#;
        let mut found = Vec::new();
        Scanner::run(body, |json| search(json, &["file_id"], &["input"], &mut |_, text| found.push(text.into_owned())))
            .unwrap();
        assert_eq!(found, ["file_a", "file_b"]);
    }
}
