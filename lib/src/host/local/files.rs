//! The dashboard's files, with the headers that `vercel.json` gives them on Vercel.

use std::path::{Component, Path, PathBuf};

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::http::{Response, full};

/// Nothing but our own files; no inline code, no frame, no form to elsewhere.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
                                       object-src 'none'; img-src 'self' data:";

pub(super) async fn answer(public: &Path, method: &Method, path: &str) -> Response {
    if ![Method::GET, Method::HEAD].contains(method) {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "this path takes GET only");
    }
    let Some(file) = file_of(public, path) else { return plain(StatusCode::NOT_FOUND, "not found") };
    match tokio::fs::read(&file).await {
        // To HEAD the server sends the headers alone, and they tell the true length.
        Ok(content) => {
            let mut response = Response::new(full(content));
            dress(response.headers_mut(), media_type(&file));
            response
        }
        Err(_) => plain(StatusCode::NOT_FOUND, "not found"),
    }
}

/// A page that is not shown, and why.
pub(super) fn refusal(why: &'static str) -> Response {
    plain(StatusCode::FORBIDDEN, why)
}

/// The file that a path names; `None` for a path that would lead out of the folder, or to a hidden file.
fn file_of(public: &Path, path: &str) -> Option<PathBuf> {
    let relative = path.trim_start_matches('/');
    let relative = Path::new(if relative.is_empty() { "index.html" } else { relative });
    let plain = |part: Component<'_>| match part {
        Component::Normal(name) => name.to_str().is_some_and(|name| !name.starts_with('.')),
        _ => false,
    };
    (!path.contains(['%', '\\', '\0']) && relative.components().all(plain)).then(|| public.join(relative))
}

fn media_type(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        _ => "text/plain; charset=utf-8",
    }
}

fn dress(headers: &mut HeaderMap, media_type: &'static str) {
    for (name, value) in [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    dress(response.headers_mut(), "text/plain; charset=utf-8");
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_the_folder() {
        let public = Path::new("public");
        for (path, expect) in [
            ("/", Some("public/index.html")),
            ("/js/app.js", Some("public/js/app.js")),
            ("/../Cargo.toml", None),
            ("/js/../../Cargo.toml", None),
            ("/%2e%2e/Cargo.toml", None),
            ("/..\\Cargo.toml", None),
            ("/.env", None),
            ("//etc/passwd", Some("public/etc/passwd")),
        ] {
            assert_eq!(file_of(public, path), expect.map(PathBuf::from), "{path}");
        }
    }
}
