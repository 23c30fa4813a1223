//! The dashboard's files, from the local server.

use http::StatusCode;
use reqwest::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::Instance;

async fn served() -> Instance {
    Instance::start("postgresql://gateway@127.0.0.1:1/gateway", &[]).await
}

#[tokio::test]
async fn files_come_with_the_headers_that_keep_pages_safe() {
    let instance = served().await;
    for (path, media) in [
        ("/", "text/html; charset=utf-8"),
        ("/js/app.js", "text/javascript; charset=utf-8"),
        ("/css/app.css", "text/css; charset=utf-8"),
        ("/js/none.js", "text/plain; charset=utf-8"),
    ] {
        let answer = instance.request(Method::GET, path).send().await.unwrap();
        let expect = if path.contains("none") { StatusCode::NOT_FOUND } else { StatusCode::OK };
        assert_eq!(answer.status(), expect, "{path}");
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), media);
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'self'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(
            (
                &*header("x-content-type-options"),
                &*header("x-frame-options"),
                &*header("referrer-policy"),
                &*header("cache-control")
            ),
            ("nosniff", "DENY", "no-referrer", "no-cache")
        );
    }
}

#[tokio::test]
async fn head_says_what_get_would() {
    let instance = served().await;
    let (get, head) = (
        instance.request(Method::GET, "/").send().await.unwrap(),
        instance.request(Method::HEAD, "/").send().await.unwrap(),
    );
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.headers()["content-length"], get.headers()["content-length"]);
    let body = get.text().await.unwrap();
    assert_eq!(body.len().to_string(), head.headers()["content-length"].to_str().unwrap());
    assert!(head.text().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_no_file_is_not_found() {
    let instance = served().await;
    for path in ["/nothing", "/js", "/js/", "/index.html/x"] {
        assert_eq!(instance.request(Method::GET, path).send().await.unwrap().status(), StatusCode::NOT_FOUND, "{path}");
    }
    for method in [Method::POST, Method::DELETE, Method::PUT] {
        assert_eq!(
            instance.request(method, "/index.html").send().await.unwrap().status(),
            StatusCode::METHOD_NOT_ALLOWED
        );
    }
}

/// A client that does not tidy its path, as real ones do.
async fn raw(instance: &Instance, path: &str) -> String {
    let mut stream = TcpStream::connect(instance.address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn no_path_leads_out_of_the_folder() {
    let instance = served().await;
    for path in [
        "/../Cargo.toml",
        "/js/../../Cargo.toml",
        "/%2e%2e/Cargo.toml",
        "/..%2fCargo.toml",
        "/..\\Cargo.toml",
        "/./../Cargo.toml",
        "//etc/passwd",
        "/etc/passwd",
        "/.env",
        "/.git/config",
        "/js/%00",
        "/%",
        "http://g/../Cargo.toml",
    ] {
        let answer = raw(&instance, path).await;
        let line = answer.lines().next().unwrap_or_default();
        assert!(line.contains("404") || line.contains("400"), "{path}: {line}");
        assert!(!answer.contains("[workspace]") && !answer.contains("root:"), "{path}");
    }
}
