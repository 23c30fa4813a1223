//! Files, batches, cached contents, containers and uploads: each goes to the account that made it, and belongs to the key
//! that made it.

mod batches;
mod bodies;
mod lists;
mod logins;
mod owners;
mod uploads;

use http::StatusCode;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::support::App;

/// Two accounts of each provider, and the keys of two callers.
pub(crate) struct House {
    pub(crate) app: App,
    pub(crate) alice: String,
    pub(crate) bob: String,
    /// Ids of the accounts, by their credential.
    accounts: Vec<(&'static str, String)>,
}

const CREDENTIALS: [(&str, &str); 4] =
    [("anthropic", "sk-ant-one"), ("anthropic", "sk-ant-two"), ("gemini", "AIza-one"), ("gemini", "AIza-two")];

impl House {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    async fn with(variables: &[(&str, &str)]) -> Self {
        let app = App::start_with(variables).await;
        let mut accounts = Vec::new();
        for (provider, credential) in CREDENTIALS {
            accounts.push((credential, app.account(provider, credential, json!({})).await));
        }
        let (alice, bob) = (app.key(json!({ "name": "alice" })).await, app.key(json!({ "name": "bob" })).await);
        Self { app, alice, bob, accounts }
    }

    fn id(&self, credential: &str) -> &str {
        &self.accounts.iter().find(|(known, _)| *known == credential).expect("one of ours").1
    }

    /// Lets only this account of its provider serve.
    async fn only(&self, credential: &str) {
        let provider = CREDENTIALS.iter().find(|(_, known)| *known == credential).unwrap().0;
        for (_, other) in CREDENTIALS.iter().filter(|(theirs, _)| *theirs == provider) {
            self.pause(other, *other != credential).await;
        }
    }

    async fn pause(&self, credential: &str, paused: bool) {
        let word = if paused { "pause" } else { "resume" };
        self.app.instance.manage(Method::POST, &format!("/api/accounts/{}/{word}", self.id(credential)), None).await;
    }

    async fn all(&self) {
        for (_, credential) in CREDENTIALS {
            self.pause(credential, false).await;
        }
    }

    fn call(&self, key: &str, method: Method, path: &str) -> RequestBuilder {
        let request = self.app.instance.request(method, path);
        let gemini = ["/v1beta", "/upload"].iter().any(|start| path.starts_with(start));
        match gemini {
            true => request.header("x-goog-api-key", key),
            false => request.header("x-api-key", key).header("anthropic-version", "2023-06-01"),
        }
    }

    async fn get(&self, key: &str, path: &str) -> Response {
        self.call(key, Method::GET, path).send().await.unwrap()
    }

    async fn post(&self, key: &str, path: &str, body: &Value) -> Response {
        let request = self.call(key, Method::POST, path).header("content-type", "application/json");
        request.body(body.to_string()).send().await.unwrap()
    }

    /// A new file of Anthropic's; its id.
    async fn file(&self, key: &str, text: &str) -> String {
        let boundary = "----formdata-1";
        let body = format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\
             content-type: text/plain\r\n\r\n{text}\r\n--{boundary}--\r\n"
        );
        let request = self.call(key, Method::POST, "/v1/files");
        let request = request.header("content-type", format!("multipart/form-data; boundary={boundary}")).body(body);
        let file = good(request.send().await.unwrap()).await;
        file["id"].as_str().unwrap().to_owned()
    }

    async fn batch(&self, key: &str) -> String {
        let params =
            json!({ "model": "claude-haiku-4-5", "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }] });
        let requests = ["a", "b"].map(|id| json!({ "custom_id": id, "params": params }));
        let made = good(self.post(key, "/v1/messages/batches", &json!({ "requests": requests })).await).await;
        made["id"].as_str().unwrap().to_owned()
    }

    async fn cache(&self, key: &str) -> String {
        let body = json!({ "model": "models/gemini-2.5-flash", "contents": [{ "parts": [{ "text": "long" }] }] });
        let made = good(self.post(key, "/v1beta/cachedContents", &body).await).await;
        made["name"].as_str().unwrap().to_owned()
    }

    async fn gemini_batch(&self, key: &str) -> String {
        let request = json!({ "request": { "contents": [{ "parts": [{ "text": "hi" }] }] } });
        let body = json!({ "batch": { "inputConfig": { "requests": { "requests": [request, request] } } } });
        let made = good(self.post(key, "/v1beta/models/gemini-2.5-flash:batchGenerateContent", &body).await).await;
        made["name"].as_str().unwrap().to_owned()
    }

    /// Begins an upload; the address to go on at.
    async fn upload_url(&self, key: &str) -> String {
        let begun = self.begin_upload(key).send().await.unwrap();
        assert_eq!(begun.status(), StatusCode::OK);
        begun.headers()["x-goog-upload-url"].to_str().unwrap().to_owned()
    }

    fn begin_upload(&self, key: &str) -> RequestBuilder {
        self.call(key, Method::POST, "/upload/v1beta/files")
            .header("x-goog-upload-protocol", "resumable")
            .header("x-goog-upload-command", "start")
            .header("x-goog-upload-header-content-type", "text/plain")
            .body(r#"{"file":{"displayName":"a"}}"#)
    }

    /// A new file of Gemini's, as it is described.
    async fn gemini_file(&self, key: &str) -> Value {
        let url = self.upload_url(key).await;
        let path = url.split_once("/upload").unwrap().1;
        let request = self.call(key, Method::POST, &format!("/upload{path}"));
        let request = request.header("x-goog-upload-command", "upload, finalize").header("x-goog-upload-offset", "0");
        good(request.body("hello").send().await.unwrap()).await["file"].take()
    }

    /// Credentials of the requests that have arrived since the last time.
    async fn reached(&self) -> Vec<String> {
        self.app.fake.idle().await;
        let reached = self.app.credentials();
        self.app.fake.clear();
        reached
    }
}

/// The JSON of an answer that must be good.
pub(crate) async fn good(answer: Response) -> Value {
    let (url, status, text) = (answer.url().clone(), answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{url}: {status} {text}");
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{url}: {text}"))
}

/// Takes a refusal in its provider's shape, and gives its message.
async fn refused(answer: Response, status: u16) -> String {
    let (url, got) = (answer.url().clone(), answer.status());
    let said: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(got, status, "{url}: {said}");
    let word = match (url.path().starts_with("/v1/"), status) {
        (true, 404) => (&said["error"]["type"], "not_found_error"),
        (true, 400) => (&said["error"]["type"], "invalid_request_error"),
        (true, 429) => (&said["error"]["type"], "rate_limit_error"),
        (true, _) => (&said["error"]["type"], "api_error"),
        (false, 404) => (&said["error"]["status"], "NOT_FOUND"),
        (false, 400) => (&said["error"]["status"], "INVALID_ARGUMENT"),
        (false, _) => (&said["error"]["status"], "UNAVAILABLE"),
    };
    assert_eq!(word.0, word.1, "{url}: {said}");
    said["error"]["message"].as_str().unwrap().to_owned()
}
