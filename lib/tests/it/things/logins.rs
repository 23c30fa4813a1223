//! Accounts with a login of Google speak Code Assist, which has nothing that lives on an account.

use reqwest::Method;
use serde_json::{Value, json};

use super::{House, good, refused};

fn prompt(file: &Value) -> Value {
    json!({ "contents": [{ "parts": [{ "fileData": { "fileUri": file } }] }] })
}

/// Things are made on accounts with a key, and what names them goes there, however much sooner a login's turn is.
#[tokio::test]
async fn a_login_holds_nothing() {
    let house = House::new().await;
    let login = json!({
        "entitled": true, "credential": { "kind": "oauth", "access_token": "ya29.one", "project": "p-1" },
    });
    house.app.account("gemini", "ya29.one", login).await;
    let account = |credential| format!("/api/accounts/{}", house.id(credential));
    for credential in ["AIza-one", "AIza-two"] {
        house.app.instance.manage(Method::PATCH, &account(credential), Some(json!({ "priority": 9 }))).await;
    }
    house.only("AIza-two").await;
    let file = house.gemini_file(&house.alice).await;
    let (cache, batch) = (house.cache(&house.alice).await, house.gemini_batch(&house.alice).await);
    let generate = "/v1beta/models/gemini-2.5-flash:generateContent";
    for name in [file["name"].as_str().unwrap(), &cache, &batch] {
        good(house.get(&house.alice, &format!("/v1beta/{name}")).await).await;
    }
    good(house.post(&house.alice, generate, &prompt(&file["uri"])).await).await;
    assert!(house.reached().await.iter().all(|credential| credential == "AIza-two"));
    good(house.post(&house.alice, generate, &json!({ "contents": [{ "parts": [{ "text": "hi" }] }] })).await).await;
    assert_eq!(house.reached().await, ["ya29.one"]);

    // In Code Assist's own words nothing can be named either.
    let wrapped = json!({ "model": "gemini-2.5-flash", "request": prompt(&file["uri"]) });
    let call = async |key: &str| {
        let request = house.app.instance.request(Method::POST, "/v1internal:generateContent").bearer_auth(key);
        request.body(wrapped.to_string()).send().await.unwrap()
    };
    let said = refused(call(&house.alice).await, 400).await;
    assert!(said.contains("does not serve this API"), "{said}");
    refused(call(&house.bob).await, 404).await;

    for credential in ["AIza-one", "AIza-two"] {
        house.app.instance.manage(Method::DELETE, &account(credential), None).await;
    }
    let body = json!({ "model": "models/gemini-2.5-flash", "contents": [] });
    let said = refused(house.post(&house.alice, "/v1beta/cachedContents", &body).await, 400).await;
    assert!(said.contains("needs an account with an API key"), "{said}");
    assert_eq!(house.reached().await, [""; 0], "nothing is sent");
}
