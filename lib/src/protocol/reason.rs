//! What an upstream gave as the reason of an error, in one line for the operator.

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::secret::redacted;

/// The longest text of an upstream that is kept as a reason.
const LONGEST: usize = 300;

#[derive(Deserialize)]
struct Body {
    error: Fault,
}

#[derive(Deserialize)]
struct Fault {
    message: String,
    #[serde(default)]
    details: Value,
}

/// The reason in an error's body, which may be an event, or an element of an array.
pub(crate) fn reason(status: StatusCode, body: &[u8]) -> String {
    let body = body.strip_prefix(b"event: error\ndata: ").unwrap_or(body);
    let body = body.trim_ascii_start();
    let body = body.strip_prefix(b"[").unwrap_or(body);
    let status = status.as_u16();
    match serde_json::Deserializer::from_slice(body).into_iter::<Body>().next() {
        Some(Ok(Body { error })) => {
            let link = link(&error.details).map(|link| format!(" (see {})", one_line(link))).unwrap_or_default();
            format!("{status}: {}{link}", one_line(&redacted(&error.message)))
        }
        _ => format!("status {status}"),
    }
}

/// Where somebody can act: Google has the page in the details of an account that its owner has to confirm.
fn link(details: &Value) -> Option<&str> {
    let details = details.as_array()?;
    if !details.iter().any(|detail| detail["reason"] == "VALIDATION_REQUIRED") {
        return None;
    }
    let places = ["/metadata/validation_link", "/metadata/validation_url", "/metadata/validationUrl", "/links/0/url"];
    places.iter().find_map(|place| details.iter().find_map(|detail| detail.pointer(place)?.as_str()))
}

/// Without control characters, which a log or a terminal would obey, and cut short.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(status: u16, body: &str, expect: &str) {
        assert_eq!(reason(StatusCode::from_u16(status).unwrap(), body.as_bytes()), expect);
    }

    #[test]
    fn the_message_is_found_in_every_layout() {
        check(400, r#"{"error":{"message":"no\nway","type":"x"}}"#, "400: no way");
        check(429, r#"[{"error":{"message":"busy"}}]"#, "429: busy");
        check(200, "event: error\ndata: {\"type\":\"error\",\"error\":{\"message\":\"over\"}}\n\n", "200: over");
        check(502, "<html>", "status 502");
        let long = format!(r#"{{"error":{{"message":"{}"}}}}"#, "x".repeat(1_000));
        check(500, &long, &format!("500: {}", "x".repeat(LONGEST)));
    }

    #[test]
    fn an_account_that_must_be_confirmed_names_the_page() {
        let with = |details: Value| json!({ "error": { "message": "Verify.", "details": details } }).to_string();
        let info = json!({ "reason": "VALIDATION_REQUIRED", "metadata": { "validation_link": "https://a.example/v" } });
        check(403, &with(json!([info])), "403: Verify. (see https://a.example/v)");
        let help = json!({ "links": [{ "url": "https://b.example/v" }] });
        check(403, &with(json!([{ "reason": "VALIDATION_REQUIRED" }, help])), "403: Verify. (see https://b.example/v)");
        check(403, &with(json!([{ "reason": "OTHER" }, help])), "403: Verify.");
    }
}
