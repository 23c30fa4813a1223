//! A thing goes to the account that made it, for the key that made it, and to nobody else.

use reqwest::Method;
use serde_json::json;

use super::{House, good, refused};

/// B2: another key, be it of the same pool, and an admin's too, gets the provider's 404 for everything, and nothing is sent;
/// the same for what nobody has made.
#[tokio::test]
async fn b2_another_keys_things_are_not_there() {
    let house = House::new().await;
    let admin = house.app.key(json!({ "name": "admin", "role": "admin" })).await;
    let (file, batch) = (house.file(&house.alice, "x").await, house.batch(&house.alice).await);
    let (cache, other) = (house.cache(&house.alice).await, house.gemini_batch(&house.alice).await);
    let upload = house.upload_url(&house.alice).await;
    let upload = format!("/upload{}", upload.split_once("/upload").unwrap().1);
    let gemini_file = house.gemini_file(&house.alice).await["name"].as_str().unwrap().to_owned();
    let (rows, get, post) = (house.app.ledger().await.len(), Method::GET, Method::POST);
    house.reached().await;
    let uses = [
        (get.clone(), format!("/v1/files/{file}")),
        (get.clone(), format!("/v1/files/{file}/content")),
        (Method::DELETE, format!("/v1/files/{file}")),
        (get.clone(), format!("/v1/messages/batches/{batch}")),
        (get.clone(), format!("/v1/messages/batches/{batch}/results")),
        (post.clone(), format!("/v1/messages/batches/{batch}/cancel")),
        (Method::DELETE, format!("/v1/messages/batches/{batch}")),
        (get.clone(), format!("/v1beta/{gemini_file}")),
        (get.clone(), format!("/v1beta/{gemini_file}:download?alt=media")),
        (Method::DELETE, format!("/v1beta/{gemini_file}")),
        (get.clone(), format!("/v1beta/{cache}")),
        (Method::PATCH, format!("/v1beta/{cache}?updateMask=ttl")),
        (Method::DELETE, format!("/v1beta/{cache}")),
        (get.clone(), format!("/v1beta/{other}")),
        (post.clone(), format!("/v1beta/{other}:cancel")),
        (Method::DELETE, format!("/v1beta/{other}")),
        (post.clone(), upload),
        (get.clone(), "/v1/files/file_unknown".to_owned()),
        (get.clone(), "/v1/messages/batches/msgbatch_unknown/results".to_owned()),
        (get, "/v1beta/files/unknown".to_owned()),
        (post, "/upload/v1beta/files?upload_id=unknown".to_owned()),
    ];
    for (method, path) in &uses {
        for key in [&house.bob, &admin] {
            refused(house.call(key, method.clone(), path).send().await.unwrap(), 404).await;
        }
    }
    assert_eq!(house.reached().await, [""; 0], "nothing is sent");
    assert_eq!(house.app.ledger().await.len(), rows, "and nothing claimed");
    good(house.get(&house.alice, &format!("/v1/files/{file}")).await).await;
    good(house.get(&house.alice, &format!("/v1beta/{cache}")).await).await;
}

/// A3: a key that was revoked, or may not be used from here any more, is refused on the very next request, also where no
/// account needs to be asked; on an instance that remembers the key as it was.
#[tokio::test]
async fn a3_a_revoked_key_sees_no_list_and_no_thing() {
    let house = House::new().await;
    let neighbour = house.app.neighbour().await;
    for change in [None, Some(json!({ "allowed_cidrs": ["192.0.2.0/24"] }))] {
        let (id, key) = crate::support::keys::issue(&house.app, json!({})).await;
        let get = |path: &str| {
            let request = neighbour.request(Method::GET, path).header("x-api-key", &key);
            request.header("anthropic-version", "2023-06-01").send()
        };
        let lists = ["/v1/files", "/v1/messages/batches"];
        for path in lists {
            good(get(path).await.unwrap()).await;
        }
        let path = format!("/api/keys/{id}");
        let status = if change.is_some() { 403 } else { 401 };
        match change {
            Some(change) => drop(house.app.instance.manage(Method::PATCH, &path, Some(change)).await),
            None => drop(house.app.instance.manage(Method::DELETE, &path, None).await),
        }
        for path in lists.into_iter().chain(["/v1/files/file_none"]) {
            assert_eq!(get(path).await.unwrap().status(), status, "{path}");
        }
    }
}

/// Later calls that name a thing go to the account that made it, on every instance.
#[tokio::test]
async fn a_thing_stays_on_its_account() {
    let house = House::new().await;
    let neighbour = house.app.neighbour().await;
    for credential in ["sk-ant-one", "sk-ant-two"] {
        house.only(credential).await;
        let (file, batch) = (house.file(&house.bob, "text of it").await, house.batch(&house.bob).await);
        house.all().await;
        house.reached().await;
        let content = house.get(&house.bob, &format!("/v1/files/{file}/content")).await;
        assert_eq!(content.text().await.unwrap(), "text of it");
        for _ in 0..3 {
            good(house.get(&house.bob, &format!("/v1/files/{file}")).await).await;
            good(house.get(&house.bob, &format!("/v1/messages/batches/{batch}")).await).await;
        }
        let request = neighbour.request(Method::GET, &format!("/v1/files/{file}"));
        good(request.header("x-api-key", &house.bob).send().await.unwrap()).await;
        assert_eq!(house.reached().await, [credential; 8]);
    }
    for credential in ["AIza-one", "AIza-two"] {
        house.only(credential).await;
        let file = house.gemini_file(&house.bob).await;
        let (cache, batch) = (house.cache(&house.bob).await, house.gemini_batch(&house.bob).await);
        house.all().await;
        house.reached().await;
        for name in [file["name"].as_str().unwrap(), &cache, &batch] {
            good(house.get(&house.bob, &format!("/v1beta/{name}")).await).await;
        }
        assert_eq!(house.reached().await, [credential; 3]);
    }
}

/// An account that is out is an honest error with a time to come back, and never another account.
#[tokio::test]
async fn an_account_that_is_out_is_waited_for() {
    let house = House::new().await;
    house.only("sk-ant-one").await;
    let file = house.file(&house.alice, "x").await;
    house.only("sk-ant-two").await;
    house.reached().await;
    let message = json!({ "model": "claude-haiku-4-5", "max_tokens": 9, "messages": [{ "role": "user", "content": [
        { "type": "document", "source": { "type": "file", "file_id": file } }] }] });
    for answer in [
        house.get(&house.alice, &format!("/v1/files/{file}")).await,
        house.post(&house.alice, "/v1/messages", &message).await,
    ] {
        assert_eq!(answer.headers()["retry-after"], "60");
        assert_eq!(answer.headers()["x-should-retry"], "false");
        assert!(refused(answer, 503).await.contains("is paused"));
    }
    house.all().await;
    let cools = "update accounts set health = 'cooling', health_until = now() + interval '20 seconds'";
    house.app.database.execute(&format!("{cools} where id = '{}'", house.id("sk-ant-one"))).await;
    house
        .app
        .instance
        .manage(Method::PATCH, &format!("/api/accounts/{}", house.id("sk-ant-two")), Some(json!({ "note": "n" })))
        .await;
    let answer = house.get(&house.alice, &format!("/v1/files/{file}")).await;
    let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    assert!(refused(answer, 429).await.contains("cooling down"));
    assert_eq!(house.reached().await, [""; 0]);
}

/// Deleting removes the record; what the upstream no longer knows goes too, and so does what has expired.
#[tokio::test]
async fn what_is_gone_is_forgotten() {
    let house = House::new().await;
    let (file, gone, old) =
        (house.file(&house.alice, "x").await, house.file(&house.alice, "y").await, house.file(&house.alice, "z").await);
    good(house.call(&house.alice, Method::DELETE, &format!("/v1/files/{file}")).send().await.unwrap()).await;
    refused(house.get(&house.alice, &format!("/v1/files/{file}")).await, 404).await;
    let upstream = reqwest::Client::new().delete(format!("{}/v1/files/{gone}", house.app.fake.url()));
    for (credential, _) in &house.accounts {
        upstream.try_clone().unwrap().header("x-api-key", *credential).send().await.unwrap();
    }
    refused(house.call(&house.alice, Method::DELETE, &format!("/v1/files/{gone}")).send().await.unwrap(), 404).await;
    house.app.database.execute(&format!("update things set expires_at = now() where name = '{old}'")).await;
    house.reached().await;
    refused(house.get(&house.alice, &format!("/v1/files/{old}")).await, 404).await;
    assert_eq!(house.reached().await, [""; 0]);
    let neighbour = house.app.neighbour().await;
    neighbour
        .request(Method::GET, "/v1/models")
        .header("x-api-key", &house.alice)
        .header("anthropic-version", "x")
        .send()
        .await
        .unwrap();
    crate::support::eventually("upkeep sweeps what has expired", || async {
        (house.app.database.number("select count(*) from things").await == 0).then_some(())
    })
    .await;
}

/// An account that is deleted takes its things with it.
#[tokio::test]
async fn a_deleted_account_takes_its_things_along() {
    let house = House::new().await;
    house.only("sk-ant-one").await;
    let file = house.file(&house.alice, "x").await;
    house.app.instance.manage(Method::DELETE, &format!("/api/accounts/{}", house.id("sk-ant-one")), None).await;
    refused(house.get(&house.alice, &format!("/v1/files/{file}")).await, 404).await;
}

/// A call that makes something is not made again once the upstream may have seen it.
#[tokio::test]
async fn making_is_never_repeated() {
    use fake_upstream::{Answer, Before, Script};
    let house = House::new().await;
    for answer in [Answer::after(Before::Reset), Answer::overloaded()] {
        house.reached().await;
        house.app.fake.script(Script::once(answer).on("/v1/messages/batches"));
        let batch = json!({ "requests": [{ "custom_id": "a", "params": { "model": "claude-haiku-4-5" } }] });
        let made = house.post(&house.alice, "/v1/messages/batches", &batch).await;
        assert!(made.status().is_server_error(), "{}", made.status());
        assert_eq!(house.reached().await.len(), 1);
    }
    assert_eq!(house.app.database.number("select count(*) from things").await, 0);
}

/// B1: no way of writing a path leads anywhere else: refused before a claim, or the upstream gets the very path.
#[tokio::test]
async fn b1_no_path_leads_around_a_things_owner() {
    use crate::support::Raw;
    let house = House::new().await;
    let file = house.file(&house.alice, "x").await;
    let rows = house.app.ledger().await.len();
    house.reached().await;
    for target in [
        format!("/v1/messages/../files/{file}"),
        format!("/v1/files/x/../{file}"),
        format!("/v1/files/%2e%2e/files/{file}"),
        format!("/v1/files%2f{file}"),
        format!("/v1/files\\{file}"),
        format!("/v1/files//{file}"),
        format!("/v1/files/{file}/"),
        format!("/v1/files/{file}%2fcontent"),
        format!("/v1/files/{file};x"),
        format!("http://api.anthropic.com/v1/files/{file}"),
        "/upload/v1beta/../v1beta/files".to_owned(),
    ] {
        for key in [&house.alice, &house.bob] {
            let mut raw = Raw::connect(house.app.instance.address).await;
            raw.send(format!("GET {target} HTTP/1.1\r\nhost: g\r\nx-api-key: {key}\r\n\r\n")).await;
            let (status, head) = raw.head().await;
            // An address of another's is refused as that.
            let refusals: &[u16] = if target.starts_with("http:") { &[403] } else { &[400, 404] };
            assert!(refusals.contains(&status), "{target}: {head}");
        }
    }
    assert_eq!(house.reached().await, [""; 0]);
    assert_eq!(house.app.ledger().await.len(), rows, "nothing was claimed");
    let written = format!("/v1/files/%66ile{}?beta=true", &file["file".len()..]);
    refused(house.get(&house.bob, &written).await, 404).await;
    house.get(&house.alice, &written).await;
    assert_eq!(house.app.only_seen().path_and_query, written, "its owner's call leaves as it came");
}
