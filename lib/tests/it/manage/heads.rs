//! HEAD is told what GET would be, without the body; and whoever asks for health may add what they like.

use http::StatusCode;
use reqwest::Method;

use crate::support::{ADMIN_TOKEN, App, health};

#[tokio::test]
async fn head_says_what_get_would_on_every_path_of_the_management_api() {
    let app = App::start().await;
    health(&app.instance).await;
    for path in [
        "/api/health",
        "/api/openapi.json",
        "/api/keys",
        "/api/accounts",
        "/api/routing",
        "/api/keys/key_none",
        "/api/nonsense",
    ] {
        for token in [Some(ADMIN_TOKEN), None] {
            let ask = async |method: Method| {
                let request = app.instance.request(method, path);
                let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
                request.send().await.unwrap()
            };
            let (get, head) = (ask(Method::GET).await, ask(Method::HEAD).await);
            assert_eq!(head.status(), get.status(), "{path}");
            assert_eq!(head.headers()["content-length"], get.headers()["content-length"], "{path}");
            assert_eq!(head.headers()["content-type"], get.headers()["content-type"], "{path}");
            assert!(head.headers().contains_key("x-request-id") && !get.bytes().await.unwrap().is_empty());
            assert!(head.bytes().await.unwrap().is_empty(), "{path}");
        }
    }
    let answer = app.instance.operator(Method::HEAD, "/api/keys/me/rotate", None).await;
    assert_eq!(
        (answer.status(), &answer.headers()["allow"]),
        (StatusCode::METHOD_NOT_ALLOWED, &"POST".parse().unwrap())
    );
    let export = app.instance.operator(Method::HEAD, "/api/stats/export.csv", None).await;
    assert_eq!((export.status(), export.headers().contains_key("content-length")), (StatusCode::OK, false));
}

#[tokio::test]
async fn a_monitor_may_add_a_parameter_of_its_own() {
    let app = App::start().await;
    health(&app.instance).await;
    for query in ["?x=1", "?_=1764037200", "?", "?x=1&x=2", "?%"] {
        for method in [Method::GET, Method::HEAD] {
            let answer = app.instance.request(method, &format!("/api/health{query}")).send().await.unwrap();
            assert_ne!(answer.status(), StatusCode::BAD_REQUEST, "{query}");
        }
    }
    let keys = app.instance.operator(Method::GET, "/api/keys?x=1", None).await;
    assert_eq!(keys.status(), StatusCode::BAD_REQUEST, "elsewhere a slip of the pen is told");
}
