//! The `OpenAPI` document: served to everybody, and in step with the code, path by path and field by field.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    support::App,
    tidy::{rust_files, text},
};

/// One path and method of the document.
pub(crate) struct Operation {
    pub(crate) path: String,
    pub(crate) method: Method,
    said: Value,
    document: Value,
}

impl Operation {
    /// The roles that may call it.
    pub(crate) fn roles(&self) -> Vec<&str> {
        self.said["security"][0]["bearer"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// The schema of its body, and an example of one.
    pub(crate) fn body(&self) -> Option<(&Value, &Value)> {
        let content = self.said["requestBody"]["content"].get("application/json")?;
        Some((resolved(&self.document, &content["schema"]), &content["example"]))
    }
}

pub(crate) fn document() -> Value {
    serde_json::from_str(&text("lib/src/routes/openapi.json")).unwrap()
}

pub(crate) fn operations(document: &Value) -> Vec<Operation> {
    let of = |(path, methods): (&String, &Value)| {
        let operation = |(method, said): (&String, &Value)| Operation {
            path: path.clone(),
            method: method.to_ascii_uppercase().parse().unwrap(),
            said: said.clone(),
            document: document.clone(),
        };
        methods.as_object().unwrap().iter().map(operation).collect::<Vec<_>>()
    };
    document["paths"].as_object().unwrap().iter().flat_map(of).collect()
}

fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    match schema["$ref"].as_str() {
        Some(at) => document.pointer(at.trim_start_matches('#')).unwrap_or_else(|| panic!("{at} is not there")),
        None => schema,
    }
}

#[tokio::test]
async fn the_document_is_served_to_everybody() {
    let app = App::start().await;
    let answer = app.instance.request(Method::GET, "/api/openapi.json").send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &"application/json".parse().unwrap())
    );
    assert_eq!(answer.json_text().await, document());
    let answer = app.instance.operator(Method::DELETE, "/api/keys", None).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["allow"]), (405, &"GET, POST".parse().unwrap()));
}

/// Every route that the code matches is in the document, and the other way round.
#[test]
fn the_document_has_the_routes_of_the_code_and_no_other() {
    let mut routes = BTreeSet::new();
    for source in ["accounts", "keys", "routing", "stats"].map(|room| text(&format!("lib/src/routes/{room}.rs"))) {
        for arm in source.split("(Method::").skip(1) {
            let Some((method, pattern)) = arm.split_once(", [") else { continue };
            let Some((pattern, _)) = pattern.split_once("])") else { continue };
            let (listed, choice) = pattern.split_once(" @ (").unwrap_or((pattern, ""));
            let parts: Vec<_> = listed.split(", ").map(|part| part.trim_matches(['"', ' '])).collect();
            let words: Vec<_> = choice.split('"').skip(1).step_by(2).collect();
            let path = |last: &str| {
                let before = &parts[..parts.len() - 1];
                let blank = |part: &&str| listed.contains(&format!("\"{part}\""));
                let shown = before.iter().map(|part| if blank(part) { (*part).to_owned() } else { "{}".to_owned() });
                shown.chain([last.to_owned()]).fold(String::new(), |path, part| path + "/" + &part)
            };
            let last = parts[parts.len() - 1];
            let plain = if listed.ends_with('"') { last } else { "{}" };
            let lasts = if words.is_empty() { vec![plain] } else { words };
            routes.extend(lasts.into_iter().map(|last| format!("{method} {}", path(last))));
        }
    }
    routes.extend(["GET /api/health", "GET /api/openapi.json"].map(str::to_owned));
    let blank = |path: &str| {
        path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect::<Vec<_>>().join("/")
    };
    let listed = operations(&document()).iter().map(|one| format!("{} {}", one.method, blank(&one.path))).collect();
    assert_eq!(routes, listed);
}

/// Every field that a body of the document has is known to the code, and each that the code takes is in the document.
#[tokio::test]
async fn the_document_has_the_fields_of_the_code_and_no_other() {
    let (app, _) = App::ready().await;
    let list = app.instance.manage(Method::GET, "/api/accounts", None).await;
    let key = app.instance.manage(Method::GET, "/api/keys", None).await;
    let document = document();
    let mut named = BTreeSet::new();
    for operation in operations(&document) {
        let Some((schema, example)) = operation.body() else { continue };
        names(&document, schema, &mut named);
        let things = if operation.path.starts_with("/api/keys") { &key } else { &list };
        let path = operation.path.replace("{id}", things["data"][0]["id"].as_str().unwrap());
        let path = path.replace("{provider}", "anthropic").replace("{pool}", "p").replace("{model}", "m");
        if path.contains("/me/") {
            continue;
        }
        for field in schema["properties"].as_object().unwrap().keys().map(String::as_str).chain(["nonsense"]) {
            let mut wrong = example.clone();
            wrong[field] = json!([[]]);
            let answer = app.instance.operator(operation.method.clone(), &path, Some(wrong)).await;
            let status = answer.status();
            let said = answer.json_text().await;
            let message = said["error"]["message"].as_str().unwrap_or_default();
            assert_eq!((status.as_u16(), &said["error"]["param"]), (400, &json!(field)), "{path}: {said}");
            assert_eq!(message == "there is no such field", field == "nonsense", "{path} {field}: {said}");
        }
        assert_eq!(schema["additionalProperties"], false, "{path}");
    }
    let mut taken: BTreeSet<String> = gateway::access::NAMED.iter().map(|(name, ..)| (*name).to_owned()).collect();
    taken.extend(gateway::access::OF_A_WINDOW.iter().map(|(name, _)| (*name).to_owned()));
    taken.extend(gateway::ledger::RATES.iter().map(|name| (*name).to_owned()));
    taken.extend(["accessToken", "refreshToken", "expiresAt", "expiry_date", "claudeAiOauth"].map(str::to_owned));
    let calls = [
        "text",
        "nullable_text",
        "name_text",
        "word",
        "integer",
        "nullable_integer",
        "nullable_count",
        "nullable_dollars",
    ];
    let more = ["object", "objects", "value", "flag", "nullable_time", "texts", "globs", "text_map", "secret"];
    for (name, source) in rust_files(&["lib/src/routes"]) {
        let code = source.split("#[cfg(test)]").next().unwrap();
        if name.ends_with("fields.rs") || name.contains("/stats/") && !name.ends_with("prices.rs") {
            continue;
        }
        for call in calls.iter().chain(&more) {
            for start in [format!(".{call}(\""), format!("{call}(&mut given, \"")] {
                let fields = code.split(&start).skip(1).filter(|rest| !rest.starts_with("cursor"));
                taken.extend(fields.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
            }
        }
    }
    // A parameter of a list, read by a call of the same name.
    taken.remove("state");
    assert_eq!(taken, named);
}

fn names(document: &Value, schema: &Value, named: &mut BTreeSet<String>) {
    let schema = resolved(document, schema);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        named.insert(name.clone());
        names(document, field, named);
    }
    for list in ["oneOf", "anyOf"] {
        schema[list].as_array().into_iter().flatten().for_each(|one| names(document, one, named));
    }
    if schema["items"].is_object() {
        names(document, &schema["items"], named);
    }
}

/// Reads an answer's body as JSON.
trait JsonText {
    async fn json_text(self) -> Value;
}

impl JsonText for reqwest::Response {
    async fn json_text(self) -> Value {
        let text = self.text().await.unwrap();
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"))
    }
}
