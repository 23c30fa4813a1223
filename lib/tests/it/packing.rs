//! Files and answers of the management API are compressed for those who take gzip; what is relayed is never.

use std::io::Read;

use flate2::read::GzDecoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY};
use reqwest::{Method, Response};

use crate::{
    support::{ADMIN_TOKEN, App},
    walk::hello,
};

async fn asked(app: &App, method: Method, path: &str, accept: Option<&str>) -> Response {
    let request = app.instance.request(method, path).bearer_auth(ADMIN_TOKEN);
    let request = accept.into_iter().fold(request, |request, accept| request.header(ACCEPT_ENCODING, accept));
    request.send().await.unwrap()
}

/// The body, which must be compressed and whole.
async fn unpacked(answer: Response) -> (usize, String) {
    assert_eq!(answer.headers()[CONTENT_ENCODING], "gzip");
    assert_eq!(answer.headers()[VARY], "accept-encoding");
    let body = answer.bytes().await.unwrap();
    let mut text = String::new();
    GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
    (body.len(), text)
}

#[tokio::test]
async fn files_and_answers_are_small_on_their_way() {
    let (app, key) = App::ready().await;
    app.instance.messages(&key, hello(false)).send().await.unwrap().text().await.unwrap();
    let row = app.only_row().await["id"].as_str().unwrap().to_owned();
    app.database
        .execute(&format!(
            "insert into ledger select (jsonb_populate_record(l, jsonb_build_object('id', 'req_' || n))).*
             from ledger l, generate_series(1, 2500) n where id = '{row}'"
        ))
        .await;
    // The same file again comes from where it was kept.
    for path in [
        "/",
        "/css/parts.css",
        "/css/parts.css",
        "/api/openapi.json",
        "/api/stats/requests?limit=500",
        "/api/stats/export.csv",
    ] {
        let plain = asked(&app, Method::GET, path, None).await;
        assert!(!plain.headers().contains_key(CONTENT_ENCODING), "{path}");
        let plain = plain.text().await.unwrap();
        let (length, text) = unpacked(asked(&app, Method::GET, path, Some("gzip, deflate, br")).await).await;
        assert!(text == plain, "{path} is the same");
        assert!(length * 2 < plain.len(), "{path}: {length} of {}", plain.len());
        let refused = asked(&app, Method::GET, path, Some("br, gzip;q=0")).await;
        assert!(!refused.headers().contains_key(CONTENT_ENCODING), "{path}");
    }
}

#[tokio::test]
async fn what_is_short_changed_or_relayed_goes_as_it_is() {
    let (app, key) = App::ready().await;
    let small = asked(&app, Method::GET, "/api/health", Some("gzip")).await;
    assert!(!small.headers().contains_key(CONTENT_ENCODING));
    assert!(small.text().await.unwrap().starts_with('{'));
    let refusal = asked(&app, Method::GET, "/api/nonsense", Some("gzip")).await;
    assert_eq!(refusal.status(), 404);
    assert!(!refusal.headers().contains_key(CONTENT_ENCODING));
    // An answer with a secret in it says nothing by its length.
    let body = serde_json::json!({ "name": "n".repeat(1_500) }).to_string();
    let issued = app.instance.request(Method::POST, "/api/keys").bearer_auth(ADMIN_TOKEN);
    let issued = issued.header(ACCEPT_ENCODING, "gzip").body(body).send().await.unwrap();
    assert_eq!(issued.status(), 201);
    assert!(!issued.headers().contains_key(CONTENT_ENCODING));
    let head = asked(&app, Method::HEAD, "/", Some("br")).await;
    assert!(head.headers()["content-length"].to_str().unwrap().parse::<u64>().unwrap() > 1_000);

    let long = hello(false).replace("[[say well met]]", "[[words 900]]");
    let relayed = app.instance.messages(&key, long).header(ACCEPT_ENCODING, "gzip").send().await.unwrap();
    assert!(!relayed.headers().contains_key(CONTENT_ENCODING));
    assert!(relayed.text().await.unwrap().len() > 4_000, "long enough to be worth it");
}
