//! The dashboard's files, with the headers that `vercel.json` gives them on Vercel.

use std::{
    collections::HashMap,
    path::{Component, Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::packing;
use crate::http::{Response, full};

/// Nothing but our own files; no inline code, no frame, no form to elsewhere.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
                                       object-src 'none'; img-src 'self' data:";

/// A folder of files that anybody may read.
#[derive(Debug)]
pub(super) struct Files {
    public: PathBuf,
    /// Files as they were when they were compressed, and what came of it.
    packed: Mutex<HashMap<PathBuf, (Bytes, Bytes)>>,
}

impl Files {
    pub(super) fn of(public: &Path) -> Self {
        Self { public: public.to_owned(), packed: Mutex::default() }
    }

    pub(super) async fn answer(&self, request: &http::Request<impl Sized>) -> Response {
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "this path takes GET only");
        }
        let Some(file) = file_of(&self.public, request.uri().path()) else {
            return plain(StatusCode::NOT_FOUND, "not found");
        };
        let Ok(content) = tokio::fs::read(&file).await else { return plain(StatusCode::NOT_FOUND, "not found") };
        let (content, media_type) = (Bytes::from(content), media_type(&file));
        let worth_it = packing::takes_gzip(request.headers())
            && packing::is_worth_it(media_type, u64::try_from(content.len()).ok());
        let packed = worth_it.then(|| self.packed(file, &content)).flatten();
        // To HEAD the server sends the headers alone, and they tell the true length.
        let mut response = Response::new(full(packed.clone().unwrap_or(content)));
        dress(response.headers_mut(), media_type);
        if packed.is_some() {
            packing::say_so(response.headers_mut());
        }
        response
    }

    /// A file's content, compressed once for as long as it stays the same.
    fn packed(&self, file: PathBuf, content: &Bytes) -> Option<Bytes> {
        let mut known = self.packed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, packed)) = known.get(&file).filter(|(of, _)| of == content) {
            return Some(packed.clone());
        }
        let packed = packing::gzip(content).ok()?;
        known.insert(file, (content.clone(), packed.clone()));
        Some(packed)
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
