//! Addresses in answers lead back to the gateway, and an upload's address serves the key that began it.

use http::StatusCode;
use reqwest::Method;
use serde_json::json;

use super::{House, good, refused};
use crate::support::Raw;

/// Gemini's resumable upload, piece by piece: `x-goog-upload-url` is the gateway's, and what follows goes to one account.
#[tokio::test]
async fn a_resumable_upload_goes_on_where_it_began() {
    let house = House::new().await;
    house.only("AIza-two").await;
    let url = house.upload_url(&house.alice).await;
    house.all().await;
    let origin = format!("http://{}/", house.app.instance.address);
    assert!(url.starts_with(&format!("{origin}upload/v1beta/files?upload_id=")), "{url}");
    let path = &url[origin.len() - 1..];
    let piece = |command: &str, offset: u32, text: &'static str| {
        house
            .call(&house.alice, Method::POST, path)
            .header("x-goog-upload-command", command)
            .header("x-goog-upload-offset", offset)
            .body(text)
    };
    let first = piece("upload", 0, "hello ").send().await.unwrap();
    assert_eq!(
        (first.status(), &first.headers()["x-goog-upload-status"]),
        (StatusCode::OK, &"active".parse().unwrap())
    );
    let last = piece("upload, finalize", 6, "world").send().await.unwrap();
    assert_eq!(last.headers()["x-goog-upload-status"], "final");
    let file = good(last).await["file"].take();
    let name = file["name"].as_str().unwrap();
    let download = file["downloadUri"].as_str().unwrap();
    assert_eq!(download, format!("{origin}v1beta/{name}:download?alt=media"));
    assert_eq!(file["uri"], format!("{}/v1beta/{name}", house.app.fake.url()), "a name, for requests: as it was");
    let content = house.get(&house.alice, &download[origin.len() - 1..]).await.text().await.unwrap();
    assert_eq!(content, "hello world");
    refused(piece("upload, finalize", 0, "again").send().await.unwrap(), 404).await;
    assert_eq!(house.reached().await, ["AIza-two"; 4]);
    let secret = url.split("upload_id=").nth(1).unwrap().split('&').next().unwrap();
    let kept = house.app.database.number(&format!("select count(*) from things where name like '%{secret}%'")).await;
    assert_eq!(kept, 0, "an upload's own name is not at rest");
}

/// An upload's address, which is enough at Google's, serves no other key here, and nobody without one.
#[tokio::test]
async fn an_uploads_address_serves_no_other_key() {
    let house = House::new().await;
    let url = house.upload_url(&house.alice).await;
    house.reached().await;
    let path = format!("/upload{}", url.split_once("/upload").unwrap().1);
    let upload =
        |request: reqwest::RequestBuilder| request.header("x-goog-upload-command", "upload, finalize").body("evil");
    refused(upload(house.call(&house.bob, Method::POST, &path)).send().await.unwrap(), 404).await;
    let nobody = upload(house.app.instance.request(Method::POST, &path)).send().await.unwrap();
    assert_eq!(nobody.status(), StatusCode::BAD_REQUEST, "as Google says it");
    assert!(nobody.text().await.unwrap().contains("no API key was sent"));
    assert_eq!(house.reached().await, [""; 0]);
}

/// An upload in one piece, without an address to go on at.
#[tokio::test]
async fn an_upload_in_one_piece_is_the_callers_too() {
    let house = House::new().await;
    let body = "--b\r\ncontent-type: application/json\r\n\r\n{}\r\n--b\r\ncontent-type: application/octet-stream\r\n\r\nhi\r\n--b--";
    let request = house.call(&house.alice, Method::POST, "/upload/v1beta/files?uploadType=multipart");
    let request =
        request.header("x-goog-upload-protocol", "multipart").header("content-type", "multipart/related; boundary=b");
    let file = good(request.body(body).send().await.unwrap()).await["file"].take();
    let path = format!("/v1beta/{}", file["name"].as_str().unwrap());
    good(house.get(&house.alice, &path).await).await;
    refused(house.get(&house.bob, &path).await, 404).await;
}

/// A13: a name in `Host` is the client's word and stands in no answer; then addresses are paths.
#[tokio::test]
async fn a13_a_host_name_is_never_repeated() {
    let house = House::with(&[("ALLOWED_HOSTS", "evil,evil.example,127.0.0.1.evil.example")]).await;
    let batch = house.batch(&house.alice).await;
    for host in ["evil", "evil.example:80", "127.0.0.1.evil.example"] {
        let mut raw = Raw::connect(house.app.instance.address).await;
        let head = format!(
            "host: {host}\r\nx-forwarded-host: evil\r\nx-forwarded-proto: https\r\nforwarded: host=evil\r\nconnection: close\r\n"
        );
        raw.send(format!("GET /v1/messages/batches/{batch} HTTP/1.1\r\n{head}x-api-key: {}\r\n\r\n", house.alice))
            .await;
        let answer = raw.rest().await;
        assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("evil"), "{answer}");
        assert!(answer.contains(&format!("\"results_url\":\"/v1/messages/batches/{batch}/results\"")), "{answer}");
        let mut raw = Raw::connect(house.app.instance.address).await;
        raw.send(format!(
            "POST /upload/v1beta/files HTTP/1.1\r\n{head}x-goog-api-key: {}\r\nx-goog-upload-protocol: resumable\r\n\
             x-goog-upload-command: start\r\ncontent-length: 2\r\n\r\n{{}}",
            house.alice
        ))
        .await;
        let answer = raw.rest().await.to_ascii_lowercase();
        assert!(
            answer.contains("x-goog-upload-url: /upload/v1beta/files?upload_id=") && !answer.contains("evil"),
            "{answer}"
        );
    }
}

/// `PUBLIC_URL` is what the operator says, whatever a client says.
#[tokio::test]
async fn a_public_url_goes_before_everything() {
    let house = House::with(&[("PUBLIC_URL", "https://gw.example.com/")]).await;
    let url = house.upload_url(&house.alice).await;
    assert!(url.starts_with("https://gw.example.com/upload/v1beta/files?upload_id="), "{url}");
}

/// A thing is on record before its caller hears of it: where that cannot be done, the caller hears of none.
#[tokio::test]
async fn a_thing_that_cannot_be_recorded_is_not_heard_of() {
    let house = House::new().await;
    house.app.database.execute("alter table things add constraint full_shelf check (kind <> 'batch')").await;
    let batch = json!({ "requests": [{ "custom_id": "a", "params": { "model": "claude-haiku-4-5" } }] });
    let made = house.post(&house.alice, "/v1/messages/batches", &batch).await;
    let (status, text) = (made.status(), made.text().await.unwrap());
    assert!(status.is_server_error() && !text.contains("msgbatch_"), "{status} {text}");
    let rows = house.app.ledger().await;
    assert_eq!(rows.last().unwrap()["status"], "failed");
}
