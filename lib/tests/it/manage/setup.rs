//! A gateway that is not set up yet says what to set, to everybody, in their own words; and its pages are there.

use http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Instance, refused};

const URL: &str = "postgresql://gateway@127.0.0.1:1/gateway";

#[tokio::test]
async fn what_is_missing_is_said_in_every_dialect() {
    for (variable, value) in [
        ("DATABASE_URL", ""),
        ("DATABASE_URL", "postgresql://user:password@host/database?sslmode=require"),
        ("DATABASE_URL", "mysql://db/gateway"),
        ("ADMIN_TOKEN", ""),
        ("ADMIN_TOKEN", "short"),
        ("ADMIN_TOKEN", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
        ("ENCRYPTION_KEY", ""),
        ("ENCRYPTION_KEY", "not base64"),
        ("ENCRYPTION_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    ] {
        let instance = Instance::start(URL, &[(variable, value)]).await;
        for path in ["/api/health", "/api/accounts", "/api/keys", "/api/stats/summary", "/api/nonsense"] {
            let answer = instance.operator(Method::GET, path, None).await;
            let text = refused(answer, StatusCode::SERVICE_UNAVAILABLE, "unavailable", None).await;
            assert!(text.contains(variable), "{variable}={value} {path}: {text}");
        }
        let told = async |request: reqwest::RequestBuilder| {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(answer.headers().contains_key("x-request-id"));
            let text = answer.text().await.unwrap();
            assert!(text.contains(variable), "{variable}={value}: {text}");
            text
        };
        let anthropic: Value = serde_json::from_str(&told(instance.messages("k", "{}")).await).unwrap();
        assert_eq!((&anthropic["type"], anthropic["error"]["message"].is_string()), (&json!("error"), true));
        let gemini: Value =
            serde_json::from_str(&told(instance.gemini("k", "gemini-2.5-pro:generateContent", "{}")).await).unwrap();
        assert_eq!(gemini["error"]["status"], "UNAVAILABLE");
        told(instance.request(Method::GET, "/v1/models").header("anthropic-version", "2023-06-01")).await;
        told(instance.request(Method::POST, "/v1/chat/completions")).await;

        let page = instance.request(Method::GET, "/").send().await.unwrap();
        assert_eq!(page.status(), StatusCode::OK);
        // A client that only warms its connection is not turned away.
        assert_eq!(instance.request(Method::HEAD, "/api/hello").send().await.unwrap().status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn all_that_is_missing_is_said_at_once_and_no_value_is() {
    let nothing = [("DATABASE_URL", ""), ("ADMIN_TOKEN", ""), ("ENCRYPTION_KEY", "")];
    let instance = Instance::start(URL, &nothing).await;
    let text = instance.operator(Method::GET, "/api/health", None).await.text().await.unwrap();
    assert!(nothing.iter().all(|(name, _)| text.contains(name)), "{text}");
    let instance = Instance::start(URL, &[("ADMIN_TOKEN", "hunter2-hunter2")]).await;
    let text = instance.operator(Method::GET, "/api/health", None).await.text().await.unwrap();
    assert!(!text.contains("hunter2"), "{text}");
}
