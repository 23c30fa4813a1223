//! Lists hold the caller's own, in pages, wherever they are.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{House, good, refused};

fn names(list: &Value, word: &str) -> Vec<String> {
    let name = |it: &Value| it["id"].as_str().or(it["name"].as_str()).unwrap().to_owned();
    list[word].as_array().map(|items| items.iter().map(name).collect()).unwrap_or_default()
}

/// B2: a key's lists hold only what that key made, from every account that holds some.
#[tokio::test]
async fn b2_a_list_holds_only_the_callers_own() {
    let house = House::new().await;
    let mut own: [BTreeSet<String>; 5] = Default::default();
    for (anthropic, gemini) in [("sk-ant-one", "AIza-one"), ("sk-ant-two", "AIza-two")] {
        house.only(anthropic).await;
        house.only(gemini).await;
        for key in [&house.alice, &house.bob] {
            let made = [
                house.file(key, "x").await,
                house.batch(key).await,
                house.gemini_file(key).await["name"].as_str().unwrap().to_owned(),
                house.cache(key).await,
                house.gemini_batch(key).await,
            ];
            if key == &house.alice {
                own.iter_mut().zip(made).for_each(|(own, made)| assert!(own.insert(made)));
            }
        }
    }
    house.all().await;
    house.reached().await;
    let lists = [
        ("/v1/files?beta=true", "data"),
        ("/v1/messages/batches", "data"),
        ("/v1beta/files", "files"),
        ("/v1beta/cachedContents", "cachedContents"),
        ("/v1beta/batches", "operations"),
    ];
    for ((path, word), own) in lists.into_iter().zip(&own) {
        let list = good(house.get(&house.alice, path).await).await;
        assert_eq!(&names(&list, word).into_iter().collect::<BTreeSet<_>>(), own, "{path}: {list}");
        let reached: BTreeSet<_> = house.reached().await.into_iter().collect();
        assert_eq!(reached.len(), 2, "{path}: both accounts are asked, of nothing but the caller's own");
    }
    let nobody = house.app.key(serde_json::json!({ "name": "carol" })).await;
    for (path, word) in lists {
        let list = good(house.get(&nobody, path).await).await;
        assert_eq!(names(&list, word), [""; 0], "{path}");
    }
    assert_eq!(house.reached().await, [""; 0]);
    for row in house.app.ledger().await {
        assert_eq!((&row["status"], &row["cost_micros"]), (&"completed".into(), &0.into()), "{row}");
    }
}

/// Pages follow one another without a gap or a double, in either of Anthropic's ways and in Gemini's; what is in them is
/// as its account describes it now.
#[tokio::test]
async fn pages_follow_one_another() {
    let house = House::new().await;
    let (mut files, mut batches, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..5 {
        files.insert(0, house.file(&house.alice, "x").await);
        batches.insert(0, house.batch(&house.alice).await);
        theirs.insert(0, house.gemini_file(&house.alice).await["name"].as_str().unwrap().to_owned());
    }
    let mut seen = Vec::new();
    let mut query = String::new();
    loop {
        let page = good(house.get(&house.alice, &format!("/v1/files?limit=2{query}")).await).await;
        seen.extend(names(&page, "data"));
        let Some(next) = page["next_page"].as_str() else { break };
        query = format!("&page={next}");
    }
    assert_eq!(seen, files);
    let (mut seen, mut query) = (Vec::new(), String::new());
    loop {
        let page = good(house.get(&house.alice, &format!("/v1/messages/batches?limit=2{query}")).await).await;
        assert_eq!(page["data"][0]["processing_status"], "ended", "as it is by now");
        let url = page["data"][0]["results_url"].as_str().unwrap();
        assert!(url.starts_with(&format!("http://{}/v1/", house.app.instance.address)), "{url}");
        seen.extend(names(&page, "data"));
        if page["has_more"] == false {
            break;
        }
        query = format!("&after_id={}", page["last_id"].as_str().unwrap());
    }
    assert_eq!(seen, batches);
    let before =
        good(house.get(&house.alice, &format!("/v1/messages/batches?limit=2&before_id={}", batches[3])).await).await;
    assert_eq!(names(&before, "data"), batches[1..3]);
    let (mut seen, mut query) = (Vec::new(), String::new());
    loop {
        let page = good(house.get(&house.alice, &format!("/v1beta/files?pageSize=3{query}")).await).await;
        seen.extend(names(&page, "files"));
        let Some(next) = page["nextPageToken"].as_str() else { break };
        query = format!("&pageToken={next}");
    }
    assert_eq!(seen, theirs);
    refused(house.get(&house.bob, &format!("/v1/messages/batches?after_id={}", batches[0])).await, 400).await;
    refused(house.get(&house.alice, "/v1/files?limit=many").await, 400).await;
}

/// What the upstream has lost is left out and forgotten; a list that cannot be whole is an error.
#[tokio::test]
async fn a_list_is_whole_or_an_error() {
    let house = House::new().await;
    house.only("sk-ant-one").await;
    let (lost, there) = (house.file(&house.alice, "x").await, house.file(&house.alice, "y").await);
    let upstream = reqwest::Client::new().delete(format!("{}/v1/files/{lost}", house.app.fake.url()));
    upstream.header("x-api-key", "sk-ant-one").send().await.unwrap();
    let list = good(house.get(&house.alice, "/v1/files").await).await;
    assert_eq!(names(&list, "data"), [there.as_str()]);
    assert_eq!(house.app.database.number("select count(*) from things").await, 1);
    house.only("sk-ant-two").await;
    house.file(&house.alice, "z").await;
    assert!(refused(house.get(&house.alice, "/v1/files").await, 503).await.contains("is paused"));
}

/// D5: a list of which one account does not describe its part is one row, and failed.
#[tokio::test]
async fn d5_a_list_that_an_account_does_not_describe_is_one_row() {
    use fake_upstream::{Answer, Script};
    let house = House::new().await;
    let file = house.file(&house.alice, "x").await;
    house.app.ledger().await;
    house.app.database.execute("delete from ledger").await;
    house.app.fake.script(Script::always(Answer::internal_error()).on(&file));
    refused(house.get(&house.alice, "/v1/files").await, 503).await;
    let row = house.app.only_row().await;
    assert_eq!((&row["status"], &row["operation"]), (&"failed".into(), &"files".into()), "{row}");
}
