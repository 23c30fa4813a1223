//! Where traces go, by the names that OpenTelemetry has for it.

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use url::Url;

use super::{Environment, listed, unset};
use crate::error::Result;

/// A collector that takes traces over HTTP, and what it is told of this process.
#[derive(Debug)]
pub struct Telemetry {
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` as it is, else `OTEL_EXPORTER_OTLP_ENDPOINT` and `/v1/traces`.
    pub url: Url,
    /// `OTEL_EXPORTER_OTLP_HEADERS`, and over them `OTEL_EXPORTER_OTLP_TRACES_HEADERS`; none shows its value.
    pub headers: HeaderMap,
    /// `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`: what every span is of; the service's name is among them.
    pub resource: Vec<(String, String)>,
    /// `OTEL_TRACES_SAMPLER` and its argument.
    pub sampler: Sampler,
}

/// Which traces are kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// Whether the caller's own decision counts, where there is one.
    pub follows_parent: bool,
    /// The part of the others that is kept, from 0 to 1.
    pub ratio: f64,
}

impl Telemetry {
    /// `None` where no collector is named, or `OTEL_SDK_DISABLED` or `OTEL_TRACES_EXPORTER` says that none is wanted.
    pub(crate) fn read(env: &Environment) -> Result<Option<Self>> {
        let disabled = env.first(&["OTEL_SDK_DISABLED"]).is_some_and(|word| word.eq_ignore_ascii_case("true"));
        if disabled || env.first(&["OTEL_TRACES_EXPORTER"]) == Some("none") {
            return Ok(None);
        }
        let Some(url) = url(env)? else { return Ok(None) };
        let mut headers = HeaderMap::new();
        for name in ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"] {
            for (key, value) in pairs(name, env.first(&[name]).unwrap_or_default())? {
                let header = HeaderName::try_from(key).ok().zip(HeaderValue::try_from(value).ok());
                let (key, mut value) = header.ok_or_else(|| unset(format!("{name} holds what is no header")))?;
                value.set_sensitive(true);
                headers.insert(key, value);
            }
        }
        let mut resource =
            pairs("OTEL_RESOURCE_ATTRIBUTES", env.first(&["OTEL_RESOURCE_ATTRIBUTES"]).unwrap_or_default())?;
        let named = resource.iter().position(|(key, _)| key == "service.name").map(|place| resource.remove(place).1);
        let service = env.first(&["OTEL_SERVICE_NAME"]).map(str::to_owned).or(named);
        resource.insert(0, ("service.name".to_owned(), service.unwrap_or_else(|| "llm-gateway".to_owned())));
        Ok(Some(Self { url, headers, resource, sampler: sampler(env)? }))
    }
}

fn url(env: &Environment) -> Result<Option<Url>> {
    let (name, path) = match env.first(&["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]) {
        Some(_) => ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ""),
        None => ("OTEL_EXPORTER_OTLP_ENDPOINT", "/v1/traces"),
    };
    let Some(text) = env.first(&[name]) else { return Ok(None) };
    let whole = if path.is_empty() { text.to_owned() } else { [text.trim_end_matches('/'), path].concat() };
    let url = Url::parse(&whole).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.map(Some).ok_or_else(|| unset(format!("{name} is not an http:// or https:// address")))
}

/// `key=value,key=value`, the values percent-encoded, as OpenTelemetry writes lists.
fn pairs(name: &str, list: &str) -> Result<Vec<(String, String)>> {
    let pair = |text: &str| {
        let (key, value) = text.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        Some((key.trim().to_owned(), value.into_owned())).filter(|(key, _)| !key.is_empty())
    };
    let read = listed(list).map(|text| pair(text).ok_or_else(|| unset(format!("{name} must be key=value,key=value"))));
    read.collect()
}

fn sampler(env: &Environment) -> Result<Sampler> {
    let word = env.first(&["OTEL_TRACES_SAMPLER"]).unwrap_or("parentbased_always_on");
    let (follows_parent, root) = match word.strip_prefix("parentbased_") {
        Some(root) => (true, root),
        None => (false, word),
    };
    let ratio = match root {
        "always_on" => 1.0,
        "always_off" => 0.0,
        "traceidratio" => env.parse("OTEL_TRACES_SAMPLER_ARG", 1.0)?,
        _ => {
            let known = "always_on, always_off, traceidratio, or one of them after parentbased_";
            return Err(unset(format!("OTEL_TRACES_SAMPLER must be {known}")));
        }
    };
    if !(0.0..=1.0).contains(&ratio) {
        return Err(unset("OTEL_TRACES_SAMPLER_ARG must be from 0 to 1"));
    }
    Ok(Sampler { follows_parent, ratio })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> String {
        let mut env = Environment::from([]);
        variables.iter().for_each(|(name, value)| env.set(name, value));
        match Telemetry::read(&env) {
            Ok(None) => "None".to_owned(),
            Ok(Some(Telemetry { url, headers, resource, sampler })) => {
                let headers = headers.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap()));
                let headers: Vec<_> = headers.collect();
                let Sampler { follows_parent, ratio } = sampler;
                format!("{url} {headers:?} {resource:?} {follows_parent} {ratio}")
            }
            Err(error) => error.message.into_owned(),
        }
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318/");
    const PLAIN: &str = r#"http://localhost:4318/v1/traces [] [("service.name", "llm-gateway")]"#;

    #[test]
    fn a_collector_is_found_by_opentelemetrys_names() {
        for (variables, expect) in [
            (&[][..], "None".to_owned()),
            (&[ENDPOINT], format!("{PLAIN} true 1")),
            (&[ENDPOINT, ("OTEL_SDK_DISABLED", "true")], "None".to_owned()),
            (&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")], "None".to_owned()),
            (
                &[
                    ENDPOINT,
                    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://otlp.example.com/traces"),
                    ("OTEL_EXPORTER_OTLP_HEADERS", "x-team=one, authorization=Basic%20abc%3D"),
                    ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-team=two"),
                    ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,deployment.environment.name=prod"),
                ],
                r#"https://otlp.example.com/traces ["x-team=two", "authorization=Basic abc="] [("service.name", "other"), ("deployment.environment.name", "prod")] true 1"#
                    .to_owned(),
            ),
            (
                &[ENDPOINT, ("OTEL_SERVICE_NAME", "mine"), ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other")],
                PLAIN.replace("\"llm-gateway\"", "\"mine\"") + " true 1",
            ),
            (&[ENDPOINT, ("OTEL_TRACES_SAMPLER", "always_off")], format!("{PLAIN} false 0")),
            (
                &[
                    ENDPOINT,
                    ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
                    ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
                ],
                format!("{PLAIN} true 0.25"),
            ),
        ] {
            assert_eq!(read(variables), expect, "{variables:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "localhost:4318"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a b=c"),
            ("OTEL_RESOURCE_ATTRIBUTES", "=x"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
        ] {
            assert!(read(&[ENDPOINT, (name, value)]).starts_with(name), "{name}");
        }
        let beyond = [ENDPOINT, ("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "2")];
        assert!(read(&beyond).starts_with("OTEL_TRACES_SAMPLER_ARG"));
    }

    #[test]
    fn no_header_shows_its_value() {
        let mut env = Environment::from([]);
        env.set(ENDPOINT.0, ENDPOINT.1);
        env.set("OTEL_EXPORTER_OTLP_HEADERS", "authorization=hunter2");
        assert!(!format!("{:?}", Telemetry::read(&env)).contains("hunter2"));
    }
}
