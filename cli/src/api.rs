//! The management API, asked over HTTP or, where no server is needed, within this process.

use std::{net::IpAddr, path::Path, time::Duration};

use gateway::{
    Background, Error, Kind, Result, Router, Secret,
    address::Peer,
    config::{Environment, Local, Terminal},
    host::Door,
    http::{collect, full},
    tls,
};
use http::{HeaderMap, Method, StatusCode, header};
use serde_json::Value;
use url::{Host, Url};

use crate::arguments::Shared;

/// A check of an account may take its fifteen seconds, and a database its time to wake up.
const PATIENCE: Duration = Duration::from_secs(60);
/// A gateway on this machine says within this time that it is one.
const A_MOMENT: Duration = Duration::from_secs(3);
const CONNECT: Duration = Duration::from_secs(10);
/// Larger answers are none of ours.
const LARGEST_ANSWER: usize = 64 << 20;
/// Where `npm run dev` keeps the token that it made.
const KEPT_TOKEN: &str = ".data/admin-token";
const JSON: &str = "application/json";
/// As many entries of a list come at once.
pub(crate) const PAGE: usize = 500;

/// Parameters of a query.
pub(crate) type Query<'q> = [(&'q str, String)];

/// A gateway, and the token to speak to it with.
pub(crate) struct Api {
    way: Way,
    base: Url,
    token: Secret,
}

enum Way {
    Network(reqwest::Client),
    Within(Door),
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Api {
    /// The gateway that was named, else the one that runs here.
    pub(crate) fn open(shared: &Shared, env: &Environment) -> Result<Self> {
        let terminal = Terminal::read(env);
        let named = shared.url.as_deref().or(terminal.gateway_url.as_deref());
        let base = match named {
            Some(url) => parse(url)?,
            None => here(&Local::read(env)?)?,
        };
        let token = token(shared, terminal.token, named.is_none())?;
        Ok(Self { way: Way::Network(client()?), base, token })
    }

    /// The gateway of this environment without a server: its routers answer in this process.
    pub(crate) fn within(env: &Environment, token: Secret) -> Result<Self> {
        let base = Url::parse("http://127.0.0.1/").map_err(Error::internal)?;
        Ok(Self { way: Way::Within(Door::open(env)), base, token })
    }

    /// Where it is.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// Reads something.
    pub(crate) async fn get(&self, path: &[&str], query: &Query<'_>) -> Result<Value> {
        self.call(Method::GET, self.url(path, query)?, None).await
    }

    /// Does something; the answer is null where there is nothing to say.
    pub(crate) async fn send(&self, method: Method, path: &[&str], body: Option<Value>) -> Result<Value> {
        self.call(method, self.url(path, &[])?, body).await
    }

    async fn call(&self, method: Method, url: Url, body: Option<Value>) -> Result<Value> {
        let answer = self.ask(method, url, body).await?;
        if answer.status.is_success() { Ok(answer.body) } else { Err(self.refusal(&answer)) }
    }

    /// An answer as it comes, piece by piece, however long it is.
    pub(crate) async fn download(
        &self,
        path: &[&str],
        query: &Query<'_>,
        mut take: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let Way::Network(client) = &self.way else { return Err(Error::internal("nothing is downloaded within")) };
        let request = client.get(self.url(path, query)?).bearer_auth(self.token.expose());
        let mut response = request.send().await.map_err(|why| self.away(why))?;
        let (status, headers) = (response.status(), response.headers().clone());
        if !status.is_success() {
            let body = response.bytes().await.map_err(|why| self.away(why))?;
            let body = serde_json::from_slice(&body).map_err(|_| self.stranger(status))?;
            return Err(self.refusal(&Answer { status, headers, body }));
        }
        let broken = |why: reqwest::Error| {
            Error::new(Kind::Unavailable, "the answer broke off: what came is not all").with_source(why.without_url())
        };
        while let Some(piece) = response.chunk().await.map_err(broken)? {
            take(&piece)?;
        }
        Ok(())
    }

    /// An answer, whatever it is.
    pub(crate) async fn ask(&self, method: Method, url: Url, body: Option<Value>) -> Result<Answer> {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let (status, headers, bytes) = match &self.way {
            Way::Network(client) => {
                let request = client.request(method, url).bearer_auth(self.token.expose());
                let request = request.header(header::CONTENT_TYPE, JSON).body(body);
                let response = request.send().await.map_err(|why| self.away(why))?;
                let (status, headers) = (response.status(), response.headers().clone());
                (status, headers, response.bytes().await.map_err(|why| self.away(why))?)
            }
            Way::Within(door) => {
                let request = http::Request::builder()
                    .method(method)
                    .uri(&url[url::Position::BeforePath..])
                    .header(header::CONTENT_TYPE, JSON)
                    .header(header::AUTHORIZATION, format!("Bearer {}", self.token.expose()))
                    .body(full(body))
                    .map_err(Error::internal)?;
                let router = Router::of(request.uri().path()).ok_or_else(|| Error::internal("no router"))?;
                let background = Background::new(|work| drop(tokio::spawn(work)));
                let (head, body) = door
                    .answer(router, background, Peer::Socket(IpAddr::from([127, 0, 0, 1])), request)
                    .await
                    .into_parts();
                (head.status, head.headers, collect(body, LARGEST_ANSWER).await?)
            }
        };
        let body = match bytes.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&bytes).map_err(|_| self.stranger(status))?,
        };
        Ok(Answer { status, headers, body })
    }

    /// The address of a path: each part of it is one segment, whatever it holds.
    pub(crate) fn url(&self, path: &[&str], query: &Query<'_>) -> Result<Url> {
        let mut url = self.base.clone();
        url.path_segments_mut().map_err(|()| Error::internal("no path"))?.pop_if_empty().push("api").extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    /// A list, page by page.
    pub(crate) fn pages<'a>(&'a self, path: &'a [&'a str], query: Vec<(&'a str, String)>) -> Pages<'a> {
        Pages { api: self, path, query, cursor: None, ended: false }
    }

    /// A whole list.
    pub(crate) async fn all(&self, path: &[&str], query: Vec<(&str, String)>) -> Result<Vec<Value>> {
        let mut pages = self.pages(path, query);
        let mut all = Vec::new();
        while let Some(page) = pages.next(PAGE).await? {
            all.extend(page);
        }
        Ok(all)
    }

    fn refusal(&self, answer: &Answer) -> Error {
        let kind = match answer.status {
            StatusCode::UNAUTHORIZED => Kind::Unauthenticated,
            StatusCode::FORBIDDEN => Kind::PermissionDenied,
            StatusCode::NOT_FOUND => Kind::NotFound,
            StatusCode::CONFLICT => Kind::Conflict,
            status if status.is_client_error() => Kind::InvalidRequest,
            status if status.is_server_error() => Kind::Unavailable,
            status => return self.stranger(status),
        };
        let error = &answer.body["error"];
        let Some(message) = error["message"].as_str() else { return self.stranger(answer.status) };
        let mut refusal = Error::new(kind, message.to_owned());
        refusal.param = error["param"].as_str().map(|param| param.to_owned().into());
        refusal
    }

    fn stranger(&self, status: StatusCode) -> Error {
        let message = format!("{} answered {status}, and not as a gateway does: is the URL right?", self.base);
        Error::new(Kind::Unavailable, message)
    }

    fn away(&self, why: reqwest::Error) -> Error {
        let hint = match self.base.host() {
            Some(Host::Domain("localhost")) => "; is it running? `llm-gateway serve` starts it",
            Some(Host::Ipv4(ip)) if ip.is_loopback() => "; is it running? `llm-gateway serve` starts it",
            Some(Host::Ipv6(ip)) if ip.is_loopback() => "; is it running? `llm-gateway serve` starts it",
            _ => "",
        };
        let what = if why.is_timeout() { "does not answer in time" } else { "cannot be reached" };
        Error::new(Kind::Unavailable, format!("the gateway at {} {what}{hint}", self.base))
            .with_source(why.without_url())
    }
}

/// A list that comes page by page, newest first.
pub(crate) struct Pages<'a> {
    api: &'a Api,
    path: &'a [&'a str],
    query: Vec<(&'a str, String)>,
    cursor: Option<String>,
    ended: bool,
}

impl Pages<'_> {
    /// The next entries, at most `limit` of them; `None` at the end.
    pub(crate) async fn next(&mut self, limit: usize) -> Result<Option<Vec<Value>>> {
        if self.ended {
            return Ok(None);
        }
        let mut query = self.query.clone();
        query.push(("limit", limit.min(PAGE).to_string()));
        query.extend(self.cursor.take().map(|cursor| ("cursor", cursor)));
        let mut page = self.api.get(self.path, &query).await?;
        self.cursor = page["next_cursor"].as_str().map(str::to_owned);
        self.ended = self.cursor.is_none();
        match page["data"].take() {
            Value::Array(entries) => Ok(Some(entries)),
            _ => Err(self.api.stranger(StatusCode::OK)),
        }
    }
}

/// The version of the gateway that listens where this environment's would; `None` where something else does. It is sent no
/// token.
pub(crate) async fn gateway_here(local: &Local) -> Option<String> {
    let api = Api { way: Way::Network(client().ok()?), base: here(local).ok()?, token: Secret::new("none") };
    let asking = api.ask(Method::GET, api.url(&["health"], &[]).ok()?, None);
    let answer = tokio::time::timeout(A_MOMENT, asking).await.ok()?.ok()?;
    let not_set_up = answer.body["error"]["type"] == "unavailable";
    answer.body["version"].as_str().map(str::to_owned).or_else(|| not_set_up.then(|| "not set up".to_owned()))
}

fn client() -> Result<reqwest::Client> {
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls::client_config(tls::web_roots()))
        // A token is for the address that it was meant for.
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("llm-gateway/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        // An answer may be long, but not silent for long.
        .read_timeout(PATIENCE);
    client.build().map_err(Error::internal)
}

fn parse(url: &str) -> Result<Url> {
    let wrong = |why: &str| Error::new(Kind::InvalidRequest, format!("the gateway's URL {why}"));
    let url = Url::parse(url).map_err(|_| wrong("must be like https://your-gateway.example"))?;
    let local = match url.host() {
        None => return Err(wrong("must name a host")),
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
    };
    match url.scheme() {
        "https" => {}
        "http" if local => {}
        "http" => crate::out::remark("llm-gateway: the token goes out unencrypted: this URL begins with http://"),
        _ => return Err(wrong("must begin with https://")),
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("must not hold a user, a query or a fragment"));
    }
    Ok(url)
}

/// Where the server of this environment is reached from here.
fn here(local: &Local) -> Result<Url> {
    if local.port == 0 {
        let message = "PORT is 0, so nobody knows where the server listens: say it with --url";
        return Err(Error::new(Kind::InvalidRequest, message));
    }
    let host = match local.host {
        IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V6(ip) if ip.is_unspecified() => "[::1]".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    Url::parse(&format!("http://{host}:{}/", local.port)).map_err(Error::internal)
}

/// The token that was named, else the environment's, else, for the gateway that runs here, the one that was made for it.
fn token(shared: &Shared, of_environment: Option<Secret>, is_here: bool) -> Result<Secret> {
    if let Some(file) = &shared.token {
        return crate::ask::secret(Some(file), "token");
    }
    let kept = || std::fs::read_to_string(Path::new(KEPT_TOKEN)).ok().map(|token| Secret::new(token.trim()));
    let hint = if is_here { " (or run this where .data/ is)" } else { "" };
    of_environment.or_else(|| kept().filter(|_| is_here)).ok_or_else(|| {
        let message = format!("no token: set GATEWAY_TOKEN or ADMIN_TOKEN, or name a file with --token{hint}");
        Error::new(Kind::Unauthenticated, message)
    })
}
