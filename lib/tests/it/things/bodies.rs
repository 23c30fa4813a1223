//! Things that a request's body names: files in messages, containers, cached contents, and those in batches.

use fake_upstream::{Answer, Script};
use serde_json::{Value, json};

use super::{House, good, refused};

fn message(content: &Value) -> Value {
    json!({ "model": "claude-haiku-4-5", "max_tokens": 9, "messages": [{ "role": "user", "content": content }] })
}

fn document(file: &str) -> Value {
    json!({ "type": "document", "source": { "type": "file", "file_id": file } })
}

/// A message that names a file goes to the file's account, wherever the name stands; another key's file is not there.
#[tokio::test]
async fn a_message_goes_where_its_file_is() {
    let house = House::new().await;
    house.only("sk-ant-two").await;
    let file = house.file(&house.alice, "x").await;
    house.all().await;
    house.reached().await;
    let shapes = [
        json!([document(&file)]),
        json!([{ "type": "container_upload", "file_id": file }]),
        json!([{ "type": "tool_result", "tool_use_id": "t", "content": [{ "type": "image", "source": { "type": "file", "file_id": file } }] }]),
        json!([{ "type": "document", "source": { "type": "content", "content": [document(&file)] } }]),
        json!([{ "type": "bash_code_execution_tool_result", "content": { "content": [{ "file_id": file }] } }]),
    ];
    for shape in &shapes {
        good(house.post(&house.alice, "/v1/messages", &message(shape)).await).await;
        good(house.post(&house.alice, "/v1/messages/count_tokens", &message(shape)).await).await;
        let said = refused(house.post(&house.bob, "/v1/messages", &message(shape)).await, 404).await;
        assert_eq!(said, format!("File not found: {file}"));
        let batch = json!({ "requests": [{ "custom_id": "a", "params": message(shape) }] });
        good(house.post(&house.alice, "/v1/messages/batches", &batch).await).await;
        refused(house.post(&house.bob, "/v1/messages/batches", &batch).await, 404).await;
    }
    assert_eq!(house.reached().await, ["sk-ant-two"; 15]);
    // What a tool is called with is the caller's own and names nothing.
    let own = json!([{ "type": "tool_use", "id": "t", "name": "open", "input": { "file_id": "file_of_mine" } }]);
    good(house.post(&house.alice, "/v1/messages", &message(&own)).await).await;
}

/// A request that names files of two accounts is a clear 400. Files that are made while nothing is in the way stay together.
#[tokio::test]
async fn files_of_two_accounts_do_not_meet() {
    let house = House::new().await;
    let (one, other) = (house.file(&house.alice, "1").await, house.file(&house.alice, "2").await);
    good(house.post(&house.alice, "/v1/messages", &message(&json!([document(&one), document(&other)]))).await).await;
    let held_by = house.reached().await.pop().unwrap();
    house.pause(&held_by, true).await;
    let far = house.file(&house.alice, "3").await;
    house.all().await;
    house.reached().await;
    let both = message(&json!([document(&one), document(&far)]));
    let said = refused(house.post(&house.alice, "/v1/messages", &both).await, 400).await;
    assert!(said.contains(&one) && said.contains(&far) && said.contains("different accounts"), "{said}");
    assert_eq!(house.reached().await, [""; 0]);
}

/// A message that names a file takes its conversation along to the file's account.
#[tokio::test]
async fn a_conversation_moves_to_its_file() {
    let house = House::new().await;
    let say = |content: Value| {
        let body = message(&content);
        house
            .call(&house.alice, reqwest::Method::POST, "/v1/messages")
            .header("x-session-id", "s")
            .body(body.to_string())
    };
    house.only("sk-ant-one").await;
    good(say(json!("hi")).send().await.unwrap()).await;
    house.only("sk-ant-two").await;
    let file = house.file(&house.alice, "x").await;
    house.all().await;
    house.reached().await;
    good(say(json!("still at home")).send().await.unwrap()).await;
    good(say(json!([document(&file)])).send().await.unwrap()).await;
    good(say(json!("gone with the file")).send().await.unwrap()).await;
    assert_eq!(house.reached().await, ["sk-ant-one", "sk-ant-two", "sk-ant-two"]);
}

/// Gemini's `fileData.fileUri` and `cachedContent`, however they are written.
#[tokio::test]
async fn geminis_names_are_found_too() {
    let house = House::new().await;
    house.only("AIza-two").await;
    let (file, cache) = (house.gemini_file(&house.alice).await, house.cache(&house.alice).await);
    let (uri, name) = (file["uri"].as_str().unwrap(), file["name"].as_str().unwrap());
    house.all().await;
    house.reached().await;
    let google = format!("https://generativelanguage.googleapis.com/v1beta/{name}");
    let bodies = [
        json!({ "contents": [{ "parts": [{ "fileData": { "fileUri": uri } }] }] }),
        json!({ "contents": [{ "parts": [{ "file_data": { "file_uri": uri } }] }] }),
        json!({ "contents": [{ "parts": [{ "text": "a" }] }], "systemInstruction": { "parts": [{ "fileData": { "fileUri": uri } }] } }),
        json!({ "contents": [{ "parts": [{ "functionResponse": { "name": "f", "parts": [{ "fileData": { "fileUri": uri } }] } }] }] }),
        json!({ "contents": [{ "parts": [{ "fileData": { "fileUri": google } }] }] }),
        json!({ "contents": [{ "parts": [{ "text": "a" }] }], "cachedContent": cache }),
        json!({ "contents": [{ "parts": [{ "text": "a" }] }], "cached_content": cache }),
    ];
    for body in &bodies {
        good(house.post(&house.alice, "/v1beta/models/gemini-2.5-flash:generateContent", body).await).await;
        refused(house.post(&house.bob, "/v1beta/models/gemini-2.5-flash:generateContent", body).await, 404).await;
    }
    let cached = json!({ "model": "models/gemini-2.5-flash", "contents": bodies[0]["contents"] });
    good(house.post(&house.alice, "/v1beta/cachedContents", &cached).await).await;
    let batch = json!({ "batch": { "inputConfig": { "fileName": name } } });
    let path = "/v1beta/models/gemini-2.5-flash:batchGenerateContent";
    good(house.post(&house.alice, path, &batch).await).await;
    refused(house.post(&house.bob, path, &batch).await, 404).await;
    assert_eq!(house.reached().await, ["AIza-two"; 9]);
    let video =
        json!({ "contents": [{ "parts": [{ "fileData": { "fileUri": "https://www.youtube.com/watch?v=abc" } }] }] });
    good(house.post(&house.bob, "/v1beta/models/gemini-2.5-flash:generateContent", &video).await).await;
}

/// A container and the files made in it, told of in an answer, be it a stream, are the caller's from then on.
#[tokio::test]
async fn a_container_stays_on_its_account() {
    let house = House::new().await;
    house.only("sk-ant-two").await;
    for stream in [false, true] {
        let (container, file) = (format!("container_{stream}"), format!("file_made_{stream}"));
        let told = json!({ "id": container, "expires_at": "2999-01-01T00:00:00Z" });
        let result =
            json!({ "type": "bash_code_execution_tool_result", "content": { "content": [{ "file_id": file }] } });
        let usage = json!({ "input_tokens": 1, "output_tokens": 1 });
        let whole = json!({ "type": "message", "model": "claude-haiku-4-5", "content": [result], "container": told, "stop_reason": "end_turn", "usage": usage });
        let answer = if stream {
            let event = |name: &str, data: Value| format!("event: {name}\ndata: {data}\n\n");
            let text = [
                event(
                    "message_start",
                    json!({ "type": "message_start", "message": { "model": "claude-haiku-4-5", "content": [], "usage": usage } }),
                ),
                event(
                    "content_block_start",
                    json!({ "type": "content_block_start", "index": 0, "content_block": result }),
                ),
                event(
                    "message_delta",
                    json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn", "container": told }, "usage": usage }),
                ),
                event("message_stop", json!({ "type": "message_stop" })),
            ];
            Answer::text(200, "text/event-stream", &text.concat())
        } else {
            Answer::json(200, whole)
        };
        house.app.fake.script(Script::once(answer));
        let mut body = message(&json!("run it"));
        body["tools"] = json!([{ "type": "code_execution_20250825", "name": "code_execution" }]);
        body["stream"] = stream.into();
        let text = house.post(&house.alice, "/v1/messages", &body).await.text().await.unwrap();
        assert!(text.contains(&container), "{text}");
        house.all().await;
        house.reached().await;
        for container in [json!(container), json!({ "id": container, "skills": [] })] {
            let mut body = message(&json!("go on"));
            body["container"] = container;
            good(house.post(&house.alice, "/v1/messages", &body).await).await;
            refused(house.post(&house.bob, "/v1/messages", &body).await, 404).await;
        }
        let content = house.get(&house.alice, &format!("/v1/files/{file}/content")).await;
        assert_eq!(content.status(), 404, "the fake has no such file, but it was asked");
        refused(house.get(&house.bob, &format!("/v1/files/{file}/content")).await, 404).await;
        assert_eq!(house.reached().await, ["sk-ant-two"; 3]);
    }
}
